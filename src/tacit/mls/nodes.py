"""Parent nodes (RFC 9420 §7.1), and the ratchet tree as it travels (§12.4.3.3)."""

from __future__ import annotations

from typing import Annotated

from tacit.mls import limits
from tacit.mls.leaf_node import LeafNode
from tacit.wire.codec import EncodedOnce, Many, Variant, struct
from tacit.wire.encodings import U32, Variable


@struct
class ParentNode(EncodedOnce):
    """A key that all members below have, but for the unmerged leaves, who came later (§7.1)."""

    encryption_key: Annotated[bytes, Variable(limits.KEY_BYTES)]
    parent_hash: Annotated[bytes, Variable(limits.SECRET_BYTES)]
    unmerged_leaves: Annotated[tuple[U32, ...], Many(limits.LEAVES)]


Node = Annotated[LeafNode | ParentNode, Variant(1, {1: LeafNode, 2: ParentNode})]


OptionalNode = Node | None
"""A node of the array, or a blank."""


@struct
class RatchetTree:
    """The nodes of a tree in the array's order, without the blanks at its end."""

    nodes: Annotated[tuple[OptionalNode, ...], Many(limits.NODES)]
