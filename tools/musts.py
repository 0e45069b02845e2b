"""Every MUST of RFC 9420 by number, and what the engine makes of it: checks tests/mls/musts.toml, writes the page.

`--check` says what is wrong; `--list` prints the rules of the text with their fingerprints. The text is not ours to
keep here: `TACIT_RFC` names it, else it is ../shared/rfc/rfc9420.txt beside the checkout.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

CATALOGUE: Final = ROOT / "tests" / "mls" / "musts.toml"
PAGE: Final = ROOT / "docs" / "mls-conformance.md"

_KEYWORD: Final = re.compile(r"\b(MUST NOT|MUST|SHALL NOT|SHALL|REQUIRED)\b")
_HEADING: Final = re.compile(r"(\d+(?:\.\d+)*|Appendix [A-Z])\.  \S")
_BULLET: Final = re.compile(r"(\*|-|o|\d+\.)  +")
_VERIFY: Final = re.compile(r"\b[Vv]erif(y|ies)\b|\b[Vv]alidate\b|return an error")
_LISTS: Final = ("§12.1.4", "§12.2")
"""Sections of which every bullet is a rule; of the others those that say to verify something."""
_VERIFIED: Final = ("§7.3", "§10.1", "§12.1.4", "§12.2", "§12.4.2", "§12.4.3.1")
_INVALID: Final = re.compile(r"§12\.1\.[1-8]$")
"""Sections in which a sentence says when a proposal is invalid."""


class Rule(NamedTuple):
    """A rule of the text: its number, and a fingerprint of the sentence that it stands in."""

    id: str
    of: str
    sentence: str


def rfc() -> str | None:
    """The text of RFC 9420, where it is."""
    named = os.environ.get("TACIT_RFC")
    path = Path(named) if named else ROOT.parent / "shared" / "rfc" / "rfc9420.txt"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def paragraphs(text: str) -> Iterator[tuple[str, bool, str]]:
    """Each paragraph on one line, with its section and whether it is of a list; none of the contents."""
    section, lines = "", list[str]()
    for line in [*text.splitlines(), ""]:
        heading = _HEADING.match(line)
        if heading:
            section = "§" + heading[1]
        if line.strip() and not heading:
            lines.append(line)
            continue
        if lines and section and not any('"MUST"' in each for each in lines):
            joined = re.sub(r"(?<=\w)- (?=\w)", "-", " ".join(each.strip() for each in lines))
            bullet = _BULLET.match(joined)
            yield section, bullet is not None, joined[bullet.end() :] if bullet else joined
        lines = []


def sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph; an abbreviation does not end one."""
    return re.split(r"(?<=[.:?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z(])", paragraph)


def _fingerprint(sentence: str) -> str:
    return hashlib.sha256(" ".join(sentence.split()).encode()).hexdigest()[:8]


def musts(text: str) -> list[Rule]:
    """Every key word of obligation by section and order; one sentence can have several."""
    found, count = list[Rule](), Counter[str]()
    for section, _, paragraph in paragraphs(text):
        for sentence in sentences(paragraph):
            for _match in _KEYWORD.finditer(sentence):
                count[section] += 1
                found.append(Rule(f"{section}-{count[section]}", _fingerprint(sentence), sentence))
    return found


def verified(text: str) -> list[Rule]:
    """What is to be verified without a MUST, in the sections that say what is valid: `§12.2-v3`."""
    found, count = list[Rule](), Counter[str]()
    for section, bullet, paragraph in paragraphs(text):
        if _INVALID.match(section) and not bullet:
            chosen = [each for each in sentences(paragraph) if "invalid" in each and not _KEYWORD.search(each)]
        elif section in _VERIFIED and bullet and (section in _LISTS or _VERIFY.search(paragraph)):
            chosen = [paragraph]
        else:
            continue
        for each in chosen:
            count[section] += 1
            found.append(Rule(f"{section}-v{count[section]}", _fingerprint(each), each))
    return found


# --- the catalogue -----------------------------------------------------------------------

CLASSES: Final = ("enforced", "taken", "sender", "not_applicable")


class Entry(NamedTuple):
    """What the catalogue says of a rule: its class, the function or the reason, and by what it is shown."""

    id: str
    of: str
    asks: str
    kind: str
    where: str
    by: tuple[str, ...]


def catalogue() -> list[Entry]:
    """The catalogue in its order; raises `KeyError` and `ValueError` for an entry of another form."""
    found = []
    for name, entry in tomllib.loads(CATALOGUE.read_text(encoding="utf-8")).items():
        (kind,) = set(CLASSES) & set(entry)
        found.append(Entry(name, entry["of"], entry["asks"], kind, entry[kind], tuple(entry.get("by", ()))))
    return found


def cases() -> dict[str, Any]:
    """The cases of tests/mls/illegal, each a legal and an illegal test."""
    found: dict[str, Any] = importlib.import_module("mls.illegal.every").CASES
    return found


def _tests_of(file: str) -> set[str]:
    path = ROOT / file
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}


