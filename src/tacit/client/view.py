"""What a person sees: messages, members, conversations, alarms."""

from __future__ import annotations

import dataclasses
from typing import Final, assert_never

from tacit import errors
from tacit.client import inbox, queue, standing
from tacit.client.books import Books, Held
from tacit.client.inbox import Row
from tacit.conversation.content import Body, DeleteBody, EditBody, Name, NameNotice, TextBody, Unknown
from tacit.conversation.judging import Trust
from tacit.conversation.judging_records import Place
from tacit.conversation.timeline import Entry, fold_timeline
from tacit.signed.record import ConversationRecord, Role
from tacit.wire.codec import decode

PINNED: Final = "pinned"
LATE: Final = "late"
MARKED: Final = "marked"
UNDECRYPTABLE: Final = "undecryptable"


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message as it is shown.

    `sender`, `device_id` and `client_message_id` are authenticated, and empty where nothing could be. `kind` is text,
    edit or delete (with `target`, the client message id that it changes), name (a new one of the conversation), unknown
    or undecryptable; then `cause` and `remedy` say why and what to do. `trust` is pinned (its key was pinned on first
    use), late (it came after its epoch was closed), marked (its device was revoked since) or undecryptable. `sent_at`
    is the sender's claim, in Unix milliseconds.
    """

    seq: int
    sender: str
    device_id: str
    epoch: int
    kind: str
    text: str
    trust: str
    sent_at: int | None
    client_message_id: str
    cause: str = ""
    remedy: str = ""
    target: str = ""
    edited: bool = False
    deleted: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a conversation: `role` is admin or member; without a device nobody can read anything."""

    user_id: str
    role: str
    account_version: int
    has_device: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """A conversation as this device knows it now; `blocked` says why nothing can be sent, if so."""

    id: str
    name: str
    encrypted: bool
    protocol: str
    profile: str
    epoch: int
    members: tuple[Member, ...]
    blocked: str
    unsent: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class PendingRecord:
    """A record that a person is asked about: the device that signed it was revoked since, and nobody vouches for it.

    `changes` are user ids, each with the role that it gets: admin, member or removed. `policy` says that it changes
    the conversation's rules as well; `created_at` is its signer's claim, in Unix milliseconds.
    """

    record_hash: str
    epoch: int
    opener: str
    device_id: str
    created_at: int
    changes: tuple[tuple[str, str], ...]
    policy: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Alarm:
    """Something that contradicts what was signed before: the earlier stays, the later is kept as evidence.

    `about` is account, conversation, grant or vault, `subject` the user or conversation, `at` Unix milliseconds.
    """

    at: int
    about: str
    subject: str
    code: str
    detail: str


def snapshot(books: Books, held: Held) -> Snapshot:
    """A conversation as it stands."""
    head = held.head()
    members = []
    for user, change in held.roster().items():
        account = books.accounts.newest(user)
        role = "admin" if change.role is Role.ADMIN else "member"
        members.append(Member(user, role, change.account_version, account is not None and bool(account.value.devices)))
    return Snapshot(
        held.id,
        held.name or held.id[:16],
        head is not None,
        head.record.protocol.name.lower() if head is not None else "",
        head.record.profile.name.lower() if head is not None else "",
        held.epoch,
        tuple(members),
        standing.why_blocked(books, held),
        tuple(queue.unsent(books, held.id)),
    )


def snapshots(books: Books) -> list[Snapshot]:
    """All conversations of which a record was accepted or waits, or that were stopped, by name."""
    every = [books.held(conversation_id) for conversation_id in books.conversation_ids()]
    shown = [snapshot(books, held) for held in every if held.epoch or held.stopped or held.pending]
    return sorted(shown, key=lambda each: (each.name, each.id))


def pending(books: Books, held: Held) -> list[PendingRecord]:
    """The records that a person is asked about, by epoch."""
    query = "SELECT hash, record FROM records WHERE conversation_id = ? AND place = ? AND ask ORDER BY epoch, seq"
    found = []
    for own_hash, raw in books.connection.execute(query, (held.id, Place.PENDING.value)).fetchall():
        record = decode(ConversationRecord, raw)
        before = held.states.get(record.epoch - 1)
        found.append(
            PendingRecord(
                bytes(own_hash).hex(),
                record.epoch,
                record.opener.user_id,
                record.opener.device_id,
                record.created_at,
                tuple((change.user_id, change.role.name.lower()) for change in record.changes),
                before is not None and before.head.policy != record.policy,
            )
        )
    return found


