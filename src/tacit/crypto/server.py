"""What a server needs of secrets: hashing tokens, and decoys for users it does not know."""

from __future__ import annotations

import hashlib
import hmac

from tacit.crypto.secret import Secret


def hash_token(token: str) -> str:
    """SHA-256 of a session token, in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def decoy(secret: Secret, label: str, user_id: str, length: int) -> bytes:
    """Bytes that look like an account's and are the same each time."""
    out = b""
    counter = 0
    while len(out) < length:
        text = f"{label}\0{user_id}\0{counter}".encode()
        out += hmac.digest(secret.reveal(), text, "sha256")
        counter += 1
    return out[:length]
