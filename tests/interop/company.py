"""The persons of a walk, what has reached each of them, and what must hold whenever something does.

Each member of an epoch has its authenticator and its members; each message turns out to be what was sent, by whom it
was sent; who is removed learns it, and reads nothing more.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from interop.delivery import Attempt, Change, Delivery, Entry, Invitation, Note
from interop.person import PAST_EPOCHS, Person, Refused

GROUP_ID = b"\x00a group of many\xff"


class Diverged(AssertionError):
    """Persons do not agree, or one learnt another thing than was sent."""


@dataclass(slots=True)
class Seat:
    """The walk's book of one person."""

    person: Person
    inside: bool = False
    epoch: int = -1
    joined: int = 0  # the epoch in which it came
    place: int = 0  # so much of the log is read
    bound: bool = False  # it has seen proposals in its epoch, and may not send before there is a commit
    invitation: Invitation | None = None
    mail: list[Note] = field(default_factory=list)
    read: set[tuple[str, int, int]] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.person.name

    def takes_mail_of(self, epoch: int) -> bool:
        """Whether it is a member of the epoch, or will find out that it was."""
        if self.invitation is not None:
            return epoch >= self.invitation.epoch
        return self.inside and epoch >= self.joined


class Company:
    """Persons around one group, which the first of them founds."""

    def __init__(self, persons: Sequence[Person], randomness: random.Random) -> None:
        self.random = randomness
        self.seats = {person.name: Seat(person) for person in persons}
        self.delivery = Delivery()
        self.rosters: list[set[str]] = []  # the members of each epoch, whether they know it yet or not
        self.authenticators: list[bytes] = []
        self.sent: Counter[tuple[str, int]] = Counter()
        self.done: Counter[str] = Counter()
        for one in persons:
            for other in persons:
                one.know(other.name, other.signature_key)
        founder = self.seats[persons[0].name]
        founder.person.create(GROUP_ID)
        founder.inside = True
        self.done[f"groups founded by {founder.person.kind}"] += 1
        self.rosters.append({founder.name})
        self.begin(founder, 0)

    @property
    def roster(self) -> set[str]:
        """The members of the newest epoch."""
        return self.rosters[-1]

    def public(self) -> bool:
        public = self.random.random() < 0.3
        self.done["handshakes in public" if public else "handshakes in private"] += 1
        return public

    def pair(self, what: str, sender: str, reader: Seat) -> None:
        self.done[f"{what} of {self.seats[sender].person.kind} read by {reader.person.kind}"] += 1

    def begin(self, seat: Seat, epoch: int) -> None:
        """A person has come to an epoch: it sees it as everybody else does."""
        seat.epoch, seat.bound = epoch, False
        view = seat.person.view()
        if epoch == len(self.authenticators):
            self.authenticators.append(view.authenticator)
        if view.epoch != epoch or view.authenticator != self.authenticators[epoch]:
            raise Diverged(f"{seat.name} has another epoch than {epoch}: {view.epoch}, {view.authenticator.hex()}")
        if {name for _, name in view.members} != self.rosters[epoch]:
            raise Diverged(f"{seat.name} sees other members than {self.rosters[epoch]} in {epoch}: {view.members}")

    # what reaches a person

    def catch_up(self, seat: Seat) -> None:
        """Reads its Welcome, and the log to its end."""
        while self.read_next(seat):
            pass

    def read_next(self, seat: Seat) -> bool:
        """Reads what is next for a person: its Welcome, or a proposal or commit. Whether there was something."""
        if seat.invitation is not None:
            invited, seat.invitation = seat.invitation, None
            seat.person.join(invited.welcome, invited.tree)
            seat.inside, seat.joined, seat.place = True, invited.epoch, invited.place
            self.begin(seat, invited.epoch)
            self.pair("Welcomes", invited.sender, seat)
            self.done["trees beside the Welcome"] += invited.tree is not None
            self.done["joins"] += 1
            return True
        if not seat.inside or seat.place == len(self.delivery.log):
            return False
        entry = self.delivery.log[seat.place]
        if entry.kind == "commit":
            self.read_before(seat, entry.epoch + 1)
        seat.place += 1
        if entry.sender != seat.name:  # an own commit has moved the place already, so this is an own proposal
            self.read_entry(seat, entry)
        return True

    def read_entry(self, seat: Seat, entry: Entry) -> None:
        was = seat.person.receive(entry.message)
        if (was.kind, was.sender, was.epoch) != (entry.kind, entry.sender, entry.epoch):
            raise Diverged(f"{seat.name} took the {entry.kind} of {entry.sender} in {entry.epoch} for {was}")
        self.pair(f"{entry.kind}s", entry.sender, seat)
        if entry.kind == "proposal":
            seat.bound = True
            return
        gone = Change("remove", seat.name) in entry.changes
        if was.removed is not gone:
            raise Diverged(f"{seat.name} is wrong about its removal by {entry.sender} in {entry.epoch}")
        if gone:
            seat.inside = seat.bound = False
            seat.mail.clear()
            seat.read.clear()
            self.done["removals noticed"] += 1
        else:
            self.begin(seat, entry.epoch + 1)

    def read_before(self, seat: Seat, epoch: int) -> None:
        """Reads what could not be read any more in that epoch, and some of the rest."""
        self.read_mail(seat, lambda note: note.epoch < epoch - PAST_EPOCHS or self.random.random() < 0.4)

    def read_mail(self, seat: Seat, wanted: Callable[[Note], bool]) -> int:
        """Reads messages of epochs that the person has reached, in random order; how many."""
        if not seat.inside:
            return 0
        chosen = [note for note in seat.mail if note.epoch <= seat.epoch and wanted(note)]
        seat.mail = [note for note in seat.mail if note not in chosen]
        self.random.shuffle(chosen)
        for note in chosen:
            was = seat.person.receive(note.message)
            expected = ("application", note.sender, note.epoch, note.data, note.aad)
            if (was.kind, was.sender, was.epoch, was.data, was.aad) != expected:
                raise Diverged(f"{seat.name} read {was} for {note}")
            self.pair("messages", note.sender, seat)
            self.done["messages of an earlier epoch"] += note.epoch < seat.epoch
            later = range(note.number + 1, self.sent[note.sender, note.epoch])
            self.done["messages overtaken by others"] += any((note.sender, note.epoch, n) in seat.read for n in later)
            seat.read.add((note.sender, note.epoch, note.number))
        return len(chosen)

    # what a person hands in

    def write(self, seat: Seat) -> Note:
        """A message to all members of the epoch that its sender is in."""
        number = self.sent[seat.name, seat.epoch]
        self.sent[seat.name, seat.epoch] += 1
        data, aad = (self.random.randbytes(self.random.choice((0, 1, 20, 300))) for _ in range(2))
        note = Note(seat.person.send(data, aad), seat.name, seat.epoch, number, data, aad)
        for name in sorted(self.rosters[seat.epoch] - {seat.name}):
            if self.seats[name].takes_mail_of(seat.epoch):
                self.seats[name].mail.append(note)
        self.done["messages sent"] += 1
        return note

    def seen(self, seat: Seat) -> list[Entry]:
        """The proposals of the newest epoch that a person knows: those that it has read, and its own."""
        if seat.epoch != self.delivery.epoch:
            return []
        proposed = enumerate(self.delivery.proposed(), self.delivery.begun)
        return [entry for place, entry in proposed if place < seat.place or entry.sender == seat.name]

    def attempt(self, seat: Seat, come: Sequence[Seat] = (), gone: Sequence[Seat] = ()) -> Attempt:
        """Commits the proposals that a person has seen, and these; the delivery service knows nothing of it yet."""
        seen = self.seen(seat)
        changes = [change for entry in seen for change in entry.changes]
        changes += [Change("add", each.name) for each in come]
        changes += [Change("remove", each.name) for each in gone]
        public = self.public()
        made = seat.person.commit(
            add=[each.person.key_package() for each in come],
            remove=[each.name for each in gone],
            public=public,
            tree_inside=self.random.random() < 0.8,
        )
        return Attempt(made, Entry("commit", seat.name, seat.epoch, made.message, tuple(changes)), tuple(seen))

    def hand_in_proposal(self, seat: Seat, message: bytes, change: Change) -> None:
        seat.bound = True
        if not self.delivery.take(Entry("proposal", seat.name, seat.epoch, message, (change,))):
            raise AssertionError("a proposal of the newest epoch was refused")

    def hand_in(self, attempt: Attempt) -> bool:
        """A commit that is taken begins an epoch, for its sender at once; one that is refused is dropped."""
        seat, waiting = self.seats[attempt.entry.sender], len(self.delivery.proposed())
        if not self.delivery.take(attempt.entry):
            seat.person.drop()
            return False
        come, gone = attempt.names("add"), attempt.names("remove")
        self.read_before(seat, self.delivery.epoch)
        seat.person.accept()
        seat.place = len(self.delivery.log)
        self.rosters.append((self.roster - gone) | come)
        self.begin(seat, self.delivery.epoch)
        self.done[f"commits by {seat.person.kind}"] += 1
        self.done["proposals committed"] += len(attempt.proposals)
        for each in attempt.proposals:
            self.done[f"proposals of {self.seats[each.sender].person.kind} committed by {seat.person.kind}"] += 1
        self.done["proposals left out"] += waiting - len(attempt.proposals)
        self.done["commits of several persons' proposals"] += len({each.sender for each in attempt.proposals}) > 1
        for name in sorted(come):
            self.invite(self.seats[name], attempt)
        return True

    def invite(self, seat: Seat, attempt: Attempt) -> None:
        if attempt.made.welcome is None:
            raise Diverged(f"{attempt.entry.sender} added {seat.name} without a Welcome")
        seat.invitation = None  # one that was never answered
        while seat.inside:  # it was removed, and does not know it yet
            self.read_next(seat)
        seat.mail.clear()
        self.done["rejoins"] += any(seat.name in roster for roster in self.rosters[:-1])
        place = len(self.delivery.log)
        seat.invitation = Invitation(
            attempt.entry.sender, attempt.made.welcome, attempt.made.tree, self.delivery.epoch, place
        )

    # what must hold

    def knock(self) -> bool:
        """Somebody who was removed tries to read what is written now."""
        outside = [seat for seat in self.seats.values() if seat.epoch >= 0 and not seat.inside and not seat.invitation]
        inside = [seat for seat in self.seats.values() if seat.inside and not seat.bound]
        inside = [seat for seat in inside if seat.epoch >= self.delivery.epoch - PAST_EPOCHS]
        if not outside or not inside:
            return False
        stranger, sender = self.random.choice(outside), self.random.choice(inside)
        if sender.epoch <= stranger.epoch:
            return False
        note = self.write(sender)
        try:
            was = stranger.person.receive(note.message)
        except Refused:
            self.done["messages refused by the removed"] += 1
            return True
        raise Diverged(f"{stranger.name} was removed and read {was}")

    def agree(self) -> None:
        """Everybody reads everything that waits; then all members see the same, and export the same secret."""
        members = [self.seats[name] for name in sorted(self.roster)]
        for seat in self.seats.values():
            self.catch_up(seat)
            self.read_mail(seat, lambda note: True)
        if left := [seat.name for seat in members if not seat.inside or seat.mail]:
            raise Diverged(f"{left} did not come to the end")
        views = {seat.person.view() for seat in members}
        if len(views) != 1:
            raise Diverged(f"members differ: {views}")
        if len({seat.person.export("tacit interop", b"context", 32) for seat in members}) != 1:
            raise Diverged("members export different secrets")
