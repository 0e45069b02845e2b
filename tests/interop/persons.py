"""Who takes part in a walk: persons of each implementation."""

from __future__ import annotations

from collections import Counter
from typing import Final

from interop.install import Node
from interop.peer import Peer, TsPerson
from interop.person import Person
from interop.walk import Walk

SUITES: Final = (1, 2, 3, 0x0053)
PERSONS = 14  # more than fit in: some are always absent


def suite_of(seed: int) -> int:
    """Each in turn."""
    return SUITES[seed % len(SUITES)]


def walk(node: Node, seed: int, steps: int) -> Counter[str]:
    """Takes so many steps and lets everybody come to the end; what was done. An error has a note of the step."""
    with Peer(node) as peer:
        persons: list[Person] = [TsPerson(peer, f"ts{number}", suite_of(seed)) for number in range(PERSONS)]
        taken = Walk(persons, seed)
        for number in range(steps):
            try:
                taken.step()
            except Exception as error:
                error.add_note(f"at step {number} of seed {seed}")
                raise
        taken.settle()
    return taken.done
