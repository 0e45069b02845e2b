"""Trees that are not valid (§7.1, §7.3, §7.9, §12.4.3.1, §12.4.3.3), as somebody gets them who joins."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from mls.illegal.case import Attempt, case
from mls.illegal.members import (
    CUSTOM,
    GROUP,
    LIFETIME,
    SUITE,
    UNKNOWN,
    capabilities,
    client,
    committed,
    joins,
    people,
    tree_bent,
)
from mls.making import put
from tacit import errors
from tacit.mls import committing, parent_hash, tree_math
from tacit.mls.credential import BasicCredential, CustomCredential
from tacit.mls.extensions import Extension, RequiredCapabilities, as_extension
from tacit.mls.group import Group
from tacit.mls.leaf_node import Committed, Lifetime, Updated
from tacit.mls.nodes import ParentNode, RatchetTree
from tacit.mls.proposals import Add, GroupContextExtensions, Remove
from tacit.mls.suites import SignatureKey
from tacit.mls.tree import Subtree, Tree, _blank, from_nodes

Change = Callable[[Tree], Tree]


def same(tree: Tree) -> Tree:
    """Nothing is changed."""
    return tree


def joined(change: Change, group: Group | None = None, name: str = "erin") -> Attempt:
    """Somebody whom alice adds to a tree that she changed."""
    keys, alice = client(name), group or people().alice
    with tree_bent(change):
        _, pending = committed(alice, Add(keys.package))
    assert pending.welcome is not None
    return joins(pending.welcome, keys)


@functools.cache
def sparse() -> Group:
    """Alice's group where leaves 1 and 3 are blank, and the root is hers."""
    return committed(people().alice, Remove(1), Remove(3))[0]


def node(tree: Tree, index: int, **changes: Any) -> Tree:
    """The tree with a node changed."""
    found = tree.subtree(index).node
    assert found is not None
    return put(tree, index, dataclasses.replace(found, **changes))


def chained(tree: Tree) -> Tree:
    """The tree with alice's parent hashes made again, from the root down to her leaf, which she signs."""
    above = b""
    for here in tree.path(0)[:-1]:
        found, other = here.node, here.away(0)
        if isinstance(found, ParentNode):
            tree = node(tree, here.index, parent_hash=above)
            changed = tree.parent(here.index)
            assert changed is not None
            above = parent_hash.parent_hash(SUITE, changed, other.tree_hash_without(SUITE, changed.unmerged_leaves))
    leaf = tree.leaf(0)
    assert leaf is not None
    leaf = dataclasses.replace(leaf, source=Committed(above))
    return put(tree, 0, committing.signed_leaf(SUITE, people().alice.state.signer, leaf, GROUP, 0))


def bobs(signer: SignatureKey | None = None, **changes: Any) -> Change:
    """Bob, who helps alice, has another leaf."""

    def change(tree: Tree) -> Tree:
        leaf = tree.leaf(1)
        assert leaf is not None
        leaf = dataclasses.replace(leaf, **changes)
        return chained(put(tree, 2, committing.signed_leaf(SUITE, signer or people().bob.state.signer, leaf, GROUP, 1)))

    return change


# --- unmerged leaves ---------------------------------------------------------------------


@case("§7.1: unmerged leaves are not ascending")
def an_unmerged_leaf_twice(bend: bool) -> Attempt:
    return joined(lambda tree: node(tree, 3, unmerged_leaves=(1, 1) if bend else (1,)), sparse())


@case(
    "§7.1: unmerged leaves are not ascending",
    also=("§7.9.2: node 3 has no descendant with its parent hash",),
)
def unmerged_leaves_out_of_order(bend: bool) -> Attempt:
    """The hash of the tree without them is only right for what is in order."""
    alice, _ = committed(sparse(), Add(client("frank").package))
    return joined(lambda tree: node(tree, 3, unmerged_leaves=(3, 1) if bend else (1, 3)), alice)


@case("§12.4.3.1: an unmerged leaf is not below its node")
def an_unmerged_leaf_that_is_not_below(bend: bool) -> Attempt:
    """Whoever commits next would encrypt for somebody outside of the subtree."""
    alice, _ = committed(sparse(), Add(client("frank").package), Add(client("grace").package))
    return joined(lambda tree: node(tree, 3, unmerged_leaves=(1, 3, 4) if bend else (1, 3)), alice)


@case("§12.4.3.1: an unmerged leaf is blank")
def an_unmerged_leaf_that_was_removed(bend: bool) -> Attempt:
    return joined(lambda tree: node(tree, 3, unmerged_leaves=(1, 3) if bend else (1,)), sparse())


