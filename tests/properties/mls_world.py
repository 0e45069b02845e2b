"""Groups of the MLS engine on a delivery service that loses, delays, repeats and changes what it carries.

`World` keeps what has to be: who is in which epoch, which message can be read by whom, and what every operation gives
is held against that. A `Side` is a group as one part of its members have it: a fork makes two.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

import pytest

from changed_bytes import changed_bytes
from mls.deep import deep_hash, secrets_in
from properties.mls_door import Disk
from properties.mls_truth import (
    Epoch,
    breaks_in,
    check_agrees,
    check_consumed,
    check_keys,
    name_of,
    private_keys,
)
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import framing
from tacit.mls.framing import PrivateMessage
from tacit.mls.group import Group
from tacit.mls.leaf_node import LeafNode
from tacit.mls.policy import Policy
from tacit.mls.processing import Application, CommitChecked, Outcome, Own, ProposalTaken
from tacit.mls.secret_tree import Window
from tacit.mls.state import PendingCommit, State

MOST: Final = 40
"""Members of a group."""
T = TypeVar("T")
DONE: Counter[str] = Counter()
"""How often each operation occurred, over all worlds of this process."""


class Private(Policy):
    """Everybody is who they say; little is kept, so that its limits are met."""

    window = Window(ahead=6, behind=4)
    past_epochs = 2
    past_seconds = 100
    resumption_epochs = 4
    external_joins = True

    def authenticate(self, leaf: LeafNode) -> None:
        pass

    def external_psk(self, psk_id: bytes) -> Secret:
        return Secret(b"the key of " + psk_id)


class Public(Private):
    """The same, with proposals and commits in the clear."""

    private_handshakes = False


def one(things: Sequence[T], number: int) -> T:
    """One of them."""
    return things[number % len(things)]


@dataclasses.dataclass(eq=False, slots=True)
class Heard:
    """What somebody has of one sender's messages in one epoch: all that `Window` lets it know."""

    front: int = 0
    got: set[int] = dataclasses.field(default_factory=set)

    def has_key(self, generation: int, window: Window) -> bool:
        """Whether that message can be read."""
        if generation >= self.front:
            return generation - self.front <= window.ahead
        return generation not in self.got and generation >= self.front - window.behind

    def hear(self, generation: int) -> None:
        """It was read."""
        self.got.add(generation)
        self.front = max(self.front, generation + 1)


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Post:
    """A proposal or a commit that the delivery service took; `names` are the references in a commit."""

    message: bytes
    author: Person
    epoch: Epoch
    after: Epoch | None = None
    reference: bytes = b""
    names: frozenset[bytes] = frozenset()
    external: bool = False


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Sent:
    """A message of the application that is under way."""

    message: bytes
    author: Person
    epoch: Epoch
    generation: int
    data: bytes


@dataclasses.dataclass(eq=False, slots=True)
class Side:
    """A group as the delivery service has it, and who follows it."""

    epoch: Epoch
    log: list[Post] = dataclasses.field(default_factory=list)
    people: list[Person] = dataclasses.field(default_factory=list)
    sent: list[Sent] = dataclasses.field(default_factory=list)
    info: bytes = b""


