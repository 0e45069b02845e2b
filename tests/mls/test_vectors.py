"""The official vector files (mls-implementations, test-vectors.md), each case a check of `tacit.mls.conformance`."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tacit import errors
from tacit.mls import conformance
from tacit.mls.proposals import ByValue, GroupContextExtensions
from tacit.wire.codec import encode
from vectors_dir import load

CASES: Final = {
    "crypto-basics": 7,
    "deserialization": 14,
    "key-schedule": 7,
    "message-protection": 7,
    "messages": 300,
    "passive-client-handling-commit": 91,
    "passive-client-random": 1,
    "passive-client-welcome": 56,
    "psk_secret": 77,
    "secret-tree": 21,
    "transcript-hashes": 7,
    "tree-math": 10,
    "tree-operations": 5,
    "tree-validation": 98,
    "welcome": 7,
}
TREEKEM: Final = 77
SUITES: Final = range(1, 8)
"""Those of the official files, all of the RFC's."""


def format_name(file: str) -> str:
    """The format of an official file."""
    return "passive-client" if file.startswith("passive-client") else file


def failures(name: str, cases: list[Any]) -> dict[int, str]:
    draw = random.Random(1).randbytes
    found = {number: conformance.failure(name, case, draw) for number, case in enumerate(cases)}
    return {number: reason for number, reason in found.items() if reason is not None}


@pytest.mark.parametrize("name", CASES)
def test_every_case_of_an_official_file_passes(name: str) -> None:
    cases = load("mls", f"{name}.json")
    assert len(cases) == CASES[name]
    assert conformance.format_of(cases) == format_name(name)
    assert failures(format_name(name), cases) == {}


@pytest.mark.parametrize("suite", SUITES)
def test_every_case_of_the_official_treekem_file_passes(suite: int) -> None:
    """Apart by suite, because it takes the longest."""
    every = load("mls", "treekem.json")
    assert conformance.format_of(every) == "treekem"
    cases = [case for case in every if case["cipher_suite"] == suite]
    assert len(cases) == TREEKEM // len(SUITES)
    assert len(every) == TREEKEM
    assert failures("treekem", cases) == {}


def test_every_format_has_an_official_file() -> None:
    assert set(conformance.FORMATS) == {*map(format_name, CASES), "treekem"}


# --- cases that are wrong ----------------------------------------------------------------


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a case with a key of it at which something stands that can be changed."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in pairs:
        if isinstance(each, dict | list):
            yield from places(each)
        elif each is not None:
            yield value, key


def changed(name: str, key: Any, value: Any) -> Any:
    """Another value of the same form."""
    if key == "cipher_suite":
        return value + 0x70
    if isinstance(value, int):
        return value + 1
    if name == "messages":
        # What is said in these means nothing; that all of it is read and written does.
        return value[:-2]
    return ("1" if value[0] == "0" else "0") + value[1:]


@pytest.mark.parametrize("name", [*CASES, "treekem"])
def test_a_case_fails_whatever_is_changed_in_it(name: str) -> None:
    every = load("mls", f"{name}.json")
    if name == "passive-client-random":
        # It is one case of 200 epochs.
        every[0]["epochs"] = every[0]["epochs"][:3]
    case = min((each for each in every if each.get("psks", True)), key=lambda each: len(repr(each)))
    count = sum(1 for _ in places(case))
    assert count
    missed = []
    for number in range(0, count, max(1, count // 60)):
        bent = copy.deepcopy(case)
        container, key = list(places(bent))[number]
        container[key] = changed(name, key, container[key])
        if conformance.failure(format_name(name), bent, random.Random(1).randbytes) is None:
            missed.append(key)
    # Who proposes to add or remove somebody does not matter for the tree.
    assert missed == (["proposal_sender"] if name == "tree-operations" else [])


def test_an_update_is_of_its_sender() -> None:
    case = next(case for case in load("mls", "tree-operations.json") if case["proposal"].startswith("0002"))
    draw = random.Random(1).randbytes
    assert conformance.failure("tree-operations", case, draw) is None
    assert conformance.failure("tree-operations", {**case, "proposal_sender": case["proposal_sender"] + 1}, draw)


def reasons(name: str, **fields: Any) -> str | None:
    """Why the first case of an official file fails with other fields."""
    return conformance.failure(name, {**load("mls", f"{name}.json")[0], **fields}, random.Random(1).randbytes)


def test_a_failure_is_told_by_what_it_is_of() -> None:
    assert reasons("tree-math", root=9) == "root: not what the file says"
    assert reasons("welcome", cipher_suite=9) == f"UnknownVersion: {errors.UnknownVersion('cipher suite 0x0009')}"
    assert reasons("welcome", init_priv="zz") == (
        "not a case of welcome: ValueError: non-hexadecimal number found in fromhex() arg at position 0"
    )
    assert (
        reasons("welcome", welcome=[]) == "not a case of welcome: TypeError: fromhex() argument must be str, not list"
    )


def test_a_case_that_lacks_a_field_is_none_of_its_format() -> None:
    case = load("mls", "welcome.json")[0]
    del case["signer_pub"]
    assert conformance.failure("welcome", case, bytes) == "not a case of welcome: KeyError: 'signer_pub'"


def test_a_proposal_that_changes_no_tree_is_refused() -> None:
    proposal = encode(ByValue(GroupContextExtensions(())))
    said = reasons("tree-operations", proposal=proposal.hex())
    assert said is not None
    assert "GroupContextExtensions does not change the tree" in said


def test_another_kind_of_message_is_not_opened() -> None:
    package = load("mls", "welcome.json")[0]["key_package"]
    assert "proposal_priv is a KeyPackage" in str(reasons("message-protection", proposal_priv=package))
    assert "the two messages' kinds" in str(reasons("welcome", welcome=package))


# --- formats -----------------------------------------------------------------------------


@pytest.mark.parametrize("cases", [None, 1, "text", {}, {"a": []}, [], [1], [[]], [{"length": 0}, 1]])
def test_what_is_no_list_of_cases_is_refused(cases: Any) -> None:
    with pytest.raises(errors.Malformed, match="a list of one case or more"):
        conformance.format_of(cases)


def test_an_unknown_format_is_refused_with_its_fields() -> None:
    with pytest.raises(errors.Malformed, match=r"unknown format: no vector file has cases of one, two$"):
        conformance.format_of([{"two": 1, "one": 2}])
    with pytest.raises(errors.Malformed, match=r"cases of nothing$"):
        conformance.format_of([{}])


def test_a_case_of_two_formats_is_of_none() -> None:
    both = {**load("mls", "welcome.json")[0], **load("mls", "deserialization.json")[0]}
    with pytest.raises(errors.Malformed, match="unknown format"):
        conformance.format_of([both])
