"""What a power cut leaves of what was acknowledged: everything, and only as the store is set up."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from faults.cuts import (
    DATABASE,
    TellsTooEarly,
    copied,
    cut,
    judge_copy,
    judge_store,
    written,
)
from faults.disk import (
    Delete,
    Held,
    Inode,
    Sync,
    SyncFolder,
    Truncate,
    Write,
    after_cut,
    applied,
    by_chance,
    nothing,
    sectors,
)
from tacit.wire import limits

ROUNDS = 30


def test_what_is_acknowledged_is_there_after_every_cut(tmp_path: Path) -> None:
    disk = written(tmp_path, ROUNDS)
    assert any(isinstance(step, Sync) and step.file == DATABASE for step in disk.steps[50:-50])  # checkpoints
    outcome = cut(disk, judge_store, extra=60, seeds=2)
    assert outcome.cuts > 500
    assert (outcome.lost, outcome.unsound) == (0, 0), outcome.examples


@pytest.mark.parametrize("weaker", ["NORMAL", "OFF"])
def test_with_a_weaker_setting_it_is_not(tmp_path: Path, weaker: str) -> None:
    outcome = cut(written(tmp_path, ROUNDS, weaker=weaker), judge_store, extra=60, seeds=1)
    assert outcome.lost > 20
    assert (outcome.unsound > 0) == (weaker == "OFF"), outcome.examples


def test_on_a_disk_that_lies_it_is_not(tmp_path: Path) -> None:
    outcome = cut(written(tmp_path, ROUNDS, honest=False), judge_store, extra=60, seeds=1)
    assert outcome.lost > 20


def test_told_before_the_commit_it_is_not(tmp_path: Path) -> None:
    outcome = cut(written(tmp_path, ROUNDS, make=TellsTooEarly), judge_store, extra=200, seeds=1)
    assert outcome.lost > 0
    assert outcome.unsound == 0, outcome.examples


@pytest.mark.parametrize("restored", [False, True], ids=["backup", "restore"])
def test_a_copy_has_its_name_only_when_it_is_whole(tmp_path: Path, restored: bool) -> None:
    written(tmp_path, ROUNDS)
    disk, rows = copied(tmp_path / DATABASE, restored=restored)
    judge = judge_copy(rows, limits.LOST_PLACES if restored else 0)
    outcome = cut(disk, judge, extra=60, seeds=2)
    assert outcome.cuts > 50
    assert (outcome.lost, outcome.unsound) == (0, 0), outcome.examples
    assert len(rows) > ROUNDS


def test_a_copy_that_is_not_synced_has_it_too_early(tmp_path: Path) -> None:
    written(tmp_path, ROUNDS)
    disk, rows = copied(tmp_path / DATABASE, restored=False, weaker="OFF")
    outcome = cut(disk, judge_copy(rows, 0), extra=60, seeds=2)
    assert outcome.unsound > 0


# --- the disk itself ---------------------------------------------------------------------


def test_a_torn_write_is_torn_at_the_edge_of_a_sector() -> None:
    write = Write("f", 500, bytes(range(256)) * 4)
    parts = list(sectors(write))
    assert [(each.offset, len(each.data)) for each in parts] == [(500, 12), (512, 512), (1024, 500)]
    assert applied(b"", [*parts]) == applied(b"", [write])


def test_what_nobody_wrote_between_is_zero() -> None:
    assert applied(b"abc", [Write("f", 5, b"f")]) == b"abc\0\0f"
    assert applied(b"abc", [Truncate("f", 1), Write("f", 2, b"c")]) == b"a\0c"
    assert applied(b"abc", [Truncate("f", 5)]) == b"abc\0\0"


def test_what_is_synced_stays_and_what_is_not_may_go() -> None:
    held = Held()
    for step in (Write("f", 0, b"one"), Sync("f")):
        held.take(step)
    assert after_cut(held, nothing, lambda _: False) == {}
    for later in (SyncFolder(), Write("f", 3, b"two"), Write("g", 0, b"new")):
        held.take(later)
    assert after_cut(held, nothing, lambda _: False) == {"f": b"one"}
    assert after_cut(held, lambda step: [step], lambda _: True) == {"f": b"onetwo", "g": b"new"}
    held.take(Delete("f", False))
    assert after_cut(held, nothing, lambda _: False) == {"f": b"one"}
    held.take(Delete("f", True))
    assert after_cut(held, nothing, lambda _: False) == {}


def test_by_chance_a_later_write_is_there_without_an_earlier_one() -> None:
    inode = Inode(b"\0\0", [Write("f", 0, b"1"), Write("f", 1, b"2")])
    held = Held({"f": inode}, {"f": inode})
    found = {after_cut(held, by_chance(random.Random(seed)), lambda _: True)["f"] for seed in range(100)}
    assert found == {b"\0\0", b"1\0", b"\x002", b"12"}


def test_the_weaker_settings_are_not_the_product_s(tmp_path: Path) -> None:
    """What the control arms set is what makes the difference."""
    from tacit.server.store.sqlite import connect

    connection = connect(tmp_path / "chat.db")
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert isinstance(connection, sqlite3.Connection)
    connection.close()
