"""Hashes and MACs."""

from __future__ import annotations

import hashlib
import hmac

from tacit.crypto.secret import Secret


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


def sha512(data: bytes) -> bytes:
    """SHA-512, 64 bytes (FIPS 180-4)."""
    return hashlib.sha512(data).digest()


def hmac_sha256(key: bytes | Secret, data: bytes) -> bytes:
    """HMAC-SHA256, 32 bytes (RFC 2104)."""
    return hmac.digest(key.reveal() if isinstance(key, Secret) else key, data, "sha256")


def equal(first: bytes, second: bytes) -> bool:
    """Whether two byte strings are equal, in constant time for equal lengths."""
    return hmac.compare_digest(first, second)
