"""The shared tree: as the naive one after every operation, and never changed by a later one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mls.making import SUITE, Grove, capabilities, put
from mls.naive import Naive, level
from tacit import errors
from tacit.mls import limits
from tacit.mls.credential import BasicCredential
from tacit.mls.leaf_node import LeafNode, Updated
from tacit.mls.nodes import ParentNode, RatchetTree
from tacit.mls.tree import Tree, from_nodes, new_tree
from tacit.mls.tree_math import NodeIndex
from tacit.wire.codec import decode, encode

HINTS = st.lists(st.tuples(st.sampled_from("aaarup"), st.integers(0, 1 << 20)), max_size=40)


def leaf(number: int) -> LeafNode:
    """A leaf that is like no other; nobody has signed it."""
    return LeafNode(b"key %d" % number, b"", BasicCredential(b""), capabilities(), Updated(), (), b"")


def parent(number: int, *unmerged: int) -> ParentNode:
    return ParentNode(b"parent %d" % number, b"hash %d" % number, unmerged)


class Pair:
    """A shared tree and a naive one, of which the same is asked."""

    def __init__(self) -> None:
        self.count = 0
        self.tree = new_tree(leaf(0))
        self.naive = Naive(leaf(0))

    def number(self) -> int:
        self.count += 1
        return self.count

    def do(self, deed: str, hint: int) -> None:
        """One operation; `hint` chooses the member that it is about."""
        members = [index for index, _ in self.tree.leaves()]
        chosen = members[hint % len(members)]
        made = leaf(self.number())
        match deed:
            case "a":
                self.tree, found = self.tree.added(made)
                assert found == self.naive.add(made)
            case "r" if len(members) > 1:
                self.tree = self.tree.removed(chosen)
                self.naive.remove(chosen)
            case "u":
                self.tree = self.tree.updated(chosen, made)
                self.naive.update(chosen, made)
            case "p":
                filtered = self.tree.filtered_direct_path(chosen)
                nodes = [parent(self.number()) for _ in filtered]
                changes: dict[NodeIndex, Any] = {each.index: None for each in self.tree.path(chosen)}
                changes |= {here.index: node for (here, _), node in zip(filtered, nodes, strict=True)}
                changes[NodeIndex(2 * chosen)] = made
                self.tree = self.tree.with_path(chosen, changes)
                self.naive.path(chosen, made, nodes)

    def agree(self) -> None:
        tree, naive = self.tree, self.naive
        assert [each.node for each in tree.subtrees()] == naive.nodes
        assert tree.tree_hash(SUITE) == naive.tree_hash(naive.root)
        for x in range(len(naive.nodes)):
            subtree, resolution = tree.subtree(x), naive.resolution(x)
            assert (subtree.index, subtree.level) == (x, level(x))
            assert list(subtree.resolution()) == resolution
            assert subtree.resolved == len(resolution)
            assert subtree.occupied == sum(each is not None for each in naive.nodes[subtree_leaves(x)])
            assert subtree.tree_hash(SUITE) == naive.tree_hash(x)
        for index, _ in tree.leaves():
            filtered = tree.filtered_direct_path(index)
            assert [here.index for here, _ in filtered] == naive.filtered(index)
            beside = dict(zip(naive.direct_path(2 * index), naive.copath(index), strict=True))
            assert [other.index for _, other in filtered] == [beside[here.index] for here, _ in filtered]


def subtree_leaves(x: int) -> slice:
    reach = 2 ** level(x) - 1
    return slice(x - reach, x + reach + 1, 2)


@given(HINTS)
def test_it_is_as_the_naive_tree_after_every_operation(deeds: list[tuple[str, int]]) -> None:
    pair = Pair()
    for deed, hint in deeds:
        pair.do(deed, hint)
        pair.agree()


@given(HINTS)
def test_it_is_the_same_as_one_that_is_read_from_its_array(deeds: list[tuple[str, int]]) -> None:
    pair = Pair()
    for deed, hint in deeds:
        pair.do(deed, hint)
    nodes = pair.tree.to_nodes()
    assert list(nodes.nodes) == pair.naive.array()
    read = from_nodes(decode(RatchetTree, encode(nodes)))
    assert read.tree_hash(SUITE) == pair.tree.tree_hash(SUITE)
    assert read.width == pair.tree.width
    assert read.members == pair.tree.members
    assert read.to_nodes() == nodes


@given(HINTS)
def test_a_former_tree_is_never_changed(deeds: list[tuple[str, int]]) -> None:
    pair = Pair()
    former: list[tuple[Tree, list[Any], bytes | None]] = []
    for step, (deed, hint) in enumerate(deeds):
        # Of every second one the hash is computed first when others share its nodes.
        known = pair.tree.tree_hash(SUITE) if step % 2 else None
        former.append((pair.tree, list(pair.naive.nodes), known))
        pair.do(deed, hint)
    for tree, nodes, known in former:
        assert [each.node for each in tree.subtrees()] == nodes
        expected = Naive(leaf(0))
        expected.nodes = nodes
        assert tree.tree_hash(SUITE) == expected.tree_hash(expected.root)
        assert known in (None, tree.tree_hash(SUITE))


@given(HINTS, st.sets(st.integers(0, 20)))
def test_the_hash_without_leaves_is_that_of_a_tree_without_them(deeds: list[tuple[str, int]], leaves: set[int]) -> None:
    pair = Pair()
    for deed, hint in deeds:
        pair.do(deed, hint)
    without = tuple(sorted(leaves))
    for subtree in pair.tree.subtrees():
        expected = pair.naive.original_tree_hash(subtree.index, without)
        assert subtree.tree_hash_without(SUITE, without) == expected


def test_what_did_not_change_is_shared() -> None:
    tree = Grove(8).tree
    after = tree.updated(6, leaf(1))
    assert after.root.left is tree.root.left
    assert after.subtree(9) is tree.subtree(9)
    assert after.subtree(13) is not tree.subtree(13)


# --- the RFC's own examples --------------------------------------------------------------


def figure(members: str, **parents: ParentNode) -> Tree:
    """A tree of leaves A, B, ... with `_` for blanks, and parents at places like `x3`."""
    array: list[Any] = [None] * (2 * len(members) - 1)
    for index, name in enumerate(members):
        array[2 * index] = None if name == "_" else leaf(index)
    for place, node in parents.items():
        array[int(place[1:])] = node
    while array[-1] is None:
        array.pop()
    return from_nodes(RatchetTree(tuple(array)))


def test_figure_10_its_resolutions() -> None:
    tree = figure("AB_DEF_H", x3=parent(1, 1), y9=parent(2))
    assert list(tree.subtree(3).resolution()) == [3, 2]
    assert list(tree.subtree(4).resolution()) == list(tree.subtree(12).resolution()) == []
    assert list(tree.root.resolution()) == [3, 2, 9, 14]


def test_an_unmerged_leaf_that_is_blank_is_nobody() -> None:
    """A tree that was not validated yet."""
    assert list(figure("A_", x1=parent(1, 1)).root.resolution()) == [1]


def test_figure_11_its_filtered_direct_paths() -> None:
    tree = figure("AB__EFG_", t1=parent(1), y11=parent(2), x9=parent(3))
    t, w, x, y = 1, 7, 9, 11
    expected = {0: [t, w], 1: [t, w], 4: [x, y, w], 5: [x, y, w], 6: [y, w]}
    assert {at: [here.index for here, _ in tree.filtered_direct_path(at)] for at, _ in tree.leaves()} == expected


def test_figures_16_and_17_a_third_member_comes_and_goes() -> None:
    tree = figure("AB", x1=parent(1))
    more, index = tree.added(leaf(2))
    assert (more.width, more.members, index) == (4, 3, 2)
    assert more.parent(3) is None
    assert more.parent(1) == parent(1)
    less = more.removed(2)
    assert (less.width, less.parent(1)) == (2, parent(1))
    assert less.tree_hash(SUITE) == tree.tree_hash(SUITE)


def test_figure_21_the_original_tree_hash_of_y() -> None:
    tree = figure("ABCDEFG_", w7=parent(1, 5), t1=parent(2), y11=parent(3, 5))
    expected = figure("ABCDE_G_", w7=parent(1), t1=parent(2), y11=parent(3))
    assert tree.subtree(11).tree_hash_without(SUITE, (5,)) == expected.subtree(11).tree_hash(SUITE)
    assert tree.subtree(11).tree_hash_without(SUITE, (0, 3, 8)) == tree.subtree(11).tree_hash(SUITE)


# --- looking, and what is refused --------------------------------------------------------


def test_a_node_outside_of_the_tree_is_refused() -> None:
    tree = Grove(3).tree
    assert [tree.subtree(x).index for x in range(7)] == list(range(7))
    for x in (-1, 7):
        with pytest.raises(errors.InvalidArgument, match="outside of the tree"):
            tree.subtree(x)


def test_a_leaf_outside_of_the_tree_is_none() -> None:
    tree = Grove(3).tree
    assert [tree.leaf(index) is not None for index in range(-1, 5)] == [False, True, True, True, False, False]


def test_a_leaf_is_added_at_the_leftmost_blank_one() -> None:
    assert figure("A_CD_FGH").added(leaf(9))[1] == 1
    assert figure("ABCDEF_H").added(leaf(9))[1] == 6
    assert figure("ABCD").added(leaf(9))[1] == 4


def test_several_leaves_are_added_as_one_after_the_other() -> None:
    for drawn in ("A_CD_FGH", "ABCDEF_H", "ABCD", "A"):
        one, places = figure(drawn), []
        for number in range(10, 15):
            one, place = one.added(leaf(number))
            places.append(place)
        many, found = figure(drawn).added_all([leaf(number) for number in range(10, 15)])
        assert found == places
        assert many.tree_hash(SUITE) == one.tree_hash(SUITE)
        assert many.encoded() == encode(one.to_nodes())


def test_an_encoded_tree_is_written_anew_where_it_changed() -> None:
    tree, _ = new_tree(leaf(0)).added_all([leaf(number) for number in range(1, 200)])
    assert tree.encoded() == encode(tree.to_nodes())
    path = {each.index: parent(1000 + each.index) for each in tree.path(70)[:-1]}
    for after in (tree.updated(70, leaf(300)), tree.with_path(70, path), tree.removed(199), tree.removed(70), tree):
        assert after.encoded() == encode(after.to_nodes())
    for number in range(199, 127, -1):
        tree = tree.removed(number)
    assert tree.encoded() == encode(tree.to_nodes())


def test_blanks_at_the_end_of_a_tree_are_not_encoded() -> None:
    tree = figure("ABCD")
    for after in (tree, tree.added(leaf(4))[0], put(tree, 6, None), tree.removed(1)):
        assert after.encoded() == encode(after.to_nodes())
    lone = put(put(tree.added(leaf(4))[0], 8, None), 9, parent(5))
    assert lone.encoded() == encode(lone.to_nodes())


def test_a_tree_has_at_most_its_number_of_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.LEAVES == 65536
    monkeypatch.setattr(limits, "LEAVES", 4)
    tree, _ = figure("ABC_").added(leaf(3))
    assert tree.width == 4
    with pytest.raises(errors.TooLarge, match="at most 4 leaves"):
        tree.added(leaf(4))


def read(*nodes: Any) -> Tree:
    return from_nodes(RatchetTree(tuple(nodes)))


def test_an_array_that_ends_with_a_blank_is_refused() -> None:
    assert read(leaf(0), None, leaf(1)).width == 2
    for nodes in ((), (None,), (leaf(0), None), (leaf(0), None, leaf(1), None)):
        with pytest.raises(errors.Malformed, match="ends with a node that is not blank"):
            read(*nodes)


def test_an_array_with_a_node_of_the_other_kind_is_refused() -> None:
    assert read(leaf(0), parent(0), leaf(1)).parent(1) == parent(0)
    for nodes in ((parent(0),), (leaf(0), leaf(2), leaf(1)), (leaf(0), parent(0), parent(1))):
        with pytest.raises(errors.Malformed, match="even places"):
            read(*nodes)


@pytest.mark.parametrize(("leaves", "width"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (9, 16)])
def test_an_array_is_filled_up_to_a_power_of_two(leaves: int, width: int) -> None:
    nodes: list[Any] = [None] * (2 * leaves - 1)
    nodes[::2] = [leaf(index) for index in range(leaves)]
    tree = read(*nodes)
    assert (tree.width, tree.members) == (width, leaves)
    assert len(list(tree.subtrees())) == 2 * width - 1


def test_the_last_member_leaves_a_blank_tree_of_one() -> None:
    tree = Grove(4).tree
    for index in (3, 1, 0, 2):
        tree = tree.removed(index)
    assert (tree.width, tree.members, tree.leaf(0)) == (1, 0, None)
