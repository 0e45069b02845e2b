"""The page of the engine: its program runs, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

from tacit.mls import conformance

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "mls.md").read_text(encoding="utf-8")
NO_SECTION = {"__init__", "limits", "signed_part"}
"""Modules that the table of sections does not have: one helper; the limits are in the page's last sentence."""


def test_its_program_runs() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    scope: dict[str, object] = {}
    exec(compile(program, "docs/mls.md", "exec"), scope)
    assert "bob" in scope


def rows(heading: str) -> list[list[str]]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_module_stands_at_its_section() -> None:
    named = {name for row in rows("Where the RFC's sections are") for name in re.findall(r"`(\w+)`", row[1])}
    there = {path.stem for path in (ROOT / "src" / "tacit" / "mls").glob("*.py")}
    helpers = {name for name in there if name.startswith("conformance")}
    assert named == there - NO_SECTION - helpers


def test_every_format_of_vectors_has_its_line() -> None:
    named = {re.findall(r"`([\w-]+)`", row[0])[0] for row in rows("Conformance")}
    assert {name.replace("passive-client-welcome", "passive-client") for name in named} == set(conformance.FORMATS)
