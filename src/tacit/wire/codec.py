"""The TLS presentation language of RFC 9420 §2.1 as a declarative codec.

A struct is a class under `@struct` whose annotations name the fields' encodings:

    @struct
    class Change:
        user_id: Id
        role: Annotated[Role, Enum(1)]
        account_hash: Hash

`encode(value)` gives its bytes, `decode(Change, data)` reads them back and refuses trailing bytes.
Every refusal while reading is `errors.Malformed`, `errors.WrongLength` or `errors.TooLarge`;
a limit is checked before anything of that size is allocated.
"""

from __future__ import annotations

import dataclasses
import textwrap
import types
import typing
from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Any, NoReturn, TypeVar, Union, dataclass_transform, get_args, get_origin

from tacit import errors
from tacit.wire import limits

T = TypeVar("T")
Writer = Callable[[bytearray, Any], None]
VARINT_MAX = (1 << 30) - 1


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


def write_varint(out: bytearray, value: int) -> None:
    """Append a variable-size length (RFC 9420 §2.1.2); raises `TooLarge` above 2^30 - 1."""
    if value < 0x40:
        out.append(value)
    elif value < 0x4000:
        out += (value | 0x4000).to_bytes(2, "big")
    elif value <= VARINT_MAX:
        out += (value | 0x80000000).to_bytes(4, "big")
    else:
        raise errors.TooLarge("a vector is longer than 2^30 - 1 bytes")


class Encoding:
    """How one field is written and read; used as `Annotated` metadata."""

    __slots__ = ()

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        """The field's writer and reader, for the annotated type."""
        raise TypeError(f"{type(self).__name__} encodes nothing")

    def source(self) -> str:
        """Python that does what the writer does for a common `field`, and calls it as `write` for any other."""
        return "write(out, field)"


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

    def source(self) -> str:
        return f"out += field.to_bytes({self.size}, 'big')"


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

    def source(self) -> str:
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

    def source(self) -> str:
        return f"if len(field) != {self.size}:\n    write(out, field)\nout += field"


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
            write_varint(out, length)
            out += value

        def read(reader: Reader) -> bytes:
            length = reader.varint()
            if not least <= length <= most:
                _refuse(length, least, most)
            return reader.take(length)

        return write, read

    def source(self) -> str:
        return f"raw = field\n{_short(self.least, self.most)}"


