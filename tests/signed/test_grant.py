from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import errors
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key, P256Key
from tacit.signed.grant import Grant, GrantContext, Granter, SignedGrant, WrapAlgorithm, sign_grant, verify_grant
from tacit.signed.profiles import Profile
from tacit.signed.verify import Verified
from tacit.wire import limits
from tacit.wire.codec import decode, encode

KEY = Ed25519Key.from_seed(Secret(b"k" * 32))
GRANT = Grant(
    b"r" * 32, Granter("alice", "d" * 64, b"a" * 32), "bob", b"b" * 32, WrapAlgorithm.HPKE_X_WING, b"ciphertext"
)


def test_a_grant_has_the_bytes_of_the_specification() -> None:
    granter = b"\x05alice" + b"\x40\x40" + b"d" * 64 + b"a" * 32
    assert encode(GRANT) == b"r" * 32 + granter + b"\x03bob" + b"b" * 32 + b"\x00\x01" + b"\x0aciphertext"
    assert encode(GrantContext(b"r" * 32, "bob", b"b" * 32)) == b"r" * 32 + b"\x03bob" + b"b" * 32


def test_a_signed_grant_travels_as_its_struct() -> None:
    signed = sign_grant(GRANT, KEY.sign)
    assert decode(SignedGrant, encode(signed)) == signed
    with pytest.raises(errors.Malformed):
        decode(SignedGrant, encode(signed) + b"\x00")


def test_the_signature_is_over_label_and_struct() -> None:
    signed = sign_grant(GRANT, lambda data: hashlib.sha256(data).digest())
    body = encode(GRANT)
    length = (0x4000 | len(body)).to_bytes(2, "big")
    assert signed.signature == hashlib.sha256(b"\x0dtacit/1 grant" + length + body).digest()


def test_a_grant_is_verified_under_its_granters_key() -> None:
    verified = verify_grant(sign_grant(GRANT, KEY.sign), KEY.public, Profile.STANDARD)
    assert isinstance(verified, Verified)
    assert verified.value == GRANT
    other = Ed25519Key.from_seed(Secret(b"o" * 32))
    with pytest.raises(errors.BadSignature):
        verify_grant(sign_grant(GRANT, other.sign), KEY.public, Profile.STANDARD)


@pytest.mark.parametrize("profile", [Profile.FIPS, Profile.COMPAT])
def test_a_granters_profile_says_how_it_signs(profile: Profile) -> None:
    key = P256Key.from_seed(Secret(b"p" * 32))
    assert verify_grant(sign_grant(GRANT, key.sign), key.public, profile).value == GRANT
    with pytest.raises(errors.BadSignature):
        verify_grant(sign_grant(GRANT, KEY.sign), KEY.public, profile)
    with pytest.raises(errors.BadSignature):
        verify_grant(sign_grant(GRANT, key.sign), key.public, Profile.STANDARD)


def test_an_unknown_way_of_wrapping_is_refused_while_reading() -> None:
    raw = encode(GRANT).replace(b"\x00\x01\x0aciphertext", b"\x00\x09\x0aciphertext")
    with pytest.raises(errors.UnknownVersion):
        decode(Grant, raw)


def test_a_ciphertext_over_the_limit_is_refused() -> None:
    with pytest.raises(errors.TooLarge):
        encode(dataclasses.replace(GRANT, ciphertext=bytes(limits.WRAPPED_KEY_BYTES + 1)))


@given(st.integers(0, 8 * len(encode(GRANT)) - 1))
def test_any_flipped_bit_breaks_the_signature_or_the_form(bit: int) -> None:
    signed = sign_grant(GRANT, KEY.sign)
    raw = bytearray(encode(GRANT))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(errors.PeerError):
        verify_grant(SignedGrant(decode(Grant, bytes(raw)), signed.signature), KEY.public, Profile.STANDARD)
