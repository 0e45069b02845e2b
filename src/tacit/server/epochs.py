"""A conversation record on its way into the store: read strictly, judged by both rule sets, put where it belongs."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from tacit import errors
from tacit.api.base import binary
from tacit.api.conversations import ConversationKeys, EncryptedKey
from tacit.server import keyfields
from tacit.server.known import Chains
from tacit.server.store import conversations, grants
from tacit.server.store.rows import Epoch, MemberChange, NewGrant, Opened, Session
from tacit.signed.grant import WRAPS, Grant, SignedGrant, WrapAlgorithm
from tacit.signed.profiles import ALGORITHMS, Profile
from tacit.signed.record import ConversationRecord, Roster, SignedLeave, record_hash
from tacit.signed.rights import ChainState, advance
from tacit.signed.verify import ZERO_HASH
from tacit.wire import limits
from tacit.wire.codec import decode, encode

CIPHERTEXTS: Final = {
    WrapAlgorithm.HPKE_X_WING: range(1120 + 32 + 16, 1120 + 32 + 16 + 1),
    WrapAlgorithm.RSA_OAEP_SHA256: range(256, 512 + 1),
}
"""The bytes of a grant's ciphertext.

X-Wing: its encapsulation, then the key of 32 bytes with GCM's tag. RSA: the modulus's, 2048 to 4096 bits.
"""


@dataclass(frozen=True, slots=True)
class Posted:
    """What was posted to open an epoch; it agrees with itself and with the session, and with nothing else yet."""

    record: ConversationRecord
    hash: bytes
    signature: bytes
    member_ids: list[str] | None
    grants: tuple[Grant, ...]
    row: Epoch
    new_grants: tuple[NewGrant, ...]


@dataclass(frozen=True, slots=True)
class Situation:
    """What a record is judged on: the chain before it, and the leaves that wait."""

    before: ChainState | None
    pending: tuple[SignedLeave, ...]


def read_posted(body: ConversationKeys, record_text: str, signature_text: str, session: Session) -> Posted:
    """The record with its grants.

    Raises `FieldMismatch` where fields disagree, `UserMismatch` where the opener is not the session, `InvalidGrant`,
    and what parsing raises.
    """
    record = decode(ConversationRecord, binary(record_text, limits.RECORD_BYTES))
    signature = binary(signature_text, limits.SIGNATURE_BYTES)
    if record.conversation_id != body.conversation_id:
        raise errors.FieldMismatch("conversationId")
    if record.key_id.hex() != body.key_id:
        raise errors.FieldMismatch("keyId")
    if record.opener.user_id != session.user_id:
        raise errors.UserMismatch("the opener is not the session's user")
    if record.opener.device_id != session.device_id:
        raise errors.FieldMismatch("the opener's device is not the session's")
    own_hash = record_hash(record)
    signed = [read_grant(each, session, own_hash, record.profile) for each in body.encrypted_keys]
    if any(each.granter.account_hash != record.opener.account_hash for each in signed):
        raise errors.InvalidGrant("its granter acts under another account record than the opener")
    row = Epoch(
        0, 0, record.epoch, body.key_id, own_hash.hex(), record.protocol.name.lower(), record_text, signature_text, ()
    )
    members = None if body.member_ids is UNSET else list(body.member_ids)
    return Posted(record, own_hash, signature, members, tuple(signed), row, new_grants(body.encrypted_keys, session))


def read_grant(posted: EncryptedKey, session: Session, hash_of_record: bytes, profile: Profile) -> Grant:
    """A grant by the session's device for an epoch of a profile.

    Raises `InvalidGrant`, `FieldMismatch` or `SecretKeyRefused`.
    """
    grant = keyfields.read_grant(posted.encrypted_key).grant
    if grant.recipient != posted.user_id:
        raise errors.FieldMismatch("encryptedKeys.userId")
    check_grant(grant, hash_of_record, profile)
    if (grant.granter.user_id, grant.granter.device_id) != (session.user_id, session.device_id):
        raise errors.InvalidGrant("it is not by the session's device")
    return grant


def check_grant(grant: Grant, hash_of_record: bytes, profile: Profile) -> None:
    """That a grant is for this epoch, and wrapped as its profile has it; raises `InvalidGrant`."""
    if grant.record_hash != hash_of_record:
        raise errors.InvalidGrant("it is for another epoch")
    expected = WRAPS[ALGORITHMS[profile].kem]
    if grant.algorithm is not expected or len(grant.ciphertext) not in CIPHERTEXTS[expected]:
        raise errors.InvalidGrant("it is not wrapped as the conversation's profile has it")


def new_grants(posted: Iterable[EncryptedKey], session: Session) -> tuple[NewGrant, ...]:
    """Grants as they are stored."""
    granted_by = f"{session.user_id}/{session.device_id}"
    return tuple(NewGrant(each.user_id, granted_by, each.encrypted_key) for each in posted)


def situation(db: sqlite3.Connection, session: Session, posted: Posted) -> Situation | Opened:
    """What the record is to be judged on, or the first answer where it was taken before.

    Raises `NotAMember` for a conversation that is not the session's, also one that does not exist, and `EpochConflict`
    where another record came first.
    """
    record = posted.record
    head = conversations.head(db, record.conversation_id)
    if head is None:
        if record.epoch != 1:
            raise errors.NotAMember
        return Situation(None, ())
    place = conversations.standing(db, record.conversation_id, session.user_id)
    earlier = conversations.taken(db, record.conversation_id, posted.row.record_hash)
    if earlier is not None and is_the_same(db, posted):
        return earlier
    if place.removed_seq is not None:
        raise errors.NotAMember
    if record.epoch <= head.epoch:
        raise errors.EpochConflict(epoch=head.epoch, head=head.record_hash, keyId=head.key_id)
    leaves = conversations.leaves(db, record.conversation_id).values()
    return Situation(
        chain_state(db, record.conversation_id), tuple(decode(SignedLeave, binary(leave)) for leave in leaves)
    )


def is_the_same(db: sqlite3.Connection, posted: Posted) -> bool:
    """Whether a record that was taken before was posted with this signature and these grants."""
    conversation_id, row = posted.record.conversation_id, posted.row
    stored = conversations.epoch(db, conversation_id, row.key_id)
    held = {
        NewGrant(each.user_id, each.granted_by, each.encrypted_key)
        for each in grants.of_epoch(db, conversation_id, row.key_id)
    }
    return stored is not None and stored.signature == row.signature and held.issuperset(posted.new_grants)


def present_members(db: sqlite3.Connection, conversation_id: str, session: Session) -> set[str]:
    """Who is in a conversation; raises `NotAMember` where the session's user is not."""
    if conversations.standing(db, conversation_id, session.user_id).removed_seq is not None:
        raise errors.NotAMember
    return {member.user_id for member in conversations.members(db, conversation_id)}


