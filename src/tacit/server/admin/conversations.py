"""Checks of conversations: the chain of records, who is in them, grants, leaves, and the numbers of what was said."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import chain

from tacit.api.base import binary
from tacit.server import keyfields
from tacit.server.admin.findings import UNREADABLE, Finding, Place, rule_of, trying, unequal
from tacit.server.admin.records import Known
from tacit.server.store import accounts, conversations, grants, putting_back
from tacit.server.store.putting_back import Lacking
from tacit.server.store.rows import Epoch, Head, Member, Message
from tacit.signed.account import aik_fingerprint, certificate
from tacit.signed.message import from_fields
from tacit.signed.record import Change, ConversationRecord, Role, Roster, SignedLeave, record_hash
from tacit.signed.rights import ChainState, check_standing
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_json

_MESSAGE = "seq, created_at, sender_id, device_id, client_message_id, encryption_key_id, encrypted_payload, iv"


def check_conversations(db: sqlite3.Connection) -> Iterator[Finding]:
    """Everything that is wrong with conversations, one after the other."""
    known = Known(db)
    for (conversation_id,) in db.execute("SELECT conversation_id FROM conversations ORDER BY conversation_id"):
        head = conversations.head(db, conversation_id)
        assert head is not None
        yield from _check_numbers(db, head)
        yield from _check_chain(db, head, known)
        yield from _check_leaves(db, conversation_id)


def _check_numbers(db: sqlite3.Connection, head: Head) -> Iterator[Finding]:
    """Records, messages and lost places have the numbers from 1 to the head's, each once; the first breach is told."""
    expected = 1
    query = (
        "SELECT seq, seq FROM messages WHERE conversation_id = ? UNION ALL "
        "SELECT seq, seq FROM conversation_keys WHERE conversation_id = ? UNION ALL "
        "SELECT first_seq, last_seq FROM lost_places WHERE conversation_id = ? ORDER BY 1"
    )
    for seq, last in db.execute(query, (head.conversation_id,) * 3):
        if seq != expected or last < seq:
            break
        expected = last + 1
    else:
        if expected == head.head_seq + 1:
            return
    yield Finding("seq", {"conversation": head.conversation_id, "seq": expected}, "left out or not the next one")


def _check_chain(db: sqlite3.Connection, head: Head, known: Known) -> Iterator[Finding]:
    """Each record on the one before it, with its grants and the messages of its epoch."""
    state: ChainState | None = None
    row: Epoch | None = None
    lacking = putting_back.lacking(db, head.conversation_id) or Lacking(1, 0)
    open_epochs: dict[str, tuple[Epoch, Roster]] = {}  # by key id: those of which a message may stand here
    members: dict[str, Member] = {}
    place: Place = {"conversation": head.conversation_id}
    rows = grants.each_epoch(db, head.conversation_id)
    for following in chain(rows, [None]):
        if row is not None and state is not None:
            until = following.seq if following is not None else grants.FOR_EVER
            if not lacking.first <= row.epoch <= lacking.last:
                open_epochs.clear()  # only what a restore lost is put back after the next record
            open_epochs[row.key_id] = (row, state.roster())
            yield from _check_messages(db, head.conversation_id, row, until, open_epochs)
        if following is None:
            break
        row = following
        place = {"conversation": head.conversation_id, "epoch": row.epoch}
        try:
            record = decode(ConversationRecord, binary(row.record, limits.RECORD_BYTES))
            signature = binary(row.signature, limits.SIGNATURE_BYTES)
            _, state = check_standing(state, record, signature, known.named)
        except UNREADABLE as error:
            yield Finding("conversation_chain", place, rule_of(error))
            rows.close()
            return
        for rule in _beside(head, row, record):
            yield Finding("conversation_row", place, rule)
        _follow(members, record, row.seq)
        may_lack = row.epoch <= lacking.last  # the opener, who has them all, did not put it back or is still to come
        yield from _check_grants(db, head.conversation_id, row, record, state.roster(), known, may_lack=may_lack)
    if row is None or state is None:
        yield Finding("conversation_chain", place, "it has no record")
        return
    newest = Epoch._make(row)
    yield from trying("conversation_row", place, _head(db, head, newest, state))
    for user_id in _differing(conversations.members(db, head.conversation_id, with_former=True), members):
        yield Finding("member", {"conversation": head.conversation_id, "user": user_id}, "another row, or none")
    if not head.outdated:
        for user_id in _ended(db, state.roster(), known):
            yield Finding("outdated", {"conversation": head.conversation_id, "user": user_id}, "it is not marked")


def _beside(head: Head, row: Epoch, record: ConversationRecord) -> Iterator[str]:
    yield from unequal(
        conversation=(record.conversation_id, head.conversation_id),
        epoch=(row.epoch, record.epoch),
        key_id=(row.key_id, record.key_id.hex()),
        record_hash=(row.record_hash, record_hash(record).hex()),
        protocol=(row.protocol, record.protocol.name.lower()),
    )


def _head(db: sqlite3.Connection, head: Head, newest: Epoch, state: ChainState) -> Iterator[str]:
    yield from unequal(
        epoch=(head.epoch, newest.epoch),
        key_id=(head.key_id, newest.key_id),
        record_hash=(head.record_hash, newest.record_hash),
        state=(conversations.state(db, head.conversation_id), encode(state)),
    )


def _follow(members: dict[str, Member], record: ConversationRecord, seq: int) -> None:
    """Bring the expected rows of members up to a record."""
    for change in record.changes:
        earlier = members.get(change.user_id)
        if change.role is Role.REMOVED:
            assert earlier is not None  # else the chain did not verify
            members[change.user_id] = earlier._replace(role=0, removed_seq=seq)
            continue
        since = earlier.added_seq if earlier is not None and earlier.removed_seq is None else seq
        members[change.user_id] = Member(change.user_id, int(change.role), change.account_version, since, None)


