"""What is counted over a tree comes to the same whether it is carried on or counted anew."""

from __future__ import annotations

import random

import pytest

from mls.deep import parts
from mls.making import Grove, client
from mls.making import capabilities as caps
from tacit import errors
from tacit.mls.census import Keys, census_of, differences
from tacit.mls.credential import CustomCredential
from tacit.mls.tree import new_tree
from tacit.mls.tree_math import LeafIndex

NONE = Keys(frozenset(), frozenset(), frozenset())
GREASE = 0x0A0A


def held(keys: Keys) -> set[bytes]:
    [(_, *_), *found] = parts(keys)
    return {data for kind, data in found if kind == "bytes"}


# --- a set of keys -----------------------------------------------------------------------


def test_keys_come_and_go() -> None:
    keys = NONE.after((), (b"a", b"b"), "a key").after((b"a",), (b"c",), "a key")
    assert [each in keys for each in (b"a", b"b", b"c")] == [False, True, True]
    back = keys.after((b"c",), (b"a",), "a key")
    assert held(back) == {b"a", b"b"}
    assert held(keys) == {b"b", b"c"}, "a set never changes"


def test_a_key_that_is_there_cannot_come_again() -> None:
    keys = NONE.after((), (b"a",), "a key")
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3: a key is there twice"):
        keys.after((), (b"a",), "a key")
    with pytest.raises(errors.InvalidGroupMessage, match="twice"):
        NONE.after((), (b"b", b"b"), "a key")
    assert b"a" in keys.after((b"a",), (b"a",), "a key"), "the same key may stand in its own place again"


def test_a_large_part_is_shared_until_too_much_of_it_changed() -> None:
    names = [number.to_bytes(2, "big") for number in range(400)]
    base = NONE.after((), names[:200], "a key")
    assert (len(base._base), base._added) == (200, frozenset()), "more than 64 were added to nothing"
    few = base.after(names[:10], names[200:210], "a key")
    assert few._base is base._base
    assert (len(few._gone), len(few._added)) == (10, 10)
    with pytest.raises(errors.InvalidGroupMessage):
        few.after((), names[50:51], "a key")
    again = few.after((), names[:1], "a key")
    assert (len(again._gone), len(again._added)) == (9, 10), "what came back is in the shared part still"
    many = few.after(names[10:60], names[210:300], "a key")
    assert many._base is not base._base
    assert held(many) == set(names[60:300])


# --- trees -------------------------------------------------------------------------------


def test_the_same_tree_has_no_differences() -> None:
    tree = Grove(5).tree
    assert list(differences(tree.root, tree.root)) == []
    everything = list(differences(None, tree.root))
    assert len(everything) == 5
    assert list(differences(tree.root, None)) == [(new, old) for old, new in everything]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_carried_on_is_what_would_be_counted(seed: int) -> None:
    """A tree that grows over its width, is cut, updated, and given new paths: after every step."""
    rnd, grove = random.Random(seed), Grove(3, f"census {seed}")
    census, before = census_of(grove.tree), grove.tree
    widths = set()
    for step in range(30):
        leaf = rnd.choice(list(grove.clients))
        if step in (8, 9, 10, 11, 12, 13) and len(grove.clients) > 1:
            grove.remove(max(grove.clients))
        elif rnd.random() < 0.5:
            grove.add()
        elif rnd.random() < 0.5:
            grove.update(leaf)
        else:
            grove.path(leaf)
        census, before = census.after(before, grove.tree), grove.tree
        fresh = census_of(grove.tree)
        assert held(census.encryption) == held(fresh.encryption)
        assert held(census.signature) == held(fresh.signature)
        assert (census.used, census.supported) == (fresh.used, fresh.supported)
        widths.add(grove.tree.width)
    assert len(widths) > 2, "the tree was extended and cut"


def test_a_signature_key_and_an_encryption_key_are_there_once() -> None:
    alice, bob = client("alice"), client("bob")
    tree = new_tree(alice.leaf())
    census = census_of(tree)
    for leaf, what in (
        (bob.leaf(encryption_key=alice.leaf_key.public), "an encryption key"),
        (bob.leaf(signature_key=alice.signer.public), "a signature key"),
    ):
        with pytest.raises(errors.InvalidGroupMessage, match=what):
            census.after(tree, tree.added(leaf)[0])
        with pytest.raises(errors.InvalidGroupMessage, match=what):
            census_of(tree.added(leaf)[0])
    census.after(tree, tree.added(bob.leaf())[0])


def test_a_key_of_a_path_must_be_new_to_the_tree() -> None:
    alice = client("alice")
    census = census_of(new_tree(alice.leaf()))
    census.refuse_keys([client("bob").leaf_key.public])
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.4\.2"):
        census.refuse_keys([client("bob").leaf_key.public, alice.leaf_key.public])


def test_every_member_supports_every_members_credential() -> None:
    tree = new_tree(client("alice").leaf())
    census = census_of(tree)
    able = client("bob").leaf(credential=CustomCredential(GREASE, b""), capabilities=caps(credentials=(1, GREASE)))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3: a credential's type"):
        census.after(tree, tree.added(able)[0])
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3: a credential's type"):
        census_of(tree.added(able)[0])
    both = new_tree(client("alice").leaf(capabilities=caps(credentials=(GREASE, 1))))
    taken = both.added(able)[0]
    census = census_of(both).after(both, taken)
    gone = taken.removed(LeafIndex(1))
    assert census.after(taken, gone).used == {1: 1}
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3: a credential's type"):
        census.after(taken, taken.added(client("carol").leaf())[0])
