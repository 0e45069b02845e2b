"""Messages, and the page in which messages, conversation records and lost places come in the order of `seq`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from heapq import merge
from operator import attrgetter
from typing import Final, NoReturn

from tacit import errors
from tacit.server.store import grants
from tacit.server.store.grants import FOR_EVER, PAGE_BYTES
from tacit.server.store.rows import Epoch, Inserted, Lost, Message, Page, Place

_COLUMNS = "seq, created_at, sender_id, device_id, client_message_id, encryption_key_id, encrypted_payload, iv"
_seq: Final = attrgetter("seq")
STORED: Final = (
    "INSERT INTO messages (conversation_id, seq, sender_id, device_id, client_message_id, created_at, encrypted, "
    "encryption_key_id, encrypted_payload, iv) VALUES (?, ?, ?, ?, ?, ?, TRUE, ?, ?, ?)"
)
"""Stores one message at its place."""


def earlier(
    connection: sqlite3.Connection, conversation_id: str, device_id: str, client_message_id: str, payload: str
) -> Inserted | None:
    """The first answer to a message that was stored before; raises `MessageIdConflict` where that had other bytes."""
    row = connection.execute(
        "SELECT seq, created_at, encrypted_payload FROM messages "
        "WHERE conversation_id = ? AND device_id = ? AND client_message_id = ?",
        (conversation_id, device_id, client_message_id),
    ).fetchone()
    if row is None:
        return None
    if row[2] != payload:
        raise errors.MessageIdConflict(client_message_id)
    return Inserted(row[0], row[1], True)


def place(
    connection: sqlite3.Connection, conversation_id: str, sender: str, device_id: str, client_message_id: str
) -> Place:
    """What a message meets in a conversation; raises `NotAMember` for a sender who never was one."""
    # One statement for all that is asked: each costs as much as a lookup in it, and every message pays for it.
    row = connection.execute(
        "SELECT c.head_seq, c.epoch, c.key_id, c.record_hash, c.outdated, m.removed_seq, EXISTS (SELECT 1 FROM "
        "messages WHERE conversation_id = ?1 AND device_id = ?3 AND client_message_id = ?4) "
        "FROM conversation_members AS m JOIN conversations AS c USING (conversation_id) "
        "WHERE m.conversation_id = ?1 AND m.user_id = ?2",
        (conversation_id, sender, device_id, client_message_id),
    ).fetchone()
    if row is None:
        raise errors.NotAMember
    return Place._make(row)


def insert(
    connection: sqlite3.Connection,
    conversation_id: str,
    sender: str,
    device_id: str,
    client_message_id: str,
    payload: str,
    key_id: str,
    iv: str,
    now: int,
    found: Place | None = None,
) -> Inserted:
    """Store a message of the newest epoch and give it the conversation's next `seq`.

    `payload` is the JSON object `encryptedPayload` in one fixed spelling, `found` what `place` found in this
    transaction, if it was asked. Idempotent by (conversation, device, client message id), before anything else is
    looked at: the same payload gets the first answer again, another one raises `MessageIdConflict`. Raises `NotAMember`
    for a former member, `EpochClosed` for an earlier epoch, `KeyIdMismatch` for a key of none, `EpochOutdated` when a
    member revoked a device since the epoch was opened. It raises only before it writes.
    """
    if found is None:
        found = place(connection, conversation_id, sender, device_id, client_message_id)
    if found.known:
        before = earlier(connection, conversation_id, device_id, client_message_id, payload)
        assert before is not None
        return before
    if found.removed_seq is not None:
        raise errors.NotAMember
    if key_id != found.key_id or found.outdated:
        _refuse(connection, conversation_id, key_id)
    seq = found.head_seq + 1
    connection.execute("UPDATE conversations SET head_seq = ? WHERE conversation_id = ?", (seq, conversation_id))
    connection.execute(STORED, (conversation_id, seq, sender, device_id, client_message_id, now, key_id, payload, iv))
    return Inserted(seq, now, False)


def _refuse(connection: sqlite3.Connection, conversation_id: str, key_id: str) -> NoReturn:
    """Say why a message of this key is not taken."""
    head = connection.execute(
        "SELECT key_id, epoch FROM conversations WHERE conversation_id = ?", (conversation_id,)
    ).fetchone()
    if head is None:
        raise errors.NotAMember
    if head[0] == key_id:
        raise errors.EpochOutdated(epoch=head[1])
    known = connection.execute(
        "SELECT epoch FROM conversation_keys WHERE conversation_id = ? AND key_id = ?", (conversation_id, key_id)
    ).fetchone()
    if known is None:
        raise errors.KeyIdMismatch("no epoch of this conversation has this key id")
    raise errors.EpochClosed(epoch=head[1])


def page(
    connection: sqlite3.Connection,
    conversation_id: str,
    after_seq: int,
    limit: int,
    *,
    up_to_seq: int | None = None,
    user_id: str | None = None,
    max_bytes: int = PAGE_BYTES,
) -> Page:
    """Up to `limit` messages and records after `after_seq`, in the order of `seq`.

    `up_to_seq` is the last seq that the reader may see (a removed member's own removal); `user_id` names whose grants
    come with the records. A page holds at least one item if there is one, and ends early at `max_bytes`.
    """
    last = up_to_seq if up_to_seq is not None else FOR_EVER
    records = grants.each_epoch(connection, conversation_id, after_seq=after_seq, up_to_seq=last, user_id=user_id)
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM messages WHERE conversation_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (conversation_id, after_seq, last, limit + 1),
    )
    rows: list[Iterator[Message | Epoch | Lost]] = [
        records,
        map(Message._make, found),
        iter(lost(connection, conversation_id, after_seq, last)),
    ]
    items: list[Message | Epoch | Lost] = []
    cursor, size = after_seq, 0
    for row in merge(*rows, key=_seq):
        if len(items) == limit or size >= max_bytes:
            records.close()
            return Page(tuple(items), cursor, True)
        items.append(row)
        cursor = row.last_seq if isinstance(row, Lost) else row.seq
        size += grants.size_of(row) if isinstance(row, Epoch) else len(row.payload) if isinstance(row, Message) else 0
    return Page(tuple(items), cursor, False)


def lost(connection: sqlite3.Connection, conversation_id: str, after_seq: int, last: int) -> tuple[Lost, ...]:
    """The places after `after_seq` and up to `last` that are given to nothing, in their order."""
    rows = connection.execute(
        "SELECT max(first_seq, ?), last_seq, created_at FROM lost_places "
        "WHERE conversation_id = ? AND last_seq > ? AND first_seq <= ? ORDER BY first_seq",
        (after_seq + 1, conversation_id, after_seq, last),
    )
    return tuple(Lost._make(row) for row in rows)


def lose(connection: sqlite3.Connection, number: int, now: int) -> None:
    """Give the next `number` places of every conversation to nothing; what follows its epoch may be put back."""
    connection.execute(
        "INSERT INTO lost_places "
        "SELECT conversation_id, head_seq + 1, head_seq + ?, ?, epoch, epoch FROM conversations",
        (number, now),
    )
    connection.execute("UPDATE conversations SET head_seq = head_seq + ?", (number,))
