"""Labelled hashes and signatures over structs, and `Verified`, which only a check can make.

A signature is over `{label<V>, struct<V>}`; a hash of a struct is SHA-256 over the same, without the signature.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Generic, TypeVar, final

from tacit import errors
from tacit.crypto.digest import sha256
from tacit.signed import labels
from tacit.signed.profiles import ALGORITHMS, Profile, signature_algorithm, signed_by
from tacit.wire.codec import encode
from tacit.wire.reader import write_varint

T = TypeVar("T")
Signer = Callable[[bytes], bytes]
"""Signs the bytes it is given with a key that stays with the caller."""

ZERO_HASH: Final = bytes(32)


def labelled_bytes(label: str, body: bytes) -> bytes:
    """`{label<V>, struct<V>}` of an encoded struct: what is hashed, signed, derived from or used as a context."""
    out = bytearray(_prefix(label))
    write_varint(out, len(body))
    out += body
    return bytes(out)


@lru_cache(maxsize=256)
def _prefix(label: str) -> bytes:
    out = bytearray()
    raw = label.encode()
    write_varint(out, len(raw))
    return bytes(out + raw)


def labelled(label: str, struct: object) -> bytes:
    """`{label<V>, struct<V>}` of a struct."""
    return labelled_bytes(label, encode(struct))


def struct_hash(label: str, struct: object) -> bytes:
    """SHA-256 over `{label<V>, struct<V>}`, 32 bytes."""
    return sha256(labelled(label, struct))


class HashedOnce:
    """A base of structs that keep their own hash: they are frozen, and it is asked for again and again."""

    __slots__ = ("_hash",)

    _hash: bytes


def hash_once(label: str, struct: HashedOnce) -> bytes:
    """`struct_hash` of a struct that has one label only, reckoned the first time."""
    try:
        return struct._hash
    except AttributeError:
        made = struct_hash(label, struct)
        object.__setattr__(struct, "_hash", made)
        return made


def sign(label: str, struct: object, signer: Signer) -> bytes:
    """The signature over `{label<V>, struct<V>}` by whatever key `signer` holds."""
    return signer(labelled(label, struct))


_CHECKED: Final = object()


@final
class Verified(Generic[T]):
    """A struct whose signature (and rules, where the maker says so) was checked; nothing else can make one."""

    __slots__ = ("key", "signature", "value")

    def __init__(self, value: T, key: bytes, signature: bytes, checked: object) -> None:
        if checked is not _CHECKED:
            raise TypeError("only a check makes a Verified")
        self.value: Final = value
        self.key: Final = key
        self.signature: Final = signature


def signature_holds(label: str, struct: object, key: bytes, signature: bytes, profile: Profile) -> bool:
    """Whether `signature` over the labelled struct is by `key` under the signer's profile."""
    return signed_by(ALGORITHMS[profile].signature, key, labelled(label, struct), signature)


def verify(label: str, struct: T, key: bytes, signature: bytes, profile: Profile) -> Verified[T]:
    """The struct as `Verified`; raises `BadSignature`."""
    if not signature_holds(label, struct, key, signature, profile):
        raise errors.BadSignature(label.removeprefix(labels.PREFIX))
    return Verified(struct, key, signature, _CHECKED)


def verify_by_key(label: str, struct: T, key: bytes, signature: bytes) -> Verified[T]:
    """The struct as `Verified` where a session's key is known and not its account; raises `BadSignature`."""
    if not signed_by(signature_algorithm(key), key, labelled(label, struct), signature):
        raise errors.BadSignature(label.removeprefix(labels.PREFIX))
    return Verified(struct, key, signature, _CHECKED)
