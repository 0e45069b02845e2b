"""Conversations: the chain of epochs, who is a member, and leaves that wait to be carried out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from tacit import errors
from tacit.server.store import account_events, grants
from tacit.server.store.rows import Epoch, Head, Member, MemberChange, NewGrant, Opened, Standing, row_id

_HEAD = "conversation_id, epoch, key_id, record_hash, head_seq, outdated, created_at"
_STANDING = (
    "c.conversation_id, c.epoch, c.key_id, c.record_hash, c.head_seq, c.outdated, "
    "m.role, m.account_version, m.added_seq, m.removed_seq"
)
_MEMBER = "user_id, role, account_version, added_seq, removed_seq"


def head(connection: sqlite3.Connection, conversation_id: str) -> Head | None:
    """The newest epoch of a conversation, or None where there is no such conversation."""
    row = connection.execute(
        f"SELECT {_HEAD} FROM conversations WHERE conversation_id = ?", (conversation_id,)
    ).fetchone()
    return None if row is None else Head._make(row)


def standing(connection: sqlite3.Connection, conversation_id: str, user_id: str) -> Standing:
    """A user's place in a conversation, also a former one; raises `NotAMember` for who never had one."""
    row = connection.execute(
        f"SELECT {_STANDING} FROM conversation_members AS m JOIN conversations AS c USING (conversation_id) "
        "WHERE m.conversation_id = ? AND m.user_id = ?",
        (conversation_id, user_id),
    ).fetchone()
    if row is None:
        raise errors.NotAMember
    return Standing._make(row)


def standings(connection: sqlite3.Connection, user_id: str, *, with_former: bool = False) -> tuple[Standing, ...]:
    """A user's places in all conversations, sorted by conversation id."""
    rows = connection.execute(
        f"SELECT {_STANDING} FROM conversation_members AS m JOIN conversations AS c USING (conversation_id) "
        "WHERE m.user_id = ? AND (? OR m.removed_seq IS NULL) ORDER BY m.conversation_id",
        (user_id, with_former),
    )
    return tuple(Standing._make(row) for row in rows)


def members(connection: sqlite3.Connection, conversation_id: str, *, with_former: bool = False) -> tuple[Member, ...]:
    """The members of a conversation, sorted by the UTF-8 bytes of their user ids."""
    rows = connection.execute(
        f"SELECT {_MEMBER} FROM conversation_members WHERE conversation_id = ? AND (? OR removed_seq IS NULL) "
        "ORDER BY user_id",
        (conversation_id, with_former),
    )
    return tuple(Member._make(row) for row in rows)


def state(connection: sqlite3.Connection, conversation_id: str) -> bytes | None:
    """The folded chain as `put_record` stored it, or None where there is no such conversation."""
    row = connection.execute(
        "SELECT state FROM conversation_states WHERE conversation_id = ?", (conversation_id,)
    ).fetchone()
    return None if row is None else bytes(row[0])


def epoch(connection: sqlite3.Connection, conversation_id: str, key_id: str) -> Epoch | None:
    """The epoch of a conversation that has this key, without grants, or None."""
    row = connection.execute(
        "SELECT seq, created_at, epoch, key_id, record_hash, protocol, record, signature FROM conversation_keys "
        "WHERE conversation_id = ? AND key_id = ?",
        (conversation_id, key_id),
    ).fetchone()
    return None if row is None else Epoch._make((*row, ()))


def taken(connection: sqlite3.Connection, conversation_id: str, record_hash: str) -> Opened | None:
    """The first answer to a record (its hash in hex) that was taken before, or None."""
    earlier = connection.execute(
        "SELECT seq, created_at FROM conversation_keys WHERE conversation_id = ? AND record_hash = ?",
        (conversation_id, record_hash),
    ).fetchone()
    return None if earlier is None else Opened(earlier[0], earlier[1], True, {})


