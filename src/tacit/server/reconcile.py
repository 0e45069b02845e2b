"""After a restore: taking what clients hold of a conversation and this server lacks.

It is judged by its own signatures, whoever posts it, and by the rules that hold at any time; those that held when it
was taken first cannot be asked again. It takes the next places, in the order in which it is posted.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, final

import msgspec
from litestar import post

from tacit import errors
from tacit.api import reconcile as api
from tacit.api.base import binary, identifier
from tacit.api.conversations import EncryptedKey
from tacit.api.messages import EncryptedPayload, Item, MessageItem
from tacit.api.problems import to_problem
from tacit.server import epochs, items, keyfields
from tacit.server.backend import Backend, Call, backend, body, full_session, read, write
from tacit.server.epochs import Posted
from tacit.server.known import Chains
from tacit.server.store import account_events, conversations, grants, putting_back
from tacit.server.store.putting_back import Lacking
from tacit.server.store.rows import Epoch, Grant, Head, Inserted, NewGrant, Opened, Session
from tacit.signed.account import AccountRecord, aik_fingerprint, certificate
from tacit.signed.grant import verify_grant
from tacit.signed.message import Message, MessageAad, from_fields, verify_message
from tacit.signed.record import ConversationRecord, Roster, record_hash
from tacit.signed.rights import ChainState, advance, check_standing
from tacit.wire import limits
from tacit.wire.codec import decode

ATTEMPTS: Final = 8
"""How often a page is judged anew because something came meanwhile."""


class _MovedError(Exception):
    """What a page was judged on has changed."""


class Found(NamedTuple):
    """What the store has of a conversation: nothing where it lacks all of it, or its user's place in it."""

    head: Head | None
    lacking: Lacking
    rows: tuple[Epoch, ...]
    is_member: bool


class Spoken(NamedTuple):
    """A message that its device signed, of an epoch that is known here."""

    payload: EncryptedPayload
    aad: MessageAad


class Granted(NamedTuple):
    """Grants of an epoch that is known here."""

    key_id: str
    epoch: int
    grants: tuple[NewGrant, ...]


class Renewed(NamedTuple):
    """A record that follows the newest one, and the chain with it."""

    posted: Posted
    state: ChainState


Judged = Spoken | Granted | Renewed | errors.TacitError


class Done(NamedTuple):
    """What became of one thing in the store, and who is told of it."""

    outcome: Opened | Inserted | bool | errors.TacitError
    told: dict[str, int]
    users: tuple[str, ...]


@post("/api/reconcile/conversation", status_code=200)
async def conversation(request: Call) -> api.Reconciled:
    """Take what is lacking of a conversation, from somebody who is in it; each thing is taken or refused by itself.

    Raises `NothingLacking` where nothing can be, and `NotAMember`.
    """
    here, session = backend(request), full_session(request)
    posted = await body(request, api.ReconcileConversation)
    conversation_id = identifier("conversationId", posted.conversation_id)
    if len(posted.items) > limits.PAGE:
        raise errors.TooLarge(f"more than {limits.PAGE} things")
    for _ in range(ATTEMPTS):
        found = await read(request, lambda db: situation(db, conversation_id, session))
        chains = await here.known.load(users_concerned(found, posted.items))
        page = Page(conversation_id, session, found, chains)
        judged = await asyncio.to_thread(page.judge, posted.items)
        try:
            done = await write(request, partial(page.put, judged=judged, now=here.clock()))
        except _MovedError:
            continue
        push(here, conversation_id, judged, done)
        return api.Reconciled(True, [outcome(each) for each in done])
    raise errors.VersionConflict("its members' accounts change too fast")


def situation(db: sqlite3.Connection, conversation_id: str, session: Session) -> Found:
    """What a page is judged on; raises `NothingLacking`."""
    head = conversations.head(db, conversation_id)
    if head is None:
        if not putting_back.is_restored(db):
            raise errors.NothingLacking
        return Found(None, Lacking(1, 0), (), False)
    lacking = putting_back.lacking(db, conversation_id)
    if lacking is None:
        raise errors.NothingLacking
    try:
        is_member = conversations.standing(db, conversation_id, session.user_id).removed_seq is None
    except errors.NotAMember:
        is_member = False
    return Found(head, lacking, tuple(grants.each_epoch(db, conversation_id)), is_member)


def users_concerned(found: Found, posted: Sequence[api.Held]) -> set[str]:
    """Everybody whose account the rules may ask for; what cannot be read is refused where it is judged."""
    users: set[str] = set()
    records = [row.record for row in found.rows]
    for item in posted:
        if isinstance(item, api.HeldMessage):
            users.add(item.encrypted_payload.sender_id)
        else:
            records.append(item.record)
    for text in records:
        try:
            record = decode(ConversationRecord, binary(text, limits.RECORD_BYTES))
        except errors.PeerError:
            continue
        users.update(change.user_id for change in record.changes)
        users.add(record.opener.user_id)
    return users


