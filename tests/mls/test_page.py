"""The page of the engine: its program runs, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

from tacit.mls import Group, Policy, conformance, limits

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "mls.md").read_text(encoding="utf-8")
NO_SECTION = {"__init__", "limits", "signed_part"}
"""Modules that the table of sections does not have: one helper; the limits are in the page's last sentence."""


def test_its_program_runs() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len([line for line in program.splitlines() if line]) <= 30
    scope: dict[str, object] = {}
    exec(compile(program, "docs/mls.md", "exec"), scope)
    for name, active in (("alice", True), ("bob", True), ("carol", False)):
        group = scope[name]
        assert isinstance(group, Group)
        assert group.is_active == active


def test_its_table_has_every_part_of_a_policy_with_its_default() -> None:
    named = {name: row[1] for row in rows("What the application decides") for name in re.findall(r"`(\w+)`", row[0])}
    there = {name for name in vars(Policy) if not name.startswith("_")}
    assert set(named) - {"Effects"} == there
    numbers = {
        "window": f"{Policy.window.ahead:,} and {Policy.window.behind}",
        "past_epochs": str(Policy.past_epochs),
        "past_seconds": "a week" if Policy.past_seconds == 7 * 24 * 3600 else "?",
        "resumption_epochs": str(Policy.resumption_epochs),
        "lifetime_seconds": f"{Policy.lifetime_seconds // 86400} days",
    }
    for name, default in numbers.items():
        assert default in named[name], name


def test_its_limits_are_those_of_the_decoder() -> None:
    sizes = [limits.LEAVES, limits.MESSAGE_BYTES, limits.CONTENT_BYTES, limits.AAD_BYTES, limits.EXTENSION_BYTES]
    sizes += [limits.EXTENSIONS, limits.GROUP_ID_BYTES, limits.CREDENTIAL_BYTES, limits.CERTIFICATES]
    units = {"": 1, " KiB": 1 << 10, " MiB": 1 << 20}
    said = [cell for row in rows("Limits") for cell in row[1].split("; ")]
    parsed = [re.fullmatch(r"([\d,]+)( .iB)?", each) for each in said]
    assert [int(each[1].replace(",", "")) * units[each[2] or ""] for each in parsed if each] == sizes


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
