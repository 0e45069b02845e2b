"""Every rule of RFC 9420 is classified; and the tool that says so notices what it is for."""

from __future__ import annotations

from typing import Any, Final

import pytest
from tools import musts

TEXT: Final = """\
Table of Contents

   1.  First

   "MUST" is a key word and no rule.

1.  First

   A client MUST do this and MUST NOT do that.  It need not do more,
   e.g., what a server MUST do.

12.2.  Lists

   The list is checked.

   *  It contains nothing.

   *  It contains itself.
"""


def test_every_rule_is_classified_and_what_is_named_is_there() -> None:
    """Where the text is not here, as far as the catalogue goes by itself."""
    assert musts.faults(musts.catalogue(), musts.rfc()) == []


def test_the_page_is_fresh() -> None:
    assert musts.PAGE.read_text(encoding="utf-8") == musts.page(musts.catalogue())


def test_rules_are_numbered_by_section() -> None:
    assert [rule.id for rule in musts.musts(TEXT)] == ["§1-1", "§1-2", "§1-3"]
    first, second, third = musts.musts(TEXT)
    assert first.sentence == "A client MUST do this and MUST NOT do that."
    assert first.of == second.of != third.of
    assert [rule.id for rule in musts.verified(TEXT)] == ["§12.2-v1", "§12.2-v2"]


def entry(**changes: Any) -> musts.Entry:
    good = next(each for each in musts.catalogue() if each.id == "§6.2-2")
    return good._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"where": "tacit.mls.protection:gone"}, "tacit.mls.protection:gone is not there"),
        ({"where": "tacit.gone:open_public"}, "tacit.gone:open_public is not there"),
        ({"by": ("gone",)}, "there is no case gone"),
        ({"by": ()}, "a case, or a legal and an illegal test"),
        ({"by": ("tests/mls/test_musts.py::test_the_page_is_fresh",)}, "a case, or a legal and an illegal test"),
        ({"by": ("tests/mls/test_musts.py::test_gone",) * 2}, "tests/mls/test_musts.py::test_gone is not there"),
        ({"by": ("tests/mls/gone.py::test_gone",) * 2}, "tests/mls/gone.py::test_gone is not there"),
        ({"kind": "taken"}, "a test that it is taken"),
    ],
)
def test_what_an_entry_lacks_is_said(changes: dict[str, object], fault: str) -> None:
    assert f"§6.2-2: {fault}" in musts.faults([entry(**changes)], None)


def test_a_case_of_no_rule_is_said() -> None:
    assert "the case a_truncated_parent_hash is of no rule" in musts.faults([entry()], None)


def test_a_rule_that_moved_or_is_not_classified_is_said() -> None:
    first = musts.musts(TEXT)[0]
    entries = [entry(id="§1-1", of=first.of), entry(id="§1-2"), entry(id="§1-4")]
    found = musts.faults(entries, TEXT)
    assert {each for each in found if each.startswith("§1-")} == {
        "§1-2: the text says something else",
        "§1-3: not classified",
        "§1-4: the text has no such rule",
    }


def test_without_the_text_that_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TACIT_RFC", "/nowhere")
    monkeypatch.setattr("sys.argv", ["musts.py", "--check"])
    assert musts.main() == 0
    assert "TACIT_RFC" in capsys.readouterr().out
