from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.people import Clock, Town, seeded
from tacit.server.app import open_backend
from tacit.server.config import Config


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