@dataclasses.dataclass(eq=False, slots=True)
class Person:
    """A member, or somebody who was one."""

    name: str
    group: Group
    side: Side
    epoch: Epoch
    at: int
    """How many posts it has processed."""
    kept: list[tuple[Epoch, int]] = dataclasses.field(default_factory=list)
    heard: dict[tuple[Epoch, Person], Heard] = dataclasses.field(default_factory=dict)
    spoken: Counter[Epoch] = dataclasses.field(default_factory=Counter)
    stale: PendingCommit | None = None
    old: list[State] = dataclasses.field(default_factory=list)
    disk: Disk = dataclasses.field(default_factory=Disk)
    hashed: str = ""
    public: set[bytes] = dataclasses.field(default_factory=set)
    secrets: set[bytes] = dataclasses.field(default_factory=set)
    """Of somebody who is gone: the public keys whose private ones it had, and the secrets of its epochs."""

    @property
    def current(self) -> bool:
        """Whether it has everything that the delivery service took."""
        return self.at == len(self.side.log)

    def go(self, group: Group) -> None:
        """Another state."""
        self.group, self.hashed = group, ""
        if not group.state.removed:
            check_keys(group.state)
        self.old.append(group.state)
        self.disk.keep(group.state)

    def hash(self) -> str:
        """The hash of the state when it was first asked for."""
        self.hashed = self.hashed or deep_hash(self.group.state)
        return self.hashed

    def enter(self, group: Group, epoch: Epoch, policy: Policy, now: int) -> None:
        """The next epoch, in which it agrees with whoever began it."""
        check_agrees(group, epoch)
        kept = [(self.epoch, now), *self.kept][: policy.past_epochs]
        self.kept = [(each, ended) for each, ended in kept if now - ended <= policy.past_seconds]
        self.epoch = epoch
        self.go(group)

    def reads(self, epoch: Epoch, now: int, policy: Policy) -> bool:
        """Whether it can still read what was sent in an epoch."""
        past = any(each is epoch and now - ended <= policy.past_seconds for each, ended in self.kept)
        return epoch is self.epoch or past


