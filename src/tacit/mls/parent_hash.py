"""Parent hashes (RFC 9420 §7.9): each node that a commit made is bound to the one above it, up to the root."""

from __future__ import annotations

from tacit import errors
from tacit.mls.leaf_node import Committed, LeafNode
from tacit.mls.nodes import ParentNode
from tacit.mls.suites import CipherSuite, vector
from tacit.mls.tree import AnyNode, Subtree, Tree


def parent_hash(suite: CipherSuite, node: ParentNode, original_sibling_tree_hash: bytes) -> bytes:
    """The hash that the next lower node of a path carries."""
    return suite.digest(vector(node.encryption_key, node.parent_hash, original_sibling_tree_hash))


def carried(node: AnyNode | None) -> bytes | None:
    """The parent hash that a node carries; only a leaf from a commit has one."""
    if isinstance(node, ParentNode):
        return node.parent_hash
    if isinstance(node, LeafNode) and isinstance(node.source, Committed):
        return node.source.parent_hash
    return None


def check(tree: Tree, suite: CipherSuite) -> None:
    """Every parent node is parent-hash valid (§7.9.2); raises `InvalidGroupMessage`."""
    for subtree in tree.subtrees():
        if isinstance(subtree.node, ParentNode) and not is_valid(suite, subtree):
            raise errors.InvalidGroupMessage(f"§7.9.2: node {subtree.index} has no descendant with its parent hash")


def is_valid(suite: CipherSuite, subtree: Subtree) -> bool:
    """Whether a parent node is parent-hash valid with respect to a node below it."""
    node = subtree.node
    assert isinstance(node, ParentNode)
    left, right = subtree.children()
    # Mostly whoever came later committed later: the right one is right more often.
    for child, sibling in ((right, left), (left, right)):
        found = carried(_beside(child, node.unmerged_leaves))
        if found is not None:
            original = sibling.tree_hash_without(suite, node.unmerged_leaves)
            if found == parent_hash(suite, node, original):
                return True
    return False


def _beside(child: Subtree, unmerged_leaves: tuple[int, ...]) -> AnyNode | None:
    """The one node of a resolution that the unmerged leaves in it were added beside, if it is one."""
    if not unmerged_leaves and child.node is not None:
        return child.node if child.resolved == 1 else None
    unmerged = {2 * leaf for leaf in unmerged_leaves if child.covers(2 * leaf)}
    if child.resolved != 1 + len(unmerged):
        return None
    rest = [node for index, node in child.resolved_nodes() if index not in unmerged]
    return rest[0] if len(rest) == 1 else None
