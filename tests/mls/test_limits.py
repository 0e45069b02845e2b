"""What is larger than `tacit.mls.limits` says is refused before anything of that size is allocated, also where it lies.

What a refusal takes is measured; the messages themselves are made before.
"""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable
from typing import Any, Final

import pytest

from mls.making import draws
from mls.party import Open, Party
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import limits, secret_tree
from tacit.mls.extensions import Extension, RequiredCapabilities
from tacit.mls.framing import MLSMessage, PrivateMessage, from_wire
from tacit.mls.leaf_node import Capabilities
from tacit.mls.nodes import ParentNode, RatchetTree
from tacit.mls.processing import Application
from tacit.mls.proposals import PreSharedKey
from tacit.mls.psk import ExternalPsk, PreSharedKeyID
from tacit.mls.secret_tree import Window, new_secret_tree
from tacit.mls.suites import SUITES, vector
from tacit.mls.tree import from_nodes
from tacit.mls.welcome import GroupSecrets, Welcome
from tacit.wire.codec import decode, encode, functions_of

SMALL: Final = 64 * 1024
"""Bytes that a refusal may take, whatever is asked for."""


@pytest.fixture(autouse=True)
def compiled() -> None:
    """The functions of a struct are made when it is first used."""
    for cls in (MLSMessage, RatchetTree, RequiredCapabilities, GroupSecrets):
        functions_of(cls)


