"""Where the nodes of a tree stand in its array (RFC 9420 Appendix C). Leaves have the even places."""

from __future__ import annotations

from typing import NewType

LeafIndex = NewType("LeafIndex", int)
NodeIndex = NewType("NodeIndex", int)


def level(x: int) -> int:
    """How high a node stands: 0 for leaves."""
    return (x ^ (x + 1)).bit_length() - 1


def node_width(leaves: int) -> int:
    """Nodes of a tree with so many leaves."""
    return 2 * leaves - 1 if leaves else 0


def root(leaves: int) -> NodeIndex:
    """The root of a tree with so many leaves, a power of 2."""
    return NodeIndex(leaves - 1)


def left(x: int) -> NodeIndex:
    """The left child of a parent node."""
    return NodeIndex(x ^ (1 << (level(x) - 1)))


def right(x: int) -> NodeIndex:
    """The right child of a parent node."""
    return NodeIndex(x ^ (3 << (level(x) - 1)))


def parent(x: int) -> NodeIndex:
    """The node above; the root's is outside of the tree."""
    k = level(x)
    return NodeIndex((x | 1 << k) & ~(1 << (k + 1)))


def sibling(x: int) -> NodeIndex:
    """The other child of the node above."""
    p = parent(x)
    return right(p) if x < p else left(p)


def direct_path(leaf: int, leaves: int) -> list[NodeIndex]:
    """The nodes above a leaf, up to the root."""
    x, top, path = NodeIndex(2 * leaf), root(leaves), list[NodeIndex]()
    while x != top:
        x = parent(x)
        path.append(x)
    return path


def common_ancestor(a: int, b: int) -> NodeIndex:
    """The lowest node above two different leaves."""
    x, y = 2 * a, 2 * b
    k = (x ^ y).bit_length()
    return NodeIndex((x >> k << k) | ((1 << (k - 1)) - 1))
