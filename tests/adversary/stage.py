"""The place of an attack: the product's server on a loopback socket of this process, and people with real clients."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from socket import socket as Listening
from typing import Any

import httpx2
import uvicorn

from adversary.bending import bent
from client.world import Clock, Wire, World, password_of
from rsa_pool import pooled_rsa
from tacit import errors
from tacit.api.messages import EncryptedPayload
from tacit.client import Client, Conversation
from tacit.client.tls import NO_TLS
from tacit.server import serve
from tacit.server.accepting import Server
from tacit.server.app import application, open_backend
from tacit.server.backend import Backend
from tacit.server.config import Config, listen
from tacit.server.socket import SocketProtocol
from tacit.server.store import conversations
from tacit.server.store.rows import Head

FEW_RSA_KEYS: dict[str, Any] = {"tacit.crypto.rsa:generate": pooled_rsa}
"""Several people share one: making a key takes longer than an attack."""


class Tap(Wire):
    """The way to the server, on which somebody listens: every request as it was sent."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        super().__init__(inner)
        self.heard: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.heard.append(request)
        return await super().handle_async_request(request)


class _Server(Server):
    """uvicorn, telling when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[Listening] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@dataclass(slots=True)
class Stage:
    """A running server and the people on it. `caught` are payloads that a bent server kept for itself."""

    backend: Backend
    world: World
    port: int = 0
    caught: list[EncryptedPayload] = field(default_factory=list)

    async def people(self, *names: str) -> list[Client]:
        """New accounts, each on a client of its own."""
        return await self.world.register(*names)

    async def tablet(self, name: str, **how: Any) -> Client:
        """Somebody's second device, signed in with the password unless `how` says otherwise."""
        return await self.world.another(name, "tablet", **how)

    def wire(self, name: str) -> Tap:
        """Somebody's way to the server."""
        wire = self.world.wires[name]
        assert isinstance(wire, Tap)
        return wire

    async def head(self, conversation_id: str) -> Head:
        """The newest epoch, as the server has it."""
        found = await self.backend.store.read(lambda db: conversations.head(db, conversation_id))
        assert found is not None
        return found

    async def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What whoever runs the server can do with its database."""
        return await self.backend.store.write(lambda db: db.execute(statement, values).fetchall())


@asynccontextmanager
async def opened_stage(folder: Path, name: str | None = None, url: str | None = None) -> AsyncIterator[Stage]:
    """A server on the database in `folder`, under the host's name and URL or others, until the block ends.

    It goes by the same clock as everybody: `world.clock`.
    """
    config, clock = Config("127.0.0.1", 0, folder / "server.db", name, url), Clock()
    with listen(config) as listening, bent(FEW_RSA_KEYS):
        config = config.at_port(listening.getsockname()[1])
        backend = await open_backend(config, clock, os.urandom)
        how = serve.settings(backend.connections, sockets=partial(SocketProtocol, backend))
        server = _Server(uvicorn.Config(application(backend), **how))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await server.ready.wait()
            async with AsyncExitStack() as stack:
                world = World(config.origin, folder, stack, lambda: Tap(httpx2.AsyncHTTPTransport(verify=NO_TLS)))
                world.clock = clock
                yield Stage(backend, world, config.port)
        finally:
            backend.hub.close_all()
            server.should_exit = True
            await running
            await backend.store.close()


async def together(founder: Client, name: str, *others: Client) -> tuple[Conversation, ...]:
    """A conversation that each of them has on its device: the founder's first."""
    users = [await user_of(each) for each in others]
    made = await founder.create_conversation(name, users)
    views = [made]
    for each in others:
        await each.sync()
        views.append(await each.conversation(made.id))
    return tuple(views)


async def user_of(client: Client) -> str:
    """Whose client this is."""
    return await client.device._run(lambda books: books.me.user_id)


async def texts(client: Client, conversation_id: str) -> list[tuple[str, str]]:
    """What a person reads: who said what, and the cause of what cannot be read."""
    found, _ = await client.device.history(conversation_id)
    return [(each.sender, each.cause or each.text) for each in found]


async def try_to_send(client: Client, conversation_id: str, text: str) -> errors.TacitError | None:
    """A person writes something; the error that it gets, if it gets one."""
    try:
        await client.device.send_text(conversation_id, text)
    except errors.TacitError as error:
        return error
    return None


__all__ = ["Stage", "Tap", "opened_stage", "password_of", "texts", "together", "try_to_send", "user_of"]