def alarms(books: Books) -> list[Alarm]:
    """All evidence against the server or a member, oldest first."""
    query = "SELECT at, about, subject, code, detail FROM evidence ORDER BY id"
    return [Alarm(*row) for row in books.connection.execute(query)]


def history(books: Books, conversation_id: str) -> tuple[list[Message], int]:
    """All messages as they stand now, edits and deletions done, by `seq`; and the revision up to which that is."""
    revision = books.number("revision")
    rows = inbox.rows_after(books, conversation_id, 0)
    timeline = fold_timeline(inbox.opened_messages(books, conversation_id))
    found = [_of_entry(entry) for entry in timeline.entries]
    found.extend(_of_undecryptable(row) for row in rows if row.shown is None)
    return sorted(found, key=lambda message: message.seq), revision


def news(books: Books, conversation_id: str, after: int) -> tuple[list[Message], int]:
    """What came or changed since a revision, by `seq`, and the next revision. Edits and deletions are messages here."""
    revision = books.number("revision")
    rows = inbox.rows_after(books, conversation_id, after)
    ignored: set[Name] = set()
    if any(row.shown is not None and isinstance(row.shown.body, EditBody | DeleteBody) for row in rows):
        timeline = fold_timeline(inbox.opened_messages(books, conversation_id))
        ignored = {each.name for each in timeline.ignored}
    found: list[Message] = []
    for row in rows:
        if row.shown is None:
            found.append(_of_undecryptable(row))
        elif row.shown.name not in ignored and not isinstance(row.shown.body, NameNotice):
            shown = row.shown
            found.append(of_body(row.seq, shown.name, shown.epoch, shown.content.sent_at, shown.body, shown.trust))
    return found, revision


def one(books: Books, conversation_id: str, seq: int) -> Message | None:
    """The message at a place by itself, edits and deletions too; None for one that repeats another.

    Raises the cause of what cannot be read, and `InvalidMessage` for a change of a message that it may not change.
    """
    row = inbox.row_at(books, conversation_id, seq)
    if row is None:
        return None
    if row.shown is None:
        raise errors.from_code(row.cause, row.detail)
    shown = row.shown
    if isinstance(shown.body, EditBody | DeleteBody):
        for ignored in fold_timeline(inbox.opened_messages(books, conversation_id)).ignored:
            if ignored.seq == seq:
                raise errors.InvalidMessage(ignored.reason)
    return of_body(seq, shown.name, shown.epoch, shown.content.sent_at, shown.body, shown.trust)


def of_body(seq: int, name: Name, epoch: int, sent_at: int, body: Body, trust: Trust) -> Message:
    """One opened message by itself."""
    text = target = ""
    match body:
        case TextBody():
            kind, text = "text", body.text
        case EditBody():
            kind, text, target = "edit", body.text, body.target.client_message_id
        case DeleteBody():
            kind, target = "delete", body.target.client_message_id
        case NameNotice():
            kind, text = "name", body.name
        case Unknown():
            kind = "unknown"
        case _:
            assert_never(body)
    return Message(
        seq,
        name.user_id,
        name.device_id,
        epoch,
        kind,
        text,
        _trust(trust),
        sent_at,
        name.client_message_id,
        target=target,
    )


def _of_entry(entry: Entry) -> Message:
    return Message(
        entry.seq,
        entry.name.user_id,
        entry.name.device_id,
        entry.epoch,
        "unknown" if entry.unknown is not None else "text",
        entry.text or "",
        _trust(entry.trust),
        entry.sent_at,
        entry.name.client_message_id,
        edited=entry.edited,
        deleted=entry.deleted,
    )


def _of_undecryptable(row: Row) -> Message:
    name = row.name or Name("", "", "")
    return Message(
        row.seq,
        name.user_id,
        name.device_id,
        row.epoch,
        UNDECRYPTABLE,
        "",
        UNDECRYPTABLE,
        None,
        name.client_message_id,
        row.cause,
        errors.concrete()[row.cause].remedy,
    )


def _trust(trust: Trust) -> str:
    if trust.revoked:
        return MARKED
    return LATE if trust.late else PINNED
