"""Running the server as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from socket import socket as Listening
from typing import Any, Final

import uvicorn
import uvloop

from tacit import errors
from tacit.server import logs, unlocking
from tacit.server.app import application, open_backend
from tacit.server.backend import Backend
from tacit.server.config import Config, listen
from tacit.server.events import Events, Failed, Started, Stopped, Stopping, failed
from tacit.server.sessions import VERSION
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
        self._backend.events.tell(Stopping())
        self._backend.hub.close_all()
        await super().shutdown(sockets)


def serve(config: Config) -> None:
    """Serve until a signal; raises `NotLoopback`, `InvalidArgument`, `Internal`, `DatabaseTooNew`."""
    logs.set_up(sys.stderr, config.log_format, config.log_level)
    with listen(config) as listening, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config.at_port(listening.getsockname()[1]), listening))


async def _serve(config: Config, listening: Listening) -> None:
    events = Events((logs.write,))
    asyncio.get_running_loop().set_exception_handler(lambda _, context: events.tell(unhandled(context)))
    backend = await open_backend(config, wall_clock, os.urandom, events)
    purging = asyncio.create_task(purge(backend))
    try:

        def listens() -> None:
            events.tell(Started(config.server_name, config.configured_authority, VERSION))
            print(f"tacit serves {config.server_name} at http://{config.configured_authority}", flush=True)  # noqa: T201

        server = _Server(uvicorn.Config(application(backend), **settings()), backend, listens)
        await server.serve(sockets=[listening])
    finally:
        purging.cancel()
        with suppress(asyncio.CancelledError):
            await purging
        await backend.store.close()
        events.tell(Stopped())


def unhandled(context: Mapping[str, Any]) -> Failed:
    """What the event loop says of an exception that nobody caught, without its text."""
    error = context.get("exception")
    return failed(error) if isinstance(error, BaseException) else Failed("unhandled")


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
