"""What the benchmark `mls` measures in a group of one size: each operation from bytes to bytes, beside its floor."""

from __future__ import annotations

import itertools
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Final, NamedTuple, Self

from benchmarks.floors.mls_floor import Sizes, Step, work
from benchmarks.mls_crowd import GROUP_ID, NOW, POLICY, Crowd, package_of, parsed
from tacit.mls import framing
from tacit.mls.group import Group
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.policy import Policy
from tacit.mls.processing import Application, CommitChecked
from tacit.mls.proposals import Add, Remove
from tacit.mls.state import PendingCommit
from tacit.mls.tree import Subtree
from tacit.mls.tree_math import LeafIndex
from tacit.mls.welcome import Welcome
from tacit.wire.codec import encode

BATCH: Final = 30
"""Messages in a row: what takes microseconds is not measured one by one."""
TEXTS: Final = (100, 1000)
MANY: Final = 100
"""Members from which more is asked."""
EXTRA: Final = 4
"""Key packages of people who are not in the group yet."""


@dataclass(frozen=True, slots=True)
class Case:
    """One operation, and the primitives under it."""

    name: str
    call: Callable[[], object]
    steps: list[Step] | None = None
    batch: int = 1


class Weights(NamedTuple):
    """Bytes of what travels and of what is kept."""

    name: str
    bytes: int


class Cold:
    """The group right after its founder added everybody."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._joiners = itertools.cycle(range(1, crowd.size))
        self._update = Update(crowd)

    def cases(self) -> Iterator[Case]:
        """In their order: a commit is made before it is processed."""
        crowd = self._crowd
        welcome = crowd.founding.welcome
        assert welcome is not None
        sizes = sizes_of(crowd, crowd.founding)
        size = crowd.size

        def join() -> None:
            Group.join(welcome, crowd.keys[next(self._joiners)], POLICY)

        def create() -> None:
            Group.create(GROUP_ID, crowd.keys[0], POLICY, os.urandom)

        yield Case("create", create, work("create", size, sizes))
        yield Case("add all", crowd.add_all, work("add all", size, sizes))
        yield Case("join cold", join, work("join cold", size, sizes))
        yield from self._update.cases("cold")

    def weights(self) -> Iterator[Weights]:
        """Of what travels."""
        founding = self._crowd.founding
        yield Weights("welcome for all", len(founding.welcome or b""))
        yield Weights("commit that adds all", len(founding.commit))
        yield Weights("update commit, cold", len(self._update.made[-1].commit))


class Update:
    """The first member renews its keys, and the last one, across the root, takes that."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._one, self._other = crowd.member(0), crowd.member(crowd.size - 1)
        self.made: deque[PendingCommit] = deque(maxlen=1)
        self.make()

    def make(self) -> None:
        """A commit of nothing but new keys."""
        self.made.append(self._one.commit(now=NOW, random=os.urandom)[1])

    def process(self) -> Group:
        """The group after it."""
        return taken(self._other, self.made[-1])

    def cases(self, how: str) -> Iterator[Case]:
        """Both sides."""
        crowd = self._crowd
        sizes = sizes_of(crowd, self.made[-1])
        yield Case(f"update made, {how}", self.make, work(f"update made, {how}", crowd.size, sizes))
        yield Case(f"update processed, {how}", self.process, work(f"update processed, {how}", crowd.size, sizes))

    def effort(self) -> tuple[int, int]:
        """Nodes of the tree that processing it copied, and hashes that were computed."""
        with Hashes() as hashes:
            after = self.process()
        return copied(self._other.state.epoch.tree.root, after.state.epoch.tree.root), hashes.count


