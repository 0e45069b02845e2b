"""Judging a received message: whether it is its sender's, of this conversation, new, and in time.

Each rule is a function of its own that raises the error whose code is the cause a person is told. Nothing here keeps
state: what the client knows comes in as `Known`, and a verdict says what to remember.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tacit import errors
from tacit.conversation.content import Body, Content, Name, body_of
from tacit.conversation.sealing import Epoch, open_message
from tacit.signed import message as messages
from tacit.signed.account import AccountRecord, DeviceCertificate, aik_fingerprint, certificate
from tacit.signed.message import Message, MessageAad, message_hash, verify_message
from tacit.signed.profiles import Profile
from tacit.signed.record import Change, ConversationRecord, Roster
from tacit.signed.verify import Verified

Versions = Callable[[str], Sequence[Verified[AccountRecord]]]
"""All verified account records of a user that are known, oldest first; empty for a stranger."""


class Counted(NamedTuple):
    """What a message key is used for once.

    The epoch is part of it: a message refused there is sealed anew in the next one under the counter that it had.
    """

    record_hash: bytes
    user_id: str
    device_id: str
    instance_id: bytes
    counter: int


@dataclasses.dataclass(frozen=True, slots=True)
class KnownEpoch:
    """An accepted epoch: its record, the `seq` that the record took, its roster, and its key where one was granted."""

    record: ConversationRecord
    record_hash: bytes
    seq: int
    roster: Roster
    opened: Epoch | None


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What a client knows of one conversation while it judges.

    `epochs` are the accepted ones by number, without a hole; `pending` are the places (`seq`), by number, of those
    whose record was received but cannot be judged yet. `seen` and `shown` answer with the `seq` of the first message
    whose signature verified with this counter, and of the first one shown under this name.
    """

    epochs: Mapping[int, KnownEpoch]
    pending: Mapping[int, int]
    versions: Versions
    seen: Callable[[Counted], int | None]
    shown: Callable[[Name], int | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Trust:
    """What has to be said beside a message.

    `late`: it arrived after its epoch was closed. `revoked`: its device is not the account's any more, so server and
    thief together may have written it later than it says.
    """

    late: bool = False
    revoked: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A message to show: authenticated name and epoch, content, marks."""

    name: Name
    epoch: int
    content: Content
    body: Body
    trust: Trust
    message_hash: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Repeated:
    """An authentic message under a name that was shown before, at `first`: a retry that was sealed anew."""

    name: Name
    first: int


@dataclasses.dataclass(frozen=True, slots=True)
class Undecryptable:
    """A message that is kept and shown as such; `cause` has code and remedy.

    With `authentic` its signature verified: its counter is to be marked as seen and its sender may be shown.
    """

    cause: type[errors.PeerError]
    detail: str
    authentic: bool


Verdict = Shown | Repeated | Undecryptable


def counted(aad: MessageAad) -> Counted:
    """The use of a message key that this message claims."""
    return Counted(aad.record_hash, aad.user_id, aad.device_id, aad.instance_id, aad.counter)


def name_of(aad: MessageAad) -> Name:
    """The message's name."""
    return Name(aad.user_id, aad.device_id, aad.client_message_id)


def judge_message(seq: int, message: Message, signature: bytes, known: Known) -> Verdict:
    """The verdict on the message at `seq`; the same again for the same knowledge.

    The caller marks `counted` as seen at `seq` unless the verdict is an `Undecryptable` that is not `authentic`, and
    `name_of` as shown at `seq` when it is `Shown`.
    """
    aad = message.aad
    authentic = False
    try:
        check_supported(aad)
        epoch = epoch_of(aad, known)
        check_splice(aad, epoch)
        member = member_of(aad, epoch)
        device, profile = sending_device(aad, member, known)
        verified = check_signature(message, signature, device, profile)
        authentic = True
        check_order(seq, epoch)
        check_replay(seq, aad, known)
        check_removal(seq, aad, member, known)
        check_settled(seq, aad, known)
        first = first_shown(seq, aad, known)
        if first is not None:
            return Repeated(name_of(aad), first)
        content = open_message(verified, check_granted(epoch))
    except errors.PeerError as error:
        return Undecryptable(type(error), error.detail, authentic)
    trust = Trust(is_late(seq, aad, known), is_revoked(aad, member, known))
    return Shown(name_of(aad), aad.epoch, content, body_of(content), trust, message_hash(message))


def check_supported(aad: MessageAad) -> None:
    """Raises `UnsupportedSuite` for a content type of a later program; of a later version no message is made at all."""
    if aad.content_type != messages.CONTENT:
        raise errors.UnsupportedSuite(f"content type {aad.content_type}")


def epoch_of(aad: MessageAad, known: Known) -> KnownEpoch:
    """The accepted epoch of the message's number; raises `RecordPending` or `RecordMissing`."""
    epoch = known.epochs.get(aad.epoch)
    if epoch is None:
        if aad.epoch in known.pending:
            raise errors.RecordPending(f"epoch {aad.epoch}")
        raise errors.RecordMissing(f"epoch {aad.epoch}")
    return epoch


def check_splice(aad: MessageAad, epoch: KnownEpoch) -> None:
    """Raises `MessageTampered` for a message of another conversation or of a fork.

    A record's hash covers conversation, epoch and everything before it.
    """
    if aad.record_hash != epoch.record_hash or aad.key_id != epoch.record.key_id:
        raise errors.MessageTampered("it belongs to another conversation or epoch")


def member_of(aad: MessageAad, epoch: KnownEpoch) -> Change:
    """The sender in the epoch's roster; raises `SenderNotCertified`."""
    member = epoch.roster.get(aad.user_id)
    if member is None:
        raise errors.SenderNotCertified("the sender was not a member")
    return member


def sending_device(aad: MessageAad, member: Change, known: Known) -> tuple[DeviceCertificate, Profile]:
    """The sender's device, as certified under the roster's identity key within the epoch's time.

    That is in an account record from the version named in the epoch to that named in the next one; at the head, and
    where the next epoch has not the sender, to the newest known. Raises `SenderNotCertified`.
    """
    last: int | None = None
    following = known.epochs.get(aad.epoch + 1)
    if following is not None:
        then = following.roster.get(aad.user_id)
        if then is not None and then.aik_fingerprint == member.aik_fingerprint:
            last = then.account_version
    for account in _under(member, known):
        if account.version < member.account_version or (last is not None and account.version > last):
            continue
        device = certificate(account, aad.device_id)
        if device is not None:
            return device, account.profile
    raise errors.SenderNotCertified("the device was not certified at that time")


def _under(member: Change, known: Known) -> list[AccountRecord]:
    accounts = (each.value for each in known.versions(member.user_id))
    return [each for each in accounts if aik_fingerprint(each.profile, each.aik) == member.aik_fingerprint]


def check_signature(
    message: Message, signature: bytes, device: DeviceCertificate, profile: Profile
) -> Verified[Message]:
    """The message as its device signed it; raises `MessageTampered`."""
    try:
        return verify_message(message, signature, device.request_key, profile)
    except errors.BadSignature:
        raise errors.MessageTampered("its signature does not verify") from None


def check_order(seq: int, epoch: KnownEpoch) -> None:
    """Raises `MessageTampered` for a message before the record of its epoch: no honest server takes it there."""
    if seq <= epoch.seq:
        raise errors.MessageTampered("it stands before the record of its epoch")


def check_replay(seq: int, aad: MessageAad, known: Known) -> None:
    """Raises `Replayed` where this counter was seen before at another place."""
    first = known.seen(counted(aad))
    if first is not None and first != seq:
        raise errors.Replayed(f"first at {first}")


def first_shown(seq: int, aad: MessageAad, known: Known) -> int | None:
    """The earlier place at which a message of the same name was shown, or None."""
    first = known.shown(name_of(aad))
    return first if first is not None and first < seq else None


def check_removal(seq: int, aad: MessageAad, member: Change, known: Known) -> None:
    """Raises `LateAfterRemoval` where a later record that precedes the message lacks its account or device."""
    number = aad.epoch + 1
    while (later := known.epochs.get(number)) is not None and later.seq <= seq:
        then = later.roster.get(aad.user_id)
        if then is None or then.aik_fingerprint != member.aik_fingerprint:
            raise errors.LateAfterRemoval(f"epoch {number} has not the sender")
        named = next((each for each in _under(then, known) if each.version == then.account_version), None)
        if named is None or certificate(named, aad.device_id) is None:
            raise errors.LateAfterRemoval(f"epoch {number} has not the device")
        number += 1


def check_settled(seq: int, aad: MessageAad, known: Known) -> None:
    """Raises `RecordPending` where a later record that precedes the message is not judged: it may lack the sender."""
    for number, place in known.pending.items():
        if number > aad.epoch and place <= seq:
            raise errors.RecordPending(f"epoch {number}")


def check_granted(epoch: KnownEpoch) -> Epoch:
    """The epoch with its key; raises `NoGrant`."""
    if epoch.opened is None:
        raise errors.NoGrant(f"epoch {epoch.record.epoch}")
    return epoch.opened


def is_late(seq: int, aad: MessageAad, known: Known) -> bool:
    """Whether the message arrived after the next epoch was opened."""
    following = known.epochs.get(aad.epoch + 1)
    return following is not None and following.seq <= seq


def is_revoked(aad: MessageAad, member: Change, known: Known) -> bool:
    """Whether the device is not in its account's newest known record, or the account was reset since."""
    newest = known.versions(aad.user_id)[-1].value
    same = aik_fingerprint(newest.profile, newest.aik) == member.aik_fingerprint
    return not same or certificate(newest, aad.device_id) is None
