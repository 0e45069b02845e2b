"""Random schedules of everything that people do with their accounts and conversations, on the real client and server.

The schedules are drawn by hypothesis, which makes those that fail shorter. What has to hold is in `simulation_checks`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from properties.simulation import (
    ACCOUNT,
    CATCH_UP,
    CHANGE,
    MOST,
    PROCESS,
    SPEAK,
    TROUBLES,
    Weights,
    schedule,
    simulation,
)
from properties.simulation_checks import finish
from properties.simulation_people import Simulation, Step, Trouble, Violation

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
numbers = st.integers(0, MOST - 1)
deeds = st.sampled_from([*SPEAK, *CHANGE, *CATCH_UP, *ACCOUNT, *PROCESS])
steps_between = st.builds(Step, deeds, numbers, numbers, numbers)
troubles = st.one_of(
    st.none(),
    st.none(),
    st.none(),
    st.builds(Trouble, st.sampled_from([each for each in TROUBLES if each != "meanwhile"]), st.integers(0, 7)),
    st.builds(Trouble, st.just("meanwhile"), st.integers(0, 7), steps_between),
)


class People(RuleBasedStateMachine):
    """A few people at one server."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.context: AbstractAsyncContextManager[Simulation] | None = None
        self.simulation: Simulation | None = None
        self.well = False

    @initialize(people=st.integers(2, 5), seed=numbers, lenient=st.booleans(), members=numbers)
    def register(self, people: int, seed: int, lenient: bool, members: int) -> None:
        self.context = simulation(people, seed, lenient=lenient)
        self.simulation = self.loop.run(self.context.__aenter__())
        self.well = True
        self.do(Step("create", 0, 0, members | 3))

    def do(self, step: Step) -> None:
        assert self.simulation is not None
        self.well = False
        self.loop.run(self.simulation.step(step))
        self.well = True

    @rule(deed=st.sampled_from(SPEAK), who=numbers, what=numbers, trouble=troubles)
    def speak(self, deed: str, who: int, what: int, trouble: Trouble | None) -> None:
        self.do(Step(deed, who, what, 0, trouble))

    @rule(deed=st.sampled_from(CHANGE), who=numbers, what=numbers, whom=numbers, trouble=troubles)
    def change(self, deed: str, who: int, what: int, whom: int, trouble: Trouble | None) -> None:
        self.do(Step(deed, who, what, whom, trouble))

    @rule(deed=st.sampled_from(CATCH_UP), who=numbers, what=numbers, trouble=troubles)
    def catch_up(self, deed: str, who: int, what: int, trouble: Trouble | None) -> None:
        self.do(Step(deed, who, what, 0, trouble))

    @rule(deed=st.sampled_from(ACCOUNT), who=numbers, whom=numbers, trouble=troubles)
    def account(self, deed: str, who: int, whom: int, trouble: Trouble | None) -> None:
        self.do(Step(deed, who, 0, whom, trouble))

    @rule(deed=st.sampled_from(PROCESS), who=numbers, what=numbers, whom=numbers)
    def process(self, deed: str, who: int, what: int, whom: int) -> None:
        self.do(Step(deed, who, what, whom))

    def teardown(self) -> None:
        if self.context is None:
            return
        assert self.simulation is not None
        try:
            if self.well:
                self.loop.run(finish(self.simulation))
        finally:
            self.loop.run(self.context.__aexit__(None, None, None))
            self.loop.close()


TestPeople = People.TestCase
TestPeople.settings = settings(max_examples=60 if LONG else 8, stateful_step_count=40 if LONG else 25)


# --- that it can fail ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A guard that is gone, the deeds that lead to where it stood, and seeds of which one finds that out."""

    guard: str
    stand_in: Callable[..., object]
    deeds: Weights
    seeds: tuple[int, ...]
    said: str


MUTANTS = [
    Mutant(
        "tacit.conversation.judging.check_removal",
        lambda *_: None,
        ((("send",), 2), (("remove", "add"), 4), (("sync", "sync_one"), 2), (("slip_in",), 4)),
        (16, 14, 0, 1, 2, 3),
        "though its sender was out",
    ),
    Mutant(
        "tacit.conversation.judging_records.vouches",
        lambda *_: False,
        ((("arrive",), 2), (("add", "remove", "promote", "demote"), 6), (("revoke",), 3), (("sync",), 2)),
        (8, 9, 1, 2, 3, 4),
        "vouches for it",
    ),
    Mutant(
        "tacit.client.standing.is_outdated",
        lambda *_: False,
        ((("send",), 5), (("sync", "sync_people"), 5), (("arrive", "revoke", "reset"), 4)),
        (5, 1, 0, 2, 3, 4),
        "are gone",
    ),
]


async def run(seed: int, deeds: Weights) -> str:
    """What a schedule out of a seed shows; the empty text where all is well."""
    try:
        async with simulation(3, seed, lenient=True) as made:
            for step in schedule(seed, 25, deeds):
                await made.step(step)
            await finish(made)
    except Violation as violation:
        return str(violation).splitlines()[0]
    return ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard.rpartition(".")[2])
async def test_a_guard_that_is_gone_is_found(mutant: Mutant) -> None:
    for seed in mutant.seeds:
        with mock.patch(mutant.guard, mutant.stand_in):
            found = await run(seed, mutant.deeds)
        if found:
            assert mutant.said in found
            assert await run(seed, mutant.deeds) == ""
            return
    pytest.fail(f"none of the seeds {mutant.seeds} tells that {mutant.guard} is gone")