def put_record(
    connection: sqlite3.Connection,
    *,
    conversation_id: str,
    epoch: int,
    key_id: str,
    record_hash: str,
    previous_record_hash: str,
    protocol: str,
    record: str,
    signature: str,
    state: bytes,
    changes: Sequence[MemberChange],
    new_grants: Iterable[NewGrant],
    now: int,
    skipped: int = 0,
) -> Opened:
    """Open the next epoch, if it follows the newest one; the first one (epoch 1) makes the conversation.

    Hashes and `key_id` in hex, `previous_record_hash` empty for the first; `state` is the folded chain after this
    record, for the caller's next time. The record takes the next `seq`. All members find an event `conversation` in
    their streams, removed ones an event `removed`; leaves of who is no longer a member are dropped. The very record
    sent again is a duplicate. Raises `EpochConflict` (facts `epoch`, `head`, `keyId` of the newest epoch) where
    another one came first, and `KeyIdMismatch` for a key id that some epoch has already. The first record takes the
    place after `skipped`.
    """
    earlier = taken(connection, conversation_id, record_hash)
    if earlier is not None:
        return earlier
    before = head(connection, conversation_id)
    follows = (0, "") if before is None else (before.epoch, before.record_hash)
    if (epoch - 1, previous_record_hash) != follows:
        key = before.key_id if before else ""
        raise errors.EpochConflict(epoch=follows[0], head=follows[1], keyId=key)
    if connection.execute("SELECT 1 FROM conversation_keys WHERE key_id = ?", (key_id,)).fetchone():
        raise errors.KeyIdMismatch("another epoch has this key id")
    seq = before.head_seq + 1 if before else skipped + 1
    if before is None:
        connection.execute(
            f"INSERT INTO conversations ({_HEAD}) VALUES (?, ?, ?, ?, ?, 0, ?)",
            (conversation_id, epoch, key_id, record_hash, seq, now),
        )
    else:
        connection.execute(
            "UPDATE conversations SET epoch = ?, key_id = ?, record_hash = ?, head_seq = ?, outdated = 0 "
            "WHERE conversation_id = ?",
            (epoch, key_id, record_hash, seq, conversation_id),
        )
    connection.execute(
        "INSERT INTO conversation_states (conversation_id, state) VALUES (?, ?) "
        "ON CONFLICT (conversation_id) DO UPDATE SET state = excluded.state",
        (conversation_id, state),
    )
    connection.execute(
        "INSERT INTO conversation_keys (id, conversation_id, key_id, created_at, epoch, protocol, record, signature, "
        "seq, record_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (row_id(), conversation_id, key_id, now, epoch, protocol, record, signature, seq, record_hash),
    )
    _change_members(connection, conversation_id, changes, seq)
    grants.add(connection, conversation_id, key_id, new_grants, now)
    told = _tell(connection, conversation_id, epoch, changes, now)
    return Opened(seq, now, False, told)


def _change_members(
    connection: sqlite3.Connection, conversation_id: str, changes: Sequence[MemberChange], seq: int
) -> None:
    for change in changes:
        if change.role == 0:
            connection.execute(
                "UPDATE conversation_members SET role = 0, removed_seq = ? WHERE conversation_id = ? AND user_id = ?",
                (seq, conversation_id, change.user_id),
            )
            drop_leave(connection, conversation_id, change.user_id)
        else:
            # Who comes back begins a new stay; who was there goes on with the old one.
            connection.execute(
                f"INSERT INTO conversation_members (conversation_id, {_MEMBER}) VALUES (?, ?, ?, ?, ?, NULL) "
                "ON CONFLICT (conversation_id, user_id) DO UPDATE SET role = excluded.role, "
                "account_version = excluded.account_version, removed_seq = NULL, "
                "added_seq = iif(removed_seq IS NULL, added_seq, excluded.added_seq)",
                (conversation_id, change.user_id, change.role, change.account_version, seq),
            )


def _tell(
    connection: sqlite3.Connection, conversation_id: str, epoch: int, changes: Sequence[MemberChange], now: int
) -> dict[str, int]:
    body = {"conversationId": conversation_id, "epoch": epoch}
    present = [member.user_id for member in members(connection, conversation_id)]
    told = account_events.append(connection, present, "conversation", body, now)
    gone = [change.user_id for change in changes if change.role == 0]
    return told | account_events.append(connection, gone, "removed", body, now)


def set_outdated(connection: sqlite3.Connection, conversation_id: str, outdated: bool) -> None:
    """Say whether the newest epoch is one since which a member revoked a device or ended."""
    connection.execute("UPDATE conversations SET outdated = ? WHERE conversation_id = ?", (outdated, conversation_id))


def put_leave(
    connection: sqlite3.Connection, conversation_id: str, user_id: str, leave: str, now: int
) -> dict[str, int]:
    """Keep a member's signed leave (base64) until a record carries it out; a newer one takes its place.

    All other members find an event `leave` in their streams; returns its number in each. The very leave sent again
    tells nobody.
    """
    if leaves(connection, conversation_id).get(user_id) == leave:
        return {}
    connection.execute(
        "INSERT INTO pending_leaves (conversation_id, user_id, leave, created_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (conversation_id, user_id) DO UPDATE SET leave = excluded.leave, created_at = excluded.created_at",
        (conversation_id, user_id, leave, now),
    )
    others = [member.user_id for member in members(connection, conversation_id) if member.user_id != user_id]
    body = {"conversationId": conversation_id, "leave": leave}
    return account_events.append(connection, others, "leave", body, now)


def leaves(connection: sqlite3.Connection, conversation_id: str) -> dict[str, str]:
    """The pending leaves of a conversation, by user id, as base64."""
    rows = connection.execute(
        "SELECT user_id, leave FROM pending_leaves WHERE conversation_id = ? ORDER BY user_id", (conversation_id,)
    )
    return dict(rows.fetchall())


def drop_leave(connection: sqlite3.Connection, conversation_id: str, user_id: str) -> None:
    """Forget a user's pending leave."""
    connection.execute(
        "DELETE FROM pending_leaves WHERE conversation_id = ? AND user_id = ?", (conversation_id, user_id)
    )
