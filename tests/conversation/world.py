"""People, devices and conversations for the tests of this room: real keys and signatures, seeded randomness."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache

from rsa_pool import pooled_rsa
from tacit.conversation.content import Name
from tacit.conversation.envelope import make_grants
from tacit.conversation.judging import Counted, Known, KnownEpoch
from tacit.conversation.judging_records import Received, Standpoint
from tacit.conversation.keys import ConversationKey, finish_record
from tacit.conversation.sealing import Epoch, Sender
from tacit.crypto.secret import Randomness, Secret
from tacit.identity.keys import PrivateKey, SigningKey, WrappingKey, new_signing_key, new_wrapping_key, private_key
from tacit.signed import labels
from tacit.signed.account import (
    AccountRecord,
    DeviceCertificate,
    EncryptionKey,
    OuterRef,
    ResetBy,
    ResetNote,
    RevokedDevice,
    account_hash,
    aik_fingerprint,
    device_id_of,
)
from tacit.signed.grant import Granter, SignedGrant
from tacit.signed.profiles import ALGORITHMS, KeyAlgorithm, Profile
from tacit.signed.record import (
    DEFAULT_POLICY,
    Change,
    ConversationRecord,
    Opener,
    Policy,
    Protocol,
    Request,
    Role,
    Roster,
    conversation_id_of,
    fold,
    in_order,
    roster_hash,
    sign_record,
)
from tacit.signed.rights import ChainState, advance
from tacit.signed.verify import ZERO_HASH, Verified, sign, verify


def seeded(seed: str) -> Randomness:
    """Randomness that is the same each time."""
    stream = hashlib.shake_256(seed.encode())
    position = 0

    def draw(count: int) -> bytes:
        nonlocal position
        position += count
        return stream.digest(position)[position - count :]

    return draw


@dataclasses.dataclass(frozen=True)
class Device:
    user_id: str
    request: SigningKey
    certificate: DeviceCertificate

    @property
    def device_id(self) -> str:
        return self.certificate.device_id


class Person:
    """An account with all its versions; the newest is the last."""

    def __init__(self, user_id: str, devices: int = 1, profile: Profile = Profile.STANDARD) -> None:
        self.user_id = user_id
        self.profile = profile
        self._random = seeded(user_id)
        self.aik = new_signing_key(profile, self._random)
        self.wraps: dict[tuple[bytes, KeyAlgorithm], PrivateKey] = {}
        self.versions: list[Verified[AccountRecord]] = []
        self.all_devices = [self._new_device() for _ in range(devices)]
        self.publish()

    def _new_device(self) -> Device:
        has = ALGORITHMS[self.profile]
        request = new_signing_key(self.profile, self._random)
        certificate = DeviceCertificate(
            self.user_id,
            device_id_of(self.user_id, request.public),
            request.public,
            new_signing_key(self.profile, self._random).public if has.mls is not None else b"",
            new_wrapping_key(has.kem, self._random, pooled_rsa).public,
            (),
        )
        return Device(self.user_id, request, certificate)

    def publish(self, revoke: Iterable[Device] = (), *, ended: bool = False) -> AccountRecord:
        before = self.versions[-1].value if self.versions else None
        version = before.version + 1 if before else 1
        revoked = {each.device_id: each for each in (before.revoked if before else ())}
        revoked |= {each.device_id: RevokedDevice(each.device_id, version) for each in revoke}
        wraps = [new_wrapping_key(each, self._random, pooled_rsa) for each in ALGORITHMS[self.profile].encryption]
        present = [each.certificate for each in self.all_devices if each.device_id not in revoked]
        record = AccountRecord(
            "chat.example",
            self.user_id,
            version,
            account_hash(before) if before else ZERO_HASH,
            self.aik.public,
            self.profile,
            () if ended else tuple(EncryptionKey(each.algorithm, each.public) for each in wraps),
            b"" if ended else b"a" * 32,
            () if ended else tuple(sorted(present, key=lambda each: each.device_id)),
            tuple(revoked[each] for each in sorted(revoked)),
            ResetNote(ResetBy.NO_RESET, ""),
            b"i" * 32,
            b"b" * 32,
            OuterRef(version, b"o" * 32),
        )
        signature = sign(labels.ACCOUNT_RECORD, record, self.aik.sign)
        self.versions.append(verify(labels.ACCOUNT_RECORD, record, self.aik.public, signature, record.profile))
        self.wraps |= {(account_hash(record), each.algorithm): read_key(each) for each in wraps}
        return record

    def private_key(self, hash_named: bytes, algorithm: KeyAlgorithm) -> PrivateKey | None:
        return self.wraps.get((hash_named, algorithm))

    def add_device(self) -> Device:
        device = self._new_device()
        self.all_devices.append(device)
        self.publish()
        return device

    def revoke(self, device: Device) -> None:
        self.publish([device])

    def reset(self) -> None:
        """Another identity key; the devices stay."""
        self.aik = new_signing_key(self.profile, self._random)
        self.publish()

    @property
    def newest(self) -> AccountRecord:
        return self.versions[-1].value

    @property
    def device(self) -> Device:
        return self.all_devices[0]

    def change(self, role: Role = Role.MEMBER, version: int | None = None) -> Change:
        account = self.versions[version - 1].value if version else self.newest
        fingerprint = aik_fingerprint(account.profile, account.aik)
        return Change(self.user_id, fingerprint, role, account.version, account_hash(account))


@cache
def rsa_of(private: bytes) -> PrivateKey:
    """An RSA key, read once."""
    return private_key(KeyAlgorithm.RSA, Secret(private))


def read_key(key: WrappingKey) -> PrivateKey:
    return (
        rsa_of(key.private.reveal()) if key.algorithm is KeyAlgorithm.RSA else private_key(key.algorithm, key.private)
    )


class World:
    """All people by name, as a client that knows them all sees them."""

    def __init__(self, *names: str, **of_profile: Profile) -> None:
        profiles = dict.fromkeys(names, Profile.STANDARD) | of_profile
        self.people = {name: Person(name, profile=profile) for name, profile in profiles.items()}

    def __getitem__(self, name: str) -> Person:
        return self.people[name]

    def versions(self, user_id: str) -> Sequence[Verified[AccountRecord]]:
        person = self.people.get(user_id)
        return person.versions if person else ()

    def accounts(self, user_id: str, named: bytes) -> Verified[AccountRecord] | None:
        return next((each for each in self.versions(user_id) if account_hash(each.value) == named), None)

    def newest(self, user_id: str) -> Verified[AccountRecord] | None:
        versions = self.versions(user_id)
        return versions[-1] if versions else None


@dataclasses.dataclass(frozen=True)
class Opened:
    record: ConversationRecord
    signature: bytes
    seq: int
    key: ConversationKey
    state: ChainState
    opener: Device

    @property
    def received(self) -> Received:
        return Received(self.record, self.signature, self.seq)

    @property
    def roster(self) -> Roster:
        return self.state.roster()

    @property
    def epoch(self) -> Epoch:
        return Epoch(self.record, self.key)

    def granter(self) -> Granter:
        return Granter(self.opener.user_id, self.opener.device_id, self.record.opener.account_hash)

    def grants(self, *recipients: Person) -> list[SignedGrant]:
        newest = [each.versions[-1] for each in recipients]
        return make_grants(self.record, self.key, self.granter(), self.opener.request.sign, newest, self.roster)


class Chat:
    """A conversation whose records follow one another; founded with an admin and plain members."""

    def __init__(
        self, world: World, founder: str, *members: str, seed: str = "chat", profile: Profile = Profile.STANDARD
    ) -> None:
        self.world = world
        self.random = seeded(seed)
        self.profile = profile
        self.epochs: list[Opened] = []
        self.seen: dict[Counted, int] = {}
        self.shown: dict[Name, int] = {}
        self.genesis_random = self.random(32)
        self.conversation_id = conversation_id_of(founder, self.genesis_random)
        self.open(founder, [world[founder].change(Role.ADMIN), *(world[each].change() for each in members)])

    def open(
        self,
        opener: str,
        changes: Iterable[Change] = (),
        *,
        device: Device | None = None,
        seq: int | None = None,
        policy: Policy | None = None,
        requests: tuple[Request, ...] = (),
        on: Opened | None = None,
        keep: bool = True,
    ) -> Opened:
        before = on or (self.epochs[-1] if self.epochs else None)
        device = device or self.world[opener].device
        ordered = tuple(in_order(changes))
        roster = fold(before.roster if before else {}, ordered)
        key = ConversationKey.generate(self.random)
        record = finish_record(
            ConversationRecord(
                self.conversation_id,
                before.record.epoch + 1 if before else 1,
                before.state.head_hash if before else ZERO_HASH,
                Protocol.ENVELOPE,
                self.profile,
                0,
                b"",
                0,
                b"",
                roster_hash(roster),
                ordered,
                requests,
                policy or (before.record.policy if before else DEFAULT_POLICY),
                b"" if before else self.genesis_random,
                b"",
                "",
                1000,
                Opener(opener, device.device_id, roster[opener].account_hash),
            ),
            key,
        )
        place = seq if seq is not None else (before.seq + 10 if before else 10)
        signature = sign_record(record, device.request.sign)
        made = Opened(record, signature, place, key, advance(before.state if before else None, record), device)
        if keep:
            self.epochs.append(made)
        return made

    def remove(self, opener: str, name: str) -> Opened:
        change = self.epochs[-1].roster[name]
        return self.open(opener, [dataclasses.replace(change, role=Role.REMOVED)])

    def known(self, *, without: Iterable[int] = (), keyless: Iterable[int] = (), pending: Iterable[int] = ()) -> Known:
        left_out, locked = set(without), set(keyless)
        epochs = {
            each.record.epoch: KnownEpoch(
                each.record,
                each.state.head_hash,
                each.seq,
                each.roster,
                None if each.record.epoch in locked else each.epoch,
            )
            for each in self.epochs
            if each.record.epoch not in left_out
        }
        waiting = {each.record.epoch: each.seq for each in self.epochs if each.record.epoch in set(pending)}
        return Known(epochs, waiting, self.world.versions, self.seen.get, self.shown.get)

    def standpoint(self, user_id: str, held: int = 0, accepted: Iterable[bytes] = ()) -> Standpoint:
        states = {each.record.epoch: each.state for each in self.epochs[:held]}
        return Standpoint(
            self.conversation_id, user_id, states, self.world.accounts, self.world.newest, frozenset(accepted)
        )


def sender(device: Device, instance: bytes = b"instance-of-16-b") -> Sender:
    return Sender(device.user_id, device.device_id, instance, device.request.sign)
