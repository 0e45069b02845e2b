"""Checking signatures and the form of public keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import nacl.bindings
import nacl.exceptions
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from tacit import errors
from tacit.crypto import curves, goldilocks
from tacit.crypto.curves import Curve
from tacit.crypto.secret import need_bytes

ED25519: Final = 1
X_WING: Final = 2
RSA: Final = 3
X25519: Final = 4
P256: Final = 5
P384: Final = 6
P521: Final = 7
X448: Final = 8
ED448: Final = 9

_CURVES: Final = {P256: curves.P256, P384: curves.P384, P521: curves.P521}
_PUBLIC_BYTES: Final = {ED25519: 32, X_WING: 1216, X25519: 32, P256: 65, P384: 97, P521: 133, X448: 56, ED448: 57}
_SCALAR_BYTES: Final = frozenset((32, 48, 56, 57, 64, 66))
"""Bare private keys: Ed25519, X25519, P-256 and X-Wing, P-384, X448, Ed448, ML-KEM, P-521."""

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

# A one at the lowest bit of every other of ML-KEM's 768 numbers of 12 bits.
_ONES: Final = sum(1 << 24 * pair for pair in range(384))
_EVERY_OTHER: Final = 0xFFF * _ONES
_UP_TO_CARRY: Final = (0x1000 - 3329) * _ONES
_CARRIES: Final = 0x1000 * _ONES

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


def mlkem_is_reduced(public: bytes) -> bool:
    """Whether the 768 numbers in the 1184 bytes of an ML-KEM-768 key are below q: all that is asked (FIPS 203 §7.2).

    Two of 12 bits are in three bytes. Above one of them is then room for the carry of all at once.
    """
    packed = int.from_bytes(public[:-32], "little")
    return all((((packed >> shift) & _EVERY_OTHER) + _UP_TO_CARRY) & _CARRIES == 0 for shift in (0, 12))


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


def verify_ecdsa(curve: int, public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a raw signature, r and s of the curve's size, is of this message; never raises for their content.

    `curve` is P256 (public key 65 bytes, signature 64, SHA-256), P384 (97, 96, SHA-384) or P521 (133, 132, SHA-512);
    another raises `InvalidArgument`. r and s are at least 1 and below n (FIPS 186-5 §6.4.2); a high s is taken.
    """
    on = _curve(curve)
    need_bytes(public, message, signature)
    if len(signature) != 2 * on.size:
        return False
    r, s = int.from_bytes(signature[: on.size], "big"), int.from_bytes(signature[on.size :], "big")
    return _holds(on, public, message, r, s, encode_dss_signature(r, s))


def verify_ecdsa_der(curve: int, public: bytes, message: bytes, signature: bytes) -> bool:
    """As `verify_ecdsa` for an ECDSA-Sig-Value (RFC 3279 §2.2.3) in DER and in no other encoding of it."""
    on = _curve(curve)
    need_bytes(public, message, signature)
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return False
    if encode_dss_signature(r, s) != signature:
        return False
    return _holds(on, public, message, r, s, signature)


def _curve(number: int) -> Curve:
    curve = _CURVES.get(number)
    if curve is None:
        raise errors.InvalidArgument(f"there is no ECDSA with key algorithm {number}")
    return curve


def _holds(curve: Curve, public: bytes, message: bytes, r: int, s: int, der: bytes) -> bool:
    if not 0 < r < curve.order or not 0 < s < curve.order:
        return False
    try:
        _parsed(curve, public).verify(der, message, ECDSA(curve.hash))
    except (errors.WrongLength, errors.Malformed, InvalidSignature):
        return False
    return True


@lru_cache(maxsize=1024)
def _parsed(curve: Curve, public: bytes) -> EllipticCurvePublicKey:
    """Keys that were asked for lately: reading one, and its first use, are a third of what a P-256 signature costs."""
    return curve.point(public)


def verify_ed448(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature (114 bytes) is of this message under this key (57 bytes); never raises for their content.

    The rule is that of Ed25519: S < L, A canonical, A and R not of small order (RFC 8032 §5.2.7); empty context.
    """
    need_bytes(public, message, signature)
    if len(public) != 57 or len(signature) != 114:
        return False
    if goldilocks.has_small_order(public) or goldilocks.has_small_order(signature[:57]):
        return False
    if not goldilocks.point_is_canonical(public) or not goldilocks.scalar_is_reduced(signature[57:]):
        return False
    try:
        Ed448PublicKey.from_public_bytes(public).verify(signature, message)
    except (ValueError, InvalidSignature):
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

    ED25519 32 bytes, X_WING 1216, X25519 32, RSA a SubjectPublicKeyInfo of 2048 to 4096 bits with e = 65537, P256 65,
    P384 97 and P521 133, each an uncompressed point, X448 56, ED448 57.
    Raises `SecretKeyRefused` for what looks like a private key and for what has the length of a bare one of another
    length than this, `WrongLength` and `Malformed` for the rest, and `InvalidArgument` for an unknown algorithm.
    """
    if looks_secret(public) or (len(public) in _SCALAR_BYTES and len(public) != _PUBLIC_BYTES.get(algorithm)):
        raise errors.SecretKeyRefused()
    check_form(algorithm, public)


def check_form(algorithm: int, public: bytes) -> None:
    """As `check_public`, of what cannot be a private key: it is not looked at for that, which takes ten times as long.

    Raises `WrongLength`, `Malformed` and `InvalidArgument` as that does.
    """
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
    if not mlkem_is_reduced(public[:1184]):
        raise errors.Malformed("not an ML-KEM-768 public key")
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


def _check_x448(public: bytes) -> None:
    if len(public) != 56:
        raise errors.WrongLength("an X448 public key has 56 bytes")
    if goldilocks.has_low_order(public):
        raise errors.Malformed("an X448 public key of low order")


def _check_ed448(public: bytes) -> None:
    if len(public) != 57:
        raise errors.WrongLength("an Ed448 public key has 57 bytes")
    if goldilocks.has_small_order(public):
        raise errors.Malformed("an Ed448 public key of small order")
    if not goldilocks.point_is_canonical(public):
        raise errors.Malformed("an Ed448 public key that is not canonical")
    if not goldilocks.is_point(public):
        raise errors.Malformed("an Ed448 public key that is no point of the curve")


_CHECKS: Final[dict[int, Callable[[bytes], object]]] = {
    ED25519: _check_ed25519,
    X_WING: _check_x_wing,
    RSA: _check_rsa,
    X25519: _check_x25519,
    P256: curves.P256.point,
    P384: curves.P384.point,
    P521: curves.P521.point,
    X448: _check_x448,
    ED448: _check_ed448,
}
