"""People with real accounts, and conversations whose records break exactly one rule.

Whatever a case changes in a record, the builder makes the rest fit: changes sorted, roster folded and hashed anew (by
a fold of its own), the record signed by whom the case says. So only the rule under test can refuse it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from rsa_pool import rsa_key
from tacit.crypto.kem import XWing
from tacit.crypto.secret import Randomness
from tacit.crypto.sign import Ed25519Key, P256Key
from tacit.identity.keys import SigningKey
from tacit.signed import labels
from tacit.signed.account import (
    NO_RESET,
    AccountRecord,
    AccountSignatures,
    DeviceCertificate,
    EncryptionKey,
    OuterRef,
    ResetBy,
    ResetNote,
    RevokedDevice,
    account_hash,
    aik_fingerprint,
    device_id_of,
    sign_record,
    verify_first,
    verify_next,
)
from tacit.signed.profiles import KeyAlgorithm, Profile
from tacit.signed.record import (
    DEFAULT_POLICY,
    Change,
    ConversationRecord,
    Leave,
    Opener,
    Protocol,
    Request,
    RequestKind,
    Role,
    RosterList,
    SignedLeave,
    conversation_id_of,
    record_hash,
    sign_leave,
)
from tacit.signed.record import sign_record as sign_conversation_record
from tacit.signed.rights import ChainState, check_standing
from tacit.signed.vault import Boxes, Inner, boxes_hash, inner_hash
from tacit.signed.verify import ZERO_HASH, Signer, Verified, sign, struct_hash, verify
from tacit.wire.codec import encode

SERVER = "chat.example"
Built = tuple[ConversationRecord, bytes]
"""A record and its signature."""


def seeded(seed: str) -> Randomness:
    """Randomness that is the same each time."""
    stream = hashlib.shake_256(seed.encode())
    position = 0

    def draw(count: int) -> bytes:
        nonlocal position
        position += count
        return stream.digest(position)[position - count :]

    return draw


def rsa_public(generation: int = 0, bits: int = 3072) -> bytes:
    """One RSA key for everybody's keys of one generation: nothing is wrapped to it here, and making one is slow."""
    return rsa_key(generation, bits).public


@cache
def x_wing_public(generation: int = 0) -> bytes:
    """One X-Wing key for everybody, too."""
    return XWing.generate(seeded(f"x-wing {generation}")).public


@dataclasses.dataclass(frozen=True)
class Device:
    """A device and the key that it signs with."""

    certificate: DeviceCertificate
    key: SigningKey

    @property
    def device_id(self) -> str:
        return self.certificate.device_id

    @property
    def sign(self) -> Signer:
        return self.key.sign


def follow(record: AccountRecord, inner: Inner, boxes: Boxes) -> AccountRecord:
    """The frame of the record that follows, with the same keys and devices: a test bends it, then signs it."""
    return dataclasses.replace(
        record,
        version=record.version + 1,
        previous_hash=account_hash(record),
        inner_hash=inner_hash(inner),
        boxes_hash=boxes_hash(boxes),
    )


def replacing(record: AccountRecord) -> dict[str, Any]:
    """The fields that a revocation has to replace, under keys that nobody has."""
    return {
        "encryption_keys": (
            EncryptionKey(KeyAlgorithm.X_WING, x_wing_public(record.version)),
            EncryptionKey(KeyAlgorithm.RSA, rsa_public(record.version)),
        ),
        "archive_key_id": account_hash(record),
        "boxes_hash": account_hash(record),
        "outer": OuterRef(record.outer.version + 1, account_hash(record)),
    }


