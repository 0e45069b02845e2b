"""A tree that was kept is read when it is asked for, each 32 leaves by themselves: a message needs one leaf of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from tacit import errors
from tacit.mls import limits, tree_math
from tacit.mls.nodes import OptionalNode, RatchetTree
from tacit.mls.saved import SavedPart, SavedParts, SavedShape
from tacit.mls.suites import CipherSuite, vector
from tacit.mls.tree import KEPT_LEVEL, Subtree, Tree, built
from tacit.mls.tree_math import NodeIndex
from tacit.wire.codec import decode, encode, functions_of
from tacit.wire.reader import Reader

WIDE: Final = 1 << KEPT_LEVEL
"""Leaves of a tree that is read at once."""
_read_node = functions_of(OptionalNode)[1]


class _Later(Subtree):
    """A subtree whose `node`, `left` and `right` are read when one of them is asked for: a plain one from then on."""

    __slots__ = ()

    def __init__(self, index: int, level: int, part: SavedPart, encoded: bytes) -> None:
        self.index, self.level = NodeIndex(index), level
        self.occupied, self.resolved = part.occupied, part.resolved
        self._hash, self._encoded = part.tree_hash, encoded

    def __getattr__(self, name: str) -> object:
        if name not in ("node", "left", "right"):
            raise AttributeError(name)
        assert self._encoded is not None
        data = vector(self._encoded)
        nodes = decode(RatchetTree, data, len(data)).nodes
        made = built(nodes, self.index - (1 << self.level) + 1)
        self.node, self.left, self.right = made.node, made.left, made.right
        self.__class__ = Subtree  # type: ignore[assignment]
        return getattr(self, name)


def shape_of(suite: CipherSuite, tree: Tree) -> SavedShape:
    """What has to be known of a tree before its nodes are read."""
    parts = tuple(_parts(tree.root))
    shape = SavedParts(
        parts[0].level,
        tuple(
            SavedPart(sum(map(len, each.written())), each.occupied, each.resolved, each.tree_hash(suite))
            for each in parts
        ),
    )
    check = zlib.crc32(encode(shape))
    for piece in tree.root.written():
        check = zlib.crc32(piece, check)
    return SavedShape(shape, check)


def _parts(subtree: Subtree) -> Iterator[Subtree]:
    if subtree.level <= KEPT_LEVEL:
        yield subtree
    else:
        for child in subtree.children():
            yield from _parts(child)


def tree_of(shape: SavedShape, record: bytes, start: int) -> Tree:
    """The tree of a shape, encoded in a record from `start` on; raises `Malformed` where one is not as it was kept."""
    level, parts = shape.of.level, shape.of.parts
    if len(parts).bit_count() != 1 or len(parts) << level > limits.LEAVES:
        raise errors.Malformed("a tree is not as it was kept")
    # The blanks at the end, a byte each, do not stand there.
    nodes = Reader(record + bytes(tree_math.node_width(len(parts) << level)), start)
    if nodes.varint() != len(record) - nodes.position:
        raise errors.Malformed("a tree is not as it was kept")
    first, below, between = nodes.position, list[Subtree](), []
    for number, part in enumerate(parts):
        if number:
            between.append(_read_node(nodes))
        index = (number << (level + 1)) + (1 << level) - 1
        below.append(_Later(index, level, part, nodes.take(part.encoded)))
    if zlib.crc32(memoryview(nodes.data)[first : nodes.position], zlib.crc32(encode(shape.of))) != shape.check:
        raise errors.Malformed("a tree is not as it was kept")
    while len(below) > 1:
        halves = zip(below[::2], between[::2], below[1::2], strict=True)
        below = [Subtree((left.index + right.index) // 2, node, left, right) for left, node, right in halves]
        between = between[1::2]
    return Tree(below[0])
