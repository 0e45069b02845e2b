"""The ratchet tree as RFC 9420 describes it, in one array that changes: slow, and written from its text alone."""

from __future__ import annotations

import dataclasses
import hashlib

from tacit.mls.leaf_node import LeafNode
from tacit.mls.nodes import ParentNode
from tacit.wire.codec import encode


def level(x: int) -> int:
    """How often the node's number ends with a 1 in binary (Appendix C)."""
    count = 0
    while x % 2:
        x //= 2
        count += 1
    return count


def below(x: int) -> range:
    """The nodes of a node's subtree, itself among them."""
    reach = 2 ** level(x) - 1
    return range(x - reach, x + reach + 1)


def children(x: int) -> tuple[int, int]:
    """The roots of the two halves below a parent node."""
    half = 2 ** (level(x) - 1)
    return x - half, x + half


class Naive:
    """An array of nodes, full up to a power of 2 of leaves."""

    def __init__(self, leaf: LeafNode) -> None:
        self.nodes: list[LeafNode | ParentNode | None] = [leaf]

    @property
    def root(self) -> int:
        """The middle of the array."""
        return len(self.nodes) // 2

    def direct_path(self, x: int) -> list[int]:
        """§4.1.2: the parent, and the parent's direct path."""
        above = [node for node in range(len(self.nodes)) if node != x and x in below(node)]
        return sorted(above, key=level)

    def copath(self, leaf: int) -> list[int]:
        """§4.1.2: the siblings of the leaf and of its direct path but the root, beside that path."""
        return [next(each for each in children(p) if 2 * leaf not in below(each)) for p in self.direct_path(2 * leaf)]

    def resolution(self, x: int) -> list[int]:
        """§4.1.1, the three rules."""
        node = self.nodes[x]
        if node is not None:
            return [x, *(2 * leaf for leaf in node.unmerged_leaves)] if isinstance(node, ParentNode) else [x]
        if level(x) == 0:
            return []
        left, right = children(x)
        return self.resolution(left) + self.resolution(right)

    def filtered(self, leaf: int) -> list[int]:
        """§4.1.2: the direct path without nodes whose child on the copath has an empty resolution."""
        pairs = zip(self.direct_path(2 * leaf), self.copath(leaf), strict=True)
        return [node for node, beside in pairs if self.resolution(beside)]

    def tree_hash(self, x: int) -> bytes:
        """§7.8, for suite 1."""
        node = self.nodes[x]
        there = b"\0" if node is None else b"\1" + encode(node)
        if level(x) == 0:
            return hashlib.sha256(b"\1" + (x // 2).to_bytes(4, "big") + there).digest()
        left, right = (b"\x20" + self.tree_hash(child) for child in children(x))
        return hashlib.sha256(b"\2" + there + left + right).digest()

    def original_tree_hash(self, x: int, leaves: tuple[int, ...]) -> bytes:
        """§7.9: the tree hash of a tree in which these leaves are blank, and unmerged nowhere."""
        other = Naive.__new__(Naive)
        other.nodes = list(self.nodes)
        for place, node in enumerate(other.nodes):
            if place % 2 == 0 and place // 2 in leaves:
                other.nodes[place] = None
            if isinstance(node, ParentNode):
                rest = tuple(leaf for leaf in node.unmerged_leaves if leaf not in leaves)
                other.nodes[place] = dataclasses.replace(node, unmerged_leaves=rest)
        return other.tree_hash(x)

    def add(self, leaf_node: LeafNode) -> int:
        """§12.1.1: the leftmost empty leaf, else the tree is extended; unmerged at each non-blank node above."""
        if all(self.nodes[::2]):
            self.nodes += [None] * (len(self.nodes) + 1)
        place = next(x for x in range(0, len(self.nodes), 2) if self.nodes[x] is None)
        self.nodes[place] = leaf_node
        for x in self.direct_path(place):
            node = self.nodes[x]
            if isinstance(node, ParentNode):
                unmerged = tuple(sorted([*node.unmerged_leaves, place // 2]))
                self.nodes[x] = dataclasses.replace(node, unmerged_leaves=unmerged)
        return place // 2

    def update(self, leaf: int, leaf_node: LeafNode | None) -> None:
        """§12.1.2: the leaf is another one, and blanks above it."""
        self.nodes[2 * leaf] = leaf_node
        for x in self.direct_path(2 * leaf):
            self.nodes[x] = None

    def remove(self, leaf: int) -> None:
        """§12.1.3: blanks, and the tree is cut in half while the right one has no leaf that is not blank."""
        self.update(leaf, None)
        while len(self.nodes) > 1 and not any(self.nodes[self.root + 1 :: 2]):
            self.nodes = self.nodes[: self.root]

    def path(self, leaf: int, leaf_node: LeafNode, nodes: list[ParentNode]) -> None:
        """§7.5: new nodes on the filtered direct path, blanks on the rest of the direct path."""
        filtered = self.filtered(leaf)
        for x in self.direct_path(2 * leaf):
            self.nodes[x] = None
        for x, node in zip(filtered, nodes, strict=True):
            self.nodes[x] = node
        self.nodes[2 * leaf] = leaf_node

    def array(self) -> list[LeafNode | ParentNode | None]:
        """§12.4.3.3: without the blanks at the end."""
        last = max(x for x, node in enumerate(self.nodes) if node is not None)
        return self.nodes[: last + 1]
