from __future__ import annotations

import dataclasses

import pytest

from tacit import errors
from tacit.crypto.digest import sha256
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key, P256Key
from tacit.crypto.verify import verify_ed25519
from tacit.signed import labels
from tacit.signed.profiles import Profile
from tacit.signed.verify import (
    ZERO_HASH,
    HashedOnce,
    Verified,
    hash_once,
    labelled,
    labelled_bytes,
    sign,
    signature_holds,
    struct_hash,
    verify,
    verify_by_key,
)
from tacit.wire.codec import struct
from tacit.wire.encodings import U16, Hash

KEY = Ed25519Key.from_seed(Secret(b"k" * 32))
OTHER = Ed25519Key.from_seed(Secret(b"o" * 32))
LABEL = labels.DEVICE_ID


@struct
class Place:
    number: U16
    where: Hash


@struct
class Kept(HashedOnce):
    number: U16
    where: Hash


PLACE = Place(7, b"w" * 32)
BYTES = b"\x11tacit/1 device id" + b"\x22\x00\x07" + b"w" * 32


def test_a_label_and_a_struct_are_vectors_one_after_the_other() -> None:
    assert labelled(LABEL, PLACE) == BYTES
    assert labelled_bytes("l", b"") == b"\x01l\x00"
    assert labelled_bytes("l", b"b" * 64) == b"\x01l\x40\x40" + b"b" * 64
    assert labelled_bytes("é" * 32, b"") == b"\x40\x40" + "é".encode() * 32 + b"\x00"


def test_label_and_struct_cannot_borrow_from_each_other() -> None:
    assert labelled_bytes("ab", b"c") != labelled_bytes("a", b"bc")
    assert labelled_bytes("a", b"") != labelled_bytes("", b"a")


def test_a_hash_is_sha_256_of_both() -> None:
    assert struct_hash(LABEL, PLACE) == sha256(BYTES)
    assert len(ZERO_HASH) == 32
    assert not any(ZERO_HASH)


def test_a_hash_that_is_kept_belongs_to_its_struct_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(7, b"w" * 32)
    assert hash_once(LABEL, kept) == sha256(BYTES)
    later = dataclasses.replace(kept, number=8)
    assert hash_once(LABEL, later) == struct_hash(LABEL, Place(8, b"w" * 32))
    assert later != kept == Kept(7, b"w" * 32)
    assert repr(kept) == repr(Kept(7, b"w" * 32))
    monkeypatch.setattr("tacit.signed.verify.struct_hash", lambda *_: pytest.fail("reckoned a second time"))
    assert hash_once(LABEL, kept) == sha256(BYTES)


def test_a_signature_is_over_both() -> None:
    signature = sign(LABEL, PLACE, KEY.sign)
    assert verify_ed25519(KEY.public, BYTES, signature)
    assert signature_holds(LABEL, PLACE, KEY.public, signature, Profile.STANDARD)


def test_what_was_checked_holds_what_it_was_checked_with() -> None:
    signature = sign(LABEL, PLACE, KEY.sign)
    for found in (
        verify(LABEL, PLACE, KEY.public, signature, Profile.STANDARD),
        verify_by_key(LABEL, PLACE, KEY.public, signature),
    ):
        assert (found.value, found.key, found.signature) == (PLACE, KEY.public, signature)


@pytest.mark.parametrize(
    ("label", "struct_signed", "key", "by"),
    [
        (labels.ROSTER, PLACE, KEY, KEY),
        (LABEL, Place(8, b"w" * 32), KEY, KEY),
        (LABEL, PLACE, OTHER, KEY),
        (LABEL, PLACE, KEY, OTHER),
    ],
    ids=["another label", "another struct", "another key", "by another"],
)
def test_any_other_signature_is_bad(label: str, struct_signed: Place, key: Ed25519Key, by: Ed25519Key) -> None:
    signature = sign(label, struct_signed, by.sign)
    assert not signature_holds(LABEL, PLACE, key.public, signature, Profile.STANDARD)
    with pytest.raises(errors.BadSignature) as refusal:
        verify(LABEL, PLACE, key.public, signature, Profile.STANDARD)
    assert refusal.value.detail == "device id"


@pytest.mark.parametrize("signature", [b"", b"s" * 63, b"s" * 64, b"s" * 65])
def test_what_is_no_signature_is_bad(signature: bytes) -> None:
    with pytest.raises(errors.BadSignature):
        verify(LABEL, PLACE, KEY.public, signature, Profile.STANDARD)


@pytest.mark.parametrize("profile", [Profile.COMPAT, Profile.FIPS])
def test_the_profile_says_which_algorithm_a_signature_has(profile: Profile) -> None:
    key = P256Key.generate(lambda count: b"p" * count)
    signature = sign(LABEL, PLACE, key.sign)
    assert verify(LABEL, PLACE, key.public, signature, profile).key == key.public
    assert verify_by_key(LABEL, PLACE, key.public, signature).key == key.public
    assert not signature_holds(LABEL, PLACE, key.public, signature, Profile.STANDARD)
    assert not signature_holds(LABEL, PLACE, KEY.public, sign(LABEL, PLACE, KEY.sign), profile)


@pytest.mark.parametrize("public", [b"", b"k" * 31, b"k" * 33, b"\x04" + b"k" * 64, KEY.public])
def test_a_key_alone_verifies_nothing_that_it_did_not_sign(public: bytes) -> None:
    with pytest.raises(errors.BadSignature):
        verify_by_key(LABEL, PLACE, public, b"s" * 64)


def test_profiles_have_their_numbers() -> None:
    assert (Profile.COMPAT, Profile.STANDARD, Profile.FIPS) == (1, 2, 3)


@pytest.mark.parametrize("checked", [None, True, object(), "checked"])
def test_nothing_but_a_check_makes_a_verified(checked: object) -> None:
    with pytest.raises(TypeError):
        Verified(PLACE, KEY.public, b"", checked)
