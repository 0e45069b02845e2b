"""Cobblestone-256: C2SP chunked encryption, committing to key and context; adds 72 bytes."""

from __future__ import annotations

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from tacit import errors
from tacit.crypto.secret import Secret


def seal(key: Secret, context: bytes, plaintext: bytes) -> bytes:
    """The sealed bytes, 72 longer for short input; key 32 bytes."""
    if len(key) != 32:
        raise errors.WrongLength("key 32 bytes")
    encryptor = Cobblestone256Encryptor(key.reveal(), context)
    return encryptor.update(plaintext) + encryptor.finalize()


def open(key: Secret, context: bytes, sealed: bytes) -> bytes:
    """The plaintext; raises `DecryptionError`."""
    if len(key) != 32:
        raise errors.WrongLength("key 32 bytes")
    decryptor = Cobblestone256Decryptor(key.reveal(), context)
    try:
        return decryptor.update(sealed) + decryptor.finalize()
    except (InvalidTag, ValueError):
        raise errors.DecryptionError() from None
