"""The checks of tree-math, tree-operations, tree-validation and treekem files."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Final

from tacit import errors
from tacit.crypto.kem import PrivateKey
from tacit.crypto.secret import Randomness
from tacit.mls import limits, tree_math, tree_validation, treekem
from tacit.mls.commit import UpdatePath
from tacit.mls.conformance_case import (
    Fact,
    Fields,
    Format,
    check_tree,
    group_context,
    of,
    ratchet_tree,
    raw,
    secret,
    suite,
)
from tacit.mls.leaf_node import Committed, LeafNode
from tacit.mls.proposals import Add, Proposal, Remove, Update
from tacit.mls.suites import CipherSuite, SignatureKey
from tacit.mls.tree import Tree
from tacit.mls.tree_math import LeafIndex, NodeIndex
from tacit.wire.codec import decode, encode, struct


@struct
class _Proposed:
    proposal: Proposal


def tree_math_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """Where the nodes of a full tree stand (Appendix C)."""
    leaves, nodes = case["n_leaves"], case["n_nodes"]
    yield Fact("n_nodes", tree_math.node_width(leaves), nodes)
    top = tree_math.root(leaves)
    yield Fact("root", top, case["root"])
    parents = [index for index in range(nodes) if tree_math.level(index)]
    below = [index for index in range(nodes) if index != top]
    for name, function, has in (
        ("left", tree_math.left, parents),
        ("right", tree_math.right, parents),
        ("parent", tree_math.parent, below),
        ("sibling", tree_math.sibling, below),
    ):
        places = set(has)
        yield Fact(name, [function(x) if x in places else None for x in range(nodes)], case[name])


def tree_operations_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """A tree after one proposal (§7.7, §12.1.1 to §12.1.3)."""
    using = suite(case)
    tree = ratchet_tree(case["tree_before"])
    yield Fact("tree_hash_before", tree.tree_hash(using), raw(case["tree_hash_before"]))
    match decode(_Proposed, raw(case["proposal"]), limits.MESSAGE_BYTES).proposal:
        case Add(package):
            tree, _ = tree.added(package.leaf_node)
        case Update(leaf):
            tree = tree.updated(case["proposal_sender"], leaf)
        case Remove(leaf_index):
            tree = tree.removed(leaf_index)
        case other:
            raise errors.Malformed(f"{type(other).__name__} does not change the tree")
    yield Fact("tree_hash_after", tree.tree_hash(using), raw(case["tree_hash_after"]))
    yield Fact("tree_after", encode(tree.to_nodes()), raw(case["tree_after"]))


def tree_validation_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """Every node's hash and resolution, and the whole tree as a joiner checks it (§12.4.3.1)."""
    using = suite(case)
    tree = ratchet_tree(case["tree"])
    subtrees = list(tree.subtrees())
    yield Fact("tree_hashes", [each.tree_hash(using).hex() for each in subtrees], case["tree_hashes"])
    yield Fact("resolutions", [list(each.resolution()) for each in subtrees], case["resolutions"])
    yield Fact("the counted resolutions", [each.resolved for each in subtrees], [len(r) for r in case["resolutions"]])
    tree_validation.check(tree, using, raw(case["group_id"]), ())


# --- TreeKEM -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    index: LeafIndex
    signer: SignatureKey
    keys: dict[NodeIndex, PrivateKey]


def _member(using: CipherSuite, held: Fields) -> _Member:
    keys = {NodeIndex(2 * held["index"]): using.private_key(secret(held["encryption_priv"]))}
    for each in held["path_secrets"]:
        keys[NodeIndex(each["node"])] = treekem.node_key(using, secret(each["path_secret"]))
    return _Member(LeafIndex(held["index"]), using.signature_key(secret(held["signature_priv"])), keys)


def _leaf(tree: Tree, leaf: int) -> LeafNode:
    found = tree.leaf(leaf)
    if found is None:
        raise errors.Malformed(f"leaf {leaf} is blank")
    return found