class Person:
    """An account with all its versions, each verified on the one before; the newest is the last."""

    def __init__(self, user_id: str, profile: Profile = Profile.STANDARD) -> None:
        self.user_id = user_id
        self.profile = profile
        self.random = seeded(user_id)
        self.aik = self.make_key()
        self.devices = [self.make_device()]
        self.former: list[RevokedDevice] = []
        self.generation = 0
        self.outer = OuterRef(1, ZERO_HASH)
        first = self._record(None)
        self.versions = [verify_first(first, sign_record(first, self.aik.sign, self.device.sign))]

    def make_key(self) -> SigningKey:
        """A signing key of the account's profile."""
        kind = Ed25519Key if self.profile is Profile.STANDARD else P256Key
        return kind.generate(self.random)

    def wrapping(self, generation: int) -> tuple[EncryptionKey, ...]:
        """The account's encryption keys of one generation."""
        rsa = rsa_public(generation, 2048 if self.profile is Profile.COMPAT else 3072)
        keys = (EncryptionKey(KeyAlgorithm.X_WING, x_wing_public(generation)), EncryptionKey(KeyAlgorithm.RSA, rsa))
        return keys if self.profile is Profile.STANDARD else keys[1:]

    def make_device(self) -> Device:
        """A device that no record certifies yet."""
        key = self.make_key()
        certificate = DeviceCertificate(
            self.user_id,
            device_id_of(self.user_id, key.public),
            key.public,
            self.make_key().public if self.profile is not Profile.COMPAT else b"",
            self.wrapping(0)[0].public_key,
            {Profile.STANDARD: (1,), Profile.FIPS: (2,), Profile.COMPAT: ()}[self.profile],
        )
        return Device(certificate, key)

    def _record(self, before: AccountRecord | None, *, ended: bool = False) -> AccountRecord:
        return AccountRecord(
            SERVER,
            self.user_id,
            before.version + 1 if before else 1,
            account_hash(before) if before else ZERO_HASH,
            self.aik.public,
            self.profile,
            () if ended else self.wrapping(self.generation),
            b"" if ended else self.random(32),
            tuple(sorted((each.certificate for each in self.devices), key=lambda each: each.device_id)),
            tuple(sorted(self.former, key=lambda each: each.device_id)),
            NO_RESET,
            self.random(32),
            self.random(32),
            self.outer,
        )

    def _replace_keys(self) -> None:
        self.generation += 1
        self.outer = OuterRef(self.outer.version + 1, self.random(32))

    def publish(self, *, ended: bool = False) -> AccountRecord:
        """The next version."""
        before = self.versions[-1]
        record = self._record(before.value, ended=ended)
        self.versions.append(verify_next(before, record, sign_record(record, self.aik.sign)))
        return record

    def add_device(self) -> Device:
        """A new version with one more device."""
        device = self.make_device()
        self.devices.append(device)
        self.publish()
        return device

    def revoke(self, device: Device) -> AccountRecord:
        """A new version without a device."""
        self.devices.remove(device)
        self.former.append(RevokedDevice(device.device_id, self.newest.version + 1))
        self._replace_keys()
        return self.publish()

    def end(self) -> AccountRecord:
        """A last version, without devices and keys."""
        self.former += [RevokedDevice(each.device_id, self.newest.version + 1) for each in self.devices]
        self.devices = []
        return self.publish(ended=True)

    def reset(self, by: ResetBy = ResetBy.OLD_AIK_AND_DEVICE) -> AccountRecord:
        """A version under another identity key; the devices stay, and the first of them asks for it."""
        record, signatures = self.prepared_reset(by)
        self.versions.append(verify_next(self.versions[-1], record, signatures))
        return record

    def prepared_reset(self, by: ResetBy, **bent: Any) -> tuple[AccountRecord, AccountSignatures]:
        """A reset as it would be posted; the account goes on under its key."""
        old, self.aik = self.aik, self.make_key()
        self._replace_keys()
        self.outer = OuterRef(1, self.random(32))
        note = ResetNote(by, self.device.device_id)
        record = dataclasses.replace(self._record(self.newest), reset_by=note)
        record = dataclasses.replace(record, **bent)
        allows = old.sign if by is ResetBy.OLD_AIK_AND_DEVICE else None
        return record, sign_record(record, self.aik.sign, self.device.sign, allows)

    def vouched(self, record: AccountRecord) -> Verified[AccountRecord]:
        """A record as its check would return it, of whatever kind it is."""
        return verify(
            labels.ACCOUNT_RECORD,
            record,
            self.aik.public,
            sign(labels.ACCOUNT_RECORD, record, self.aik.sign),
            record.profile,
        )

    @property
    def device(self) -> Device:
        return self.devices[0]

    @property
    def newest(self) -> AccountRecord:
        return self.versions[-1].value

    def version(self, number: int) -> AccountRecord:
        return self.versions[number - 1].value

    def change(self, role: Role = Role.MEMBER, version: int = 0, **other: Any) -> Change:
        """This account's place in a roster, by its newest version or an older one."""
        account = self.version(version) if version else self.newest
        fingerprint = aik_fingerprint(account.profile, account.aik)
        made = Change(self.user_id, fingerprint, role, account.version, account_hash(account))
        return dataclasses.replace(made, **other)


class World:
    """Everybody's verified accounts; `unknown` are users whose newer versions were not served."""

    def __init__(self, *names: str, **of_profile: Profile) -> None:
        profiles = dict.fromkeys(names, Profile.STANDARD) | of_profile
        self.people = {name: Person(name, profile) for name, profile in profiles.items()}
        self.unknown: dict[str, int] = {}

    def __getitem__(self, name: str) -> Person:
        return self.people[name]

    def _known(self, user_id: str) -> list[Verified[AccountRecord]]:
        person = self.people.get(user_id)
        return person.versions[: self.unknown.get(user_id)] if person else []

    def accounts(self, user_id: str, named: bytes) -> Verified[AccountRecord] | None:
        return next((each for each in self._known(user_id) if account_hash(each.value) == named), None)

    def newest(self, user_id: str) -> Verified[AccountRecord] | None:
        return next(reversed(self._known(user_id)), None)


