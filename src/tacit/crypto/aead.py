"""AES-256-GCM (NIST SP 800-38D)."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tacit import errors
from tacit.crypto.secret import Secret, need_bytes, revealed_key

IV_BYTES: Final = 12
TAG_BYTES: Final = 16
LONGEST: Final = 2**31 - 1 - TAG_BYTES
"""The most bytes that pyca takes at once."""


def aes_gcm_seal(key: Secret, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """The ciphertext with the 16-byte tag at its end; key 32 bytes, iv 12 bytes, never twice under one key.

    Raises `WrongLength` for key, iv or an over-long text.
    """
    need_bytes(iv, plaintext, aad)
    raw = revealed_key(key)
    if len(iv) != IV_BYTES or len(plaintext) > LONGEST or len(aad) > LONGEST:
        raise errors.WrongLength(f"the iv has 12 bytes, text and associated data at most {LONGEST}")
    return AESGCM(raw).encrypt(iv, plaintext, aad)


def aes_gcm_open(key: Secret, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """The plaintext; raises `DecryptionError`, and `WrongLength` for key, iv or an over-long text."""
    need_bytes(iv, ciphertext, aad)
    raw = revealed_key(key)
    if len(iv) != IV_BYTES or len(ciphertext) > LONGEST or len(aad) > LONGEST:
        raise errors.WrongLength(f"the iv has 12 bytes, text and associated data at most {LONGEST}")
    try:
        return AESGCM(raw).decrypt(iv, ciphertext, aad)
    except InvalidTag:
        raise errors.DecryptionError() from None
