"""A simulation as a whole: a server and people on it for the length of a block, and schedules of what they do."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from properties.simulation_deeds import Town
from properties.simulation_people import START, Committing, Step, Trouble, quick
from tacit.server.app import open_backend
from tacit.server.config import Config

MEMORY: Final = Path("/dev/shm")
"""Where there is one, files need no disk to wait for."""
LENIENT: Final = """CREATE TRIGGER lenient AFTER UPDATE OF outdated ON conversations WHEN NEW.outdated = 1
    BEGIN UPDATE conversations SET outdated = 0 WHERE conversation_id = NEW.conversation_id; END"""


@asynccontextmanager
async def simulation(people: int, seed: int, *, lenient: bool = False) -> AsyncIterator[Town]:
    """Everybody registered on a new server, and all of it gone afterwards.

    A `lenient` server takes messages also where a member revoked a device since the epoch was opened: clients look to
    that themselves.
    """
    folder = Path(tempfile.mkdtemp(prefix="tacit-", dir=MEMORY if MEMORY.is_dir() else None))
    holder: list[Town] = []
    draw = random.Random(seed).randbytes
    try:
        config = Config("127.0.0.1", 8080, folder / "server.db")
        backend = await open_backend(config, lambda: holder[0].now if holder else START, draw)
        backend.store._batches = Committing(backend.store)  # type: ignore[assignment]
        if lenient:
            await backend.store.write(lambda db: db.execute(LENIENT))
        made = Town(backend, folder, seed)
        holder.append(made)
        with quick(backend.store):
            try:
                await made.register(people)
                yield made
            finally:
                await made.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- schedules -------------------------------------------------------------------------------

SPEAK: Final = ("send",)
CHANGE: Final = ("create", "add", "remove", "promote", "demote", "leave", "rotate", "accept", "confirm")
CATCH_UP: Final = ("sync", "sync_account", "sync_one", "sync_people", "settle", "vault")
ACCOUNT: Final = ("arrive", "arrive", "revoke", "revoke", "password", "words", "reset", "cancel_reset")
PROCESS: Final = ("restart", "offline", "online", "wait", "slip_in", "slip_in")
WEIGHTS: Final = ((SPEAK, 5), (CHANGE, 7), (CATCH_UP, 8), (ACCOUNT, 4), (PROCESS, 3))
TROUBLES: Final = ("answer", "cut", "answers", "crash", "meanwhile", "meanwhile")
MOST: Final = 60
"""The numbers of a step are below this; it has divisors enough that they pick evenly."""


Weights = Sequence[tuple[Sequence[str], int]]
"""Groups of deeds, each with how often one of them is done."""


def schedule(seed: int, count: int, weights: Weights = WEIGHTS) -> Iterator[Step]:
    """A random schedule: the same for the same seed."""
    draw = random.Random(seed)

    def one(trouble: Trouble | None) -> Step:
        (deeds,) = draw.choices([deeds for deeds, _ in weights], [weight for _, weight in weights])
        return Step(draw.choice(deeds), draw.randrange(MOST), draw.randrange(MOST), draw.randrange(MOST), trouble)

    yield Step("create", 0, 0, 31)
    for _ in range(count):
        kind = draw.choice(TROUBLES) if draw.random() < 0.25 else ""
        at = draw.randrange(8)
        yield one(Trouble(kind, at, one(None) if kind == "meanwhile" else None) if kind else None)
