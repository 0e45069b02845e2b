"""A random walk of persons in one group: the steps, chosen by a seed, and how often each of them came about.

What reaches whom, and all checks of it, is in company.py.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from typing import Final

from interop.company import Company, Seat
from interop.delivery import Change, Kind
from interop.person import PAST_EPOCHS, Person

LARGEST = 10  # members of the group
# So often each of these comes about in 200 steps, at the very least.
AT_LEAST: Final[dict[str, int]] = {
    "agreements of all": 2,
    "commits of several persons' proposals": 3,
    "commits that add and remove": 2,
    "commits that add one": 3,
    "commits that add several": 2,
    "commits that came too late": 3,
    "commits that lost a race": 8,
    "commits that remove": 5,
    "commits that update": 5,
    "groups saved and restored": 4,
    "handshakes in private": 50,
    "handshakes in public": 20,
    "joins": 25,
    "messages of an earlier epoch": 100,
    "messages overtaken by others": 75,
    "messages refused by the removed": 1,
    "messages sent": 50,
    "proposals at the same time": 15,
    "proposals committed": 15,
    "proposals left out": 1,
    "proposals to add": 5,
    "proposals to remove": 5,
    "proposals to update": 3,
    "rejoins": 15,
    "removals noticed": 20,
    "trees beside the Welcome": 3,
}
for _one, _other in product(("tacit", "ts-mls"), repeat=2):
    AT_LEAST[f"Welcomes of {_one} read by {_other}"] = 4
    AT_LEAST[f"commits of {_one} read by {_other}"] = 40
    AT_LEAST[f"messages of {_one} read by {_other}"] = 40
    AT_LEAST[f"proposals of {_one} read by {_other}"] = 20
    AT_LEAST[f"proposals of {_one} committed by {_other}"] = 2


def lacking(done: Counter[str], steps: int) -> list[str]:
    """What came about too seldom in so many steps."""
    wanted = {what: least * steps // 200 for what, least in AT_LEAST.items()}
    return [f"{done[what]} {what}, not {least}" for what, least in wanted.items() if done[what] < least]


class Walk(Company):
    """One group from its foundation; `step` does something at random."""

    def __init__(self, persons: Sequence[Person], seed: int) -> None:
        super().__init__(persons, random.Random(seed))
        steps: dict[Callable[[], bool], int] = {
            self.send: 30,
            self.deliver: 30,
            self.add_one: 5,
            self.add_many: 5,
            self.remove: 7,
            self.update: 10,
            self.exchange: 5,
            self.propose: 14,
            self.commit_proposals: 12,
            self.race: 8,
            self.commit_too_late: 8,
            self.reload: 5,
            self.knock: 4,
            self.settle: 3,
        }
        self.steps, self.weights = list(steps), list(steps.values())

    def step(self) -> None:
        """Does one thing that is possible now."""
        while not (len(self.roster) < 3 and self.add_many()) and not self.random.choices(self.steps, self.weights)[0]():
            pass
        self.done["steps"] += 1
        self.done["epochs"] = self.delivery.epoch

    # who may

    def some(self, names: set[str], least: int = 1, most: int = 1) -> list[Seat]:
        """Some of these, in random order; never more than there are."""
        count = min(len(names), self.random.randint(least, most))
        return [self.seats[name] for name in self.random.sample(sorted(names), count)]

    def touched(self, *kinds: str) -> set[str]:
        """Whom the proposals of this epoch are about."""
        changes = (change for entry in self.delivery.proposed() for change in entry.changes)
        return {change.name for change in changes if change.kind in kinds}

    def absent(self) -> set[str]:
        """Who may be added, and fits in."""
        absent = self.seats.keys() - self.roster - self.touched("add")
        room = LARGEST - len(self.roster) - len(self.touched("add"))
        return {seat.name for seat in self.some(absent, room, room)} if room > 0 else set()

    def untouched(self) -> set[str]:
        """Members whom no proposal removes or updates: they may commit, and be removed."""
        return self.roster - self.touched("remove", "update")

    # steps

    def send(self) -> bool:
        """A member writes a few messages, in the epoch that it knows."""
        (seat,) = self.some(self.roster)
        if not seat.inside or seat.epoch < self.delivery.epoch - PAST_EPOCHS:
            self.catch_up(seat)
        if seat.bound or not seat.inside:
            return False
        for _ in range(self.random.randint(1, 4)):
            self.write(seat)
        return True

    def deliver(self) -> bool:
        """A person reads some of what waits for it."""
        (seat,) = self.some(set(self.seats))
        read = [self.read_next(seat) for _ in range(self.random.randint(0, 3))]
        return self.read_mail(seat, lambda note: self.random.random() < 0.6) > 0 or any(read)

    def committer(self) -> Seat | None:
        """Somebody who may commit, and knows all that was proposed."""
        for seat in self.some(self.untouched()):
            self.catch_up(seat)
            return seat
        return None

    def change(self, name: str, *, come: tuple[int, int] = (0, 0), gone: int = 0) -> bool:
        """A commit by somebody who knows all, of what was proposed and so many changes."""
        seat = self.committer()
        if seat is None:
            return False
        comers = self.some(self.absent(), *come)
        goers = self.some(self.untouched() - {seat.name}, gone, gone)
        if len(comers) < come[0] or len(goers) < gone or (goers and len(self.roster) < 4):
            return False
        if not self.hand_in(self.attempt(seat, comers, goers)):
            raise AssertionError("the only commit of the epoch was refused")
        self.done[name] += 1
        return True

    def add_one(self) -> bool:
        return self.change("commits that add one", come=(1, 1))

    def add_many(self) -> bool:
        return self.change("commits that add several", come=(2, 4))

    def remove(self) -> bool:
        return self.change("commits that remove", gone=1)

    def exchange(self) -> bool:
        return self.change("commits that add and remove", come=(1, 2), gone=1)

    def update(self) -> bool:
        return not self.delivery.proposed() and self.change("commits that update")

    def commit_proposals(self) -> bool:
        """A commit of what was proposed, as far as the committer has seen it."""
        if not self.delivery.proposed():
            return False
        for seat in self.some(self.untouched()):
            while seat.epoch < self.delivery.epoch or not seat.inside:
                self.read_next(seat)
            for _ in range(self.random.choice((1, 2, 9, 9))):
                self.read_next(seat)
            return bool(self.seen(seat)) and self.hand_in(self.attempt(seat))
        return False

    def propose(self) -> bool:
        """One to four members propose at the same time: none has seen what the others do now."""
        committer = self.committer()
        if committer is None:
            return False
        seats = self.some(self.roster - {committer.name} - self.touched("remove"), 1, 4)
        for seat in seats:
            self.catch_up(seat)
        made = sum(self.propose_as(seat, committer) for seat in seats)
        self.done["proposals at the same time"] += made if made > 1 else 0
        return made > 0

    def propose_as(self, seat: Seat, committer: Seat) -> bool:
        kinds: tuple[Kind, ...] = ("add", "update", "remove")
        kind = self.random.choice(kinds)
        public = self.public()
        match kind:
            case "add":
                others = self.some(self.absent())
                message = [seat.person.propose_add(each.person.key_package(), public=public) for each in others]
            case "update":
                others = [seat] if seat.name in self.untouched() else []
                message = [seat.person.propose_update(public=public) for _ in others]
            case _:
                others = self.some(self.untouched() - {committer.name, seat.name})
                message = [seat.person.propose_remove(each.name, public=public) for each in others]
        if not others:
            return False
        self.hand_in_proposal(seat, message[0], Change(kind, others[0].name))
        self.done[f"proposals to {kind}"] += 1
        return True

    def race(self) -> bool:
        """Two or three members commit at the same time; the first to arrive wins, and may have removed another."""
        seats = self.some(self.untouched(), 2, 3)
        if len(seats) < 2 or len(self.roster) < 4:
            return False
        attempts = []
        for seat in seats:
            self.catch_up(seat)
        for seat in seats:
            comers = self.some(self.absent(), 0, 1)
            goers = self.some(self.untouched() - {seat.name}, 0, 1) if not comers else []
            attempts.append(self.attempt(seat, comers, goers))
        self.random.shuffle(attempts)
        won = [self.hand_in(each) for each in attempts]
        if won != [True] + [False] * (len(won) - 1):
            raise AssertionError(f"not the first commit of an epoch won: {won}")
        self.done["commits that lost a race"] += len(won) - 1
        return True

    def commit_too_late(self) -> bool:
        """A member that has not heard of the newest commit makes one of its own."""
        behind = {seat.name for seat in self.seats.values() if seat.inside and seat.epoch < self.delivery.epoch}
        seats = [seat for seat in self.some(behind) if not seat.bound]
        for seat in seats:
            if self.hand_in(self.attempt(seat)):
                raise AssertionError("a commit of an epoch that is over was taken")
            self.done["commits that came too late"] += 1
        return bool(seats)

    def reload(self) -> bool:
        """A member's process starts anew."""
        for seat in self.some({seat.name for seat in self.seats.values() if seat.inside}):
            seat.person.reload()
            self.done["groups saved and restored"] += 1
        return True

    def settle(self) -> bool:
        """Everybody reads everything, and all agree."""
        self.agree()
        self.done["agreements of all"] += 1
        return True
