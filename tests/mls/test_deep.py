"""The deep hash itself: it sees every field, and nothing that was only computed."""

from __future__ import annotations

import dataclasses
import random
from typing import Any, Final

import pytest

from mls.deep import deep_hash, parts, secrets_in
from tacit.crypto.secret import Secret
from tacit.mls import joining
from tacit.mls.credential import BasicCredential
from tacit.mls.group import Group
from tacit.mls.leaf_node import LeafNode, Lifetime
from tacit.mls.policy import Policy
from tacit.mls.proposals import Add, PreSharedKey
from tacit.mls.psk import ExternalPsk, PreSharedKeyID
from tacit.mls.secret_tree import SecretTree
from tacit.mls.state import State
from tacit.mls.suites import suite_of

RANDOM: Final = random.Random(1).randbytes


class Open(Policy):
    """Everybody is who they say."""

    def authenticate(self, leaf: LeafNode) -> None:
        pass


def keys(name: bytes) -> joining.KeyPackageKeys:
    suite = suite_of(1)
    signer = suite.new_signature_key(RANDOM)
    return joining.new_key_package(suite, signer, BasicCredential(name), Lifetime(0, 3600), RANDOM)


@pytest.fixture
def state() -> State:
    group = Group.create(b"g", keys(b"a"), Open(), RANDOM)
    group, pending = group.commit(Add(keys(b"b").package), Add(keys(b"c").package), now=1, random=RANDOM)
    group = group.merge(pending, 1)
    group, _ = group.protect(b"text", RANDOM)
    group, _ = group.propose_update(RANDOM)
    for name in (b"x", b"y"):
        group, _ = group.propose(PreSharedKey(PreSharedKeyID(ExternalPsk(name), bytes(32))), RANDOM)
    return group.state


def test_every_field_counts(state: State) -> None:
    others: dict[str, Any] = {
        "epoch": dataclasses.replace(state.epoch, confirmation_tag=b""),
        "secret_tree": SecretTree(state.secret_tree.width, Secret(bytes(32)), {}),
        "me": 1,
        "keys": {},
        "signer": suite_of(1).new_signature_key(RANDOM),
        "proposals": dict(list(state.proposals.items())[::-1]),
        "updates": {},
        "past": (),
        "resumption": (),
        "reinit": 1,
        "removed": True,
    }
    assert set(others) == set(State._fields)
    hashes = {deep_hash(state._replace(**{name: value})) for name, value in others.items()}
    assert len(hashes | {deep_hash(state)}) == len(others) + 1


def test_what_was_only_computed_does_not_count(state: State) -> None:
    before = deep_hash(state)
    for each in state.epoch.tree.subtrees():
        each._hash = None
        if each.node is not None and hasattr(each.node, "_encoded"):
            object.__setattr__(each.node, "_encoded", b"")
    assert deep_hash(state) == before


def test_the_order_in_which_keys_came_does_not_count(state: State) -> None:
    turned = state._replace(keys=dict(list(state.keys.items())[::-1]))
    assert deep_hash(turned) == deep_hash(state)


def test_every_secret_is_found(state: State) -> None:
    found = secrets_in(state)
    assert {state.signer.seed.reveal(), state.epoch.secrets.init_secret.reveal()} <= found
    assert {key.seed.reveal() for key in state.keys.values()} <= found
    assert {each.leaf_key.seed.reveal() for each in state.updates.values()} <= found
    assert state.past[0].sender_data_secret.reveal() in found


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError):
        list(parts(object()))
