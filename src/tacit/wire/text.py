"""Canonical base64, hex and JSON: one text for one value."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NoReturn

from tacit import errors


def to_base64(data: bytes) -> str:
    """Standard padded base64 (RFC 4648 §4)."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str, most: int | None = None) -> bytes:
    """The bytes of canonical padded base64, at most `most`; raises `Base64NotCanonical` or `TooLarge`."""
    if most is not None and len(text) > (most + 2) // 3 * 4:
        raise errors.TooLarge(f"more than {most} bytes")
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise errors.Base64NotCanonical() from None
    if base64.b64encode(data).decode("ascii") != text:
        raise errors.Base64NotCanonical()
    if most is not None and len(data) > most:  # the check above knows groups of three bytes only
        raise errors.TooLarge(f"more than {most} bytes")
    return data


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


def from_json(text: str | bytes) -> Any:
    """The value of a JSON text in UTF-8 (RFC 8259 §8.1).

    Raises `MalformedJson`, also for a key that stands twice, for NaN and Infinity, and for half of a surrogate pair:
    such a string cannot be encoded again, so that it would fail somewhere later.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise errors.MalformedJson("a key stands twice")
        return found

    def refuse(name: str) -> NoReturn:
        raise errors.MalformedJson(f"{name} is no number")

    try:
        # `json` would guess the encoding of bytes, and let surrogates pass.
        source = (text.encode() if isinstance(text, str) else text).decode()
        value = json.loads(source, object_pairs_hook=unique, parse_constant=refuse)
        if "\\u" in source:
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError):
        raise errors.MalformedJson() from None
