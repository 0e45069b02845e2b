"""TreeKEM (RFC 9420 §7.4 to §7.6): new keys from a leaf to the root, encrypted to everybody beside the path."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tacit import errors
from tacit.crypto.kem import PrivateKey
from tacit.crypto.secret import Randomness, Secret
from tacit.mls import tree_math
from tacit.mls.commit import Ciphertexts, UpdatePath, UpdatePathNode
from tacit.mls.leaf_node import Committed, LeafNode
from tacit.mls.nodes import ParentNode
from tacit.mls.parent_hash import parent_hash
from tacit.mls.suites import CipherSuite, HPKECiphertext
from tacit.mls.tree import AnyNode, Subtree, Tree
from tacit.mls.tree_math import LeafIndex, NodeIndex

_LABEL: Final = "UpdatePathNode"
PrivateKeys = Mapping[NodeIndex, PrivateKey]
"""The private keys that a member has: of its leaf, and of nodes above it."""
FilteredPath = list[tuple[Subtree, Subtree]]
Joiners = Collection[int]
"""Leaves that the same commit adds: they get their path secret in the Welcome instead (§12.4.1)."""


@dataclass(frozen=True, slots=True)
class NewPath:
    """A path that the committer made: the tree with it, its keys, and a path secret for each of its nodes."""

    tree: Tree
    leaf: LeafNode
    keys: dict[NodeIndex, PrivateKey]
    path_secrets: dict[NodeIndex, Secret]
    commit_secret: Secret
    filtered: FilteredPath


def node_key(suite: CipherSuite, path_secret: Secret) -> PrivateKey:
    """The key pair of a node from its path secret (§7.4)."""
    return suite.derive_key_pair(suite.derive_secret(path_secret, "node"))


def _chain(suite: CipherSuite, first: Secret, count: int) -> tuple[list[Secret], Secret]:
    """So many path secrets, each derived from the one before, and what follows them: the commit secret."""
    secrets, here = [], first
    for _ in range(count):
        secrets.append(here)
        here = suite.derive_secret(here, "path")
    return secrets, here


def _laid(suite: CipherSuite, filtered: FilteredPath, keys: Sequence[bytes]) -> tuple[dict[NodeIndex, AnyNode], bytes]:
    """Nodes with these keys for the filtered path, from the leaf upwards (§7.5).

    With them the parent hash that the leaf below them carries, none where nobody is beside it (§7.9).
    """
    nodes: dict[NodeIndex, AnyNode] = {}
    above = b""
    for (here, other), key in zip(reversed(filtered), reversed(keys), strict=True):
        node = ParentNode(key, above, ())
        nodes[here.index] = node
        above = parent_hash(suite, node, other.tree_hash(suite))
    return nodes, above


def new_path(
    suite: CipherSuite,
    tree: Tree,
    leaf: LeafIndex,
    made: Callable[[bytes, bytes], LeafNode],
    random: Randomness,
) -> NewPath:
    """New keys for the filtered direct path of a leaf (§7.5).

    `made` makes the signed leaf of its encryption key and its parent hash.
    """
    filtered = tree.filtered_direct_path(leaf)
    leaf_key = suite.hpke.kem.generate(random)
    secrets, commit_secret = _chain(suite, Secret(random(suite.hash_bytes)), len(filtered))
    keys = [node_key(suite, secret) for secret in secrets]
    nodes, above = _laid(suite, filtered, [key.public for key in keys])
    nodes[NodeIndex(2 * leaf)] = leaf_node = made(leaf_key.public, above)
    places = [here.index for here, _ in filtered]
    return NewPath(
        tree.with_path(leaf, nodes),
        leaf_node,
        {NodeIndex(2 * leaf): leaf_key, **dict(zip(places, keys, strict=True))},
        dict(zip(places, secrets, strict=True)),
        commit_secret,
        filtered,
    )


def encrypted(suite: CipherSuite, path: NewPath, context: bytes, joiners: Joiners) -> UpdatePath:
    """The path as it travels: each path secret for everybody on the other side but the joiners (§7.5).

    `context` is the encoded provisional GroupContext (§7.6), which is hashed once for all of them.
    """
    info = suite.prepare(_LABEL, context)
    skipped = {2 * leaf for leaf in joiners}
    nodes = []
    for here, other in path.filtered:
        secret = path.path_secrets[here.index].reveal()
        ciphertexts = Ciphertexts.of(
            suite.encrypt_with_label(node.encryption_key, info, secret)
            for index, node in other.resolved_nodes()
            if index not in skipped
        )
        nodes.append(UpdatePathNode(path.keys[here.index].public, ciphertexts))
    return UpdatePath(path.leaf, tuple(nodes))


# --- somebody else's path ----------------------------------------------------------------


def applied(suite: CipherSuite, tree: Tree, leaf: LeafIndex, path: UpdatePath) -> tuple[Tree, FilteredPath]:
    """The tree with a path that somebody sent, and that path (§7.5); raises `InvalidGroupMessage`."""
    filtered = tree.filtered_direct_path(leaf)
    if len(path.nodes) != len(filtered):
        raise errors.InvalidGroupMessage("§7.5: the path has not one node for each of the filtered direct path")
    nodes, above = _laid(suite, filtered, [node.encryption_key for node in path.nodes])
    source = path.leaf_node.source
    if not isinstance(source, Committed):
        raise errors.InvalidGroupMessage("§12.4.2: the leaf of a path has another source")
    if source.parent_hash != above:
        raise errors.InvalidGroupMessage("§7.9.2: the leaf's parent hash is not that of its path")
    nodes[NodeIndex(2 * leaf)] = path.leaf_node
    return tree.with_path(leaf, nodes), filtered


def opened(
    suite: CipherSuite,
    filtered: FilteredPath,
    path: UpdatePath,
    mine: LeafIndex,
    keys: PrivateKeys,
    context: bytes,
    joiners: Joiners,
) -> tuple[dict[NodeIndex, PrivateKey], Secret]:
    """The keys that a path gives to the member at `mine`, and the commit secret (§7.5).

    Raises `InvalidGroupMessage` where counts or keys are not as the tree says, `DecryptionError`.
    """
    added, size = sorted(joiners), suite.ciphertext_bytes(suite.hash_bytes)
    found: tuple[int, HPKECiphertext, PrivateKey] | None = None
    for place, ((here, other), node) in enumerate(zip(filtered, path.nodes, strict=True)):
        receivers = other.resolved - (_joiners_below(other, added) if added else 0)
        if len(node.encrypted_path_secret.encoded) != receivers * size:
            raise errors.InvalidGroupMessage("§7.6: a path secret is not there for each node of the resolution")
        if found is None and here.covers(2 * mine):
            position, index = _position(other, mine, keys, added)
            found = place, node.encrypted_path_secret[position], keys[index]
    if found is None:
        raise errors.InvalidGroupMessage("§7.5: the path has nothing for this member")
    place, ciphertext, key = found
    path_secret = Secret(suite.decrypt_with_label(key, _LABEL, context, ciphertext))
    nodes = [here for here, _ in filtered][place:]
    return _derived(suite, nodes, [node.encryption_key for node in path.nodes][place:], path_secret)


def _joiners_below(subtree: Subtree, joiners: Sequence[int]) -> int:
    """How many of these leaves, in order, are below a node: each of them is in its resolution once."""
    first, last = subtree.index - (1 << subtree.level) + 1, subtree.index + (1 << subtree.level) - 1
    return bisect.bisect_right(joiners, last // 2) - bisect.bisect_left(joiners, first // 2)


def _position(other: Subtree, mine: LeafIndex, keys: PrivateKeys, joiners: Sequence[int]) -> tuple[int, NodeIndex]:
    """Where in a resolution without the joiners stands a node whose key this member has, and that node (§4.1.1)."""
    here, before = other, 0
    while here.node is None and here.level:
        left, right = here.children()
        if 2 * mine < here.index:
            here = left
        else:
            before += left.resolved - _joiners_below(left, joiners)
            here = right
    if here.node is not None and here.index in keys:
        return before, here.index
    leaf = NodeIndex(2 * mine)
    if isinstance(here.node, ParentNode) and mine in here.node.unmerged_leaves and leaf in keys:
        earlier = here.node.unmerged_leaves[: here.node.unmerged_leaves.index(mine)]
        return before + 1 + len(set(earlier).difference(joiners)), leaf
    raise errors.InvalidGroupMessage("§7.5: the path has nothing for this member")


def _derived(
    suite: CipherSuite, nodes: list[Subtree], publics: list[bytes], path_secret: Secret
) -> tuple[dict[NodeIndex, PrivateKey], Secret]:
    """The keys of these nodes, lowest first; raises `InvalidGroupMessage` unless they are the public ones."""
    if len(path_secret) != suite.hash_bytes:
        raise errors.InvalidGroupMessage("§7.4: a path secret is of the wrong size")
    secrets, commit_secret = _chain(suite, path_secret, len(nodes))
    keys: dict[NodeIndex, PrivateKey] = {}
    for node, public, secret in zip(nodes, publics, secrets, strict=True):
        key = node_key(suite, secret)
        if key.public != public:
            raise errors.InvalidGroupMessage("§7.5: a path secret does not give the node's public key")
        keys[node.index] = key
    return keys, commit_secret


def from_welcome(
    suite: CipherSuite, tree: Tree, mine: LeafIndex, signer: LeafIndex, path_secret: Secret
) -> dict[NodeIndex, PrivateKey]:
    """The keys that a joiner derives, from the lowest node that it shares with the committer (§12.4.3.1).

    Raises `InvalidGroupMessage` where that is not what the tree says.
    """
    if mine == signer:
        raise errors.InvalidGroupMessage("§12.4.3.1: a path secret from the joiner itself")
    shared = tree_math.common_ancestor(mine, signer)
    above = [here for here, _ in tree.filtered_direct_path(signer) if here.level >= tree_math.level(shared)]
    if not above or above[0].index != shared:
        raise errors.InvalidGroupMessage("§12.4.3.1: a path secret, and no node that it is of")
    publics = [here.node.encryption_key if here.node else b"" for here in above]
    return _derived(suite, above, publics, path_secret)[0]


def kept(keys: PrivateKeys, before: Tree, after: Tree, mine: LeafIndex) -> PrivateKeys:
    """Of a member's keys of one tree those of nodes that the next one has too; the others are forgotten."""
    if before.root is after.root:
        return keys
    held = {}
    nodes = {here.index: here.node for here in after.path(mine)}
    for here in before.path(mine):
        key, old, new = keys.get(here.index), here.node, nodes.get(here.index)
        if key is not None and old is not None and new is not None and old.encryption_key == new.encryption_key:
            held[here.index] = key
    return held
