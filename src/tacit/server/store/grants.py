"""Grants (`conversation_key_members`) and the epochs (`conversation_keys`) that they open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from tacit import errors
from tacit.server.store.rows import Epoch, Grant, NewGrant, row_id

_EPOCH = "id, seq, created_at, epoch, key_id, record_hash, protocol, record, signature"
_FOR_EVER: Final = (1 << 63) - 1


def add(
    connection: sqlite3.Connection, conversation_id: str, key_id: str, new: Iterable[NewGrant], now: int
) -> tuple[str, ...]:
    """Add grants to an epoch; a grant by the same granter to the same recipient takes the place of the earlier one.

    Returns the recipients for whom something changed. Raises `KeyIdMismatch` when the conversation has no such epoch.
    """
    row = connection.execute(
        "SELECT id FROM conversation_keys WHERE conversation_id = ? AND key_id = ?", (conversation_id, key_id)
    ).fetchone()
    if row is None:
        raise errors.KeyIdMismatch("no epoch of this conversation has this key id")
    changed: set[str] = set()
    for grant in new:
        done = connection.execute(
            "INSERT INTO conversation_key_members (id, conversation_key_id, user_id, encrypted_key, created_at, "
            "granted_by) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (conversation_key_id, user_id, granted_by) "
            "DO UPDATE SET encrypted_key = excluded.encrypted_key, created_at = excluded.created_at "
            "WHERE encrypted_key <> excluded.encrypted_key",
            (row_id(), row[0], grant.user_id, grant.encrypted_key, now, grant.granted_by),
        )
        if done.rowcount > 0:
            changed.add(grant.user_id)
    return tuple(sorted(changed))


def of_epoch(
    connection: sqlite3.Connection, conversation_id: str, key_id: str, user_id: str | None = None
) -> tuple[Grant, ...]:
    """All grants of an epoch, or those to one user, in the order in which they were first added."""
    rows = connection.execute(
        "SELECT user_id, encrypted_key, granted_by FROM conversation_key_members WHERE conversation_key_id = "
        "(SELECT id FROM conversation_keys WHERE conversation_id = ? AND key_id = ?) "
        "AND (?3 IS NULL OR user_id = ?3) ORDER BY rowid",
        (conversation_id, key_id, user_id),
    )
    return tuple(Grant._make(row) for row in rows)


def epochs(
    connection: sqlite3.Connection,
    conversation_id: str,
    *,
    after_epoch: int = 0,
    after_seq: int = 0,
    up_to_seq: int = _FOR_EVER,
    user_id: str | None = None,
    limit: int = _FOR_EVER,
) -> tuple[Epoch, ...]:
    """Up to `limit` epochs, oldest first, with the grants to `user_id` (none without it).

    Only those above `after_epoch`, and with a `seq` above `after_seq` and not above `up_to_seq`.
    """
    rows = connection.execute(
        f"SELECT {_EPOCH} FROM conversation_keys WHERE conversation_id = ? AND epoch > ? AND seq > ? AND seq <= ? "
        "ORDER BY seq LIMIT ?",
        (conversation_id, after_epoch, after_seq, up_to_seq, limit),
    ).fetchall()
    return tuple(Epoch._make((*row[1:], _granted(connection, row[0], user_id))) for row in rows)


def _granted(connection: sqlite3.Connection, epoch_id: str, user_id: str | None) -> tuple[Grant, ...]:
    if user_id is None:
        return ()
    rows = connection.execute(
        "SELECT user_id, encrypted_key, granted_by FROM conversation_key_members "
        "WHERE conversation_key_id = ? AND user_id = ? ORDER BY rowid",
        (epoch_id, user_id),
    )
    return tuple(Grant._make(row) for row in rows)
