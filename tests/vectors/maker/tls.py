"""The TLS presentation language as RFC 9420 §2.1 uses it, labels, and values as JSON."""

from __future__ import annotations

import hashlib
from typing import Any

from vectors.maker.tables import ALIASES, ENUMS, STRUCTS

Value = dict[str, Any]
"""A struct's value: its fields by name; bytes, text, numbers, lists and further values."""


def varint(number: int) -> bytes:
    """A variable-size length: the two highest bits say how many bytes it has, and the shortest form is the one."""
    if number < 1 << 6:
        return bytes([number])
    if number < 1 << 14:
        return (1 << 14 | number).to_bytes(2, "big")
    assert number < 1 << 30
    return (2 << 30 | number).to_bytes(4, "big")


def vector(content: bytes) -> bytes:
    """`opaque<V>`."""
    return varint(len(content)) + content


def field(kind: str, value: Any) -> bytes:
    """One value of this kind."""
    kind = ALIASES.get(kind, kind)
    if kind in STRUCTS:
        return encode(kind, value)
    if kind in ENUMS:
        size, numbers = ENUMS[kind]
        assert value in numbers, (kind, value)
        return field(size, value)
    head, rest = kind[0], kind[1:]
    if kind == "flag":
        return bytes([1 if value else 0])
    if head == "u":
        return int(value).to_bytes(int(rest) // 8, "big")
    if head == "b":
        assert len(value) == int(rest), (kind, value)
        return bytes(value)
    if head == "[":
        return vector(b"".join(field(kind[1:-1], each) for each in value))
    raw = value.encode() if head == "t" else value
    least, most = map(int, rest.split("-"))
    assert least <= len(raw) <= most, (kind, value)
    return vector(raw)


def encode(struct: str, value: Value) -> bytes:
    """A struct's bytes."""
    fields = STRUCTS[struct]
    assert [name for name, _ in fields] == list(value), (struct, list(value))
    return b"".join(field(kind, value[name]) for name, kind in fields)


def make(struct: str, *values: Any) -> Value:
    """A struct's value from its fields in their order."""
    names = [name for name, _ in STRUCTS[struct]]
    return dict(zip(names, values, strict=True))


def labelled(label: str, struct: str, value: Value) -> bytes:
    """`{label<V>, struct<V>}`."""
    return labelled_bytes(label, encode(struct, value))


def labelled_bytes(label: str, content: bytes) -> bytes:
    """`{label<V>, struct<V>}` of a struct that is encoded already."""
    return vector(f"tacit/1 {label}".encode()) + vector(content)


def struct_hash(label: str, struct: str, value: Value) -> bytes:
    """SHA-256 over `{label<V>, struct<V>}`."""
    return hashlib.sha256(labelled(label, struct, value)).digest()


def plain(value: Any) -> Any:
    """A value as JSON has it: bytes in lowercase hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def drawn(name: str, size: int) -> bytes:
    """Bytes that look random and are the same every time."""
    return hashlib.shake_256(b"tacit vectors " + name.encode()).digest(size)
