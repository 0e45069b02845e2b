"""Who takes part in a walk: persons of each implementation."""

from __future__ import annotations

from collections import Counter
from typing import Final

from interop.install import Node
from interop.peer import Peer, TsPerson
from interop.person import Person
from interop.tacit_person import TacitPerson
from interop.walk import Walk

SUITES: Final = (1, 2, 3, 0x0053)
PERSONS = 14  # more than fit in: some are always absent


def suite_of(seed: int) -> int:
    """Each in turn."""
    return SUITES[seed % len(SUITES)]


def founder_of(seed: int) -> str:
    """The kind of who founds the group: the one, then the other, in each suite."""
    return (TacitPerson.kind, TsPerson.kind)[seed // len(SUITES) % 2]


def walk(node: Node, seed: int, steps: int) -> Counter[str]:
    """Takes so many steps and lets everybody come to the end; what was done. An error has a note of the step."""
    with Peer(node) as peer:
        suite = suite_of(seed)
        persons: list[Person] = []
        for number in range(PERSONS):
            name = f"person {number:02}"
            by_tacit = (number % 2 == 0) is (founder_of(seed) == TacitPerson.kind)
            persons.append(TacitPerson(name, suite, seed) if by_tacit else TsPerson(peer, name, suite))
        taken = Walk(persons, seed)
        for number in range(steps):
            try:
                taken.step()
            except Exception as error:
                error.add_note(f"at step {number} of seed {seed}")
                raise
        taken.settle()
    return taken.done
