"""Wrong proofs of unlockers: when they came and from whom, and what the account's devices were told of them.

What is asked about a user whom nobody knows is kept like all the rest: so it takes the same time and is answered alike.
"""

from __future__ import annotations

import sqlite3

from tacit.server.store.rows import Failures, ToldProofs


def add(connection: sqlite3.Connection, user_id: str, device_id: str, own: bool, now: int) -> None:
    """Keep that a proof was wrong; `own`: it came from a device of the account."""
    row = (user_id, device_id, own, now)
    connection.execute("INSERT INTO failed_proofs (user_id, device_id, own, at) VALUES (?, ?, ?, ?)", row)


def of_key(connection: sqlite3.Connection, user_id: str, device_id: str, since: int) -> Failures:
    """The wrong proofs of one device key after `since`."""
    query = "SELECT count(*), coalesce(max(at), 0) FROM failed_proofs WHERE user_id = ? AND at > ? AND device_id = ?"
    return Failures._make(connection.execute(query, (user_id, since, device_id)).fetchone())


def of_strangers(connection: sqlite3.Connection, user_id: str, since: int) -> Failures:
    """The wrong proofs after `since` of all keys that are not of the account's devices."""
    query = "SELECT count(*), coalesce(max(at), 0) FROM failed_proofs WHERE user_id = ? AND at > ? AND NOT own"
    return Failures._make(connection.execute(query, (user_id, since)).fetchone())


def told(connection: sqlite3.Connection, user_id: str, kind: str) -> ToldProofs | None:
    """What was told of one kind of unlocker, and what was not; None where nothing is remembered."""
    query = "SELECT user_id, kind, told_at, untold, device_id FROM proofs_told WHERE user_id = ? AND kind = ?"
    row = connection.execute(query, (user_id, kind)).fetchone()
    return None if row is None else ToldProofs._make(row)


def keep_told(connection: sqlite3.Connection, state: ToldProofs) -> None:
    """Keep this in the place of what was kept."""
    connection.execute("INSERT OR REPLACE INTO proofs_told VALUES (?, ?, ?, ?, ?)", state)


def overdue(connection: sqlite3.Connection, told_before: int, limit: int = 100) -> list[ToldProofs]:
    """Up to `limit` of which something is untold, and the last was told at `told_before` or earlier."""
    query = (
        "SELECT user_id, kind, told_at, untold, device_id FROM proofs_told "
        "WHERE told_at <= ? AND untold > 0 ORDER BY told_at LIMIT ?"
    )
    return [ToldProofs._make(row) for row in connection.execute(query, (told_before, limit))]


def purge(connection: sqlite3.Connection, before: int, limit: int = 1000) -> int:
    """Forget up to `limit` wrong proofs of `before` and earlier, and all that was told then; returns how many."""
    gone = connection.execute(
        "DELETE FROM failed_proofs WHERE id IN (SELECT id FROM failed_proofs WHERE at <= ? ORDER BY at LIMIT ?)",
        (before, limit),
    ).rowcount
    return (
        gone
        + connection.execute(
            "DELETE FROM proofs_told WHERE (user_id, kind) IN "
            "(SELECT user_id, kind FROM proofs_told WHERE told_at <= ? AND untold = 0 ORDER BY told_at LIMIT ?)",
            (before, limit),
        ).rowcount
    )
