"""Signing keys and wrapping keys of every profile, each behind one face."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from tacit import errors
from tacit.crypto import hpke, rsa
from tacit.crypto.digest import equal
from tacit.crypto.kem import XWing
from tacit.crypto.rsa import RsaKey
from tacit.crypto.secret import Randomness, Secret
from tacit.crypto.sign import Ed25519Key, P256Key
from tacit.signed.profiles import ALGORITHMS, KeyAlgorithm, Profile

SigningKey = Ed25519Key | P256Key
"""A key that signs: `public`, a `seed` of 32 bytes, and `sign`."""
PrivateKey = XWing | RsaKey
"""A key that opens what was wrapped to it."""
GenerateRsa = Callable[[], RsaKey]
"""Makes an RSA key of 3072 bits; it draws its own randomness and takes 60 to 250 ms."""

_SIGNING: Final[dict[KeyAlgorithm, type[Ed25519Key | P256Key]]] = {
    KeyAlgorithm.ED25519: Ed25519Key,
    KeyAlgorithm.P256: P256Key,
}


class WrappingKey(NamedTuple):
    """A key that others wrap to: X-Wing's private half is a seed of 32 bytes, RSA's is PKCS#8 DER."""

    algorithm: KeyAlgorithm
    public: bytes
    private: Secret

    def __repr__(self) -> str:
        return f"WrappingKey({self.algorithm.name}, {self.public[:8].hex()}...)"


def new_signing_key(profile: Profile, random: Randomness) -> SigningKey:
    """A new key of the profile's signature algorithm."""
    return _SIGNING[ALGORITHMS[profile].signature].generate(random)


def signing_key(profile: Profile, seed: Secret) -> SigningKey:
    """The key of a 32-byte seed; raises `WrongLength`, and what a seed raises that is no scalar of P-256."""
    return _SIGNING[ALGORITHMS[profile].signature].from_seed(seed)


def new_wrapping_key(algorithm: KeyAlgorithm, random: Randomness, generate_rsa: GenerateRsa) -> WrappingKey:
    """A new X-Wing or RSA key."""
    if algorithm is KeyAlgorithm.X_WING:
        made = XWing.generate(random)
        return WrappingKey(algorithm, made.public, made.seed)
    key = generate_rsa()
    return WrappingKey(algorithm, key.public, key.private)


def private_key(algorithm: KeyAlgorithm, private: Secret) -> PrivateKey:
    """The key of an X-Wing seed or an RSA key's PKCS#8 DER; keep it, as reading an RSA key costs 40 to 400 ms.

    Raises what their own modules raise for what is none.
    """
    return XWing(private) if algorithm is KeyAlgorithm.X_WING else RsaKey.from_private(private)


def private_key_of(algorithm: KeyAlgorithm, public: bytes, private: Secret) -> PrivateKey | None:
    """The private key that belongs to a public one; None for what does not, whatever it is."""
    try:
        key = private_key(algorithm, private)
    except errors.TacitError:
        return None
    return key if equal(key.public, public) else None


def wrap(algorithm: KeyAlgorithm, public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """A short secret wrapped to a public key. RSA-OAEP carries no `info`: what is signed around it has to bind it."""
    if algorithm is KeyAlgorithm.X_WING:
        return hpke.seal(hpke.STANDARD, public, info, plaintext)
    return rsa.wrap(public, plaintext)


def unwrap(key: PrivateKey, info: bytes, wrapped: bytes) -> Secret:
    """What was wrapped; raises `DecryptionError`."""
    if isinstance(key, XWing):
        return Secret(hpke.open(hpke.STANDARD, key, info, wrapped))
    return Secret(rsa.unwrap(key, wrapped))
