"""Making an account: identity key, AMK, first device, unlockers, vault and the first record, all on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tacit.crypto import hpke
from tacit.crypto.kdf import hkdf_sha256
from tacit.crypto.kem import XWing
from tacit.crypto.rsa import RsaKey
from tacit.crypto.secret import Randomness, Secret
from tacit.crypto.sign import Ed25519Key
from tacit.identity import unlockers
from tacit.identity.vault import (
    NewEntry,
    Writer,
    archive_key_entry,
    merge,
    private_key_entry,
    seal_outer,
)
from tacit.identity.words import to_words
from tacit.signed import labels
from tacit.signed.account import (
    NO_RESET,
    AccountRecord,
    AccountSignatures,
    DeviceCertificate,
    EncryptionKey,
    KeyAlgorithm,
    OuterRef,
    device_id_of,
    sign_record,
    verify_first,
)
from tacit.signed.vault import Box, BoxContext, Boxes, Vault, boxes_hash, header_hash, inner_hash
from tacit.signed.verify import ZERO_HASH, Profile, Verified, labelled
from tacit.wire.codec import Hash, Id, struct

SUITES = (1, 0x0053)
"""The MLS suites that a device of the profile `standard` will have."""


@struct
class NoContext:
    """An empty struct: the label alone says what is derived."""


@struct
class DeviceSecrets:
    """What a device keeps in its sealed local store: its own three seeds and the account's outer key, 32 bytes each.

    Neither the identity key nor the AMK is among them.
    """

    user_id: Id
    request_seed: Hash
    mls_seed: Hash
    kem_seed: Hash
    outer_key: Hash

    def __repr__(self) -> str:
        return f"DeviceSecrets({self.user_id!r})"

    def request_key(self) -> Ed25519Key:
        """The key that signs requests, records and messages."""
        return Ed25519Key.from_seed(Secret(self.request_seed))

    def device_id(self) -> str:
        """The device's id, 64 hex digits."""
        return device_id_of(self.user_id, self.request_key().public)


def new_device(user_id: str, outer_key: Secret, random: Randomness) -> DeviceSecrets:
    """A device's keys, made on it and never leaving it."""
    return DeviceSecrets(user_id, random(32), random(32), random(32), outer_key.reveal())


def certificate_of(device: DeviceSecrets) -> DeviceCertificate:
    """The public half of a device's keys."""
    return DeviceCertificate(
        device.user_id,
        device.device_id(),
        device.request_key().public,
        Ed25519Key.from_seed(Secret(device.mls_seed)).public,
        XWing(Secret(device.kem_seed)).public,
        SUITES,
    )


def archive_key_id(archive_key: Secret) -> bytes:
    """The id that the account record names, 32 bytes; derived, so that it says nothing of the key."""
    return hkdf_sha256(archive_key, labelled(labels.ARCHIVE_KEY_ID, NoContext())).reveal()


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """Encryption keys and archive key of an account: what its record names, and the entries that keep the rest."""

    public: tuple[EncryptionKey, ...]
    archive_key_id: bytes
    entries: tuple[NewEntry, ...] = field(repr=False)


def make_keys(random: Randomness, generate_rsa: Callable[[], RsaKey]) -> AccountKeys:
    """Fresh keys for others to wrap to, and a fresh archive key."""
    x_wing, rsa, archive_key = XWing.generate(random), generate_rsa(), Secret(random(32))
    key_id = archive_key_id(archive_key)
    return AccountKeys(
        (EncryptionKey(KeyAlgorithm.X_WING, x_wing.public), EncryptionKey(KeyAlgorithm.RSA, rsa.public)),
        key_id,
        (
            private_key_entry(KeyAlgorithm.X_WING, x_wing.public, x_wing.seed),
            private_key_entry(KeyAlgorithm.RSA, rsa.public, rsa.private),
            archive_key_entry(key_id, archive_key),
        ),
    )


@dataclass(frozen=True, slots=True)
class Registration:
    """Everything that a registration makes: what is published, what the device keeps, what the person writes down.

    Its repr leaves the last two out.
    """

    record: Verified[AccountRecord]
    signatures: AccountSignatures
    vault: Vault
    device: DeviceSecrets
    entries: tuple[NewEntry, ...] = field(repr=False)
    words: tuple[str, ...] = field(repr=False)


def register(
    server_name: str,
    user_id: str,
    password: Secret,
    *,
    now: int,
    random: Randomness,
    generate_rsa: Callable[[], RsaKey],
    cost: unlockers.Cost | None = None,
) -> Registration:
    """A new account of the profile `standard` with its first device, a password and a recovery key.

    `now` in Unix milliseconds. RSA generation draws its own randomness, hence the argument.
    """
    aik = Ed25519Key.generate(random)
    amk, outer_key = Secret(random(32)), Secret(random(32))
    device = new_device(user_id, outer_key, random)
    certificate = certificate_of(device)
    keys = make_keys(random, generate_rsa)
    account = unlockers.Account(server_name, user_id, Profile.STANDARD, aik.public)
    by_password = unlockers.new_password(account, password, cost or unlockers.Cost(), amk, random)
    by_words, recovery_key = unlockers.new_recovery_key(account, amk, random)
    inner = unlockers.wrap_inner(account, (by_password, by_words), amk, aik, outer_key)
    boxes = make_boxes(server_name, user_id, 1, (certificate,), outer_key)
    request_key = device.request_key()
    writer = Writer(certificate.device_id, request_key.sign)
    outer = seal_outer(server_name, user_id, 1, None, merge((), keys.entries, 1, writer), outer_key, writer, now)
    record = AccountRecord(
        server_name,
        user_id,
        1,
        ZERO_HASH,
        aik.public,
        Profile.STANDARD,
        keys.public,
        keys.archive_key_id,
        (certificate,),
        (),
        NO_RESET,
        inner_hash(inner),
        boxes_hash(boxes),
        OuterRef(outer.header.version, header_hash(outer.header)),
    )
    signatures = sign_record(record, aik.sign, request_key.sign)
    verified = verify_first(record, signatures)
    return Registration(verified, signatures, Vault(inner, boxes, outer), device, keys.entries, to_words(recovery_key))


def make_boxes(
    server_name: str, user_id: str, version: int, devices: tuple[DeviceCertificate, ...], outer_key: Secret
) -> Boxes:
    """The outer key, wrapped to each device of the account version."""
    boxes = []
    for device in devices:
        info = labelled(labels.BOX, BoxContext(server_name, user_id, version, device.device_id))
        boxes.append(Box(device.device_id, hpke.seal(hpke.STANDARD, device.kem_key, info, outer_key.reveal())))
    return Boxes(tuple(boxes))


def open_box(record: AccountRecord, box: Box, kem_seed: Secret) -> Secret:
    """The outer key out of a device's box; raises `DecryptionError`."""
    info = labelled(labels.BOX, BoxContext(record.server_name, record.user_id, record.version, box.device_id))
    return Secret(hpke.open(hpke.STANDARD, kem_seed, info, box.wrapped_outer_key))
