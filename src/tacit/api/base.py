"""The base of every type on the wire, and reading one out of a body."""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, TypeVar, final

import msgspec

from tacit import errors
from tacit.wire import limits
from tacit.wire.text import from_base64, from_json

T = TypeVar("T")

Base64 = Annotated[str, msgspec.Meta(extra_json_schema={"contentEncoding": "base64"})]
"""Bytes as canonical padded base64; `binary` reads it."""
Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)]
"""An integer in what a `Reader` reads: no more than the wire's JSON has."""
Hex = Annotated[str, msgspec.Meta(extra_json_schema={"format": "hex"})]
"""A hash or a device id: lowercase hex."""

INCARNATION_HEADER: Final = "tacit-incarnation"
"""Every answer carries it; it changes when the server was restored from a backup."""
PROBLEM_TYPE: Final = "application/problem+json"


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A JSON object with exactly these fields, in camelCase; a field left `UNSET` is absent."""


def read(kind: type[T], text: bytes | str, most_values: int = limits.JSON_VALUES) -> T:
    """The value of this type in a JSON text; raises `MalformedJson` or `UnknownField`."""
    value: T = convert(kind, from_json(text, most_values))
    return value


@final
class Reader(Generic[T]):
    """`read` of one type, in a fifth of the time for a text as `to_json_bytes` spells it, which has only one meaning.

    What is spelt otherwise may have a key twice, or a number that is none: it goes the long way. Integers in this type
    are `Number`: nothing else bounds them.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    def read(self, text: bytes) -> T:
        """The value in this text; raises `MalformedJson` or `UnknownField`."""
        try:
            value: T = self._decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # msgspec descends into a wrong tag too
            return self._long(text)
        return value if msgspec.json.encode(value) == text else self._long(text)

    def _long(self, text: bytes) -> T:
        value: T = read(self._kind, text)
        return value


def convert(kind: Any, value: Any) -> Any:
    """A parsed JSON value as this type; raises `MalformedJson` or `UnknownField`, naming the place and no value."""
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        text = str(error)
        place = text.rpartition(" - at `")[2].rstrip("`") if " - at `" in text else "$"
        if text.startswith("Object contains unknown field"):
            name = text.partition("`")[2].partition("`")[0]
            raise errors.UnknownField(name[:64]) from None
        if text.startswith("Object missing required field"):
            name = text.partition("`")[2].partition("`")[0]
            raise errors.MalformedJson(f"{name} is missing") from None
        raise errors.MalformedJson(f"{place[:64]} has the wrong type") from None


def to_json_bytes(value: object) -> bytes:
    """The JSON of a value of one of these types."""
    return msgspec.json.encode(value)


def binary(text: str, most: int | None = None) -> bytes:
    """The bytes of a `Base64` field; raises `Base64NotCanonical` or `TooLarge`."""
    return from_base64(text, most)


def counter(name: str, value: int) -> int:
    """A cursor, version or epoch, 0 to 2^53 - 1; raises `Malformed`."""
    if not 0 <= value < 1 << 53:
        raise errors.Malformed(f"{name} is not an integer from 0 to 2^53 - 1")
    return value


def identifier(name: str, value: str) -> str:
    """An id after checking its length, 1 to 255 bytes of UTF-8; raises `WrongLength` or `Malformed`."""
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise errors.Malformed(f"{name} is not Unicode") from None
    if not 1 <= length <= limits.ID_BYTES:
        raise errors.WrongLength(f"{name} is 1 to {limits.ID_BYTES} bytes of UTF-8")
    return value
