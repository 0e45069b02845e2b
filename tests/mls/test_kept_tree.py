"""A tree comes back from its shape and its nodes, those of 32 leaves when one of them is asked for."""

from __future__ import annotations

import dataclasses

import pytest

from mls.deep import deep_hash
from mls.making import SUITE, Grove
from mls.party import OPEN, Party
from tacit import errors
from tacit.mls import Add, Group, Remove
from tacit.mls.census import census_later, census_of
from tacit.mls.kept_tree import shape_of, tree_of
from tacit.mls.saved import SavedParts, SavedShape
from tacit.mls.tree import Subtree, Tree
from tacit.mls.tree_math import LeafIndex
from tacit.wire.codec import decode, encode


def grown(members: int) -> Tree:
    """Some took paths, one left, and one came since."""
    grove = Grove(members)
    for leaf in {0, members // 2, members - 1}:
        grove.path(LeafIndex(leaf))
    if members > 3:
        grove.remove(LeafIndex(2))
        grove.path(LeafIndex(1))
        grove.add()
    return grove.tree


def again(tree: Tree) -> Tree:
    return tree_of(decode(SavedShape, encode(shape_of(SUITE, tree))), tree.encoded(), 0)


def unread(tree: Tree) -> int:
    """The parts of which no node was read."""

    def count(subtree: Subtree) -> int:
        try:
            left, right = (object.__getattribute__(subtree, name) for name in ("left", "right"))
        except AttributeError:
            return 1
        return count(left) + count(right) if left and right else 0

    return count(tree.root)


@pytest.mark.parametrize("members", [1, 2, 5, 64, 65, 130, 257])
def test_a_tree_is_the_one_that_was_kept(members: int) -> None:
    tree = grown(members)
    kept = again(tree)
    assert unread(kept) == max(tree.width // 32, 1)
    assert kept.tree_hash(SUITE) == tree.tree_hash(SUITE)
    assert (kept.width, kept.members) == (tree.width, tree.members)
    assert deep_hash(kept) == deep_hash(tree)
    assert unread(kept) == 0
    assert kept.to_nodes() == tree.to_nodes()


def test_it_is_written_again_without_being_read() -> None:
    tree = grown(257)
    kept = again(tree)
    assert kept.encoded() == tree.encoded()
    assert encode(shape_of(SUITE, kept)) == encode(shape_of(SUITE, tree))
    # The blanks at the end are looked for along the right edge.
    assert unread(kept) >= 15


def test_only_what_is_asked_for_is_read() -> None:
    tree = grown(257)
    kept = again(tree)
    first = kept.subtree(31)
    assert not hasattr(first, "else")
    assert unread(kept) == 16
    assert kept.leaf(70) == tree.leaf(70)
    assert unread(kept) == 15
    assert kept.leaf(95) == tree.leaf(95)
    assert kept.leaf(2) == tree.leaf(2)
    assert unread(kept) == 14
    assert list(kept.root.resolution()) == list(tree.root.resolution())


def test_what_becomes_of_it_is_what_becomes_of_the_first_one() -> None:
    tree = grown(130)
    for changed, wanted in zip(
        *([each.removed(100), each.updated(3, None)] for each in (again(tree), tree)), strict=True
    ):
        assert changed.tree_hash(SUITE) == wanted.tree_hash(SUITE)
        assert changed.encoded() == wanted.encoded()


def test_a_census_is_made_when_something_of_it_is_asked_for() -> None:
    tree = grown(65)
    kept = again(tree)
    census = census_later(kept)
    assert unread(kept) == 4
    assert deep_hash(census) == deep_hash(census_of(tree))
    assert not hasattr(census, "else")


# --- damage ------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [5, 65])
def test_another_byte_anywhere_is_noticed(members: int) -> None:
    tree = grown(members)
    shape, encoded = encode(shape_of(SUITE, tree)), tree.encoded()
    for place in range(0, len(encoded), 1 if members < 10 else 61):
        damaged = bytearray(encoded)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(errors.PeerError):
            tree_of(decode(SavedShape, shape), bytes(damaged), 0)
    for place in range(len(shape)):
        damaged = bytearray(shape)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(errors.PeerError):
            tree_of(decode(SavedShape, bytes(damaged)), encoded, 0)


@pytest.mark.parametrize("bent", ["none", "three", "high"])
def test_a_shape_that_no_tree_has_is_refused(bent: str) -> None:
    tree = grown(5)
    shape = shape_of(SUITE, tree)
    [part] = shape.of.parts
    parts = {"none": SavedParts(3, ()), "three": SavedParts(3, (part,) * 3), "high": SavedParts(60, (part,))}[bent]
    with pytest.raises(errors.Malformed, match="not as it was kept"):
        tree_of(dataclasses.replace(shape, of=parts), tree.encoded(), 0)


# --- in a group's records ----------------------------------------------------------------


def forty() -> Party:
    """Alice and bob in a group of forty."""
    party = Party("alice")
    bob, *others = (party.keys(f"member {number}") for number in range(39))
    party.groups["bob"] = party.welcomed(party.commit("alice", *(Add(each.package) for each in (bob, *others))), bob)
    return party


def test_a_group_goes_on_from_a_tree_that_was_not_read() -> None:
    party = forty()
    for committer in ("alice", "bob"):
        party.commit(committer)
    records = party["bob"].records()
    trees, shapes = (
        {name.partition("/")[2] for name in records if name.startswith(kind)} for kind in ("tree/", "shape/")
    )
    assert trees == shapes
    loaded = Group.load(records, OPEN)
    assert unread(loaded.state.epoch.tree) == 2
    assert deep_hash(loaded.state) == deep_hash(party["bob"].state)
    party.groups["bob"] = Group.load(records, OPEN)
    assert party.read(party.send("alice"), "bob").data == b"text"
    party.commit("alice", Remove(4))
    party.commit("bob", Add(party.keys("grace").package))
    assert party.agree()


def test_a_small_tree_has_no_shape() -> None:
    assert not any(name.startswith("shape/") for name in Party("alice", "bob")["bob"].records())


def test_a_shape_is_written_and_goes_with_its_tree() -> None:
    party = forty()
    before = party["bob"]
    for _ in range(4):
        party.commit("alice")
    written = party["bob"].changed(before)
    for name, record in written.items():
        kind, _, number = name.partition("/")
        if kind == "tree":
            assert (written[f"shape/{number}"] is None) == (record is None)
    assert {record is None for name, record in written.items() if name.startswith("shape/")} == {True, False}
    party.send("bob")
    assert not any(name.startswith("shape/") for name in party["bob"].changed(party["bob"]))


def test_records_without_a_shape_are_read_at_once() -> None:
    party = forty()
    records = party["bob"].records()
    bare = {name: record for name, record in records.items() if not name.startswith("shape/")}
    assert len(bare) < len(records)
    loaded = Group.load(bare, OPEN)
    assert unread(loaded.state.epoch.tree) == 0
    assert deep_hash(loaded.state) == deep_hash(party["bob"].state)


def test_a_shape_or_a_tree_that_is_wrong_is_refused() -> None:
    bob = forty()["bob"]
    records, number = bob.records(), bob.epoch
    for name in (f"tree/{number}", f"shape/{number}"):
        for record in (records[name] + b"\0", records[name][:-1]):
            with pytest.raises(errors.Malformed):
                Group.load({**records, name: record}, OPEN)
        with pytest.raises(errors.UnknownVersion, match=f"the record {name} has another format"):
            Group.load({**records, name: b"\0\2" + records[name][2:]}, OPEN)
    del records[f"tree/{number}"]
    with pytest.raises(errors.Malformed, match="is missing"):
        Group.load(records, OPEN)


@pytest.mark.parametrize("members", [3, 40])
def test_the_tree_of_another_epoch_is_refused(members: int) -> None:
    party = Party(*(f"member {number}" for number in range(members)))
    before = party["member 1"].records()
    party.commit("member 0")
    after = party["member 1"].records()
    names = [name for name in after if name.startswith(("tree/2", "shape/2"))]
    assert len(names) == (2 if members > 32 else 1)
    other = {name: before[name.replace("/2", "/1")] for name in names}
    with pytest.raises(errors.Malformed, match="another epoch"):
        Group.load({**after, **other}, OPEN)
    past = {name: after[name.replace("/1", "/2")] for name in after if name.startswith(("tree/1", "shape/1"))}
    with pytest.raises(errors.Malformed, match="another epoch"):
        Group.load({**after, **past}, OPEN)
