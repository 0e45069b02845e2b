"""Places of nodes, against what they mean; the official vectors hold them too."""

from __future__ import annotations

import pytest

from mls import naive
from tacit.mls import tree_math

WIDTHS = (1, 2, 4, 8, 32)


def test_the_nodes_of_a_tree_are_counted() -> None:
    assert [tree_math.node_width(leaves) for leaves in (0, 1, 2, 8)] == [0, 1, 3, 15]
    assert [tree_math.root(leaves) for leaves in (1, 2, 8)] == [0, 1, 7]


@pytest.mark.parametrize("width", WIDTHS)
def test_children_and_parents_are_as_in_the_naive_tree(width: int) -> None:
    for x in range(tree_math.node_width(width)):
        assert tree_math.level(x) == naive.level(x)
        if x % 2:
            left, right = naive.children(x)
            assert (tree_math.left(x), tree_math.right(x)) == (left, right)
            assert (tree_math.parent(left), tree_math.parent(right)) == (x, x)
            assert (tree_math.sibling(left), tree_math.sibling(right)) == (right, left)


@pytest.mark.parametrize("width", WIDTHS)
def test_paths_and_common_ancestors_are_what_is_above(width: int) -> None:
    nodes = range(tree_math.node_width(width))
    for a in range(width):
        above = [x for x in nodes if x != 2 * a and 2 * a in naive.below(x)]
        assert tree_math.direct_path(a, width) == sorted(above, key=naive.level)
        for b in range(width):
            if a != b:
                both = [x for x in nodes if 2 * a in naive.below(x) and 2 * b in naive.below(x)]
                assert tree_math.common_ancestor(a, b) == min(both, key=naive.level)
