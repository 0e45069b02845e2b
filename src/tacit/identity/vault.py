"""The vault's outer part: signed entries, sealed under the outer key that signed-in devices hold."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from tacit import errors
from tacit.crypto import sealed
from tacit.crypto.digest import equal
from tacit.crypto.kdf import hkdf_sha256
from tacit.crypto.secret import Secret
from tacit.identity.keys import private_key_of
from tacit.signed import labels
from tacit.signed.account import AccountRecord, EncryptionKey
from tacit.signed.profiles import KeyAlgorithm
from tacit.signed.vault import (
    Entries,
    Entry,
    EntryKind,
    Outer,
    OuterHeader,
    SignedEntry,
    entries_hash,
    header_hash,
)
from tacit.signed.verify import ZERO_HASH, Signer, labelled, sign, struct_hash, verify
from tacit.wire import limits
from tacit.wire.codec import decode, encode, struct
from tacit.wire.encodings import U64, Enum, Hash, Id, PublicKey, Variable

ARCHIVE_KEY_BYTES: Final = 32


@struct
class NoContext:
    """An empty struct: the label alone says what is derived."""


MOST: Final = limits.OUTER_BYTES - 64 * limits.KIB
"""Bytes of entries that a device writes: as many as fit, sealed, with something to spare."""
MOST_ENTRIES: Final = limits.VAULT_ENTRIES


@struct
class OuterContext:
    """What the sealed entries are bound to."""

    server_name: Id
    user_id: Id
    account_version: U64
    version: U64


@struct
class PrivateKey:
    """Value of an entry ENCRYPTION_KEY: an account encryption key with its private half.

    X-Wing: a seed of 32 bytes; RSA: PKCS#8 DER.
    """

    algorithm: Annotated[KeyAlgorithm, Enum(2)]
    public_key: PublicKey
    private: Annotated[bytes, Variable(limits.KEY_BYTES)]

    def __repr__(self) -> str:
        return f"PrivateKey({self.algorithm!r}, {self.public_key.hex()})"


@struct
class ContactPin:
    """Value of an entry CONTACT_PIN, under the user id: the first account record of somebody that was verified."""

    user_id: Id
    version: U64
    account_hash: Hash
    aik_fingerprint: Hash


@struct
class ConversationHead:
    """Value of an entry CONVERSATION_PIN (its genesis) or CONVERSATION_HEAD, under the conversation's id."""

    conversation_id: Id
    epoch: U64
    record_hash: Hash


@dataclass(frozen=True, slots=True)
class Writer:
    """The device that writes entries, and its signer."""

    device_id: str
    signer: Signer


@struct
class NewEntry:
    """What is to be written: kind, key, value; an empty value is a tombstone."""

    kind: Annotated[EntryKind, Enum(1)]
    key: Annotated[bytes, Variable(1024)]
    value: Annotated[bytes, Variable(limits.RECORD_BYTES)]

    def __repr__(self) -> str:
        return f"NewEntry({self.kind!r}, {self.key!r}, {len(self.value)} bytes)"


def private_key_entry(algorithm: KeyAlgorithm, public_key: bytes, private: Secret) -> NewEntry:
    """The entry of an account encryption key, under the hash of its public struct."""
    key = key_place(EncryptionKey(algorithm, public_key))
    return NewEntry(EntryKind.ENCRYPTION_KEY, key, encode(PrivateKey(algorithm, public_key, private.reveal())))


def key_place(key: EncryptionKey) -> bytes:
    """Under what an encryption key's private half stands: the hash of its public struct, 32 bytes."""
    return struct_hash(labels.ENCRYPTION_KEY, key)


def archive_key_entry(archive_key: Secret) -> NewEntry:
    """The entry of an archive key, under its id."""
    return NewEntry(EntryKind.ARCHIVE_KEY, archive_key_id(archive_key), archive_key.reveal())


def archive_key_id(archive_key: Secret) -> bytes:
    """The id that the account record names, 32 bytes; derived, so that it says nothing of the key."""
    return hkdf_sha256(archive_key, labelled(labels.ARCHIVE_KEY_ID, NoContext())).reveal()


def contact_entry(pin: ContactPin) -> NewEntry:
    """The entry of a contact's pin."""
    return NewEntry(EntryKind.CONTACT_PIN, pin.user_id.encode(), encode(pin))


def conversation_entry(kind: EntryKind, head: ConversationHead) -> NewEntry:
    """The entry of a conversation's genesis or head."""
    return NewEntry(kind, head.conversation_id.encode(), encode(head))


def device_name_entry(device_id: str, name: str) -> NewEntry:
    """The entry of a device's name, which the server never sees."""
    return NewEntry(EntryKind.DEVICE_NAME, device_id.encode(), name.encode())