class Carrier:
    """What the delivery service does to messages, and what has to come of it."""

    def __init__(self, seed: int, policy: Private) -> None:
        self.random = Random(seed)
        self.policy = policy
        self.now = 1000
        self.gone: list[Person] = []

    def draw(self, count: int) -> bytes:
        """Randomness for the engine."""
        return self.random.randbytes(count)

    def seldom(self) -> bool:
        """Now and then, for what costs much and everybody would do."""
        return self.random.randrange(8) == 0

    # --- refusals ------------------------------------------------------------------------

    def refused(self, person: Person, message: bytes, *kinds: type[errors.TacitError]) -> None:
        """A message is refused, and the state is as it was to the bit."""
        before = person.hash()
        with pytest.raises(kinds or errors.PeerError):
            person.group.process(message, self.now)
        assert deep_hash(person.group.state) == before, "a refused message changed the state"

    def tampered(self, person: Person, message: bytes, what: str) -> None:
        """Changed messages are refused: of somebody else, before the right one came."""
        # At the end is a tag: of an external commit the one that nothing but the epoch itself confirms.
        for other in (changed_bytes(message, self.random), message[:-1] + bytes((message[-1] ^ 1,))):
            if other != message:
                self.refused(person, other)
                DONE[f"changed {what}"] += 1

    def crash(self, person: Person) -> None:
        """What is left of a process that ended is its snapshot."""
        before = deep_hash(person.group.state)
        person.go(person.disk.restored(person.group))
        assert deep_hash(person.group.state) == before, "the snapshot brings back another state"
        DONE["crash"] += 1

    # --- messages of the application -----------------------------------------------------

    def say(self, author: Person) -> None:
        """A message that is on its way from now on."""
        data = b"text %d" % self.random.randrange(1 << 30)
        if author.group.proposals:
            before = author.hash()
            with pytest.raises(errors.InvalidArgument):
                author.group.protect(data, self.draw)
            assert deep_hash(author.group.state) == before
            DONE["say refused"] += 1
            return
        before_state = author.group.state
        group, message = author.group.protect(data, self.draw, b"aad")
        parsed = framing.from_wire(message)
        assert isinstance(parsed, PrivateMessage)
        check_consumed(before_state, group.state, parsed, self.policy)
        author.go(group)
        author.side.sent.append(Sent(message, author, author.epoch, author.spoken[author.epoch], data))
        author.spoken[author.epoch] += 1
        DONE["say"] += 1
        self.attacked(author.side, message, author.epoch)

    def deliver(self, person: Person, sent: Sent, *, crash: bool = False, tamper: bool = False) -> None:
        """A message arrives, early, late or again."""
        if not person.reads(sent.epoch, self.now, self.policy):
            numbers = {person.epoch.number, *(each.number for each, _ in person.kept)}
            self.refused(person, sent.message, *([] if sent.epoch.number in numbers else [errors.WrongEpoch]))
            DONE["read: epoch gone"] += 1
            return
        if sent.author is person:
            group, outcome = person.group.process(sent.message, self.now)
            assert isinstance(outcome, Own), "an own echo was not recognised"
            assert outcome.epoch == sent.epoch.number
            assert deep_hash(group.state) == person.hash()
            DONE["read: own"] += 1
            return
        heard = person.heard.setdefault((sent.epoch, sent.author), Heard())
        if not heard.has_key(sent.generation, self.policy.window):
            self.refused(person, sent.message, errors.KeyConsumed)
            DONE["read: again" if sent.generation in heard.got else "read: out of window"] += 1
            return
        if tamper:
            self.tampered(person, sent.message, "text")
        state, before = person.group.state, person.hash() if tamper or crash else ""
        group, outcome = person.group.process(sent.message, self.now)
        if crash:  # before the new state was kept
            self.crash(person)
            group, outcome = person.group.process(sent.message, self.now)
        assert isinstance(outcome, Application)
        assert (outcome.data, outcome.authenticated_data, outcome.epoch) == (sent.data, b"aad", sent.epoch.number)
        assert sent.epoch.members[outcome.sender] == name_of(outcome.leaf) == sent.author.name
        if tamper or crash:
            assert deep_hash(state) == before, "processing changed the former state"
        parsed = framing.from_wire(sent.message)
        assert isinstance(parsed, PrivateMessage)
        check_consumed(state, group.state, parsed, self.policy)
        DONE["read: " + ("now" if sent.epoch is person.epoch else "late")] += 1
        DONE["read: not in order"] += sent.generation < heard.front
        heard.hear(sent.generation)
        person.go(group)

    def deliver_some(self, person: Person, number: int, fault: str) -> None:
        """Some of what is under way arrives, in some order; what does not is lost."""
        under_way = person.side.sent[-10:]
        self.random.shuffle(under_way)
        for sent in under_way[: 1 + number % 10]:
            self.deliver(person, sent, crash=fault == "crash", tamper=fault == "change")
            if fault == "twice":
                self.deliver(person, sent)

    # --- proposals and commits -----------------------------------------------------------

    def follow(self, person: Person, count: int, fault: str) -> None:
        """A member processes what the delivery service took, with something going wrong on the way."""
        held: list[Post] = []
        while count and not person.current and not person.group.state.removed:
            count -= 1
            post = person.side.log[person.at]
            if fault == "early":
                for later in person.side.log[person.at + 1 :]:
                    if later.epoch is not person.epoch:
                        self.refused(person, later.message, errors.WrongEpoch)
                        DONE["early"] += 1
                        break
            if fault == "lost" and post.after is None and not held and post.author is not person:
                held.append(post)
                person.at += 1
                DONE["lost proposal"] += 1
                continue
            if fault == "change" and post.author is not person and not self._removes(post, person):
                self.tampered(person, post.message, "proposal" if post.after is None else "commit")
            if post.after is not None and any(each.reference in post.names for each in held):
                self.refused(person, post.message, errors.ProposalMissing)
                self.take(person, held.pop(), "")
                DONE["proposal missing"] += 1
            if post.after is not None:
                held.clear()
            self.take(person, post, fault)
            person.at += 1
        for each in held:
            self.take(person, each, "")
        if person.group.state.removed:
            self.leave(person)

    def _removes(self, post: Post, person: Person) -> bool:
        """Whether a commit is an external one by which somebody goes, who cannot check its confirmation tag."""
        return post.external and post.after is not None and person.name not in post.after.members.values()

    def take(self, person: Person, post: Post, fault: str) -> None:
        """A proposal or a commit that is in its turn."""
        state = person.group.state
        before = person.hash() if fault or self.seldom() else ""
        group, outcome = person.group.process(post.message, self.now)
        if fault == "crash":
            self.crash(person)
            group, outcome = person.group.process(post.message, self.now)
        if before:
            assert deep_hash(state) == before, "processing changed the former state"
            self._used_up(person, group, post, outcome)
        if fault == "twice":
            person.go(group)
            self._again(person, post, outcome)
        if post.after is None:
            assert isinstance(outcome, ProposalTaken | Own)
            person.go(group)
            return
        if not isinstance(outcome, CommitChecked):
            raise AssertionError(f"a commit came out as {outcome}")
        self.enter(person, group, outcome, post)

    def _used_up(self, person: Person, group: Group, post: Post, outcome: Outcome) -> None:
        parsed = framing.from_wire(post.message)
        if isinstance(parsed, PrivateMessage) and not isinstance(outcome, Own):
            check_consumed(person.group.state, group.state, parsed, self.policy)

    def _again(self, person: Person, post: Post, outcome: Outcome) -> None:
        """In the clear no key is used up: the same again is the same."""
        DONE["twice"] += 1
        if self.policy.private_handshakes and not isinstance(outcome, Own) and not post.external:
            self.refused(person, post.message, errors.KeyConsumed)
            return
        group, _ = person.group.process(post.message, self.now)
        assert deep_hash(group.state) == person.hash()

    def enter(self, person: Person, group: Group, commit: PendingCommit | CommitChecked, post: Post) -> None:
        """A commit is applied."""
        assert post.after is not None
        if person.name not in post.after.members.values() or (post.external and post.author.name == person.name):
            assert commit.effects.removed if isinstance(commit, PendingCommit) else commit.transition.epoch is None
            assert not breaks_in(person.old, self.policy, post.message, post.after), "a removed member gets in"
            DONE["attack by a removed member"] += 1
            person.go(group.merge(commit, self.now))
            assert person.group.state.removed
            return
        if post.author is not person and self.seldom():  # the attack itself is right
            assert breaks_in(person.old, self.policy, post.message, post.after)
            DONE["attack: control"] += 1
        person.enter(group.merge(commit, self.now), post.after, self.policy, self.now)
        if self.seldom():
            self.refused(person, post.message, errors.WrongEpoch)
        if person.stale is not None:
            with pytest.raises(errors.WrongEpoch):
                person.group.merge(person.stale, self.now)
            person.stale = None

    # --- those who were removed ----------------------------------------------------------

    def leave(self, person: Person) -> None:
        """Somebody is no member any more, and keeps all that it ever had."""
        for call in (
            lambda: person.group.protect(b"", self.draw),
            lambda: person.group.commit(now=0, random=self.draw),
        ):
            with pytest.raises(errors.GroupEnded):
                call()
        if person in person.side.people:
            person.side.people.remove(person)
        person.public = set(private_keys(person.old))
        person.secrets = secrets_in(tuple({id(each.epoch): each.epoch.secrets for each in person.old}.values())) - {b""}
        self.gone.append(person)

    def attacked(self, side: Side, message: bytes, epoch: Epoch) -> None:
        """Whoever was removed tries a message of a later epoch with old states."""
        for person in self.gone[-4:]:
            if person.side is side and epoch.number > person.epoch.number:
                for state in person.old[-5:]:
                    with pytest.raises(errors.TacitError):
                        Group(state, self.policy).process(message, self.now)
                    DONE["old state tried"] += 1

    def check_excluded(self, side: Side, group: Group) -> None:
        """Nothing that somebody who is gone ever had is of use in a new epoch."""
        nodes = {each.node.encryption_key for each in group.state.epoch.tree.subtrees() if each.node is not None}
        new = secrets_in(group.state.epoch.secrets)
        for person in self.gone:
            if person.side is side:
                assert not nodes & person.public, "a removed member has a key of the tree"
                assert not new & person.secrets, "a removed member has a secret of the epoch"
                DONE["exclusion"] += 1
