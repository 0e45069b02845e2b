"""Keys out of keys (HKDF, RFC 5869) and out of passwords (Argon2id, RFC 9106; PBKDF2, RFC 8018)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tacit import errors
from tacit.crypto.secret import Secret, need_bytes, revealed


class Hash(NamedTuple):
    """A hash by its name in hashlib, and its bytes."""

    name: str
    size: int


SHA256: Final = Hash("sha256", 32)
SHA384: Final = Hash("sha384", 48)
SHA512: Final = Hash("sha512", 64)


def _check_length(length: int, using: Hash) -> None:
    if not 0 < length <= 255 * using.size:
        raise errors.WrongLength(f"HKDF gives 1 to {255 * using.size} bytes, not {length}")


def extract(salt: bytes, key: bytes, using: Hash = SHA256) -> bytes:
    """HKDF-Extract, as many bytes as the hash has (RFC 5869 §2.2)."""
    return hmac.digest(salt, key, using.name)


def expand(prk: bytes, info: bytes, length: int, using: Hash = SHA256) -> bytes:
    """HKDF-Expand (RFC 5869 §2.3); raises `WrongLength` outside of 1 to 255 times the hash's size."""
    if 0 < length <= using.size:  # nearly always
        return hmac.digest(prk, info + b"\x01", using.name)[:length]
    _check_length(length, using)
    block = out = hmac.digest(prk, info + b"\x01", using.name)
    counter = 1
    while len(out) < length:
        counter += 1
        block = hmac.digest(prk, block + info + bytes((counter,)), using.name)
        out += block
    return out[:length]


def labeled_extract(suite: bytes, salt: bytes, label: bytes, key: bytes, using: Hash = SHA256) -> bytes:
    """LabeledExtract of HPKE (RFC 9180 §4); `suite` is the suite_id."""
    return extract(salt, b"HPKE-v1" + suite + label + key, using)


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int, using: Hash = SHA256) -> bytes:
    """LabeledExpand of HPKE (RFC 9180 §4); raises `WrongLength` as `expand` does."""
    _check_length(length, using)
    return expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length, using)


def labeled_derive(suite: bytes, key: bytes, label: bytes, info: bytes, length: int, shake: str = "shake_256") -> bytes:
    """LabeledDerive of draft-ietf-hpke-hpke (§4) with SHAKE256 or SHAKE128; raises `WrongLength` above 65535 bytes."""
    if not 0 < length < 2**16:
        raise errors.WrongLength(f"LabeledDerive gives 1 to 65535 bytes, not {length}")
    named = key + b"HPKE-v1" + suite + len(label).to_bytes(2, "big") + label + length.to_bytes(2, "big") + info
    return hashlib.new(shake, named).digest(length)  # type: ignore[call-arg]


def hkdf_sha256(key: Secret, info: bytes, length: int = 32) -> Secret:
    """HKDF-SHA256 with an empty salt (RFC 5869); raises `WrongLength` outside of 1 to 8160 bytes."""
    need_bytes(info)
    # HMAC pads its key with zero bytes, so that the empty salt and RFC 5869's 32 zero bytes are one.
    return Secret(expand(extract(b"", revealed(key)), info, length))


def argon2id(
    password: Secret,
    salt: bytes,
    *,
    memory_kib: int = 65536,
    iterations: int = 3,
    lanes: int = 4,
    length: int = 32,
) -> Secret:
    """Argon2id (RFC 9106): memory in KiB, at least 8 a lane; salt at least 8 bytes, length at least 4.

    Raises `InvalidArgument` for parameters outside of that.
    """
    need_bytes(salt)
    try:
        made = Argon2id(salt=salt, length=length, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    except (ValueError, TypeError, OverflowError):
        raise errors.InvalidArgument("Argon2id cannot use these parameters") from None
    return Secret(made.derive(revealed(password)))


def pbkdf2_sha256(password: Secret, salt: bytes, iterations: int, length: int = 32) -> Secret:
    """PBKDF2 with HMAC-SHA256 (RFC 8018 §5.2); raises `InvalidArgument` for iterations or a length below 1."""
    need_bytes(salt)
    try:
        return Secret(hashlib.pbkdf2_hmac("sha256", revealed(password), salt, iterations, length))
    except (ValueError, TypeError, OverflowError):
        raise errors.InvalidArgument("PBKDF2 cannot use these parameters") from None
