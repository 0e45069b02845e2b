"""The vault's structs, hashes and the device signature of its outer part; nothing here opens anything."""

from __future__ import annotations

from collections.abc import Container
from enum import IntEnum
from typing import Annotated

from tacit import errors
from tacit.signed import labels
from tacit.signed.account import AccountRecord, DeviceId, certificate
from tacit.signed.profiles import Profile
from tacit.signed.verify import Verified, struct_hash, verify
from tacit.wire import limits
from tacit.wire.codec import Many, struct
from tacit.wire.encodings import U8, U32, U64, Enum, Hash, Id, Signature, Variable, WrappedKey


class UnlockerKind(IntEnum):
    """What gives an unlocker its secret."""

    PASSWORD = 1
    RECOVERY_KEY = 2
    PASSKEY = 3
    TOKEN = 4


class EntryKind(IntEnum):
    """What an entry of the vault's outer part holds."""

    ENCRYPTION_KEY = 1
    ARCHIVE_KEY = 2
    CONTACT_PIN = 3
    VERIFICATION = 4
    CONVERSATION_PIN = 5
    CONVERSATION_HEAD = 6
    CHECKPOINT = 7
    DEVICE_NAME = 8


@struct
class PasswordParameters:
    """Argon2id's cost and the salt handed out by the server: kdf 1, KiB, passes, lanes, salt of 16 to 64 bytes."""

    kdf: U8
    memory_kib: U32
    iterations: U32
    lanes: U8
    salt: Annotated[bytes, Variable(64, 16)]


@struct
class Unlocker:
    """One way to the AMK: its public parameters, the hash of its proof and the AMK sealed under its secret."""

    id: Id
    kind: Annotated[UnlockerKind, Enum(1)]
    parameters: Annotated[bytes, Variable(1024)]
    proof_hash: Hash
    wrapped_amk: WrappedKey


@struct
class Inner:
    """The part of the vault that goes out only against an unlocker's proof."""

    unlockers: Annotated[tuple[Unlocker, ...], Many(limits.UNLOCKERS)]
    wrapped_aik: WrappedKey
    wrapped_outer_key: WrappedKey


@struct
class Box:
    """The outer key, wrapped to one device's `kem_key`."""

    device_id: DeviceId
    wrapped_outer_key: WrappedKey


@struct
class Boxes:
    """One box for each device of the account record, sorted by device id."""

    boxes: Annotated[tuple[Box, ...], Many(limits.DEVICES)]


@struct
class OuterHeader:
    """What a device signs of the vault's outer part; `written_at` in Unix milliseconds."""

    server_name: Id
    user_id: Id
    account_version: U64
    version: U64
    previous_hash: Hash
    written_at: U64
    device_id: DeviceId
    entries_hash: Hash


@struct
class Outer:
    """The outer part: header, the device's signature over it, the sealed entries."""

    header: OuterHeader
    signature: Signature
    sealed_entries: Annotated[bytes, Variable(limits.OUTER_BYTES)]


@struct
class Vault:
    """`encryptedPrivateKey` at registration and with each account record."""

    inner: Inner
    boxes: Boxes
    outer: Outer


@struct
class Sealed:
    """What the header's `entries_hash` is the hash of."""

    sealed_entries: Annotated[bytes, Variable(limits.OUTER_BYTES)]


@struct
class Proof:
    """What an unlocker's `proof_hash` is the hash of: 32 bytes."""

    proof: Hash


@struct
class Entry:
    """One entry of the outer part, signed by its device; an empty value is a tombstone."""

    kind: Annotated[EntryKind, Enum(1)]
    key: Annotated[bytes, Variable(1024)]
    value: Annotated[bytes, Variable(limits.RECORD_BYTES)]
    clock: U64
    device_id: DeviceId

    def __repr__(self) -> str:
        # The value may be a private key.
        place = f"{self.kind!r}, {self.key!r}"
        return f"Entry({place}, {len(self.value)} bytes, clock={self.clock}, device_id={self.device_id!r})"


@struct
class SignedEntry:
    """An entry with the signature of the device that wrote it."""

    entry: Entry
    signature: Signature


@struct
class Entries:
    """The outer part's plaintext, sorted by (kind, key)."""

    entries: Annotated[tuple[SignedEntry, ...], Many(limits.VAULT_ENTRIES)]


# Contexts that bind a wrapped key to its place; each is used under its own label.


