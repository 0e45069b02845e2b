"""Hashes and MACs."""

from __future__ import annotations

import hashlib
import hmac

from tacit import errors
from tacit.crypto.secret import Secret, need_bytes


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes (FIPS 180-4)."""
    need_bytes(data)
    return hashlib.sha256(data).digest()


def sha384(data: bytes) -> bytes:
    """SHA-384, 48 bytes (FIPS 180-4)."""
    need_bytes(data)
    return hashlib.sha384(data).digest()


def sha512(data: bytes) -> bytes:
    """SHA-512, 64 bytes (FIPS 180-4)."""
    need_bytes(data)
    return hashlib.sha512(data).digest()


def shake256(data: bytes, length: int) -> bytes:
    """SHAKE256 (FIPS 202 §6.2); raises `WrongLength` for a length below 1."""
    need_bytes(data)
    if length < 1:
        raise errors.WrongLength(f"SHAKE256 gives at least 1 byte, not {length}")
    return hashlib.shake_256(data).digest(length)


def hmac_sha256(key: bytes | Secret, data: bytes) -> bytes:
    """HMAC-SHA256, 32 bytes (RFC 2104)."""
    return _hmac(key, data, "sha256")


def hmac_sha384(key: bytes | Secret, data: bytes) -> bytes:
    """HMAC-SHA384, 48 bytes (RFC 2104)."""
    return _hmac(key, data, "sha384")


def hmac_sha512(key: bytes | Secret, data: bytes) -> bytes:
    """HMAC-SHA512, 64 bytes (RFC 2104)."""
    return _hmac(key, data, "sha512")


def _hmac(key: bytes | Secret, data: bytes, name: str) -> bytes:
    raw = key.reveal() if isinstance(key, Secret) else key
    need_bytes(raw, data)
    return hmac.digest(raw, data, name)


def equal(first: bytes, second: bytes) -> bool:
    """Whether two byte strings are equal, in a time that depends on their lengths only."""
    need_bytes(first, second)
    return hmac.compare_digest(first, second)
