"""Grants (`conversation_key_members`) and the epochs (`conversation_keys`) that they open."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable
from typing import Final

from tacit import errors
from tacit.server.store.rows import Epoch, Grant, NewGrant, row_id

_EPOCH = "id, seq, created_at, epoch, key_id, record_hash, protocol, record, signature"
FOR_EVER: Final = (1 << 63) - 1
PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page ends after the item with which it reaches this many characters of payloads, records and grants."""


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
        "AND (? IS NULL OR user_id = ?) ORDER BY rowid",
        (conversation_id, key_id, user_id, user_id),
    )
    return tuple(Grant._make(row) for row in rows)


def each_epoch(
    connection: sqlite3.Connection,
    conversation_id: str,
    *,
    after_epoch: int = 0,
    after_seq: int = 0,
    up_to_seq: int = FOR_EVER,
    user_id: str | None = None,
) -> Generator[Epoch, None, None]:
    """The epochs, oldest first, with the grants to `user_id` (none without it), one at a time: records may be long.

    Only those above `after_epoch`, and with a `seq` above `after_seq` and not above `up_to_seq`.
    """
    rows = connection.execute(
        f"SELECT {_EPOCH} FROM conversation_keys WHERE conversation_id = ? AND epoch > ? AND seq > ? AND seq <= ? "
        "ORDER BY seq",
        (conversation_id, after_epoch, after_seq, up_to_seq),
    )
    for row in rows:
        yield Epoch._make((*row[1:], _granted(connection, row[0], user_id)))


def page(
    connection: sqlite3.Connection,
    conversation_id: str,
    *,
    after_epoch: int,
    up_to_seq: int,
    user_id: str,
    limit: int,
    max_bytes: int = PAGE_BYTES,
) -> tuple[Epoch, ...]:
    """Up to `limit` epochs, at least one if there is one; it ends with the one that reaches `max_bytes`."""
    found: list[Epoch] = []
    size = 0
    for each in each_epoch(connection, conversation_id, after_epoch=after_epoch, up_to_seq=up_to_seq, user_id=user_id):
        found.append(each)
        size += size_of(each)
        if len(found) == limit or size >= max_bytes:
            break
    return tuple(found)


def size_of(epoch: Epoch) -> int:
    """The characters of an epoch's record and grants."""
    return len(epoch.record) + sum(len(grant.encrypted_key) for grant in epoch.grants)


def _granted(connection: sqlite3.Connection, epoch_id: str, user_id: str | None) -> tuple[Grant, ...]:
    if user_id is None:
        return ()
    rows = connection.execute(
        "SELECT user_id, encrypted_key, granted_by FROM conversation_key_members "
        "WHERE conversation_key_id = ? AND user_id = ? ORDER BY rowid",
        (epoch_id, user_id),
    )
    return tuple(Grant._make(row) for row in rows)


def ask(connection: sqlite3.Connection, conversation_id: str, key_id: str, user_id: str, now: int, since: int) -> bool:
    """Remember that a user asks for an epoch's key; False where that was asked after `since` already."""
    row = connection.execute(
        "SELECT asked_at FROM grant_requests WHERE conversation_id = ? AND key_id = ? AND user_id = ?",
        (conversation_id, key_id, user_id),
    ).fetchone()
    if row is not None and row[0] > since:
        return False
    values = (conversation_id, key_id, user_id, now)
    connection.execute("INSERT OR REPLACE INTO grant_requests VALUES (?, ?, ?, ?)", values)
    return True
