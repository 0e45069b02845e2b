"""Short walks, and that what goes wrong in one is noticed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

import interop.__main__ as command
from interop.company import Company, Diverged
from interop.install import Node
from interop.peer import Peer, TsPerson
from interop.person import Received, View
from interop.persons import SUITES, founder_of, suite_of, walk
from interop.walk import AT_LEAST, lacking


@pytest.mark.parametrize("seed", range(len(SUITES)))
def test_a_short_walk(node: Node, seed: int) -> None:
    done = walk(node, seed, 12)
    assert done["steps"] == 12
    assert done[f"groups founded by {founder_of(seed)}"] == 1
    assert done["epochs"] == done["commits by ts-mls"] + done["commits by tacit"] > 0


def test_the_same_seed_takes_the_same_steps(node: Node) -> None:
    first, second, other = (walk(node, seed, 8) for seed in (4, 4, 8))
    assert first == second != other


class Bent(TsPerson):
    """A ts-mls member that tells something wrong of what it sees."""

    bend = ""

    def view(self) -> View:
        seen = super().view()
        match self.bend:
            case "authenticator":
                return replace(seen, authenticator=bytes(32))
            case "epoch":
                return replace(seen, epoch=seen.epoch + 1)
            case "members":
                return replace(seen, members=seen.members[1:])
            case "leaves":
                return replace(seen, members=tuple((leaf + 1, name) for leaf, name in seen.members))
        return seen

    def receive(self, message: bytes) -> Received:
        if self.bend == "reads on":
            return Received("application", "alice", 0)
        was = super().receive(message)
        match self.bend:
            case "content":
                return replace(was, data=was.data + b".")
            case "aad":
                return replace(was, aad=was.aad + b".")
            case "sender":
                return replace(was, sender="mallory")
            case "removal":
                return replace(was, removed=False)
        return was

    def export(self, label: str, context: bytes, length: int) -> bytes:
        return super().export(label, self.bend.encode(), length)


def three(peer: Peer) -> tuple[Company, list[Bent]]:
    """Alice's group, which bob and carol have been added to."""
    persons = [Bent(peer, name, 1) for name in ("alice", "bob", "carol")]
    company = Company(persons, Random(3))
    founder = next(seat for seat in company.seats.values() if seat.inside)
    others = [seat for seat in company.seats.values() if seat is not founder]
    assert company.hand_in(company.attempt(founder, others))
    return company, [company.seats[seat.name].person for seat in (founder, *others)]  # type: ignore[misc]


@pytest.mark.parametrize(
    "bend", ["authenticator", "epoch", "members", "leaves", "content", "aad", "sender", "removal", "export", "reads on"]
)
def test_what_diverges_is_noticed(node: Node, bend: str) -> None:
    with Peer(node) as peer:
        company, (founder, bent, _) = three(peer)
        company.agree()
        first, last = company.seats[founder.name], company.seats[bent.name]

        def story() -> None:
            company.write(first)
            company.agree()
            assert company.hand_in(company.attempt(first, gone=[last]))
            company.agree()
            assert company.knock()

        if bend == "reads on":
            company.hand_in(company.attempt(first, gone=[last]))
            company.agree()
            bent.bend = bend
            with pytest.raises(Diverged, match="was removed and read"):
                company.knock()
            return
        bent.bend = bend
        with pytest.raises(Diverged):
            story()
        bent.bend = ""


def test_what_came_about_too_seldom_is_named() -> None:
    assert len(lacking(Counter(), 200)) == len(AT_LEAST)
    assert lacking(Counter(AT_LEAST), 200) == []
    assert len(lacking(Counter(AT_LEAST), 400)) == len(AT_LEAST)


def test_suites_and_founders_take_turns() -> None:
    assert len({(suite_of(seed), founder_of(seed)) for seed in range(8)}) == 2 * len(SUITES)


def test_the_command_fails_where_a_walk_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stumbling(node: Node, seed: int, steps: int) -> Counter[str]:
        if seed == 1:
            raise Diverged("they differ")
        return Counter(AT_LEAST) if seed else Counter()

    monkeypatch.setattr(command, "ready", lambda: Node((), ()))
    monkeypatch.setattr(command, "walk", stumbling)
    for arguments, status, said in (
        (["--seed", "2"], 0, "ok    seed 2, suite 0x0003"),
        (["--seed", "1"], 1, "WRONG seed 1, suite 0x0002: "),
        (["--seeds", "1"], 1, "WRONG 0 "),
        (["--seed", "2", "--steps", "400"], 1, "WRONG "),
    ):
        monkeypatch.setattr("sys.argv", ["interop", *arguments])
        assert command.main() == status
        assert said in capsys.readouterr().out