@struct
class PasswordSalt:
    """The salt of the password KDF before hashing."""

    server_name: Id
    user_id: Id
    salt: Annotated[bytes, Variable(64, 16)]


@struct
class UnlockContext:
    """Binds an unlocker's key and wrapped AMK to account, profile and identity key."""

    server_name: Id
    user_id: Id
    profile: Annotated[Profile, Enum(1)]
    unlocker_id: Id
    aik_fingerprint: Hash


@struct
class AuthContext:
    """Binds an unlocker's proof."""

    server_name: Id
    user_id: Id
    unlocker_id: Id


@struct
class AccountContext:
    """Binds the wrapped AIK and the wrapped outer key, each under its own label."""

    server_name: Id
    user_id: Id
    aik_fingerprint: Hash


@struct
class BoxContext:
    """HPKE info of a box."""

    server_name: Id
    user_id: Id
    account_version: U64
    device_id: DeviceId


def inner_hash(inner: Inner) -> bytes:
    """The hash that the account record names, 32 bytes."""
    return struct_hash(labels.INNER, inner)


def boxes_hash(boxes: Boxes) -> bytes:
    """The hash that the account record names, 32 bytes."""
    return struct_hash(labels.BOXES, boxes)


def header_hash(header: OuterHeader) -> bytes:
    """The hash by which the account record and the next outer part name this one, 32 bytes."""
    return struct_hash(labels.OUTER_HEADER, header)


def entries_hash(sealed_entries: bytes) -> bytes:
    """The header's hash of the sealed entries, 32 bytes."""
    return struct_hash(labels.OUTER_ENTRIES, Sealed(sealed_entries))


def proof_hash(proof: bytes) -> bytes:
    """What the server keeps of an unlocker's proof, 32 bytes."""
    return struct_hash(labels.PROOF, Proof(proof))


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise errors.InvalidVault(rule)


def verify_outer(record: AccountRecord, outer: Outer) -> Verified[OuterHeader]:
    """An outer part under the account record that certifies its writer.

    Raises `InvalidVault` when it is another account's, below or different at the version that the record names,
    or by a device that the record does not certify; `BadSignature`.
    """
    header = outer.header
    _require(header.server_name == record.server_name and header.user_id == record.user_id, "it is another account's")
    _require(header.account_version <= record.version, "it names an account version to come")
    _require(header.version >= record.outer.version, "it is older than the account record says")
    ahead = header.version - record.outer.version
    _require(ahead < limits.OUTER_AHEAD and header.version < limits.OUTER_VERSION, "its version is too high")
    if header.version == record.outer.version:
        _require(header_hash(header) == record.outer.hash, "it differs from the one that the account record names")
    _require(entries_hash(outer.sealed_entries) == header.entries_hash, "the entries are not those that were signed")
    writer = certificate(record, header.device_id)
    if writer is None:
        raise errors.InvalidVault("its device is not certified")
    return verify(labels.OUTER_HEADER, header, writer.request_key, outer.signature, record.profile)


def verify_outer_next(record: AccountRecord, before: OuterHeader, outer: Outer) -> Verified[OuterHeader]:
    """An outer part that follows `before` under the same account record; raises as `verify_outer` does."""
    header = outer.header
    _require(header.account_version == record.version, "it names another account version")
    _require(header.version == before.version + 1, "its version is not one more")
    _require(header.previous_hash == header_hash(before), "the part before it is another")
    return verify_outer(record, outer)


def check_vault(record: AccountRecord, vault: Vault, earlier: Container[bytes] = ()) -> Verified[OuterHeader]:
    """A whole vault beside the account record that names its parts; raises `InvalidVault` or `BadSignature`.

    `earlier` are hashes that an inner part may have besides: of records under the same identity key, where a restored
    server has no later one.
    """
    own = inner_hash(vault.inner)
    _require(own == record.inner_hash or own in earlier, "the inner part is not the one that the record names")
    _require(boxes_hash(vault.boxes) == record.boxes_hash, "the boxes are not those that the record names")
    boxed = [box.device_id for box in vault.boxes.boxes]
    _require(boxed == [device.device_id for device in record.devices], "the boxes are not for exactly the devices")
    ids = [unlocker.id for unlocker in vault.inner.unlockers]
    _require(len(ids) == len(set(ids)) and bool(ids), "there is no unlocker, or one id stands twice")
    return verify_outer(record, vault.outer)
