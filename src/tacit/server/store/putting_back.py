"""What a restored server lacks and its clients bring back: which epochs that can be, and the rows that they make.

Everything takes the next `seq`: the places that it had are given to nothing, so that nobody can fill them later with
what was never there.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from tacit.server.store import grants, meta
from tacit.server.store.messages import STORED, earlier
from tacit.server.store.rows import Inserted, NewGrant
from tacit.wire import limits

RESTORED: Final = "restored"
"""Under this the database keeps when it was made of a backup; it is not there in one that never was."""


class Lacking(NamedTuple):
    """The epochs of a conversation of which a restored server may lack something; their records from the second on."""

    first: int
    last: int


def is_restored(connection: sqlite3.Connection) -> bool:
    """Whether this database was made of a backup."""
    return meta.get(connection, RESTORED) is not None


def lacking(connection: sqlite3.Connection, conversation_id: str) -> Lacking | None:
    """What may be lacking of a conversation; None for one that was founded since, or on a server never restored."""
    row = connection.execute(
        "SELECT min(first_epoch), max(last_epoch) FROM lost_places WHERE conversation_id = ?", (conversation_id,)
    ).fetchone()
    return Lacking(row[0], row[1]) if row[0] is not None else None


def reached(connection: sqlite3.Connection, conversation_id: str, epoch: int, now: int) -> None:
    """A record was put back. The first one brings its conversation with it, whose first places are given to nothing."""
    if epoch == 1:
        row = (conversation_id, 1, limits.LOST_PLACES, now, 1, 1)
        connection.execute("INSERT INTO lost_places VALUES (?, ?, ?, ?, ?, ?)", row)
    update = "UPDATE lost_places SET last_epoch = ? WHERE conversation_id = ?"
    connection.execute(update, (epoch, conversation_id))


def add_grants(
    connection: sqlite3.Connection, conversation_id: str, key_id: str, found: tuple[NewGrant, ...], now: int
) -> tuple[str, ...]:
    """Add those grants of an epoch that are not there, and replace none; the recipients for whom something changed."""
    held = {(each.user_id, each.granted_by) for each in grants.of_epoch(connection, conversation_id, key_id)}
    new = [each for each in found if (each.user_id, each.granted_by) not in held]
    return grants.add(connection, conversation_id, key_id, new, now)


def put_message(
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
    """Store a message of whatever epoch, as `messages.insert` does one of the newest.

    Raises `MessageIdConflict` where another one has its id.
    """
    before = earlier(connection, conversation_id, device_id, client_message_id, payload)
    if before is not None:
        return before
    update = "UPDATE conversations SET head_seq = head_seq + 1 WHERE conversation_id = ? RETURNING head_seq"
    seq: int = connection.execute(update, (conversation_id,)).fetchone()[0]
    connection.execute(STORED, (conversation_id, seq, sender, device_id, client_message_id, now, key_id, payload, iv))
    return Inserted(seq, now, False)
