"""Members with real keys, in groups that are made once: a group never changes, so that every case starts from them."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from adversary.bending import bent
from mls.illegal.case import Attempt
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import committing, framing, joining, protection, sending
from tacit.mls.commit import Commit
from tacit.mls.credential import BasicCredential
from tacit.mls.extensions import Extension, ExternalSender, ExternalSenders, as_extension
from tacit.mls.framing import (
    AnyContent,
    AnySender,
    AuthenticatedContent,
    FramedContent,
    Member,
    PublicMessage,
    WireFormat,
)
from tacit.mls.group import Group
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.key_package import KeyPackage
from tacit.mls.leaf_node import Capabilities, LeafNode, Lifetime
from tacit.mls.policy import Policy
from tacit.mls.processing import CommitChecked
from tacit.mls.proposals import Add, AnyProposal, Remove
from tacit.mls.psk import ExternalPsk, PreSharedKeyID
from tacit.mls.state import PendingCommit, State
from tacit.mls.suites import SUITES, CipherSuite, SignatureKey
from tacit.mls.tree import Tree

SUITE: Final = SUITES[1]
NOW: Final = 1_700_000_000
"""Unix seconds."""
LIFETIME: Final = Lifetime(NOW - 3600, NOW + 3600)
GROUP: Final = b"group"
CUSTOM: Final = 0xF001
"""An extension, a proposal and a credential of the application's own, which everybody here knows."""
UNKNOWN: Final = 0xF002
"""One that nobody here knows."""
EXTERNAL: Final = SUITE.new_signature_key(random.Random("external").randbytes)
Draw = Callable[[int], bytes]


class Rules(Policy):
    """Everybody is who they say, but one; whoever likes may join."""

    external_joins: ClassVar[bool] = True
    new_member_proposals: ClassVar[bool] = True
    private_handshakes: ClassVar[bool] = False

    def authenticate(self, leaf: LeafNode) -> None:
        if leaf.credential == BasicCredential(b"mallory"):
            raise errors.InvalidGroupMessage("§5.3.1: nobody knows mallory")

    def authenticate_external(self, sender: ExternalSender) -> None:
        if sender.credential == BasicCredential(b"mallory"):
            raise errors.InvalidGroupMessage("§5.3.1: nobody knows mallory")

    def external_psk(self, psk_id: bytes) -> Secret | None:
        return Secret(psk_id.rjust(32, b"\0")) if psk_id != b"lost" else None


def draws(seed: str) -> Draw:
    """Randomness that is the same for the same seed."""
    return random.Random(seed).randbytes


def capabilities(**changes: tuple[int, ...]) -> Capabilities:
    """What everybody here can do."""
    return dataclasses.replace(Capabilities((1,), tuple(SUITES), (CUSTOM,), (CUSTOM,), (1, 2, CUSTOM)), **changes)


def client(name: str, seed: str = "", suite: CipherSuite = SUITE, **changes: Any) -> KeyPackageKeys:
    """Somebody's key package with its private keys."""
    random, options = draws(name + seed), {"supports": capabilities(), "lifetime": LIFETIME, **changes}
    signer = options.pop("signer", None) or suite.new_signature_key(random)
    lifetime = options.pop("lifetime")
    return joining.new_key_package(suite, signer, BasicCredential(name.encode()), lifetime, random, **options)


def repackaged(keys: KeyPackageKeys, leaf: dict[str, Any] | None = None, **changes: Any) -> KeyPackageKeys:
    """A key package with something changed, leaf and package signed again."""
    suite, package = SUITES[keys.package.cipher_suite], keys.package
    changed = dataclasses.replace(package.leaf_node, **(leaf or {}))
    changes = {"leaf_node": committing.signed_leaf(suite, keys.signer, changed, b"", 0), **changes}
    package = dataclasses.replace(package, **changes)
    signature = suite.sign_with_label(keys.signer, "KeyPackageTBS", package.to_be_signed())
    return dataclasses.replace(keys, package=dataclasses.replace(package, signature=signature))


@dataclasses.dataclass(frozen=True)
class People:
    """Four members of one group in one epoch, by their leaves."""

    alice: Group
    bob: Group
    carol: Group
    dave: Group


def taken(group: Group, message: bytes) -> Group:
    """A group once it has a proposal or a commit."""
    group, outcome = group.process(message, NOW)
    return group.merge(outcome, NOW) if isinstance(outcome, CommitChecked) else group


def committed(
    group: Group, *proposals: AnyProposal, seed: str = "commit", **options: Any
) -> tuple[Group, PendingCommit]:
    """A member's commit, and its own group after that."""
    random = options.pop("random", None) or draws(f"{seed} {group.epoch}")
    group, pending = group.commit(*proposals, now=NOW, random=random, **options)
    return group.merge(pending, NOW), pending


NAMES: Final = ("alice", "bob", "carol", "dave")


