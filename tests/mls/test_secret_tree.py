"""The secret tree: against a naive one that changes, in any order within the window, and nothing used is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mls.making import SUITE
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls.secret_tree import Chunk, MessageKey, Ratchet, SecretTree, Window, new_secret_tree

ENCRYPTION_SECRET = Secret(bytes(range(32)))
WIDTHS = st.sampled_from([1, 2, 4, 8, 256])
NARROW = Window(ahead=6, behind=4)
USES = st.lists(st.tuples(st.integers(0, 255), st.booleans(), st.integers(-4, 8), st.booleans()), max_size=40)


class NaiveSecrets:
    """§9, with every secret computed again for each question, and what is used written down."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.used: set[tuple[int, bool, int]] = set()
        self.next: dict[tuple[int, bool], int] = {}

    def leaf_secret(self, leaf: int) -> Secret:
        """§9: from the root down, `left` or `right` at each node."""
        secret, first, count = ENCRYPTION_SECRET, 0, self.width
        while count > 1:
            count //= 2
            right = leaf >= first + count
            first += count if right else 0
            secret = SUITE.expand_with_label(secret, "tree", b"right" if right else b"left", 32)
        return secret

    def secrets(self, leaf: int, handshake: bool, generation: int) -> tuple[Secret, Secret, Secret]:
        """§9.1: the ratchet's secret, the key and the nonce of a generation."""
        label = "handshake" if handshake else "application"
        secret = SUITE.expand_with_label(self.leaf_secret(leaf), label, b"", 32)
        for number in range(generation):
            secret = SUITE.derive_tree_secret(secret, "secret", number, 32)
        key = SUITE.derive_tree_secret(secret, "key", generation, 16)
        return secret, key, SUITE.derive_tree_secret(secret, "nonce", generation, 12)

    def at(self, leaf: int, handshake: bool, generation: int, window: Window) -> bool:
        """Whether a key is given: once, and not too far from the next one that is expected."""
        where = (leaf, handshake)
        here = self.next.get(where, 0)
        if (*where, generation) in self.used or generation > here + window.ahead:
            return False
        self.used.add((*where, generation))
        if generation >= here:
            self.next[where] = generation + 1
            self.used |= {(*where, number) for number in range(generation + 1 - window.behind)}
        return True


def parts(tree: SecretTree) -> tuple[Any, ...]:
    """All that a tree holds."""
    return tree.top, tree.chunks


def revealed(value: Any) -> Iterator[bytes]:
    """Every secret that is reachable from a value."""
    match value:
        case Secret():
            yield value.reveal()
        case Ratchet():
            yield from revealed((value.secret, value.skipped))
        case Mapping():
            for each in value.values():
                yield from revealed(each)
        case tuple():
            for each in value:
                yield from revealed(each)
        case None | int():
            pass
        case _:
            raise AssertionError(type(value))


def test_the_search_finds_what_is_there() -> None:
    tree = new_secret_tree(4, ENCRYPTION_SECRET)
    assert set(revealed(parts(tree))) == {ENCRYPTION_SECRET.reveal()}
    tree, key = tree.at(SUITE, 1, True, 2, Window())
    found = set(revealed(parts(tree)))
    naive = NaiveSecrets(4)
    assert naive.secrets(1, True, 0)[1].reveal() in found
    assert naive.secrets(1, True, 3)[0].reveal() in found
    assert naive.leaf_secret(0).reveal() in found
    # The other half's, two chains' secrets, and the keys and nonces of the two that were skipped.
    assert len(found) == 2 + 2 + 4
    assert key.generation == 2