def merge(
    held: Iterable[SignedEntry],
    new: Iterable[NewEntry],
    clock: int,
    writer: Writer,
    certified: Container[str] | None = None,
) -> tuple[SignedEntry, ...]:
    """The entries with the new ones signed in at `clock`, sorted; what stays the same keeps its signature.

    With `certified` the word of a device that is not among them is taken over by the writer. A true key that is there
    is neither changed nor taken away, as in `combine`.
    """
    found = {(signed.entry.kind, signed.entry.key): signed for signed in held}
    for item in new:
        place = (item.kind, item.key)
        earlier = found.get(place)
        same = earlier is not None and earlier.entry.value == item.value
        if earlier is not None and same and (certified is None or earlier.entry.device_id in certified):
            continue
        entry = Entry(item.kind, item.key, item.value, clock, writer.device_id)
        signed = SignedEntry(entry, sign(labels.ENTRY, entry, writer.signer))
        if earlier is not None and item.kind in KEYS:
            count = certified if certified is not None else (earlier.entry.device_id, writer.device_id)
            signed = _stronger(earlier, signed, count)
        found[place] = signed
    return tuple(found[place] for place in sorted(found))


def combine(
    first: Iterable[SignedEntry], second: Iterable[SignedEntry], certified: Container[str]
) -> tuple[SignedEntry, ...]:
    """What two devices wrote at the same time in one: in each place the stronger entry, whatever the order.

    `certified` are the devices of the newest account record: an entry of any other loses to all others. Then the
    higher (clock, device_id) wins, tombstones too; of two heads of a conversation the later one; and a true key that is
    there is neither changed nor taken away.
    """
    found: dict[tuple[EntryKind, bytes], SignedEntry] = {}
    for signed in (*first, *second):
        place = (signed.entry.kind, signed.entry.key)
        found[place] = _stronger(found[place], signed, certified) if place in found else signed
    return tuple(found[place] for place in sorted(found))


KEYS: Final = (EntryKind.ENCRYPTION_KEY, EntryKind.ARCHIVE_KEY)


def _stronger(one: SignedEntry, other: SignedEntry, certified: Container[str]) -> SignedEntry:
    """The one of two entries of a place that stays.

    Whether a key is true, which for RSA costs 40 to 400 ms, is asked only where it is one value against another.
    """
    differ = one.entry.value != other.entry.value
    return max(one, other, key=lambda each: (differ and is_true_key(each.entry), _strength(each, certified)))


def _strength(signed: SignedEntry, certified: Container[str]) -> tuple[bool, int, int, str, bytes, bytes]:
    """What entries of one place are compared by: a total order, so that it does not matter who merges what first."""
    entry = signed.entry
    order = -entry.clock if entry.kind in KEYS and entry.value else entry.clock
    return (
        entry.device_id in certified,
        epoch_of_head(entry),
        order,
        entry.device_id,
        entry.value,
        signed.signature,
    )


def is_true_key(entry: Entry) -> bool:
    """Whether an entry is a key that belongs in its place, where any device of the account may have put another.

    An encryption key stands under the hash of its public half, to which the private one belongs; an archive key under
    its own id.
    """
    if entry.kind is EntryKind.ARCHIVE_KEY:
        return len(entry.value) == ARCHIVE_KEY_BYTES and equal(archive_key_id(Secret(entry.value)), entry.key)
    if entry.kind is not EntryKind.ENCRYPTION_KEY:
        return False
    try:
        held = decode(PrivateKey, entry.value)
    except errors.PeerError:
        return False
    place = struct_hash(labels.ENCRYPTION_KEY, EncryptionKey(held.algorithm, held.public_key))
    return place == entry.key and private_key_of(held.algorithm, held.public_key, Secret(held.private)) is not None


def epoch_of_head(entry: Entry) -> int:
    """The epoch that a conversation's head names; 0 for any other entry, and for one that is not of its place."""
    if entry.kind is not EntryKind.CONVERSATION_HEAD or not entry.value:
        return 0
    try:
        head = decode(ConversationHead, entry.value)
    except errors.PeerError:
        return 0
    return head.epoch if head.conversation_id.encode() == entry.key else 0


def seal_outer(
    server_name: str,
    user_id: str,
    account_version: int,
    before: OuterHeader | None,
    entries: tuple[SignedEntry, ...],
    outer_key: Secret,
    writer: Writer,
    now: int,
    version: int | None = None,
) -> Outer:
    """The outer part that follows `before` (None: the first); `now` in Unix milliseconds.

    Its `version` is the next one; that of an account version, which the identity key signs, may be a later one.
    """
    version = version or (before.version + 1 if before else 1)
    context = labelled(labels.OUTER, OuterContext(server_name, user_id, account_version, version))
    sealed_entries = sealed.seal(outer_key, context, encode(Entries(entries)))
    previous = header_hash(before) if before else ZERO_HASH
    header = OuterHeader(
        server_name, user_id, account_version, version, previous, now, writer.device_id, entries_hash(sealed_entries)
    )
    return Outer(header, sign(labels.OUTER_HEADER, header, writer.signer), sealed_entries)


def writers_of(versions: Iterable[AccountRecord]) -> dict[str, bytes]:
    """Every device that a version of the account certifies, with its request key: who may have written an entry."""
    return {device.device_id: device.request_key for version in versions for device in version.devices}


