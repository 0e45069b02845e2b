"""What the server knows about itself: its incarnation, and the name that accounts are bound to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def get(connection: sqlite3.Connection, name: str) -> bytes | None:
    """The value kept under `name`, or None."""
    row = connection.execute("SELECT value FROM server_meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else bytes(row[0])


def put(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    """Keep `value` under `name` in place of what was there."""
    connection.execute(
        "INSERT INTO server_meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def ensure(connection: sqlite3.Connection, name: str, make: Callable[[], bytes]) -> bytes:
    """The value kept under `name`, made and kept first where there is none."""
    found = get(connection, name)
    if found is None:
        found = make()
        put(connection, name, found)
    return found