@functools.cache
def people(policy: type[Policy] = Rules, *, senders: bool = False) -> People:
    """The group of four in its third epoch: everybody has committed once, so that all of the tree is filled."""
    rules, clients = policy(), [client(name) for name in NAMES]
    extensions: tuple[Extension, ...] = ()
    if senders:
        sender = ExternalSender(EXTERNAL.public, BasicCredential(b"service"))
        extensions = (as_extension(ExternalSenders((sender,))),)
    alice = Group.create(GROUP, clients[0], rules, draws("create"), extensions)
    alice, first = committed(alice, *(Add(each.package) for each in clients[1:]))
    assert first.welcome is not None
    groups = [alice, *(Group.join(first.welcome, each, rules) for each in clients[1:])]
    for at in (2, 0):
        groups[at], pending = committed(groups[at], seed=f"fill {at}")
        groups = [each if number == at else taken(each, pending.commit) for number, each in enumerate(groups)]
    return People(*groups)


@functools.cache
def three() -> People:
    """The same without bob: leaf 1 is blank, and bob's group is as it was before."""
    four = people()
    alice, pending = committed(four.alice, Remove(1))
    return People(alice, four.bob, taken(four.carol, pending.commit), taken(four.dave, pending.commit))


# --- by hand: what a member signs, MACs and encrypts -------------------------------------


def signed(
    group: Group,
    body: AnyContent,
    *,
    sender: AnySender | None = None,
    signer: SignatureKey | None = None,
    wire_format: WireFormat = WireFormat.PUBLIC_MESSAGE,
    **changes: Any,
) -> AuthenticatedContent:
    """Content that a member signs, whatever it is."""
    content = FramedContent(group.group_id, group.epoch, sender or Member(group.me), b"", body)
    content = dataclasses.replace(content, **changes)
    signer = signer or group.state.signer
    signature = protection.signature(group.suite, signer, wire_format, content, group.context)
    tag = b"" if isinstance(body, Commit) else None
    return AuthenticatedContent(wire_format, content, signature, tag)


def public(group: Group, content: AuthenticatedContent, **changes: Any) -> bytes:
    """Content in the clear, MACed again."""
    key = group.state.epoch.secrets.membership_key
    message = protection.public_message(group.suite, key, content, group.context)
    return framing.to_wire(dataclasses.replace(message, **changes))


def private(group: Group, content: AuthenticatedContent, padding: Callable[[int], Any] = lambda _: 0) -> bytes:
    """Content encrypted; its padding may be anything that `bytes` takes."""
    state = group.state
    secrets = state.epoch.secrets
    _, message = protection.private_message(
        group.suite, state.secret_tree, secrets.sender_data_secret, content, padding, draws("private")
    )
    return framing.to_wire(message)


def parsed(message: bytes) -> PublicMessage:
    """A public message, to be changed."""
    found = framing.from_wire(message)
    assert isinstance(found, PublicMessage)
    return found


# --- from the inside: an engine that makes something else --------------------------------


@contextmanager
def leaf_bent(change: Callable[[LeafNode], LeafNode], signer: SignatureKey | None = None) -> Iterator[None]:
    """Every leaf that is signed meanwhile is changed before it is."""
    honest = committing.signed_leaf

    def signed_leaf(suite: CipherSuite, key: SignatureKey, leaf: LeafNode, group_id: bytes, index: int) -> LeafNode:
        return honest(suite, signer or key, change(leaf), group_id, index)

    with bent({"tacit.mls.committing:signed_leaf": signed_leaf}):
        yield


@contextmanager
def content_bent(change: Callable[[AuthenticatedContent], AuthenticatedContent]) -> Iterator[None]:
    """Content is changed after it was signed, and before it is MACed or encrypted."""
    honest = sending.protected

    def protected(state: State, policy: Policy, sent: AuthenticatedContent, random: Draw) -> tuple[State, bytes]:
        return honest(state, policy, change(sent), random)

    with bent({"tacit.mls.sending:protected": protected}):
        yield


@contextmanager
def tree_bent(change: Callable[[Tree], Tree]) -> Iterator[None]:
    """The tree after a commit is changed: its hash, the epoch and the Welcome are of that one."""
    honest = committing._Maker.made

    def made(self: Any, path: Any, keys: Any, signer: Any, random: Any) -> Any:
        return honest(self, dataclasses.replace(path, tree=change(path.tree)), keys, signer, random)

    with bent({"tacit.mls.committing:_Maker.made": made}):
        yield


# --- deliveries --------------------------------------------------------------------------


def delivered(receiver: Group, *messages: bytes) -> Attempt:
    """Messages that arrive one after the other, the last of which counts."""
    for each in messages[:-1]:
        receiver = taken(receiver, each)
    return Attempt(receiver.state, lambda: taken(receiver, messages[-1]))


def proposed(sender: Group, proposal: AnyProposal) -> bytes:
    """A proposal by itself."""
    return public(sender, signed(sender, framing.ProposalContent(proposal)))


def joins(welcome: bytes, keys: KeyPackageKeys, policy: Policy | None = None, **options: Any) -> Attempt:
    """Somebody who joins by a Welcome."""
    return Attempt(keys, lambda: Group.join(welcome, keys, policy or Rules(), **options))


def psk(psk_id: bytes = b"psk", nonce: bytes = bytes(32)) -> PreSharedKeyID:
    """The name of a key that everybody has."""
    return PreSharedKeyID(ExternalPsk(psk_id), nonce)


def package(name: str = "erin", seed: str = "", **changes: Any) -> KeyPackage:
    """The key package of somebody new."""
    return client(name, seed, **changes).package
