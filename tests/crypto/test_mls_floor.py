"""The floor under the benchmark `mls` is made of primitives alone, as many as it says."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.floors import mls_floor
from benchmarks.floors.mls_floor import OPERATIONS, SUITES, Floor, Shape, Step, counted, removing, work

SOURCE = Path(mls_floor.__file__)


def test_it_imports_nothing_of_ours() -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names == {
        "__future__", "collections", "cryptography", "hashlib", "hmac", "nacl", "os", "time", "typing",
    }  # fmt: skip


@pytest.mark.parametrize("suite", SUITES)
def test_it_calls_each_primitive_as_often_as_it_says(suite: int, monkeypatch: pytest.MonkeyPatch) -> None:
    called: Counter[str] = Counter()
    real = Floor._call

    def counting(self: Floor, step: Step):  # type: ignore[no-untyped-def]
        call = real(self, step)

        def once() -> object:
            called[step.primitive] += 1
            return call()

        return once

    monkeypatch.setattr(Floor, "_call", counting)
    floor = Floor(suite)
    for operation in OPERATIONS:
        called.clear()
        steps = work(operation, 5)
        floor.prepared(steps)()
        assert called == counted(steps), operation
        assert called


def test_the_counts_grow_as_the_group_does() -> None:
    for size, levels in ((2, 1), (3, 2), (10, 4), (1000, 10), (10_000, 14)):
        assert Shape.of(size).levels == levels
        adding = counted(work("add all", size))
        assert (adding["verification"], adding["HPKE seal"]) == (2 * (size - 1), size - 1)
        assert counted(work("join cold", size))["verification"] == size + 1
        assert counted(work("update made, cold", size))["HPKE seal"] == size - 1
        assert counted(work("update made, warm", size))["HPKE seal"] == levels
        assert counted(work("update processed, warm", size))["hash"] == 2 * levels + 3
    assert [removing(size) for size in (2, 10, 16)] == [0, 4, 6]


def test_what_it_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="no operation"):
        work("knit", 10)


def test_it_runs_by_itself() -> None:
    done = subprocess.run([sys.executable, str(SOURCE)], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(SUITES) * len(OPERATIONS)
    assert "suite 0x0001, unprotect" in done.stdout