@case("§12.4.3.1: a node between lacks an unmerged leaf")
def an_unmerged_leaf_that_a_node_between_has_merged(bend: bool) -> Attempt:
    return joined(lambda tree: chained(node(tree, 3, unmerged_leaves=(3,) if bend else ())))


# --- parent hashes -----------------------------------------------------------------------


@case("§7.9.2: node 5 has no descendant with its parent hash")
def a_parent_hash_that_is_not_the_node_aboves(bend: bool) -> Attempt:
    return joined(lambda tree: chained(node(tree, 5, parent_hash=bytes(32))) if bend else tree)


@case("§7.9.2: node 1 has no descendant with its parent hash")
def a_node_with_another_key_than_was_committed(bend: bool) -> Attempt:
    return joined(lambda tree: node(tree, 1, encryption_key=bytes(range(32))) if bend else tree)


@case("§7.9.2: node 7 has no descendant with its parent hash")
def a_node_that_nobody_committed(bend: bool) -> Attempt:
    return joined(lambda tree: put(tree, 7, ParentNode(bytes(range(32)), b"", ())) if bend else tree)


@case("§7.9.2: node 3 has no descendant with its parent hash")
def a_truncated_parent_hash(bend: bool) -> Attempt:
    def change(tree: Tree) -> Tree:
        found = tree.parent(1)
        assert found is not None
        return _rehashed(node(tree, 1, parent_hash=found.parent_hash[:16])) if bend else tree

    return joined(change)


def _rehashed(tree: Tree) -> Tree:
    """Alice's leaf with the parent hash of the node above it, whatever that has."""
    found, leaf = tree.parent(1), tree.leaf(0)
    assert found is not None
    assert leaf is not None
    source = Committed(parent_hash.parent_hash(SUITE, found, tree.subtree(2).tree_hash(SUITE)))
    leaf = dataclasses.replace(leaf, source=source)
    return put(tree, 0, committing.signed_leaf(SUITE, people().alice.state.signer, leaf, GROUP, 0))


@case("§7.7: the right half of the tree is empty")
def a_tree_that_is_larger_than_it_has_to_be(bend: bool) -> Attempt:
    """A node that is not blank above the empty half, so that it travels."""

    def change(tree: Tree) -> Tree:
        if not bend:
            return tree
        index = tree_math.node_width(2 * tree.width) // 2
        empty = _blank(tree_math.right(index), tree.root.level)
        key = SUITE.hpke.kem.generate(bytes)
        return chained(Tree(Subtree(index, ParentNode(key.public, b"", (1,)), tree.root, empty)))

    return joined(change, sparse())


# --- keys and leaves ---------------------------------------------------------------------


@case("§7.3: two nodes have one encryption key", also=("§7.3: an encryption key is there twice",))
def two_nodes_with_one_key(bend: bool) -> Attempt:
    def change(tree: Tree) -> Tree:
        other = tree.parent(5)
        assert other is not None
        return chained(node(tree, 3, encryption_key=other.encryption_key)) if bend else tree

    return joined(change)


@case("§7.3: two nodes have one encryption key", also=("§7.3: an encryption key is there twice",))
def a_node_with_a_leafs_key(bend: bool) -> Attempt:
    def change(tree: Tree) -> Tree:
        other = tree.leaf(2)
        assert other is not None
        return chained(node(tree, 3, encryption_key=other.encryption_key)) if bend else tree

    return joined(change)


@case("§7.3: an encryption key is none of the cipher suite's")
def a_node_with_a_key_of_another_size(bend: bool) -> Attempt:
    return joined(lambda tree: chained(node(tree, 1, encryption_key=bytes(range(1, 66)))) if bend else tree)


@case("§7.3: an encryption key is none of the cipher suite's")
def a_member_with_a_key_of_another_size(bend: bool) -> Attempt:
    return joined(bobs(encryption_key=bytes(range(1, 66))) if bend else same)


@case("§7.3: two leaves have one signature key", also=("§7.3: a signature key is there twice",))
def two_leaves_with_one_signature_key(bend: bool) -> Attempt:
    signer = people().alice.state.signer
    return joined(bobs(signer, signature_key=signer.public) if bend else same)


@case("§7.3: the leaf's signature does not verify")
def a_leaf_that_its_member_did_not_sign(bend: bool) -> Attempt:
    return joined(bobs(people().alice.state.signer if bend else None))


@case("§7.3: the leaf's signature does not verify")
def a_leaf_of_another_place(bend: bool) -> Attempt:
    """Bob's leaf of an Update as he signed it for leaf 2."""

    def change(tree: Tree) -> Tree:
        leaf = tree.leaf(1)
        assert leaf is not None
        leaf = dataclasses.replace(leaf, source=Updated())
        signer = people().bob.state.signer
        return chained(put(tree, 2, committing.signed_leaf(SUITE, signer, leaf, GROUP, 2 if bend else 1)))

    return joined(change)


