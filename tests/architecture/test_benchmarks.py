"""A benchmark's report fails where an asked figure is not met, and rivals are timed in turn."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import benchmarks.__main__ as command
import pytest
from benchmarks.account_opening import Product as Opening
from benchmarks.account_unlocking import Product as Unlocking
from benchmarks.harness import Report, interleave, print_json, print_table

from tacit.signed.profiles import Profile
from tacit.signed.record import Role


def test_rivals_are_timed_in_turn_and_each_starts_a_round() -> None:
    calls: list[str] = []
    cases: dict[str, Callable[[], object]] = {name: lambda name=name: calls.append(name) for name in "abc"}  # type: ignore[misc]
    medians = interleave(cases, 3, batch=1)
    assert "".join(calls) == "abcbcacab"
    assert set(medians) == set("abc")
    assert all(seconds > 0 for seconds in medians.values())


def test_a_short_call_is_timed_in_batches() -> None:
    count = 0

    def call() -> None:
        nonlocal count
        count += 1

    interleave({"call": call}, 3)
    assert count > 1000


@pytest.mark.parametrize(
    ("limits", "ratio", "met"),
    [
        ({"at_least": 0.6}, 0.6, True),
        ({"at_least": 0.6}, 0.59, False),
        ({"at_most": 2.0}, 2.0, True),
        ({"at_most": 2.0}, 2.01, False),
        ({"at_most": 2.0}, float("nan"), False),
        ({}, 9.0, None),
    ],
)
def test_a_figure_is_held_against_its_limit(limits: dict[str, float], ratio: float, met: bool | None) -> None:
    report = Report()
    assert report.row("x", 1.0, "us", ratio=ratio, against="peer", **limits).met is met
    assert bool(report.failed) is (met is False)


def test_a_figure_without_a_ratio_is_held_by_its_value() -> None:
    report = Report()
    assert report.row("x", 3.0, "s", at_most=2.0).met is False


def test_a_ceiling_under_four_fifths_of_its_control_fails() -> None:
    report = Report()
    assert report.ceiling("load", 80.0, "/s", control=100.0).met is True
    assert report.ceiling("load", 79.0, "/s", control=100.0).met is False


def test_json_has_a_line_for_each_row_with_limits_only_where_asked() -> None:
    report = Report()
    report.row("plain", 1.5, "us")
    report.row("asked", 3.0, "us", ratio=1.5, against="floor", at_most=2.0)
    report.note("one HKDF an operation")
    out, notes = io.StringIO(), io.StringIO()
    print_json(report, out, notes)
    plain, asked = map(json.loads, out.getvalue().splitlines())
    assert plain == {"name": "plain", "value": 1.5, "unit": "us", "ratio": None, "against": None}
    assert asked == {
        "name": "asked", "value": 3.0, "unit": "us", "ratio": 1.5, "against": "floor", "reach": "<= 2", "met": True,
    }  # fmt: skip
    assert notes.getvalue() == "one HKDF an operation\n"


def test_the_table_says_no_where_a_figure_is_missed() -> None:
    report = Report()
    report.row("asked", 3.0, "us", ratio=2.5, against="floor", at_most=2.0)
    out = io.StringIO()
    print_table("seal", report, out)
    assert out.getvalue().rstrip().endswith("NO")


def test_the_command_fails_on_a_missed_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slow(report: Report) -> None:
        report.row("x", 9.0, "us", ratio=9.0, against="floor", at_most=2.0)

    def quick(report: Report) -> None:
        report.row("x", 1.0, "us", ratio=1.0, against="floor", at_most=2.0)

    monkeypatch.setattr(command, "discover", lambda: {"slow": slow, "quick": quick})
    assert command.main(["quick"]) == 0
    assert command.main(["slow", "--json"]) == 1
    assert command.main([]) == 1
    assert command.main(["nothing"]) == 2
    assert "slow: x should reach <= 2" in capsys.readouterr().err


def test_every_benchmark_in_the_tree_is_found() -> None:
    assert all(callable(run) for run in command.discover().values())
    assert {"account", "loop", "mls", "seal", "store"} <= command.discover().keys()


def test_unlocking_opens_a_whole_vault() -> None:
    opened = Unlocking(Profile.STANDARD, known=True).unlock()
    assert opened.opened.aik.public == opened.record.aik
    assert len(opened.entries) == 303


@pytest.mark.parametrize("profile", [Profile.STANDARD, Profile.FIPS])
def test_an_opening_grants_to_each_member_under_a_key_of_its_own(profile: Profile) -> None:
    product = Opening(profile, 4)
    first, next_one = product.found(), product.rotate()
    for made in (first, next_one):
        assert [each.grant.recipient for each in made.grants] == [f"user-{number:04}" for number in range(4)]
    assert [change.role for change in first.record.changes].count(Role.ADMIN) == 1
    assert (next_one.record.epoch, next_one.record.changes) == (2, ())
    assert len(set(product.public_keys())) == 4
    assert product.sizes(first).record > product.sizes(next_one).record
