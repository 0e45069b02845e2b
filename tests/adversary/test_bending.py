"""The harness bends what it says, everywhere it was imported to, and puts it back."""

from __future__ import annotations

import pytest

import tacit.conversation.sealing
import tacit.signed.verify
from adversary.bending import bent, resolve, wraps_original
from tacit.signed import message


def always(*_: object) -> bool:
    return True


@wraps_original
def negated(original: object) -> object:
    return lambda *arguments: not original(*arguments)  # type: ignore[operator]


def test_a_stand_in_is_used_wherever_the_function_was_imported_to() -> None:
    original = tacit.signed.verify.labelled
    assert message.labelled is original
    with bent({"tacit.signed.verify:labelled": "adversary.test_bending:always"}):
        assert tacit.signed.verify.labelled is always
        assert message.labelled is always
        assert tacit.conversation.sealing.labelled is always
    assert tacit.signed.verify.labelled is original
    assert message.labelled is original


def test_a_stand_in_can_be_made_from_the_original() -> None:
    with bent({"tacit.crypto.digest:equal": "adversary.test_bending:negated"}):
        assert resolve("tacit.crypto.digest:equal")[2](b"a", b"b") is True


@pytest.mark.parametrize("name", ["tacit.nowhere:f", "tacit.crypto.digest:gone", "tacit.crypto.digest:equal.inner"])
def test_a_guard_that_does_not_resolve_is_an_error(name: str) -> None:
    with pytest.raises(LookupError):
        resolve(name)
