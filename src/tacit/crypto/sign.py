"""Ed25519 signing keys (RFC 8032), by libsodium."""

from __future__ import annotations

from typing import NoReturn, final

import nacl.bindings

from tacit.crypto.secret import Randomness, Secret, need_bytes, revealed_key


@final
class Ed25519Key:
    """A signing key: `public` 32 bytes, `seed` 32 bytes. Keep the object: making one costs as much as a signature.

    Raises `WrongLength` for a seed of another length.
    """

    __slots__ = ("_secret", "public", "seed")

    def __init__(self, seed: Secret) -> None:
        public, secret = nacl.bindings.crypto_sign_seed_keypair(revealed_key(seed))
        self.public: bytes = public
        self.seed = seed
        self._secret: bytes = secret

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
        signed: bytes = nacl.bindings.crypto_sign(message, self._secret)
        return signed[:64]

    def __repr__(self) -> str:
        return f"Ed25519Key(public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is not pickled")
