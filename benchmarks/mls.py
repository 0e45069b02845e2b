"""An MLS group as it grows, against its bare primitives, ts-mls in the same run, and native libraries."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from benchmarks.floors.mls_floor import Floor, counted
from benchmarks.harness import Report
from benchmarks.mls_crowd import Crowd, Threaded, committers
from benchmarks.mls_natives import MLS_RS, OPENMLS, natives
from benchmarks.mls_operations import MANY, Case, Cold, Warm, Weights
from benchmarks.mls_timing import REFERENCE, clocked, seconds_of
from benchmarks.mls_ts import Rival
from tacit.mls.suites import suite_of

NAME = "mls"

SUITES: Final = (1, 2, 0x53)
SIZES: Final = (2, 10, 100, 1000, 10_000)
FLOOR: Final = "floor"
TS_MLS: Final = "ts-mls"
MESSAGES: Final = {"protect": 1.5, "unprotect": 1.4}
"""How many times the floor a message may take."""
OPERATIONS: Final = 1.5
"""How many times the floor the operations may take that no other figure was asked for, from `MANY` members."""
THREADS: Final = 2
SHORT: Final = ("protect", "unprotect", "save after")
"""What takes microseconds."""
ALONE: Final = "create"
"""Founding a group has nothing to do with how many it will have."""
KEPT: Final = 1.5
"""What saving after a message may take of what it takes at `MANY` members."""
STEPS: Final = 6
"""Copied nodes and hashes for each level of the tree."""


class Asked(NamedTuple):
    """A figure against a native library: at most so many times as long."""

    operation: str
    members: int
    library: str
    at_most: float


ASKED: Final = (
    Asked("update processed, cold", 1000, OPENMLS, 1),
    Asked("update processed, warm", 1000, OPENMLS, 1),
    *(Asked(f"update processed, {how}", 10_000, MLS_RS, 1) for how in ("cold", "warm")),
    *(Asked("update made, warm", size, of, 1) for size in (1000, 10_000) for of in (MLS_RS, OPENMLS)),
    *(Asked("add all", 10_000, of, 1) for of in (MLS_RS, OPENMLS)),
    Asked("join cold", 1000, MLS_RS, 2),
)


def run(report: Report) -> None:
    """Every suite at every size; quick: suite 1 up to 100 members, without ts-mls."""
    rival = None if report.quick else Rival()
    suites, sizes = (SUITES[:1], SIZES[:3]) if report.quick else (SUITES, SIZES)
    for suite in suites:
        kept: dict[int, float] = {}
        for size in sizes:
            kept[size] = measure(report, suite, size, rival.seconds_of(suite, size) if rival else {})
        _independent(report, suite, kept)
    report.note(
        "Processor time of one thread; native libraries' figures are of another machine, scaled by pyca's verify."
    )
    report.note(
        "PyPI's rfc9420 1.3.0 has no row: its quickstart does not import, and it never signs a committer's leaf, so"
        " that its own members refuse every update, every removal and every commit without a proposal."
    )


def measure(report: Report, suite: int, size: int, rivals: Mapping[str, float]) -> float:
    """The rows of a group of one size; the seconds of saving after a message."""
    crowd, floor = Crowd(suite_of(suite), size), Floor(suite)
    rounds = report.rounds(15)
    cold = Cold(crowd)
    cases = list(cold.cases())
    seconds = seconds_of(cases, floor, rounds)
    weights = list(cold.weights())
    crowd.warm(committers(size))
    warm = Warm(crowd)
    cases += (later := list(warm.cases()))
    verify = seconds[REFERENCE]
    seconds |= seconds_of(later, floor, rounds)
    weights += warm.weights()
    for case in cases:
        _rows(report, Place(suite, size), case, seconds, rivals, min(verify, seconds[REFERENCE]))
    _sizes(report, Place(suite, size), weights)
    nodes, hashes = warm.update.effort()
    levels = (size - 1).bit_length()
    where = Place(suite, size)
    for what, number in (("tree nodes copied", nodes), ("hashes", hashes)):
        name = where.name(f"{what} by an update processed")
        report.row(name, number, "", ratio=number / (levels + 1), against="levels", at_most=STEPS)
    if size >= MANY:
        _threads(report, where, warm)
    return seconds["save after a message"]


def _threads(report: Report, place: Place, warm: Warm) -> None:
    """Joining by the clock, with signatures checked by one thread and by several."""
    with ThreadPoolExecutor(THREADS) as pool:
        threaded = Threaded(pool)
        alone, together = clocked((warm.join, lambda: warm.join(threaded)), report.rounds(15))
    name = place.name(f"join warm by the clock in {THREADS} threads")
    report.row(name, together * 1e3, "ms", ratio=together / alone, against="1 thread")


class Place(NamedTuple):
    """A suite and a number of members."""

    suite: int
    members: int

    def name(self, operation: str) -> str:
        """A row's name."""
        return f"{operation}, {self.members:,} members, suite {self.suite:#x}"


def _rows(
    report: Report, place: Place, case: Case, seconds: Mapping[str, float], rivals: Mapping[str, float], verify: float
) -> None:
    name, value = place.name(case.name), seconds[case.name]
    unit, scale = ("us", 1e6) if case.name.startswith(SHORT) else ("ms", 1e3)
    bare = seconds.get(f"{case.name}, floor")
    asked = [each for each in ASKED if each[:2] == (case.name, place.members)]
    if bare is not None:
        report.row(f"{name}, primitives alone", bare * scale, unit)
        limit = MESSAGES.get(case.name.partition(" ")[0])
        if limit is None and not asked and place.members >= MANY and case.name != ALONE:
            limit = OPERATIONS
        report.row(name, value * scale, unit, ratio=value / bare, against=FLOOR, at_most=limit)
        if case.steps is not None and place.suite == 1:
            listed = ", ".join(f"{times:,} {what}" for what, times in counted(case.steps).items())
            report.note(f"{case.name}, {place.members:,} members: {listed}")
    else:
        report.row(name, value * scale, unit)
    for native in natives(place.suite, case.name, place.members, verify):
        limit = next((each.at_most for each in asked if each.library == native.library), None)
        report.row(f"{name}, {native.library}", native.seconds * scale, unit)
        report.row(name, value * scale, unit, ratio=value / native.seconds, against=native.library, at_most=limit)
    if (rival := rivals.get(case.name)) is not None:
        report.row(f"{name}, {TS_MLS}", rival * scale, unit)
        limit = 1 / 3 if place.members >= MANY else 1
        report.row(name, value * scale, unit, ratio=value / rival, against=TS_MLS, at_most=limit)


def _sizes(report: Report, place: Place, weights: list[Weights]) -> None:
    for name, size in weights:
        report.row(place.name(name), size, "bytes")


def _independent(report: Report, suite: int, kept: Mapping[int, float]) -> None:
    """Saving after a message takes as long in a large group as in a smaller one."""
    for size, seconds in kept.items():
        if size > MANY:
            name = Place(suite, size).name("save after a message")
            ratio = seconds / kept[MANY]
            report.row(name, seconds * 1e6, "us", ratio=ratio, against=f"{MANY} members", at_most=KEPT)