def _short(least: int, most: int) -> str:
    """Appends `raw` with a length of one byte."""
    return (
        f"if {least} <= len(raw) < {min(most + 1, 0x40)}:\n    out.append(len(raw))\n    out += raw\n"
        "else:\n    write(out, field)"
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
            write_varint(out, length)
            out += raw

        def read(reader: Reader) -> str:
            length = reader.varint()
            if not least <= length <= most:
                _refuse(length, least, most)
            try:
                return reader.take(length).decode()
            except UnicodeDecodeError:
                raise errors.Malformed("the text is not UTF-8") from None

        return write, read

    def source(self) -> str:
        return f"raw = field.encode()\n{_short(self.least, self.most)}"


def _no_more(most: int) -> None:
    """A vector has another element than its last one; raises `TooLarge` before that is read."""
    raise errors.TooLarge(f"more than {most} elements")


@dataclasses.dataclass(frozen=True, slots=True)
class Many(Encoding):
    """A vector `T <V>` of at most `most` elements, as `tuple[T, ...]`."""

    most: int

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        most = self.most
        (element, ellipsis) = get_args(hint)
        assert ellipsis is Ellipsis, hint
        write_one, read_one = functions_of(element)

        def write(out: bytearray, value: tuple[Any, ...]) -> None:
            if len(value) > most:
                raise errors.TooLarge(f"{len(value)} elements where {most} are the most")
            inner = bytearray()
            for item in value:
                write_one(inner, item)
            write_varint(out, len(inner))
            out += inner

        def read(reader: Reader) -> tuple[Any, ...]:
            length = reader.varint()
            end = reader.position + length
            if end > reader.end:
                raise errors.Malformed("it ends too early")
            outer_end, reader.end = reader.end, end
            items: list[Any] = []
            while reader.position < end:
                if len(items) == most:
                    _no_more(most)
                items.append(read_one(reader))
            reader.end = outer_end
            return tuple(items)

        return write, read


U8 = Annotated[int, UInt(1)]
U16 = Annotated[int, UInt(2)]
U32 = Annotated[int, UInt(4)]
U64 = Annotated[int, UInt(8)]
Hash = Annotated[bytes, Fixed(32)]
Id = Annotated[str, Text(limits.ID_BYTES, 1)]
PublicKey = Annotated[bytes, Variable(limits.KEY_BYTES)]
Signature = Annotated[bytes, Variable(limits.SIGNATURE_BYTES)]
WrappedKey = Annotated[bytes, Variable(limits.WRAPPED_KEY_BYTES)]

_FUNCTIONS: dict[type, tuple[Writer, ReaderFunction]] = {}
_STRUCTS: set[type] = set()


@dataclass_transform(frozen_default=True)
def struct(cls: type[T]) -> type[T]:
    """Make a class a frozen, slotted dataclass with an encoding taken from its annotations."""
    made = dataclasses.dataclass(frozen=True, slots=True)(cls)
    _STRUCTS.add(made)
    return made


class EncodedOnce:
    """A base of small structs without secrets that keep their own bytes: a record names the same ones many times."""

    __slots__ = ("_encoded",)

    _encoded: bytes


def _once(write: Writer) -> Writer:
    def write_once(out: bytearray, value: EncodedOnce) -> None:
        try:
            out += value._encoded
        except AttributeError:
            made = bytearray()
            write(made, value)
            object.__setattr__(value, "_encoded", bytes(made))
            out += made

    return write_once


def functions_of(hint: Any) -> tuple[Writer, ReaderFunction]:
    """The writer and reader of an annotation."""
    origin = get_origin(hint)
    if origin is Annotated:
        base, *metadata = get_args(hint)
        encoding = next(item for item in metadata if isinstance(item, Encoding))
        return encoding.functions(base)
    if origin in (Union, types.UnionType):
        return _optional(hint)
    if hint in _STRUCTS:
        return _struct_functions(hint)
    raise TypeError(f"{hint!r} has no encoding")


def _optional(hint: Any) -> tuple[Writer, ReaderFunction]:
    (inner,) = [item for item in get_args(hint) if item is not type(None)]
    write_inner, read_inner = functions_of(inner)

    def write(out: bytearray, value: Any) -> None:
        if value is None:
            out.append(0)
        else:
            out.append(1)
            write_inner(out, value)

    def read(reader: Reader) -> Any:
        present = reader.uint(1)
        if present > 1:
            raise errors.Malformed("a presence byte is neither 0 nor 1")
        return read_inner(reader) if present else None

    return write, read


def _compiled(name: str, fields: dict[str, tuple[Any, Writer]]) -> Writer:
    """One function for all fields of a struct, made as dataclasses make theirs: a call for each costs twice the time.

    It refuses nothing itself: whatever is not simple goes to the field's own writer.
    """
    lines = []
    scope: dict[str, Any] = {"writers": [(field, write) for field, (_, write) in fields.items()]}
    for number, (field, (hint, write)) in enumerate(fields.items()):
        scope[f"write_{number}"] = write
        encoding = next((item for item in get_args(hint)[1:] if isinstance(item, Encoding)), Encoding())
        lines.append(f"field = value.{field}\n" + encoding.source().replace("write(", f"write_{number}("))
    body = textwrap.indent("\n".join(lines or ["pass"]), " " * 8)
    source = (
        f"def write(out, value):\n    try:\n{body}\n"
        "    except (OverflowError, UnicodeEncodeError):\n"
        "        for name, write_alone in writers:\n            write_alone(bytearray(), getattr(value, name))\n"
        "        raise\n"
    )
    exec(compile(source, f"<codec of {name}>", "exec"), scope)  # names of fields and numbers only
    made: Writer = scope["write"]
    return made


def _struct_functions(cls: type) -> tuple[Writer, ReaderFunction]:
    if known := _FUNCTIONS.get(cls):
        return known
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]
    pairs = [functions_of(hints[name]) for name in names]
    readers = tuple(pair[1] for pair in pairs)
    write = _compiled(cls.__name__, {name: (hints[name], pair[0]) for name, pair in zip(names, pairs, strict=True)})

    if issubclass(cls, EncodedOnce):
        write = _once(write)

    def read(reader: Reader) -> Any:
        return cls(*[read_field(reader) for read_field in readers])

    _FUNCTIONS[cls] = (write, read)
    return write, read


def encode(value: Any) -> bytes:
    """The bytes of a struct; raises `WrongLength` or `TooLarge` for values outside the struct's limits."""
    cls = type(value)
    out = bytearray()
    (_FUNCTIONS.get(cls) or _struct_functions(cls))[0](out, value)
    return bytes(out)


def decode(cls: type[T], data: bytes, most: int = limits.RECORD_BYTES) -> T:
    """The struct in `data`, at most `most` bytes.

    Raises `Malformed`, also for trailing bytes, `WrongLength`, `TooLarge`, or `UnknownVersion` for an enum value.
    """
    if len(data) > most:
        raise errors.TooLarge(f"{len(data)} bytes where {most} are the most")
    reader = Reader(data)
    value: T = _struct_functions(cls)[1](reader)
    if reader.position != len(data):
        raise errors.Malformed("bytes are left over")
    return value