def refusal(call: Callable[[], Any], *kinds: type[errors.TacitError]) -> int:
    """The most bytes that were allocated until it was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(kinds):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


LENGTHS: Final = {"2^30 - 1": b"\xbf\xff\xff\xff", "64 MiB": b"\x84\x00\x00\x00", "16383": b"\x7f\xff"}
BEFORE: Final[dict[str, tuple[type, bytes]]] = {
    "tree": (RatchetTree, b""),
    "unmerged leaves": (ParentNode, b"\0\0"),
    "extension": (Extension, b"\0\1"),
    "capabilities": (RequiredCapabilities, b""),
    "psk": (ExternalPsk, b""),
    "psks": (GroupSecrets, b"\0\0"),
    "welcome": (Welcome, b"\0\1"),
    "group id of a message": (MLSMessage, b"\0\1\0\2"),
    "authenticated data": (PrivateMessage, b"\0" + bytes(8) + b"\1"),
    "ciphertext": (PrivateMessage, b"\0" + bytes(8) + b"\1\0\0"),
}
"""A struct, and what of it is before a length that lies."""


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", BEFORE)
def test_a_length_that_lies_takes_nothing(name: str, length: str) -> None:
    cls, before = BEFORE[name]
    data = before + LENGTHS[length] + bytes(3)
    assert refusal(lambda: decode(cls, data, limits.MESSAGE_BYTES), errors.Malformed, errors.TooLarge) < SMALL


def test_a_message_that_is_too_long_is_not_looked_at() -> None:
    data = bytes(limits.MESSAGE_BYTES + 1)
    assert refusal(lambda: from_wire(data), errors.TooLarge) < SMALL


def test_an_extension_that_is_too_long_is_not_copied() -> None:
    data = b"\0\1" + vector(bytes(limits.EXTENSION_BYTES + 1))
    assert refusal(lambda: decode(Extension, data, limits.MESSAGE_BYTES), errors.TooLarge) < SMALL


def test_a_tree_that_is_too_wide_is_not_built() -> None:
    data = vector(bytes(limits.NODES + 1))
    # No more than for the widest tree that there may be: an object for each blank, and a list of them.
    assert refusal(lambda: decode(RatchetTree, data, limits.MESSAGE_BYTES), errors.TooLarge) < 56 * limits.NODES


def test_a_tree_of_blanks_is_not_built() -> None:
    nodes = RatchetTree((None,) * limits.NODES)
    assert refusal(lambda: from_nodes(nodes), errors.Malformed) < 16 * limits.NODES + SMALL


def test_more_capabilities_than_there_may_be_are_not_read() -> None:
    data = vector(bytes(2 * (limits.CAPABILITIES + 1))) + b"\0\0"
    assert refusal(lambda: decode(RequiredCapabilities, data, limits.MESSAGE_BYTES), errors.TooLarge) < SMALL


def test_skipped_generations_are_refused_before_a_key_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    suite, made = SUITES[1], 0
    tree, _ = new_secret_tree(4, Secret(bytes(32))).next(suite, 2, False)
    real = secret_tree.Ratchet.next

    def counted(*given: Any) -> Any:
        nonlocal made
        made += 1
        return real(*given)

    monkeypatch.setattr(secret_tree.Ratchet, "next", counted)
    window = Window()
    for generation in (window.ahead + 2, 1 << 20, (1 << 32) - 1):
        ahead = functools.partial(tree.at, suite, 2, False, generation, window)
        assert refusal(ahead, errors.KeyConsumed) < SMALL
    for leaf in (4, 1 << 20, (1 << 32) - 1):
        assert refusal(functools.partial(tree.at, suite, leaf, False, 0, window), errors.KeyConsumed) < SMALL
    assert made == 0
    tree.at(suite, 2, False, window.ahead + 1, window)
    assert made == window.ahead + 1


def test_what_was_skipped_is_kept_up_to_a_number() -> None:
    suite, window = SUITES[1], Window(ahead=50, behind=20)
    tree = new_secret_tree(2, Secret(bytes(32)))
    for generation in range(40, 400, 40):
        tree, _ = tree.at(suite, 1, False, generation, window)
    (chunk,) = tree.chunks.values()
    assert len(chunk.ratchets[1].application.skipped) <= window.behind


def psks(count: int) -> list[PreSharedKey]:
    return [PreSharedKey(PreSharedKeyID(ExternalPsk(b"%d" % each), bytes(32))) for each in range(count)]


def test_more_pre_shared_keys_than_a_joiner_can_be_told_are_refused() -> None:
    policy = Open({b"%d" % each: b"key" for each in range(limits.PSKS + 1)})
    party = Party("alice", "bob", policy=policy)
    party.commit("alice", *psks(limits.PSKS))
    with pytest.raises(errors.TooLarge):
        party.pending("alice", *psks(limits.PSKS + 1))


def test_names_of_more_pre_shared_keys_are_not_read() -> None:
    names = tuple(each.psk for each in psks(limits.PSKS))
    fits = encode(GroupSecrets(bytes(32), None, names))
    assert decode(GroupSecrets, fits, limits.MESSAGE_BYTES).psks == names
    data = vector(bytes(32)) + b"\0" + vector(b"".join(encode(each) for each in (*names, names[0])))
    taken = refusal(lambda: decode(GroupSecrets, data, limits.MESSAGE_BYTES), errors.TooLarge)
    assert taken < 1024 * limits.PSKS + SMALL


def test_more_proposals_than_a_commit_can_name_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROPOSALS", 2)
    party = Party("alice", "bob")
    alice, bob, random = party["alice"], party["bob"], draws("proposals")
    for psk in psks(2):
        alice, message = alice.propose(psk, random)
        bob, _ = bob.process(message, 0)
    with pytest.raises(errors.TooLarge, match="one commit"):
        alice.propose(psks(1)[0], random)
    monkeypatch.setattr(limits, "PROPOSALS", 3)
    _, message = alice.propose(psks(1)[0], random)
    monkeypatch.setattr(limits, "PROPOSALS", 2)
    with pytest.raises(errors.TooLarge, match="one commit"):
        bob.process(message, 0)
    assert len(bob.proposals) == 2


def test_a_message_that_no_member_would_read_is_not_sent() -> None:
    party = Party("alice", "bob")
    alice, bob = party["alice"], party["bob"]
    most = limits.CONTENT_BYTES - 4 - 2 - 64 - 16
    _, message = alice.protect(bytes(most), draws("large"), bytes(limits.AAD_BYTES))
    assert isinstance(bob.process(message, 0)[1], Application)
    for data, aad in ((bytes(most + 1), b""), (b"", bytes(limits.AAD_BYTES + 1))):
        with pytest.raises(errors.TooLarge):
            alice.protect(data, draws("large"), aad)


def test_a_refusal_that_takes_much_is_noticed() -> None:
    def call() -> None:
        bytes(10 * SMALL)
        raise errors.TooLarge("after all")

    assert refusal(call, errors.TooLarge) > SMALL


def test_long_capabilities_are_not_kept() -> None:
    """Anybody can send leaves: what is found again by its bytes is short."""
    for numbers, kept in ((100, True), (200, False)):
        encoded = encode(Capabilities(tuple(range(numbers)), (), (), (), ()))
        first, second = (decode(Capabilities, encoded) for _ in range(2))
        assert first == second
        assert (first is second) is kept
