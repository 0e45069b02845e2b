"""ts-mls as a rival of the benchmark `mls`: it takes part as far as it comes."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from benchmarks import mls, mls_ts
from benchmarks.harness import Report
from benchmarks.mls_ts import Rival, run

from interop.install import Node, Unavailable


def test_it_does_all_that_is_measured_of_us(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mls_ts, "ENOUGH", 0)
    monkeypatch.setattr(mls, "SUITES", (1,))
    monkeypatch.setattr(mls, "SIZES", (3,))
    monkeypatch.setattr(mls, "MANY", 3)
    report = Report()
    monkeypatch.setattr(report, "rounds", lambda _: 1)
    mls.run(report)
    held = {row.name.partition(",")[0] for row in report.rows if row.against == "ts-mls"}
    assert held == {
        "create", "add all", "join cold", "join warm", "add 1 made", "add 1 processed", "update made",
        "update processed", "remove made", "remove processed", "save all", "load",
        "protect 100 B", "unprotect 100 B", "protect 1000 B", "unprotect 1000 B",
    }  # fmt: skip
    assert not [note for note in report.notes if note.startswith("ts-mls")]


def test_what_was_done_in_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run([sys.executable, "-c", "print('one'); raise ValueError('x')"], 60) == (["one"], "failed: ValueError: x")
    assert run([sys.executable, "-c", "print('one')"], 60) == (["one"], "")

    def slow(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 2, output=b"one\ntw")

    monkeypatch.setattr(subprocess, "run", slow)
    assert run(["slow"], 2) == (["one"], "not done in 2 s")


def test_where_it_stopped_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        mls_ts, "_installation", lambda: SimpleNamespace(ready=lambda: Node(("node",), ()), Unavailable=Unavailable)
    )
    monkeypatch.setattr(mls_ts, "run", lambda *_: (['{"operation": "create", "ms": 2}'], "not done in 120 s"))
    rival = Rival()
    assert rival.seconds_of(1, 1000) == {"create": 0.002}
    assert rival.missing == ["ts-mls, 1,000 members, suite 0x1: not done in 120 s, after 1 operations"]
    assert rival.seconds_of(1, 10_000) == {}
    assert rival.missing[1:] == ["ts-mls, 10,000 members, suite 0x1: left out, a smaller group took too long"]
    monkeypatch.setattr(mls_ts, "run", lambda *_: (['{"operation": "create", "ms": 2}'], "failed: Error"))
    assert rival.seconds_of(2, 10) == {"create": 0.002}
    assert rival.seconds_of(2, 100) == {"create": 0.002}


def test_without_node_there_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Node:
        raise Unavailable("there is no Node")

    monkeypatch.setattr(mls_ts, "_installation", lambda: SimpleNamespace(ready=missing, Unavailable=Unavailable))
    rival = Rival()
    assert rival.seconds_of(1, 10) == {}
    assert rival.missing == ["ts-mls has no rows: there is no Node"]