def _leads_nowhere(where: str) -> bool:
    module, _, path = where.partition(":")
    try:
        holder: Any = importlib.import_module(module)
        for name in path.split("."):
            holder = getattr(holder, name)
    except (ImportError, AttributeError):
        return True
    return False


def faults(entries: list[Entry], text: str | None) -> list[str]:
    """What is wrong with the catalogue, by itself and, where that is here, beside the text: one line each."""
    known, found = cases(), list[str]()
    for each in entries:
        if each.kind != "not_applicable" and _leads_nowhere(each.where):
            found.append(f"{each.id}: {each.where} is not there")
        named = [by for by in each.by if "::" in by]
        found += [f"{each.id}: there is no case {by}" for by in each.by if by not in known and by not in named]
        found += [
            f"{each.id}: {by} is not there" for by in named if by.split("::")[1] not in _tests_of(by.split("::")[0])
        ]
        if each.kind == "enforced" and len(each.by) - len(named) < 1 and len(named) != 2:
            found.append(f"{each.id}: a case, or a legal and an illegal test")
        if each.kind == "taken" and not named:
            found.append(f"{each.id}: a test that it is taken")
    shown = {by for each in entries for by in each.by}
    found += [f"the case {name} is of no rule" for name in known if name not in shown]
    if text is not None:
        rules = {rule.id: rule.of for rule in (*musts(text), *verified(text))}
        listed = {each.id: each.of for each in entries}
        found += [f"{name}: not classified" for name in rules if name not in listed]
        found += [f"{name}: the text has no such rule" for name in listed if name not in rules]
        found += [
            f"{name}: the text says something else" for name in rules if listed.get(name, rules[name]) != rules[name]
        ]
    return found


# --- the page ----------------------------------------------------------------------------

HEAD: Final = """\
# What RFC 9420 asks, and where it is

Every MUST and MUST NOT of [RFC 9420](https://www.rfc-editor.org/rfc/rfc9420) by its section and its number there, and
what its sections on validity say to verify without a MUST (with a v). The few words are ours; what counts is the text.
This page is made from `tests/mls/musts.toml` by `tools/musts.py`, which also finds a rule that is not classified.

A rule is *enforced* where a function refuses what breaks it. Each case named beside it runs three times: something
legal is taken; the same with one thing wrong, made by a member with real keys and signed, MACed and encrypted again, is
refused by that check and changes nothing; and once the check is taken out of the code, it is accepted. Where two checks
stand for one rule both are taken out; where what follows needs what the check asked for (a key, a place in the tree),
something is put in its place, or the third run is left out. *Taken* is what must not be refused. By the *sender* means
that the engine does it when it makes or keeps something. What is *not applicable* is the application's, which has to
see to it, or that of future standards.

"""
_TITLES: Final = {"enforced": "enforced", "taken": "taken", "sender": "sender", "not_applicable": "not applicable"}


def counts(entries: list[Entry]) -> str:
    """How many rules of each class, with a MUST and without, and how many cases."""
    lines = ["| | MUST | to verify |", "|---|---|---|"]
    for kind in CLASSES:
        split = Counter("-v" in each.id for each in entries if each.kind == kind)
        lines.append(f"| {_TITLES[kind]} | {split[False]} | {split[True]} |")
    split = Counter("-v" in each.id for each in entries)
    lines.append(f"| all | {split[False]} | {split[True]} |")
    final = sum(bool(each.final) for each in cases().values())
    return "\n".join(lines) + f"\n\n{len(cases())} cases, {final} of them where nothing goes on without the check.\n"


def page(entries: list[Entry]) -> str:
    """The whole page."""
    lines = [
        HEAD + counts(entries),
        "## Rules\n",
        "| rule | what it asks | | where, or why not | cases |",
        "|---|---|---|---|---|",
    ]
    for each in entries:
        where = each.where if each.kind == "not_applicable" else f"`{each.where.removeprefix('tacit.')}`"
        shown = ", ".join(by.split("::")[-1].removeprefix("test_").replace("_", " ") for by in each.by)
        lines.append(f"| {each.id} | {each.asks} | {_TITLES[each.kind]} | {where} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, check catalogue and page, or list the rules."""
    text = rfc()
    if "--list" in sys.argv[1:]:
        print("\n".join(f"{rule.id}  {rule.of}" for rule in (*musts(text or ""), *verified(text or ""))))
        return 0
    entries = catalogue()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(entries), encoding="utf-8")
        return 0
    found = faults(entries, text)
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page(entries):
        found.append("docs/mls-conformance.md is not what the catalogue says: .venv/bin/python tools/musts.py")
    kinds = Counter(each.kind for each in entries)
    said = ", ".join(f"{kinds[kind]} {_TITLES[kind]}" for kind in CLASSES)
    beside = (
        "" if text is not None else "; the text of RFC 9420 is not here (TACIT_RFC), so only the catalogue was checked"
    )
    print("\n".join(found) or f"{len(entries)} rules: {said}; {len(cases())} cases{beside}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
