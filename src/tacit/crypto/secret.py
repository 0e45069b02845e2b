"""`Secret`: key material that does not show itself, and the checks of arguments that all doors share."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import NoReturn, final

from tacit import errors

Randomness = Callable[[int], bytes]
"""Gives that many random bytes; `os.urandom` in production, a seeded source in tests."""


@final
class Secret:
    """Bytes whose repr is redacted and whose comparison takes constant time. Python cannot wipe them: best effort.

    Raises `InvalidArgument` for anything but bytes: `Secret(32)` would be 32 zero bytes.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: bytes) -> None:
        if type(value) is not bytes:
            need_bytes(value)
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves, for a primitive or for wrapping."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __repr__(self) -> str:
        return f"Secret({len(self._value)} bytes)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


def need_bytes(*values: object) -> None:
    """Raises `InvalidArgument` unless every value is bytes; views and arrays could change while they are used."""
    for value in values:
        if not isinstance(value, bytes):
            raise errors.InvalidArgument(f"bytes are needed, not {type(value).__name__}")


def revealed(key: Secret) -> bytes:
    """The bytes of a `Secret`; raises `InvalidArgument` for anything else, so that no key travels bare."""
    if not isinstance(key, Secret):
        raise errors.InvalidArgument(f"a Secret is needed, not {type(key).__name__}")
    return key.reveal()


def revealed_key(key: Secret, length: int = 32) -> bytes:
    """The bytes of a key of exactly that many bytes; raises `WrongLength`, or `InvalidArgument` for no `Secret`."""
    raw = revealed(key)
    if len(raw) != length:
        raise errors.WrongLength(f"the key has {len(raw)} bytes; {length} are needed")
    return raw
