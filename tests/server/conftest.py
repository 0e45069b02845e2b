from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.bad_input import Scene
from server.listening import served
from server.people import Clock, Person, Talk, Town, seeded
from tacit.server.app import open_backend
from tacit.server.config import Config, listen


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """A server with an empty database, and nobody there yet."""
    clock = Clock()
    config = Config("127.0.0.1", 8080, tmp_path / "chat.db")
    backend = await open_backend(config, clock, seeded("server"))
    made = Town(backend, clock)
    yield made
    await made.http.aclose()
    await backend.store.close()


@pytest.fixture
async def port(town: Town) -> AsyncIterator[int]:
    """The town's server on a free loopback port, set up as `tacit serve` does."""
    with listen(Config("127.0.0.1", 0, town.backend.config.database)) as listening:
        async with served(town.backend, listening):
            yield listening.getsockname()[1]


@pytest.fixture
async def scene(town: Town) -> Scene:
    """Two people in a conversation, one who is not in it, one who is registering."""
    alice, bob, mallory = await town.people("alice", "bob", "mallory")
    newcomer = Person(town, "newcomer")
    await newcomer.open("/api/auth/register")
    return Scene(town, alice, bob, mallory, newcomer, await Talk.opened(alice, bob))