def check_recipient(user_id: str, record: ConversationRecord, roster: Roster, present: Collection[str]) -> None:
    """Whether an epoch's key may be handed to somebody; raises `InvalidGrant`.

    Members of the epoch may get it again; others that are members now where the epoch's own policy says so.
    """
    if user_id in roster:
        return
    if user_id not in present:
        raise errors.InvalidGrant("its recipient is not a member")
    if not record.policy.member_history:
        raise errors.InvalidGrant("the epoch's policy does not let its history be handed on")


def check_not_replaced(db: sqlite3.Connection, conversation_id: str, key_id: str, new: Iterable[NewGrant]) -> None:
    """A stored grant stays, unless it is for another account record: else a granter could take keys back.

    Raises `InvalidGrant`.
    """
    held = {
        (each.user_id, each.granted_by): each.encrypted_key for each in grants.of_epoch(db, conversation_id, key_id)
    }
    for grant in new:
        earlier = held.get((grant.user_id, grant.granted_by), grant.encrypted_key)
        if earlier != grant.encrypted_key and _wrapped_to(earlier) == _wrapped_to(grant.encrypted_key):
            raise errors.InvalidGrant("it was granted before, to the same account record")


def _wrapped_to(encrypted_key: str) -> bytes:
    return decode(SignedGrant, binary(encrypted_key)).grant.account_hash


def chain_state(db: sqlite3.Connection, conversation_id: str) -> ChainState:
    """The folded chain of a conversation that exists."""
    raw = conversations.state(db, conversation_id)
    if raw is None:
        raise errors.Internal("a conversation has no state")
    return decode(ChainState, raw, limits.BODY_BYTES)


def users_concerned(found: Situation, record: ConversationRecord) -> set[str]:
    """Everybody whose account the rules ask for."""
    users = {record.opener.user_id, *(change.user_id for change in record.changes)}
    if found.before is not None:
        users.update(found.before.roster())
    return users


def check_grants(posted: Posted, state: ChainState, chains: Chains) -> None:
    """That exactly the members with a device get the key, each to the account record that the roster names.

    Raises `FieldMismatch` for other `memberIds` than the roster's, else `InvalidGrant`.
    """
    roster = state.roster()
    if posted.member_ids is not None and posted.member_ids != list(roster):
        raise errors.FieldMismatch("memberIds")
    expected = {
        user: change.account_hash for user, change in roster.items() if has_device(chains, user, change.account_hash)
    }
    granted = [each.recipient for each in posted.grants]
    if len(granted) != len(set(granted)) or set(granted) != set(expected):
        raise errors.InvalidGrant("the grants are not one for each member with a device")
    if any(each.account_hash != expected[each.recipient] for each in posted.grants):
        raise errors.InvalidGrant("it is wrapped to another account record than the roster names")


def has_device(chains: Chains, user_id: str, hash_named: bytes) -> bool:
    """Whether the named account record has a device."""
    account = chains.named(user_id, hash_named)
    return account is not None and bool(account.value.devices)


def put(db: sqlite3.Connection, posted: Posted, state: ChainState, now: int, skipped: int = 0) -> Opened:
    """Store a record that the rules let pass; raises `EpochConflict` where another one came first.

    A first record takes the place after `skipped`.
    """
    record, row = posted.record, posted.row
    return conversations.put_record(
        db,
        conversation_id=record.conversation_id,
        epoch=record.epoch,
        key_id=row.key_id,
        record_hash=row.record_hash,
        previous_record_hash="" if record.previous_record_hash == ZERO_HASH else record.previous_record_hash.hex(),
        protocol=row.protocol,
        record=row.record,
        signature=row.signature,
        state=encode(state),
        changes=[MemberChange(each.user_id, int(each.role), each.account_version) for each in record.changes],
        new_grants=posted.new_grants,
        now=now,
        skipped=skipped,
    )


def roster_of(rows: Iterable[Epoch]) -> tuple[ConversationRecord, Roster]:
    """The newest of these records, from the genesis on, and the roster after it; they were judged when they came."""
    state: ChainState | None = None
    for row in rows:
        state = advance(state, decode(ConversationRecord, binary(row.record)))
    assert state is not None
    return state.head, state.roster()