def _differing(found: tuple[Member, ...], expected: dict[str, Member]) -> list[str]:
    return sorted({each.user_id for each in set(found) ^ set(expected.values())})


def _ended(db: sqlite3.Connection, roster: Roster, known: Known) -> Iterator[str]:
    """The members who revoked a device, or were reset, since the version that the roster names."""
    for user_id, change in roster.items():
        newest = known.newest(user_id)
        revoked = any((each.revoked_in or 0) > change.account_version for each in accounts.devices(db, user_id))
        if revoked or (
            newest is not None and aik_fingerprint(newest.value.profile, newest.value.aik) != change.aik_fingerprint
        ):
            yield user_id


def _check_grants(
    db: sqlite3.Connection,
    conversation_id: str,
    row: Epoch,
    record: ConversationRecord,
    roster: Roster,
    known: Known,
    *,
    may_lack: bool,
) -> Iterator[Finding]:
    """The opener's grants to each member with a device, and each other one by what the server took it for."""
    opener = f"{record.opener.user_id}/{record.opener.device_id}"
    missing = {user for user, change in roster.items() if _has_device(change, known)}
    query = (
        "SELECT user_id, encrypted_key, granted_by FROM conversation_key_members WHERE conversation_key_id = "
        "(SELECT id FROM conversation_keys WHERE conversation_id = ? AND key_id = ?) ORDER BY rowid"
    )
    for user_id, text, granted_by in db.execute(query, (conversation_id, row.key_id)):
        if granted_by == opener:
            missing.discard(user_id)
        place: Place = {"conversation": conversation_id, "epoch": row.epoch, "user": user_id}
        rules = _grant(db, conversation_id, record, roster, known, user_id, text, granted_by)
        yield from trying("grant", place, rules)
    for user_id in sorted(() if may_lack else missing):
        yield Finding(
            "grant", {"conversation": conversation_id, "epoch": row.epoch, "user": user_id}, "the opener's is missing"
        )


def _has_device(change: Change, known: Known) -> bool:
    account = known.named(change.user_id, change.account_hash)
    return account is not None and bool(account.value.devices)


def _grant(
    db: sqlite3.Connection,
    conversation_id: str,
    record: ConversationRecord,
    roster: Roster,
    known: Known,
    user_id: str,
    text: str,
    granted_by: str,
) -> Iterator[str]:
    grant = keyfields.read_grant(text).grant
    yield from unequal(
        recipient=(grant.recipient, user_id),
        granter=(f"{grant.granter.user_id}/{grant.granter.device_id}", granted_by),
        record=(grant.record_hash, record_hash(record)),
    )
    if grant.granter.user_id not in roster:
        yield "its granter is not a member of the epoch"
    account = known.named(grant.granter.user_id, grant.granter.account_hash)
    if account is None or certificate(account.value, grant.granter.device_id) is None:
        yield "its granter's device is not certified"
    if user_id not in roster:
        later = {each.user_id for each in conversations.members(db, conversation_id, with_former=True)}
        if user_id not in later or not record.policy.member_history:
            yield "its recipient is not a member"
    if known.named(user_id, grant.account_hash) is None:
        yield "its recipient's account record is not known"


def _check_leaves(db: sqlite3.Connection, conversation_id: str) -> Iterator[Finding]:
    present = {each.user_id for each in conversations.members(db, conversation_id)}
    for user_id, text in conversations.leaves(db, conversation_id).items():
        rules = _leave(text, conversation_id, user_id, user_id in present)
        yield from trying("leave", {"conversation": conversation_id, "user": user_id}, rules)


def _leave(text: str, conversation_id: str, user_id: str, is_member: bool) -> Iterator[str]:
    found = decode(SignedLeave, binary(text, limits.RECORD_BYTES)).leave
    if (found.user_id, found.conversation_id) != (user_id, conversation_id) or not is_member:
        yield "it is not of a member of this conversation"


def _check_messages(
    db: sqlite3.Connection, conversation_id: str, epoch: Epoch, until: int, open_epochs: dict[str, tuple[Epoch, Roster]]
) -> Iterator[Finding]:
    """The messages between an epoch's record and the next one are of an open epoch, by its members' devices."""
    query = f"SELECT {_MESSAGE} FROM messages WHERE conversation_id = ? AND seq > ? AND seq < ? ORDER BY seq"
    for found in db.execute(query, (conversation_id, epoch.seq, until)):
        row = Message._make(found)
        of = open_epochs.get(row.key_id, open_epochs[epoch.key_id])
        yield from trying("message", {"conversation": conversation_id, "seq": row.seq}, _message(db, row, *of))


def _message(db: sqlite3.Connection, row: Message, epoch: Epoch, roster: Roster) -> Iterator[str]:
    fields = from_json(row.payload)
    aad = from_fields(fields)[0].aad
    yield from unequal(
        sender=(row.sender, aad.user_id),
        device=(row.device_id, aad.device_id),
        client_message_id=(row.client_message_id, aad.client_message_id),
        iv=(row.iv, fields["iv"]),
        key_id=((row.key_id, aad.key_id.hex()), (epoch.key_id, epoch.key_id)),
        epoch=((aad.epoch, aad.record_hash.hex()), (epoch.epoch, epoch.record_hash)),
    )
    if aad.user_id not in roster:
        yield "its sender is not a member of its epoch"
    if accounts.device(db, aad.user_id, aad.device_id) is None:
        yield "its device is not its sender's"
