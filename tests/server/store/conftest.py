from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tacit.server.store import schema
from tacit.server.store.sqlite import Store, connect


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to an empty database, in a transaction as jobs find it."""
    connection = connect(tmp_path / "tacit.db")
    schema.migrate(connection)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "tacit.db") as opened:
        yield opened
