"""Received messages: judged once, kept for ever, judged again when more is known.

Runs inside a transaction of the store. Whatever the verdict, the payload stays as it was served.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final, NamedTuple

from tacit import errors
from tacit.client import lost
from tacit.client.books import Books, Held
from tacit.conversation import judging_records as records
from tacit.conversation.content import Content, Kind, Name, body_of
from tacit.conversation.judging import (
    Counted,
    Known,
    Repeated,
    Shown,
    Trust,
    Undecryptable,
    Verdict,
    counted,
    judge_message,
    name_of,
)
from tacit.conversation.timeline import Gaps, Opened, Seen, find_gaps, find_misplaced
from tacit.signed.message import Message, from_fields, message_hash
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_json, to_json

SEEN_HASHES: Final = 8
"""How many of the newest messages a new one says that it saw."""
LATER: Final = errors.UnsupportedSuite.code
"""The cause that passes when the program is updated."""
MAY_CHANGE: Final = ("no_grant", "record_missing", "record_pending", "sender_not_certified", LATER)
"""Causes that pass when a record, a grant or an account record comes that was not there, or a newer program."""


ROW: Final = """seq, revision, created_at, verdict, cause, detail, authentic, user_id, device_id,
        client_message_id, epoch, content, late, revoked, message_hash"""


class Row(NamedTuple):
    """One message as it is kept, for showing."""

    seq: int
    revision: int
    created_at: int
    verdict: str
    cause: str
    detail: str
    name: Name | None
    epoch: int
    shown: Shown | None


def take_message(books: Books, held: Held, seq: int, created_at: int, fields: dict[str, object], now: int) -> bool:
    """Judge and keep the message at `seq`; False where it is known already.

    Another message at a known place, or one at a place where there was none, is kept as evidence against the server and
    changes nothing.
    """
    payload = to_json(fields)
    query = "SELECT payload FROM messages WHERE conversation_id = ? AND seq = ?"
    row = books.connection.execute(query, (held.id, seq)).fetchone()
    if row is not None or not is_new_place(held, seq):
        if row is None or row[0] != payload:
            error = errors.ServerMisbehaved(f"message {seq} is another now")
            books.keep_evidence(now, "conversation", held.id, error, payload.encode())
        return False
    if _is_back(books, held, seq, created_at, payload):
        return False
    judged = judge(books, held, seq, payload)
    _write(books, held, seq, created_at, payload, judged)
    if judged.message is not None and judged.message.aad.device_id == books.me.device_id:
        lost.came_back(books, held.id, judged.message.aad.client_message_id)
    if isinstance(judged.verdict, Shown):
        _withdraw_retries(books, held, judged.verdict.name, seq)  # the newest messages may have been fetched first
    return True


def _is_back(books: Books, held: Held, seq: int, created_at: int, payload: str) -> bool:
    """Whether this very message is held at a place that a restored server lost; then the new one counts for nothing.

    To this device it stays where it was first: somebody who had it posted it back.
    """
    try:
        message, _ = from_fields(from_json(payload))
    except errors.PeerError:
        return False
    name = name_of(message.aad)
    query = """SELECT seq FROM messages INDEXED BY messages_by_name WHERE conversation_id = ? AND user_id = ?
        AND device_id = ? AND client_message_id = ? AND payload = ? ORDER BY seq LIMIT 1"""
    values = (held.id, name.user_id, name.device_id, name.client_message_id, payload)
    row = books.connection.execute(query, values).fetchone()
    if row is None or not lost.is_lost(books, held.id, row[0]):
        return False
    _write(books, held, seq, created_at, payload, Judged(Repeated(name, row[0]), message), counts=False)
    return True


def is_new_place(held: Held, seq: int) -> bool:
    """Whether a place is beyond everything that was received: before that, the numbers have no gap to be filled."""
    return seq > held.highest


def judge_again(books: Books, held: Held) -> int:
    """Judge those messages again whose verdict may change with new knowledge; how many changed.

    What becomes readable was sent first: a retry that stands later, and was shown for want of it, is a repetition.
    """
    marks = ", ".join("?" * len(MAY_CHANGE))
    query = f"""SELECT seq, created_at, payload, cause FROM messages INDEXED BY messages_unread
        WHERE conversation_id = ? AND cause <> '' AND cause IN ({marks}) ORDER BY seq"""
    changed = 0
    for seq, created_at, payload, cause in books.connection.execute(query, (held.id, *MAY_CHANGE)).fetchall():
        judged = judge(books, held, seq, payload)
        if not (isinstance(judged.verdict, Undecryptable) and judged.verdict.cause.code == cause):
            _write(books, held, seq, created_at, payload, judged)
            if isinstance(judged.verdict, Shown):
                _withdraw_retries(books, held, judged.verdict.name, seq)
            changed += 1
    return changed


def refused_though_authentic(books: Books, conversation_id: str) -> list[tuple[int, int, str]]:
    """Seq, epoch and payload of the messages that are their senders' and for all that not as they were sent."""
    query = """SELECT seq, epoch, payload FROM messages INDEXED BY messages_unread
        WHERE conversation_id = ? AND cause <> '' AND cause = ? AND authentic ORDER BY seq"""
    return books.connection.execute(query, (conversation_id, errors.MessageTampered.code)).fetchall()


