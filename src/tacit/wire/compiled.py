"""One function for all fields of a struct, made as dataclasses make theirs: a call for each field costs twice the time.

They refuse nothing themselves: whatever is not simple goes to the field's own writer or reader.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple

from tacit.wire.encodings import Encoding
from tacit.wire.reader import ReaderFunction, Writer


class Field(NamedTuple):
    """A field's name, its encoding, and what writes and reads it alone."""

    name: str
    encoding: Encoding
    write: Writer
    read: ReaderFunction


def writer(name: str, fields: Iterable[Field]) -> Writer:
    """What writes a struct of that name."""
    scope: dict[str, Any] = {"fields": tuple(fields)}
    lines = []
    for number, field in enumerate(scope["fields"]):
        scope[f"write_{number}"] = field.write
        lines.append(f"field = value.{field.name}\n" + field.encoding.writing().replace("write(", f"write_{number}("))
    source = (
        f"def write(out, value):\n    try:\n{_body(lines)}\n"
        "    except (OverflowError, UnicodeEncodeError):\n"
        "        for field in fields:\n            field.write(bytearray(), getattr(value, field.name))\n"
        "        raise\n"
    )
    return _made(name, source, "write", scope)  # type: ignore[no-any-return]


def reader(cls: type, fields: Iterable[Field], keep: str | None) -> ReaderFunction:
    """What reads a struct; `keep` is the attribute that keeps the bytes that were read, if there is one."""
    scope: dict[str, Any] = {"cls": cls, "new": object.__new__, "fields": tuple(fields)}
    lines, made = [], []
    for number, field in enumerate(scope["fields"]):
        scope[f"read_{number}"] = field.read
        value = f"field_{number}"
        scope[f"set_{number}"] = getattr(cls, field.name).__set__  # the class is frozen
        made.append(f"set_{number}(value, {value})")
        lines.append(field.encoding.reading().replace("field", value).replace("read(", f"read_{number}("))
    if keep is not None:
        scope["keep"] = getattr(cls, keep).__set__
        # Every struct has one encoding only: these are the bytes that writing it would make.
        made.append("keep(value, data[begin:at])")
    source = (
        "def read(reader):\n    data, begin, end = reader.data, reader.position, reader.end\n    at = begin\n"
        f"    try:\n{_body(lines)}\n"
        "    except (IndexError, UnicodeDecodeError):\n"
        "        reader.position = begin\n        for field in fields:\n            field.read(reader)\n"
        "        raise\n"
        f"    reader.position = at\n    value = new(cls)\n{_body(made, 4)}\n    return value\n"
    )
    return _made(cls.__name__, source, "read", scope)  # type: ignore[no-any-return]


def _body(lines: list[str], indent: int = 8) -> str:
    return textwrap.indent("\n".join(lines or ["pass"]), " " * indent)


def _made(name: str, source: str, function: str, scope: dict[str, Any]) -> Any:
    exec(compile(source, f"<codec of {name}>", "exec"), scope)  # names of fields and numbers only
    return scope[function]
