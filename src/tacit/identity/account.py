"""Making an account: identity key, AMK, first device, unlockers, vault and the first record, all on the device."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from tacit.crypto.secret import Randomness, Secret
from tacit.identity import unlockers
from tacit.identity.keys import (
    GenerateRsa,
    SigningKey,
    new_signing_key,
    new_wrapping_key,
    private_key,
    signing_key,
    unwrap,
    wrap,
)
from tacit.identity.vault import (
    ARCHIVE_KEY_BYTES,
    NewEntry,
    Writer,
    archive_key_entry,
    archive_key_id,
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
    OuterRef,
    device_id_of,
    sign_record,
    verify_first,
)
from tacit.signed.profiles import ALGORITHMS, Profile
from tacit.signed.vault import Box, BoxContext, Boxes, Vault, boxes_hash, header_hash, inner_hash
from tacit.signed.verify import ZERO_HASH, Verified, labelled
from tacit.wire import limits
from tacit.wire.codec import struct
from tacit.wire.encodings import Enum, Hash, Id, Variable


@struct
class DeviceSecrets:
    """What a device keeps in its sealed local store: its own keys and the account's outer key of 32 bytes.

    Seeds have 32 bytes (`mls_seed` none in the profile `compat`); `kem_private` is an X-Wing seed of 32 bytes or an RSA
    key as PKCS#8 DER, as the profile has it. Neither the identity key nor the AMK is among them.
    """

    user_id: Id
    profile: Annotated[Profile, Enum(1)]
    request_seed: Hash
    mls_seed: Annotated[bytes, Variable(32)]
    kem_private: Annotated[bytes, Variable(limits.KEY_BYTES)]
    outer_key: Hash

    def __repr__(self) -> str:
        return f"DeviceSecrets({self.user_id!r})"

    def request_key(self) -> SigningKey:
        """The key that signs requests, records and messages."""
        return signing_key(self.profile, Secret(self.request_seed))

    def device_id(self) -> str:
        """The device's id, 64 hex digits."""
        return device_id_of(self.user_id, self.request_key().public)


def new_device(
    profile: Profile, user_id: str, outer_key: Secret, random: Randomness, generate_rsa: GenerateRsa
) -> DeviceSecrets:
    """A device's keys, made on it and never leaving it."""
    has = ALGORITHMS[profile]
    request_seed = new_signing_key(profile, random).seed.reveal()
    mls_seed = new_signing_key(profile, random).seed.reveal() if has.mls is not None else b""
    kem = new_wrapping_key(has.kem, random, generate_rsa)
    return DeviceSecrets(user_id, profile, request_seed, mls_seed, kem.private.reveal(), outer_key.reveal())


def certificate_of(device: DeviceSecrets) -> DeviceCertificate:
    """The public half of a device's keys."""
    has = ALGORITHMS[device.profile]
    return DeviceCertificate(
        device.user_id,
        device.device_id(),
        device.request_key().public,
        signing_key(device.profile, Secret(device.mls_seed)).public if has.mls is not None else b"",
        private_key(has.kem, Secret(device.kem_private)).public,
        has.suites,
    )


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """Encryption keys and archive key of an account: what its record names, and the entries that keep the rest."""

    public: tuple[EncryptionKey, ...]
    archive_key_id: bytes
    entries: tuple[NewEntry, ...] = field(repr=False)


def make_keys(profile: Profile, random: Randomness, generate_rsa: GenerateRsa) -> AccountKeys:
    """Fresh keys for others to wrap to, those of the profile, and a fresh archive key."""
    made = [new_wrapping_key(algorithm, random, generate_rsa) for algorithm in ALGORITHMS[profile].encryption]
    archive_key = Secret(random(ARCHIVE_KEY_BYTES))
    return AccountKeys(
        tuple(EncryptionKey(key.algorithm, key.public) for key in made),
        archive_key_id(archive_key),
        (
            *(private_key_entry(key.algorithm, key.public, key.private) for key in made),
            archive_key_entry(archive_key),
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
    generate_rsa: GenerateRsa,
    cost: unlockers.Cost | None = None,
    profile: Profile = Profile.STANDARD,
) -> Registration:
    """A new account, of its profile for life, with its first device, a password and a recovery key.

    `now` in Unix milliseconds. RSA generation draws its own randomness, hence the argument.
    """
    aik = new_signing_key(profile, random)
    amk, outer_key = Secret(random(32)), Secret(random(32))
    device = new_device(profile, user_id, outer_key, random, generate_rsa)
    certificate = certificate_of(device)
    keys = make_keys(profile, random, generate_rsa)
    account = unlockers.Account(server_name, user_id, profile, aik.public)
    by_password = unlockers.new_password(account, password, cost or unlockers.Cost(), amk, random)
    by_words, recovery_key = unlockers.new_recovery_key(account, amk, random)
    inner = unlockers.wrap_inner(account, (by_password, by_words), amk, aik, outer_key)
    boxes = make_boxes(profile, server_name, user_id, 1, (certificate,), outer_key)
    request_key = device.request_key()
    writer = Writer(certificate.device_id, request_key.sign)
    outer = seal_outer(server_name, user_id, 1, None, merge((), keys.entries, 1, writer), outer_key, writer, now)
    record = AccountRecord(
        server_name,
        user_id,
        1,
        ZERO_HASH,
        aik.public,
        profile,
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
    profile: Profile,
    server_name: str,
    user_id: str,
    version: int,
    devices: tuple[DeviceCertificate, ...],
    outer_key: Secret,
) -> Boxes:
    """The outer key, wrapped to each device of the account version."""
    algorithm = ALGORITHMS[profile].kem
    boxes = []
    for device in devices:
        info = labelled(labels.BOX, BoxContext(server_name, user_id, version, device.device_id))
        boxes.append(Box(device.device_id, wrap(algorithm, device.kem_key, info, outer_key.reveal())))
    return Boxes(tuple(boxes))


def open_box(record: AccountRecord, box: Box, kem_private: Secret) -> Secret:
    """The outer key out of a device's box; raises `DecryptionError`.

    Boxes wrapped by RSA are bound to the account's version by the record's `boxes_hash` alone.
    """
    info = labelled(labels.BOX, BoxContext(record.server_name, record.user_id, record.version, box.device_id))
    return unwrap(private_key(ALGORITHMS[record.profile].kem, kem_private), info, box.wrapped_outer_key)