class Warm:
    """The group once everybody committed, or enough of them that each node above two of its members has a key."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self.update = Update(crowd)
        self._one, self._other = crowd.member(0), crowd.member(crowd.size - 1)
        self._new = itertools.cycle([package_of(crowd.suite, crowd.size + number) for number in range(EXTRA)])
        self._added: deque[tuple[PendingCommit, KeyPackageKeys]] = deque(maxlen=1)
        self._removed: deque[PendingCommit] = deque(maxlen=1)
        self._add()
        self._remove()
        assert taken(self._other, self._added[-1][0]).epoch_authenticator == self.join().epoch_authenticator

    def _add(self) -> None:
        keys = next(self._new)
        package = framing.to_wire(keys.package)
        self._added.append((self._one.commit(Add(parsed(package)), now=NOW, random=os.urandom)[1], keys))

    def join(self, policy: Policy = POLICY) -> Group:
        """The group of who was added last."""
        commit, keys = self._added[-1]
        assert commit.welcome is not None
        return Group.join(commit.welcome, keys, policy)

    def _remove(self) -> None:
        last = LeafIndex(self._crowd.size - 1)
        self._removed.append(self._one.commit(Remove(last), now=NOW, random=os.urandom)[1])

    def cases(self) -> Iterator[Case]:
        """In their order: a commit is made before it is processed."""
        crowd, size = self._crowd, self._crowd.size
        yield from self.update.cases("warm")
        sizes = sizes_of(crowd, self._added[-1][0])
        yield Case("add 1 made", self._add, work("add 1 made", size, sizes))
        yield Case(
            "add 1 processed", lambda: taken(self._other, self._added[-1][0]), work("add 1 processed", size, sizes)
        )
        yield Case("join warm", self.join, work("join warm", size + 1, sizes))
        sizes = sizes_of(crowd, self._removed[-1])
        yield Case("remove made", self._remove, work("remove made", size, sizes))
        if size > 2:
            third = crowd.member(size - 2)
            steps = work("remove processed", size, sizes)
            yield Case("remove processed", lambda: taken(third, self._removed[-1]), steps)
        yield from self._keeping()
        for length in TEXTS:
            yield from Messages(self._one, self._other, length).cases()

    def _sent(self) -> tuple[Group, Group]:
        """The sender after its first message and after its second: the first one of an epoch writes more."""
        first, _ = self._one.protect(b"x" * 100, os.urandom)
        return first, first.protect(b"x" * 100, os.urandom)[0]

    def _keeping(self) -> Iterator[Case]:
        """Saving all, loading it, and saving what a message changes."""
        one, after = self._sent()
        records = one.records()
        often = BATCH if self._crowd.size < MANY else 1  # as ts-mls is measured: in a row
        yield Case("save all", one.records, batch=often)
        yield Case("load", lambda: Group.load(records, POLICY), batch=often)
        yield Case("save after a message", lambda: after.changed(one), batch=BATCH)

    def weights(self) -> Iterator[Weights]:
        """Of what travels and of what is kept."""
        commit, _ = self._added[-1]
        one, after = self._sent()
        yield Weights("update commit, warm", len(self.update.made[-1].commit))
        yield Weights("welcome for 1", len(commit.welcome or b""))
        yield Weights("all records", sum(map(len, one.records().values())))
        yield Weights("records after a message", sum(len(each or b"") for each in after.changed(one).values()))


class Messages:
    """Messages of one length, from the first member to the last."""

    def __init__(self, sender: Group, receiver: Group, length: int) -> None:
        self._length = length
        self._text = bytes(length)
        self._sender, self._receiver = sender, receiver
        self._sent: deque[bytes] = deque()
        self.protect()
        self.unprotect()

    def protect(self) -> None:
        """The next message."""
        self._sender, message = self._sender.protect(self._text, os.urandom)
        self._sent.append(message)

    def unprotect(self) -> None:
        """Reads the oldest one; one that was sent is always there, since protecting is measured first."""
        self._receiver, outcome = self._receiver.process(self._sent.popleft(), NOW)
        if not isinstance(outcome, Application) or outcome.data != self._text:
            raise RuntimeError("this is not what was sent")

    def cases(self) -> Iterator[Case]:
        """Both ways."""
        sizes = Sizes(text=self._length)
        yield Case(f"protect {self._length} B", self.protect, work("protect", 2, sizes), BATCH)
        yield Case(f"unprotect {self._length} B", self.unprotect, work("unprotect", 2, sizes), BATCH)


def taken(group: Group, commit: PendingCommit) -> Group:
    """The group after somebody else's commit, from its bytes; in the same state as the committer."""
    used, outcome = group.process(commit.commit, NOW)
    assert isinstance(outcome, CommitChecked)
    after = used.merge(outcome, NOW)
    epoch = commit.transition.epoch
    if epoch is None or after.epoch_authenticator != epoch.secrets.epoch_authenticator:
        raise RuntimeError("the two members have different epochs")
    return after


def sizes_of(crowd: Crowd, commit: PendingCommit) -> Sizes:
    """The bytes that the primitives of an operation work on."""
    package = crowd.keys[0].package
    leaf = encode(package.leaf_node)
    info = 0
    if commit.welcome is not None:
        welcome = framing.from_wire(commit.welcome)
        assert isinstance(welcome, Welcome)
        info = len(welcome.encrypted_group_info)
    return Sizes(len(package.init_key), len(leaf), len(commit.commit), info)


def copied(old: Subtree, new: Subtree) -> int:
    """Nodes of a tree that the one before it has not."""
    if old is new:
        return 0
    if not new.level:
        return 1
    pairs = zip(old.children(), new.children(), strict=True)
    return 1 + sum(copied(before, after) for before, after in pairs)


class Hashes:
    """Counts the hashes of hashlib that are computed within, those of HMAC apart."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _event(self, _: FrameType, event: str, call: object) -> None:
        if event == "c_call" and getattr(call, "__name__", "") == "digest":
            self.count += type(getattr(call, "__self__", None)).__name__ == "HASH"