@given(WIDTHS, USES)
def test_it_is_as_the_naive_one_and_keeps_nothing_of_used_keys(
    width: int, uses: list[tuple[int, bool, int, bool]]
) -> None:
    tree, naive = new_secret_tree(width, ENCRYPTION_SECRET), NaiveSecrets(width)
    for hint, handshake, away, sending in uses:
        leaf = hint % min(width, 7) * (width // min(width, 7))
        generation = max(0, naive.next.get((leaf, handshake), 0) + away)
        if sending:
            generation = naive.next.get((leaf, handshake), 0)
            tree, key = tree.next(SUITE, leaf, handshake)
            naive.used.add((leaf, handshake, generation))
            naive.next[leaf, handshake] = generation + 1
        elif naive.at(leaf, handshake, generation, NARROW):
            tree, key = tree.at(SUITE, leaf, handshake, generation, NARROW)
        else:
            with pytest.raises(errors.KeyConsumed):
                tree.at(SUITE, leaf, handshake, generation, NARROW)
            continue
        _, expected_key, expected_nonce = naive.secrets(leaf, handshake, generation)
        assert key == MessageKey(generation, expected_key, expected_nonce)
    nothing_is_left(tree, naive)


def nothing_is_left(tree: SecretTree, naive: NaiveSecrets) -> None:
    left = list(revealed(parts(tree)))
    assert left
    for leaf, handshake, generation in naive.used:
        gone = naive.secrets(leaf, handshake, generation)
        assert not {each.reveal() for each in gone} & set(left)
        assert naive.leaf_secret(leaf).reveal() not in left
        assert ENCRYPTION_SECRET.reveal() not in left


@given(WIDTHS, st.integers(0, 255))
def test_what_a_leafs_secret_was_made_of_is_gone_and_the_others_can_still_be_made(width: int, hint: int) -> None:
    leaf, naive = hint % width, NaiveSecrets(width)
    tree, _ = new_secret_tree(width, ENCRYPTION_SECRET).next(SUITE, leaf, True)
    left = set(revealed(parts(tree)))
    secret, first, count = ENCRYPTION_SECRET, 0, width
    while count > 1:
        assert secret.reveal() not in left
        count //= 2
        right = leaf >= first + count
        first += count if right else 0
        other = SUITE.expand_with_label(secret, "tree", b"left" if right else b"right", 32)
        assert other.reveal() in left
        secret = SUITE.expand_with_label(secret, "tree", b"right" if right else b"left", 32)
    assert secret.reveal() not in left
    for each in range(width):
        _, key = tree.at(SUITE, each, False, 0, Window())
        assert key.key == naive.secrets(each, False, 0)[1]


def test_a_former_tree_is_never_changed() -> None:
    first = new_secret_tree(4, ENCRYPTION_SECRET)
    before = list(revealed(parts(first)))
    second, one = first.at(SUITE, 2, False, 3, Window())
    kept = sorted(revealed(parts(second)))
    third, two = second.at(SUITE, 2, False, 1, Window())
    assert second.at(SUITE, 2, False, 1, Window())[1] == two
    assert first.at(SUITE, 2, False, 3, Window())[1] == one
    assert list(revealed(parts(first))) == before
    assert sorted(revealed(parts(second))) == kept
    assert len(list(revealed(parts(third)))) == len(kept) - 2


# --- the window --------------------------------------------------------------------------


def test_a_key_is_given_once() -> None:
    tree, _ = new_secret_tree(1, ENCRYPTION_SECRET).at(SUITE, 0, True, 0, Window())
    with pytest.raises(errors.KeyConsumed, match="generation 0"):
        tree.at(SUITE, 0, True, 0, Window())
    later, _ = tree.at(SUITE, 0, True, 3, Window())
    late, _ = later.at(SUITE, 0, True, 1, Window())
    with pytest.raises(errors.KeyConsumed, match="generation 1"):
        late.at(SUITE, 0, True, 1, Window())
    assert late.at(SUITE, 0, True, 2, Window())[1].generation == 2


def test_a_message_may_be_so_far_ahead() -> None:
    tree, _ = new_secret_tree(1, ENCRYPTION_SECRET).at(SUITE, 0, True, 9, Window(9, 0))
    assert tree.at(SUITE, 0, True, 13, Window(3, 0))[1].generation == 13
    with pytest.raises(errors.KeyConsumed, match="4 messages were skipped"):
        tree.at(SUITE, 0, True, 14, Window(3, 0))


def test_a_message_may_be_so_far_behind() -> None:
    tree, _ = new_secret_tree(1, ENCRYPTION_SECRET).at(SUITE, 0, True, 9, Window(9, 4))
    assert tree.at(SUITE, 0, True, 6, Window())[1].generation == 6
    with pytest.raises(errors.KeyConsumed, match="generation 5"):
        tree.at(SUITE, 0, True, 5, Window())
    # The window moves on with the next one.
    tree, _ = tree.at(SUITE, 0, True, 10, Window(9, 4))
    with pytest.raises(errors.KeyConsumed):
        tree.at(SUITE, 0, True, 6, Window())
    assert tree.at(SUITE, 0, True, 7, Window())[1].generation == 7


def test_a_leaf_outside_of_the_tree_has_no_keys() -> None:
    tree = new_secret_tree(2, ENCRYPTION_SECRET)
    assert tree.at(SUITE, 1, True, 0, Window())[1].generation == 0
    for leaf in (2, 1 << 31):
        with pytest.raises(errors.KeyConsumed, match=f"no leaf {leaf}"):
            tree.at(SUITE, leaf, True, 0, Window())


def test_a_chain_has_two_to_the_32_keys() -> None:
    last = Ratchet(ENCRYPTION_SECRET, 2**32 - 1, {})
    end, key = last.next(SUITE)
    assert key.generation == 2**32 - 1
    with pytest.raises(errors.KeyConsumed, match="used up"):
        end.next(SUITE)
    assert last.at(SUITE, 2**32 - 1, Window())[1] == key


def test_secrets_that_were_taken_away_are_not_there() -> None:
    tree, _ = new_secret_tree(2, ENCRYPTION_SECRET).next(SUITE, 0, True)
    without = SecretTree(2, tree.top, {0: Chunk(tree.chunks[0].branch, {})})
    assert without.next(SUITE, 1, True)[1].generation == 0
    with pytest.raises(errors.KeyConsumed, match="are gone"):
        without.next(SUITE, 0, True)


def test_a_chunks_secrets_are_taken_out_of_the_top() -> None:
    tree, _ = new_secret_tree(256, ENCRYPTION_SECRET).next(SUITE, 70, True)
    naive = NaiveSecrets(256)
    nothing = set(revealed(tree.top)) & set(revealed(tree.chunks))
    assert nothing == set()
    for leaf in (69, 71, 0, 64, 127, 128):
        assert tree.next(SUITE, leaf, True)[1].key == naive.secrets(leaf, True, 0)[1]
    without = SecretTree(256, tree.top, {})
    assert without.next(SUITE, 128, True)[1].key == naive.secrets(128, True, 0)[1]
    with pytest.raises(errors.KeyConsumed, match="are gone"):
        without.next(SUITE, 69, True)


def test_members_far_apart_have_their_own_chains() -> None:
    tree, keys = new_secret_tree(256, ENCRYPTION_SECRET), set()
    for leaf in (0, 63, 64, 255, 0, 63):
        tree, key = tree.next(SUITE, leaf, False)
        keys.add(key.key.reveal())
    assert len(keys) == 6
    assert NaiveSecrets(256).secrets(63, False, 1)[1].reveal() in keys


def test_a_tree_shows_no_secret() -> None:
    tree, key = new_secret_tree(2, ENCRYPTION_SECRET).at(SUITE, 0, True, 1, Window())
    shown = repr((tree, parts(tree), key))
    for secret in revealed((parts(tree), tuple(key))):
        assert secret.hex() not in shown
        assert repr(secret) not in shown
