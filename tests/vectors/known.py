"""Reading the known answers: cases by file and group, and their values as tacit's own structs."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import pytest

from tacit import errors
from tacit.wire.codec import decode

FOLDER = Path(__file__).with_name("tacit")
T = TypeVar("T")


@cache
def load(file: str) -> Any:
    """One file."""
    return json.loads((FOLDER / f"{file}.json").read_text(encoding="utf-8"))


def cases(file: str, group: str, *, valid: bool | None = None) -> pytest.MarkDecorator:
    """The cases of a group as a test's parameters, by their comments."""
    found = [case for case in load(file)[group] if valid in (None, case["valid"])]
    assert found, (file, group)
    return pytest.mark.parametrize("case", found, ids=[case["comment"] for case in found])


@contextmanager
def judged(case: dict[str, Any]) -> Iterator[None]:
    """What is valid passes; what is not is refused with the cause that the case names."""
    if case["valid"]:
        yield
        return
    with pytest.raises(errors.TacitError) as refusal:
        yield
    assert refusal.value.code == case["cause"], refusal.value


def raw(text: str) -> bytes:
    """The bytes of hex."""
    return bytes.fromhex(text)


def value_of(hint: Any, value: Any) -> Any:
    """A JSON value as the field's type."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is tuple:
        return tuple(value_of(get_args(hint)[0], each) for each in value)
    if hint is bytes:
        return raw(value)
    if hint in (int, str, bool):
        assert type(value) is hint, value
        return value
    if issubclass(hint, IntEnum):
        return hint(value)
    return struct_of(hint, value)


def struct_of(cls: type[T], value: dict[str, Any]) -> T:
    """A JSON object as a struct: exactly its fields, by name."""
    every = typing.get_type_hints(cls, include_extras=True)
    hints = {field.name: every[field.name] for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    assert set(value) == set(hints), (cls, set(value) ^ set(hints))
    return cls(**{name: value_of(hints[name], value[name]) for name in value})


def served(cls: type[T], text: str) -> T:
    """A struct out of the hex of its bytes."""
    return decode(cls, raw(text), 1 << 23)
