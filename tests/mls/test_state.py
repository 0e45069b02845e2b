"""What a member's state holds, and what it must not."""

from __future__ import annotations

import random
from typing import Final

import pytest

from mls.deep import secrets_in
from mls.test_deep import Open, keys
from tacit import errors
from tacit.mls.group import Group
from tacit.mls.processing import CommitChecked
from tacit.mls.proposals import Add, Remove
from tacit.mls.snapshot import records
from tacit.mls.state import PendingCommit

RANDOM: Final = random.Random(2).randbytes


def origin(pending: PendingCommit) -> bytes:
    """The encryption_secret of the epoch that a commit begins."""
    assert pending.transition.epoch is not None
    return pending.transition.epoch.secrets.encryption_secret.reveal()


def test_a_used_key_cannot_be_made_again() -> None:
    joiner, policy = keys(b"b"), Open()
    alice, pending = Group.create(b"g", keys(b"a"), policy, RANDOM).commit(Add(joiner.package), now=1, random=RANDOM)
    alice, used = alice.merge(pending, 1), origin(pending)
    assert pending.welcome is not None
    bob = Group.join(pending.welcome, joiner, policy)
    assert used in secrets_in(alice.state), "nobody needed a key yet"
    alice, message = alice.protect(b"text", RANDOM)
    bob, _ = bob.process(message, 1)
    for group in (alice, bob):
        assert used not in secrets_in(group.state)
        assert not any(used in record for record in records(group.state).values())


def test_who_was_removed_keeps_nothing_of_the_last_epoch() -> None:
    joiner, policy = keys(b"b"), Open()
    alice, pending = Group.create(b"g", keys(b"a"), policy, RANDOM).commit(Add(joiner.package), now=1, random=RANDOM)
    alice = alice.merge(pending, 1)
    assert pending.welcome is not None
    bob = Group.join(pending.welcome, joiner, policy)
    secrets = bob.state.epoch.secrets
    alice, pending = alice.commit(Remove(bob.me), now=2, random=RANDOM)
    bob, checked = bob.process(pending.commit, 2)
    assert isinstance(checked, CommitChecked)
    before = secrets_in(bob.state)
    bob = bob.merge(checked, 2)
    after = secrets_in(bob.state)
    assert secrets.exporter_secret.reveal() in before
    assert secrets.exporter_secret.reveal() not in after
    assert {each for each in after if each} <= {secrets.confirmation_key.reveal(), bob.state.signer.seed.reveal()}
    with pytest.raises(errors.GroupEnded):
        _ = bob.epoch_authenticator
    with pytest.raises(errors.GroupEnded):
        _ = bob.resumption_psk
    with pytest.raises(errors.GroupEnded):
        bob.exporter("label", b"", 32)
