"""The harness bends what it says, everywhere it was imported to, and puts it back."""

from __future__ import annotations

import pytest

import tacit.conversation.sealing
import tacit.signed.verify
from adversary.bending import bent, resolve, wraps_original
from tacit.signed import message


def always(*_: object) -> bool:
    return True


def used() -> tuple[object, ...]:
    """What each of these modules calls `labelled`."""
    modules = (tacit.signed.verify, message, tacit.conversation.sealing)
    return tuple(vars(module)["labelled"] for module in modules)


@wraps_original
def negated(original: object) -> object:
    return lambda *arguments: not original(*arguments)  # type: ignore[operator]


def test_a_stand_in_is_used_wherever_the_function_was_imported_to() -> None:
    original = used()
    assert len(set(original)) == 1
    with bent({"tacit.signed.verify:labelled": "adversary.test_bending:always"}):
        assert set(used()) == {resolve("adversary.test_bending:always")[2]}
    assert used() == original


def test_a_hook_is_used_in_its_own_place_alone() -> None:
    original = used()
    with bent({"tacit.signed.message:labelled": always}, everywhere=False):
        assert used() == (original[0], always, original[2])
    assert used() == original


def test_nothing_is_bent_where_one_name_leads_nowhere() -> None:
    original = used()
    names = {"tacit.signed.verify:labelled": always, "tacit.nowhere:f": always}
    with pytest.raises(LookupError), bent(names):
        pass
    assert used() == original


def test_a_stand_in_can_be_made_from_the_original() -> None:
    with bent({"tacit.crypto.digest:equal": "adversary.test_bending:negated"}):
        assert resolve("tacit.crypto.digest:equal")[2](b"a", b"b") is True


@pytest.mark.parametrize("name", ["tacit.nowhere:f", "tacit.crypto.digest:gone", "tacit.crypto.digest:equal.inner"])
def test_a_guard_that_does_not_resolve_is_an_error(name: str) -> None:
    with pytest.raises(LookupError):
        resolve(name)
