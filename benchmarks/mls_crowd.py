"""Groups of any size for the benchmark `mls`: all members' keys, one shared epoch, and each member's view of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Final

from tacit.crypto.kem import PrivateKey
from tacit.mls import framing, joining
from tacit.mls.credential import BasicCredential
from tacit.mls.group import Group
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.key_package import KeyPackage
from tacit.mls.leaf_node import LeafNode, Lifetime
from tacit.mls.policy import Policy, in_parts
from tacit.mls.proposals import Add
from tacit.mls.state import Epoch, PendingCommit, first_state
from tacit.mls.suites import CipherSuite
from tacit.mls.tree_math import LeafIndex, NodeIndex

NOW: Final = 1_800_000_000
LIFETIME: Final = Lifetime(NOW - 3600, NOW + 90 * 24 * 3600)
GROUP_ID: Final = b"a group that is measured"


class Everybody(Policy):
    """Takes every credential: whose key it is, is looked up elsewhere."""

    def authenticate(self, leaf: LeafNode) -> None:
        """Everybody is who they say that they are."""


class Threaded(Everybody):
    """The same, with signatures checked in a pool of threads."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    def mapped(
        self, function: Callable[[tuple[int, LeafNode]], None], members: Iterable[tuple[int, LeafNode]]
    ) -> Iterable[None]:
        return in_parts(self._pool.map, function, members)


POLICY: Final = Everybody()


def package_of(suite: CipherSuite, number: int) -> KeyPackageKeys:
    """A key package with its private keys."""
    name = BasicCredential(f"member-{number:06}".encode())
    return joining.new_key_package(suite, suite.new_signature_key(os.urandom), name, LIFETIME, os.urandom)


def parsed(package: bytes) -> KeyPackage:
    """A key package as it is fetched."""
    found = framing.from_wire(package)
    assert isinstance(found, KeyPackage)
    return found


class Crowd:
    """A group of `size` members, all added by the first one in one commit, and everybody's private keys.

    What all members have in common is there once: a member's view is that epoch with its own keys.
    """

    def __init__(self, suite: CipherSuite, size: int) -> None:
        self.suite, self.size = suite, size
        self.keys = [package_of(suite, number) for number in range(size)]
        self.packages = [framing.to_wire(each.package) for each in self.keys]
        self.alone = Group.create(GROUP_ID, self.keys[0], POLICY, os.urandom)
        self.founding = self.add_all()
        self.private: dict[NodeIndex, PrivateKey] = {
            NodeIndex(2 * number): each.leaf_key for number, each in enumerate(self.keys)
        }
        self.group = self.alone
        self.take(self.founding)

    def add_all(self) -> PendingCommit:
        """The commit that adds everybody else, from their key packages' bytes."""
        adds = (Add(parsed(package)) for package in self.packages[1:])
        return self.alone.commit(*adds, now=NOW, random=os.urandom)[1]

    def take(self, commit: PendingCommit) -> None:
        """Everybody goes on to the epoch of a commit."""
        self.private.update(commit.transition.keys)
        assert commit.transition.epoch is not None
        self.group = self._view(commit.transition.epoch, commit.transition.me)

    def member(self, number: int) -> Group:
        """The group as this member has it."""
        return self._view(self.group.state.epoch, LeafIndex(number))

    def _view(self, epoch: Epoch, me: LeafIndex) -> Group:
        tree = epoch.tree
        keys: dict[NodeIndex, PrivateKey] = {}
        for subtree in tree.path(me):
            key = self.private.get(subtree.index)
            if key is not None and subtree.node is not None and subtree.node.encryption_key == key.public:
                keys[subtree.index] = key
        return Group(first_state(epoch, me, keys, self.keys[me].signer), POLICY)

    def update_of(self, number: int) -> PendingCommit:
        """A commit by which a member renews its keys."""
        return self.member(number).commit(now=NOW, random=os.urandom)[1]

    def warm(self, committers: list[int]) -> None:
        """Each of these members renews its keys, one after the other."""
        for number in committers:
            self.take(self.update_of(number))


def beside(number: int, size: int) -> list[int]:
    """One member of each subtree beside a member's path, of the largest first.

    Once all of them committed, each of those subtrees has one key.
    """
    levels = range((size - 1).bit_length())
    first = (((number >> level) ^ 1) << level for level in reversed(levels))
    return [each for each in first if each < size]


def committers(size: int) -> list[int]:
    """Who commits until the group is warm: everybody, in an order in which the tree fills from above.

    Above 1,000 members those do whose subtrees lie beside the first and the last one's path.
    """
    if size > 1000:
        return list(dict.fromkeys((*beside(0, size), *beside(size - 1, size))))
    levels = (size - 1).bit_length()
    turned = (int(f"{number:0{levels}b}"[::-1], 2) for number in range(1 << levels))
    return [number for number in turned if number < size]