def open_outer(
    record: AccountRecord, outer: Outer, outer_key: Secret, writers: Mapping[str, bytes] | None = None
) -> tuple[SignedEntry, ...]:
    """The entries of an outer part that `signed.vault.verify_outer` accepted under this account record.

    `writers` are the devices that were ever certified (by default those of this record): what a revoked one wrote is
    still needed to open what is old. Raises `DecryptionError`, `InvalidVault` for an entry out of order, with a clock
    to come or by another device, and `BadSignature`.
    """
    if writers is None:
        writers = writers_of([record])
    header = outer.header
    context = OuterContext(header.server_name, header.user_id, header.account_version, header.version)
    plain = sealed.open(outer_key, labelled(labels.OUTER, context), outer.sealed_entries)
    entries = decode(Entries, plain, limits.OUTER_BYTES).entries
    places = [(signed.entry.kind, signed.entry.key) for signed in entries]
    if places != sorted(set(places)):
        raise errors.InvalidVault("its entries are not sorted, or one stands twice")
    for signed in entries:
        check_entry(record, header.version, signed, writers)
    return entries


def read_outer(
    record: AccountRecord, outer: Outer, outer_key: Secret, writers: Mapping[str, bytes]
) -> tuple[SignedEntry, ...] | None:
    """The entries as `open_outer` gives them; None where the device that signed the header put in what is unusable.

    A device in a thief's hands may do so at any time: it must keep nobody from following the header, or from what the
    identity key signs next.
    """
    try:
        return open_outer(record, outer, outer_key, writers)
    except errors.PeerError:
        return None


def check_entry(record: AccountRecord, version: int, signed: SignedEntry, writers: Mapping[str, bytes]) -> None:
    """One entry of the outer part with this version; raises `InvalidVault` or `BadSignature`."""
    if signed.entry.clock > version:
        raise errors.InvalidVault("an entry's clock is ahead of the outer part")
    if signed.entry.clock < 1:
        raise errors.InvalidVault("an entry's clock is before the first outer part")
    writer = writers.get(signed.entry.device_id)
    if writer is None:
        raise errors.InvalidVault("an entry's device was never certified")
    verify(labels.ENTRY, signed.entry, writer, signed.signature, record.profile)


def counted(entries: Iterable[SignedEntry], versions: Iterable[AccountRecord]) -> tuple[SignedEntry, ...]:
    """The entries that count for an account with these versions, oldest first; the others would only take room.

    A key counts that a version names, whoever wrote it; of people and conversations a revoked device says nothing.
    """
    named: set[tuple[EntryKind, bytes]] = set()
    gone: frozenset[str] = frozenset()
    for record in versions:
        named.add((EntryKind.ARCHIVE_KEY, record.archive_key_id))
        named.update((EntryKind.ENCRYPTION_KEY, key_place(key)) for key in record.encryption_keys)
        gone = frozenset(each.device_id for each in record.revoked)

    def counts(entry: Entry) -> bool:
        return (entry.kind, entry.key) in named if entry.kind in KEYS else entry.device_id not in gone

    return tuple(signed for signed in entries if counts(signed.entry))


def fitted(entries: Iterable[SignedEntry], most: int = MOST) -> tuple[SignedEntry, ...]:
    """The entries, as many as fit into `most` bytes: keys, then the words of each device, the briefest device first.

    So no device can fill the vault to keep out what the others say.
    """
    sizes = [(signed, len(encode(signed))) for signed in entries]
    if len(sizes) <= MOST_ENTRIES and sum(size for _, size in sizes) <= most:
        return tuple(signed for signed, _ in sizes)
    said: dict[str, int] = {}
    for signed, size in sizes:
        said[signed.entry.device_id] = said.get(signed.entry.device_id, 0) + size

    def rank(item: tuple[SignedEntry, int]) -> tuple[bool, int, str]:
        entry = item[0].entry
        return (entry.kind not in KEYS, said[entry.device_id], entry.device_id)

    kept: list[SignedEntry] = []
    left = most
    for signed, size in sorted(sizes, key=rank):
        if size <= left and len(kept) < MOST_ENTRIES:
            kept.append(signed)
            left -= size
    return tuple(sorted(kept, key=lambda each: (each.entry.kind, each.entry.key)))


def keys_among(entries: Iterable[SignedEntry]) -> list[SignedEntry]:
    """The entries that hold a private key of the account."""
    return [each for each in entries if each.entry.kind in KEYS and each.entry.value]


def values(entries: Iterable[SignedEntry], kind: EntryKind, certified: Container[str] | None = None) -> list[bytes]:
    """The present values of one kind, tombstones left out; with `certified` those that these devices wrote only.

    Pins, heads and names count only on the word of a device that the newest account record certifies.
    """
    return [
        signed.entry.value
        for signed in entries
        if signed.entry.kind is kind
        and signed.entry.value
        and (certified is None or signed.entry.device_id in certified)
    ]
