"""Ed25519 in slow, plain arithmetic: makes signatures that no honest signer makes, and judges by other rules."""

from __future__ import annotations

import hashlib
from typing import Final

Point = tuple[int, int]
Projective = tuple[int, int, int]
"""x/z and y/z: a sum without an inversion, which would cost more than all the rest."""

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P
NEUTRAL: Final[Point] = (0, 1)


def _sum(first: Projective, second: Projective) -> Projective:
    (x1, y1, z1), (x2, y2, z2) = first, second
    z, x, y = z1 * z2 % P, x1 * x2 % P, y1 * y2 % P
    square, product = z * z % P, D * x * y % P
    minus, plus = square - product, square + product
    return z * minus * ((x1 + y1) * (x2 + y2) - x - y) % P, z * plus * (y + x) % P, minus * plus % P


def _affine(point: Projective) -> Point:
    x, y, z = point
    inverse = pow(z, -1, P)
    return x * inverse % P, y * inverse % P


def add(first: Point, second: Point) -> Point:
    return _affine(_sum((*first, 1), (*second, 1)))


def negated(point: Point) -> Point:
    return -point[0] % P, point[1]


def multiplied(scalar: int, point: Point) -> Point:
    result, step = (*NEUTRAL, 1), (*point, 1)
    while scalar:
        if scalar & 1:
            result = _sum(result, step)
        step = _sum(step, step)
        scalar >>= 1
    return _affine(result)


def decoded(encoding: bytes) -> Point | None:
    """Leniently, as the first implementations did: y modulo p, and no complaint about the sign of x = 0."""
    number = int.from_bytes(encoding, "little")
    sign, y = number >> 255, (number & (2**255 - 1)) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square:
        return None
    return (x if x & 1 == sign else -x % P), y


def encoded(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def _base() -> Point:
    base = decoded((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert base is not None
    return base


def _torsion() -> list[Point]:
    y = 2
    while True:
        point = decoded(y.to_bytes(32, "little"))
        generator = point and multiplied(L, point)
        if generator and multiplied(4, generator) != NEUTRAL:
            return [multiplied(times, generator) for times in range(8)]
        y += 1


BASE: Final = _base()
TORSION: Final = _torsion()
"""The 8 points whose order divides 8; the i-th is i times the second."""


def challenge(nonce: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(nonce + public + message).digest(), "little") % L


def scalar_of(seed: bytes) -> int:
    """The secret scalar of a seed (RFC 8032 §5.1.5)."""
    number = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return number & ((1 << 254) - 8) | 1 << 254


def verifies(public: bytes, message: bytes, signature: bytes, *, cofactor: int = 1) -> bool:
    """The bare equation, lenient about every encoding and about S; with cofactor 8 as RFC 8032 also allows."""
    key, nonce = decoded(public), decoded(signature[:32])
    if key is None or nonce is None:
        return False
    hashed = challenge(signature[:32], public, message)
    right = add(nonce, multiplied(hashed, key))
    difference = add(multiplied(int.from_bytes(signature[32:], "little"), BASE), negated(right))
    return multiplied(cofactor, difference) == NEUTRAL
