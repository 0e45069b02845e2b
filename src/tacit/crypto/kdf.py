"""Keys out of keys and passwords."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tacit import errors
from tacit.crypto.secret import Secret


def hkdf_sha256(key: Secret, info: bytes, length: int = 32) -> Secret:
    """HKDF-SHA256 with an empty salt (RFC 5869)."""
    if not 0 < length <= 255 * 32:
        raise errors.WrongLength("HKDF-SHA256 gives 1 to 8160 bytes")
    prk = hmac.digest(bytes(32), key.reveal(), "sha256")
    out = block = b""
    counter = 1
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([counter]), "sha256")
        out += block
        counter += 1
    return Secret(out[:length])


def argon2id(
    password: Secret,
    salt: bytes,
    *,
    memory_kib: int = 65536,
    iterations: int = 3,
    lanes: int = 4,
    length: int = 32,
) -> Secret:
    """Argon2id (RFC 9106); memory in KiB."""
    try:
        made = Argon2id(salt=salt, length=length, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    except ValueError:
        raise errors.InvalidArgument("Argon2id cannot use these parameters") from None
    return Secret(made.derive(password.reveal()))
