"""Hashes and MACs."""

from __future__ import annotations

import hashlib
import hmac

from tacit.crypto.secret import Secret, need_bytes


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes (FIPS 180-4)."""
    need_bytes(data)
    return hashlib.sha256(data).digest()


def hmac_sha256(key: bytes | Secret, data: bytes) -> bytes:
    """HMAC-SHA256, 32 bytes (RFC 2104)."""
    raw = key.reveal() if isinstance(key, Secret) else key
    need_bytes(raw, data)
    return hmac.digest(raw, data, "sha256")


def equal(first: bytes, second: bytes) -> bool:
    """Whether two byte strings are equal, in a time that depends on their lengths only."""
    need_bytes(first, second)
    return hmac.compare_digest(first, second)
