"""How single fields are written and read in the presentation language of RFC 9420 §2.1."""

from __future__ import annotations

import dataclasses
import textwrap
from enum import IntEnum
from typing import Annotated, Any, Final, NoReturn

from tacit import errors
from tacit.wire import limits
from tacit.wire.reader import Reader, ReaderFunction, Writer, varint

READ: Final = "reader.position = at\nfield = read(reader)\nat = reader.position"
"""How a field is read that is not common."""


class Encoding:
    """How one field is written and read; used as `Annotated` metadata."""

    __slots__ = ()

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        """The field's writer and reader, for the annotated type."""
        raise TypeError(f"{type(self).__name__} encodes nothing")

    def writing(self) -> str:
        """Python that does what the writer does for a common `field`, and calls it as `write` for any other."""
        return "write(out, field)"

    def reading(self) -> str:
        """Python that does what the reader does for a common `field`, and calls it as `read` for any other.

        `at` is where it stands in `data` and then what follows it, `end` where the data ends.
        """
        return READ


@dataclasses.dataclass(frozen=True, slots=True)
class UInt(Encoding):
    """An unsigned big-endian integer of `size` bytes."""

    size: int

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        size = self.size

        def write(out: bytearray, value: int) -> None:
            try:
                out += value.to_bytes(size, "big")
            except OverflowError:
                raise errors.InvalidArgument(f"{value} does not fit into {size} bytes") from None

        def read(reader: Reader) -> int:
            return reader.uint(size)

        return write, read

    def writing(self) -> str:
        return f"out += field.to_bytes({self.size}, 'big')"

    def reading(self) -> str:
        return _until(f"at + {self.size}", "field = int.from_bytes(data[at:stop], 'big')")


@dataclasses.dataclass(frozen=True, slots=True)
class Enum(Encoding):
    """An `IntEnum` in `size` bytes; an unknown value is refused as `UnknownVersion`."""

    size: int

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        size = self.size
        members: dict[int, IntEnum] = {int(member): member for member in hint}

        def write(out: bytearray, value: int) -> None:
            out += int(value).to_bytes(size, "big")

        def read(reader: Reader) -> IntEnum:
            value = reader.uint(size)
            member = members.get(value)
            if member is None:
                raise errors.UnknownVersion(f"{hint.__name__} {value}")
            return member

        return write, read

    def writing(self) -> str:
        return f"out += field.to_bytes({self.size}, 'big')"


@dataclasses.dataclass(frozen=True, slots=True)
class Flag(Encoding):
    """A truth value in one byte, 0 or 1."""

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        def write(out: bytearray, value: bool) -> None:
            out.append(1 if value else 0)

        def read(reader: Reader) -> bool:
            value = reader.uint(1)
            if value > 1:
                raise errors.Malformed("a flag is neither 0 nor 1")
            return value == 1

        return write, read


@dataclasses.dataclass(frozen=True, slots=True)
class Fixed(Encoding):
    """Exactly `size` bytes, without a length."""

    size: int

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        size = self.size

        def write(out: bytearray, value: bytes) -> None:
            if len(value) != size:
                raise errors.WrongLength(f"{len(value)} bytes instead of {size}")
            out += value

        def read(reader: Reader) -> bytes:
            return reader.take(size)

        return write, read

    def writing(self) -> str:
        return f"if len(field) != {self.size}:\n    write(out, field)\nout += field"

    def reading(self) -> str:
        return _until(f"at + {self.size}", "field = data[at:stop]")


@dataclasses.dataclass(frozen=True, slots=True)
class Variable(Encoding):
    """`opaque <V>` of `least` to `most` bytes."""

    most: int
    least: int = 0

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        most, least = self.most, self.least

        def write(out: bytearray, value: bytes) -> None:
            length = len(value)
            if not least <= length <= most:
                _refuse(length, least, most)
            out += varint(length) + value

        def read(reader: Reader) -> bytes:
            length = reader.varint()
            if not least <= length <= most:
                _refuse(length, least, most)
            return reader.take(length)

        return write, read

    def writing(self) -> str:
        return f"raw = field\n{_short(self.least, self.most)}"

    def reading(self) -> str:
        return _vector(self.least, self.most, "field = data[start:stop]")


def _until(stop: str, take: str, allowed: str = "") -> str:
    """Takes what ends before `stop`."""
    return (
        f"stop = {stop}\nif {allowed}stop <= end:\n    {take}\n    at = stop\nelse:\n{textwrap.indent(READ, ' ' * 4)}"
    )


def _vector(least: int, most: int, take: str) -> str:
    """Takes a vector of a length of one or two bytes, from `start` to `stop`."""
    longer = (
        "if size > 63:\n    size = (size << 8 | data[start]) - 0x4000\n    start += 1\n"
        "    if size < 64:\n        size = -1\n"
    )
    return f"size = data[at]\nstart = at + 1\n{longer if most > 63 else ''}" + _until(
        "start + size", take, f"{least} <= size <= {min(most, 0x3FFF)} and "
    )


def _short(least: int, most: int) -> str:
    """Appends `raw` with a length of one byte or two."""
    longer = (
        f"elif {max(least, 0x40)} <= size <= {min(most, 0x3FFF)}:\n"
        "    out += (size | 0x4000).to_bytes(2, 'big')\n    out += raw\n"
    )
    return (
        f"size = len(raw)\nif {least} <= size < {min(most + 1, 0x40)}:\n    out.append(size)\n    out += raw\n"
        f"{longer if most > 0x3F else ''}else:\n    write(out, field)"
    )


def _refuse(length: int, least: int, most: int) -> NoReturn:
    if length > most:
        raise errors.TooLarge(f"{length} bytes where {most} are the most")
    raise errors.WrongLength(f"{length} bytes where {least} are the least")


@dataclasses.dataclass(frozen=True, slots=True)
class Text(Encoding):
    """A UTF-8 string as `opaque <V>` of `least` to `most` bytes, never normalised."""

    most: int
    least: int = 0

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        most, least = self.most, self.least

        def write(out: bytearray, value: str) -> None:
            try:
                raw = value.encode()
            except UnicodeEncodeError:
                raise errors.Malformed("the text is not Unicode") from None
            length = len(raw)
            if not least <= length <= most:
                _refuse(length, least, most)
            out += varint(length) + raw

        def read(reader: Reader) -> str:
            length = reader.varint()
            if not least <= length <= most:
                _refuse(length, least, most)
            try:
                return reader.take(length).decode()
            except UnicodeDecodeError:
                raise errors.Malformed("the text is not UTF-8") from None

        return write, read

    def writing(self) -> str:
        return f"raw = field.encode()\n{_short(self.least, self.most)}"

    def reading(self) -> str:
        return _vector(self.least, self.most, "field = data[start:stop].decode()")


U8 = Annotated[int, UInt(1)]
U16 = Annotated[int, UInt(2)]
U32 = Annotated[int, UInt(4)]
U64 = Annotated[int, UInt(8)]
Hash = Annotated[bytes, Fixed(32)]
Id = Annotated[str, Text(limits.ID_BYTES, 1)]
PublicKey = Annotated[bytes, Variable(limits.KEY_BYTES)]
Signature = Annotated[bytes, Variable(limits.SIGNATURE_BYTES)]
WrappedKey = Annotated[bytes, Variable(limits.WRAPPED_KEY_BYTES)]
