"""Cobblestone-256: C2SP chunked encryption, which commits to key and context.

Adds 72 bytes, and 16 more for each further chunk of 16 KiB.
"""

from __future__ import annotations

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from tacit import errors
from tacit.crypto.secret import Secret, need_bytes, revealed_key


def seal(key: Secret, context: bytes, plaintext: bytes) -> bytes:
    """The sealed bytes; key 32 bytes (else `WrongLength`). Draws its own randomness."""
    need_bytes(context, plaintext)
    encryptor = Cobblestone256Encryptor(revealed_key(key), context)
    return encryptor.update(plaintext) + encryptor.finalize()


def open(key: Secret, context: bytes, sealed: bytes) -> bytes:
    """The plaintext; raises `DecryptionError`, and `WrongLength` for the key."""
    need_bytes(context, sealed)
    decryptor = Cobblestone256Decryptor(revealed_key(key), context)
    try:
        # Nothing of it leaves before the last chunk was authenticated.
        return decryptor.update(sealed) + decryptor.finalize()
    except InvalidTag:
        raise errors.DecryptionError() from None
