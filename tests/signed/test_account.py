from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from signed.chains import Person, rsa_public, seeded, x_wing_public
from tacit import errors
from tacit.crypto.digest import sha256
from tacit.crypto.sign import Ed25519Key
from tacit.crypto.verify import verify_ed25519
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
    certificate,
    check_form,
    device_id_of,
    sign_record,
    verify_chain,
    verify_first,
    verify_next,
)
from tacit.signed.profiles import KeyAlgorithm, Profile, profile_of
from tacit.signed.verify import ZERO_HASH, Verified, sign
from tacit.wire.codec import decode, encode

SMALL_ORDER = bytes(32)
ALICE = Person("alice")
FIRST = ALICE.newest
STRANGER = Ed25519Key.generate(seeded("stranger"))


def labelled(label: bytes, body: bytes) -> bytes:
    length = (0x4000 | len(body)).to_bytes(2, "big") if len(body) > 63 else bytes([len(body)])
    return bytes([len(label)]) + label + length + body


def moved(record: AccountRecord, **other: Any) -> AccountRecord:
    return dataclasses.replace(record, **other)


def device(record: AccountRecord = FIRST, **other: Any) -> DeviceCertificate:
    return dataclasses.replace(record.devices[0], **other)


def with_device(**other: Any) -> AccountRecord:
    return moved(FIRST, devices=(device(**other),))


def first_of(record: AccountRecord, person: Person = ALICE) -> Verified[AccountRecord]:
    """A first record that its own identity key and its first device signed, whatever stands in it."""
    return verify_first(record, sign_record(record, person.aik.sign, person.device.sign))


# --- structs, hashes, signatures ---------------------------------------------------------

CERTIFICATE = DeviceCertificate("bob", "d" * 64, b"r" * 32, b"m" * 32, b"k" * 10, (1, 0x0053))
CERTIFICATE_BYTES = (
    b"\x03bob\x40\x40" + b"d" * 64 + b"\x20" + b"r" * 32 + b"\x20" + b"m" * 32 + b"\x0a" + b"k" * 10 + b"\x04\0\1\0\x53"
)
RECORD = AccountRecord(
    "chat.example",
    "bob",
    3,
    b"p" * 32,
    b"a" * 32,
    Profile.STANDARD,
    (EncryptionKey(KeyAlgorithm.RSA, b"rsa"),),
    b"i" * 32,
    (CERTIFICATE,),
    (RevokedDevice("e" * 64, 2),),
    ResetNote(ResetBy.DEVICE, "dev"),
    b"n" * 32,
    b"b" * 32,
    OuterRef(9, b"o" * 32),
)
RECORD_BYTES = (
    b"\x0cchat.example\x03bob"
    + (3).to_bytes(8, "big")
    + b"p" * 32
    + b"\x20"
    + b"a" * 32
    + b"\x02"
    + b"\x06\x00\x03\x03rsa"
    + b"\x20"
    + b"i" * 32
    + (0x4000 | len(CERTIFICATE_BYTES)).to_bytes(2, "big")
    + CERTIFICATE_BYTES
    + b"\x40\x4a\x40\x40"
    + b"e" * 64
    + (2).to_bytes(8, "big")
    + b"\x02\x03dev"
    + b"n" * 32
    + b"b" * 32
    + (9).to_bytes(8, "big")
    + b"o" * 32
)


def test_a_record_has_the_fields_in_the_specifications_order() -> None:
    assert encode(RECORD) == RECORD_BYTES
    assert decode(AccountRecord, RECORD_BYTES) == RECORD


def test_a_device_id_is_64_bytes_of_text() -> None:
    for length in (63, 65):
        with pytest.raises(errors.PeerError):
            encode(RevokedDevice("d" * length, 1))


def test_who_signed_a_reset_has_a_number() -> None:
    assert [(each.name, each.value) for each in ResetBy] == [
        ("NO_RESET", 0),
        ("OLD_AIK_AND_DEVICE", 1),
        ("DEVICE", 2),
        ("NOBODY", 3),
    ]


