"""Open sessions, by the hash of their token: the token itself is never stored."""

from __future__ import annotations

import sqlite3
from typing import Final

from tacit import errors
from tacit.server.store.rows import Session

OF_A_DEVICE: Final = 16
"""Sessions that one device may have open."""

_COLUMNS = "token_hash, user_id, device_id, request_key, kind, created_at, expires_at"


def open_session(connection: sqlite3.Connection, session: Session) -> tuple[str, ...]:
    """Store a new session; of one device only the newest ones are kept. Returns the hashes of those that ended."""
    connection.execute(f"INSERT INTO sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", session)
    gone = connection.execute(
        "DELETE FROM sessions WHERE token_hash IN (SELECT token_hash FROM sessions WHERE user_id = ? AND device_id = ? "
        "AND token_hash <> ? ORDER BY created_at DESC LIMIT -1 OFFSET ?) RETURNING token_hash",
        (session.user_id, session.device_id, session.token_hash, OF_A_DEVICE - 1),
    )
    return tuple(row[0] for row in gone.fetchall())


def find(connection: sqlite3.Connection, token_hash: str, now: int) -> Session:
    """The session of a token; raises `SessionExpired` when there is none that lasts beyond `now`."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM sessions WHERE token_hash = ?", (token_hash,)).fetchone()
    if row is None or row[6] <= now:
        raise errors.SessionExpired
    return Session._make(row)


def check(connection: sqlite3.Connection, token_hash: str, now: int) -> None:
    """Raises `SessionExpired` when there is no session of a token that lasts beyond `now`."""
    if (
        connection.execute(
            "SELECT 1 FROM sessions WHERE token_hash = ? AND expires_at > ?", (token_hash, now)
        ).fetchone()
        is None
    ):
        raise errors.SessionExpired


def promote(connection: sqlite3.Connection, token_hash: str, expires_at: int) -> None:
    """Turn a registration or provisional session into a full one; raises `SessionExpired` when there is none."""
    done = connection.execute(
        "UPDATE sessions SET kind = 'full', expires_at = ? WHERE token_hash = ?", (expires_at, token_hash)
    )
    if done.rowcount == 0:
        raise errors.SessionExpired


def end(connection: sqlite3.Connection, token_hash: str) -> bool:
    """Close a session; returns whether there was one."""
    return connection.execute("DELETE FROM sessions WHERE token_hash = ?", (token_hash,)).rowcount > 0


def end_device(connection: sqlite3.Connection, user_id: str, device_id: str) -> int:
    """Close all sessions of a device; returns how many there were."""
    return connection.execute("DELETE FROM sessions WHERE user_id = ? AND device_id = ?", (user_id, device_id)).rowcount


def end_provisional(connection: sqlite3.Connection, user_id: str) -> int:
    """Close all sessions of an account that an unlocker opened; returns how many there were."""
    gone = "DELETE FROM sessions WHERE user_id = ? AND kind = 'provisional'"
    return connection.execute(gone, (user_id,)).rowcount


def purge(connection: sqlite3.Connection, now: int, limit: int = 1000) -> int:
    """Forget up to `limit` sessions that ended before `now`; returns how many."""
    return connection.execute(
        "DELETE FROM sessions WHERE token_hash IN "
        "(SELECT token_hash FROM sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ?)",
        (now, limit),
    ).rowcount
