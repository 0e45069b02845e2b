"""How a long form tells what it found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One arm of a harness: what it measured, and whether it came out wrong."""

    name: str
    text: str
    wrong: bool

    def __str__(self) -> str:
        return f"{'WRONG' if self.wrong else 'ok':5} {self.name}: {self.text}"
