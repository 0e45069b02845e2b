"""The next version of an account, each judged as the server and all contacts judge it."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest

from identity.test_account import BOUNDS, COST, PASSWORD, Case, every_profile
from rsa_pool import rsa_key
from signed.chains import seeded
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.identity import changes
from tacit.identity.account import AccountKeys, DeviceSecrets, make_keys, new_device, open_box
from tacit.identity.changes import Reset, Unlocked, Version, account_of
from tacit.identity.unlockers import open_with_password, open_with_recovery_key
from tacit.identity.vault import NewEntry, merge, open_outer
from tacit.identity.words import from_words
from tacit.signed.account import AccountRecord, ResetBy, account_hash, certificate, verify_next
from tacit.signed.profiles import Profile
from tacit.signed.vault import EntryKind, UnlockerKind, check_vault, header_hash
from tacit.signed.verify import ZERO_HASH, Verified

ENTRY = NewEntry(EntryKind.CHECKPOINT, b"place", b"value")


class Story:
    """An account of a profile, and what it comes to; all keys of it differ."""

    def __init__(self, profile: Profile) -> None:
        self.case = Case(profile)
        self.profile = profile
        self.first = self.case.device
        self.record, self.vault = self.case.record, self.case.made.vault
        self.second = self.device("second", 2)
        self.two = changes.certify(self.opened(), self.second, [], 5000)
        self.verified_two = self.judged(self.two)

    def device(self, name: str, number: int) -> DeviceSecrets:
        return new_device(self.profile, "alice", self.case.opened.outer_key, seeded(name), lambda: rsa_key(number))

    def keys(self, name: str, number: int) -> AccountKeys:
        return make_keys(self.profile, seeded(name), lambda: rsa_key(number))

    def opened(self) -> Unlocked:
        """Its first version."""
        return Unlocked(self.record, self.vault, self.case.opened, self.case.entries)

    def opened_two(self) -> Unlocked:
        """The version with two devices."""
        return Unlocked(self.two.record, self.two.vault, self.case.opened, self.two.entries)

    def judged(self, version: Version, before: Verified[AccountRecord] | None = None) -> Verified[AccountRecord]:
        found = verify_next(before or self.case.made.record, version.record, version.signatures)
        check_vault(found.value, version.vault)
        return found

    def revoked(self) -> Version:
        """The version in which the second device revoked the first."""
        gone = {self.first.device_id()}
        return changes.revoke(self.opened_two(), self.second, gone, self.keys("keys", 3), 6000, seeded("outer"))

    def reset(self, *, alone: bool, keep: set[str] | None = None, by: DeviceSecrets | None = None) -> Reset:
        return changes.reset(
            self.two.record,
            by or self.first,
            keep or set(),
            [ENTRY],
            Secret(b"another"),
            self.keys("reset", 4),
            COST,
            7000,
            seeded("reset"),
            None if alone else self.case.opened.aik,
        )


story_of = cache(Story)


@pytest.fixture
def story(profile: Profile) -> Story:
    return story_of(profile)


@every_profile
def test_a_device_comes_with_a_box_and_writes_what_it_is_told(story: Story) -> None:
    device = story.second
    version = changes.certify(story.opened(), device, [ENTRY], 5000)
    story.judged(version)
    assert certificate(version.record, device.device_id()) is not None
    assert version.record.encryption_keys == story.record.encryption_keys
    for each, secrets in ((story.first, story.first), (device, device)):
        box = next(box for box in version.vault.boxes.boxes if box.device_id == each.device_id())
        assert open_box(version.record, box, Secret(secrets.kem_private)) == version.outer_key
    header = version.vault.outer.header
    assert (header.version, header.previous_hash) == (1 + changes.AHEAD, header_hash(story.vault.outer.header))
    assert (header.device_id, header.account_version, header.written_at) == (device.device_id(), 2, 5000)
    (written,) = [each.entry for each in version.entries if each.entry.kind is EntryKind.CHECKPOINT]
    assert (written.value, written.clock, written.device_id) == (b"value", header.version, device.device_id())


@every_profile
def test_a_device_may_come_with_another_password(story: Story) -> None:
    at = story.opened()
    held = changes.with_password(at, Secret(b"another"), COST, seeded("another"))
    version = changes.certify(at, story.second, [], 5000, held=held)
    story.judged(version)
    inner = version.vault.inner
    assert (
        open_with_password(story.case.account, inner, Secret(b"another"), BOUNDS[story.profile]).outer_key
        == version.outer_key
    )
    assert open_with_recovery_key(story.case.account, inner, from_words(story.case.made.words)).amk == at.opened.amk
    with pytest.raises(errors.DecryptionError):
        open_with_password(story.case.account, inner, PASSWORD, BOUNDS[story.profile])


@every_profile
def test_a_version_outruns_what_its_writer_holds_and_what_devices_write_meanwhile(story: Story) -> None:
    """Its outer part is beyond every clock among the entries, and ahead of the part that it follows."""
    at, device = story.opened(), story.first
    late = merge((), [ENTRY], 7, changes.writer_of(device))
    held = at.vault.inner.unlockers
    version = changes.change_unlockers(dataclasses.replace(at, entries=late), device, held, 5000)
    assert (version.record.outer.version, version.entries) == (7 + changes.AHEAD, late)
    ahead = changes.change_unlockers(at, device, held, 5000)
    assert ahead.record.outer.version == at.vault.outer.header.version + changes.AHEAD
    assert ahead.vault.outer.header.previous_hash == header_hash(at.vault.outer.header)


@every_profile
def test_other_unlockers_change_nothing_else(story: Story) -> None:
    at = story.opened()
    held, words = changes.with_recovery_key(at, seeded("words"))
    version = changes.change_unlockers(at, story.first, held, 5000)
    story.judged(version)
    assert version.record == dataclasses.replace(
        story.record,
        version=2,
        previous_hash=account_hash(story.record),
        inner_hash=version.record.inner_hash,
        boxes_hash=version.record.boxes_hash,
        outer=version.record.outer,
    )
    assert version.entries == at.entries
    assert version.outer_key.reveal() == at.opened.outer_key.reveal()
    assert [each.kind for each in held] == [UnlockerKind.PASSWORD, UnlockerKind.RECOVERY_KEY]
    assert (
        open_with_recovery_key(story.case.account, version.vault.inner, from_words(words)).aik.public
        == story.record.aik
    )
    with pytest.raises(errors.DecryptionError):
        open_with_recovery_key(story.case.account, version.vault.inner, from_words(story.case.made.words))


# --- revoking ------------------------------------------------------------------------------


@every_profile
def test_a_revocation_replaces_all_that_the_device_had(story: Story) -> None:
    before, after, device = story.two, story.revoked(), story.second
    story.judged(after, story.verified_two)
    assert certificate(after.record, story.first.device_id()) is None
    assert [each.device_id for each in after.record.revoked] == [story.first.device_id()]
    assert after.outer_key != before.outer_key
    assert not set(after.record.encryption_keys) & set(before.record.encryption_keys)
    assert after.record.archive_key_id != before.record.archive_key_id
    (box,) = after.vault.boxes.boxes
    assert open_box(after.record, box, Secret(device.kem_private)) == after.outer_key


@every_profile
def test_what_is_revoked_opens_nothing_of_the_new_vault(story: Story) -> None:
    before, after = story.two, story.revoked()
    for key in (before.outer_key, Secret(story.first.outer_key)):
        with pytest.raises(errors.DecryptionError):
            open_outer(after.record, after.vault.outer, key)
    (box,) = after.vault.boxes.boxes
    with pytest.raises(errors.DecryptionError):
        open_box(after.record, box, Secret(story.first.kem_private))


@every_profile
def test_the_former_keys_stay_in_the_vault(story: Story) -> None:
    before, after = story.two, story.revoked()
    held = {(each.entry.kind, each.entry.key): each for each in after.entries}
    assert all(held[each.entry.kind, each.entry.key] == each for each in before.entries)
    assert len(after.entries) == len(before.entries) + len(after.record.encryption_keys) + 1


@every_profile
def test_the_unlockers_open_the_new_outer_key(story: Story) -> None:
    after = story.revoked()
    assert (
        open_with_password(story.case.account, after.vault.inner, PASSWORD, BOUNDS[story.profile]).outer_key
        == after.outer_key
    )


@every_profile
def test_no_device_revokes_itself_or_a_stranger(story: Story) -> None:
    device, at, keys = story.second, story.opened_two(), story.keys("keys", 3)
    for gone, said in (
        ({device.device_id()}, "no device revokes itself"),
        (set(), "no such device"),
        ({"0" * 64}, "no such device"),
    ):
        with pytest.raises(errors.InvalidArgument, match=said):
            changes.revoke(at, device, gone, keys, 6000, seeded("outer"))


# --- reset ---------------------------------------------------------------------------------


@every_profile
@pytest.mark.parametrize("alone", [True, False])
def test_a_reset_makes_everything_anew(story: Story, alone: bool) -> None:
    device, before = story.second, story.two
    made = story.reset(alone=alone)
    after = made.version
    story.judged(after, story.verified_two)
    assert after.record.reset_by.by is (ResetBy.DEVICE if alone else ResetBy.OLD_AIK_AND_DEVICE)
    assert after.record.aik != before.record.aik
    assert [each.device_id for each in after.record.devices] == [story.first.device_id()]
    assert [each.device_id for each in after.record.revoked] == [device.device_id()]
    header = after.vault.outer.header
    assert (header.version, header.previous_hash, header.account_version) == (1, ZERO_HASH, 3)
    assert [each.entry.clock for each in after.entries] == [1] * (len(after.record.encryption_keys) + 2)
    whose = account_of(after.record)
    for found in (
        open_with_password(whose, after.vault.inner, Secret(b"another"), BOUNDS[story.profile]),
        open_with_recovery_key(whose, after.vault.inner, from_words(made.words)),
    ):
        assert found.outer_key == after.outer_key
        assert found.aik.public == after.record.aik
    with pytest.raises(errors.DecryptionError):
        open_with_recovery_key(whose, after.vault.inner, from_words(story.case.made.words))


@every_profile
def test_a_reset_keeps_the_devices_that_the_person_names(story: Story) -> None:
    device = story.second
    after = story.reset(alone=True, keep={device.device_id()}).version
    story.judged(after, story.verified_two)
    assert {each.device_id for each in after.record.devices} == {device.device_id(), story.first.device_id()}
    assert after.record.revoked == ()
    with pytest.raises(errors.InvalidArgument):
        story.reset(alone=True, keep={"0" * 64})


@every_profile
def test_a_new_device_resets_with_the_old_identity_key_only(story: Story) -> None:
    third = story.device("third", 5)
    story.judged(story.reset(alone=False, by=third).version, story.verified_two)
    with pytest.raises(errors.InvalidAccountRecord, match="certifies no other"):
        story.judged(story.reset(alone=True, by=third).version, story.verified_two)


@every_profile
def test_nothing_secret_shows_itself(story: Story) -> None:
    made = story.reset(alone=True)
    shown = repr(made) + repr(story.opened()) + repr(made.version)
    for secret in (made.version.outer_key, story.opened().opened.amk, story.opened().opened.outer_key):
        assert secret.reveal().hex() not in shown
        assert repr(secret.reveal()) not in shown
    assert made.words[0] not in shown
