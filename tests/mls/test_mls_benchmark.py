"""The benchmark `mls` measures what it says: whole operations, and a floor of as many primitives."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType

import benchmarks.__main__ as command
import pytest
from benchmarks import mls, mls_crowd, mls_operations
from benchmarks.floors.mls_floor import counted
from benchmarks.harness import Report
from benchmarks.mls_crowd import Crowd, committers
from benchmarks.mls_natives import VERIFY, natives
from benchmarks.mls_operations import Case, Cold, Hashes, Messages, Warm, copied

from tacit.mls.group import Group
from tacit.mls.suites import suite_of

SIZE = 11
C_CALLS = {"crypto_sign": "signature", "crypto_sign_open": "verification", "exchange": "HPKE"}


def primitives(call: Callable[[], object]) -> Counter[str]:
    """The calls into libsodium and X25519 within a call."""
    found: Counter[str] = Counter()

    def event(_: FrameType, kind: str, called: object) -> None:
        if kind == "c_call" and (name := C_CALLS.get(getattr(called, "__name__", ""))):
            found[name] += 1

    sys.setprofile(event)
    try:
        call()
    finally:
        sys.setprofile(None)
    return found


@pytest.fixture(scope="module")
def cold() -> list[Case]:
    return list(Cold(Crowd(suite_of(1), SIZE)).cases())


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    crowd = Crowd(suite_of(1), SIZE)
    crowd.warm(committers(SIZE))
    return crowd


def test_the_floor_wraps_and_signs_as_often_as_the_product(cold: list[Case], crowd: Crowd) -> None:
    compared = 0
    for case in (*cold, *Warm(crowd).cases()):
        if case.steps is None:
            continue
        said, done = counted(case.steps), primitives(case.call)
        assert done["HPKE"] == said.get("HPKE seal", 0) + said.get("HPKE open", 0), case.name
        assert done["signature"] == said.get("signature", 0), case.name
        # An own new leaf is verified too, which a floor need not.
        assert 0 <= done["verification"] - said.get("verification", 0) <= ("made" in case.name), case.name
        compared += 1
    assert compared == 16


def test_every_member_of_a_warm_group_can_take_a_commit(crowd: Crowd) -> None:
    made = crowd.update_of(3)
    for number in range(SIZE):
        if number != 3:
            mls_operations.taken(crowd.member(number), made)


def test_a_group_is_warm_when_no_node_above_two_members_is_blank(crowd: Crowd) -> None:
    for subtree in crowd.group.state.epoch.tree.subtrees():
        assert subtree.node is not None or subtree.occupied == 0 or not all(s.occupied for s in subtree.children())
    assert sorted(committers(SIZE)) == list(range(SIZE))
    few = committers(10_000)
    assert len(few) == len(set(few)) < 30
    assert {0, 1, 8192, 9998} <= set(few)


def test_what_an_update_copies_is_the_path(crowd: Crowd) -> None:
    update = Warm(crowd).update
    nodes, hashes = update.effort()
    assert nodes == 5
    assert 9 <= hashes <= 12
    root = crowd.group.state.epoch.tree.root
    assert copied(root, root) == 0


def test_hashes_are_counted() -> None:
    suite = suite_of(1)
    with Hashes() as hashes:
        suite.digest(b"one")
        suite.digest(b"two")
    assert hashes.count == 2


def test_a_message_is_read_as_it_was_sent(crowd: Crowd) -> None:
    messages = Messages(crowd.member(0), crowd.member(SIZE - 1), 100)
    messages.protect()
    messages._text = bytes(99)
    with pytest.raises(RuntimeError, match="not what was sent"):
        messages.unprotect()


def test_members_with_different_epochs_are_noticed(crowd: Crowd) -> None:
    commit, other = crowd.update_of(0), crowd.update_of(0)
    mixed = type(commit)(commit.commit, None, other.transition)
    with pytest.raises(RuntimeError, match="different epochs"):
        mls_operations.taken(crowd.member(1), mixed)


def test_a_group_that_is_kept_is_the_same_when_it_is_loaded(crowd: Crowd) -> None:
    one = crowd.member(2)
    loaded = Group.load(one.records(), mls_crowd.POLICY)
    assert loaded.epoch_authenticator == one.epoch_authenticator


def test_figures_of_another_machine_are_scaled() -> None:
    scaled = [each.seconds for each in natives(1, "join cold", 1000, 2 * VERIFY)]
    assert scaled == pytest.approx([0.084, 0.104])
    assert natives(1, "join cold", 10, VERIFY) == natives(2, "join cold", 1000, VERIFY) == []
    assert natives(0x53, "add all", 10_000, VERIFY) == []


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mls, "SIZES", (2, 3, 100))
    monkeypatch.setattr(mls, "MANY", 3)


def test_each_operation_is_held_against_its_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    report = Report(quick=True)
    mls.run(report)
    names = {row.name for row in report.rows}
    for operation in ("create", "add all", "join warm", "remove made", "update processed, cold", "protect 100 B"):
        assert f"{operation}, 3 members, suite 0x1" in names
        assert f"{operation}, 3 members, suite 0x1, primitives alone" in names
    asked = {row.name: row.reach for row in report.rows if row.reach is not None and row.against == "floor"}
    assert asked["protect 1000 B, 2 members, suite 0x1"] == "<= 1.5"
    assert asked["unprotect 100 B, 100 members, suite 0x1"] == "<= 1.4"
    assert asked["add all, 100 members, suite 0x1"] == "<= 1.5"
    assert "add all, 2 members, suite 0x1" not in asked
    assert "join warm by the clock in 2 threads, 100 members, suite 0x1" in names
    kept = [row for row in report.rows if row.against == "3 members"]
    assert [row.reach for row in kept] == ["<= 1.5"]
    assert {row.against for row in report.rows} >= {"mls-rs", "OpenMLS", "levels"}
    assert all(row.value > 0 for row in report.rows)
    assert "update made, warm, 100 members: 8 key pair" in "\n".join(report.notes)


def test_a_missed_figure_fails_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(mls, "SIZES", (2,))
    monkeypatch.setattr(mls, "STEPS", 1000)
    monkeypatch.setattr(mls, "MESSAGES", {"protect": 1000.0, "unprotect": 1000.0})
    assert command.main(["mls", "--quick"]) == 0
    monkeypatch.setattr(mls, "MESSAGES", {"protect": 0.01})
    assert command.main(["mls", "--quick"]) == 1
    assert "mls: protect 100 B, 2 members, suite 0x1 should reach <= 0.01" in capsys.readouterr().err
