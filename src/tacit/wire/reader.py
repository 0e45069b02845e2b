"""Bytes being read, and the variable-size lengths of RFC 9420 §2.1.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tacit import errors

VARINT_MAX: Final = (1 << 30) - 1


class Reader:
    """Bytes being read, with a position."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int = 0, end: int | None = None) -> None:
        self.data = data
        self.position = position
        self.end = len(data) if end is None else end

    def take(self, count: int) -> bytes:
        """The next `count` bytes; raises `Malformed` when fewer are left."""
        start = self.position
        stop = start + count
        if stop > self.end:
            raise errors.Malformed("it ends too early")
        self.position = stop
        return self.data[start:stop]

    def skip(self, count: int) -> None:
        """Go on by `count` bytes; raises `Malformed` when fewer are left."""
        if self.position + count > self.end:
            raise errors.Malformed("it ends too early")
        self.position += count

    def uint(self, size: int) -> int:
        """The next big-endian unsigned integer of `size` bytes."""
        start = self.position
        stop = start + size
        if stop > self.end:
            raise errors.Malformed("it ends too early")
        self.position = stop
        return int.from_bytes(self.data[start:stop], "big")

    def varint(self) -> int:
        """The next variable-size length (RFC 9420 §2.1.2), which must be minimal."""
        first = self.uint(1)
        if first < 0x40:
            return first
        prefix = first >> 6
        if prefix == 3:
            raise errors.Malformed("invalid length prefix")
        rest = (1 << prefix) - 1
        value = ((first & 0x3F) << (8 * rest)) | self.uint(rest)
        if value < (1 << (6 if prefix == 1 else 14)):
            raise errors.Malformed("length not minimal")
        return value


ReaderFunction = Callable[[Reader], Any]
Writer = Callable[[bytearray, Any], None]


SHORT: Final = tuple(bytes((value,)) for value in range(0x40))
"""The lengths of one byte."""


def varint(value: int) -> bytes:
    """A variable-size length (RFC 9420 §2.1.2); raises `TooLarge` above 2^30 - 1."""
    if value < 0x40:
        return SHORT[value]
    if value < 0x4000:
        return (value | 0x4000).to_bytes(2, "big")
    if value <= VARINT_MAX:
        return (value | 0x80000000).to_bytes(4, "big")
    raise errors.TooLarge("a vector is longer than 2^30 - 1 bytes")


def write_varint(out: bytearray, value: int) -> None:
    """Append a variable-size length; raises as `varint`."""
    out += varint(value)
