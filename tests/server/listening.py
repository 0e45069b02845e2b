"""The product's server on a free loopback port of this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from socket import socket as Listening

import uvicorn

from tacit.server.accepting import Server
from tacit.server.app import application, open_backend
from tacit.server.backend import Backend
from tacit.server.config import Config, listen
from tacit.server.serve import settings, wall_clock
from tacit.server.socket import SocketProtocol
from tacit.server.tls import Certificate


class _Server(Server):
    """uvicorn, telling when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[Listening] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def served(backend: Backend, listening: Listening, certificate: Certificate | None = None) -> AsyncIterator[None]:
    """A backend served on a listening socket, set up as `tacit serve` does."""
    how = settings(backend.connections, certificate=certificate, sockets=partial(SocketProtocol, backend))
    server = _Server(uvicorn.Config(application(backend), **how))
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.wait((asyncio.create_task(server.ready.wait()), running), return_when=asyncio.FIRST_COMPLETED)
        yield
    finally:
        backend.hub.close_all()
        server.should_exit = True
        await running


@asynccontextmanager
async def server_on(database: Path, tls: Path | None = None) -> AsyncIterator[Backend]:
    """A whole server, over TLS if there is a file with certificate and key; its URL is `backend.config.origin`."""
    config = Config("127.0.0.1", 0, database, tls_certificate=tls)
    certificate = Certificate(tls, None, wall_clock) if tls is not None else None
    with listen(config) as listening:
        backend = await open_backend(config.at_port(listening.getsockname()[1]), wall_clock, os.urandom)
        try:
            async with served(backend, listening, certificate):
                yield backend
        finally:
            await backend.store.close()