def test_hashes_are_over_label_and_struct() -> None:
    assert account_hash(RECORD) == sha256(labelled(b"tacit/1 account record", RECORD_BYTES))
    key = b"\x20" + b"r" * 32
    assert aik_fingerprint(Profile.STANDARD, b"r" * 32) == sha256(labelled(b"tacit/1 aik fingerprint", b"\x02" + key))
    assert device_id_of("bob", b"r" * 32) == sha256(labelled(b"tacit/1 device id", b"\x03bob" + key)).hex()


def test_a_record_is_signed_under_its_own_labels() -> None:
    device_key = Ed25519Key.generate(seeded("device"))
    made = sign_record(RECORD, STRANGER.sign, device_key.sign)
    assert verify_ed25519(STRANGER.public, labelled(b"tacit/1 account record", RECORD_BYTES), made.aik)
    assert verify_ed25519(device_key.public, labelled(b"tacit/1 device possession", RECORD_BYTES), made.device)
    assert made.old_aik == b""
    assert sign_record(RECORD, STRANGER.sign) == AccountSignatures(made.aik, b"", b"")


def test_a_certificate_is_found_by_its_device() -> None:
    assert certificate(RECORD, "d" * 64) == CERTIFICATE
    assert certificate(RECORD, "e" * 64) is None


# --- what one record alone can break -----------------------------------------------------


def two_devices() -> tuple[DeviceCertificate, DeviceCertificate]:
    return FIRST.devices[0], ALICE.make_device().certificate


def by_id(devices: tuple[DeviceCertificate, ...]) -> tuple[DeviceCertificate, ...]:
    return tuple(sorted(devices, key=lambda each: each.device_id))


X_WING, RSA = FIRST.encryption_keys
PAIR = by_id(two_devices())
GONE = (RevokedDevice("a" * 64, 1), RevokedDevice("b" * 64, 1))


@pytest.mark.parametrize(
    "record",
    [
        FIRST,
        moved(FIRST, devices=PAIR, revoked=GONE),
        moved(FIRST, devices=()),
        moved(FIRST, devices=(), encryption_keys=(), archive_key_id=b""),
        with_device(suites=()),
        moved(FIRST, version=7, previous_hash=b"h" * 32, outer=OuterRef(0, ZERO_HASH)),
    ],
    ids=["as made", "devices and revoked", "no device", "ended", "no suites", "numbers"],
)
def test_a_record_of_good_form(record: AccountRecord) -> None:
    check_form(record)


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (moved(FIRST, encryption_keys=()), "the encryption keys are not those of the profile"),
        (moved(FIRST, encryption_keys=(X_WING,)), "the encryption keys are not those of the profile"),
        (moved(FIRST, encryption_keys=(RSA, X_WING)), "the encryption keys are not those of the profile"),
        (moved(FIRST, encryption_keys=(X_WING, RSA, RSA)), "the encryption keys are not those of the profile"),
        (moved(FIRST, devices=(), encryption_keys=(RSA,)), "the encryption keys are not those of the profile"),
        (moved(FIRST, archive_key_id=b""), "the archive key's id has the wrong length"),
        (moved(FIRST, archive_key_id=b"i" * 31), "the archive key's id has the wrong length"),
        (moved(FIRST, devices=(), encryption_keys=()), "the archive key's id has the wrong length"),
        (moved(FIRST, devices=PAIR[::-1]), "devices are not sorted by id, or one stands twice"),
        (moved(FIRST, devices=PAIR[:1] * 2), "devices are not sorted by id, or one stands twice"),
        (moved(FIRST, revoked=GONE[::-1]), "revoked devices are not sorted by id, or one stands twice"),
        (moved(FIRST, revoked=GONE[:1] * 2), "revoked devices are not sorted by id, or one stands twice"),
        (moved(FIRST, revoked=(RevokedDevice(device().device_id, 1),)), "a revoked device is certified"),
        (with_device(user_id="bob"), "a certificate is for another user"),
        (
            with_device(device_id=device_id_of("bob", device().request_key)),
            "a device id is not the hash of its request key",
        ),
        (with_device(request_key=STRANGER.public), "a device id is not the hash of its request key"),
        (with_device(mls_key=device().request_key), "a device uses one key for two purposes"),
        (
            moved(FIRST, reset_by=ResetNote(ResetBy.OLD_AIK_AND_DEVICE, "")),
            "a reset names no device, or what is none does",
        ),
        (moved(FIRST, reset_by=ResetNote(ResetBy.NO_RESET, "d")), "a reset names no device, or what is none does"),
    ],
)
def test_a_record_of_bad_form(record: AccountRecord, rule: str) -> None:
    for check in (check_form, first_of):
        with pytest.raises(errors.InvalidAccountRecord) as refusal:
            check(record)
        assert refusal.value.detail == rule


