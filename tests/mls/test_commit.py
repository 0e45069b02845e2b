"""The ciphertexts of a path, of which one is read: the same one whether they have one size or several."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tacit import errors
from tacit.mls.commit import Ciphertexts, UpdatePathNode
from tacit.mls.suites import HPKECiphertext
from tacit.wire.codec import decode, encode

PIECES = st.builds(HPKECiphertext, st.binary(max_size=70), st.binary(max_size=70))
ALIKE = st.builds(HPKECiphertext, st.binary(min_size=32, max_size=32), st.binary(min_size=48, max_size=48))


@given(st.lists(PIECES, max_size=6) | st.lists(ALIKE, max_size=6))
def test_each_is_found_at_its_place(pieces: list[HPKECiphertext]) -> None:
    made = Ciphertexts.of(pieces)
    sizes = [len(encode(each)) for each in pieces]
    # Otherwise those of other sizes cannot be told from broken ones of one size.
    assume(not pieces or len(set(sizes)) == 1 or sum(sizes) % sizes[0])
    node = decode(UpdatePathNode, encode(UpdatePathNode(b"key", made)))
    found = node.encrypted_path_secret
    assert encode(node)[5 if len(made.encoded) < 64 else 6 :] == made.encoded
    assert found == made
    assert hash(found) == hash(made)
    assert len(found) == len(pieces)
    assert [found[index] for index in range(len(pieces))] == pieces
    assert list(found) == pieces
    assert tuple(found[1:3]) == tuple(pieces[1:3])
    with pytest.raises(IndexError):
        found[len(pieces)]


def test_others_are_not_the_same() -> None:
    one = Ciphertexts.of((HPKECiphertext(b"kem", b"text"),))
    others: list[Any] = [Ciphertexts.of(()), Ciphertexts.of((HPKECiphertext(b"kem", b"tex"),)), (), None]
    assert all(one != other for other in others)


@pytest.mark.parametrize("encoded", [b"\1", b"\1a", b"\1a\1", b"\1a\1b\1", b"\xff", b"\1a\1b\1a\1b\1"])
def test_what_cannot_be_read_is_refused_when_it_is_asked_for(encoded: bytes) -> None:
    found = decode(UpdatePathNode, b"\0" + bytes((len(encoded),)) + encoded).encrypted_path_secret
    with pytest.raises(errors.Malformed):
        len(found)


def test_one_that_cannot_be_read_among_some_of_one_size() -> None:
    found = Ciphertexts(b"\1a\1b" + b"\2a\1b" + b"\1c\1d")
    assert len(found) == 3
    assert (found[0], found[2]) == (HPKECiphertext(b"a", b"b"), HPKECiphertext(b"c", b"d"))
    with pytest.raises(errors.Malformed):
        found[1]
    with pytest.raises(errors.Malformed):
        list(found)


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(errors.Malformed):
        decode(UpdatePathNode, b"\0\5\1a\1b")
