"""The errors of a group that are no rule of the standard: whoever meets them can do something about it."""

from __future__ import annotations

from typing import Any

import pytest

from mls.making import NOW, SUITE, client, draws
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import Add, ExternalPsk, Group, KeyPackageKeys, PreSharedKey, PreSharedKeyID, Remove
from tacit.mls.leaf_node import LeafNode
from tacit.mls.policy import Policy


class Open(Policy):
    """Everybody is who they say; one pre-shared key is known to those who were given it."""

    def __init__(self, psk: Secret | None = None) -> None:
        self.psk = psk

    def authenticate(self, leaf: LeafNode) -> None:
        pass

    def external_psk(self, psk_id: bytes) -> Secret | None:
        return self.psk


def keys(name: str) -> KeyPackageKeys:
    somebody = client(name)
    return KeyPackageKeys(somebody.package(), somebody.init_key, somebody.leaf_key, somebody.signer)


def two(group_id: bytes = b"group", psk: Secret | None = None) -> tuple[Group, Group, Any]:
    """Alice's group, Bob's view of it, and randomness."""
    random, bob = draws("group"), keys("bob")
    alice = Group.create(group_id, keys("alice"), Open(psk), random)
    alice, pending = alice.commit(Add(bob.package), now=NOW, random=random)
    assert pending.welcome is not None
    return alice.merge(pending, NOW), Group.join(pending.welcome, bob, Open()), random


def test_a_message_of_another_group_or_of_an_epoch_that_is_not_kept_is_refused() -> None:
    alice, bob, random = two()
    _, message = alice.protect(b"hello", random)
    assert bob.process(message, NOW)
    with pytest.raises(errors.WrongEpoch, match="another group"):
        two(b"another")[1].process(message, NOW)
    alice, pending = alice.commit(now=NOW, random=random)
    alice = alice.merge(pending, NOW)
    _, later = alice.protect(b"hello", random)
    with pytest.raises(errors.WrongEpoch, match="epoch 2, here 1"):
        bob.process(later, NOW)
    with pytest.raises(errors.WrongEpoch):
        alice.process(pending.commit, NOW)


def test_a_commit_of_a_proposal_that_was_not_received_waits_for_it() -> None:
    alice, bob, random = two()
    alice, proposal = alice.propose(Add(keys("carol").package), random)
    alice, pending = alice.commit(now=NOW, random=random)
    with pytest.raises(errors.ProposalMissing):
        bob.process(pending.commit, NOW)
    bob, _ = bob.process(proposal, NOW)
    bob, outcome = bob.process(pending.commit, NOW)
    assert bob.merge(outcome, NOW).epoch == 2  # type: ignore[arg-type]


def test_a_commit_with_a_pre_shared_key_that_is_not_known_waits_for_it() -> None:
    psk = Secret(b"shared")
    alice, bob, random = two(psk=psk)
    name = PreSharedKeyID(ExternalPsk(b"name"), bytes(SUITE.hash_bytes))
    alice, pending = alice.commit(PreSharedKey(name), now=NOW, random=random)
    with pytest.raises(errors.PskMissing):
        bob.process(pending.commit, NOW)
    bob, outcome = Group(bob.state, Open(psk)).process(pending.commit, NOW)
    assert bob.merge(outcome, NOW).epoch == 2  # type: ignore[arg-type]


def test_who_was_removed_can_send_nothing_more() -> None:
    alice, bob, random = two()
    alice, pending = alice.commit(Remove(bob.me), now=NOW, random=random)
    bob, outcome = bob.process(pending.commit, NOW)
    bob.protect(b"still here", random)
    bob = bob.merge(outcome, NOW)  # type: ignore[arg-type]
    assert not bob.is_active
    with pytest.raises(errors.GroupEnded, match="removed"):
        bob.protect(b"hello", random)
    with pytest.raises(errors.GroupEnded, match="removed"):
        bob.exporter("label", b"", 32)


def test_a_message_is_read_once() -> None:
    alice, bob, random = two()
    _, message = alice.protect(b"hello", random)
    after, outcome = bob.process(message, NOW)
    assert outcome == bob.process(message, NOW)[1]
    with pytest.raises(errors.KeyConsumed):
        after.process(message, NOW)