def test_nothing_is_a_reset_by_nobody_who_asked() -> None:
    assert ResetNote(ResetBy.NO_RESET, "") == NO_RESET


# --- profiles ----------------------------------------------------------------------------

BY_PROFILE = {profile: Person(f"of {profile.name.lower()}", profile) for profile in Profile}


def bent(profile: Profile, **other: Any) -> AccountRecord:
    return moved(BY_PROFILE[profile].newest, **other)


def bent_device(profile: Profile, **other: Any) -> AccountRecord:
    return bent(profile, devices=(dataclasses.replace(BY_PROFILE[profile].newest.devices[0], **other),))


@pytest.mark.parametrize("profile", Profile)
def test_an_account_of_each_profile_has_what_the_profile_has(profile: Profile) -> None:
    person = BY_PROFILE[profile]
    record = person.newest
    assert first_of(record, person).value == record
    (made,) = record.devices
    keys = [(key.algorithm, len(key.public_key)) for key in record.encryption_keys]
    assert (len(record.aik), len(made.request_key), len(made.mls_key), len(made.kem_key), made.suites, keys) == {
        Profile.COMPAT: (65, 65, 0, 294, (), [(KeyAlgorithm.RSA, 294)]),
        Profile.STANDARD: (32, 32, 32, 1216, (1,), [(KeyAlgorithm.X_WING, 1216), (KeyAlgorithm.RSA, 422)]),
        Profile.FIPS: (65, 65, 65, 422, (2,), [(KeyAlgorithm.RSA, 422)]),
    }[profile]


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("other", Profile)
def test_an_accounts_profile_never_changes(profile: Profile, other: Profile) -> None:
    """Not even by its own identity key, with everything else as the other profile has it."""
    person, stranger = Person("alice", profile), BY_PROFILE[other].newest
    before = person.versions[-1]
    following = moved(
        before.value,
        version=2,
        previous_hash=account_hash(before.value),
        profile=other,
        encryption_keys=stranger.encryption_keys,
    )
    if other is profile:
        verify_next(before, following, sign_record(following, person.aik.sign))
        return
    with pytest.raises(errors.InvalidAccountRecord, match="the profile changed"):
        verify_next(before, following, sign_record(following, person.aik.sign))


P256_KEY = BY_PROFILE[Profile.FIPS].aik.public
SHORT_RSA = (EncryptionKey(KeyAlgorithm.RSA, rsa_public(0, 2048)),)


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (bent(Profile.STANDARD, aik=P256_KEY), errors.WrongLength),
        (bent(Profile.FIPS, aik=ALICE.aik.public), errors.SecretKeyRefused),
        (bent(Profile.COMPAT, aik=ALICE.aik.public), errors.SecretKeyRefused),
        (bent(Profile.FIPS, aik=b"\x04" + b"k" * 64), errors.Malformed),
        (bent_device(Profile.FIPS, mls_key=b""), errors.WrongLength),
        (bent_device(Profile.FIPS, mls_key=ALICE.aik.public), errors.SecretKeyRefused),
        (bent_device(Profile.STANDARD, mls_key=b""), errors.WrongLength),
        (bent_device(Profile.COMPAT, mls_key=P256_KEY), errors.InvalidAccountRecord),
        (bent_device(Profile.COMPAT, suites=(2,)), errors.InvalidAccountRecord),
        (bent_device(Profile.FIPS, suites=(1, 2)), errors.InvalidAccountRecord),
        (bent_device(Profile.STANDARD, suites=(2,)), errors.InvalidAccountRecord),
        (bent_device(Profile.STANDARD, kem_key=rsa_public()), errors.WrongLength),
        (bent_device(Profile.COMPAT, kem_key=x_wing_public()), errors.WrongLength),
        (bent_device(Profile.FIPS, kem_key=rsa_public(0, 2048)), errors.WrongLength),
        (bent(Profile.FIPS, encryption_keys=SHORT_RSA), errors.WrongLength),
        (bent(Profile.STANDARD, encryption_keys=(FIRST.encryption_keys[0], *SHORT_RSA)), errors.WrongLength),
        (bent(Profile.COMPAT, encryption_keys=FIRST.encryption_keys), errors.InvalidAccountRecord),
        (bent(Profile.STANDARD, encryption_keys=FIRST.encryption_keys[1:]), errors.InvalidAccountRecord),
    ],
)
def test_a_record_with_what_its_profile_does_not_have_is_refused(
    record: AccountRecord, error: type[errors.PeerError]
) -> None:
    with pytest.raises(error):
        check_form(record)


