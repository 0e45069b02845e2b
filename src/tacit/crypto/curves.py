"""The NIST curves P-256, P-384 and P-521 and their public points (FIPS 186-5, SEC 1); nothing secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from tacit import errors
from tacit.crypto.secret import need_bytes

_UNCOMPRESSED: Final = b"\x04"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A curve: `size` are the bytes of a scalar or coordinate, `hash` is what ECDSA has with it here."""

    name: str
    size: int
    group: ec.EllipticCurve
    hash: HashAlgorithm

    @property
    def order(self) -> int:
        """n, the prime order of the group."""
        return self.group.group_order

    @property
    def public_bytes(self) -> int:
        """The bytes of an uncompressed point."""
        return 1 + 2 * self.size

    def point(self, public: bytes) -> ec.EllipticCurvePublicKey:
        """The public key of an uncompressed point (SEC 1 §2.3.3), the only form that is taken.

        Raises `WrongLength`, and `Malformed` for another form and for what is not on the curve. All points but
        infinity, which has no uncompressed form, have the order n.
        """
        need_bytes(public)
        if len(public) != self.public_bytes:
            raise errors.WrongLength(f"a {self.name} public key has {self.public_bytes} bytes")
        if public[:1] != _UNCOMPRESSED:
            raise errors.Malformed(f"a {self.name} public key that is no uncompressed point")
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(self.group, public)
        except ValueError:
            raise errors.Malformed(f"a {self.name} public key that is no point of the curve") from None


P256: Final = Curve("P-256", 32, ec.SECP256R1(), SHA256())
"""With SHA-256; a public key has 65 bytes."""
P384: Final = Curve("P-384", 48, ec.SECP384R1(), SHA384())
"""With SHA-384; a public key has 97 bytes."""
P521: Final = Curve("P-521", 66, ec.SECP521R1(), SHA512())
"""With SHA-512; a public key has 133 bytes."""