def by_id(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda change: change.user_id.encode()))


def roster_hash_of(before: Mapping[str, Change], changes: Iterable[Change]) -> bytes:
    """The hash of the roster after these changes; nothing is refused here."""
    after = dict(before)
    for change in changes:
        after.pop(change.user_id, None)
        if change.role is not Role.REMOVED:
            after[change.user_id] = change
    return struct_hash(labels.ROSTER, RosterList(by_id(after.values())))


class Chain:
    """A conversation that opens epochs as it is told, right or wrong."""

    def __init__(self, world: World, founder: str, members: Iterable[str] = (), admins: Iterable[str] = ()) -> None:
        self.world = world
        self.random = seeded(founder)
        self.genesis_random = self.random(32)
        self.conversation_id = conversation_id_of(founder, self.genesis_random)
        self.state: ChainState | None = None
        places = [world[name].change(Role.ADMIN) for name in (founder, *admins)]
        self.founding = [*places, *(world[name].change() for name in members)]
        self.founder = founder

    @classmethod
    def founded(cls, world: World, founder: str, members: Iterable[str] = (), admins: Iterable[str] = ()) -> Chain:
        """One whose first epoch is open."""
        chain = cls(world, founder, members, admins)
        chain.take(chain.genesis())
        return chain

    @property
    def head(self) -> ChainState:
        assert self.state is not None
        return self.state

    def genesis(self, **mutation: Any) -> Built:
        """The first record, which sets the head aside."""
        return self.build(self.founder, self.founding, on=None, **mutation)

    def next(self, by: str, /, *changes: Change, **mutation: Any) -> Built:
        """A record on the head."""
        return self.build(by, changes, on=self.head, **mutation)

    def build(
        self,
        by: str,
        changes: Iterable[Change],
        /,
        *,
        on: ChainState | None,
        device: Device | None = None,
        signer: Signer | None = None,
        leaves: Iterable[SignedLeave] = (),
        **mutation: Any,
    ) -> Built:
        """A record with any field as `mutation` says. What is not said there fits the rest."""
        ordered = mutation.get("changes", by_id(changes))
        before = on.roster() if on else {}
        places = {**before, **{change.user_id: change for change in ordered}}
        person = self.world[by]
        acting = device or person.device
        named = places[by].account_hash if by in places else account_hash(person.newest)
        record = ConversationRecord(
            self.conversation_id,
            on.head.epoch + 1 if on else 1,
            on.head_hash if on else ZERO_HASH,
            Protocol.ENVELOPE,
            on.head.profile if on else Profile.STANDARD,
            0,
            b"",
            0,
            self.random(32),
            roster_hash_of(before, ordered),
            ordered,
            tuple(Request(RequestKind.LEAVE, encode(each)) for each in leaves),
            on.head.policy if on else DEFAULT_POLICY,
            b"" if on else self.genesis_random,
            b"",
            "",
            1000,
            Opener(by, acting.device_id, named),
        )
        record = dataclasses.replace(record, **mutation)
        return record, sign_conversation_record(record, signer or acting.sign)

    def take(self, built: Built) -> ChainState:
        """Make a record the head; raises what the standing rules raise."""
        record, signature = built
        self.state = check_standing(self.state, record, signature, self.world.accounts)[1]
        return self.state

    def open(self, by: str, /, *changes: Change, **mutation: Any) -> ChainState:
        """The next epoch, by the rules."""
        return self.take(self.next(by, *changes, **mutation))

    def removal(self, name: str, **other: Any) -> Change:
        """The removal of a member, which names what the roster names."""
        return dataclasses.replace(self.head.roster()[name], role=Role.REMOVED, **other)

    def leave(
        self, name: str, *, device: Device | None = None, signer: Signer | None = None, **other: Any
    ) -> SignedLeave:
        """A member's leave of the present stay, under its newest account version."""
        person = self.world[name]
        acting = device or person.device
        added = self.head.added().get(name, self.head.head_hash)
        newest = person.newest
        leave = Leave(self.conversation_id, added, name, acting.device_id, newest.version, account_hash(newest))
        return sign_leave(dataclasses.replace(leave, **other), signer or acting.sign)


def on_foreign_head(state: ChainState, **head: Any) -> ChainState:
    """A state whose head has fields that this program never writes: what a later one may have taken."""
    changed = dataclasses.replace(state.head, **head)
    return dataclasses.replace(state, head=changed, head_hash=record_hash(changed))