@case("§7.2: the leaf does not support the group's version and cipher suite")
def a_member_without_the_groups_suite(bend: bool) -> Attempt:
    return joined(bobs(capabilities=capabilities(cipher_suites=(3,) if bend else (1,))))


@case("§7.3: the leaf has an extension that it does not list")
def a_member_with_an_extension_that_it_does_not_list(bend: bool) -> Attempt:
    return joined(bobs(extensions=(Extension(UNKNOWN if bend else CUSTOM, b""),)))


@case("§7.3: a credential's type is not supported by every member")
def a_member_with_a_credential_that_not_everybody_knows(bend: bool) -> Attempt:
    number = UNKNOWN if bend else CUSTOM
    credential = CustomCredential(number, b"bob")
    return joined(bobs(credential=credential, capabilities=capabilities(credentials=(1, CUSTOM, number))))


@case("§7.2: the key package is valid for too long")
def a_member_whose_key_package_is_valid_for_ever(bend: bool) -> Attempt:
    return joined(bobs(source=Lifetime(0, 1 << 63) if bend else LIFETIME))


@case("§5.3.1: nobody knows mallory", instead={"mls.illegal.members:Rules.authenticate": lambda *_: None})
def a_member_whom_the_application_does_not_know(bend: bool) -> Attempt:
    return joined(bobs(credential=BasicCredential(b"mallory" if bend else b"bob")))


@case("§7.3: the leaf does not support an extension of the group")
def somebody_who_joins_without_knowing_an_extension_of_the_group(bend: bool) -> Attempt:
    """Alice does not mind."""
    alice, _ = committed(people().alice, GroupContextExtensions((Extension(CUSTOM, b""),)))
    keys = client("erin", supports=capabilities(extensions=() if bend else (CUSTOM,)))
    _, pending = committed(alice, Add(keys.package))
    assert pending.welcome is not None
    return joins(pending.welcome, keys)


@case("§11.1: the leaf lacks a required capability")
def a_member_who_lacks_a_required_capability(bend: bool) -> Attempt:
    required = as_extension(RequiredCapabilities((CUSTOM,), (CUSTOM,), (1,)))
    alice, _ = committed(people().alice, GroupContextExtensions((required,)))
    return joined(bobs(capabilities=capabilities(proposals=() if bend else (CUSTOM,))), alice)


# --- the tree beside the Welcome ---------------------------------------------------------


def beside(change: Callable[[RatchetTree], RatchetTree]) -> Attempt:
    """Somebody who gets the tree by another way than the Welcome."""
    keys = client("erin")
    alice, pending = committed(people().alice, Add(keys.package), with_tree=False)
    assert pending.welcome is not None
    return joins(pending.welcome, keys, tree=change(alice.ratchet_tree()))


@case("a ratchet tree ends with a node that is not blank", error=errors.Malformed)
def a_tree_that_ends_with_a_blank(bend: bool) -> Attempt:
    return beside(lambda tree: RatchetTree((*tree.nodes, *[None] * bend)))


@case(
    "leaves have the even places of a ratchet tree, parents the odd ones",
    error=errors.Malformed,
    final="a tree is made of leaves and what is above them",
)
def a_tree_with_a_leaf_where_a_parent_belongs(bend: bool) -> Attempt:
    def change(tree: RatchetTree) -> RatchetTree:
        nodes = list(tree.nodes)
        nodes[1] = nodes[2] if bend else nodes[1]
        return RatchetTree(tuple(nodes))

    return beside(change)


@case("§12.4.3.1: the tree is not that of the group")
def a_tree_of_another_epoch(bend: bool) -> Attempt:
    """With everybody who is there now, but with bob's leaf as it was."""
    leaf = dataclasses.replace(client("bob").package.leaf_node, encryption_key=bytes(range(32)))
    old = committing.signed_leaf(SUITE, people().bob.state.signer, leaf, GROUP, 1)

    def change(tree: RatchetTree) -> RatchetTree:
        if not bend:
            return tree
        return chained(put(from_nodes(tree), 2, old)).to_nodes()

    return beside(change)


@case("§12.4.3.1: the group's tree is not there", final="without a tree there is nobody in the group")
def a_welcome_without_a_tree(bend: bool) -> Attempt:
    keys = client("erin")
    _, pending = committed(people().alice, Add(keys.package), with_tree=not bend)
    assert pending.welcome is not None
    return joins(pending.welcome, keys)