def first_beyond(books: Books, held: Held) -> int | None:
    """The lowest epoch after the newest one held that a message names, or None: its record was kept back."""
    query = """SELECT min(epoch) FROM messages INDEXED BY messages_unread
        WHERE conversation_id = ? AND cause <> '' AND cause IN (?, ?) AND epoch > ?"""
    values = (held.id, errors.RecordMissing.code, LATER, held.epoch)
    found: int | None = books.connection.execute(query, values).fetchone()[0]
    return found


def of_later_programs(books: Books) -> list[str]:
    """The conversations with messages that need a newer program than the one that judged them."""
    query = "SELECT DISTINCT conversation_id FROM messages WHERE cause = ?"
    return [row[0] for row in books.connection.execute(query, (LATER,)).fetchall()]


def _withdraw_retries(books: Books, held: Held, name: Name, first: int) -> None:
    # The planner would rather walk through everything that stands later: on a new device all that was fetched first.
    update = """UPDATE messages INDEXED BY messages_by_name SET verdict = 'repeated', content = NULL, revision = ?
        WHERE conversation_id = ? AND user_id = ? AND device_id = ? AND client_message_id = ?
        AND verdict = 'shown' AND seq > ?"""
    values = (_next_revision(books), held.id, name.user_id, name.device_id, name.client_message_id, first)
    books.connection.execute(update, values)


class Judged(NamedTuple):
    """A verdict, and the message where one could be read."""

    verdict: Verdict
    message: Message | None


def judge(books: Books, held: Held, seq: int, payload: str) -> Judged:
    """The verdict on a payload at a place, as of now; nothing is kept of it."""
    try:
        message, signature = from_fields(from_json(payload))
    except errors.UnknownVersion as error:
        return Judged(Undecryptable(errors.UnsupportedSuite, f"unknown version: {error.detail}", False), None)
    except errors.PeerError as error:
        return Judged(Undecryptable(errors.MessageTampered, f"it cannot be read: {error.detail}", False), None)
    connection = books.connection

    def seen(use: Counted) -> int | None:
        query = """SELECT seq FROM counters WHERE conversation_id = ? AND record_hash = ? AND user_id = ?
            AND device_id = ? AND instance_id = ? AND counter = ?"""
        row = connection.execute(query, (held.id, *use)).fetchone()
        return row[0] if row else None

    def shown(name: Name) -> int | None:
        found = find_by_name(books, held.id, name)
        return found.seq if found is not None else None

    known = Known(held.known, _places_of_pending(books, held), books.accounts.versions, seen, shown)
    return Judged(judge_message(seq, message, signature, known), message)


def _places_of_pending(books: Books, held: Held) -> dict[int, int]:
    """Where the first record of each epoch stands that cannot be judged yet."""
    if not held.pending:
        return {}
    query = """SELECT epoch, min(seq) FROM records WHERE conversation_id = ? AND place = ? AND epoch > ?
        GROUP BY epoch"""
    values = (held.id, records.Place.PENDING.value, held.epoch)
    return dict(books.connection.execute(query, values).fetchall())


def _write(
    books: Books, held: Held, seq: int, created_at: int, payload: str, judged: Judged, *, counts: bool = True
) -> None:
    verdict, message = judged
    cause = detail = ""
    content: bytes | None = None
    trust = Trust()
    kind, authentic = "repeated", counts
    match verdict:
        case Shown():
            kind, content, trust = "shown", encode(verdict.content), verdict.trust
        case Undecryptable():
            kind, cause, detail, authentic = "undecryptable", verdict.cause.code, verdict.detail, verdict.authentic
        case Repeated():
            pass
    name = Name("", "", "") if message is None else name_of(message.aad)
    if message is not None and authentic:
        use = counted(message.aad)
        books.connection.execute("INSERT OR IGNORE INTO counters VALUES (?, ?, ?, ?, ?, ?, ?)", (held.id, *use, seq))
    row = (
        held.id,
        seq,
        created_at,
        payload,
        kind,
        cause,
        detail,
        authentic,
        name.user_id,
        name.device_id,
        name.client_message_id,
        0 if message is None else message.aad.epoch,
        content,
        trust.late,
        trust.revoked,
        b"" if message is None else message_hash(message),
        _next_revision(books),
    )
    marks = ", ".join("?" * len(row))
    books.connection.execute(f"INSERT OR REPLACE INTO messages VALUES ({marks})", row)


def _next_revision(books: Books) -> int:
    revision = books.number("revision") + 1
    books.set_meta("revision", str(revision).encode())
    return revision


