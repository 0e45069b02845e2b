"""TreeKEM: everybody gets the same secrets, nobody else does, and what does not fit the tree is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mls.making import GROUP_ID, SUITE, Grove, Sent, put
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import tree_math, tree_validation, treekem
from tacit.mls.commit import Ciphertexts, UpdatePath
from tacit.mls.leaf_node import Committed, Updated
from tacit.mls.nodes import ParentNode
from tacit.mls.tree import Tree
from tacit.mls.tree_math import LeafIndex, NodeIndex

DEEDS = st.lists(st.tuples(st.sampled_from("aajrupppp"), st.integers(0, 1 << 20)), max_size=20)
ZERO, ONE, TWO, THREE = map(LeafIndex, range(4))


def refused(section: str, reason: str) -> Any:
    return pytest.raises(errors.InvalidGroupMessage, match=f"§{section}: .*{reason}")


@settings(max_examples=settings().max_examples // 2)
@given(DEEDS)
def test_everybody_has_the_keys_above_and_no_others(deeds: list[tuple[str, int]]) -> None:
    """Each path is opened by everybody; who joins with it gets its keys from the Welcome's path secret."""
    grove = Grove()
    for deed, hint in deeds:
        members = list(grove.clients)
        chosen = members[hint % len(members)]
        match deed:
            case "a":
                grove.add()
            case "j":
                grove.path(chosen, (grove.add(), grove.add()))
            case "r" if len(members) > 1:
                grove.remove(chosen)
            case "u":
                grove.update(chosen)
            case "p":
                grove.path(chosen)
        holders(grove)
    tree_validation.check(grove.tree, SUITE, GROUP_ID, ())


def holders(grove: Grove) -> None:
    """The tree invariant (§4.2): a node's key is had by those below it who are not unmerged, and by nobody else."""
    for subtree in grove.tree.subtrees():
        node = subtree.node
        if node is None:
            continue
        unmerged = getattr(node, "unmerged_leaves", ())
        expected = {leaf for leaf in grove.clients if subtree.covers(2 * leaf) and leaf not in unmerged}
        have = {leaf for leaf, keys in grove.keys.items() if subtree.index in keys}
        assert have == expected
        assert all(grove.keys[leaf][subtree.index].public == node.encryption_key for leaf in have)


def grown() -> Grove:
    """Four who all took a path."""
    grove = Grove(4)
    for leaf in list(grove.clients):
        grove.path(leaf)
    return grove


def opened(grove: Grove, sent: Sent, path: UpdatePath, mine: LeafIndex, keys: Any = None, joiners: Any = ()) -> Secret:
    _, filtered = treekem.applied(SUITE, sent.before, sent.sender, sent.path)
    held = grove.keys[mine] if keys is None else keys
    return treekem.opened(SUITE, filtered, path, mine, held, sent.context, joiners)[1]


def held(grove: Grove) -> tuple[dict[LeafIndex, Any], Sent]:
    """What everybody held before a path of leaf 0, and that path."""
    before = {leaf: dict(keys) for leaf, keys in grove.keys.items()}
    return before, grove.path(ZERO)


def test_who_was_removed_cannot_open_a_path() -> None:
    grove = grown()
    former = dict(grove.keys[THREE])
    grove.remove(THREE)
    sent = grove.path(ZERO)
    for mine in (ONE, TWO, THREE):
        with pytest.raises((errors.InvalidGroupMessage, errors.DecryptionError)):
            opened(grove, sent, sent.path, mine, former)


def test_a_path_of_one_member_has_no_nodes() -> None:
    grove = Grove(1)
    sent = grove.path(ZERO)
    assert sent.path.nodes == ()
    leaf = grove.tree.leaf(0)
    assert leaf is not None
    assert leaf.source == Committed(b"")


def test_an_own_path_is_other_each_time() -> None:
    grove = grown()
    one, two = grove.path(ZERO), grove.path(ZERO)
    assert one.commit_secret != two.commit_secret
    assert one.path.leaf_node.encryption_key != two.path.leaf_node.encryption_key


