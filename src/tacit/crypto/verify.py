"""Checking signatures and the form of public keys."""

from __future__ import annotations

import re
from typing import Final

import nacl.bindings
import nacl.exceptions
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from tacit import errors
from tacit.crypto.secret import need_bytes

ED25519: Final = 1
X_WING: Final = 2
RSA: Final = 3
X25519: Final = 4

_P: Final = 2**255 - 19
_L: Final = 2**252 + 27742317777372353535851937790883648493
_WITHOUT_SIGN: Final = 2**255 - 1
_IDENTITY: Final = (1).to_bytes(32, "little")
# The y of the points of order 1, 2, 4 and 8, with the two that have a second encoding below 2^255.
_ORDER_8_Y: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y: Final = (0, 1, _P - 1, _P, _P + 1, _ORDER_8_Y, _P - _ORDER_8_Y)
_SMALL_ORDER: Final = frozenset((y | sign << 255).to_bytes(32, "little") for y in _SMALL_ORDER_Y for sign in (0, 1))
# The u of the points of order 1, 2, 4 and 8 of Curve25519 and of its twist (RFC 7748 §7).
_LOW_ORDER_U: Final = frozenset(
    (
        0,
        1,
        _P - 1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    )
)

_RSA_LONGEST: Final = 1024
"""Bytes; a key of 4096 bits has 550."""

_MARKS: Final = (b"-----BEGIN", b"openssh-key-v1\0", b"PuTTY-User-Key-File", b"AGE-SECRET-KEY-1")
_KTY: Final = re.compile(rb'"kty"\s*:')
_INTEGER, _OCTETS, _OID, _SEQUENCE = 0x02, 0x04, 0x06, 0x30


def scalar_is_reduced(scalar: bytes) -> bool:
    """Whether 32 bytes, little-endian, are below the group's order L (RFC 8032 §5.1.7): else S + L verifies too."""
    return int.from_bytes(scalar, "little") < _L


def point_is_canonical(point: bytes) -> bool:
    """Whether the y of an encoded point is below p: else one key has two encodings, and so two fingerprints."""
    return int.from_bytes(point, "little") & _WITHOUT_SIGN < _P


def has_small_order(point: bytes) -> bool:
    """Whether this is one of the 14 encodings of the 8 points of small order, under which anybody can sign."""
    return point in _SMALL_ORDER


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature (64 bytes) is of this message under this key (32 bytes); never raises for their content.

    The rule: S < L, A canonical, A and R none of the small-order encodings, and the equation without the cofactor
    (RFC 8032 §5.1.7). The libsodium of today has the same rule, but builds and versions of it differ, so what can be
    said in a line is said here; that it leaves the cofactor out is held by the tests.
    """
    need_bytes(public, message, signature)
    if len(public) != 32 or len(signature) != 64:
        return False
    if has_small_order(public) or has_small_order(signature[:32]):
        return False
    if not point_is_canonical(public) or not scalar_is_reduced(signature[32:]):
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + message, public)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


def looks_secret(data: bytes) -> bool:
    """Whether the bytes are, or look like, a private key in one of the usual forms; used on every key field.

    Recognised: PEM of anything, PKCS#8 (encrypted too), PKCS#1, SEC1 and PKCS#12 in DER, OpenSSH's own form and JWK.
    Bare 32 or 64 bytes are judged by the field's own struct.
    """
    need_bytes(data)
    return any(mark in data for mark in _MARKS) or _is_private_der(data) or _is_jwk(data)


def _is_jwk(data: bytes) -> bool:
    # A public key may begin with the byte of a brace, so that the name of a JWK's one required field is needed too.
    return data.lstrip()[:1] in (b"{", b"[") and _KTY.search(data) is not None


def _element(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Tag, start and end of the content of the BER element there; None where none fits."""
    head = data[at : at + 2]
    if len(head) < 2:
        return None
    tag, length = head
    start = at + 2
    if length == 0x80:
        length = len(data) - start
    elif length > 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    end = start + length
    return (tag, start, end) if end <= len(data) else None


