"""Conversation records: the structs, their hashes and the roster fold. `rights` holds the rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Annotated, Final

from tacit import errors
from tacit.signed import labels
from tacit.signed.account import DeviceId
from tacit.signed.profiles import Profile
from tacit.signed.verify import HashedOnce, Signer, hash_once, sign, struct_hash
from tacit.wire import limits
from tacit.wire.codec import EncodedOnce, Many, struct
from tacit.wire.encodings import U16, U64, Enum, Flag, Hash, Id, Signature, Text, Variable


class Protocol(IntEnum):
    """How an epoch's key comes to the members; ordered, never going down."""

    PLAINTEXT = 0
    ENVELOPE = 1
    MLS = 2


class Role(IntEnum):
    """What a member may do; 0 takes the member out of the roster."""

    REMOVED = 0
    MEMBER = 1
    ADMIN = 2


class History(IntEnum):
    """Whether the account's keys open the past."""

    RECOVERABLE = 1
    FORWARD_SECRET = 2


class RequestKind(IntEnum):
    """What a member asked for, to be carried out by another's record."""

    LEAVE = 1
    RE_ADD = 2


@struct
class Change(EncodedOnce):
    """One user's new place in the roster, with the account record that it is taken from."""

    user_id: Id
    aik_fingerprint: Hash
    role: Annotated[Role, Enum(1)]
    account_version: U64
    account_hash: Hash


@struct
class Leave:
    """A member's wish to go, good for the stay that began with the record `adding_record_hash`."""

    conversation_id: Id
    adding_record_hash: Hash
    user_id: Id
    device_id: DeviceId
    account_version: U64
    account_hash: Hash


@struct
class SignedLeave:
    """A leave with the signature of the device that made it: how it travels."""

    leave: Leave
    signature: Signature


@struct
class Request:
    """A leave (struct `SignedLeave`) or a re-add that this record carries out."""

    kind: Annotated[RequestKind, Enum(1)]
    body: Annotated[bytes, Variable(2048)]


@struct
class Rotation:
    """When the next epoch is due: age in milliseconds, number of messages."""

    max_age: U64
    max_messages: U64


@struct
class Policy:
    """The conversation's rules: history, rotation, retention in milliseconds (0: for ever), history for new members."""

    history: Annotated[History, Enum(1)]
    rotation: Rotation
    retention: U64
    member_history: Annotated[bool, Flag()]


@struct
class Opener:
    """Who opened the epoch, under the account record that this record's roster names for it."""

    user_id: Id
    device_id: DeviceId
    account_hash: Hash


@struct
class ConversationRecord(HashedOnce):
    """One epoch of a conversation, signed by its opener's device.

    `previous_record_hash` is zero, and `genesis_random` 32 bytes, in the genesis only (empty afterwards);
    `key_id` is 32 bytes in `envelope`; `group_id` and `mls_epoch` are empty and 0 there.
    `predecessor` is empty or the head hash of the conversation that this one goes on from.
    """

    conversation_id: Id
    epoch: U64
    previous_record_hash: Hash
    protocol: Annotated[Protocol, Enum(1)]
    profile: Annotated[Profile, Enum(1)]
    suite: U16
    group_id: Annotated[bytes, Variable(255)]
    mls_epoch: U64
    key_id: Annotated[bytes, Variable(32)]
    roster_hash: Hash
    changes: Annotated[tuple[Change, ...], Many(limits.MEMBERS)]
    requests: Annotated[tuple[Request, ...], Many(limits.REQUESTS)]
    policy: Policy
    genesis_random: Annotated[bytes, Variable(32)]
    predecessor: Annotated[bytes, Variable(32)]
    reason: Annotated[str, Text(255)]
    created_at: U64
    opener: Opener


@struct
class Founding:
    """What a new conversation's id is the hash of."""

    user_id: Id
    genesis_random: Hash


@struct
class RosterList:
    """The roster as it is hashed: changes sorted by the bytes of user_id, no role 0."""

    members: Annotated[tuple[Change, ...], Many(limits.MEMBERS)]


Roster = Mapping[str, Change]
"""The members by user id, each as the change that put it there last."""

HOUR: Final = 60 * 60 * 1000
DAY: Final = 24 * HOUR
LEAST_AGE: Final = HOUR
"""The shortest rotation by age: below it an admin could make everybody's client open epochs without end."""
LEAST_MESSAGES: Final = 100
"""The shortest rotation by number of messages, for the same reason."""
DEFAULT_POLICY: Final = Policy(History.RECOVERABLE, Rotation(7 * DAY, 10_000), 0, False)


def conversation_id_of(user_id: str, genesis_random: bytes) -> str:
    """A new conversation's id: 64 lowercase hex digits, bound to its founder."""
    return struct_hash(labels.CONVERSATION_ID, Founding(user_id, genesis_random)).hex()


def record_hash(record: ConversationRecord) -> bytes:
    """The record's hash, 32 bytes."""
    return hash_once(labels.CONVERSATION_RECORD, record)


def roster_hash(roster: Roster) -> bytes:
    """The hash of the sorted roster, 32 bytes."""
    return struct_hash(labels.ROSTER, RosterList(tuple(in_order(roster.values()))))


def in_order(changes: Iterable[Change]) -> list[Change]:
    """Changes sorted by the UTF-8 bytes of their user ids."""
    return sorted(changes, key=lambda change: change.user_id.encode())


def fold(roster: Roster, changes: Iterable[Change]) -> Roster:
    """The roster after the changes; raises `InvalidRecord` for two of one user or a removal of nobody."""
    after = dict(roster)
    seen: set[str] = set()
    for change in changes:
        if change.user_id in seen:
            raise errors.InvalidRecord("two changes of one user")
        seen.add(change.user_id)
        if change.role is Role.REMOVED:
            if after.pop(change.user_id, None) is None:
                raise errors.InvalidRecord("a removal of somebody who is not a member")
        else:
            after[change.user_id] = change
    return MappingProxyType(after)


def sign_record(record: ConversationRecord, device: Signer) -> bytes:
    """The opener's signature."""
    return sign(labels.CONVERSATION_RECORD, record, device)


def sign_leave(leave: Leave, device: Signer) -> SignedLeave:
    """The leave as it travels."""
    return SignedLeave(leave, sign(labels.LEAVE, leave, device))