def test_joiners_are_sent_nothing() -> None:
    grove = grown()
    assert (grove.add(), grove.add()) == (4, 5)
    joiners = (4, 5)
    sent = grove.path(ZERO, joiners)
    assert [len(node.encrypted_path_secret) for node in sent.path.nodes] == [1, 1, 0]
    with refused("7.6", "each node of the resolution"):
        opened(grove, sent, sent.path, ONE)


# --- applying ----------------------------------------------------------------------------


def applied(sent: Sent, path: UpdatePath) -> Tree:
    return treekem.applied(SUITE, sent.before, sent.sender, path)[0]


def test_a_path_has_a_node_for_each_of_the_filtered_path() -> None:
    sent = grown().path(ZERO)
    assert applied(sent, sent.path).members == 4
    nodes = sent.path.nodes
    for other in ((), nodes[:1], nodes + nodes[:1]):
        with refused("7.5", "one node for each"):
            applied(sent, dataclasses.replace(sent.path, nodes=other))


def test_the_leaf_of_a_path_is_of_a_commit() -> None:
    grove = grown()
    sent = grove.path(ZERO)
    client = grove.clients[ZERO]
    for source in (Updated(), client.leaf().source):
        leaf = client.leaf(0, source=source, encryption_key=sent.path.leaf_node.encryption_key)
        with refused("12.4.2", "another source"):
            applied(sent, dataclasses.replace(sent.path, leaf_node=leaf))


def test_the_leaf_of_a_path_has_its_parent_hash() -> None:
    grove = grown()
    sent = grove.path(ZERO)
    for parent_hash in (b"", bytes(32)):
        leaf = grove.clients[ZERO].leaf(0, source=Committed(parent_hash))
        with refused("7.9.2", "parent hash"):
            applied(sent, dataclasses.replace(sent.path, leaf_node=leaf))
    other = dataclasses.replace(sent.path.nodes[1], encryption_key=bytes(32))
    with refused("7.9.2", "parent hash"):
        applied(sent, dataclasses.replace(sent.path, nodes=(sent.path.nodes[0], other)))


# --- opening -----------------------------------------------------------------------------


def test_a_path_secret_is_there_for_each_of_the_resolution() -> None:
    grove = grown()
    before, sent = held(grove)
    assert opened(grove, sent, sent.path, TWO, before[TWO]) == sent.commit_secret
    low, top = sent.path.nodes
    more = dataclasses.replace(top, encrypted_path_secret=Ciphertexts.of([*top.encrypted_path_secret] * 2))
    less = dataclasses.replace(top, encrypted_path_secret=Ciphertexts.of(()))
    for node in (more, less):
        bent = dataclasses.replace(sent.path, nodes=(low, node))
        # Also who needs another node's counts them all.
        for mine in (ONE, TWO):
            with refused("7.6", "each node of the resolution"):
                opened(grove, sent, bent, mine, before[mine])


def test_a_path_has_something_for_every_member() -> None:
    grove = grown()
    before, sent = held(grove)
    with refused("7.5", "nothing for this member"):
        opened(grove, sent, sent.path, TWO, {})
    assert opened(grove, sent, sent.path, TWO, before[TWO]) == sent.commit_secret
    alone = Grove(1).path(ZERO)
    with refused("7.5", "nothing for this member"):
        opened(grove, alone, alone.path, ZERO, before[ZERO])


def test_a_path_is_bound_to_its_context() -> None:
    grove = grown()
    before, sent = held(grove)
    other = dataclasses.replace(sent, context=b"another")
    with pytest.raises(errors.DecryptionError):
        opened(grove, other, sent.path, TWO, before[TWO])


def encrypting(grove: Grove, sent: Sent, secret: bytes, place: int, receiver: NodeIndex) -> UpdatePath:
    """The path with another secret at a place, encrypted to the one who is to get it there."""
    node = sent.before.subtree(receiver).node
    assert node is not None
    info = SUITE.prepare("UpdatePathNode", sent.context)
    sealed = SUITE.encrypt_with_label(node.encryption_key, info, secret)
    nodes = list(sent.path.nodes)
    nodes[place] = dataclasses.replace(nodes[place], encrypted_path_secret=Ciphertexts.of((sealed,)))
    return dataclasses.replace(sent.path, nodes=tuple(nodes))


