"""Account records: who an account is, which devices it has, and the chain that only its identity key extends."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Final

from tacit import errors
from tacit.crypto import verify as doors
from tacit.signed import labels
from tacit.signed.profiles import ALGORITHMS, KeyAlgorithm, Profile, check_wrapping_key
from tacit.signed.verify import (
    ZERO_HASH,
    HashedOnce,
    Signer,
    Verified,
    hash_once,
    sign,
    signature_holds,
    struct_hash,
    verify,
)
from tacit.wire import limits
from tacit.wire.codec import Many, struct
from tacit.wire.encodings import U16, U64, Enum, Hash, Id, PublicKey, Signature, Text, Variable

DeviceId = Annotated[str, Text(64, 64)]
"""SHA-256 of the device's request key in lowercase hex: 64 bytes."""


class ResetBy(IntEnum):
    """Who signed a reset besides the new identity key."""

    NO_RESET = 0
    OLD_AIK_AND_DEVICE = 1
    DEVICE = 2
    NOBODY = 3


@struct
class EncryptionKey:
    """One public key that others wrap to."""

    algorithm: Annotated[KeyAlgorithm, Enum(2)]
    public_key: PublicKey


@struct
class EncryptionKeys:
    """The account's present encryption keys: the `publicKey` field and column."""

    keys: Annotated[tuple[EncryptionKey, ...], Many(limits.ENCRYPTION_KEYS)]


@struct
class DeviceKey:
    """What a device id is the hash of."""

    user_id: Id
    request_key: PublicKey


@struct
class DeviceCertificate:
    """One device's keys, certified by standing in an account record.

    `request_key` signs requests, records and messages; `mls_key` is for MLS leaves (empty in the profile `compat`);
    `kem_key` (X-Wing, 1216 bytes, in the profile `standard`, else RSA) takes the vault's outer key.
    """

    user_id: Id
    device_id: DeviceId
    request_key: PublicKey
    mls_key: Annotated[bytes, Variable(limits.KEY_BYTES)]
    kem_key: PublicKey
    suites: Annotated[tuple[U16, ...], Many(limits.SUITES)]


@struct
class RevokedDevice:
    """A device that was revoked, and the account version that did it."""

    device_id: DeviceId
    version: U64


@struct
class OuterRef:
    """The vault's outer part that an account record names: its version and its header's hash."""

    version: U64
    hash: Hash


@struct
class ResetNote:
    """Whether the record is a reset, and the device that asked for it (empty where none did)."""

    by: Annotated[ResetBy, Enum(1)]
    device_id: Annotated[str, Text(64)]


@struct
class AccountRecord(HashedOnce):
    """One version of an account, signed by the identity key of the version before it (the first one by its own)."""

    server_name: Id
    user_id: Id
    version: U64
    previous_hash: Hash
    aik: PublicKey
    profile: Annotated[Profile, Enum(1)]
    encryption_keys: Annotated[tuple[EncryptionKey, ...], Many(limits.ENCRYPTION_KEYS)]
    archive_key_id: Annotated[bytes, Variable(32)]
    devices: Annotated[tuple[DeviceCertificate, ...], Many(limits.DEVICES)]
    revoked: Annotated[tuple[RevokedDevice, ...], Many(limits.REVOKED_DEVICES)]
    reset_by: ResetNote
    inner_hash: Hash
    boxes_hash: Hash
    outer: OuterRef


@struct
class AccountSignatures:
    """The `signature` field and column of an account record.

    `aik`: by the identity key of the record before (the first one's and a reset's own); `device`: the first device's
    proof of possession, or that of the device that asks for a reset; `old_aik`: a reset's that the identity key before
    allows. Empty where there is none.
    """

    aik: Signature
    device: Signature
    old_aik: Signature


@struct
class AikKey:
    """What an identity key's fingerprint is the hash of."""

    profile: Annotated[Profile, Enum(1)]
    aik: PublicKey


NO_RESET: Final = ResetNote(ResetBy.NO_RESET, "")


def device_id_of(user_id: str, request_key: bytes) -> str:
    """The device id: SHA-256 over the labelled {user_id, request_key}, 64 lowercase hex digits."""
    return struct_hash(labels.DEVICE_ID, DeviceKey(user_id, request_key)).hex()


@lru_cache(maxsize=16_384)  # more than the members of the largest conversation
def aik_fingerprint(profile: Profile, aik: bytes) -> bytes:
    """The 32-byte hash that rosters and unlockers know an identity key by."""
    return struct_hash(labels.AIK_FINGERPRINT, AikKey(profile, aik))


