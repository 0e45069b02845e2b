"""Print the tables of docs/performance.md on MLS from what `./dev bench mls --json` printed.

./dev bench mls --json > mls.jsonl; .venv/bin/python tools/mls_tables.py mls.jsonl
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

SIZES: Final = (10, 100, 1000, 10_000)
MISSED: Final = ", **missed**"
NATIVE: Final = ("mls-rs", "OpenMLS")
Rows = dict[tuple[str, int, int], list[dict[str, Any]]]


def read(lines: list[str]) -> Rows:
    """The rows by operation, members and suite."""
    found: Rows = defaultdict(list)
    for line in lines:
        row = json.loads(line)
        parts = str(row.get("name", "")).rsplit(", ", 2)
        if len(parts) == 3 and parts[1].endswith(" members"):
            found[
                parts[0], int(parts[1].split()[0].replace(",", "")), int(parts[2].split()[1].split(",")[0], 16)
            ].append(row)
    return found


def names(found: Rows, unit: str) -> list[str]:
    """What was measured in that unit, in the order of the run."""
    return list(dict.fromkeys(name for (name, *_), rows in found.items() if rows and rows[0]["unit"] == unit))


def short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def against(rows: list[dict[str, Any]], peer: str | None) -> dict[str, Any] | None:
    """The row that was held against a peer; the plain one without."""
    plain = None
    for row in rows:
        if row["against"] == peer:
            return row
        plain = plain or row
    return plain if peer is None else None


def cell(rows: list[dict[str, Any]]) -> str:
    """A figure, how many times the floor that is, and whether more was asked."""
    row = against(rows, "floor") or against(rows, None)
    if row is None:
        return ""
    text = short(row["value"]) + (f" ({row['ratio']:.2f})" if row["against"] == "floor" else "")
    return text + (MISSED if row.get("met") is False and row["against"] == "floor" else "")


def asked(rows: Iterable[tuple[int, dict[str, Any] | None]]) -> str:
    """What was asked of figures, and with how many members."""
    limits: dict[str, list[str]] = {}
    for size, row in rows:
        if row and "reach" in row:
            limits.setdefault(row["reach"].replace("<=", "≤"), []).append(f"{size:,}")
    return "; ".join(f"{limit} at {', '.join(sizes)}" for limit, sizes in limits.items())


def table(head: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(["| " + " | ".join(each) + " |" for each in (head, ["---"] * len(head), *lines)]) + "\n"


def natives(found: Rows) -> list[list[str]]:
    """Our time in those of native libraries, from 100 members."""
    lines = []
    for name in names(found, "ms") + names(found, "us"):
        for peer in NATIVE:
            theirs = [against(found[name, size, 1], peer) for size in SIZES[1:]]
            cells = [
                f"{row['ratio']:.2f}" + (MISSED if row.get("met") is False else "") if row else "" for row in theirs
            ]
            if any(cells):
                lines.append([name, peer, *cells, asked(zip(SIZES[1:], theirs, strict=True))])
    return lines


def values(found: Rows, name: str) -> list[str]:
    """A figure of suite 1 at each size."""
    rows = (against(found[name, size, 1], None) for size in SIZES)
    return [short(row["value"]) if row else "" for row in rows]


def rivals(found: Rows) -> list[str]:
    """How many times as long ts-mls takes."""
    rows = ((key, against(rows, "ts-mls")) for key, rows in sorted(found.items()))
    return [
        f"{name}, {size}, {suite:#x}: {1 / row['ratio']:.1f}" + (MISSED if row.get("met") is False else "")
        for (name, size, suite), row in rows
        if row
    ]


def main() -> int:
    """Prints all tables."""
    found = read(
        [line for name in sys.argv[1:] for line in Path(name).read_text().splitlines() if line.startswith("{")]
    )
    sizes = [f"{size:,}" for size in SIZES]
    for suite in (1, 2, 0x53):
        for unit in ("ms", "us"):
            lines = [
                [
                    name,
                    *(cell(found[name, size, suite]) for size in SIZES),
                    asked((size, against(found[name, size, suite], "floor")) for size in SIZES),
                ]
                for name in names(found, unit)
            ]
            print(table([f"{unit} (times the floor), suite {suite:#x}", *sizes, "asked"], lines))
    print(table(["our time / theirs", "", *sizes[1:], "asked"], natives(found)))
    print(table(["bytes, suite 1", *sizes], [[name, *values(found, name)] for name in names(found, "bytes")]))
    print(table(["", *sizes], [[name, *values(found, name)] for name in names(found, "")]))
    print("ts-mls takes so many times as long:", *rivals(found), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
