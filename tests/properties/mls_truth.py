"""What is true of MLS groups whatever happens to them, and what an attacker with old states tries."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from mls.deep import parts, secrets_in
from tacit import errors
from tacit.crypto.kem import PrivateKey
from tacit.crypto.secret import Secret
from tacit.mls import framing, key_schedule, processing, protection, tree_math
from tacit.mls.census import census_of
from tacit.mls.commit import Commit
from tacit.mls.framing import FramedContent, PrivateMessage, PublicMessage
from tacit.mls.group import Group
from tacit.mls.group_context import GroupContext
from tacit.mls.policy import Policy
from tacit.mls.proposals import ExternalInit, PreSharedKey
from tacit.mls.secret_tree import CHUNK_LEVEL, SecretTree, chunk_root
from tacit.mls.state import State, psk_secret_of
from tacit.mls.tree_math import LeafIndex
from tacit.wire.codec import encode


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """An epoch as whoever began it has it; `members` are names by leaf."""

    context: GroupContext
    authenticator: Secret
    tree: bytes
    members: Mapping[LeafIndex, str]

    @property
    def number(self) -> int:
        """How many commits were before it."""
        return self.context.epoch


def epoch_of(group: Group) -> Epoch:
    """The epoch that a group is in; what it counts of its tree is what a new count gives."""
    tree = group.state.epoch.tree
    assert list(parts(group.state.epoch.census)) == list(parts(census_of(tree)))
    names = {index: name_of(leaf) for index, leaf in group.members()}
    return Epoch(group.context, group.epoch_authenticator, encode(group.ratchet_tree()), names)


def name_of(leaf: Any) -> str:
    """Whose leaf it is."""
    identity: bytes = leaf.credential.identity
    return identity.decode()


def check_agrees(group: Group, epoch: Epoch) -> None:
    """Who is in an epoch agrees with whoever began it (RFC 9420 §8.7)."""
    assert group.context == epoch.context
    assert group.epoch_authenticator == epoch.authenticator, "the epoch authenticator is another"
    assert encode(group.ratchet_tree()) == epoch.tree, "the tree is another"


def check_keys(state: State) -> None:
    """Every private key is of a node above its owner, with that node's public key; its own leaf's is among them."""
    tree = state.epoch.tree
    above = {each.index: each.node for each in tree.path(state.me)}
    assert 2 * state.me in state.keys
    for index, key in state.keys.items():
        node = above.get(index)
        assert node is not None, "a key of a blank node, or of one that is not above"
        assert node.encryption_key == key.public, "a key of another time"


# --- keys that were used ---------------------------------------------------------------------


def secret_tree_of(state: State, number: int) -> SecretTree:
    """The ratchets of an epoch."""
    if state.epoch.context.epoch == number:
        return state.secret_tree
    return next(each.secret_tree for each in state.past if each.context.epoch == number)


def makers(tree: SecretTree, leaf: int, handshake: bool, generation: int) -> set[bytes]:
    """The secret that a message key is made of; none where that key was skipped and lies ready."""
    chunk = tree.chunks.get(leaf >> CHUNK_LEVEL)
    if chunk is not None and leaf in chunk.ratchets:
        ratchet = chunk.ratchets[leaf][0 if handshake else 1]
        return {ratchet.secret.reveal()} if generation >= ratchet.generation else set()
    if chunk is None:
        branch, index = tree.top, int(tree_math.root(tree.width))
    else:
        branch, index = chunk.branch, int(chunk_root(tree.width, leaf >> CHUNK_LEVEL))
    while not isinstance(branch, Secret):
        assert branch is not None
        left = 2 * leaf < index
        branch = branch[0 if left else 1]
        index = tree_math.left(index) if left else tree_math.right(index)
    return {branch.reveal()}


def check_consumed(before: State, after: State, message: PrivateMessage, policy: Policy) -> None:
    """Neither the key of a message nor what it was made of is left anywhere (§9.2)."""
    suite, tree = before.epoch.suite, secret_tree_of(before, message.epoch)
    if message.epoch == before.epoch.context.epoch:
        opener = before.epoch.secrets.sender_data_secret
    else:
        opener = next(each.sender_data_secret for each in before.past if each.context.epoch == message.epoch)
    data = protection.sender_data(suite, opener, message)
    handshake = message.content_type is not framing.ContentType.APPLICATION
    _, key = tree.at(suite, data.leaf_index, handshake, data.generation, policy.window)
    used = {key.key.reveal(), key.nonce.reveal()} | makers(tree, data.leaf_index, handshake, data.generation)
    assert not used & secrets_in(after), "a used key, or what it was made of, is left"


# --- attacks ---------------------------------------------------------------------------------


def private_keys(states: Iterable[State]) -> dict[bytes, PrivateKey]:
    """Every private key that somebody ever had."""
    found: dict[bytes, PrivateKey] = {}
    for state in states:
        found |= {key.public: key for key in state.keys.values()}
        found |= {update.leaf_key.public: update.leaf_key for update in state.updates.values()}
    return found


def content_of(states: list[State], policy: Policy, message: bytes) -> FramedContent:
    """What is in a message, for whoever has a state in which its key was not used; nothing is checked."""
    parsed = framing.from_wire(message)
    if isinstance(parsed, PublicMessage):
        return parsed.content
    assert isinstance(parsed, PrivateMessage)
    for state in reversed(states):
        secret = state.epoch.secrets.sender_data_secret
        with suppress(errors.KeyConsumed):
            opened = protection.open_private(state.epoch.suite, state.secret_tree, secret, parsed, policy.window)
            return opened.content.claimed().content
    raise AssertionError("all of them are too late")


def breaks_in(states: list[State], policy: Policy, message: bytes, after: Epoch) -> bool:
    """Whether somebody who has these states, the last of them of the epoch before, gets into the epoch after a commit.

    It does all that the engine would do, and does not stop where it is told that it was removed: every private key
    against every ciphertext of the path, and no path at all.
    """
    state = states[-1]
    suite, content = state.epoch.suite, content_of(states, policy, message)
    commit = content.content
    assert isinstance(commit, Commit)
    proposals = [each.proposal for each in processing.resolved(state, commit.proposals, content.sender)]
    init_secret = state.epoch.secrets.init_secret
    for each in proposals:
        if isinstance(each, ExternalInit):
            key = key_schedule.external_key(suite, state.epoch.secrets.external_secret)
            init_secret = key_schedule.external_init_opened(suite, key, each.kem_output)
    psks = tuple(each.psk for each in proposals if isinstance(each, PreSharedKey))
    psk = psk_secret_of(suite, psks, state, policy)
    provisional = dataclasses.replace(
        after.context, confirmed_transcript_hash=state.epoch.context.confirmed_transcript_hash
    )
    candidates = [Secret(bytes(suite.hash_bytes))]
    nodes = commit.path.nodes if commit.path else ()
    for place, node in enumerate(nodes):
        for ciphertext in node.encrypted_path_secret:
            for key in private_keys(states).values():
                try:
                    secret = Secret(suite.decrypt_with_label(key, "UpdatePathNode", encode(provisional), ciphertext))
                except errors.DecryptionError:
                    continue
                for _ in nodes[place:]:
                    secret = suite.derive_secret(secret, "path")
                candidates.append(secret)
    return any(
        key_schedule.next_epoch(suite, init_secret, each, psk, after.context).epoch.epoch_authenticator
        == after.authenticator
        for each in candidates
    )
