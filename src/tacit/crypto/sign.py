"""Signing keys: Ed25519 by libsodium, ECDSA with the NIST curves, Ed448."""

from __future__ import annotations

from typing import ClassVar, NoReturn, Self, final

import nacl.bindings
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tacit.crypto.curves import P256, P384, P521, Curve
from tacit.crypto.scalar import draw, private_key, public_point
from tacit.crypto.secret import Randomness, Secret, need_bytes, revealed_key


@final
class Ed25519Key:
    """An Ed25519 signing key (RFC 8032): `public` 32 bytes, `seed` 32 bytes.

    Keep the object: its first use costs as much as a signature. Raises `WrongLength` for a seed of another length.
    """

    __slots__ = ("_made", "seed")

    def __init__(self, seed: Secret) -> None:
        revealed_key(seed)
        self.seed = seed
        self._made: tuple[bytes, bytes] | None = None

    def _pair(self) -> tuple[bytes, bytes]:
        if self._made is None:
            self._made = nacl.bindings.crypto_sign_seed_keypair(self.seed.reveal())
        return self._made

    @property
    def public(self) -> bytes:
        """The public key."""
        return self._pair()[0]

    @classmethod
    def from_seed(cls, seed: Secret) -> Ed25519Key:
        """The key of a 32-byte seed."""
        return cls(seed)

    @classmethod
    def generate(cls, random: Randomness) -> Ed25519Key:
        """A new key."""
        return cls(Secret(random(32)))

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        need_bytes(message)
        # libsodium's combined form is signature and message; the bindings have no detached one.
        signed: bytes = nacl.bindings.crypto_sign(message, (self._made or self._pair())[1])
        return signed[:64]

    def __repr__(self) -> str:
        return f"Ed25519Key(public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is not pickled")


class EcdsaKey:
    """An ECDSA signing key (FIPS 186-5 §6), deterministic (RFC 6979); one class a curve.

    `seed` is the scalar d, big-endian, `public` the uncompressed point. Keep the object: making one costs as much as
    a signature. Raises `WrongLength` for a seed of another length, `InvalidArgument` unless 1 <= d < n.
    """

    CURVE: ClassVar[Curve]

    __slots__ = ("_algorithm", "_key", "public", "seed")

    def __init__(self, seed: Secret) -> None:
        self._key = private_key(self.CURVE, seed)
        self._algorithm = ec.ECDSA(self.CURVE.hash, deterministic_signing=True)
        self.public = public_point(self._key)
        self.seed = seed

    @classmethod
    def from_seed(cls, seed: Secret) -> Self:
        """The key of a scalar."""
        return cls(seed)

    @classmethod
    def generate(cls, random: Randomness) -> Self:
        """A new key; what is drawn and is no scalar is drawn again (FIPS 186-5 §A.2.2)."""
        return cls(draw(cls.CURVE, lambda _: random(cls.CURVE.size)))

    def sign(self, message: bytes) -> bytes:
        """The signature as r and s, each of the curve's size (IEEE P1363; RFC 7518 §3.4)."""
        r, s = decode_dss_signature(self.sign_der(message))
        size = self.CURVE.size
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    def sign_der(self, message: bytes) -> bytes:
        """The signature as an ECDSA-Sig-Value in DER (RFC 3279 §2.2.3), as TLS and MLS have it."""
        need_bytes(message)
        return self._key.sign(message, self._algorithm)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is not pickled")


@final
class P256Key(EcdsaKey):
    """ECDSA with P-256 and SHA-256: `seed` 32 bytes, `public` 65, a raw signature 64."""

    CURVE = P256
    __slots__ = ()


@final
class P384Key(EcdsaKey):
    """ECDSA with P-384 and SHA-384: `seed` 48 bytes, `public` 97, a raw signature 96."""

    CURVE = P384
    __slots__ = ()


@final
class P521Key(EcdsaKey):
    """ECDSA with P-521 and SHA-512: `seed` 66 bytes, `public` 133, a raw signature 132."""

    CURVE = P521
    __slots__ = ()


@final
class Ed448Key:
    """An Ed448 signing key (RFC 8032 §5.2), with an empty context: `public` 57 bytes, `seed` 57 bytes.

    Raises `WrongLength` for a seed of another length.
    """

    __slots__ = ("_key", "public", "seed")

    def __init__(self, seed: Secret) -> None:
        self._key = Ed448PrivateKey.from_private_bytes(revealed_key(seed, 57))
        self.public = self._key.public_key().public_bytes_raw()
        self.seed = seed

    @classmethod
    def from_seed(cls, seed: Secret) -> Ed448Key:
        """The key of a 57-byte seed."""
        return cls(seed)

    @classmethod
    def generate(cls, random: Randomness) -> Ed448Key:
        """A new key."""
        return cls(Secret(random(57)))

    def sign(self, message: bytes) -> bytes:
        """The signature, 114 bytes."""
        need_bytes(message)
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"Ed448Key(public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is not pickled")
