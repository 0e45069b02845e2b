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
from typing import Annotated, Any, TypeVar, Union, dataclass_transform, get_args, get_origin

from tacit import errors
from tacit.wire import compiled, limits
from tacit.wire.encodings import READ, Encoding
from tacit.wire.reader import Reader, ReaderFunction, Writer, varint

T = TypeVar("T")


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
            out += varint(len(inner))
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

    def writing(self) -> str:
        return "if not field:\n    out.append(0)\nelse:\n    write(out, field)"

    def reading(self) -> str:
        return f"if at < end and not data[at]:\n    field = ()\n    at += 1\nelse:\n{textwrap.indent(READ, ' ' * 4)}"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Variant(Encoding):
    """A `select` (RFC 9420 §2.1): a number of `size` bytes, then the struct that `cases` has for it.

    `other` is the struct of every number that is not in `cases`, with the number as its first field; without it such
    a number is refused as `UnknownVersion`.
    """

    size: int
    cases: dict[int, type]
    other: type | None = None

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        size = self.size
        pairs = {number: _struct_functions(cls) for number, cls in self.cases.items()}
        readers = {number.to_bytes(size, "big"): read for number, (_, read) in pairs.items()}
        writers = {
            self.cases[number]: (number.to_bytes(size, "big"), write_case) for number, (write_case, _) in pairs.items()
        }
        read_other = None
        if self.other is not None:
            write_other, read_other = _struct_functions(self.other)
            writers[self.other] = (b"", write_other)

        def write(out: bytearray, value: Any) -> None:
            number, write_case = writers[type(value)]
            out += number
            write_case(out, value)

        def read(reader: Reader) -> Any:
            start = reader.position
            stop = start + size
            read_case = readers.get(reader.data[start:stop])
            if read_case is not None and stop <= reader.end:
                reader.position = stop
                return read_case(reader)
            number = reader.take(size)
            if read_other is None:
                raise errors.UnknownVersion(f"case {int.from_bytes(number, 'big')}")
            reader.position = start
            return read_other(reader)

        return write, read


_FUNCTIONS: dict[type, tuple[Writer, ReaderFunction]] = {}
_STRUCTS: set[type] = set()


@dataclass_transform(frozen_default=True)
def struct(cls: type[T]) -> type[T]:
    """Make a class a frozen, slotted dataclass with an encoding taken from its annotations.

    A `__repr__` that it inherits stays: what redacts the values of a base redacts these.
    """
    made = dataclasses.dataclass(frozen=True, slots=True, repr=cls.__repr__ is object.__repr__)(cls)
    _STRUCTS.add(made)
    return made


def own_functions(cls: type, write: Writer, read: ReaderFunction) -> None:
    """Give a struct a writer and a reader of its own, where one field's presence hangs on another."""
    _FUNCTIONS[cls] = (write, read)


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
        present = reader.take(1)
        if present == b"\1":
            return read_inner(reader)
        if present != b"\0":
            raise errors.Malformed("a presence byte is neither 0 nor 1")
        return None

    return write, read


def _struct_functions(cls: type) -> tuple[Writer, ReaderFunction]:
    if known := _FUNCTIONS.get(cls):
        return known
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = [_field(each.name, hints[each.name]) for each in dataclasses.fields(cls)]
    once = issubclass(cls, EncodedOnce)
    write, read = compiled.writer(cls.__name__, fields), compiled.reader(cls, fields, "_encoded" if once else None)
    pair = (_once(write) if once else write, read)
    _FUNCTIONS[cls] = pair
    return pair


def _field(name: str, hint: Any) -> compiled.Field:
    encoding = next((item for item in get_args(hint)[1:] if isinstance(item, Encoding)), Encoding())
    return compiled.Field(name, encoding, *functions_of(hint))


def encode(value: Any) -> bytes:
    """The bytes of a struct; raises `WrongLength` or `TooLarge` for values outside the struct's limits."""
    kept: bytes | None = getattr(value, "_encoded", None)
    if kept is not None:
        return kept
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
