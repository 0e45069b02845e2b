"""A server that is backed up and restored, wherever its clients are meanwhile."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from client.world import Clock, Wire, World, texts
from tacit.client import Client
from tacit.server.app import application, open_backend
from tacit.server.backend import Backend
from tacit.server.config import Config
from tacit.server.store import backup


class Place(httpx2.AsyncBaseTransport):
    """Where the server is, whichever it is now, and how it is backed up and restored."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.database = folder / "server.db"
        self.backend: Backend | None = None
        self.inner: httpx2.ASGITransport | None = None
        self.restores = 0

    async def start(self) -> None:
        self.backend = await open_backend(Config("127.0.0.1", 8080, self.database), self.clock, os.urandom)
        self.inner = httpx2.ASGITransport(application(self.backend))

    async def stop(self) -> None:
        assert self.backend is not None
        await self.backend.store.close()

    def back_up(self) -> None:
        (self.folder / "backup.db").unlink(missing_ok=True)
        backup.copy(self.database, self.folder / "backup.db")

    async def restore(self) -> None:
        await self.stop()
        self.restores += 1
        self.database = self.folder / f"restored{self.restores}.db"
        backup.restore(self.folder / "backup.db", self.database, os.urandom(16).hex(), self.clock())
        await self.start()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert self.inner is not None
        return await self.inner.handle_async_request(request)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A server that runs, and can be restored."""
    made = Place(tmp_path, Clock())
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def town(place: Place, tmp_path: Path) -> AsyncIterator[World]:
    """People on it, with a wire each."""
    async with AsyncExitStack() as stack:
        made = World("http://127.0.0.1:8080", tmp_path, stack, lambda: Wire(place))
        made.clock = place.clock
        yield made


async def said(client: Client, name: str = "team") -> list[str]:
    await client.sync()
    return [text for _, text in await texts(await client.conversation(name))]


async def notices(client: Client) -> list[str]:
    return [each.kind for each in await client.account.notices()]


async def assert_calm(*clients: Client, name: str = "team") -> None:
    """Nobody is alarmed, and nothing is blocked."""
    for each in clients:
        assert await each.alarms() == []
        assert (await each.conversation(name)).blocked == ""
