"""The next version of an account, each judged as the server and all contacts judge it."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest

from identity.test_account import ACCOUNT, BOUNDS, DEVICE, MADE, RECORD, rsa
from rsa_pool import pooled_rsa
from signed.chains import seeded
from tacit import errors
from tacit.crypto.rsa import RsaKey
from tacit.crypto.rsa import generate as generate_rsa
from tacit.crypto.secret import Secret
from tacit.identity import changes
from tacit.identity.account import DeviceSecrets, make_keys, new_device, open_box
from tacit.identity.changes import Reset, Unlocked, Version, account_of
from tacit.identity.unlockers import Cost, open_with_password, open_with_recovery_key
from tacit.identity.vault import NewEntry, open_outer
from tacit.identity.words import from_words
from tacit.signed.account import AccountRecord, ResetBy, account_hash, certificate, verify_next
from tacit.signed.profiles import Profile
from tacit.signed.vault import EntryKind, UnlockerKind, Vault, check_vault, header_hash
from tacit.signed.verify import ZERO_HASH, Verified

PASSWORD, WORDS = Secret(b"correct horse battery"), MADE.words
COST = Cost(8, 1, 1)
ENTRY = NewEntry(EntryKind.CHECKPOINT, b"place", b"value")


def opened(record: AccountRecord = RECORD, vault: Vault = MADE.vault) -> Unlocked:
    made = open_with_recovery_key(account_of(record), vault.inner, from_words(WORDS))
    return Unlocked(record, vault, made, open_outer(RECORD, MADE.vault.outer, made.outer_key))


def judged(version: Version, before: Verified[AccountRecord] = MADE.record) -> Verified[AccountRecord]:
    found = verify_next(before, version.record, version.signatures)
    check_vault(found.value, version.vault)
    return found


def second_device() -> DeviceSecrets:
    return new_device(Profile.STANDARD, "alice", opened().opened.outer_key, seeded("second"), pooled_rsa)


def test_a_device_comes_with_a_box_and_writes_what_it_is_told() -> None:
    device = second_device()
    version = changes.certify(opened(), device, [ENTRY], 5000)
    judged(version)
    assert certificate(version.record, device.device_id()) is not None
    assert version.record.encryption_keys == RECORD.encryption_keys
    for each, secrets in ((DEVICE, DEVICE), (device, device)):
        box = next(box for box in version.vault.boxes.boxes if box.device_id == each.device_id())
        assert open_box(version.record, box, Secret(secrets.kem_private)) == version.outer_key
    header = version.vault.outer.header
    assert (header.version, header.previous_hash) == (2, header_hash(MADE.vault.outer.header))
    assert (header.device_id, header.account_version, header.written_at) == (device.device_id(), 2, 5000)
    (written,) = [each.entry for each in version.entries if each.entry.kind is EntryKind.CHECKPOINT]
    assert (written.value, written.clock, written.device_id) == (b"value", 2, device.device_id())


def test_a_device_may_come_with_another_password() -> None:
    at = opened()
    held = changes.with_password(at, Secret(b"another"), COST, seeded("another"))
    version = changes.certify(at, second_device(), [], 5000, held=held)
    judged(version)
    inner = version.vault.inner
    assert open_with_password(ACCOUNT, inner, Secret(b"another"), BOUNDS).outer_key == version.outer_key
    assert open_with_recovery_key(ACCOUNT, inner, from_words(WORDS)).amk == at.opened.amk
    with pytest.raises(errors.DecryptionError):
        open_with_password(ACCOUNT, inner, PASSWORD, BOUNDS)


def test_other_unlockers_change_nothing_else() -> None:
    at = opened()
    held, words = changes.with_recovery_key(at, seeded("words"))
    version = changes.change_unlockers(at, held)
    judged(version)
    assert version.record == dataclasses.replace(
        RECORD,
        version=2,
        previous_hash=account_hash(RECORD),
        inner_hash=version.record.inner_hash,
        boxes_hash=version.record.boxes_hash,
    )
    assert version.vault.outer == MADE.vault.outer
    assert [each.kind for each in held] == [UnlockerKind.PASSWORD, UnlockerKind.RECOVERY_KEY]
    assert open_with_recovery_key(ACCOUNT, version.vault.inner, from_words(words)).aik.public == RECORD.aik
    with pytest.raises(errors.DecryptionError):
        open_with_recovery_key(ACCOUNT, version.vault.inner, from_words(WORDS))


# --- revoking ------------------------------------------------------------------------------


@cache
def two_devices() -> tuple[DeviceSecrets, Version, Verified[AccountRecord]]:
    device = second_device()
    version = changes.certify(opened(), device, [], 5000)
    return device, version, judged(version)


def revoked() -> tuple[Version, Version, DeviceSecrets]:
    """The version with two devices, and the one in which the second revoked the first."""
    device, before, _ = two_devices()
    at = Unlocked(before.record, before.vault, opened().opened, before.entries)
    keys = make_keys(Profile.STANDARD, seeded("keys"), generate_rsa)
    return before, changes.revoke(at, device, {DEVICE.device_id()}, keys, 6000, seeded("outer")), device


def test_a_revocation_replaces_all_that_the_device_had() -> None:
    before, after, device = revoked()
    verify_next(two_devices()[2], after.record, after.signatures)
    check_vault(after.record, after.vault)
    assert certificate(after.record, DEVICE.device_id()) is None
    assert [each.device_id for each in after.record.revoked] == [DEVICE.device_id()]
    assert after.outer_key != before.outer_key
    assert not set(after.record.encryption_keys) & set(before.record.encryption_keys)
    assert after.record.archive_key_id != before.record.archive_key_id
    (box,) = after.vault.boxes.boxes
    assert open_box(after.record, box, Secret(device.kem_private)) == after.outer_key


def test_what_is_revoked_opens_nothing_of_the_new_vault() -> None:
    before, after, _ = revoked()
    for key in (before.outer_key, Secret(DEVICE.outer_key)):
        with pytest.raises(errors.DecryptionError):
            open_outer(after.record, after.vault.outer, key)
    (box,) = after.vault.boxes.boxes
    with pytest.raises(errors.DecryptionError):
        open_box(after.record, box, Secret(DEVICE.kem_private))


def test_the_former_keys_stay_in_the_vault() -> None:
    before, after, _ = revoked()
    held = {(each.entry.kind, each.entry.key): each for each in after.entries}
    assert all(held[each.entry.kind, each.entry.key] == each for each in before.entries)
    assert len(after.entries) == len(before.entries) + 3


def test_the_unlockers_open_the_new_outer_key() -> None:
    _, after, _ = revoked()
    assert open_with_password(ACCOUNT, after.vault.inner, PASSWORD, BOUNDS).outer_key == after.outer_key


def test_no_device_revokes_itself_or_a_stranger() -> None:
    device, before, _ = two_devices()
    at = Unlocked(before.record, before.vault, opened().opened, before.entries)
    keys = make_keys(Profile.STANDARD, seeded("keys"), rsa)
    for gone, said in (
        ({device.device_id()}, "no device revokes itself"),
        (set(), "no such device"),
        ({"0" * 64}, "no such device"),
    ):
        with pytest.raises(errors.InvalidArgument, match=said):
            changes.revoke(at, device, gone, keys, 6000, seeded("outer"))


# --- reset ---------------------------------------------------------------------------------


def reset(*, alone: bool, keep: set[str] | None = None, by: DeviceSecrets | None = None) -> Reset:
    _, before, _ = two_devices()

    def one_more() -> RsaKey:
        return generate_rsa()

    return changes.reset(
        before.record,
        by or DEVICE,
        keep or set(),
        [ENTRY],
        Secret(b"another"),
        make_keys(Profile.STANDARD, seeded("reset"), one_more),
        COST,
        7000,
        seeded("reset"),
        None if alone else opened().opened.aik,
    )


@pytest.mark.parametrize("alone", [True, False])
def test_a_reset_makes_everything_anew(alone: bool) -> None:
    device, before, verified = two_devices()
    made = reset(alone=alone)
    after = made.version
    judged(after, verified)
    assert after.record.reset_by.by is (ResetBy.DEVICE if alone else ResetBy.OLD_AIK_AND_DEVICE)
    assert after.record.aik != before.record.aik
    assert [each.device_id for each in after.record.devices] == [DEVICE.device_id()]
    assert [each.device_id for each in after.record.revoked] == [device.device_id()]
    header = after.vault.outer.header
    assert (header.version, header.previous_hash, header.account_version) == (1, ZERO_HASH, 3)
    assert [each.entry.clock for each in after.entries] == [1] * 4
    whose = account_of(after.record)
    for found in (
        open_with_password(whose, after.vault.inner, Secret(b"another"), BOUNDS),
        open_with_recovery_key(whose, after.vault.inner, from_words(made.words)),
    ):
        assert found.outer_key == after.outer_key
        assert found.aik.public == after.record.aik
    with pytest.raises(errors.DecryptionError):
        open_with_recovery_key(whose, after.vault.inner, from_words(WORDS))


def test_a_reset_keeps_the_devices_that_the_person_names() -> None:
    device, _, verified = two_devices()
    after = reset(alone=True, keep={device.device_id()}).version
    judged(after, verified)
    assert {each.device_id for each in after.record.devices} == {device.device_id(), DEVICE.device_id()}
    assert after.record.revoked == ()
    with pytest.raises(errors.InvalidArgument):
        reset(alone=True, keep={"0" * 64})


def test_a_new_device_resets_with_the_old_identity_key_only() -> None:
    third = new_device(Profile.STANDARD, "alice", Secret(bytes(32)), seeded("third"), pooled_rsa)
    _, _, verified = two_devices()
    judged(reset(alone=False, by=third).version, verified)
    with pytest.raises(errors.InvalidAccountRecord, match="certifies no other"):
        judged(reset(alone=True, by=third).version, verified)


def test_nothing_secret_shows_itself() -> None:
    made = reset(alone=True)
    shown = repr(made) + repr(opened()) + repr(made.version)
    for secret in (made.version.outer_key, opened().opened.amk, opened().opened.outer_key):
        assert secret.reveal().hex() not in shown
        assert repr(secret.reveal()) not in shown
    assert made.words[0] not in shown
