"""Every attack fails with its guards and succeeds without them; and the harness notices where one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from adversary import __main__ as command
from adversary.attack import Attack
from adversary.attacks import ATTACKS
from adversary.guards import GUARDS
from adversary.harness import lines, play, run_row, unresolved
from adversary.ids import IDS
from tacit.crypto import digest

EQUAL = "tacit.crypto.digest:equal"
ROW = {"X1": {EQUAL: "adversary.stand_ins:yes"}}


@pytest.mark.parametrize("attack_id", sorted(ATTACKS))
def test_an_attack_fails_with_its_guards(attack_id: str, tmp_path: Path) -> None:
    outcome = play(ATTACKS[attack_id], {}, tmp_path / "with")
    assert not outcome.evidence
    assert outcome.code


@pytest.mark.parametrize("attack_id", sorted(ATTACKS))
def test_an_attack_succeeds_without_its_guards(attack_id: str, tmp_path: Path) -> None:
    assert play(ATTACKS[attack_id], GUARDS[attack_id], tmp_path / "without").evidence


LAYERED = [
    (attack_id, guard)
    for attack_id in (
        "MM4.returns",
        "MS17",
        "MS18",
        "MS2",
        "MS3",
        "MS4.plaintext",
        "MS5.server",
        "MS7.replay",
        "MS7.splice",
        "MS19",
    )
    for guard in GUARDS[attack_id]
]


@pytest.mark.parametrize(("attack_id", "guard"), LAYERED)
def test_each_of_several_layers_stops_the_attack_by_itself(attack_id: str, guard: str, tmp_path: Path) -> None:
    others = {name: stand_in for name, stand_in in GUARDS[attack_id].items() if name != guard}
    assert not play(ATTACKS[attack_id], others, tmp_path / "layer").evidence


def test_every_id_has_a_row_and_every_row_an_id() -> None:
    assert sorted(IDS) == sorted(GUARDS) == sorted(ATTACKS)
    assert len(set(IDS)) == len(IDS)


@pytest.mark.parametrize("attack_id", IDS)
def test_every_guard_and_stand_in_resolves(attack_id: str) -> None:
    assert not unresolved(GUARDS[attack_id])
    assert all(guard.startswith("tacit.") for guard in GUARDS[attack_id])
    assert all(stand_in.startswith("adversary.") for stand_in in GUARDS[attack_id].values())


class Guarded(Attack):
    """Succeeds where two different texts are equal."""

    async def run(self) -> None:
        self.code = "" if digest.equal(b"one", b"two") else "not_equal"

    def succeeded(self) -> str:
        return "" if self.code else "they are equal"


class Always(Guarded):
    def succeeded(self) -> str:
        return "whatever is done"


class Never(Guarded):
    def succeeded(self) -> str:
        return ""


class Silent(Guarded):
    async def run(self) -> None:
        await super().run()
        self.equal, self.code = not self.code, ""

    def succeeded(self) -> str:
        return "they are equal" if self.equal else ""


class Broken(Guarded):
    async def run(self) -> None:
        raise KeyError("gone")


def test_a_row_that_is_as_it_must_be() -> None:
    result = run_row("X1", ROW, {"X1": Guarded})
    assert result.wrong == ""
    assert lines([result])[1].split() == ["X1", EQUAL, "not_equal", "they", "are", "equal"]


@pytest.mark.parametrize(
    ("guards", "attacks", "wrong"),
    [
        ({}, {"X1": Guarded}, "it has no row"),
        ({"X1": {}}, {"X1": Guarded}, "it has no row"),
        (ROW, {}, "it has no row"),
        ({"X1": {"tacit.crypto.digest:gone": "adversary.stand_ins:yes"}}, {"X1": Guarded}, "leads nowhere"),
        ({"X1": {EQUAL: "adversary.stand_ins:gone"}}, {"X1": Guarded}, "leads nowhere"),
        (ROW, {"X1": Always}, "it succeeds with its guard"),
        (ROW, {"X1": Never}, "it fails without its guard"),
        (ROW, {"X1": Silent}, "nobody says anything"),
        (ROW, {"X1": Broken}, "it does not play: KeyError"),
    ],
)
def test_the_harness_notices(guards: dict[str, dict[str, str]], attacks: dict[str, type[Attack]], wrong: str) -> None:
    result = run_row("X1", guards, attacks)
    assert wrong in result.wrong
    assert f"WRONG: {result.wrong}" in lines([result])[1]


def test_the_command_fails_where_a_row_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "IDS", ("X1", "X2"))
    monkeypatch.setattr(command, "GUARDS", ROW)
    monkeypatch.setattr(command, "ATTACKS", {"X1": Guarded})
    assert command.main(["X1"]) == 0
    assert command.main([]) == 1
    assert "X2" in capsys.readouterr().out
    assert command.main(["X3"]) == 2
    assert "no such attack: X3" in capsys.readouterr().err
