"""What every benchmark needs: fair timing of rivals, and a report that knows which figures were asked for.

A benchmark is a module beside this one with

    NAME = "seal"

    def run(report: Report) -> None: ...

It adds rows to the report. A row may carry a figure that was asked for (`at_least` or `at_most`, compared with
the row's ratio, or with its value when it has no ratio); one that is not met fails the run.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

CEILING = 0.8
"""A ceiling below this share of its control says that the load generator, not the product, was measured."""

SHORTEST_BATCH = 0.002
"""Seconds that one timed batch lasts at the least, so that the timer's own cost does not count."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One measured figure, `value` in `unit`, and what it was held against."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    against: str | None = None
    reach: str | None = None
    met: bool | None = None

    def as_json(self) -> str:
        """The row as one line of JSON; `reach` and `met` only where a figure was asked for."""
        fields = dataclasses.asdict(self)
        if self.reach is None:
            del fields["reach"], fields["met"]
        return json.dumps(fields)


class Report:
    """The rows of one benchmark and the remarks that explain them."""

    def __init__(self, *, quick: bool = False) -> None:
        self.quick = quick
        self.rows: list[Row] = []
        self.notes: list[str] = []

    def rounds(self, count: int) -> int:
        """`count`, or a fifth of it (at least 3) in a quick run."""
        return max(3, count // 5) if self.quick else count

    def row(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        ratio: float | None = None,
        against: str | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> Row:
        """Adds a figure; give one of `at_least` and `at_most` where one was asked for."""
        if at_least is not None and at_most is not None:
            raise ValueError("a row has one limit")
        figure = value if ratio is None else ratio
        reach: str | None = None
        met: bool | None = None
        if at_least is not None:
            reach, met = f">= {at_least:g}", math.isfinite(figure) and figure >= at_least
        elif at_most is not None:
            reach, met = f"<= {at_most:g}", math.isfinite(figure) and figure <= at_most
        row = Row(name, value, unit, ratio, against, reach, met)
        self.rows.append(row)
        return row

    def ceiling(self, name: str, value: float, unit: str, *, control: float, against: str = "control") -> Row:
        """Adds the most that the load generator can do; it fails under 80% of its control."""
        return self.row(name, value, unit, ratio=value / control, against=against, at_least=CEILING)

    def note(self, text: str) -> None:
        """Adds a remark, such as how often an operation uses each primitive."""
        self.notes.append(text)

    @property
    def failed(self) -> list[Row]:
        """The rows whose asked figure is not met."""
        return [row for row in self.rows if row.met is False]


def interleave(cases: Mapping[str, Callable[[], object]], rounds: int, *, batch: int | None = None) -> dict[str, float]:
    """The median seconds of one call of each case.

    Every round runs all cases, each time starting with another one, so that a slow moment of the machine meets
    them all alike. A case is called `batch` times in a row; without it, often enough for a batch to last 2 ms.
    """
    if not cases:
        raise ValueError("nothing to measure")
    batches = {name: batch or _batch_of(call) for name, call in cases.items()}
    samples: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(rounds):
            start = turn % len(names)
            for name in names[start:] + names[:start]:
                samples[name].append(_seconds(cases[name], batches[name]))
            gc.collect()
    finally:
        if collecting:
            gc.enable()
    return {name: statistics.median(times) for name, times in samples.items()}


def _seconds(call: Callable[[], object], batch: int) -> float:
    started = time.perf_counter()
    for _ in range(batch):
        call()
    return (time.perf_counter() - started) / batch


def _batch_of(call: Callable[[], object]) -> int:
    batch = 1
    call()
    while _seconds(call, batch) * batch < SHORTEST_BATCH:
        batch *= 2
    return batch


def machine() -> str:
    """What the figures were measured on."""
    return f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"


def figure(value: float) -> str:
    """A number with about three digits that mean something."""
    if value and abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}"


def print_table(title: str, report: Report, out: TextIO) -> None:
    """The report for a person."""
    heads = ("name", "value", "unit", "ratio", "against", "reach", "met")
    lines: list[tuple[str, ...]] = [heads]
    for row in report.rows:
        lines.append(
            (
                row.name,
                figure(row.value),
                row.unit,
                "" if row.ratio is None else f"{row.ratio:.2f}",
                row.against or "",
                row.reach or "",
                "" if row.met is None else ("yes" if row.met else "NO"),
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    print(f"\n{title}", file=out)
    for line in lines:
        cells = (
            cell.rjust(width) if column in (1, 3) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  " + "  ".join(cells).rstrip(), file=out)
    for note in report.notes:
        print(f"  {note}", file=out)


def print_json(report: Report, out: TextIO, notes: TextIO = sys.stderr) -> None:
    """The report for a program, one object a line; the remarks go elsewhere."""
    for row in report.rows:
        print(row.as_json(), file=out, flush=True)
    for note in report.notes:
        print(note, file=notes)
