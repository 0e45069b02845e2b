"""RSA keys of 3072 bits."""

from __future__ import annotations

from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tacit.crypto.secret import Secret


class RsaKey(NamedTuple):
    """A private key as PKCS#8 DER and its public key as SubjectPublicKeyInfo DER."""

    private: Secret
    public: bytes


def generate() -> RsaKey:
    """A new key with e = 65537; draws its own randomness."""
    key = rsa.generate_private_key(65537, 3072)
    return RsaKey(
        Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())),
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )
