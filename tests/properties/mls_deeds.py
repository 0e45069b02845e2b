"""What people do with their MLS groups, see `mls_world`: each deed is drawn by numbers, and does what it can."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import pytest

from changed_bytes import changed_bytes
from mls.deep import deep_hash
from properties.mls_door import restored_pending
from properties.mls_truth import Epoch, epoch_of, name_of
from properties.mls_world import DONE, MOST, Carrier, Person, Post, Private, Side, one
from tacit import errors
from tacit.mls import joining
from tacit.mls.credential import BasicCredential
from tacit.mls.extensions import RequiredCapabilities, as_extension
from tacit.mls.group import Group
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.leaf_node import Lifetime
from tacit.mls.processing import CommitChecked, Own
from tacit.mls.proposals import Add, AnyProposal, GroupContextExtensions, PreSharedKey, Remove
from tacit.mls.psk import ExternalPsk, PreSharedKeyID, ResumptionPsk, ResumptionPskUsage
from tacit.mls.state import PendingCommit
from tacit.mls.suites import suite_of
from tacit.mls.tree_math import LeafIndex

COMMITS: Final = ("update", "add", "add many", "remove", "psk", "resumption", "extensions")
PROPOSALS: Final = ("update", "add", "remove", "psk", "extensions")
PROPOSED_AT_ONCE: Final = 4
"""Of one epoch: fewer than the window lets a member be behind."""


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Made:
    """A commit on its way to the delivery service."""

    author: Person
    pending: PendingCommit
    with_tree: bool


class World(Carrier):
    """One group and, after a fork, what became of it."""

    def __init__(self, suite: int, size: int, seed: int, policy: Private) -> None:
        super().__init__(seed, policy)
        self.suite = suite_of(suite)
        self.waiting: dict[bytes, KeyPackageKeys] = {}
        self.names = 0
        keys = self.keys(self.name())
        group = Group.create(b"a group", keys, policy, self.draw)
        side = Side(epoch_of(group))
        self.sides = [side]
        side.people.append(Person("m0", group, side, side.epoch, 0))
        DONE["create"] += 1
        adds = [self.add() for _ in range(size - 1)]
        self.took(self.made(side.people[0], adds), ())

    # --- who there is --------------------------------------------------------------------

    def name(self) -> str:
        """Another one."""
        self.names += 1
        return f"m{self.names - 1}"

    def keys(self, name: str) -> KeyPackageKeys:
        """A key package of somebody."""
        signer = self.suite.new_signature_key(self.draw)
        credential = BasicCredential(name.encode())
        return joining.new_key_package(self.suite, signer, credential, Lifetime(0, 1 << 22), self.draw)

    def add(self) -> Add:
        """Somebody new, who waits for a Welcome."""
        keys = self.keys(self.name())
        self.waiting[keys.signer.public] = keys
        return Add(keys.package)

    def side(self, number: int) -> Side:
        """One of the sides."""
        return one(self.sides, number)

    def person(self, number: int, other: int = 0) -> Person:
        """Somebody."""
        return one(self.side(number).people, number // 2 + other)

    def current(self, number: int) -> Person:
        """Somebody who has everything that the delivery service took."""
        person = self.person(number)
        self.follow(person, len(person.side.log), "")
        if person.group.state.removed:
            return self.current(number + 2)
        return person

    # --- commits -------------------------------------------------------------------------

    def proposals(self, author: Person, kinds: Sequence[str], number: int) -> list[AnyProposal]:
        """Proposals of these kinds, as far as they are possible."""
        made: list[AnyProposal] = []
        side, room = author.side, MOST - len(author.side.epoch.members)
        others = sorted(index for index in author.epoch.members if index != author.group.me)
        for kind in dict.fromkeys(kinds):
            match kind:
                case "add" | "add many":
                    count = min(room, 1 if kind == "add" else 2 + number % 5)
                    made += [self.add() for _ in range(count)]
                    room -= count
                case "remove":
                    count = min(len(others) - 1, 1 + number % 3)
                    if count > 0 and len(side.people) > 2:
                        start = number % (len(others) - count + 1)
                        made += [Remove(index) for index in others[start : start + count]]
                case "psk":
                    made.append(PreSharedKey(self.psk(ExternalPsk(b"%d" % (number % 3)))))
                case "resumption":
                    usage = ResumptionPskUsage.APPLICATION
                    named = ResumptionPsk(usage, author.group.group_id, author.epoch.number)
                    made.append(PreSharedKey(self.psk(named)))
                case "extensions":
                    required = as_extension(RequiredCapabilities((), (), (1,)))
                    made.append(GroupContextExtensions((required,) if number % 2 else ()))
                case _:
                    continue
            DONE[kind] += 1
        if not any(isinstance(each, Add) for each in made):
            return made
        # Who is added has no resumption key of this group.
        return [
            each for each in made if not (isinstance(each, PreSharedKey) and isinstance(each.psk.psk, ResumptionPsk))
        ]

    def psk(self, psk: ExternalPsk | ResumptionPsk) -> PreSharedKeyID:
        """The name of a key for one use."""
        return PreSharedKeyID(psk, self.draw(self.suite.hash_bytes))

    def made(self, author: Person, proposals: Sequence[AnyProposal], number: int = 0) -> Made:
        """A commit, of these and of what the author received."""
        with_tree = bool(number % 3)
        resumption = any(
            isinstance(each, PreSharedKey) and isinstance(each.psk.psk, ResumptionPsk) for each in proposals
        )
        group, pending = author.group.commit(
            *proposals,
            now=self.now,
            random=self.draw,
            received=not resumption,
            with_path=bool(number % 2),
            with_tree=with_tree,
        )
        author.go(group)
        if not proposals and not author.group.proposals:
            DONE["update"] += 1
        return Made(author, pending, with_tree)

    def commit(self, author: Person, kinds: Sequence[str], number: int, behind: Sequence[int], fault: str) -> None:
        """A commit that the delivery service takes."""
        made = self.made(author, self.proposals(author, kinds, number), number)
        if fault == "crash":  # between sending and applying: what is kept of the commit is kept with the state
            self.crash(author)
            restored = restored_pending(made.pending)
            assert deep_hash(restored) == deep_hash(made.pending), "a commit on its way comes back as another"
            made = dataclasses.replace(made, pending=restored)
            DONE["crash before the commit was taken"] += 1
        self.took(made, behind, fault)

    def catch_up(self, who: int, count: int, fault: str) -> None:
        """Somebody who is behind gets some of what it lacks."""
        late = [each for side in self.sides for each in side.people if not each.current]
        if late:
            self.follow(one(late, who), count, fault)
            DONE["catch up"] += 1

    def outdone(self, who: int, kinds: Sequence[str], number: int) -> None:
        """A commit by somebody who does not know yet that it comes too late."""
        late = [each for side in self.sides for each in side.people if each.epoch is not side.epoch and not each.stale]
        if late:
            author = one(late, who)
            self.lost(self.made(author, self.proposals(author, kinds, number), number))
            DONE["behind"] += 1

    def lost(self, made: Made) -> None:
        """The delivery service had another commit already: everybody who has that refuses this one."""
        made.author.stale = made.pending
        for person in made.author.side.people:
            if person.current and person is not made.author:
                self.refused(person, made.pending.commit, errors.WrongEpoch)
                break

    def took(self, made: Made, behind: Sequence[int], fault: str = "") -> None:
        """The delivery service takes a commit, and hands it to all but some."""
        author, pending = made.author, made.pending
        side, before = author.side, author.epoch
        assert before is side.epoch
        echo, outcome = author.group.process(pending.commit, self.now)
        assert isinstance(outcome, Own), "an own echo was not recognised"
        assert deep_hash(echo.state) == author.hash()
        group = author.group.merge(pending, self.now)
        names = frozenset(each.reference for each in pending.effects.proposals if each.reference is not None)
        DONE["committed by reference"] += len(names)
        post = Post(pending.commit, author, before, epoch_of(group), names=names)
        assert post.after is not None
        side.log.append(post)
        side.epoch = post.after
        author.at += 1
        author.enter(group, post.after, self.policy, self.now)
        assert set(post.after.members.values()) >= set(before.members.values()) - {
            name_of(leaf) for _, leaf in pending.effects.removed
        }
        self.check_excluded(side, group)
        self.attacked(side, pending.commit, before)
        for _, leaf in pending.effects.added:
            self.joins(self.waiting.pop(leaf.signature_key), made, post)
        self.hand_out(side, behind, fault)

    def hand_out(self, side: Side, behind: Sequence[int], fault: str = "") -> None:
        """Everybody gets what is there, but for those at some places; every other one with something going wrong."""
        for place, person in enumerate(list(side.people)):
            if place not in behind:
                self.follow(person, len(side.log), fault if place < 8 and place % 2 else "")

    def joins(self, keys: KeyPackageKeys, made: Made, post: Post) -> None:
        """Somebody who was added comes in; a changed Welcome is refused, or says the same."""
        welcome, side = made.pending.welcome, made.author.side
        assert welcome is not None
        assert post.after is not None
        tree = None if made.with_tree else made.author.group.ratchet_tree()
        group = Group.join(welcome, keys, self.policy, tree=tree)
        if self.random.randrange(4) == 0:
            wrong = self.keys("somebody")
            with pytest.raises(errors.PeerError):
                Group.join(welcome, wrong, self.policy, tree=tree)
            other = changed_bytes(welcome, self.random)
            try:  # what is in a Welcome for others is not protected
                assert deep_hash(Group.join(other, keys, self.policy, tree=tree).state) == deep_hash(group.state)
            except errors.PeerError:
                DONE["changed welcome"] += 1
        person = Person(name_of(keys.package.leaf_node), group, side, post.after, len(side.log))
        side.people.append(person)
        person.enter(group, post.after, self.policy, self.now)
        person.kept.clear()
        DONE["join"] += 1

    def race(self, number: int, kinds: Sequence[str], other_kinds: Sequence[str]) -> None:
        """Two commit at once: one is taken, and the other drops its own."""
        winner = self.current(number)
        others = [each for each in winner.side.people if each is not winner and each.current]
        if not others:
            return
        loser = one(others, number // 3)
        theirs = self.made(loser, self.proposals(loser, other_kinds, number), number)
        self.took(self.made(winner, self.proposals(winner, kinds, number), number), range(len(winner.side.people)))
        self.lost(theirs)
        DONE["race"] += 1
        self.follow(loser, 1, "")

    # --- proposals -----------------------------------------------------------------------

    def propose(self, author: Person, kind: str, number: int, behind: Sequence[int]) -> None:
        """A proposal by itself, for whoever commits next."""
        pending = [post for post in author.side.log[-PROPOSED_AT_ONCE:] if post.epoch is author.epoch]
        if len(pending) == PROPOSED_AT_ONCE and all(post.after is None for post in pending):
            return
        if kind == "update":
            group, message = author.group.propose_update(self.draw)
        else:
            made = self.proposals(author, (kind,), number)
            if not made:
                return
            group, message = author.group.propose(made[0], self.draw)
        reference = group.proposals[-1].reference
        assert reference is not None
        author.go(group)
        side = author.side
        echo, outcome = group.process(message, self.now)
        assert isinstance(outcome, Own)
        assert deep_hash(echo.state) == author.hash()
        side.log.append(Post(message, author, author.epoch, reference=reference))
        author.at += 1
        DONE[f"propose {kind}"] += 1
        self.hand_out(side, behind)

    def unheard(self, number: int) -> None:
        """A commit names a proposal that everybody else lost: they refuse it until they have that too."""
        author = self.current(number)
        everybody = range(len(author.side.people))
        self.propose(author, "psk", number, everybody)
        self.commit(self.current(number + 2), (), number, everybody, "")
        for person in list(author.side.people):
            self.follow(person, len(author.side.log), "lost")

    # --- from outside --------------------------------------------------------------------

    def external(self, number: int, resync: bool, behind: Sequence[int]) -> None:
        """Somebody joins by an external commit, or a member comes back by one."""
        host = self.current(number)
        side = host.side
        others = [each for each in side.people if each is not host]
        if resync and not others:
            return
        if not resync and len(side.epoch.members) >= MOST:
            return
        before, old = side.info, one(others, number // 5) if resync else None
        side.info = host.group.group_info(external=True)
        keys = self.keys(old.name if old else self.name())
        place = None
        if old is not None:
            self.follow(old, len(side.log), "")
            place = None if old.group.state.removed else old.group.me
        for _ in range(2):
            changed = changed_bytes(side.info, self.random)
            if changed != side.info:
                with pytest.raises(errors.PeerError):
                    self.outside(changed, keys, None)
                DONE["changed info"] += 1
        if before and number % 4 == 0 and before != side.info:
            self.outdated(side, host, before)
        group, message = self.outside(side.info, keys, place)
        self.tampered(host, message, "external commit")
        post = Post(message, self.newcomer(group, keys, side), side.epoch, epoch_of(group), external=True)
        assert post.after is not None
        person = post.author
        person.epoch = side.epoch = post.after
        side.log.append(post)
        person.at = len(side.log)
        self.check_excluded(side, group)
        self.attacked(side, message, post.epoch)
        if old is not None and place is not None:
            self.follow(old, 1, "")
            DONE["resync"] += 1
        else:
            DONE["external"] += 1
        self.hand_out(side, behind)

    def outside(self, info: bytes, keys: KeyPackageKeys, place: int | None) -> tuple[Group, bytes]:
        """An external commit."""
        resync = None if place is None else LeafIndex(place)
        return Group.join_external(info, keys, self.policy, now=self.now, random=self.draw, resync=resync)

    def newcomer(self, group: Group, keys: KeyPackageKeys, side: Side) -> Person:
        """Who comes in."""
        person = Person(name_of(keys.package.leaf_node), group, side, side.epoch, 0)
        person.go(group)
        side.people.append(person)
        return person

    def outdated(self, side: Side, host: Person, info: bytes) -> None:
        """A GroupInfo of another epoch leads nowhere."""
        _, message = self.outside(info, self.keys("late"), None)
        if host.current:
            self.refused(host, message, errors.WrongEpoch)
            DONE["external, too late"] += 1

    # --- forks ---------------------------------------------------------------------------

    def fork(self, mask: int) -> None:
        """A delivery service that tells two halves different things: they part for ever."""
        if len(self.sides) > 1:
            return
        (side,) = self.sides
        for person in list(side.people):
            self.follow(person, len(side.log), "")
        halves = [[p for place, p in enumerate(side.people) if mask >> (place % 16) & 1 == half] for half in (0, 1)]
        if not all(halves) or side.people[0].group.proposals:
            return
        other = Side(side.epoch, list(side.log), halves[1], [], side.info)
        side.people, self.sides = halves[0], [side, other]
        for person in halves[1]:
            person.side = other
        here, there = (self.made(each.people[0], (), 1) for each in self.sides)
        for each, mine, theirs in ((side, here, there), (other, there, here)):
            for person in each.people[1:2]:  # whoever has neither takes either
                _, outcome = person.group.process(theirs.pending.commit, self.now)
                assert isinstance(outcome, CommitChecked)
            self.took(mine, ())
        DONE["fork"] += 1

    def across(self, number: int) -> None:
        """What one side sends is refused by the other, and they never agree."""
        if len(self.sides) < 2:
            return
        here, there = self.sides[number % 2], self.sides[1 - number % 2]
        person = one(here.people, number // 2)
        posts = [each.message for each in there.log[-3:] if self.foreign(each.epoch, here)]
        messages = posts + [each.message for each in there.sent[-3:] if self.foreign(each.epoch, here)]
        for message in messages:
            self.refused(person, message)
            DONE["across"] += 1
        assert here.epoch.authenticator != there.epoch.authenticator
        assert here.epoch.context != there.epoch.context

    def foreign(self, epoch: Epoch, side: Side) -> bool:
        """Whether an epoch is none that a side ever had."""
        return epoch is not side.epoch and not any(post.epoch is epoch or post.after is epoch for post in side.log)

    def finish(self) -> None:
        """All get everything, and those of a side agree."""
        for side in self.sides:
            for person in list(side.people):
                self.follow(person, len(side.log), "")
            epochs = {id(person.epoch) for person in side.people}
            assert epochs == {id(side.epoch)}
            names = {person.name for person in side.people}
            assert names <= set(side.epoch.members.values())
            if len(self.sides) == 1:
                assert names == set(side.epoch.members.values())