def account_hash(record: AccountRecord) -> bytes:
    """The record's hash, 32 bytes; its hex is the account's `keyId`."""
    return hash_once(labels.ACCOUNT_RECORD, record)


def sign_record(
    record: AccountRecord, aik: Signer, device: Signer | None = None, old_aik: Signer | None = None
) -> AccountSignatures:
    """The signatures of a record: by the identity key, and for the first version and resets by a device.

    `old_aik` is the identity key before a reset, where it allows it.
    """
    possession = sign(labels.DEVICE_POSSESSION, record, device) if device is not None else b""
    allowed = sign(labels.ACCOUNT_RESET, record, old_aik) if old_aik is not None else b""
    return AccountSignatures(sign(labels.ACCOUNT_RECORD, record, aik), possession, allowed)


def is_reset(record: AccountRecord) -> bool:
    """Whether the record puts another identity key in the place of the one before it."""
    return record.reset_by != NO_RESET


def certificate(record: AccountRecord, device_id: str) -> DeviceCertificate | None:
    """The certificate of a device in this record, or None."""
    return next((device for device in record.devices if device.device_id == device_id), None)


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise errors.InvalidAccountRecord(rule)


def check_form(record: AccountRecord) -> None:
    """The rules that one record alone can break; raises `InvalidAccountRecord` or `UnsupportedSuite`."""
    has = ALGORITHMS[record.profile]
    doors.check_public(has.signature, record.aik)
    ended = not record.devices and not record.encryption_keys
    algorithms = tuple(key.algorithm for key in record.encryption_keys)
    _require(ended or algorithms == has.encryption, "the encryption keys are not those of the profile")
    for key in record.encryption_keys:
        check_wrapping_key(record.profile, key.algorithm, key.public_key)
    _require(len(record.archive_key_id) == (0 if ended else 32), "the archive key's id has the wrong length")
    ids = [device.device_id for device in record.devices]
    _require(ids == sorted(set(ids)), "devices are not sorted by id, or one stands twice")
    gone = [device.device_id for device in record.revoked]
    _require(gone == sorted(set(gone)), "revoked devices are not sorted by id, or one stands twice")
    _require(not set(ids) & set(gone), "a revoked device is certified")
    for device in record.devices:
        _require(device.user_id == record.user_id, "a certificate is for another user")
        expected = device_id_of(record.user_id, device.request_key)
        _require(device.device_id == expected, "a device id is not the hash of its request key")
        doors.check_public(has.signature, device.request_key)
        check_wrapping_key(record.profile, has.kem, device.kem_key)
        if has.mls is not None:
            doors.check_public(has.mls, device.mls_key)
        _require((has.mls is None) == (device.mls_key == b""), "an MLS key stands where the profile has none")
        _require(set(device.suites) <= set(has.suites), "a device has an MLS suite that its profile does not have")
        _require(device.mls_key != device.request_key, "a device uses one key for two purposes")
    note = record.reset_by
    if note.by is ResetBy.NOBODY:
        raise errors.UnsupportedSuite("a reset that nobody signed besides")
    _require((note.by is ResetBy.NO_RESET) == (note.device_id == ""), "a reset names no device, or what is none does")


def verify_first(record: AccountRecord, signatures: AccountSignatures) -> Verified[AccountRecord]:
    """The first record of an account, on its own word: form, own signature, first device's possession.

    Raises `InvalidAccountRecord`, `BadSignature` or `UnsupportedSuite`.
    """
    check_form(record)
    _require(record.version == 1, "the first version is not 1")
    _require(record.reset_by == NO_RESET, "the first version is a reset")
    _require(record.previous_hash == ZERO_HASH, "the first version names an earlier one")
    _require(len(record.devices) == 1 and not record.revoked, "the first version has not exactly one device")
    _require(signatures.old_aik == b"", "a signature stands where none belongs")
    device = record.devices[0]
    if not signature_holds(labels.DEVICE_POSSESSION, record, device.request_key, signatures.device, record.profile):
        raise errors.BadSignature("device possession")
    return verify(labels.ACCOUNT_RECORD, record, record.aik, signatures.aik, record.profile)