def _is_private_der(data: bytes) -> bool:
    """Private forms begin with a version of one byte, and an encrypted PKCS#8 is an algorithm with an OCTET STRING.

    Public forms begin with an algorithm and a BIT STRING, or with a modulus.
    """
    outer = _element(data, 0)
    first = outer and _element(data, outer[1])
    second = first and _element(data, first[2])
    if not outer or not first or not second or outer[0] != _SEQUENCE:
        return False
    tag, start, end = first
    if tag == _INTEGER:
        return end - start == 1 and second[0] in (_SEQUENCE, _INTEGER, _OCTETS)
    return tag == _SEQUENCE and data[start : start + 1] == bytes((_OID,)) and second[0] == _OCTETS


def check_public(algorithm: int, public: bytes) -> None:
    """Refuses what is not exactly one public key of this algorithm.

    ED25519 32 bytes, X_WING 1216, X25519 32, RSA a SubjectPublicKeyInfo of 2048 to 4096 bits with e = 65537.
    Raises `SecretKeyRefused` for what looks like a private key, `WrongLength` and `Malformed` for the rest, and
    `InvalidArgument` for an algorithm that is none of these.
    """
    bare = (64,) if algorithm in (ED25519, X25519) else (32, 64)
    if looks_secret(public) or len(public) in bare:
        raise errors.SecretKeyRefused()
    check = _CHECKS.get(algorithm)
    if check is None:
        raise errors.InvalidArgument(f"there is no key algorithm {algorithm}")
    check(public)


def _check_ed25519(public: bytes) -> None:
    if len(public) != 32:
        raise errors.WrongLength("an Ed25519 public key has 32 bytes")
    if has_small_order(public):
        raise errors.Malformed("an Ed25519 public key of small order")
    if not point_is_canonical(public):
        raise errors.Malformed("an Ed25519 public key that is not canonical")
    try:
        # The one call that decodes a point and asks nothing else of it.
        nacl.bindings.crypto_core_ed25519_add(public, _IDENTITY)
    except nacl.exceptions.RuntimeError:
        raise errors.Malformed("an Ed25519 public key that is no point of the curve") from None


def _check_x25519(public: bytes) -> None:
    if len(public) != 32:
        raise errors.WrongLength("an X25519 public key has 32 bytes")
    # X25519 ignores the highest bit and takes the rest modulo p (RFC 7748 §5).
    if (int.from_bytes(public, "little") & _WITHOUT_SIGN) % _P in _LOW_ORDER_U:
        raise errors.Malformed("an X25519 public key of low order")


def _check_x_wing(public: bytes) -> None:
    if len(public) != 1216:
        raise errors.WrongLength("an X-Wing public key has 1216 bytes")
    try:
        MLKEM768PublicKey.from_public_bytes(public[:1184])
    except ValueError:
        raise errors.Malformed("not an ML-KEM-768 public key") from None
    _check_x25519(public[1184:])


def _check_rsa(public: bytes) -> None:
    if len(public) > _RSA_LONGEST:
        raise errors.WrongLength(f"an RSA public key has at most {_RSA_LONGEST} bytes")
    try:
        key = load_der_public_key(public)
    except (ValueError, UnsupportedAlgorithm):
        raise errors.Malformed("not a SubjectPublicKeyInfo") from None
    if not isinstance(key, rsa.RSAPublicKey) or not 2048 <= key.key_size <= 4096:
        raise errors.Malformed("not an RSA key of 2048 to 4096 bits")
    if key.public_numbers().e != 65537:
        raise errors.Malformed("an RSA key with another e than 65537")
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != public:
        raise errors.Malformed("not the one encoding of this key")


_CHECKS: Final = {ED25519: _check_ed25519, X_WING: _check_x_wing, RSA: _check_rsa, X25519: _check_x25519}