def test_a_short_rsa_key_is_told_as_such() -> None:
    with pytest.raises(errors.WrongLength, match="at least 422 bytes in the profile fips"):
        check_form(bent(Profile.FIPS, encryption_keys=SHORT_RSA))


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("other", Profile)
def test_the_profile_is_part_of_the_fingerprint(profile: Profile, other: Profile) -> None:
    assert (aik_fingerprint(profile, P256_KEY) == aik_fingerprint(other, P256_KEY)) is (profile is other)


def test_what_a_profile_is_called() -> None:
    assert [profile_of(name) for name in ("compat", "standard", "fips")] == list(Profile)
    with pytest.raises(errors.InvalidArgument, match="standard, fips or compat"):
        profile_of("FIPS")


# --- the rest of the form ----------------------------------------------------------------


def keyed(index: int, public: bytes) -> AccountRecord:
    keys = list(FIRST.encryption_keys)
    keys[index] = dataclasses.replace(keys[index], public_key=public)
    return moved(FIRST, encryption_keys=tuple(keys))


def with_request_key(public: bytes) -> AccountRecord:
    return with_device(request_key=public, device_id=device_id_of("alice", public))


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (moved(FIRST, aik=SMALL_ORDER), errors.Malformed),
        (moved(FIRST, aik=b"a" * 31), errors.WrongLength),
        (moved(FIRST, aik=b"a" * 64), errors.SecretKeyRefused),
        (keyed(0, b"k" * 1215), errors.WrongLength),
        (keyed(0, b"k" * 32), errors.SecretKeyRefused),
        (keyed(0, RSA.public_key), errors.WrongLength),
        (keyed(1, RSA.public_key[:-1]), errors.Malformed),
        (keyed(1, b"-----BEGIN PRIVATE KEY-----"), errors.SecretKeyRefused),
        (with_request_key(SMALL_ORDER), errors.Malformed),
        (with_request_key(b"r" * 33), errors.WrongLength),
        (with_request_key(b"r" * 64), errors.SecretKeyRefused),
        (with_device(mls_key=SMALL_ORDER), errors.Malformed),
        (with_device(mls_key=b"m" * 33), errors.WrongLength),
        (with_device(kem_key=x_wing_public()[:-1]), errors.WrongLength),
        (with_device(kem_key=b"k" * 32), errors.SecretKeyRefused),
    ],
)
def test_every_key_of_a_record_is_checked(record: AccountRecord, error: type[errors.PeerError]) -> None:
    with pytest.raises(error):
        check_form(record)


# --- the first record --------------------------------------------------------------------


