"""Key pairs for HPKE: X-Wing, a 32-byte seed and a 1216-byte public key."""

from __future__ import annotations

import hashlib
from typing import final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tacit import errors
from tacit.crypto.secret import Randomness, Secret


@final
class XWing:
    """An X-Wing private key."""

    __slots__ = ("mlkem", "public", "seed", "x25519")

    def __init__(self, seed: Secret) -> None:
        if len(seed) != 32:
            raise errors.WrongLength("an X-Wing private key is 32 bytes")
        expanded = hashlib.shake_256(seed.reveal()).digest(96)
        self.seed = seed
        self.mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        self.x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self.public = self.mlkem.public_key().public_bytes_raw() + self.x25519.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, random: Randomness) -> XWing:
        """A new key pair."""
        return cls(Secret(random(32)))
