"""RSA keys of 3072 bits with e = 65537."""

from __future__ import annotations

from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tacit.crypto.secret import Secret

BITS: Final = 3072


class RsaKey(NamedTuple):
    """A private key as PKCS#8 DER and its public key as SubjectPublicKeyInfo DER (422 bytes)."""

    private: Secret
    public: bytes


def generate() -> RsaKey:
    """A new key; pyca draws its randomness. Takes 60 to 250 ms."""
    key = rsa.generate_private_key(65537, BITS)
    return RsaKey(
        Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )
