"""What a server needs of secrets: hashing tokens, and decoys for users that it does not know."""

from __future__ import annotations

import hashlib
import hmac

from tacit import errors
from tacit.crypto.secret import Secret, revealed


def hash_token(token: str) -> str:
    """SHA-256 of a session token in hex. Tokens have 256 random bits, so that a slow hash would add nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


def decoy(secret: Secret, label: str, user_id: str, length: int) -> bytes:
    """That many bytes that look random and are the same at each question for this label and user.

    HMAC-SHA256 in counter mode under the server's secret; raises `WrongLength` for a length below 1.
    """
    if length < 1:
        raise errors.WrongLength(f"a decoy has at least 1 byte, not {length}")
    named = b"".join(len(part).to_bytes(4, "big") + part for part in (label.encode(), user_id.encode()))
    own = hmac.digest(revealed(secret), named, "sha256")
    blocks = -(-length // 32)
    return b"".join(hmac.digest(own, counter.to_bytes(4, "big"), "sha256") for counter in range(blocks))[:length]
