"""AES-256-GCM."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tacit import errors
from tacit.crypto.secret import Secret


def aes_gcm_seal(key: Secret, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Ciphertext with the 16-byte tag at its end; key 32 bytes, iv 12 bytes (NIST SP 800-38D)."""
    if len(iv) != 12 or len(key) != 32:
        raise errors.WrongLength("key 32 bytes, iv 12 bytes")
    return AESGCM(key.reveal()).encrypt(iv, plaintext, aad)


def aes_gcm_open(key: Secret, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """The plaintext; raises `DecryptionError`."""
    if len(iv) != 12 or len(key) != 32:
        raise errors.WrongLength("key 32 bytes, iv 12 bytes")
    if len(ciphertext) < 16:
        raise errors.DecryptionError()
    try:
        return AESGCM(key.reveal()).decrypt(iv, ciphertext, aad)
    except InvalidTag:
        raise errors.DecryptionError() from None