def verify_next(
    before: Verified[AccountRecord], record: AccountRecord, signatures: AccountSignatures
) -> Verified[AccountRecord]:
    """A record that follows a verified one: chain, form, and the signature of the identity key before it.

    A reset changes that key; whoever trusted the one before has to be told (`is_reset`).

    Raises `InvalidAccountRecord`, `BadSignature` or `UnsupportedSuite`.
    """
    old = before.value
    _require(record.server_name == old.server_name and record.user_id == old.user_id, "the record is another account's")
    _require(record.version == old.version + 1, "the version is not one more")
    _require(record.previous_hash == account_hash(old), "the record before it is another")
    _require(record.profile is old.profile, "the profile changed")
    _require(bool(old.devices or old.encryption_keys), "the account has ended")
    check_form(record)
    gone = _check_devices(old, record)
    if record.reset_by != NO_RESET:
        return _verify_reset(old, record, signatures)
    _require(record.aik == old.aik, "the identity key changed without a reset")
    _require(signatures.device == b"" and signatures.old_aik == b"", "a signature stands where none belongs")
    _require(record.outer.version >= old.outer.version, "the vault's outer part went back")
    same = record.outer.version == old.outer.version
    _require(not same or record.outer.hash == old.outer.hash, "the vault's outer part is another in the same version")
    if gone:
        _require(not same or not record.devices, "a revocation left the vault's outer part as it was")
        _check_replaced(old, record)
    return verify(labels.ACCOUNT_RECORD, record, old.aik, signatures.aik, old.profile)


def _check_devices(old: AccountRecord, record: AccountRecord) -> set[str]:
    """What a record may do to the devices of the one before it; those that it revokes."""
    former = {device.device_id: device for device in old.devices}
    present = {device.device_id: device for device in record.devices}
    gone = {device.device_id: device.version for device in record.revoked}
    for device in old.revoked:
        _require(gone.get(device.device_id) == device.version, "a revocation was taken back")
    newly = set(gone) - {device.device_id for device in old.revoked}
    _require(newly == set(former) - set(present), "devices that went are not those newly revoked")
    _require(all(gone[device_id] == record.version for device_id in newly), "a revocation names another version")
    for device_id in set(former) & set(present):
        _require(former[device_id] == present[device_id], "a device's certificate changed")
    return newly


def _check_replaced(old: AccountRecord, record: AccountRecord) -> None:
    """Nothing that others wrap to, or that the account wraps under, outlives a revocation or a reset."""
    kept = {key.public_key for key in old.encryption_keys} & {key.public_key for key in record.encryption_keys}
    _require(not kept, "an encryption key outlived a revocation or a reset")
    ended = not record.archive_key_id
    _require(ended or record.archive_key_id != old.archive_key_id, "the archive key outlived a revocation or a reset")
    _require(record.boxes_hash != old.boxes_hash, "the vault's boxes outlived a revocation or a reset")


def _verify_reset(old: AccountRecord, record: AccountRecord, signatures: AccountSignatures) -> Verified[AccountRecord]:
    """A record under another identity key, which nobody follows without a word.

    Signed by the new identity key and by a device that stays; with `OLD_AIK_AND_DEVICE` by the old identity key too.
    Else the device is one that the record before certifies, and nothing but those stays.
    """
    note = record.reset_by
    _require(record.aik != old.aik, "a reset keeps the identity key")
    _check_replaced(old, record)
    _require(record.inner_hash != old.inner_hash, "a reset keeps the vault's inner part")
    _require(record.outer.version == 1, "a reset does not begin the vault's outer part anew")
    asking = certificate(record, note.device_id)
    if asking is None:
        raise errors.InvalidAccountRecord("a reset is asked for by a device that it does not keep")
    if not signature_holds(labels.DEVICE_POSSESSION, record, asking.request_key, signatures.device, record.profile):
        raise errors.BadSignature("the device that asks for a reset")
    if note.by is ResetBy.OLD_AIK_AND_DEVICE:
        if not signature_holds(labels.ACCOUNT_RESET, record, old.aik, signatures.old_aik, old.profile):
            raise errors.BadSignature("the identity key before a reset")
    else:
        _require(signatures.old_aik == b"", "a signature stands where none belongs")
        former = {device.device_id for device in old.devices}
        _require({device.device_id for device in record.devices} <= former, "a device alone certifies no other")
    return verify(labels.ACCOUNT_RECORD, record, record.aik, signatures.aik, record.profile)


def verify_chain(
    chain: Sequence[tuple[AccountRecord, AccountSignatures]], pin: Verified[AccountRecord] | None = None
) -> list[Verified[AccountRecord]]:
    """The records that follow `pin` (or start the account), oldest first, each verified on the one before it."""
    found: list[Verified[AccountRecord]] = []
    newest = pin
    for record, signatures in chain:
        newest = verify_first(record, signatures) if newest is None else verify_next(newest, record, signatures)
        found.append(newest)
    return found
