"""The benchmark `seal` measures a whole message, and its floor works on as many bytes."""

from __future__ import annotations

import benchmarks.__main__ as command
import pytest
from benchmarks import seal
from benchmarks.floors.seal_floor import STANDARD, primitives
from benchmarks.harness import Report

from tacit import errors
from tacit.conversation.content import TextBody, body_of


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tested here how long anything takes."""
    monkeypatch.setattr(seal, "PASSES", 1)
    monkeypatch.setattr(seal, "BATCH", 2)


def test_the_floor_works_on_the_bytes_of_a_real_message() -> None:
    assert seal.Product().sizes() == STANDARD


def test_what_is_sealed_is_opened_again() -> None:
    product = seal.Product()
    content = product.open()
    assert body_of(content) == TextBody("x" * 100)
    assert content.seen == seal.SEEN
    assert product.seal().message.aad.counter == product.sealed.message.aad.counter + 1


def test_opening_checks_the_signature() -> None:
    product = seal.Product()
    product.sealed = product.sealed._replace(signature=bytes(64))
    with pytest.raises(errors.BadSignature):
        product.open()


@pytest.mark.usefixtures("short")
def test_both_ways_are_held_against_their_primitives() -> None:
    report = Report(quick=True)
    seal.run(report)
    asked = {row.name: row.reach for row in report.rows if row.reach is not None}
    assert asked == {"seal 100 bytes": "<= 2", "open 100 bytes": "<= 2"}
    counted = primitives(1)
    for name, note in zip(("seal", "open"), report.notes, strict=True):
        assert note.startswith(f"{name}: ")
        assert all(f"{times} {what}" in note for what, times in counted[name].items() if times)


def test_a_floor_of_other_sizes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "TEXT", "longer" * 100)
    with pytest.raises(RuntimeError, match="the floor works on"):
        seal.run(Report(quick=True))


@pytest.mark.usefixtures("short")
def test_a_missed_figure_fails_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(seal, "AT_MOST", 1000.0)
    assert command.main(["seal", "--quick"]) == 0
    monkeypatch.setattr(seal, "AT_MOST", 0.01)
    assert command.main(["seal", "--quick"]) == 1
    assert "seal: seal 100 bytes should reach <= 0.01" in capsys.readouterr().err
