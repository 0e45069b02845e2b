"""The ledger of vectors that a door refuses on purpose: refused.json.

An entry has the file, the flag (the flags of Wycheproof's case, or what in HPKE's case is refused), the reason and how
many there are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).with_name("refused.json")


class Refusal(NamedTuple):
    """Why a case was refused."""

    flag: str
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """How many cases of a file with this flag are refused for this reason."""

    file: str
    flag: str
    reason: str
    count: int


def entries() -> list[Entry]:
    """The whole ledger; fails for an entry with another form."""
    loaded = json.loads(PATH.read_text(encoding="utf-8"))
    assert isinstance(loaded, list)
    found = [Entry(**entry) for entry in loaded]
    assert all(entry.reason and entry.count > 0 for entry in found)
    assert len({(entry.file, entry.flag, entry.reason) for entry in found}) == len(found), (
        "one line for a flag and its reason"
    )
    return found


def differences(file: str, refused: Iterable[Refusal]) -> list[str]:
    """What is missing in the ledger for this file, unused in it, or there with another count."""
    written = {Refusal(entry.flag, entry.reason): entry.count for entry in entries() if entry.file == file}
    seen = Counter(refused)
    return [
        f"refused.json: {file}, {each.flag or 'no flag'}, {each.reason}: "
        f"{written.get(each, 0)} written, {seen.get(each, 0)} refused"
        for each in sorted({*written, *seen})
        if written.get(each, 0) != seen.get(each, 0)
    ]


def settle(file: str, refused: Iterable[Refusal]) -> None:
    """Fails unless exactly these refusals are written down for the file, each as often."""
    found = differences(file, refused)
    assert not found, "\n".join(found)
