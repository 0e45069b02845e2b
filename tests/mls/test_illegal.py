"""Each rule three times: what is legal is taken, what is not is refused by that rule, and taken without its check."""

from __future__ import annotations

import pytest

from mls.deep import deep_hash
from mls.illegal.case import Case
from mls.illegal.every import CASES
from mls.illegal.without import removed, unshown

every = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
unchecked = pytest.mark.parametrize(
    "case",
    [each for each in CASES.values() if not each.final],
    ids=[name for name, each in CASES.items() if not each.final],
)


@every
def test_legal(case: Case) -> None:
    case.attempt(False).arrive()


@every
def test_illegal(case: Case) -> None:
    attempt = case.illegal()
    before = deep_hash(attempt.kept)
    with pytest.raises(case.error) as refused:
        attempt.arrive()
    assert type(refused.value) is case.error
    assert refused.value.detail in (case.refusal, "")
    assert refused.value.detail or case.refusal == case.error.__name__
    assert deep_hash(attempt.kept) == before


@unchecked
def test_without_its_check_it_is_accepted(case: Case) -> None:
    attempt = case.illegal()
    with case.unchecked():
        attempt.arrive()


def test_every_refusal_has_a_case() -> None:
    """But for those that nothing from outside leads to."""
    assert unshown(text for case in CASES.values() for text in (case.refusal, *case.also)) == {
        "§7.5: the path has nothing for this member",  # whose own keys are not those of its place in the tree
        "§12.4.3.1: a path secret, and no node that it is of",  # who joins is below a node of the committer's path
    }


def test_only_a_check_that_is_there_can_be_removed() -> None:
    with pytest.raises(LookupError, match="nothing refuses"), removed("§0: no such rule"):
        pass
