"""Trees that somebody else sent: each rule refuses what only it can refuse."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mls.making import GROUP_ID, SUITE, Grove, capabilities, put
from tacit import errors
from tacit.mls import tree_math, tree_validation
from tacit.mls.credential import CustomCredential
from tacit.mls.extensions import Extension, RequiredCapabilities, as_extension
from tacit.mls.leaf_node import LeafNode, Lifetime, Updated
from tacit.mls.nodes import ParentNode, RatchetTree
from tacit.mls.tree import Tree, from_nodes, new_tree
from tacit.mls.tree_math import LeafIndex


def refused(section: str, reason: str) -> Any:
    return pytest.raises(errors.InvalidGroupMessage, match=f"§{section}: .*{reason}")


def check(tree: Tree, *extensions: Extension) -> None:
    tree_validation.check(tree, SUITE, GROUP_ID, extensions)


def grown() -> Grove:
    """Seven who all took a path, one who updated since, and an eighth who is unmerged at nodes 7 and 11."""
    grove = Grove(7)
    for leaf in list(grove.clients):
        grove.path(leaf)
    assert grove.add() == 7
    return grove


def unmerged(tree: Tree, index: int, *leaves: int) -> Tree:
    node = tree.parent(index)
    assert node is not None
    return put(tree, index, dataclasses.replace(node, unmerged_leaves=leaves))


def test_a_tree_is_valid_whatever_its_members_did() -> None:
    grove = grown()
    check(grove.tree)
    grove.update(LeafIndex(2))
    check(grove.tree)
    grove.remove(LeafIndex(5))
    check(grove.tree)
    grove.path(LeafIndex(7))
    check(grove.tree)
    check(Grove(1).tree)


# --- unmerged leaves ---------------------------------------------------------------------


def test_the_right_half_of_a_tree_is_not_empty() -> None:
    tree = Grove(2).tree
    tree_validation.check_structure(tree)
    with refused("7.7", "right half"):
        tree_validation.check_structure(put(tree, 2, None))
    # A parent node at the end of the array is the only way to send one.
    array = (tree.leaf(0), ParentNode(bytes(32), b"", ()))
    sent = from_nodes(RatchetTree(tuple(array)))
    with refused("7.7", "right half"):
        check(sent)


def test_unmerged_leaves_are_ascending() -> None:
    tree = put(put(grown().tree, 9, None), 11, ParentNode(bytes(32), b"", (5, 7)))
    tree_validation.check_structure(unmerged(tree, 7, 5, 7))
    for leaves in ((7, 5), (5, 5), (7, 7)):
        with refused("7.1", "ascending"):
            tree_validation.check_structure(unmerged(tree, 7, *leaves))


def test_an_unmerged_leaf_is_below_its_node() -> None:
    tree = grown().tree
    tree_validation.check_structure(tree)
    for leaf in (3, 8, 1 << 31):
        with refused("12.4.3.1", "not below"):
            tree_validation.check_structure(unmerged(tree, 11, *sorted((leaf, 7))))


def test_an_unmerged_leaf_is_unmerged_at_every_node_between() -> None:
    tree = grown().tree
    assert tree.parent(13) is None
    with refused("12.4.3.1", "node between"):
        tree_validation.check_structure(unmerged(tree, 11))
    with refused("12.4.3.1", "node between"):
        tree_validation.check_structure(put(tree, 13, ParentNode(bytes(32), b"", ())))
    tree_validation.check_structure(put(tree, 13, ParentNode(bytes(32), b"", (7,))))
    # Above it need not be.
    tree_validation.check_structure(unmerged(tree, 7))


def test_an_unmerged_leaf_is_not_blank() -> None:
    tree = put(grown().tree, 14, None)
    without = put(unmerged(unmerged(tree, 7), 11), 13, None)
    tree_validation.check_structure(without)
    with refused("12.4.3.1", "blank"):
        tree_validation.check_structure(unmerged(without, 11, 7))


class Asked(int):
    """The number of a leaf, which counts how often it is compared."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Asked.times += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_whoever_lists_everybody_everywhere_costs_no_square_of_the_members() -> None:
    leaf, members = Grove(1).tree.leaf(0), 128
    nodes: list[LeafNode | ParentNode | None] = [leaf]
    for index in range(1, 2 * members - 1):
        reach = 1 << tree_math.level(index)
        below = tuple(map(Asked, range((index - reach + 1) // 2, (index + reach + 1) // 2)))
        nodes.append(ParentNode(bytes(32), b"", below) if index % 2 else leaf)
    Asked.times = 0
    tree_validation.check_structure(from_nodes(RatchetTree(tuple(nodes))))
    assert 0 < Asked.times < members * 7 * 7


# --- keys --------------------------------------------------------------------------------


def test_no_encryption_key_is_there_twice() -> None:
    grove = grown()
    tree = grove.tree
    tree_validation.check_unique(tree)
    root, below, leaf = tree.parent(7), tree.parent(3), tree.leaf(6)
    assert root is not None and below is not None and leaf is not None
    for other in (
        put(tree, 7, dataclasses.replace(root, encryption_key=below.encryption_key)),
        put(tree, 7, dataclasses.replace(root, encryption_key=leaf.encryption_key)),
        put(tree, 0, grove.clients[LeafIndex(0)].leaf(encryption_key=leaf.encryption_key)),
    ):
        with refused("7.3", "one encryption key"):
            tree_validation.check_unique(other)


def test_no_signature_key_is_there_twice() -> None:
    grove = Grove(3)
    check(grove.tree)
    twice = put(grove.tree, 4, grove.clients[LeafIndex(0)].leaf(encryption_key=bytes(32)))
    with refused("7.3", "one signature key"):
        check(twice)


# --- each leaf ---------------------------------------------------------------------------


def with_leaf(grove: Grove, **changes: Any) -> Tree:
    return put(grove.tree, 2, grove.clients[LeafIndex(1)].leaf(1, **changes))


LEAVES: list[tuple[str, str, dict[str, Any]]] = [
    ("7.2", "version and cipher suite", {"capabilities": capabilities(versions=())}),
    ("7.3", "does not list", {"extensions": (Extension(0xF000, b""),)}),
    (
        "7.3",
        "every member",
        {"credential": CustomCredential(9, b""), "capabilities": capabilities(credentials=(1, 9))},
    ),
]


@pytest.mark.parametrize(("section", "reason", "changes"), LEAVES)
def test_every_leaf_is_valid(section: str, reason: str, changes: dict[str, Any]) -> None:
    grove = Grove(3)
    check(with_leaf(grove))
    with refused(section, reason):
        check(with_leaf(grove, **changes))


def test_every_leaf_supports_what_the_group_requires() -> None:
    asked = as_extension(RequiredCapabilities(proposal_types=(9,)))
    with refused("11.1", "lacks"):
        check(Grove(1).tree, asked)
    able = Grove(1).clients[LeafIndex(0)].leaf(capabilities=capabilities(proposals=(9,)))
    check(new_tree(able), asked)


def test_every_leaf_is_signed_for_its_place() -> None:
    grove = Grove(3)
    client = grove.clients[LeafIndex(1)]
    check(put(grove.tree, 2, client.leaf(1, source=Updated())))
    moved: LeafNode = client.leaf(2, source=Updated())
    with refused("7.3", "signature"):
        check(put(grove.tree, 2, moved))


def test_every_parent_has_its_hash_below() -> None:
    with refused("7.9.2", "no descendant"):
        check(put(Grove(2).tree, 1, ParentNode(bytes(32), b"", ())))


def test_a_leaf_whose_lifetime_is_over_stays() -> None:
    grove = Grove(2)
    check(with_leaf(grove, source=Lifetime(0, 1)))
