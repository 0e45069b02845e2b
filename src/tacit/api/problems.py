"""Errors as problem documents (RFC 9457) and back."""

from __future__ import annotations

from typing import Any, Final

from tacit import errors
from tacit.wire.text import from_json

_OWN: Final = frozenset({"type", "title", "status", "detail", "code", "remedy", "instance"})


def to_problem(error: errors.TacitError) -> dict[str, Any]:
    """The problem document of an error: `type` is `tacit:<code>`, its facts are further members."""
    facts = {name: value for name, value in error.facts.items() if name not in _OWN}
    return {
        "type": f"tacit:{error.code}",
        "title": error.title(),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "remedy": error.remedy,
        **facts,
    }


def from_problem(document: Any) -> errors.TacitError:
    """The error that a problem document names; what is none becomes `UnexpectedAnswer`."""
    if not isinstance(document, dict) or not isinstance(document.get("code"), str):
        return errors.UnexpectedAnswer("it is not a problem document")
    detail = document.get("detail")
    facts = {name: value for name, value in document.items() if name not in _OWN}
    return errors.from_code(document["code"], detail if isinstance(detail, str) else "", **facts)


def retry_after(error: errors.TacitError) -> int | None:
    """For how many seconds an error asks one to wait; None where it does not say."""
    seconds = error.facts.get("retryAfter")
    return seconds if type(seconds) is int and seconds > 0 else None


def read_problem(body: bytes | str) -> errors.TacitError:
    """The error in an answer's body; what is none becomes `UnexpectedAnswer`."""
    try:
        return from_problem(from_json(body))
    except errors.MalformedJson:
        return errors.UnexpectedAnswer("it is not JSON")
