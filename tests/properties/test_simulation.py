"""Random schedules of everything that people do with their accounts and conversations, on the real client and server.

The schedules are drawn by hypothesis, which makes those that fail shorter. What has to hold is in `simulation_checks`.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AbstractAsyncContextManager

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
    schedule,
    simulation,
)
from properties.simulation_checks import finish
from properties.simulation_people import Simulation, Step, Trouble

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


async def run(seed: int, *, people: int = 3, steps: int = 40) -> None:
    """One schedule out of a seed; raises `Violation`."""
    async with simulation(people, seed, lenient=seed % 2 == 1) as made:
        for step in schedule(seed, steps):
            await made.step(step)
        await finish(made)
