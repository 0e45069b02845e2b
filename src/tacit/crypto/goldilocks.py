"""The form of Ed448 and X448 public keys (RFC 8032 §5.2, RFC 7748 §4.2); nothing secret.

No library here says whether an encoding is a point, so that the curve's equation is asked in plain integers.
"""

from __future__ import annotations

from typing import Final

_P: Final = 2**448 - 2**224 - 1
_L: Final = 2**446 - 13818066809895115352007386748515426880336692474882178609894547503885
_D: Final = -39081
_WITHOUT_SIGN: Final = 2**455 - 1
# The y of the points of order 1, 2 and 4, with the two that have a second encoding; the u of the curve's and its
# twist's are the same numbers (RFC 7748 §7).
_SMALL: Final = frozenset((0, 1, _P - 1, _P, _P + 1))


def _y(point: bytes) -> int:
    return int.from_bytes(point, "little") & _WITHOUT_SIGN


def scalar_is_reduced(scalar: bytes) -> bool:
    """Whether 57 bytes, little-endian, are below the group's order L (RFC 8032 §5.2.7)."""
    return int.from_bytes(scalar, "little") < _L


def point_is_canonical(point: bytes) -> bool:
    """Whether the y of an encoded point (57 bytes) is below p (RFC 8032 §5.2.3)."""
    return _y(point) < _P


def has_small_order(point: bytes) -> bool:
    """Whether an encoded point (57 bytes) is one of the four whose order divides 4, however it is written."""
    return _y(point) in _SMALL


def is_point(point: bytes) -> bool:
    """Whether a canonical y has an x on the curve: x² = (y² - 1) / (d·y² - 1) (RFC 8032 §5.2.3)."""
    square = _y(point) ** 2
    return pow((square - 1) * (_D * square - 1), (_P - 1) // 2, _P) in (0, 1)


def has_low_order(u: bytes) -> bool:
    """Whether X448 (RFC 7748 §5) of this u (56 bytes) is zero with every scalar."""
    return int.from_bytes(u, "little") in _SMALL
