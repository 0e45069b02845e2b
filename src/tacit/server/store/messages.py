"""Messages, and the page in which messages and conversation records come in the order of `seq`."""

from __future__ import annotations

import sqlite3
from typing import NoReturn

from tacit import errors
from tacit.server.store import grants
from tacit.server.store.grants import FOR_EVER, PAGE_BYTES
from tacit.server.store.rows import Epoch, Inserted, Message, Page

_COLUMNS = "seq, created_at, sender_id, device_id, client_message_id, encryption_key_id, encrypted_payload, iv"


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
) -> Inserted:
    """Store a message of the newest epoch and give it the conversation's next `seq`.

    `payload` is the JSON object `encryptedPayload` in one fixed spelling. Idempotent by (conversation, device, client
    message id), looked up before the epoch: the same payload gets the first answer again, another one raises
    `MessageIdConflict`. Raises `NotAMember` where there is no such conversation, `EpochClosed` for an earlier epoch,
    `KeyIdMismatch` for a key of none, `EpochOutdated` when a member revoked a device since the epoch was opened.
    It raises only before it writes.
    """
    # Two plain statements: one UPDATE with RETURNING costs more than both, and every message pays for it.
    free = connection.execute(
        "SELECT head_seq + 1 FROM conversations WHERE conversation_id = ? AND key_id = ? AND outdated = 0 AND NOT "
        "EXISTS (SELECT 1 FROM messages WHERE conversation_id = ? AND device_id = ? AND client_message_id = ?)",
        (conversation_id, key_id, conversation_id, device_id, client_message_id),
    ).fetchone()
    if free is None:
        before = earlier(connection, conversation_id, device_id, client_message_id, payload)
        if before is not None:
            return before
        _refuse(connection, conversation_id, key_id)
    seq: int = free[0]
    connection.execute("UPDATE conversations SET head_seq = ? WHERE conversation_id = ?", (seq, conversation_id))
    connection.execute(
        "INSERT INTO messages (conversation_id, seq, sender_id, device_id, client_message_id, created_at, encrypted, "
        "encryption_key_id, encrypted_payload, iv) VALUES (?, ?, ?, ?, ?, ?, TRUE, ?, ?, ?)",
        (conversation_id, seq, sender, device_id, client_message_id, now, key_id, payload, iv),
    )
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
    items: list[Message | Epoch] = []
    size = 0
    record, message = next(records, None), _next(found)
    while message is not None or record is not None:
        if len(items) == limit or size >= max_bytes:
            records.close()
            return Page(tuple(items), items[-1].seq, True)
        if record is not None and (message is None or record.seq < message.seq):
            items.append(record)
            size += grants.size_of(record)
            record = next(records, None)
        else:
            assert message is not None
            items.append(message)
            size += len(message.payload)
            message = _next(found)
    return Page(tuple(items), items[-1].seq if items else after_seq, False)


def _next(cursor: sqlite3.Cursor) -> Message | None:
    row = cursor.fetchone()
    return None if row is None else Message._make(row)