def rows_after(books: Books, conversation_id: str, revision: int) -> list[Row]:
    """The messages that came or changed since `revision`, by `seq`; repeated ones are left out."""
    query = f"""SELECT {ROW} FROM messages INDEXED BY messages_by_revision
        WHERE conversation_id = ? AND revision > ? AND verdict <> 'repeated' ORDER BY seq"""
    return [_row(*each) for each in books.connection.execute(query, (conversation_id, revision)).fetchall()]


def row_at(books: Books, conversation_id: str, seq: int) -> Row | None:
    """The message at a place; None for a repeated one, and where there is none."""
    query = f"SELECT {ROW} FROM messages WHERE conversation_id = ? AND seq = ? AND verdict <> 'repeated'"
    found = books.connection.execute(query, (conversation_id, seq)).fetchone()
    return _row(*found) if found is not None else None


def _row(
    seq: int,
    revision: int,
    created_at: int,
    verdict: str,
    cause: str,
    detail: str,
    authentic: int,
    user_id: str,
    device_id: str,
    client_message_id: str,
    epoch: int,
    content: bytes | None,
    late: int,
    revoked: int,
    hash_of_message: bytes,
) -> Row:
    name = Name(user_id, device_id, client_message_id) if authentic else None
    shown: Shown | None = None
    if verdict == "shown" and content is not None and name is not None:
        opened = decode(Content, content)
        trust = Trust(bool(late), bool(revoked))
        shown = Shown(name, epoch, opened, body_of(opened), trust, bytes(hash_of_message))
    return Row(seq, revision, created_at, verdict, cause, detail, name, epoch, shown)


def opened_messages(books: Books, conversation_id: str) -> list[Opened]:
    """Every message that could be opened, for the timeline."""
    return [Opened(row.seq, row.shown) for row in rows_after(books, conversation_id, 0) if row.shown is not None]


class Place(NamedTuple):
    """Where a message is."""

    seq: int
    epoch: int


def find_by_name(books: Books, conversation_id: str, name: Name) -> Place | None:
    """The first message shown under a name, or None."""
    # The planner would rather walk through the conversation in the order of seq.
    query = """SELECT seq, epoch FROM messages INDEXED BY messages_by_name WHERE conversation_id = ?
        AND user_id = ? AND device_id = ? AND client_message_id = ? AND verdict = 'shown' ORDER BY seq LIMIT 1"""
    values = (conversation_id, name.user_id, name.device_id, name.client_message_id)
    row = books.connection.execute(query, values).fetchone()
    return Place(*row) if row is not None else None


class Received(NamedTuple):
    """Where a message is, and when the server got it."""

    seq: int
    created_at: int


def find_authentic(books: Books, conversation_id: str, name: Name) -> Received | None:
    """The first message under a name whose signature verified, readable or not, or None."""
    query = """SELECT seq, created_at FROM messages INDEXED BY messages_by_name WHERE conversation_id = ?
        AND user_id = ? AND device_id = ? AND client_message_id = ? AND authentic ORDER BY seq LIMIT 1"""
    values = (conversation_id, name.user_id, name.device_id, name.client_message_id)
    row = books.connection.execute(query, values).fetchone()
    return Received(*row) if row is not None else None


def newest_hashes(books: Books, conversation_id: str) -> tuple[bytes, ...]:
    """The hashes of the newest messages that were opened, oldest first."""
    query = """SELECT message_hash FROM messages WHERE conversation_id = ? AND verdict = 'shown'
        ORDER BY seq DESC LIMIT ?"""
    found = books.connection.execute(query, (conversation_id, SEEN_HASHES)).fetchall()
    return tuple(bytes(row[0]) for row in reversed(found))


def gaps(books: Books, held: Held) -> Gaps:
    """What others say exists and was not received, and what stands where it does not belong."""
    me = books.me.user_id
    state = held.state()
    added = state.added().get(me) if state is not None else None
    joined = next((number for number, each in held.states.items() if each.head_hash == added), 1)
    received = list(_seen(books, held, joined))
    query = "SELECT message_hash FROM messages WHERE conversation_id = ? AND NOT (authentic AND epoch >= ?)"
    values = (held.id, joined)
    besides = {bytes(row[0]) for row in books.connection.execute(query, values).fetchall()}
    return dataclasses.replace(find_gaps(received, joined, besides), misplaced=find_misplaced(received))


def _seen(books: Books, held: Held, joined: int) -> Iterator[Seen]:
    query = """SELECT payload, message_hash, content FROM messages
        WHERE conversation_id = ? AND authentic AND epoch >= ? ORDER BY seq"""
    for payload, hash_of_message, content in books.connection.execute(query, (held.id, joined)).fetchall():
        message, _ = from_fields(from_json(payload))
        opened = decode(Content, content) if content is not None else None
        saw = opened.seen if opened is not None else ()
        ordered = opened is not None and opened.kind != Kind.NOTICE
        yield Seen(counted(message.aad), message.aad.epoch, bytes(hash_of_message), saw, ordered)
