"""Groups of the MLS engine under random operations, loss, disorder, repetition, crashes and forks.

What has to hold is in `mls_truth` and `mls_world`; hypothesis draws the operations, and makes those that fail shorter.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from properties.mls_deeds import COMMITS, PROPOSALS, World
from properties.mls_world import DONE, Private, Public, one

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
numbers = st.integers(0, (1 << 16) - 1)
kinds = st.lists(st.sampled_from(COMMITS), min_size=1, max_size=3)
behind = st.lists(st.integers(0, 7), min_size=2, max_size=6)
faults = st.sampled_from(["", "early", "lost", "change", "crash", "twice"])
DEEDS: Final = {
    "commit": 3,
    "commit_of_somebody_behind": 1,
    "race": 1,
    "propose": 4,
    "external": 1,
    "resync": 1,
    "say": 3,
    "deliver": 7,
    "follow": 5,
    "crash": 1,
    "wait": 1,
    "unheard": 1,
    "fork": 1,
    "across": 1,
}
"""What is done, by how often."""
LEAST: Final = {
    "add": 20,
    "add many": 10,
    "attack by a removed member": 20,
    "attack: control": 40,
    "catch up": 30,
    "changed external commit": 10,
    "changed info": 20,
    "changed text": 10,
    "changed welcome": 20,
    "committed by reference": 8,
    "crash": 20,
    "crash before the commit was taken": 4,
    "exclusion": 40,
    "extensions": 15,
    "external": 4,
    "join": 100,
    "old state tried": 400,
    "psk": 20,
    "race": 10,
    "read: again": 10,
    "read: epoch gone": 15,
    "read: late": 30,
    "read: not in order": 20,
    "read: now": 20,
    "remove": 10,
    "resumption": 6,
    "resync": 8,
    "say": 100,
    "say refused": 30,
    "twice": 8,
    "update": 40,
}
"""How often each operation occurs at least in the long profile; in the other one at least once."""
RARE: Final = {
    "across": 8,
    "behind": 4,
    "changed commit": 20,
    "changed proposal": 10,
    "early": 8,
    "external, too late": 4,
    "fork": 4,
    "lost proposal": 4,
    "propose add": 8,
    "propose extensions": 8,
    "propose psk": 8,
    "propose remove": 8,
    "propose update": 8,
    "proposal missing": 20,
    "read: out of window": 10,
    "read: own": 20,
}
"""What need not occur at all in the other one."""


class Groups(RuleBasedStateMachine):
    """One group, or what became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.well = False

    @initialize(
        suite=st.sampled_from([1, 2, 3, 0x0053]),
        size=st.sampled_from([2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 12, 17, 40]),
        seed=numbers,
        private=st.booleans(),
    )
    def create(self, suite: int, size: int, seed: int, private: bool) -> None:
        self.world = World(suite, size, seed, Private() if private else Public())
        self.well = True

    @rule(
        deed=st.sampled_from([deed for deed, weight in DEEDS.items() for _ in range(weight)]),
        who=numbers,
        number=numbers,
        kinds=kinds,
        behind=behind,
        fault=faults,
    )
    def do(self, deed: str, who: int, number: int, kinds: list[str], behind: list[int], fault: str) -> None:
        assert self.world is not None
        world, self.well = self.world, False
        match deed:
            case "commit":
                world.commit(world.current(who), kinds, number, behind, fault)
            case "commit_of_somebody_behind":
                world.outdone(who, kinds, number)
            case "race":
                world.race(who, kinds, kinds[::-1])
            case "propose":
                world.propose(world.current(who), one(PROPOSALS, number), number // 7, behind)
            case "external" | "resync":
                world.external(who, deed == "resync", behind)
            case "say":
                for _ in range(1 + number % 8):
                    world.say(world.person(who))
            case "deliver":
                world.deliver_some(world.person(who), number, fault)
            case "follow":
                world.catch_up(who, 1 + number % 6, fault)
            case "crash":
                world.crash(world.person(who))
            case "wait":
                world.now += number % 200
            case "unheard":
                world.unheard(number)
            case "fork":
                world.fork(number)
            case _:
                world.across(number)
        self.well = True

    def teardown(self) -> None:
        if self.world is not None and self.well:
            self.world.finish()


def test_groups_agree_whatever_happens() -> None:
    DONE.clear()
    run_state_machine_as_test(
        Groups,
        settings=settings(
            max_examples=80 if LONG else 16, stateful_step_count=50 if LONG else 30, report_multiple_bugs=False
        ),
    )
    print("\n".join(f"{count:6} {name}" for name, count in sorted(DONE.items())))
    least = LEAST | RARE if LONG else dict.fromkeys(LEAST, 1)
    assert not {name: DONE[name] for name, count in least.items() if DONE[name] < count}
