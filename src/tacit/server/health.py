"""Whether the server lives and can do its work, for whoever watches over it: open to all, and silent on all else."""

from __future__ import annotations

import asyncio
from typing import Any, Final, final

from litestar import Request, Response, get

from tacit import errors
from tacit.crypto.secret import Randomness
from tacit.server.events import LIVE, READY
from tacit.server.store import meta
from tacit.server.store.sqlite import Store
from tacit.server.watch import BACKEND

EVERY_SECONDS: Final = 5.0
"""The database is tried at most so often, however often anybody asks: a try waits for the disk."""
WAIT_SECONDS: Final = 2.0
"""A disk that takes longer does not work."""
STAMP: Final = "tried"
"""Under this name the database keeps what the last try wrote: random bytes."""


@final
class Health:
    """Whether the store can be written and read, and whether the server is about to stop."""

    def __init__(self, store: Store, random: Randomness) -> None:
        self.stopping = False
        self._store = store
        self._random = random
        self._works = False
        self._tried: float | None = None
        self._trying: asyncio.Task[None] | None = None

    async def ready(self, now: float) -> bool:
        """Whether work can be taken; `now` in seconds from any moment on. Who asks meanwhile waits for one try."""
        if self.stopping:
            return False
        if self._trying is None and (self._tried is None or now - self._tried >= EVERY_SECONDS):
            self._tried = now
            self._trying = asyncio.create_task(self._try())
        if self._trying is not None:
            done, _ = await asyncio.wait((self._trying,), timeout=WAIT_SECONDS)
            if not done:
                return False
        return self._works and not self.stopping

    async def _try(self) -> None:
        stamp = self._random(8)
        try:
            await self._store.write(lambda db: meta.put(db, STAMP, stamp))
            self._works = await self._store.read(lambda db: meta.get(db, STAMP)) == stamp
        except (errors.Internal, errors.StorageFull):  # it was told
            self._works = False
        finally:
            self._trying = None


def _answer(well: bool, full: bool = False) -> Response[dict[str, bool | str]]:
    body: dict[str, bool | str] = {"ok": well}
    if full and not well:
        body["code"] = errors.StorageFull.code
    return Response(body, status_code=200 if well else 503, headers={"cache-control": "no-store"})


@get(LIVE)
async def live() -> Response[dict[str, bool | str]]:
    """The process answers."""
    return _answer(True)


@get(READY)
async def ready(request: Request[Any, Any, Any]) -> Response[dict[str, bool | str]]:
    """The database can be written and read, and the server is not about to stop: else 503; a full disk is named."""
    here = request.scope[BACKEND]  # type: ignore[typeddict-item]
    well = await here.health.ready(here.events.stopwatch())
    return _answer(well, here.store.room.full)