def test_a_first_record_on_its_own_word() -> None:
    found = first_of(FIRST)
    assert (found.value, found.key) == (FIRST, ALICE.aik.public)


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (moved(FIRST, version=0), "the first version is not 1"),
        (moved(FIRST, version=2), "the first version is not 1"),
        (moved(FIRST, previous_hash=b"h" * 32), "the first version names an earlier one"),
        (moved(FIRST, devices=PAIR), "the first version has not exactly one device"),
        (moved(FIRST, devices=()), "the first version has not exactly one device"),
        (
            moved(FIRST, devices=(), encryption_keys=(), archive_key_id=b""),
            "the first version has not exactly one device",
        ),
        (moved(FIRST, revoked=GONE), "the first version has not exactly one device"),
    ],
)
def test_a_first_record_that_is_none(record: AccountRecord, rule: str) -> None:
    with pytest.raises(errors.InvalidAccountRecord) as refusal:
        first_of(record)
    assert refusal.value.detail == rule


def signatures_of(**other: bytes) -> AccountSignatures:
    return dataclasses.replace(sign_record(FIRST, ALICE.aik.sign, ALICE.device.sign), **other)


def test_a_first_record_has_no_signature_of_an_earlier_identity() -> None:
    by_old = sign(labels.ACCOUNT_RECORD, FIRST, ALICE.aik.sign)
    with pytest.raises(errors.InvalidAccountRecord, match="where none belongs"):
        verify_first(FIRST, signatures_of(old_aik=by_old))


@pytest.mark.parametrize(
    "possession",
    [
        b"",
        sign(labels.DEVICE_POSSESSION, FIRST, ALICE.aik.sign),
        sign(labels.DEVICE_POSSESSION, FIRST, STRANGER.sign),
        sign(labels.ACCOUNT_RECORD, FIRST, ALICE.device.sign),
        sign(labels.DEVICE_POSSESSION, moved(FIRST, user_id="bob"), ALICE.device.sign),
    ],
    ids=["none", "identity key", "stranger", "other label", "other record"],
)
def test_the_first_device_proves_that_it_has_its_key(possession: bytes) -> None:
    with pytest.raises(errors.BadSignature) as refusal:
        verify_first(FIRST, signatures_of(device=possession))
    assert refusal.value.detail == "device possession"


@pytest.mark.parametrize(
    "own",
    [
        b"",
        sign(labels.ACCOUNT_RECORD, FIRST, ALICE.device.sign),
        sign(labels.ACCOUNT_RECORD, FIRST, STRANGER.sign),
        sign(labels.DEVICE_POSSESSION, FIRST, ALICE.aik.sign),
        sign(labels.ACCOUNT_RECORD, moved(FIRST, user_id="bob"), ALICE.aik.sign),
    ],
    ids=["none", "device", "stranger", "other label", "other record"],
)
def test_the_first_record_is_by_its_own_identity_key(own: bytes) -> None:
    with pytest.raises(errors.BadSignature) as refusal:
        verify_first(FIRST, signatures_of(aik=own))
    assert refusal.value.detail == "account record"


# --- a chain -----------------------------------------------------------------------------


def chain_of(person: Person) -> list[tuple[AccountRecord, AccountSignatures]]:
    first, *later = [each.value for each in person.versions]
    founding = sign_record(first, person.aik.sign, person.device.sign)
    return [(first, founding), *((record, sign_record(record, person.aik.sign)) for record in later)]


def test_a_chain_is_verified_record_by_record() -> None:
    person = Person("carol")
    for _ in range(3):
        person.publish()
    chain = chain_of(person)
    records = [record for record, _ in chain]
    assert [each.value for each in verify_chain(chain)] == records
    pin = verify_chain(chain[:2])[-1]
    assert [each.value for each in verify_chain(chain[2:], pin)] == records[2:]
    assert verify_chain([]) == verify_chain([], pin) == []


@pytest.mark.parametrize("order", [(1, 2, 3), (0, 2, 3), (0, 2, 1, 3), (0, 0), (0, 1, 1)])
def test_a_chain_with_a_gap_or_out_of_order_is_refused(order: tuple[int, ...]) -> None:
    person = Person("carol")
    for _ in range(3):
        person.publish()
    chain = chain_of(person)
    with pytest.raises(errors.InvalidAccountRecord):
        verify_chain([chain[place] for place in order])


def test_a_chain_from_a_pin_does_not_start_anew() -> None:
    person = Person("carol")
    person.publish()
    with pytest.raises(errors.InvalidAccountRecord):
        verify_chain(chain_of(person), person.versions[0])
