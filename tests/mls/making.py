"""Members with real keys, and valid structs of them: what a test bends, it signs again."""

from __future__ import annotations

import dataclasses
import random
from typing import Any, Final

from tacit.crypto.kem import PrivateKey
from tacit.crypto.secret import Randomness, Secret
from tacit.mls import tree_math, treekem
from tacit.mls.commit import UpdatePath
from tacit.mls.credential import BasicCredential
from tacit.mls.extensions import Extension
from tacit.mls.group_context import GroupContext
from tacit.mls.key_package import MLS10, KeyPackage
from tacit.mls.leaf_node import Capabilities, Committed, LeafNode, Lifetime, Updated
from tacit.mls.suites import SUITES, CipherSuite, SignatureKey
from tacit.mls.tree import AnyNode, Tree, new_tree
from tacit.mls.tree_math import LeafIndex, NodeIndex

SUITE: Final = SUITES[1]
"""The fastest."""
GROUP_ID: Final = b"a group"
NOW: Final = 1_700_000_000
"""Unix seconds."""
LIFETIME: Final = Lifetime(NOW - 3600, NOW + 3600)


def draws(seed: str) -> Randomness:
    """Randomness that is the same for the same seed."""
    return random.Random(seed).randbytes


def capabilities(suite: CipherSuite = SUITE, **changes: tuple[int, ...]) -> Capabilities:
    """Those of a client of one suite with basic credentials and no extensions."""
    return dataclasses.replace(Capabilities((MLS10,), (suite.id,), (), (), (1,)), **changes)


@dataclasses.dataclass(frozen=True)
class Client:
    """Somebody with keys: to sign, for a leaf, and to be invited; all of them follow from the name."""

    name: str
    suite: CipherSuite
    signer: SignatureKey
    leaf_key: PrivateKey
    init_key: PrivateKey

    def leaf(self, index: int = 0, **changes: Any) -> LeafNode:
        """A signed leaf, of a key package unless `source` is another; then for that place in `GROUP_ID`."""
        leaf = LeafNode(
            self.leaf_key.public,
            self.signer.public,
            BasicCredential(self.name.encode()),
            capabilities(self.suite),
            LIFETIME,
            (),
            b"",
        )
        return self.signed(dataclasses.replace(leaf, **changes), index)

    def signed(self, leaf: LeafNode, index: int = 0, group_id: bytes = GROUP_ID) -> LeafNode:
        """The leaf with a signature of this client over whatever is in it."""
        to_sign = leaf.to_be_signed(group_id, index)
        return dataclasses.replace(leaf, signature=self.suite.sign_with_label(self.signer, "LeafNodeTBS", to_sign))

    def package(self, **changes: Any) -> KeyPackage:
        """A signed key package."""
        package = KeyPackage(MLS10, self.suite.id, self.init_key.public, self.leaf(), (), b"")
        package = dataclasses.replace(package, **changes)
        signature = self.suite.sign_with_label(self.signer, "KeyPackageTBS", package.to_be_signed())
        return dataclasses.replace(package, signature=signature)


def client(name: str, suite: CipherSuite = SUITE) -> Client:
    """Somebody with keys."""
    random = draws(name)
    kem = suite.hpke.kem
    return Client(name, suite, suite.new_signature_key(random), kem.generate(random), kem.generate(random))


def group_context(tree: Tree, epoch: int = 1, extensions: tuple[Extension, ...] = ()) -> GroupContext:
    """The context of a group with that tree."""
    return GroupContext(MLS10, SUITE.id, GROUP_ID, epoch, tree.tree_hash(SUITE), bytes(32), extensions)


@dataclasses.dataclass(frozen=True)
class Sent:
    """A path as it was sent: the tree before it, who sent it, the path, its context, and its commit secret."""

    before: Tree
    sender: LeafIndex
    path: UpdatePath
    context: bytes
    commit_secret: Secret


def put(tree: Tree, index: int, node: AnyNode | None) -> Tree:
    """The tree with another node there."""
    leftmost = (index + 1 - (1 << tree_math.level(index))) // 2
    return tree.with_path(leftmost, {each.index: each.node for each in tree.path(leftmost)} | {NodeIndex(index): node})


class Grove:
    """A tree whose members all follow each other's changes: real keys, real paths, real signatures.

    `keys` has the private keys of every member, by its leaf.
    """

    def __init__(self, members: int = 1, seed: str = "grove") -> None:
        self.seed = seed
        self.count = 0
        self.random = draws(seed)
        first = self._newcomer()
        self.tree = new_tree(first.leaf())
        self.clients = {LeafIndex(0): first}
        self.keys: dict[LeafIndex, dict[NodeIndex, PrivateKey]] = {LeafIndex(0): {NodeIndex(0): first.leaf_key}}
        for _ in range(members - 1):
            self.add()

    def _newcomer(self) -> Client:
        self.count += 1
        return client(f"{self.seed} {self.count}")

    def add(self) -> LeafIndex:
        """Somebody new."""
        somebody = self._newcomer()
        self.tree, leaf = self.tree.added(somebody.leaf())
        self.clients[leaf] = somebody
        self.keys[leaf] = {NodeIndex(2 * leaf): somebody.leaf_key}
        return leaf

    def remove(self, leaf: LeafIndex) -> None:
        """Somebody goes."""
        before, self.tree = self.tree, self.tree.removed(leaf)
        del self.clients[leaf], self.keys[leaf]
        self._forget(before)

    def update(self, leaf: LeafIndex) -> None:
        """An Update of somebody's leaf."""
        key = SUITE.hpke.kem.generate(self.random)
        leaf_node = self.clients[leaf].leaf(leaf, encryption_key=key.public, source=Updated())
        before, self.tree = self.tree, self.tree.updated(leaf, leaf_node)
        self._forget(before)
        self.keys[leaf] = {NodeIndex(2 * leaf): key}

    def path(self, leaf: LeafIndex, joiners: tuple[int, ...] = ()) -> Sent:
        """New keys from somebody's leaf to the root, which everybody takes but the joiners."""
        before, somebody = self.tree, self.clients[leaf]

        def signed(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
            return somebody.leaf(leaf, encryption_key=encryption_key, source=Committed(parent_hash))

        made = treekem.new_path(SUITE, before, leaf, signed, self.random)
        context = b"a context"
        path = treekem.encrypted(SUITE, made, context, joiners)
        self.tree, filtered = treekem.applied(SUITE, before, leaf, path)
        held = self.keys
        self._forget(before)
        for other in self.clients:
            if other == leaf:
                found, secret = made.keys, made.commit_secret
            elif other in joiners:
                shared = [index for index in made.path_secrets if self.tree.subtree(index).covers(2 * other)]
                found = treekem.from_welcome(SUITE, self.tree, other, leaf, made.path_secrets[shared[0]])
                secret = made.commit_secret
            else:
                found, secret = treekem.opened(SUITE, filtered, path, other, held[other], context, joiners)
            assert secret == made.commit_secret
            self.keys[other] = {**self.keys[other], **found}
        return Sent(before, leaf, path, context, made.commit_secret)

    def _forget(self, before: Tree) -> None:
        self.keys = {leaf: dict(treekem.kept(keys, before, self.tree, leaf)) for leaf, keys in self.keys.items()}
