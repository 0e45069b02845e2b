"""The ratchet tree (RFC 9420 §4.1, §7.7, §7.8), shared between states: a change copies the path to the root only.

A `Tree` never changes. Every operation gives another one that has all subtrees in common with it that did not change,
with the hashes that were computed of them. Nodes are named by their place in the array (Appendix C).
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, final

from tacit import errors
from tacit.mls import limits, tree_math
from tacit.mls.leaf_node import LeafNode
from tacit.mls.nodes import ParentNode, RatchetTree
from tacit.mls.suites import CipherSuite, vector
from tacit.mls.tree_math import LeafIndex, NodeIndex
from tacit.wire.codec import encode

AnyNode = LeafNode | ParentNode
_LEAF: Final = b"\x01"
_PARENT: Final = b"\x02"
KEPT_LEVEL: Final = 5
"""Encodings are kept of subtrees of this level: what changed is written anew with the 63 nodes around it."""


class Subtree:
    """A node and what is below it, with what was once computed of it.

    `occupied` counts the leaves that are not blank, `resolved` the nodes of the resolution (§4.1.1).
    """

    __slots__ = ("_encoded", "_hash", "index", "left", "level", "node", "occupied", "resolved", "right")

    def __init__(self, index: int, node: AnyNode | None, left: Subtree | None, right: Subtree | None) -> None:
        self.index = NodeIndex(index)
        self.node = node
        self.left = left
        self.right = right
        self._hash: bytes | None = None
        self._encoded: bytes | None = None
        if left is None or right is None:
            self.level = 0
            self.occupied = self.resolved = int(node is not None)
            return
        self.level = left.level + 1
        self.occupied = left.occupied + right.occupied
        unmerged = len(node.unmerged_leaves) if isinstance(node, ParentNode) else None
        self.resolved = left.resolved + right.resolved if unmerged is None else 1 + unmerged

    def written(self) -> list[bytes]:
        """The encoded nodes, each an `optional<Node>` (§12.4.3.3), in pieces; those of `KEPT_LEVEL` are kept as one."""
        if self._encoded is not None:
            return [self._encoded]
        node = self.node
        own = b"\0" if node is None else b"\1" + (_LEAF if isinstance(node, LeafNode) else _PARENT) + encode(node)
        if self.left is None or self.right is None:
            return [own]
        pieces = [*self.left.written(), own, *self.right.written()]
        if self.level == KEPT_LEVEL:
            self._encoded = b"".join(pieces)
            return [self._encoded]
        return pieces

    def children(self) -> tuple[Subtree, Subtree]:
        """The two below a parent node."""
        assert self.left is not None
        assert self.right is not None
        return self.left, self.right

    def towards(self, index: int) -> Subtree:
        """The child that a lower node is below, or is."""
        left, right = self.children()
        return left if index < self.index else right

    def away(self, index: int) -> Subtree:
        """The other child."""
        left, right = self.children()
        return right if index < self.index else left

    def covers(self, index: int) -> bool:
        """Whether a node is this one or below it."""
        return abs(index - self.index) < 1 << self.level

    def tree_hash(self, suite: CipherSuite) -> bytes:
        """The tree hash (§7.8); a group has one suite for life, so that one hash is kept."""
        if self._hash is None:
            if self.level == 0:
                self._hash = _leaf_hash(suite, self.index, self.node)
            else:
                left, right = self.children()
                self._hash = _parent_hash(suite, self.node, left.tree_hash(suite), right.tree_hash(suite))
        return self._hash

    def tree_hash_without(self, suite: CipherSuite, leaves: Sequence[int]) -> bytes:
        """The tree hash as if these leaves, in order, had never been added: original_sibling_tree_hash (§7.9)."""
        if not leaves:
            return self.tree_hash(suite)
        first, last = self.index - (1 << self.level) + 1, self.index + (1 << self.level) - 1
        start, stop = bisect.bisect_left(leaves, first // 2), bisect.bisect_right(leaves, last // 2)
        if start == stop:
            return self.tree_hash(suite)
        if self.level == 0:
            return _leaf_hash(suite, self.index, None)
        node, within = self.node, leaves[start:stop]
        if isinstance(node, ParentNode) and node.unmerged_leaves:
            left_out = set(within)
            merged = tuple(leaf for leaf in node.unmerged_leaves if leaf not in left_out)
            node = dataclasses.replace(node, unmerged_leaves=merged)
        left, right = self.children()
        hashes = left.tree_hash_without(suite, within), right.tree_hash_without(suite, within)
        return _parent_hash(suite, node, *hashes)

    def resolution(self) -> Iterator[NodeIndex]:
        """The nodes that together have everybody below (§4.1.1)."""
        return (index for index, _ in self.resolved_nodes())

    def resolved_nodes(self) -> Iterator[tuple[NodeIndex, AnyNode]]:
        """The resolution with the nodes themselves."""
        stack = [self]
        while stack:
            here = stack.pop()
            if here.node is not None:
                yield here.index, here.node
                if isinstance(here.node, ParentNode):
                    for leaf in here.node.unmerged_leaves:
                        node = here.below(2 * leaf).node
                        if node is not None:
                            yield NodeIndex(2 * leaf), node
            elif here.left is not None and here.right is not None and here.resolved:
                stack += (here.right, here.left)

    def below(self, index: int) -> Subtree:
        """The subtree of a node that is this one or below it."""
        here = self
        while here.index != index and here.left is not None and here.right is not None:
            here = here.left if index < here.index else here.right
        assert here.index == index
        return here


def _leaf_hash(suite: CipherSuite, index: int, node: AnyNode | None) -> bytes:
    where = _LEAF + (index // 2).to_bytes(4, "big")
    return suite.digest(where + (b"\0" if node is None else b"\x01" + encode(node)))


def _parent_hash(suite: CipherSuite, node: AnyNode | None, left: bytes, right: bytes) -> bytes:
    return suite.digest(_PARENT + (b"\0" if node is None else b"\x01" + encode(node)) + vector(left, right))


def _blank(index: int, level: int) -> Subtree:
    if level == 0:
        return Subtree(index, None, None, None)
    return Subtree(index, None, _blank(tree_math.left(index), level - 1), _blank(tree_math.right(index), level - 1))


@final
class Tree:
    """A ratchet tree: the members' leaves, and the keys above them."""

    __slots__ = ("_subtrees", "root")

    def __init__(self, root: Subtree) -> None:
        self.root = root
        self._subtrees: list[Subtree] | None = None

    # --- looking -------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Leaves, blank ones among them: a power of 2."""
        return 1 << self.root.level

    @property
    def members(self) -> int:
        """Leaves that are not blank."""
        return self.root.occupied

    def subtree(self, index: int) -> Subtree:
        """A node with what is below it; raises `InvalidArgument` outside of the tree."""
        if not 0 <= index < tree_math.node_width(self.width):
            raise errors.InvalidArgument(f"node {index} is outside of the tree")
        return self.root.below(index)

    def leaf(self, leaf: int) -> LeafNode | None:
        """The leaf there, None for a blank one and outside of the tree."""
        if not 0 <= leaf < self.width:
            return None
        node = self.subtree(2 * leaf).node
        assert not isinstance(node, ParentNode)
        return node

    def parent(self, index: int) -> ParentNode | None:
        """The parent node there, None for a blank one."""
        node = self.subtree(index).node
        assert not isinstance(node, LeafNode)
        return node

    def leaves(self) -> Iterator[tuple[LeafIndex, LeafNode]]:
        """The members in order."""
        for subtree in self.subtrees()[::2]:
            if isinstance(subtree.node, LeafNode):
                yield LeafIndex(subtree.index // 2), subtree.node

    def subtrees(self) -> Sequence[Subtree]:
        """Every node in the array's order; kept, since whoever asks once looks at a tree from several sides."""
        if self._subtrees is None:
            found: list[Subtree] = []
            _walk(self.root, found.append)
            self._subtrees = found
        return self._subtrees

    def path(self, leaf: int) -> list[Subtree]:
        """The subtrees from the root down to a leaf."""
        here, path, index = self.root, [self.root], 2 * leaf
        while here.left is not None and here.right is not None:
            here = here.left if index < here.index else here.right
            path.append(here)
        return path

    def filtered_direct_path(self, leaf: int) -> list[tuple[Subtree, Subtree]]:
        """The nodes above a leaf, lowest first, where somebody is on the other side, each with that side (§4.1.2)."""
        above = ((here, here.away(2 * leaf)) for here in reversed(self.path(leaf)[:-1]))
        return [(here, other) for here, other in above if other.resolved]

    def tree_hash(self, suite: CipherSuite) -> bytes:
        """The tree hash of the root (§7.8)."""
        return self.root.tree_hash(suite)

    # --- changing ------------------------------------------------------------------------

    def with_path(self, leaf: int, nodes: Mapping[NodeIndex, AnyNode | None]) -> Tree:
        """The tree with these nodes on the path of a leaf, and with blanks where there is none of them."""
        path = self.path(leaf)
        index = path.pop().index
        new = Subtree(index, nodes.get(index), None, None)
        while path:
            here = path.pop()
            left, right = (new, here.right) if index < here.index else (here.left, new)
            new = Subtree(here.index, nodes.get(here.index), left, right)
        return Tree(new)

    def added(self, leaf_node: LeafNode) -> tuple[Tree, LeafIndex]:
        """An Add (§12.1.1): the leaf at the first free place, unmerged at every node above; raises `TooLarge`."""
        tree, (leaf,) = self.added_all((leaf_node,))
        return tree, leaf

    def added_all(self, leaf_nodes: Sequence[LeafNode]) -> tuple[Tree, list[LeafIndex]]:
        """Several Adds, one after the other; the tree is built once for all of them."""
        root, blanks = self.root, list[LeafIndex]()
        while True:
            free = (1 << root.level) - root.occupied
            if free >= len(leaf_nodes):
                break
            if 1 << root.level >= limits.LEAVES:
                raise errors.TooLarge(f"a tree has at most {limits.LEAVES} leaves")
            index = NodeIndex((1 << (root.level + 1)) - 1)
            root = Subtree(index, None, root, _blank(tree_math.right(index), root.level))
        _free_leaves(root, len(leaf_nodes), blanks)
        return Tree(_with_leaves(root, dict(zip(blanks, leaf_nodes, strict=True)), blanks)), blanks

    def updated(self, leaf: int, leaf_node: LeafNode | None) -> Tree:
        """An Update (§12.1.2): another leaf there, and blanks above it."""
        return self.with_path(leaf, {NodeIndex(2 * leaf): leaf_node})

    def removed(self, leaf: int) -> Tree:
        """A Remove (§12.1.3): a blank there and above, and the tree cut to what is needed (§7.7)."""
        root = self.updated(leaf, None).root
        while root.level and root.right is not None and not root.right.occupied:
            root = root.children()[0]
        return Tree(root)

    # --- as it travels -------------------------------------------------------------------

    def to_nodes(self) -> RatchetTree:
        """The array of the ratchet_tree extension, without the blanks at its end (§12.4.3.3)."""
        nodes = [each.node for each in self.subtrees()]
        while nodes and nodes[-1] is None:
            nodes.pop()
        return RatchetTree(tuple(nodes))

    def encoded(self) -> bytes:
        """What `to_nodes` gives, encoded; what did not change since it was last asked for is not written again."""
        nodes = b"".join(self.root.written())
        return vector(nodes[: len(nodes) - self._blanks()])

    def _blanks(self) -> int:
        """Blanks at the end of the array, each of them one byte when it is encoded."""
        count, here = 0, self.root
        while here.level:
            left, right = here.children()
            if right.resolved:
                here = right
                continue
            count += tree_math.node_width(1 << right.level)
            if here.node is not None:
                break
            count += 1
            here = left
        return count


def _walk(subtree: Subtree, visit: Callable[[Subtree], None]) -> None:
    if subtree.left is not None and subtree.right is not None:
        _walk(subtree.left, visit)
        visit(subtree)
        _walk(subtree.right, visit)
    else:
        visit(subtree)


def _free_leaves(subtree: Subtree, most: int, found: list[LeafIndex]) -> None:
    """The blank leaves below a node, from the left, until there are so many."""
    if len(found) == most or subtree.occupied == 1 << subtree.level:
        return
    if subtree.level == 0:
        found.append(LeafIndex(subtree.index // 2))
        return
    for child in subtree.children():
        _free_leaves(child, most, found)


def _with_leaves(subtree: Subtree, leaf_nodes: Mapping[LeafIndex, LeafNode], order: Sequence[LeafIndex]) -> Subtree:
    """The subtree with new leaves at blank places within it, `order` ascending."""
    if not order:
        return subtree
    if subtree.level == 0:
        return Subtree(subtree.index, leaf_nodes[order[0]], None, None)
    node = subtree.node
    if isinstance(node, ParentNode):
        node = ParentNode(node.encryption_key, node.parent_hash, tuple(sorted((*node.unmerged_leaves, *order))))
    left, right = subtree.children()
    middle = bisect.bisect_left(order, (subtree.index + 1) // 2)
    return Subtree(
        subtree.index,
        node,
        _with_leaves(left, leaf_nodes, order[:middle]),
        _with_leaves(right, leaf_nodes, order[middle:]),
    )


def new_tree(leaf_node: LeafNode) -> Tree:
    """The tree of one member."""
    return Tree(Subtree(0, leaf_node, None, None))


def from_nodes(nodes: RatchetTree) -> Tree:
    """The tree of a ratchet_tree extension (§12.4.3.3).

    Raises `Malformed` when the array is empty, ends with a blank, or has a node of the other kind somewhere.
    """
    array = nodes.nodes
    if not array or array[-1] is None:
        raise errors.Malformed("a ratchet tree ends with a node that is not blank")
    for index, node in enumerate(array):
        if node is not None and isinstance(node, LeafNode) != (index % 2 == 0):
            raise errors.Malformed("leaves have the even places of a ratchet tree, parents the odd ones")
    width = 1
    while tree_math.node_width(width) < len(array):
        width *= 2
    return Tree(built(array + (None,) * (tree_math.node_width(width) - len(array)), 0))


def built(array: Sequence[AnyNode | None], first: int) -> Subtree:
    """The subtree of these nodes, of which the first one has that index."""
    level: list[Subtree] = [Subtree(first + index, array[index], None, None) for index in range(0, len(array), 2)]
    while len(level) > 1:
        pairs: Iterable[tuple[Subtree, Subtree]] = zip(level[::2], level[1::2], strict=True)
        level = [
            Subtree(middle := (left.index + right.index) // 2, array[middle - first], left, right)
            for left, right in pairs
        ]
    return level[0]
