"""Plays every attack twice, with its guards and without them, and says what does not come out as it must."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from traceback import format_exception

from adversary.attack import Attack
from adversary.bending import bent, resolve

log = logging.getLogger("adversary")

SECONDS = 60
"""What a play takes at the most, on a busy machine; a few are usual."""

Guards = Mapping[str, Mapping[str, str]]
Attacks = Mapping[str, type[Attack]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one play ended: what the victim reported, and what the attacker has (nothing: the empty text)."""

    code: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Result:
    """One row: the guards, both plays, and what is wrong with it (nothing: the empty text)."""

    id: str
    guards: tuple[str, ...]
    guarded: Outcome | None = None
    bare: Outcome | None = None
    wrong: str = ""


class BrokenError(Exception):
    """An attack ended with an error of its own: that shows nothing."""


def play(attack: type[Attack], removed: Mapping[str, str], folder: Path) -> Outcome:
    """One play in a folder of its own, without these guards; raises `BrokenError` for one that does not play."""
    folder.mkdir()
    with bent(removed):
        played = attack(folder, removed)
        try:
            asyncio.run(asyncio.wait_for(played.run(), SECONDS))
        except Exception as error:  # whatever it is: an attack that did not come to its end shows nothing
            raise BrokenError(f"it does not play: {type(error).__name__}: {error}") from error
        return Outcome(played.code, played.succeeded())


def unresolved(guards: Mapping[str, str]) -> str:
    """Which guard or stand-in leads nowhere."""
    for name in [*guards, *guards.values()]:
        try:
            resolve(name)
        except LookupError as error:
            return str(error)
    return ""


def run_row(attack_id: str, guards: Guards, attacks: Attacks) -> Result:
    """Both plays of one attack, or why there is none."""
    row = guards.get(attack_id)
    attack = attacks.get(attack_id)
    if not row or attack is None:
        return Result(attack_id, (), wrong="it has no row")
    names = tuple(row)
    if wrong := unresolved(row):
        return Result(attack_id, names, wrong=wrong)
    guarded = bare = None
    with TemporaryDirectory(prefix="tacit-") as folder:
        try:
            guarded = play(attack, {}, Path(folder, "with"))
            bare = play(attack, row, Path(folder, "without"))
        except BrokenError as error:
            log.error("%s %s\n%s", attack_id, error, "".join(format_exception(error.__cause__, limit=-4)))
            return Result(attack_id, names, guarded, bare, str(error))
    return Result(attack_id, names, guarded, bare, verdict(guarded, bare))


def verdict(guarded: Outcome, bare: Outcome) -> str:
    """What is wrong with two plays, or the empty text."""
    if guarded.evidence:
        return "it succeeds with its guard"
    if not guarded.code:
        return "with its guard nobody says anything"
    return "" if bare.evidence else "it fails without its guard, so that nothing was shown"


def lines(results: Iterable[Result]) -> list[str]:
    """An aligned table: id, guard, with, without. A further guard of one row has a line of its own."""
    table = [("id", "guard", "with", "without")]
    for each in results:
        guarded = (each.guarded.evidence or each.guarded.code or "nothing") if each.guarded else ""
        bare = (each.bare.evidence or "nothing") if each.bare else ""
        first, *more = each.guards or ("",)
        table.append((each.id, first, guarded, f"WRONG: {each.wrong}" if each.wrong else bare))
        table.extend(("", guard, "", "") for guard in more)
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in table
    ]
