"""The official vector files of MLS (github.com/mlswg/mls-implementations, test-vectors.md), checked case by case.

A file's format is told by the fields of its cases, whatever the file is called.
"""

from __future__ import annotations

from typing import Any, Final

from tacit import errors
from tacit.crypto.secret import Randomness
from tacit.mls import conformance_epochs, conformance_members, conformance_trees
from tacit.mls.conformance_case import Fields, Format

FORMATS: Final[dict[str, Format]] = {
    **conformance_epochs.FORMATS,
    **conformance_members.FORMATS,
    **conformance_trees.FORMATS,
}
"""Every format by the name of its official file."""

_FORMS: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError)
"""What a case raises that lacks a field, or has something else in it than its format says."""


def format_of(cases: Any) -> str:
    """The name of the format of a file's JSON; raises `Malformed` for one that is unknown, and without a case."""
    if not isinstance(cases, list) or not cases or not all(isinstance(case, dict) for case in cases):
        raise errors.Malformed("a vector file is a list of one case or more, each an object")
    fields = frozenset(cases[0])
    found = [name for name, each in FORMATS.items() if each.fields <= fields]
    if len(found) != 1:
        raise errors.Malformed(f"unknown format: no vector file has cases of {', '.join(sorted(fields)) or 'nothing'}")
    return found[0]


def failure(name: str, case: Fields, random: Randomness) -> str | None:
    """Why a case of that format fails; None when all of it holds. `random` is for what this engine makes itself."""
    try:
        for fact in FORMATS[name].check(case, random):
            if fact.found != fact.expected:
                return f"{fact.what}: not what the file says"
    except errors.TacitError as error:
        return f"{type(error).__name__}: {error}"
    except _FORMS as error:
        return f"not a case of {name}: {type(error).__name__}: {error}"
    return None
