from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from crypto import low_order
from tacit import errors
from tacit.crypto import verify
from tacit.crypto.curves import Curve
from tacit.crypto.secret import Secret
from tacit.crypto.sign import EcdsaKey, P256Key, P384Key, P521Key
from tacit.crypto.verify import verify_ecdsa, verify_ecdsa_der

KEYS: dict[int, EcdsaKey] = {
    number: which.from_seed(Secret(bytes(which.CURVE.size - 2) + b"\x12\x34"))
    for number, which in ((verify.P256, P256Key), (verify.P384, P384Key), (verify.P521, P521Key))
}
MESSAGE = b"hello"
each_curve = pytest.mark.parametrize("curve", KEYS, ids=lambda number: KEYS[number].CURVE.name)


class Anything:
    """A key that verifies all, so that only the door's own checks are left."""

    def verify(self, *_: object) -> None:
        pass


def raw(curve: int, r: int, s: int) -> bytes:
    size = KEYS[curve].CURVE.size
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


@each_curve
def test_a_signature_of_another_library_verifies(curve: int) -> None:
    key = KEYS[curve]
    other = ec.derive_private_key(int.from_bytes(key.seed.reveal(), "big"), key.CURVE.group)
    der = other.sign(MESSAGE, ec.ECDSA(key.CURVE.hash))
    assert verify_ecdsa_der(curve, key.public, MESSAGE, der)
    assert verify_ecdsa(curve, key.public, MESSAGE, raw(curve, *decode_dss_signature(der)))


@each_curve
def test_a_changed_signature_is_refused(curve: int) -> None:
    key = KEYS[curve]
    signature = key.sign(MESSAGE)
    for place in range(0, len(signature), 7):
        changed = signature[:place] + bytes((signature[place] ^ 1,)) + signature[place + 1 :]
        assert not verify_ecdsa(curve, key.public, MESSAGE, changed)


@each_curve
def test_a_raw_signature_has_one_length(curve: int) -> None:
    key = KEYS[curve]
    signature = key.sign(MESSAGE)
    half = key.CURVE.size
    same_numbers = (b"\0" + signature, signature[:half] + b"\0" + signature[half:])
    for other in (b"", signature[:-1], signature + b"\0", *same_numbers, signature[1:], key.sign_der(MESSAGE)):
        assert not verify_ecdsa(curve, key.public, MESSAGE, other)


# --- N1: r, s and keys that make a signature of nothing ---------------------------------


@each_curve
def test_r_and_s_are_at_least_1_and_below_the_order(curve: int) -> None:
    key = KEYS[curve]
    n = key.CURVE.order
    r, s = decode_dss_signature(key.sign_der(MESSAGE))
    assert verify_ecdsa(curve, key.public, MESSAGE, raw(curve, r, s))
    most = 2 ** (8 * key.CURVE.size)
    pairs = [(0, 0), (0, s), (r, 0), (n, s), (r, n), (n, n), (r + n, s), (r, s + n), (1, n), (most - 1, most - 1)]
    for bad in pairs:
        if max(bad) < most:
            assert not verify_ecdsa(curve, key.public, MESSAGE, raw(curve, *bad))
        assert not verify_ecdsa_der(curve, key.public, MESSAGE, encode_dss_signature(*bad))


def test_the_bounds_are_asked_before_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a primitive that takes anything, only the door's own bounds are left."""
    monkeypatch.setattr(verify, "_parsed", lambda curve, public: Anything())
    key = KEYS[verify.P256]
    n = key.CURVE.order
    for r, s, taken in ((1, 1, True), (n - 1, n - 1, True), (0, 1, False), (1, 0, False), (n, 1, False), (1, n, False)):
        assert verify_ecdsa(verify.P256, key.public, MESSAGE, raw(verify.P256, r, s)) == taken
        assert verify_ecdsa_der(verify.P256, key.public, MESSAGE, encode_dss_signature(r, s)) == taken


def test_a_key_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is the key alone: neither another curve's, nor what is none, nor any verdict."""
    verify._parsed.cache_clear()
    read: list[str] = []
    plain = Curve.point

    def counting(self: Curve, public: bytes) -> ec.EllipticCurvePublicKey:
        read.append(self.name)
        return plain(self, public)

    monkeypatch.setattr(Curve, "point", counting)
    key = KEYS[verify.P256]
    for message, holds in ((MESSAGE, True), (b"other", False), (MESSAGE, True)):
        assert verify_ecdsa(verify.P256, key.public, message, key.sign(MESSAGE)) == holds
    assert read == ["P-256"]
    for _ in range(2):
        assert not verify_ecdsa(verify.P384, key.public, MESSAGE, KEYS[verify.P384].sign(MESSAGE))
    assert read == ["P-256", "P-384", "P-384"]
    assert verify._parsed.cache_info().currsize == 1


def test_a_high_s_is_taken() -> None:
    """Both s and n - s verify, as the standard has it: nothing here may use a signature as an identifier."""
    key = KEYS[verify.P256]
    r, s = decode_dss_signature(key.sign_der(MESSAGE))
    assert verify_ecdsa(verify.P256, key.public, MESSAGE, raw(verify.P256, r, key.CURVE.order - s))


