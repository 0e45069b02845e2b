"""Resets that a device alone asked for: they wait, and any other version of the account ends them."""

from __future__ import annotations

import sqlite3

from tacit.server.store.rows import PendingReset


def find(connection: sqlite3.Connection, user_id: str) -> PendingReset | None:
    """The reset of an account that waits, or None."""
    row = connection.execute(
        "SELECT version, key_id, device_id, due_at FROM pending_resets WHERE user_id = ?", (user_id,)
    ).fetchone()
    return None if row is None else PendingReset._make(row)


def put(connection: sqlite3.Connection, user_id: str, pending: PendingReset) -> None:
    """Let a reset wait, in the place of one that waited."""
    connection.execute("INSERT OR REPLACE INTO pending_resets VALUES (?, ?, ?, ?, ?)", (user_id, *pending))


def end(connection: sqlite3.Connection, user_id: str) -> bool:
    """Forget the reset of an account; whether there was one."""
    return connection.execute("DELETE FROM pending_resets WHERE user_id = ?", (user_id,)).rowcount > 0