def treekem_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """Paths that others made are opened by everybody, and so are paths that this engine makes (§7.4 to §7.6)."""
    using, tree = suite(case), ratchet_tree(case["ratchet_tree"])
    check_tree(tree, using, raw(case["group_id"]))
    members = {held["index"]: _member(using, held) for held in case["leaves_private"]}
    for member in members.values():
        yield Fact("signature_priv", member.signer.public, _leaf(tree, member.index).signature_key)
        for index, key in member.keys.items():
            node = tree.subtree(index).node
            yield Fact(f"the key of node {index}", key.public, node.encryption_key if node else None)
    for sent in case["update_paths"]:
        sender = LeafIndex(sent["sender"])
        others = [member for member in members.values() if member.index != sender]
        yield from _received(case, using, tree, sent, others)
        yield from _made(case, using, tree, members[sender], others, random)


def _context(case: Fields, using: CipherSuite, tree: Tree) -> bytes:
    confirmed = raw(case["confirmed_transcript_hash"])
    return encode(group_context(case, case["epoch"], tree.tree_hash(using), confirmed))


def _received(
    case: Fields, using: CipherSuite, tree: Tree, sent: Fields, others: Collection[_Member]
) -> Iterator[Fact]:
    path = decode(UpdatePath, raw(sent["update_path"]), limits.MESSAGE_BYTES)
    after, filtered = treekem.applied(using, tree, LeafIndex(sent["sender"]), path)
    yield Fact("tree_hash_after", after.tree_hash(using), raw(sent["tree_hash_after"]))
    check_tree(after, using, raw(case["group_id"]))
    context = _context(case, using, after)
    for member in others:
        keys, commit_secret = treekem.opened(using, filtered, path, member.index, member.keys, context, ())
        yield Fact(f"commit_secret for {member.index}", commit_secret, secret(sent["commit_secret"]))
        lowest = keys[min(keys, key=tree_math.level)]
        expected = treekem.node_key(using, secret(sent["path_secrets"][member.index]))
        yield Fact(f"path_secrets[{member.index}]", lowest.public, expected.public)


def _made(
    case: Fields, using: CipherSuite, tree: Tree, sender: _Member, others: Collection[_Member], random: Randomness
) -> Iterator[Fact]:
    group_id, before = raw(case["group_id"]), _leaf(tree, sender.index)

    def signed(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        leaf = dataclasses.replace(before, encryption_key=encryption_key, source=Committed(parent_hash), signature=b"")
        to_sign = leaf.to_be_signed(group_id, sender.index)
        return dataclasses.replace(leaf, signature=using.sign_with_label(sender.signer, "LeafNodeTBS", to_sign))

    made = treekem.new_path(using, tree, sender.index, signed, random)
    context = _context(case, using, made.tree)
    path = decode(UpdatePath, encode(treekem.encrypted(using, made, context, ())), limits.MESSAGE_BYTES)
    after, filtered = treekem.applied(using, tree, sender.index, path)
    yield Fact("the tree after an own path", after.tree_hash(using), made.tree.tree_hash(using))
    check_tree(after, using, group_id)
    for member in others:
        _, commit_secret = treekem.opened(using, filtered, path, member.index, member.keys, context, ())
        yield Fact(f"an own path's commit secret for {member.index}", commit_secret, made.commit_secret)


FORMATS: Final[dict[str, Format]] = {
    "tree-math": of(tree_math_case, "n_leaves", "n_nodes", "root", "left", "right", "parent", "sibling"),
    "tree-operations": of(tree_operations_case, "tree_before", "proposal", "proposal_sender", "tree_after"),
    "tree-validation": of(tree_validation_case, "tree", "group_id", "tree_hashes", "resolutions"),
    "treekem": of(treekem_case, "ratchet_tree", "leaves_private", "update_paths"),
}
"""The formats of this module by the names of the official files."""