def test_a_path_secret_of_another_size_is_none() -> None:
    grove = grown()
    before, sent = held(grove)
    for size in (0, 31, 33):
        path = encrypting(grove, sent, bytes(size), 0, NodeIndex(2))
        with refused("7.6", "each node of the resolution"):
            opened(grove, sent, path, ONE, before[ONE])


def test_a_path_secret_gives_the_nodes_keys() -> None:
    grove = grown()
    before, sent = held(grove)
    path = encrypting(grove, sent, bytes(32), 0, NodeIndex(2))
    with refused("7.5", "does not give"):
        opened(grove, sent, path, ONE, before[ONE])
    assert opened(grove, sent, path, TWO, before[TWO]) == sent.commit_secret


# --- joining -----------------------------------------------------------------------------


class Joining:
    """Two join eight-leaf tree's halves with a path of leaf 0, and its path secrets are known."""

    def __init__(self) -> None:
        self.grove = grown()
        self.joiner = self.grove.add()
        client = self.grove.clients[ZERO]
        self.made = treekem.new_path(
            SUITE,
            self.grove.tree,
            ZERO,
            lambda key, parent_hash: client.leaf(0, encryption_key=key, source=Committed(parent_hash)),
            self.grove.random,
        )

    def keys(self, mine: int, signer: int, secret: Secret) -> dict[NodeIndex, Any]:
        return treekem.from_welcome(SUITE, self.made.tree, LeafIndex(mine), LeafIndex(signer), secret)


def test_a_joiner_derives_the_keys_that_it_shares() -> None:
    joining = Joining()
    root = tree_math.root(8)
    assert set(joining.keys(4, 0, joining.made.path_secrets[root])) == {root}
    shared = tree_math.common_ancestor(0, 1)
    keys = joining.keys(1, 0, joining.made.path_secrets[shared])
    assert {index: key.public for index, key in keys.items()} == {
        index: key.public for index, key in joining.made.keys.items() if index != 0
    }


def test_a_path_secret_of_another_node_is_refused() -> None:
    joining = Joining()
    shared, root = tree_math.common_ancestor(0, 1), tree_math.root(8)
    for mine, secret in ((4, joining.made.path_secrets[shared]), (1, joining.made.path_secrets[root])):
        with refused("7.5", "does not give"):
            joining.keys(mine, 0, secret)


def test_a_path_secret_of_a_blank_node_is_refused() -> None:
    joining = Joining()
    root = tree_math.root(8)
    secret = joining.made.path_secrets[root]
    blank = put(joining.made.tree, root, None)
    with refused("7.5", "does not give"):
        treekem.from_welcome(SUITE, blank, joining.joiner, ZERO, secret)


def test_a_path_secret_without_a_node_on_the_signers_path_is_refused() -> None:
    joining = Joining()
    secret = joining.made.path_secrets[tree_math.root(8)]
    # Nobody is beside leaf 4: node 9 is no node of its filtered path.
    with refused("12.4.3.1", "no node that it is of"):
        joining.keys(5, 4, secret)
    with refused("12.4.3.1", "no node that it is of"):
        treekem.from_welcome(SUITE, Grove(1).tree, ONE, ZERO, secret)


def test_nobody_is_welcomed_by_itself() -> None:
    joining = Joining()
    with refused("12.4.3.1", "the joiner itself"):
        joining.keys(0, 0, joining.made.path_secrets[tree_math.root(8)])


# --- keeping -----------------------------------------------------------------------------


def test_only_keys_of_nodes_that_are_still_there_are_kept() -> None:
    grove = grown()
    keys = grove.keys[ZERO]
    assert treekem.kept(keys, grove.tree, grove.tree, ZERO) == keys
    assert set(keys) == {0, 1, 3}
    blank = grove.tree.updated(3, grove.tree.leaf(3))
    assert set(treekem.kept(keys, grove.tree, blank, ZERO)) == {0, 1}
    assert set(treekem.kept(keys, grove.tree, grove.tree.removed(3), ZERO)) == {0, 1}
    cut = grove.tree.removed(3).removed(2)
    assert set(treekem.kept(keys, grove.tree, cut, ZERO)) == {0, 1}
    other = put(grove.tree, 1, ParentNode(b"another", b"", ()))
    assert set(treekem.kept(keys, grove.tree, other, ZERO)) == {0, 3}
