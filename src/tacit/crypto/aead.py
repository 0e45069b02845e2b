"""AES-GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439): keys of one length each, an iv of 12 bytes."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from tacit import errors
from tacit.crypto.secret import Secret, need_bytes, revealed

IV_BYTES: Final = 12
TAG_BYTES: Final = 16
LONGEST: Final = 2**31 - 1 - TAG_BYTES
"""The most bytes that pyca takes at once."""

Cipher = type[AESGCM] | type[ChaCha20Poly1305]


def aes_gcm_seal(key: Secret, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """AES-256-GCM: the ciphertext with the 16-byte tag at its end; key 32 bytes, iv 12 bytes, never twice under a key.

    Raises `WrongLength` for key, iv or an over-long text.
    """
    return _seal(AESGCM, 32, key, iv, plaintext, aad)


def aes_gcm_open(key: Secret, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """The plaintext; raises `DecryptionError`, and `WrongLength` for key, iv or an over-long text."""
    return _open(AESGCM, 32, key, iv, ciphertext, aad)


def aes_128_gcm_seal(key: Secret, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """As `aes_gcm_seal` with AES-128-GCM; key 16 bytes."""
    return _seal(AESGCM, 16, key, iv, plaintext, aad)


def aes_128_gcm_open(key: Secret, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """As `aes_gcm_open` with AES-128-GCM; key 16 bytes."""
    return _open(AESGCM, 16, key, iv, ciphertext, aad)


def chacha20_poly1305_seal(key: Secret, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """As `aes_gcm_seal` with ChaCha20-Poly1305; key 32 bytes."""
    return _seal(ChaCha20Poly1305, 32, key, iv, plaintext, aad)


def chacha20_poly1305_open(key: Secret, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """As `aes_gcm_open` with ChaCha20-Poly1305; key 32 bytes."""
    return _open(ChaCha20Poly1305, 32, key, iv, ciphertext, aad)


def _seal(cipher: Cipher, key_bytes: int, key: Secret, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
    return cipher(_checked(key_bytes, key, iv, plaintext, aad)).encrypt(iv, plaintext, aad)


def _open(cipher: Cipher, key_bytes: int, key: Secret, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    raw = _checked(key_bytes, key, iv, ciphertext, aad)
    try:
        return cipher(raw).decrypt(iv, ciphertext, aad)
    except InvalidTag:
        raise errors.DecryptionError() from None


def _checked(key_bytes: int, key: Secret, iv: bytes, text: bytes, aad: bytes) -> bytes:
    if type(key) is Secret and type(iv) is type(text) is type(aad) is bytes:  # what is right is not asked twice
        raw = key.reveal()
    else:
        need_bytes(iv, text, aad)
        raw = revealed(key)
    if len(raw) != key_bytes:
        raise errors.WrongLength(f"the key has {len(raw)} bytes; {key_bytes} are needed")
    if len(iv) != IV_BYTES or len(text) > LONGEST or len(aad) > LONGEST:
        raise errors.WrongLength(f"the iv has 12 bytes, text and associated data at most {LONGEST}")
    return raw