@final
class Page:
    """One page on its way into the store: what was judged so far stands behind what follows."""

    def __init__(self, conversation_id: str, session: Session, found: Found, chains: Chains) -> None:
        self._id = conversation_id
        self._session = session
        self._found = found
        self._chains = chains
        self._states: dict[int, ChainState] = {}
        state: ChainState | None = None
        for row in found.rows:
            state = advance(state, decode(ConversationRecord, binary(row.record, limits.RECORD_BYTES)))
            self._states[row.epoch] = state
        self._last = found.lacking.last

    def judge(self, posted: Sequence[api.Held]) -> list[Judged]:
        """Each thing on those before it; raises `NotAMember` where they show no place for who posts them."""
        judged: list[Judged] = []
        is_in = self._found.is_member
        for item in posted:
            each: Judged
            try:
                each = self._record(item) if isinstance(item, api.HeldRecord) else self._message(item)
            except errors.TacitError as error:
                each = error
            if isinstance(each, Renewed):
                is_in |= self._session.user_id in each.state.roster()
            judged.append(each)
        if not is_in:
            raise errors.NotAMember
        return judged

    def _record(self, item: api.HeldRecord) -> Renewed | Granted:
        record = decode(ConversationRecord, binary(item.record, limits.RECORD_BYTES))
        own_hash = record_hash(record)
        if record.conversation_id != self._id:
            raise errors.FieldMismatch("conversationId")
        head = len(self._states)
        known = self._states.get(record.epoch)
        if known is not None:
            if known.head_hash != own_hash:
                raise errors.EpochConflict(epoch=head)
            if record.epoch > self._last:  # it was opened since the restore: nobody's grant of it was lost
                raise errors.NothingLacking
            return Granted(record.key_id.hex(), record.epoch, self._granted(item, record, known.roster()))
        if self._last != head or record.epoch != head + 1:  # an epoch was opened since the restore, or one is left out
            raise errors.EpochConflict(epoch=head)
        signature = binary(item.signature, limits.SIGNATURE_BYTES)
        _, state = check_standing(self._states.get(head), record, signature, self._chains.named)
        self._states[record.epoch] = state
        self._last = record.epoch
        key_id, protocol = record.key_id.hex(), record.protocol.name.lower()
        row = Epoch(0, 0, record.epoch, key_id, own_hash.hex(), protocol, item.record, item.signature, ())
        granted = self._granted(item, record, state.roster())
        return Renewed(Posted(record, own_hash, signature, None, (), row, granted), state)

    def _granted(self, item: api.HeldRecord, record: ConversationRecord, roster: Roster) -> tuple[NewGrant, ...]:
        """The grants that hold; a held one that never did says nothing against the record."""
        present = self._states[len(self._states)].roster()
        found: list[NewGrant] = []
        for each in item.encrypted_keys:
            try:
                found.append(self._grant(each, record, roster, present))
            except errors.PeerError:
                continue
        return tuple(found)

    def _grant(self, each: EncryptedKey, record: ConversationRecord, roster: Roster, present: Roster) -> NewGrant:
        signed = keyfields.read_grant(each.encrypted_key)
        grant, granter = signed.grant, signed.grant.granter
        epochs.check_grant(grant, record_hash(record), record.profile)
        epochs.check_recipient(grant.recipient, record, roster, present)
        account = self._chains.named(granter.user_id, granter.account_hash)
        device = certificate(account.value, granter.device_id) if account is not None else None
        if account is None or device is None or granter.user_id not in roster:
            raise errors.InvalidGrant("its granter is not certified, or not in the epoch")
        if grant.recipient != each.user_id or not epochs.has_device(self._chains, grant.recipient, grant.account_hash):
            raise errors.InvalidGrant("its recipient's account record is not known or has no device")
        verify_grant(signed, device.request_key, account.value.profile)
        return NewGrant(grant.recipient, f"{granter.user_id}/{granter.device_id}", each.encrypted_key)

    def _message(self, item: api.HeldMessage) -> Spoken:
        message, signature = from_fields(msgspec.to_builtins(item.encrypted_payload))
        aad = message.aad
        state = self._states.get(aad.epoch)
        if state is None or (aad.record_hash, aad.key_id) != (state.head_hash, state.head.key_id):
            raise errors.KeyIdMismatch("no epoch of this conversation has this record and key id")
        if not self._found.lacking.first <= aad.epoch <= self._last:
            raise errors.NothingLacking
        self._check_signed(message, signature, state.roster())
        return Spoken(item.encrypted_payload, aad)

    def _check_signed(self, message: Message, signature: bytes, roster: Roster) -> None:
        """By a device of the sender under the identity key in the epoch; raises `InvalidMessage`."""
        aad = message.aad
        member = roster.get(aad.user_id)
        if member is None:
            raise errors.InvalidMessage("its sender was not in the epoch")
        for account in self._chains.all(aad.user_id):
            device = certificate(account, aad.device_id)
            same = aik_fingerprint(account.profile, account.aik) == member.aik_fingerprint
            if device is not None and same and account.version >= member.account_version:
                try:
                    verify_message(message, signature, device.request_key, account.profile)
                except errors.BadSignature:
                    break
                return
        raise errors.InvalidMessage("it is not signed by a device of its sender")

    def put(self, db: sqlite3.Connection, judged: Sequence[Judged], now: int) -> list[Done]:
        """Store what was judged; from a record on that removes who posts it nothing more."""
        again = situation(db, self._id, self._session)
        moved = (again.lacking, again.is_member, again.rows) != (
            self._found.lacking,
            self._found.is_member,
            self._found.rows,
        )
        if moved or not self._chains.are_newest(db):
            raise _MovedError
        done: list[Done] = []
        state = self._states.get(len(self._found.rows))
        was_in = self._found.is_member
        for each in judged:
            if was_in and state is not None and self._session.user_id not in state.roster():
                done.append(Done(errors.NotAMember(), {}, ()))
                continue
            done.append(self._put(db, each, state, now))
            if isinstance(each, Renewed):
                state = each.state
                was_in |= self._session.user_id in state.roster()
        if state is not None and any(isinstance(each, Renewed) for each in judged):
            conversations.set_outdated(db, self._id, is_outdated(self._chains, state.roster()))
        return done

    def _put(self, db: sqlite3.Connection, each: Judged, state: ChainState | None, now: int) -> Done:
        match each:
            case Renewed(posted, after):
                skipped = 0 if posted.record.epoch > 1 else limits.LOST_PLACES
                opened = epochs.put(db, posted, after, now, skipped)
                putting_back.reached(db, self._id, posted.record.epoch, now)
                return Done(opened, opened.told, tuple(after.roster()))
            case Granted(key_id, epoch, granted):
                changed = putting_back.add_grants(db, self._id, key_id, granted, now)
                body = {"conversationId": self._id, "epoch": epoch}
                present = set(state.roster()) if state is not None else set()
                told = account_events.append(db, sorted(present.intersection(changed)), "conversation", body, now)
                return Done(bool(changed), told, ())
            case Spoken(payload, aad):
                text = msgspec.json.encode(payload).decode()
                key_id, sender, device, name = aad.key_id.hex(), aad.user_id, aad.device_id, aad.client_message_id
                try:
                    inserted = putting_back.put_message(
                        db, self._id, sender, device, name, text, key_id, payload.iv, now
                    )
                except errors.MessageIdConflict as error:
                    return Done(error, {}, ())
                return Done(inserted, {}, tuple(state.roster()) if state is not None else ())
        return Done(each, {}, ())


