"""The next version of an account: a device more or fewer, other unlockers, or all of it anew after a compromise.

The identity key that signs is at hand for as long as an unlocker is; none of this keeps it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from tacit import errors
from tacit.crypto.secret import Randomness, Secret
from tacit.identity import unlockers
from tacit.identity.account import AccountKeys, DeviceSecrets, certificate_of, make_boxes
from tacit.identity.keys import SigningKey, new_signing_key
from tacit.identity.unlockers import Account, Cost, Opened
from tacit.identity.vault import KEYS, NewEntry, Writer, fitted, merge, seal_outer
from tacit.identity.words import to_words
from tacit.signed.account import (
    NO_RESET,
    AccountRecord,
    AccountSignatures,
    DeviceCertificate,
    OuterRef,
    ResetBy,
    ResetNote,
    RevokedDevice,
    account_hash,
    sign_record,
)
from tacit.signed.vault import (
    Inner,
    Outer,
    SignedEntry,
    Unlocker,
    Vault,
    boxes_hash,
    header_hash,
    inner_hash,
)
from tacit.wire import limits


@dataclass(frozen=True, slots=True)
class Unlocked:
    """An account as an unlocker opened it: its newest record, its vault, and what is in the vault.

    Not `is_readable`: a device put something unusable in the vault's outer part, and `entries` are none.
    """

    record: AccountRecord
    vault: Vault
    opened: Opened
    entries: tuple[SignedEntry, ...] = field(repr=False)
    is_readable: bool = True

    @property
    def account(self) -> Account:
        """What its unlockers are bound to."""
        return account_of(self.record)


@dataclass(frozen=True, slots=True)
class Version:
    """The next version of an account: what is posted, and the outer key and entries that the device then holds."""

    record: AccountRecord
    signatures: AccountSignatures
    vault: Vault
    outer_key: Secret
    entries: tuple[SignedEntry, ...] = field(repr=False)


AHEAD: Final = limits.OUTER_AHEAD
"""By so much the outer part of an account version runs ahead of what devices write meanwhile.

A device writes one version after the other, in its own name alone. What the identity key signs has a number beyond all
that a device in a thief's hands could write meanwhile to be in its way.
"""


def account_of(record: AccountRecord) -> Account:
    """What the unlockers of an account version are bound to."""
    return Account(record.server_name, record.user_id, record.profile, record.aik)


def writer_of(device: DeviceSecrets) -> Writer:
    """A device as the writer of entries."""
    return Writer(device.device_id(), device.request_key().sign)


# --- unlockers -----------------------------------------------------------------------------


def with_password(at: Unlocked, password: Secret, cost: Cost, random: Randomness) -> tuple[Unlocker, ...]:
    """The account's unlockers with another password in the place of the present one."""
    made = unlockers.new_password(at.account, password, cost, at.opened.amk, random)
    return _in_place(at.vault.inner.unlockers, made)


def with_recovery_key(at: Unlocked, random: Randomness) -> tuple[tuple[Unlocker, ...], tuple[str, ...]]:
    """The account's unlockers with another recovery key in the place of the present one, and its 24 words."""
    made, key = unlockers.new_recovery_key(at.account, at.opened.amk, random)
    return _in_place(at.vault.inner.unlockers, made), to_words(key)


def _in_place(held: Iterable[Unlocker], made: Unlocker) -> tuple[Unlocker, ...]:
    return (*(each for each in held if each.kind is not made.kind), made)


# --- the next version ----------------------------------------------------------------------


def change_unlockers(at: Unlocked, device: DeviceSecrets, held: tuple[Unlocker, ...], now: int) -> Version:
    """The version with these unlockers, otherwise as it is."""
    entries, outer = _write(at, device, (), at.opened.outer_key, now)
    return _version(at, at.record.devices, at.opened.outer_key, outer, entries, held=held)


def certify(
    at: Unlocked,
    device: DeviceSecrets,
    new: Iterable[NewEntry],
    now: int,
    *,
    held: tuple[Unlocker, ...] | None = None,
) -> Version:
    """The version with one more device, which writes `new` entries into the vault.

    `held` are its unlockers where they change with it; `now` in Unix milliseconds.
    """
    devices = _sorted((*at.record.devices, certificate_of(device)))
    entries, outer = _write(at, device, new, at.opened.outer_key, now)
    return _version(at, devices, at.opened.outer_key, outer, entries, held=held)


def revoke(
    at: Unlocked, device: DeviceSecrets, gone: Collection[str], keys: AccountKeys, now: int, random: Randomness
) -> Version:
    """The version without the devices in `gone`, made by another one: outer key and all keys are replaced.

    What the former keys open stays open to the others: they stay in the vault. Raises `InvalidArgument` for a device
    that is not there, and for the one that signs.
    """
    present = {each.device_id for each in at.record.devices}
    if not gone or not set(gone) <= present:
        raise errors.InvalidArgument("no such device is signed in to this account")
    if device.device_id() in gone:
        raise errors.InvalidArgument("no device revokes itself: do it on another one")
    devices = tuple(each for each in at.record.devices if each.device_id not in gone)
    outer_key = Secret(random(32))
    stay = {each.device_id for each in devices}
    # What the others said of people and conversations counts for nothing from now on, and could fill the vault.
    kept = tuple(each for each in at.entries if each.entry.kind in KEYS or each.entry.device_id in stay)
    entries, outer = _write(replace(at, entries=kept), device, keys.entries, outer_key, now)
    return _version(at, devices, outer_key, outer, entries, keys=keys)


