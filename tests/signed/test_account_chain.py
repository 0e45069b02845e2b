"""The rules of a record that follows another; each case is signed by whom it should be, but for the signature's own."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from signed.chains import Person, rsa_public, seeded, x_wing_public
from tacit import errors
from tacit.crypto.sign import Ed25519Key
from tacit.signed import labels
from tacit.signed.account import (
    AccountRecord,
    AccountSignatures,
    EncryptionKey,
    OuterRef,
    ResetBy,
    ResetNote,
    RevokedDevice,
    account_hash,
    certificate,
    check_form,
    is_reset,
    sign_record,
    verify_next,
)
from tacit.signed.profiles import KeyAlgorithm, Profile
from tacit.signed.verify import Verified, sign


class Line:
    """An account of four versions: made, a second device, the first one revoked, and the next one to be judged."""

    def __init__(self) -> None:
        self.person = Person("alice")
        self.first = self.person.device
        self.second = self.person.add_device()
        self.third = self.person.add_device()
        self.person.revoke(self.first)
        self.before = self.person.versions[-1]
        self.record = self.person.publish()

    def next(self, **other: Any) -> AccountRecord:
        return dataclasses.replace(self.record, **other)

    def judge(self, record: AccountRecord, signatures: AccountSignatures | None = None) -> Verified[AccountRecord]:
        return verify_next(self.before, record, signatures or sign_record(record, self.person.aik.sign))

    def refuses(self, record: AccountRecord, rule: str) -> None:
        with pytest.raises(errors.InvalidAccountRecord) as refusal:
            self.judge(record)
        assert refusal.value.detail == rule

    def without(self, device_id: str) -> dict[str, Any]:
        """The fields of a version that revokes a device."""
        gone = (*self.record.revoked, RevokedDevice(device_id, self.record.version))
        new = self.person.generation + 1
        return {
            "encryption_keys": (
                EncryptionKey(KeyAlgorithm.X_WING, x_wing_public(new)),
                EncryptionKey(KeyAlgorithm.RSA, rsa_public(new)),
            ),
            "outer": OuterRef(self.record.outer.version + 1, b"o" * 32),
            "devices": tuple(each for each in self.record.devices if each.device_id != device_id),
            "revoked": tuple(sorted(gone, key=lambda each: each.device_id)),
        }


@pytest.fixture(scope="module")
def line() -> Line:
    return Line()


def test_a_record_that_follows(line: Line) -> None:
    found = line.judge(line.record)
    assert (found.value, found.key) == (line.record, line.person.aik.public)


def test_a_device_comes_and_a_device_goes(line: Line) -> None:
    new = line.person.make_device().certificate
    gone = line.second.device_id
    fields = line.without(gone)
    devices = tuple(sorted((*fields["devices"], new), key=lambda each: each.device_id))
    found = line.judge(line.next(**fields | {"devices": devices})).value
    assert certificate(found, new.device_id) == new
    assert certificate(found, gone) is None


def test_an_account_may_end(line: Line) -> None:
    now = line.record.version
    gone = [*line.record.revoked, *(RevokedDevice(each.device_id, now) for each in line.record.devices)]
    ended = line.next(
        devices=(),
        encryption_keys=(),
        archive_key_id=b"",
        revoked=tuple(sorted(gone, key=lambda each: each.device_id)),
    )
    assert line.judge(ended).value == ended


def test_a_record_of_another_server_does_not_follow(line: Line) -> None:
    line.refuses(line.next(server_name="other.example"), "the record is another account's")


def test_a_record_of_another_user_does_not_follow(line: Line) -> None:
    line.refuses(line.next(user_id="alicf"), "the record is another account's")


@pytest.mark.parametrize("step", [-1, 0, 2])
def test_a_version_is_one_more(line: Line, step: int) -> None:
    line.refuses(line.next(version=line.before.value.version + step), "the version is not one more")


def test_a_record_names_the_one_before_it(line: Line) -> None:
    other = account_hash(line.person.version(line.before.value.version - 1))
    line.refuses(line.next(previous_hash=other), "the record before it is another")
    line.refuses(line.next(previous_hash=bytes(32)), "the record before it is another")


@pytest.mark.parametrize("profile", [Profile.COMPAT, Profile.FIPS])
def test_an_account_has_one_profile_for_life(line: Line, profile: Profile) -> None:
    line.refuses(line.next(profile=profile), "the profile changed")


def test_a_record_that_follows_has_good_form_too(line: Line) -> None:
    line.refuses(line.next(archive_key_id=b""), "the archive key's id has the wrong length")


def test_another_identity_key_needs_a_reset(line: Line) -> None:
    other = Ed25519Key.generate(seeded("another identity"))
    record = line.next(aik=other.public)
    line.refuses(record, "the identity key changed without a reset")
    with pytest.raises(errors.InvalidAccountRecord):
        line.judge(record, sign_record(record, other.sign))


def test_no_signature_stands_where_none_belongs(line: Line) -> None:
    good = sign_record(line.record, line.person.aik.sign, line.second.sign)
    for extra in (good, dataclasses.replace(good, device=b"", old_aik=good.aik)):
        with pytest.raises(errors.InvalidAccountRecord) as refusal:
            line.judge(line.record, extra)
        assert refusal.value.detail == "a signature stands where none belongs"
    line.judge(line.record, dataclasses.replace(good, device=b""))


def test_a_revocation_is_for_ever(line: Line) -> None:
    line.refuses(line.next(revoked=()), "a revocation was taken back")
    (gone,) = line.record.revoked
    for version in (gone.version - 1, gone.version + 1):
        line.refuses(line.next(revoked=(RevokedDevice(gone.device_id, version),)), "a revocation was taken back")


def test_a_revoked_device_does_not_come_back(line: Line) -> None:
    devices = tuple(sorted((*line.record.devices, line.first.certificate), key=lambda each: each.device_id))
    line.refuses(line.next(devices=devices), "a revoked device is certified")
    line.refuses(line.next(devices=devices, revoked=()), "a revocation was taken back")
    check_form(line.next(devices=devices, revoked=()))


def test_a_device_does_not_just_vanish(line: Line) -> None:
    fields = line.without(line.second.device_id)
    assert line.judge(line.next(**fields)).value.devices == fields["devices"]
    line.refuses(line.next(devices=fields["devices"]), "devices that went are not those newly revoked")


@pytest.mark.parametrize("field", ["encryption_keys", "archive_key_id", "boxes_hash", "outer"])
def test_a_revocation_replaces_what_the_device_had(line: Line, field: str) -> None:
    fields = line.without(line.second.device_id) | {field: getattr(line.before.value, field)}
    line.refuses(
        line.next(**fields),
        {
            "encryption_keys": "an encryption key outlived a revocation or a reset",
            "archive_key_id": "the archive key outlived a revocation or a reset",
            "boxes_hash": "the vault's boxes outlived a revocation or a reset",
            "outer": "a revocation left the vault's outer part as it was",
        }[field],
    )


def test_one_encryption_key_that_stays_is_one_too_many(line: Line) -> None:
    fields = line.without(line.second.device_id)
    keys = (fields["encryption_keys"][0], line.before.value.encryption_keys[1])
    line.refuses(line.next(**fields | {"encryption_keys": keys}), "an encryption key outlived a revocation or a reset")


class Reset:
    """An account of two devices whose first one asks for a reset."""

    def __init__(self, by: ResetBy) -> None:
        self.person = Person("alice")
        self.second = self.person.add_device()
        self.before = self.person.versions[-1]
        self.by = by
        self.old_aik = self.person.aik

    def made(self, **bent: Any) -> tuple[AccountRecord, AccountSignatures]:
        return self.person.prepared_reset(self.by, **bent)

    def refuses(self, rule: str, **bent: Any) -> None:
        with pytest.raises(errors.InvalidAccountRecord) as refusal:
            verify_next(self.before, *self.made(**bent))
        assert refusal.value.detail == rule


WITH_KEY, ALONE = ResetBy.OLD_AIK_AND_DEVICE, ResetBy.DEVICE


@pytest.mark.parametrize("by", [WITH_KEY, ALONE])
def test_a_reset_puts_another_identity_key_in_the_place(by: ResetBy) -> None:
    reset = Reset(by)
    record, signatures = reset.made()
    found = verify_next(reset.before, record, signatures)
    assert (found.value, found.key) == (record, reset.person.aik.public)
    assert is_reset(record)
    assert not is_reset(reset.before.value)


@pytest.mark.parametrize("by", [WITH_KEY, ALONE])
def test_a_reset_keeps_nothing(by: ResetBy) -> None:
    reset = Reset(by)
    old = reset.before.value
    keys = "an encryption key outlived a revocation or a reset"
    reset.refuses(keys, encryption_keys=old.encryption_keys)
    reset.refuses("the archive key outlived a revocation or a reset", archive_key_id=old.archive_key_id)
    reset.refuses("the vault's boxes outlived a revocation or a reset", boxes_hash=old.boxes_hash)
    reset.refuses("a reset keeps the vault's inner part", inner_hash=old.inner_hash)
    reset.refuses("a reset does not begin the vault's outer part anew", outer=OuterRef(2, b"o" * 32))
    reset.refuses("a reset keeps the identity key", aik=old.aik)


def test_what_is_no_reset_names_none() -> None:
    person = Person("alice")
    device_id = person.device.device_id
    for note in (ResetNote(ResetBy.NO_RESET, device_id), ResetNote(WITH_KEY, "")):
        with pytest.raises(errors.InvalidAccountRecord) as refusal:
            check_form(dataclasses.replace(person.newest, reset_by=note))
        assert refusal.value.detail == "a reset names no device, or what is none does"


def test_a_reset_that_nobody_signed_is_not_known_here() -> None:
    reset = Reset(ResetBy.NOBODY)
    with pytest.raises(errors.UnsupportedSuite):
        verify_next(reset.before, *reset.made())


@pytest.mark.parametrize("by", [WITH_KEY, ALONE])
def test_a_reset_is_asked_for_by_a_device_that_stays(by: ResetBy) -> None:
    reset = Reset(by)
    stranger = reset.person.make_device().device_id
    reset.refuses("a reset is asked for by a device that it does not keep", reset_by=ResetNote(by, stranger))


def test_a_device_alone_certifies_no_other() -> None:
    for by in (WITH_KEY, ALONE):
        reset = Reset(by)
        reset.person.devices.append(reset.person.make_device())
        if by is ALONE:
            reset.refuses("a device alone certifies no other")
        else:
            verify_next(reset.before, *reset.made())


def test_who_signs_a_reset() -> None:
    for by in (WITH_KEY, ALONE):
        reset = Reset(by)
        record, good = reset.made()
        stranger = Ed25519Key.generate(seeded("stranger"))
        second = sign(labels.DEVICE_POSSESSION, record, reset.second.sign)
        under_another_label = sign(labels.ACCOUNT_RECORD, record, reset.old_aik.sign)
        bad = [{"aik": sign(labels.ACCOUNT_RECORD, record, reset.old_aik.sign)}, {"device": b""}, {"device": second}]
        if by is WITH_KEY:
            bad += [{"old_aik": b""}, {"old_aik": under_another_label}]
            bad.append({"old_aik": sign(labels.ACCOUNT_RESET, record, stranger.sign)})
        for change in bad:
            with pytest.raises(errors.BadSignature):
                verify_next(reset.before, record, dataclasses.replace(good, **change))
        if by is ALONE:
            with pytest.raises(errors.InvalidAccountRecord):
                verify_next(reset.before, record, dataclasses.replace(good, old_aik=under_another_label))


def test_only_a_device_that_was_there_is_revoked(line: Line) -> None:
    stranger = RevokedDevice(line.person.make_device().device_id, line.record.version)
    revoked = tuple(sorted((*line.record.revoked, stranger), key=lambda each: each.device_id))
    line.refuses(line.next(revoked=revoked), "devices that went are not those newly revoked")


@pytest.mark.parametrize("step", [-1, 1])
def test_a_revocation_names_its_own_version(line: Line, step: int) -> None:
    fields = line.without(line.second.device_id)
    other = tuple(
        dataclasses.replace(each, version=each.version + step) if each.device_id == line.second.device_id else each
        for each in fields["revoked"]
    )
    line.refuses(line.next(**{**fields, "revoked": other}), "a revocation names another version")


@pytest.mark.parametrize("field", ["mls_key", "kem_key", "suites"])
def test_a_certificate_stays_as_it_is(line: Line, field: str) -> None:
    new = line.person.make_device().certificate
    kem_key = bytes([line.second.certificate.kem_key[0] ^ 1]) + line.second.certificate.kem_key[1:]
    values: dict[str, Any] = {"mls_key": new.mls_key, "kem_key": kem_key, "suites": (1, 0x0053)}
    for place in range(2):
        devices = list(line.record.devices)
        devices[place] = dataclasses.replace(devices[place], **{field: values[field]})
        line.refuses(line.next(devices=tuple(devices)), "a device's certificate changed")


def test_the_vaults_outer_part_does_not_go_back(line: Line) -> None:
    before = line.person.vouched(dataclasses.replace(line.before.value, outer=OuterRef(5, b"o" * 32)))
    record = line.next(previous_hash=account_hash(before.value), outer=OuterRef(4, b"o" * 32))
    signer = line.person.aik.sign
    with pytest.raises(errors.InvalidAccountRecord) as refusal:
        verify_next(before, record, sign_record(record, signer))
    assert refusal.value.detail == "the vault's outer part went back"
    for version in (5, 6):
        record = dataclasses.replace(record, outer=OuterRef(version, b"o" * 32))
        verify_next(before, record, sign_record(record, signer))
    record = dataclasses.replace(record, outer=OuterRef(5, b"x" * 32))
    with pytest.raises(errors.InvalidAccountRecord) as refusal:
        verify_next(before, record, sign_record(record, signer))
    assert refusal.value.detail == "the vault's outer part is another in the same version"


def test_nothing_follows_the_end_of_an_account() -> None:
    person = Person("alice")
    device = person.device
    end = person.end()
    before = person.versions[-1]
    again = dataclasses.replace(
        person.version(1),
        version=3,
        previous_hash=account_hash(end),
        devices=(person.make_device().certificate,),
        revoked=end.revoked,
    )
    assert certificate(end, device.device_id) is None
    with pytest.raises(errors.InvalidAccountRecord) as refusal:
        verify_next(before, again, sign_record(again, person.aik.sign))
    assert refusal.value.detail == "the account has ended"


def test_a_record_is_signed_by_the_identity_key_before_it(line: Line) -> None:
    aik, record = line.person.aik, line.record
    bad = [
        b"",
        sign(labels.ACCOUNT_RECORD, record, line.second.sign),
        sign(labels.ACCOUNT_RECORD, record, Ed25519Key.generate(seeded("stranger")).sign),
        sign(labels.DEVICE_POSSESSION, record, aik.sign),
        sign(labels.ACCOUNT_RECORD, line.before.value, aik.sign),
    ]
    for signature in bad:
        with pytest.raises(errors.BadSignature):
            line.judge(record, AccountSignatures(signature, b"", b""))
