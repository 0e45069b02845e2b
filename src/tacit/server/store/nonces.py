"""The nonces of signed requests, each good for one use while its request is valid."""

from __future__ import annotations

import sqlite3

from tacit import errors


def take(connection: sqlite3.Connection, key_id: str, nonce: str, expires_at: int) -> None:
    """Use up a nonce of a key; it is remembered until `expires_at`. Raises `RequestReplayed` the second time."""
    taken = connection.execute(
        "INSERT INTO nonces (key_id, nonce, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (key_id, nonce, expires_at),
    )
    if taken.rowcount == 0:
        raise errors.RequestReplayed("its nonce was used")


def purge(connection: sqlite3.Connection, now: int, limit: int = 1000) -> int:
    """Forget up to `limit` nonces that expired before `now`; returns how many."""
    return connection.execute(
        "DELETE FROM nonces WHERE (key_id, nonce) IN "
        "(SELECT key_id, nonce FROM nonces WHERE expires_at < ? ORDER BY expires_at LIMIT ?)",
        (now, limit),
    ).rowcount
