"""Diffie-Hellman on X25519, X448 (RFC 7748) and P-256, P-384, P-521 (NIST SP 800-56A §5.7.1.2).

One class a group, an object of it a private key. What two keys agree on is no key yet: it goes into a KDF.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NoReturn, Self, final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tacit import errors
from tacit.crypto import curves, scalar
from tacit.crypto.secret import Secret, need_bytes, revealed_key


class EcdhKey(ABC):
    """A private key of a group: a seed has SEED_BYTES, `public` PUBLIC_BYTES."""

    SEED_BYTES: ClassVar[int]
    PUBLIC_BYTES: ClassVar[int]

    __slots__ = ("public",)

    public: bytes

    @classmethod
    @abstractmethod
    def from_seed(cls, seed: Secret) -> Self:
        """The key of a seed, the group's scalar; raises `WrongLength`, and `InvalidArgument` for no scalar."""

    @classmethod
    @abstractmethod
    def ephemeral(cls) -> Self:
        """A key to be used once, from pyca's own randomness."""

    @classmethod
    @abstractmethod
    def draw(cls, candidate: Callable[[int], bytes]) -> Secret:
        """The seed that `candidate(0)` is, or the first after it that is one; each has SEED_BYTES."""

    @abstractmethod
    def agree(self, public: bytes) -> Secret:
        """What both have: SEED_BYTES of an x coordinate.

        Raises `WrongLength`, and `Malformed` for what is no point and where the result would be all zero or infinity.
        """

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")


class _Montgomery(EcdhKey):
    __slots__ = ()

    @classmethod
    def draw(cls, candidate: Callable[[int], bytes]) -> Secret:
        return Secret(candidate(0))


@final
class X25519(_Montgomery):
    """X25519 (RFC 7748 §6.1): seed and public key 32 bytes."""

    SEED_BYTES = 32
    PUBLIC_BYTES = 32

    __slots__ = ("_key",)

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: Secret) -> Self:
        return cls(X25519PrivateKey.from_private_bytes(revealed_key(seed)))

    @classmethod
    def ephemeral(cls) -> Self:
        return cls(X25519PrivateKey.generate())

    def agree(self, public: bytes) -> Secret:
        need_bytes(public)
        if len(public) != self.PUBLIC_BYTES:
            raise errors.WrongLength("an X25519 public key has 32 bytes")
        try:
            return Secret(self._key.exchange(X25519PublicKey.from_public_bytes(public)))
        except ValueError:
            raise errors.Malformed("an X25519 public key of low order") from None


@final
class X448(_Montgomery):
    """X448 (RFC 7748 §6.2): seed and public key 56 bytes."""

    SEED_BYTES = 56
    PUBLIC_BYTES = 56

    __slots__ = ("_key",)

    def __init__(self, key: X448PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: Secret) -> Self:
        return cls(X448PrivateKey.from_private_bytes(revealed_key(seed, cls.SEED_BYTES)))

    @classmethod
    def ephemeral(cls) -> Self:
        return cls(X448PrivateKey.generate())

    def agree(self, public: bytes) -> Secret:
        need_bytes(public)
        if len(public) != self.PUBLIC_BYTES:
            raise errors.WrongLength("an X448 public key has 56 bytes")
        try:
            return Secret(self._key.exchange(X448PublicKey.from_public_bytes(public)))
        except ValueError:
            raise errors.Malformed("an X448 public key of low order") from None


class _Nist(EcdhKey):
    """The curves have prime order, so that a point times a scalar below it is never infinity."""

    CURVE: ClassVar[curves.Curve]

    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public = scalar.public_point(key)

    @classmethod
    def from_seed(cls, seed: Secret) -> Self:
        return cls(scalar.private_key(cls.CURVE, seed))

    @classmethod
    def ephemeral(cls) -> Self:
        return cls(ec.generate_private_key(cls.CURVE.group))

    @classmethod
    def draw(cls, candidate: Callable[[int], bytes]) -> Secret:
        return scalar.draw(cls.CURVE, candidate)

    def agree(self, public: bytes) -> Secret:
        return Secret(self._key.exchange(ec.ECDH(), self.CURVE.point(public)))


@final
class P256(_Nist):
    """P-256: seed 32 bytes, public key an uncompressed point of 65."""

    CURVE = curves.P256
    SEED_BYTES = 32
    PUBLIC_BYTES = 65
    __slots__ = ()


@final
class P384(_Nist):
    """P-384: seed 48 bytes, public key an uncompressed point of 97."""

    CURVE = curves.P384
    SEED_BYTES = 48
    PUBLIC_BYTES = 97
    __slots__ = ()


@final
class P521(_Nist):
    """P-521: seed 66 bytes, public key an uncompressed point of 133."""

    CURVE = curves.P521
    SEED_BYTES = 66
    PUBLIC_BYTES = 133
    __slots__ = ()
