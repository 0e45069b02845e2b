"""Private scalars of the NIST curves: what is one, and how one is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tacit import errors
from tacit.crypto.curves import Curve
from tacit.crypto.secret import Secret, revealed_key

_TRIES: Final = 256


def private_key(curve: Curve, scalar: Secret) -> ec.EllipticCurvePrivateKey:
    """The key of a big-endian scalar d of the curve's size.

    Raises `WrongLength`, and `InvalidArgument` unless 1 <= d < n (FIPS 186-5 §3.1).
    """
    d = int.from_bytes(revealed_key(scalar, curve.size), "big")
    if not 0 < d < curve.order:
        raise errors.InvalidArgument(f"a {curve.name} scalar is at least 1 and below the group's order")
    return ec.derive_private_key(d, curve.group)


def public_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The uncompressed point of a key (SEC 1 §2.3.3)."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def draw(curve: Curve, candidate: Callable[[int], bytes]) -> Secret:
    """The first scalar among `candidate(0)`, `candidate(1)`, …, each of the curve's size.

    P-521's excess bits are cut off first; what is then 0 or not below n is thrown away (FIPS 186-5 §A.2.2, RFC 9180
    §7.1.3). Raises `WrongLength` for a candidate, and `InvalidArgument` after 256 of them: no chance does that.
    """
    mask = 0xFF >> (8 * curve.size - curve.order.bit_length())
    for counter in range(_TRIES):
        drawn = Secret(candidate(counter))
        raw = revealed_key(drawn, curve.size)
        masked = bytes((raw[0] & mask,)) + raw[1:]
        if 0 < int.from_bytes(masked, "big") < curve.order:
            return Secret(masked)
    raise errors.InvalidArgument("this source of randomness gives no scalar")