@each_curve
@pytest.mark.parametrize("name", low_order.not_of_the_curve(ec.SECP256R1()))
def test_a_key_that_is_no_uncompressed_point_verifies_nothing(curve: int, name: str) -> None:
    key = KEYS[curve]
    public = low_order.not_of_the_curve(key.CURVE.group)[name]
    assert not verify_ecdsa(curve, public, MESSAGE, key.sign(MESSAGE))
    assert not verify_ecdsa_der(curve, public, MESSAGE, key.sign_der(MESSAGE))


def test_the_key_of_a_signature_in_another_form_verifies_nothing() -> None:
    """The right point, compressed or hybrid, is refused all the same: one key has one form."""
    key = KEYS[verify.P256]
    x, y = key.public[1:33], key.public[33:]
    for other in (bytes((2 + (y[-1] & 1),)) + x, bytes((6 + (y[-1] & 1),)) + x + y, x + y):
        assert not verify_ecdsa(verify.P256, other, MESSAGE, key.sign(MESSAGE))


# --- DER --------------------------------------------------------------------------------


def other_encodings(der: bytes) -> dict[str, bytes]:
    """The same r and s in BER, or with something around them."""
    assert der[:1] == b"\x30"
    assert der[1] < 0x80
    inner = der[2:]
    r, rest = inner[: 2 + inner[1]], inner[2 + inner[1] :]
    padded = b"\x02" + bytes((r[1] + 1,)) + b"\0" + r[2:]
    return {
        "long length": b"\x30\x81" + der[1:],
        "longer length": b"\x30\x82\x00" + der[1:],
        "indefinite length": b"\x30\x80" + inner + b"\0\0",
        "a byte behind": der + b"\0",
        "a byte in it": b"\x30" + bytes((der[1] + 1,)) + inner + b"\0",
        "a byte short": der[:-1],
        "zeros before r": b"\x30" + bytes((der[1] + 1,)) + padded + rest,
        "long length of r": b"\x30" + bytes((der[1] + 1,)) + b"\x02\x81" + r[1:] + rest,
        "a set": b"\x31" + der[1:],
        "r alone": b"\x30" + bytes((len(r),)) + r,
        "three numbers": b"\x30" + bytes((der[1] + 3,)) + inner + b"\x02\x01\x01",
        "octets": b"\x30" + bytes((der[1],)) + b"\x04" + r[1:] + rest,
        "nothing": b"",
        "empty": b"\x30\x00",
    }


@pytest.mark.parametrize("name", other_encodings(KEYS[verify.P256].sign_der(MESSAGE)))
def test_a_signature_has_one_encoding(name: str) -> None:
    key = KEYS[verify.P256]
    der = key.sign_der(MESSAGE)
    assert verify_ecdsa_der(verify.P256, key.public, MESSAGE, der)
    assert not verify_ecdsa_der(verify.P256, key.public, MESSAGE, other_encodings(der)[name])


def test_an_encoding_that_the_library_reads_and_would_not_write_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    key = KEYS[verify.P256]
    der = key.sign_der(MESSAGE)
    lax = other_encodings(der)["long length"]
    monkeypatch.setattr(verify, "decode_dss_signature", lambda _: decode_dss_signature(der))
    monkeypatch.setattr(verify, "_parsed", lambda curve, public: Anything())
    assert verify_ecdsa_der(verify.P256, key.public, MESSAGE, der)
    assert not verify_ecdsa_der(verify.P256, key.public, MESSAGE, lax)


@each_curve
@given(st.binary(max_size=150))
def test_noise_is_no_signature(curve: int, noise: bytes) -> None:
    assert not verify_ecdsa(curve, KEYS[curve].public, MESSAGE, noise)
    assert not verify_ecdsa_der(curve, KEYS[curve].public, MESSAGE, noise)
    assert not verify_ecdsa(curve, noise, MESSAGE, KEYS[curve].sign(MESSAGE))


# --- arguments --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, verify.ED25519, verify.X25519, verify.RSA, verify.ED448, 99])
def test_an_algorithm_without_ecdsa_is_refused(number: int) -> None:
    key = KEYS[verify.P256]
    for door in (verify_ecdsa, verify_ecdsa_der):
        with pytest.raises(errors.InvalidArgument):
            door(number, key.public, MESSAGE, key.sign(MESSAGE))


@pytest.mark.parametrize("place", [1, 2, 3])
def test_what_is_no_bytes_is_refused(place: int) -> None:
    key = KEYS[verify.P256]
    for signature, door in ((key.sign(MESSAGE), verify_ecdsa), (key.sign_der(MESSAGE), verify_ecdsa_der)):
        arguments: list[object] = [verify.P256, key.public, MESSAGE, signature]
        arguments[place] = "text"
        calling: Callable[..., bool] = door
        with pytest.raises(errors.InvalidArgument):
            calling(*arguments)


@each_curve
def test_each_curve_has_its_hash(curve: int) -> None:
    key = KEYS[curve]
    other = ec.derive_private_key(int.from_bytes(key.seed.reveal(), "big"), key.CURVE.group)
    names = {verify.P256: "sha256", verify.P384: "sha384", verify.P521: "sha512"}
    assert key.CURVE.hash.name == names[curve]
    if curve != verify.P256:
        assert not verify_ecdsa_der(curve, key.public, MESSAGE, other.sign(MESSAGE, ec.ECDSA(SHA256())))
    assert not verify_ecdsa_der(curve, key.public, MESSAGE, other.sign(bytes(32), ec.ECDSA(Prehashed(SHA256()))))