def is_outdated(chains: Chains, roster: Roster) -> bool:
    """Whether somebody in it revoked a device, or was reset, since the version that the roster names."""
    return any(_has_moved(chains, change.user_id, change.account_hash) for change in roster.values())


def _has_moved(chains: Chains, user_id: str, hash_named: bytes) -> bool:
    named, newest = chains.named(user_id, hash_named), chains.newest(user_id)
    assert named is not None
    assert newest is not None
    return _identity(named.value) != _identity(newest.value) or any(
        certificate(newest.value, each.device_id) is None for each in named.value.devices
    )


def _identity(account: AccountRecord) -> bytes:
    return aik_fingerprint(account.profile, account.aik)


def outcome(done: Done) -> api.Outcome:
    """What became of one thing, as it travels."""
    match done.outcome:
        case bool(taken):
            return api.Outcome(taken)
        case Opened() | Inserted():
            return api.Outcome(not done.outcome.duplicate)
        case problem:
            return api.Outcome(False, to_problem(problem))


def push(here: Backend, conversation_id: str, judged: Sequence[Judged], done: Sequence[Done]) -> None:
    """Push what was taken to the members who are connected."""
    for each, became in zip(judged, done, strict=True):
        match each, became.outcome:
            case Renewed(posted, _), Opened(seq, created_at, False):
                row = posted.row._replace(seq=seq, created_at=created_at)
                here.hub.push_item(conversation_id, became.users, partial(_record_item, row, posted.new_grants))
            case Spoken(payload, _), Inserted(seq, created_at, False):
                here.hub.push_item(conversation_id, became.users, partial(_message_item, seq, created_at, payload))
        here.hub.push_account(became.told)


def _record_item(row: Epoch, granted: Sequence[NewGrant], user: str) -> Item:
    own = tuple(Grant(each.user_id, each.encrypted_key, each.granted_by) for each in granted if each.user_id == user)
    return items.item(row._replace(grants=own))


def _message_item(seq: int, created_at: int, payload: EncryptedPayload, _: str) -> Item:
    return MessageItem(seq, created_at, payload)