def _write(
    at: Unlocked, device: DeviceSecrets, new: Iterable[NewEntry], outer_key: Secret, now: int
) -> tuple[tuple[SignedEntry, ...], Outer]:
    before, writer = at.vault.outer.header, writer_of(device)
    # What this device holds may have been written after the part that it unlocked.
    version = max(before.version, *(each.entry.clock for each in at.entries), 0) + AHEAD
    entries, named = fitted(merge(at.entries, new, version, writer)), at.record
    outer = seal_outer(
        named.server_name, named.user_id, named.version + 1, before, entries, outer_key, writer, now, version
    )
    return entries, outer


def _version(
    at: Unlocked,
    devices: tuple[DeviceCertificate, ...],
    outer_key: Secret,
    outer: Outer,
    entries: tuple[SignedEntry, ...],
    *,
    keys: AccountKeys | None = None,
    held: tuple[Unlocker, ...] | None = None,
) -> Version:
    opened = at.opened
    inner = unlockers.wrap_inner(at.account, held or at.vault.inner.unlockers, opened.amk, opened.aik, outer_key)
    record, vault = _frame(at.record, devices, inner, outer, outer_key, keys)
    return Version(record, sign_record(record, opened.aik.sign), vault, outer_key, entries)


def _frame(
    before: AccountRecord,
    devices: tuple[DeviceCertificate, ...],
    inner: Inner,
    outer: Outer,
    outer_key: Secret,
    keys: AccountKeys | None,
) -> tuple[AccountRecord, Vault]:
    """The record that follows with these devices, keys and vault, as it stands before anybody signs it."""
    version = before.version + 1
    boxes = make_boxes(before.profile, before.server_name, before.user_id, version, devices, outer_key)
    stay = {each.device_id for each in devices}
    gone = [RevokedDevice(each.device_id, version) for each in before.devices if each.device_id not in stay]
    record = replace(
        before,
        version=version,
        previous_hash=account_hash(before),
        devices=devices,
        revoked=tuple(sorted((*before.revoked, *gone), key=lambda each: each.device_id)),
        reset_by=NO_RESET,
        inner_hash=inner_hash(inner),
        boxes_hash=boxes_hash(boxes),
        outer=OuterRef(outer.header.version, header_hash(outer.header)),
    )
    if keys is not None:
        record = replace(record, encryption_keys=keys.public, archive_key_id=keys.archive_key_id)
    return record, Vault(inner, boxes, outer)


def _sorted(devices: Iterable[DeviceCertificate]) -> tuple[DeviceCertificate, ...]:
    return tuple(sorted(devices, key=lambda each: each.device_id))


# --- reset ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reset:
    """A reset, ready to be posted, and the words of its new recovery key, which the person writes down."""

    version: Version
    words: tuple[str, ...] = field(repr=False)


def reset(
    before: AccountRecord,
    device: DeviceSecrets,
    keep: Collection[str],
    known: Iterable[NewEntry],
    password: Secret,
    keys: AccountKeys,
    cost: Cost,
    now: int,
    random: Randomness,
    old_aik: SigningKey | None = None,
) -> Reset:
    """The account under another identity key, all of it new; it keeps the devices in `keep`, the asking one with them.

    `known` is what goes into the new vault. With `old_aik` it counts at once; without, the device asks for it alone,
    and the server waits. Raises `InvalidArgument` for a device to keep that is not there.
    """
    own = certificate_of(device)
    present = {each.device_id: each for each in before.devices}
    kept = {device_id: present.get(device_id) for device_id in keep} | {own.device_id: own}
    devices = _sorted(each for each in kept.values() if each is not None)
    if len(devices) < len(kept):
        raise errors.InvalidArgument("no such device is signed in to this account")
    own_key, aik = device.request_key(), new_signing_key(before.profile, random)
    amk, outer_key = Secret(random(32)), Secret(random(32))
    account = Account(before.server_name, before.user_id, before.profile, aik.public)
    by_password = unlockers.new_password(account, password, cost, amk, random)
    by_words, recovery_key = unlockers.new_recovery_key(account, amk, random)
    inner = unlockers.wrap_inner(account, (by_password, by_words), amk, aik, outer_key)
    writer = writer_of(device)
    entries = fitted(merge((), (*known, *keys.entries), 1, writer))
    outer = seal_outer(before.server_name, before.user_id, before.version + 1, None, entries, outer_key, writer, now)
    record, vault = _frame(before, devices, inner, outer, outer_key, keys)
    by = ResetBy.DEVICE if old_aik is None else ResetBy.OLD_AIK_AND_DEVICE
    record = replace(record, aik=aik.public, reset_by=ResetNote(by, own.device_id))
    signatures = sign_record(record, aik.sign, own_key.sign, old_aik.sign if old_aik is not None else None)
    return Reset(Version(record, signatures, vault, outer_key, entries), to_words(recovery_key))
