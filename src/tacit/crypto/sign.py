"""Ed25519 signing keys (RFC 8032)."""

from __future__ import annotations

from typing import final

import nacl.bindings

from tacit import errors
from tacit.crypto.secret import Randomness, Secret


@final
class Ed25519Key:
    """A signing key; keep the object: making it costs as much as a signature."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: Secret) -> None:
        if len(seed) != 32:
            raise errors.WrongLength("an Ed25519 seed is 32 bytes")
        self.public, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed.reveal())

    @classmethod
    def from_seed(cls, seed: Secret) -> Ed25519Key:
        """The key of a 32-byte seed."""
        return cls(seed)

    @classmethod
    def generate(cls, random: Randomness) -> Ed25519Key:
        """A new key."""
        return cls(Secret(random(32)))

    @property
    def seed(self) -> Secret:
        """The 32-byte seed, for storing."""
        return Secret(self._secret[:32])

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        signed: bytes = nacl.bindings.crypto_sign(message, self._secret)
        return signed[:64]
