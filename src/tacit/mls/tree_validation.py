"""What a tree has to be that comes from somebody else (RFC 9420 §12.4.3.1)."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

from tacit import errors
from tacit.mls import leaf_validation, parent_hash
from tacit.mls.extensions import Extension
from tacit.mls.leaf_node import LeafNode
from tacit.mls.nodes import ParentNode
from tacit.mls.suites import CipherSuite
from tacit.mls.tree import Subtree, Tree

Mapped = Callable[[Callable[[tuple[int, LeafNode]], None], Iterable[tuple[int, LeafNode]]], Iterable[None]]
"""`map`, or that of a pool."""


def _signature_check(suite: CipherSuite, group_id: bytes) -> Callable[[tuple[int, LeafNode]], None]:
    def checked(member: tuple[int, LeafNode]) -> None:
        index, leaf = member
        leaf_validation.check_signature(suite, leaf, group_id, index)

    return checked


def check(
    tree: Tree,
    suite: CipherSuite,
    group_id: bytes,
    context_extensions: tuple[Extension, ...],
    mapped: Mapped = map,
) -> None:
    """Every leaf and every parent node of the tree is valid; raises `InvalidGroupMessage`.

    `mapped` does as `map` what is most of the work, the signatures, which a pool of threads does faster.
    Lifetimes are not checked: a leaf's may be over long after it was added (§7.3).
    """
    check_structure(tree)
    parent_hash.check(tree, suite)
    check_unique(tree)
    for subtree in tree.subtrees():
        if isinstance(subtree.node, ParentNode):
            leaf_validation.check_size(suite, subtree.node.encryption_key)
    members = list(tree.leaves())
    leaves = [leaf for _, leaf in members]
    for leaf in leaves:
        leaf_validation.check_form(suite, leaf)
    for leaf in leaf_validation.one_for_each(leaves):
        leaf_validation.check_supports(leaf, context_extensions)
    collections.deque(mapped(_signature_check(suite, group_id), members), maxlen=0)
    leaf_validation.check_credentials(leaves)


def check_unique(tree: Tree) -> None:
    """No signature key and no encryption key is there twice (§7.3, §12.4.3.1)."""
    encryption, signature, nodes = set[bytes](), set[bytes](), 0
    for subtree in tree.subtrees():
        if subtree.node is None:
            continue
        nodes += 1
        encryption.add(subtree.node.encryption_key)
        if isinstance(subtree.node, LeafNode):
            signature.add(subtree.node.signature_key)
    if len(encryption) != nodes:
        raise errors.InvalidGroupMessage("§7.3: two nodes have one encryption key")
    if len(signature) != tree.members:
        raise errors.InvalidGroupMessage("§7.3: two leaves have one signature key")


def check_structure(tree: Tree) -> None:
    """Unmerged leaves are ascending, are members below, and are unmerged at every node between (§12.4.3.1)."""
    if tree.root.level and not tree.root.children()[1].occupied:
        raise errors.InvalidGroupMessage("§7.7: the right half of the tree is empty")
    found = dict[int, frozenset[int]]()
    above = list[tuple[Subtree, tuple[int, ...]]]()
    for subtree in tree.subtrees():
        if isinstance(subtree.node, ParentNode) and subtree.node.unmerged_leaves:
            found[subtree.index] = frozenset(subtree.node.unmerged_leaves)
            above.append((subtree, subtree.node.unmerged_leaves))
    for subtree, unmerged in above:
        _check_unmerged(subtree, unmerged, found)


def _check_unmerged(subtree: Subtree, unmerged: tuple[int, ...], found: Mapping[int, frozenset[int]]) -> None:
    """`found` has the unmerged leaves of every node: whoever made the tree may have listed all of them everywhere."""
    if any(first >= second for first, second in pairwise(unmerged)):
        raise errors.InvalidGroupMessage("§7.1: unmerged leaves are not ascending")
    for leaf in unmerged:
        if not subtree.covers(2 * leaf):
            raise errors.InvalidGroupMessage("§12.4.3.1: an unmerged leaf is not below its node")
        here = subtree.towards(2 * leaf)
        while here.level:
            if here.node is not None and leaf not in found.get(here.index, ()):
                raise errors.InvalidGroupMessage("§12.4.3.1: a node between lacks an unmerged leaf")
            here = here.towards(2 * leaf)
        if here.node is None:
            raise errors.InvalidGroupMessage("§12.4.3.1: an unmerged leaf is blank")
