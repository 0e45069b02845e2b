"""Running the server as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from socket import socket as Listening
from types import FrameType
from typing import Any, Final

import uvicorn
import uvloop

from tacit import errors
from tacit.server import logs, unlocking
from tacit.server.accepting import Server
from tacit.server.app import application, open_backend
from tacit.server.backend import Backend
from tacit.server.config import Config, ConnectionLimits, listen, listen_on
from tacit.server.connection import HttpConnection
from tacit.server.connections import Connections, raise_descriptors
from tacit.server.events import Events, Failed, Started, Stopped, Stopping, failed
from tacit.server.sessions import VERSION
from tacit.server.socket import SocketProtocol
from tacit.server.store import attempts, nonces, sessions
from tacit.server.tls import Certificate, keep_fresh

PURGE_SECONDS: Final = 60.0
METRICS: Final = ConnectionLimits(most=16)
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def wall_clock() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class _Server(Server):
    """uvicorn, telling when it listens, and stopping in an order of its own.

    At the first signal it is no longer ready. After the drain time it listens no more, ends the WebSockets once their
    frames are answered, answers what it accepted, and hangs up on what is left after the grace time. At the second
    signal it waits for none of that; a third one has its usual effect.
    """

    def __init__(self, config: uvicorn.Config, backend: Backend, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._backend = backend
        self._tell = started
        self._at_once = asyncio.Event()

    @property
    def finished(self) -> bool:
        """Whether it waited for what it had to."""
        return not self._at_once.is_set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal, and end as a program that has done its work: uvicorn would raise the signal once more."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop: at the first call gracefully, at the second at once."""
        loop, here = asyncio.get_running_loop(), self._backend
        again = here.health.stopping
        here.health.stopping = True
        here.events.tell(Stopping(at_once=again))
        if again:
            self.should_exit = self.force_exit = True
            self._at_once.set()
            for number in SIGNALS:
                loop.remove_signal_handler(number)
        else:
            loop.call_later(here.config.drain_seconds, setattr, self, "should_exit", True)

    async def startup(self, sockets: list[Listening] | None = None) -> None:
        await super().startup(sockets)
        self._tell()

    async def shutdown(self, sockets: list[Listening] | None = None) -> None:
        for server in self.servers:
            server.close()
        loop, grace = asyncio.get_running_loop(), self._backend.config.grace_seconds
        until = loop.time() + grace
        self._backend.hub.close_all()
        await self._while_graceful(self._backend.hub.empty(), grace)
        self.config.timeout_graceful_shutdown = max(1, round(until - loop.time()))
        await self._while_graceful(super().shutdown(sockets), None)

    async def _while_graceful(self, work: Coroutine[Any, Any, None], seconds: float | None) -> None:
        """Do this work, and give it up after so many seconds or at a second signal."""
        working, signalled = asyncio.create_task(work), asyncio.create_task(self._at_once.wait())
        await asyncio.wait((working, signalled), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, signalled):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def serve(config: Config) -> int:
    """Serve until a signal; the process's exit status, 1 where a second signal cut short what was accepted.

    Raises `NotLoopback`, `InvalidArgument`, `Internal`, `DatabaseTooNew`.
    """
    logs.set_up(sys.stderr, config.log_format, config.log_level)
    raise_descriptors()
    config.check_url()
    certificate = None
    if config.tls_certificate is not None:
        certificate = Certificate(config.tls_certificate, config.tls_key, wall_clock)
    with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        listening, beside = stack.enter_context(listen(config)), None
        if config.metrics_port is not None:
            beside = stack.enter_context(listen_on(config.metrics_host, config.metrics_port))
        return runner.run(_serve(config.at_port(listening.getsockname()[1]), certificate, listening, beside))


async def _serve(
    config: Config, certificate: Certificate | None, listening: Listening, beside: Listening | None
) -> int:
    if beside is None:
        return await _run(config, certificate, listening, Events((logs.write,)), "", lambda _: nullcontext())
    from tacit.server import metrics  # not loaded where nobody wants it

    counted = metrics.Metrics()
    host, port = beside.getsockname()[:2]
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def shown(backend: Backend) -> AbstractAsyncContextManager[None]:
        counted.watch(backend, certificate)
        few = Connections(METRICS, backend.events.stopwatch)
        return metrics.served(counted, beside, settings(few, 1))

    return await _run(config, certificate, listening, Events((logs.write, counted.count)), place, shown)


async def _run(
    config: Config,
    certificate: Certificate | None,
    listening: Listening,
    events: Events,
    metrics: str,
    shown: Callable[[Backend], AbstractAsyncContextManager[None]],
) -> int:
    asyncio.get_running_loop().set_exception_handler(lambda _, context: events.tell(unhandled(context)))
    backend = await open_backend(config, wall_clock, os.urandom, events)
    tasks = [asyncio.create_task(purge(backend))]
    if certificate is not None:
        tasks.append(asyncio.create_task(keep_fresh(certificate, events.tell)))
    try:

        def listens() -> None:
            events.tell(Started(config.server_name, config.authority, VERSION, metrics))
            print(f"tacit serves {config.server_name} at {config.origin}", flush=True)  # noqa: T201
            if certificate is not None:
                print(f"pin: {certificate.leaf.pin}", flush=True)  # noqa: T201

        how = settings(backend.connections, config.grace_seconds, certificate, partial(SocketProtocol, backend))
        server = _Server(uvicorn.Config(application(backend), **how), backend, listens)
        async with shown(backend):
            await server.serve(sockets=[listening])
        return 0 if server.finished else 1
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await backend.store.close()
        events.tell(Stopped())


def unhandled(context: Mapping[str, Any]) -> Failed:
    """What the event loop says of an exception that nobody caught, without its text."""
    error = context.get("exception")
    return failed(error) if isinstance(error, BaseException) else Failed("unhandled")


def settings(
    connections: Connections, grace_seconds: int = 10, certificate: Certificate | None = None, sockets: Any = "none"
) -> dict[str, Any]:
    """How uvicorn is set up: its fast parts, no log of requests, limits for what it reads, and what takes WebSockets.

    What a request's headers say of its client is for `server.address` to judge: uvicorn would believe whoever comes
    from loopback.
    """
    return {
        "proxy_headers": False,
        "ssl_context_factory": (lambda *_: certificate.context) if certificate is not None else None,
        "loop": "none",
        "http": partial(HttpConnection, connections),
        "ws": sockets,
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": grace_seconds,
    }


async def purge(backend: Backend, every_seconds: float = PURGE_SECONDS) -> None:
    """Forget nonces, sessions and wrong proofs whose time is over, and tell what is to be told, once a minute."""
    while True:
        await asyncio.sleep(every_seconds)
        now = backend.clock()
        proofs = backend.config.proofs
        with suppress(errors.Internal, errors.StorageFull):  # both were told, and the next minute comes
            for forget in (
                partial(nonces.purge, now=now),
                partial(sessions.purge, now=now),
                partial(attempts.purge, before=now - max(proofs.within_ms, proofs.told_each_ms)),
            ):
                while await backend.store.write(forget, housekeeping=True):
                    pass  # each step in a transaction of its own, so that nobody waits for long
            await unlocking.tell_overdue(backend)
