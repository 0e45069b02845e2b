"""HPKE (RFC 9180)."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from tacit import errors
from tacit.crypto.kem import XWing
from tacit.crypto.secret import Secret

STANDARD: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def seal(suite: hpke.Suite, public: bytes, info: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    """enc followed by the ciphertext."""
    assert aad == b""
    try:
        key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:1184]), X25519PublicKey.from_public_bytes(public[1184:])
        )
    except ValueError:
        raise errors.Malformed("not an X-Wing public key") from None
    return suite.encrypt(plaintext, key, info)


def open(suite: hpke.Suite, private: Secret, info: bytes, sealed: bytes, aad: bytes = b"") -> bytes:
    """The plaintext; raises `DecryptionError`."""
    assert aad == b""
    key = XWing(private)
    try:
        return suite.decrypt(sealed, hpke.MLKEM768X25519PrivateKey(key.mlkem, key.x25519), info)
    except (InvalidTag, ValueError):
        raise errors.DecryptionError() from None
