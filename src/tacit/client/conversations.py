"""Applying what the server hands out of a conversation: records judged, grants opened, messages judged.

Runs inside a transaction of the store, so that a page counts whole or not at all. Nothing is taken on the server's
word: it orders and delivers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from tacit import errors
from tacit.api.base import binary
from tacit.api.messages import Item, LostItem, MessageItem, RecordItem
from tacit.client import inbox, later, lost, openings, queue
from tacit.client.answers import check_beside, check_record
from tacit.client.books import COUNTS, Books, Held
from tacit.client.comparing import compare
from tacit.client.grants import keep_grants, open_keys
from tacit.client.openings import Opening
from tacit.conversation.content import NameNotice
from tacit.conversation.judging_records import Judgement, Place, Received, judge_records
from tacit.crypto.secret import Randomness
from tacit.signed.record import SignedLeave, record_hash
from tacit.wire import limits
from tacit.wire.codec import decode, encode

STOPS: Final = frozenset({Place.INVALID, Place.FORK})
"""What becomes of a record that stops its conversation."""


def wanted_accounts(books: Books, conversation_id: str, items: Sequence[Item]) -> set[str]:
    """Users whose account records have to be fetched before these items can be judged."""
    wanted: set[str] = set()
    for item in items:
        if isinstance(item, RecordItem):
            try:
                wanted |= _unknown_accounts(books, binary(item.record, limits.RECORD_BYTES))
            except errors.PeerError:
                continue
    held = books.find(conversation_id)
    members = set(held.roster()) if held is not None else set()
    for item in items:
        if isinstance(item, MessageItem):
            sender, device = item.encrypted_payload.sender_id, item.encrypted_payload.device_id
            if sender in members and not books.accounts.knows_device(sender, device):
                wanted.add(sender)
    return wanted


def pending_accounts(books: Books) -> dict[str, set[str]]:
    """The conversations in which a record waits, each with the users whose account records it may wait for."""
    waiting: dict[str, set[str]] = {}
    query = "SELECT conversation_id, record FROM records WHERE place = ?"
    for conversation_id, raw in books.connection.execute(query, (Place.PENDING.value,)).fetchall():
        users = waiting.setdefault(conversation_id, set())
        with suppress(errors.PeerError):  # what cannot be read after an update is told where it is judged
            users |= _unknown_accounts(books, raw)
    return waiting


def unknown_leavers(books: Books) -> set[str]:
    """Members who asked to leave under an account record that is not here: until it is, their leave is not due."""
    users: set[str] = set()
    for conversation_id in books.conversation_ids():
        roster = books.held(conversation_id).roster()
        for signed in openings.pending_leaves(books, conversation_id):
            leave = signed.leave
            if leave.user_id in roster and books.accounts.named(leave.user_id, leave.account_hash) is None:
                users.add(leave.user_id)
    return users


def _unknown_accounts(books: Books, raw: bytes) -> set[str]:
    """The users of whom a record names an account record that is not here; none for a later program's record."""
    record = later.read_record(raw)
    if record is None:
        return set()
    named = [(change.user_id, change.account_hash) for change in record.changes]
    named.append((record.opener.user_id, record.opener.account_hash))
    for request in record.requests:
        with suppress(errors.PeerError):  # what cannot be read is told where the record is judged
            leave = decode(SignedLeave, request.body).leave
            named.append((leave.user_id, leave.account_hash))
    return {user for user, hash_named in named if books.accounts.named(user, hash_named) is None}


def confirm(books: Books, conversation_id: str, own_hash: bytes, now: int, random: Randomness) -> None:
    """A person, having asked a member, lets a record count; raises `RecordMissing` unless it waits for just that."""
    held = books.held(conversation_id)
    update = "UPDATE records SET confirmed = 1 WHERE conversation_id = ? AND hash = ? AND place = ? AND ask"
    if not books.connection.execute(update, (conversation_id, own_hash, Place.PENDING.value)).rowcount:
        raise errors.RecordMissing("no such record waits for a person")
    query = "SELECT hash FROM records WHERE conversation_id = ? AND confirmed"
    held.confirmed.update(bytes(row[0]) for row in books.connection.execute(query, (conversation_id,)))
    reconsider(books, conversation_id, now, random)


def reconsider(books: Books, conversation_id: str, now: int, random: Randomness) -> bool:
    """Judge once more what is pending in a conversation; whether anything counts now that did not."""
    held = books.held(conversation_id)
    before, epoch = books.number("revision"), held.epoch
    if not take_records(books, held, (), now, random):
        return False
    open_keys(books, held, now)
    inbox.judge_again(books, held)
    check_order(books, held, now)
    refresh_name(books, held, before)
    let_go(books, held, epoch)
    books.save(held)
    return True


def after_update(books: Books, now: int, random: Randomness, only: str = "") -> None:
    """Judge again what could not be read: by an earlier program, or for want of a key that is here now.

    Called when a store is opened, and for one conversation (`only`) when a key of it comes.
    """
    unread = set(inbox.of_later_programs(books))
    for conversation_id in [only] if only else books.conversation_ids():
        held = books.held(conversation_id)
        before, epoch = books.number("revision"), held.epoch
        changed = take_records(books, held, (), now, random)
        if open_keys(books, held, now) or changed or conversation_id in unread:
            inbox.judge_again(books, held)
            check_order(books, held, now)
            refresh_name(books, held, before)
            let_go(books, held, epoch)
            books.save(held)


def apply_items(
    books: Books, conversation_id: str, items: Sequence[Item], cursor: int, now: int, random: Randomness
) -> bool:
    """Take items and move the conversation's cursor to `cursor` (unless that is behind it); whether anything is new.

    Raises `UnexpectedAnswer` where a field beside a record or grant says something else: then nothing is taken.
    """
    held = books.add(conversation_id)
    before, epoch = books.number("revision"), held.epoch
    records: list[Received] = []
    for item in items:
        if isinstance(item, LostItem):
            lost.keep_places(books, held.id, item.seq, item.last_seq)
        if isinstance(item, RecordItem):
            keep_grants(books, held, item.encrypted_keys)
            received = _received(books, held, item, now)
            if received is not None:
                records.append(received)
    changed = take_records(books, held, records, now, random)
    if records and open_keys(books, held, now):
        changed = True
    for item in items:
        if isinstance(item, MessageItem):
            fields = msgspec.to_builtins(item.encrypted_payload)
            changed |= inbox.take_message(books, held, item.seq, item.created_at, fields, now)
    inbox.judge_again(books, held)
    check_order(books, held, now)
    refresh_name(books, held, before)
    let_go(books, held, epoch)
    held.cursor = max(held.cursor, cursor)
    held.highest = max(held.highest, held.cursor)
    books.save(held)
    return changed


def _received(books: Books, held: Held, item: RecordItem, now: int) -> Received | None:
    raw = item.record.encode()
    try:
        raw = binary(item.record, limits.RECORD_BYTES)
        signature = binary(item.signature, limits.SIGNATURE_BYTES)
        record = later.read_record(raw)
        begins = later.record_start(raw)
    except errors.PeerError as error:
        stop(books, held, errors.ServerMisbehaved(f"a record that cannot be read: {error.detail}"), raw, now)
        return None
    if record is not None:
        check_record(item, record)
    else:
        check_beside("epoch", item.epoch, begins.epoch)
    first = place_of(books, held, later.hash_of(raw), item.seq)
    if first is None:
        stop(books, held, errors.ServerMisbehaved(f"record {begins.epoch} stands at another place now"), raw, now)
    elif record is not None:
        return Received(record, signature, first)
    elif begins.conversation_id != held.id:
        stop(books, held, errors.InvalidRecord("the record is another conversation's"), raw, now)
    else:
        keep_unread(books, held, raw, signature, begins.epoch, first, now)
    return None


def keep_unread(books: Books, held: Held, raw: bytes, signature: bytes, epoch: int, seq: int, now: int) -> None:
    """Let a later program's record wait as it is, at its place, like any other that cannot be judged yet."""
    detail = later.why_unread(raw)
    row = (held.id, later.hash_of(raw), epoch, seq, raw, signature, Place.PENDING.value, detail, now, False, False)
    books.connection.execute("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    if epoch > held.epoch:
        held.pending.setdefault(epoch, detail)


def place_of(books: Books, held: Held, own_hash: bytes, seq: int) -> int | None:
    """The first place at which a record was served, or None where this one contradicts it or what was received.

    A record is served where it was before, or beyond everything that was received so far; again only where a restored
    server lost it, and somebody posted it back. What that changes for others, here the first place still counts.
    """
    query = "SELECT seq FROM records WHERE conversation_id = ? AND hash = ?"
    row = books.connection.execute(query, (held.id, own_hash)).fetchone()
    if row is None:
        return seq if inbox.is_new_place(held, seq) else None
    first: int = row[0]
    again = seq > first and lost.is_lost(books, held.id, first)
    return first if first == seq or again else None


def check_own(books: Books, made: Opening, seq: int, now: int) -> str:
    """Hold the record that the server took from here against what it serves, and against the `seq` that it said.

    Why the conversation is stopped where they differ, or the empty text. Raises `UnexpectedAnswer` where no record of
    that epoch counts: then the outcome stays open.
    """
    held = books.held(made.conversation_id)
    query = "SELECT seq FROM records WHERE conversation_id = ? AND hash = ?"
    row = books.connection.execute(query, (held.id, made.record_hash)).fetchone()
    if row is None and made.record.epoch > held.epoch and not held.stopped:
        raise errors.UnexpectedAnswer("the record that it took is not served")
    if row is None or row[0] != seq:
        error = errors.ServerMisbehaved("the record that it took is served as another, or at another place")
        stop(books, held, error, encode(made.record), now)
    return held.stopped


def take_records(books: Books, held: Held, received: Iterable[Received], now: int, random: Randomness) -> bool:
    """Judge records, those with them that were waiting; whether any of them counts now that did not before."""
    query = "SELECT record, signature, seq FROM records WHERE conversation_id = ? AND place = ?"
    waiting: list[Received] = []
    for raw, signature, seq in books.connection.execute(query, (held.id, Place.PENDING.value)).fetchall():
        try:
            record = later.read_record(raw)
        except errors.PeerError as error:  # only a program that knows more of it sees that
            stop(books, held, errors.ServerMisbehaved(f"a record that cannot be read: {error.detail}"), raw, now)
            continue
        if record is not None:
            waiting.append(Received(record, bytes(signature), seq))
    fresh = list(received)
    if not fresh and not waiting:
        return False
    changed = False
    hashes = {record_hash(each.record) for each in fresh}
    everything = [*fresh, *(each for each in waiting if record_hash(each.record) not in hashes)]
    for judgement in judge_records(everything, books.standpoint(held)):
        changed |= _take(books, held, judgement, now, random)
    # What could not be judged beside a record that counts keeps nothing waiting any more.
    waiting_beside = "DELETE FROM records WHERE conversation_id = ? AND place = ? AND epoch <= ?"
    books.connection.execute(waiting_beside, (held.id, Place.PENDING.value, held.epoch))
    return changed


def _take(books: Books, held: Held, judgement: Judgement, now: int, random: Randomness) -> bool:
    received = judgement.received
    if judgement.place in COUNTS and not is_after_the_last(held, received):
        detail = f"record {received.record.epoch} stands before the one that it follows"
        judgement = Judgement(received, Place.INVALID, None, errors.ServerMisbehaved, detail)
    place = judgement.place
    own_hash = record_hash(received.record)
    row = (
        held.id,
        own_hash,
        received.record.epoch,
        received.seq,
        encode(received.record),
        received.signature,
        place.value,
        judgement.detail,
        now,
        judgement.ask,
        own_hash in held.confirmed,
    )
    # A record's first place in time stays; only what becomes of it may change.
    books.connection.execute(
        """INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET place = excluded.place, detail = excluded.detail, ask = excluded.ask""",
        row,
    )
    if place in STOPS:
        cause = judgement.cause or errors.InvalidRecord
        stop(books, held, cause(judgement.detail), encode(received.record), now)
        return False
    if place in COUNTS and judgement.state is not None:
        books.extend(held, judgement.state, received.seq, place, now)
        compare(books, held, now)
        openings.settle(books, held, own_hash, now, random)
        return True
    if received.record.epoch > held.epoch:
        held.pending[received.record.epoch] = judgement.detail
    return False


def is_after_the_last(held: Held, received: Received) -> bool:
    """Whether a record stands after the one that it follows, as an honest server orders them."""
    before = held.known.get(received.record.epoch - 1)
    return received.record.epoch == 1 or (before is not None and before.seq < received.seq)


def let_go(books: Books, held: Held, before: int) -> None:
    """After a record since epoch `before` that lacks oneself: forget what was to be changed and sent until then.

    Who is added again later meets other people, and wants it or not.
    """
    me = books.me.user_id
    if any(me not in held.known[number].roster for number in range(before + 1, held.epoch + 1)):
        openings.drop(books, held.id)
        queue.give_up(books, held.id, errors.NotAMember)


def check_order(books: Books, held: Held, now: int) -> None:
    """Stop a conversation in which a message stands before the record of its epoch.

    The server takes messages for the newest epoch only: it kept the record back, so that what somebody whom the record
    removes wrote meanwhile stands before the removal.
    """
    for seq, epoch, payload in inbox.refused_though_authentic(books, held.id):
        if epoch in held.known and seq <= held.known[epoch].seq:
            error = errors.ServerMisbehaved(f"message {seq} stands before the record of its epoch {epoch}")
            stop(books, held, error, payload.encode(), now)


def stop(books: Books, held: Held, error: errors.TacitError, body: bytes, now: int) -> None:
    """Send nothing more in this conversation, and keep what stopped it. What is held stays readable."""
    books.keep_evidence(now, "conversation", held.id, error, body)
    if not held.stopped:
        held.stopped = f"{error.code}: {error.detail}"
        books.save(held)


def refresh_name(books: Books, held: Held, revision: int) -> None:
    """Take the conversation's name from the newest notice among what changed since `revision`."""
    for row in inbox.rows_after(books, held.id, revision):
        if row.shown is not None and isinstance(row.shown.body, NameNotice) and row.seq > held.name_seq:
            held.name, held.name_seq = row.shown.body.name, row.seq
