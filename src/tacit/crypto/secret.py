"""`Secret`: key material that does not show itself."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import NoReturn, final

Randomness = Callable[[int], bytes]
"""Gives that many random bytes; `os.urandom` in production, a seeded source in tests."""


@final
class Secret:
    """Bytes whose repr is redacted and whose comparison takes constant time. Python cannot wipe them: best effort."""

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

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
