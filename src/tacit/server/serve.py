"""Running the server as a process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from socket import socket as Listening
from typing import Any, Final

import uvicorn
import uvloop

from tacit import errors
from tacit.server import unlocking
from tacit.server.app import application, open_backend
from tacit.server.backend import Backend
from tacit.server.config import Config, listen
from tacit.server.store import attempts, nonces, sessions
from tacit.wire import limits

PURGE_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 10


def wall_clock() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class _Server(uvicorn.Server):
    """uvicorn, telling when it listens, and closing the sockets of its clients before it waits for them."""

    def __init__(self, config: uvicorn.Config, backend: Backend, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._backend = backend
        self._tell = started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal, and end as a program that has done its work: uvicorn would raise the signal once more."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[Listening] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()

    async def shutdown(self, sockets: list[Listening] | None = None) -> None:
        self._backend.hub.close_all()
        await super().shutdown(sockets)


def without_values(record: logging.LogRecord) -> bool:
    """Name the class of an exception in uvicorn's log, and leave out its text, which may hold what a client sent."""
    if record.exc_info and record.exc_info[0] is not None:
        record.msg, record.args = f"{record.getMessage()} ({record.exc_info[0].__name__})", ()
        record.exc_info = None
    return True


def serve(config: Config) -> None:
    """Serve until a signal; raises `NotLoopback`, `InvalidArgument`, `Internal`, `DatabaseTooNew`."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    logging.getLogger("uvicorn.error").addFilter(without_values)
    with listen(config) as listening, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config.at_port(listening.getsockname()[1]), listening))


async def _serve(config: Config, listening: Listening) -> None:
    backend = await open_backend(config, wall_clock, os.urandom)
    purging = asyncio.create_task(purge(backend))
    try:
        started = f"tacit serves {config.server_name} at http://{config.configured_authority}"
        server = _Server(
            uvicorn.Config(application(backend), **settings()),
            backend,
            lambda: print(started, flush=True),  # noqa: T201
        )
        await server.serve(sockets=[listening])
    finally:
        purging.cancel()
        with suppress(asyncio.CancelledError):
            await purging
        await backend.store.close()


def settings() -> dict[str, Any]:
    """How uvicorn is set up: its fast parts, no log of requests, limits for what it reads by itself."""
    return {
        "loop": "none",
        "http": "httptools",
        "ws": "websockets-sansio",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "ws_max_size": limits.FRAME_BYTES,
        "ws_per_message_deflate": False,
        "timeout_graceful_shutdown": GRACE_SECONDS,
    }


async def purge(backend: Backend, every_seconds: float = PURGE_SECONDS) -> None:
    """Forget nonces, sessions and wrong proofs whose time is over, and tell what is to be told, once a minute."""
    while True:
        await asyncio.sleep(every_seconds)
        now = backend.clock()
        with suppress(errors.Internal):  # the store has logged it, and the next minute comes
            await unlocking.tell_overdue(backend)
            proofs = backend.config.proofs
            for forget in (
                partial(nonces.purge, now=now),
                partial(sessions.purge, now=now),
                partial(attempts.purge, before=now - max(proofs.within_ms, proofs.told_each_ms)),
            ):
                while await backend.store.write(forget):
                    pass  # each step in a transaction of its own, so that nobody waits for long
