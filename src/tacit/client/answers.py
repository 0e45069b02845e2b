"""Reading what the server answers: strictly, and every integer within what the protocol has."""

from __future__ import annotations

from typing import Any, Final

from tacit import errors
from tacit.api.base import convert
from tacit.wire.text import from_json

INTEGERS: Final = range(1 << 53)
"""What a number on the wire may be: a place, a time, an epoch, a version."""


def read_answer(kind: Any, raw: bytes | str) -> Any:
    """A JSON answer or frame as a type of `api`; raises `UnexpectedAnswer`."""
    try:
        value = from_json(raw)
        check_integers(value)
        return convert(kind, value)
    except errors.PeerError as error:
        raise errors.UnexpectedAnswer(error.detail) from None


def check_integers(value: object) -> None:
    """Raises `Malformed` where any integer is below 0 or above 2^53 - 1: the store could not keep it."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, int) and each not in INTEGERS:
            raise errors.Malformed("a number is not an integer from 0 to 2^53 - 1")
