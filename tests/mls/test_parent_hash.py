"""Parent hashes: real paths make valid ones, and whoever puts another node there is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mls.making import SUITE, Grove, put
from mls.naive import Naive, children
from mls.naive import level as height
from tacit import errors
from tacit.mls import parent_hash, tree_validation
from tacit.mls.leaf_node import Committed, LeafNode
from tacit.mls.nodes import ParentNode
from tacit.mls.suites import vector
from tacit.mls.tree import Tree
from tacit.mls.tree_math import LeafIndex

DEEDS = st.lists(st.tuples(st.sampled_from("aarupppp"), st.integers(0, 1 << 20)), max_size=20)


def grown(deeds: list[tuple[str, int]]) -> Grove:
    grove = Grove(3)
    for deed, hint in deeds:
        members = list(grove.clients)
        chosen = members[hint % len(members)]
        match deed:
            case "a":
                grove.add()
            case "r" if len(members) > 1:
                grove.remove(chosen)
            case "u":
                grove.update(chosen)
            case "p":
                grove.path(chosen)
    return grove


def naive_is_valid(naive: Naive, p: int) -> bool:
    """§7.9.2, for one parent node: somebody below it has its parent hash, and was its neighbour in the path."""
    node = naive.nodes[p]
    assert isinstance(node, ParentNode)
    left, right = children(p)
    for c, s in ((left, right), (right, left)):
        resolution = naive.resolution(c)
        reach = 2 ** height(c) - 1
        unmerged = [2 * leaf for leaf in node.unmerged_leaves if c - reach <= 2 * leaf <= c + reach]
        original = naive.original_tree_hash(s, node.unmerged_leaves)
        expected = SUITE.digest(vector(node.encryption_key, node.parent_hash, original))
        for d in resolution:
            if sorted(unmerged) == sorted(set(resolution) - {d}) and parent_hash.carried(naive.nodes[d]) == expected:
                return True
    return False


def naive_of(tree: Tree) -> Naive:
    naive = Naive.__new__(Naive)
    naive.nodes = [each.node for each in tree.subtrees()]
    return naive


@settings(max_examples=settings().max_examples // 2)
@given(DEEDS, st.data())
def test_a_tree_is_valid_after_any_changes_and_not_with_another_node(
    deeds: list[tuple[str, int]], data: st.DataObject
) -> None:
    tree = grown(deeds).tree
    parent_hash.check(tree, SUITE)
    parents = [each for each in tree.subtrees() if isinstance(each.node, ParentNode)]
    if not parents:
        return
    chosen = data.draw(st.sampled_from(parents))
    assert isinstance(chosen.node, ParentNode)
    other = dataclasses.replace(chosen.node, encryption_key=bytes(32))
    bent = put(tree, chosen.index, other)
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7.9.2: node \d+ has no descendant"):
        parent_hash.check(bent, SUITE)
    for each in (tree, bent):
        naive = naive_of(each)
        for subtree in each.subtrees():
            if isinstance(subtree.node, ParentNode):
                assert parent_hash.is_valid(SUITE, subtree) == naive_is_valid(naive, subtree.index)


def bending() -> Grove:
    """Seven members who all took a path, then one more: unmerged at nodes 7 and 11, and 13 is blank."""
    grove = Grove(7)
    for leaf in list(grove.clients):
        grove.path(leaf)
    assert grove.add() == 7
    return grove


Bend = Callable[[Tree], Tree]


def parent_at(tree: Tree, index: int, **changes: object) -> Tree:
    node = tree.parent(index)
    assert node is not None
    return put(tree, index, dataclasses.replace(node, **changes))  # type: ignore[arg-type]


def without_leaf(tree: Tree) -> Tree:
    """Leaf 6, from which the chain of the right half begins, says that it is of a key package."""
    leaf = tree.leaf(6)
    assert isinstance(leaf, LeafNode)
    assert isinstance(leaf.source, Committed)
    return put(tree, 12, Grove(1).clients[LeafIndex(0)].leaf())


BENDS: dict[str, Bend] = {
    "another key": lambda tree: parent_at(tree, 11, encryption_key=bytes(32)),
    "another parent hash": lambda tree: parent_at(tree, 11, parent_hash=bytes(32)),
    "nobody is unmerged": lambda tree: parent_at(tree, 11, unmerged_leaves=()),
    "who carries it is unmerged": lambda tree: parent_at(tree, 11, unmerged_leaves=(6, 7)),
    "somebody unmerged who is not in the resolution": lambda tree: parent_at(tree, 11, unmerged_leaves=(4, 7)),
    "nobody carries it": without_leaf,
    "two below it": lambda tree: put(tree, 11, None),
    "the sibling is another": lambda tree: parent_at(tree, 3, parent_hash=bytes(32)),
}


@pytest.mark.parametrize("bend", BENDS)
def test_a_bent_tree_is_refused(bend: str) -> None:
    tree = bending().tree
    tree_validation.check_structure(tree)
    parent_hash.check(tree, SUITE)
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7.9.2"):
        parent_hash.check(BENDS[bend](tree), SUITE)


def test_only_parents_and_leaves_of_commits_carry_a_parent_hash() -> None:
    grove = bending()
    assert parent_hash.carried(None) is None
    assert parent_hash.carried(grove.tree.leaf(7)) is None
    leaf = grove.tree.leaf(6)
    assert leaf is not None
    assert isinstance(leaf.source, Committed)
    assert parent_hash.carried(leaf) == leaf.source.parent_hash
    assert parent_hash.carried(ParentNode(b"", b"hash", ())) == b"hash"
