"""Canonical base64, hex and JSON: one text for one value."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final, NoReturn

from tacit import errors
from tacit.wire import limits

_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(sorted(set(range(256)) - set(b"[]{}")))


def to_base64(data: bytes) -> str:
    """Standard padded base64 (RFC 4648 §4)."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str, most: int | None = None) -> bytes:
    """The bytes of canonical padded base64, at most `most`; raises `Base64NotCanonical` or `TooLarge`."""
    _check_length(text, most)
    try:
        raw = text.encode("ascii")
        data = binascii.a2b_base64(raw, strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise errors.Base64NotCanonical() from None
    if binascii.b2a_base64(data, newline=False) != raw:
        raise errors.Base64NotCanonical()
    if most is not None and len(data) > most:  # the check above knows groups of three bytes only
        raise errors.TooLarge(f"more than {most} bytes")
    return data


def _check_length(text: str, most: int | None) -> None:
    """Refuse what is too long before anything is made of it."""
    if most is not None and len(text) > (most + 2) // 3 * 4:
        raise errors.TooLarge(f"more than {most} bytes")


def from_hex(text: str, size: int = 32) -> bytes:
    """The bytes of lowercase hex, exactly `size`; raises `WrongLength` or `Malformed`."""
    if len(text) != 2 * size:
        raise errors.WrongLength(f"{len(text)} hex digits instead of {2 * size}")
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise errors.Malformed("not lowercase hex") from None
    if data.hex() != text:
        raise errors.Malformed("not lowercase hex")
    return data


def to_json(value: Any) -> str:
    """JSON without white space, keys in the given order, non-ASCII as it is."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def from_json(text: str | bytes, most_values: int = limits.JSON_VALUES) -> Any:
    """The value of a JSON text in UTF-8 (RFC 8259 §8.1), with integers from 0 to 2^53 - 1 as its only numbers.

    Raises `MalformedJson`, also for a key that stands twice, and for half of a surrogate pair: such a string cannot be
    encoded again, so that it would fail somewhere later. What is nested deeper than 16 or has more than `most_values`
    values is refused before anything is made of it; a string is as long as the text at the most, and each field has a
    limit of its own.
    """
    # `json` would guess the encoding of bytes, and let surrogates pass.
    try:
        raw = text.encode() if isinstance(text, str) else text
        source = raw.decode()
    except UnicodeError:
        raise errors.MalformedJson("it is not UTF-8") from None
    _check_size(raw, most_values)
    try:
        value = _DECODER.decode(source)
        if "\\u" in source:
            json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        raise errors.MalformedJson() from None
    return value


def _check_size(raw: bytes, most_values: int) -> None:
    """Count values and nesting without parsing; nearly every text is small enough whatever stands in its strings."""
    if _openings(raw) <= limits.JSON_DEPTH and _values(raw) <= most_values:
        return
    bare = raw.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in raw else raw
    # Each value is a string at the most, under a key: more quotes are not worth taking out.
    if bare.count(b'"') > 4 * most_values or _values(bare := b"".join(bare.split(b'"')[::2])) > most_values:
        raise errors.MalformedJson(f"it has more than {most_values} values")
    nesting = bare.translate(_ONE_KIND, _NO_BRACKET)
    for _ in range(limits.JSON_DEPTH):  # the innermost pairs of each level
        nesting = nesting.replace(b"[]", b"")
    if nesting:
        raise errors.MalformedJson(f"it is not closed, or nested deeper than {limits.JSON_DEPTH}")


def _openings(raw: bytes) -> int:
    return raw.count(b"[") + raw.count(b"{")


def _values(raw: bytes) -> int:
    """At least the number of values: each opens an array or object, stands first in one, or after a comma."""
    return raw.count(b",") + _openings(raw) + 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise errors.MalformedJson("a key stands twice")
    return found


def _integer(text: str) -> int:
    if len(text) > 16 or text.startswith("-") or (value := int(text)) >= 1 << 53:
        raise errors.MalformedJson("a number is not an integer from 0 to 2^53 - 1")
    return value


def _no_number(text: str) -> NoReturn:
    raise errors.MalformedJson("a number is not an integer from 0 to 2^53 - 1")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
)
