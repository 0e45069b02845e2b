"""The check of passive-client files: somebody joins by a Welcome, and follows what the others do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tacit import errors
from tacit.crypto.secret import Randomness, Secret
from tacit.mls import limits, protection
from tacit.mls.commit import Commit
from tacit.mls.conformance_case import Fact, Fields, Format, of, raw, secret, suite
from tacit.mls.extensions import ExternalSender
from tacit.mls.framing import AnyMessage, PrivateMessage, ProposalContent, PublicMessage, from_wire
from tacit.mls.group import Group
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.key_package import KeyPackage
from tacit.mls.leaf_node import LeafNode, Lifetime
from tacit.mls.nodes import RatchetTree
from tacit.mls.policy import Policy
from tacit.mls.processing import CommitChecked, ProposalTaken
from tacit.mls.proposals import Add, AnyProposal, ByValue
from tacit.wire.codec import decode


class _Lenient(Policy):
    """A policy that allows what the RFC allows, with the pre-shared keys of a case."""

    external_joins = True
    new_member_proposals = True
    lifetime_seconds = 1 << 64
    resumption_epochs = 1 << 32

    def __init__(self, psks: Mapping[bytes, Secret]) -> None:
        self.psks = psks

    def authenticate(self, leaf: LeafNode) -> None:
        pass

    def authenticate_external(self, sender: ExternalSender) -> None:
        pass

    def is_successor(self, before: LeafNode, after: LeafNode) -> bool:
        return True

    def external_psk(self, psk_id: bytes) -> Secret | None:
        return self.psks.get(psk_id)


def passive_client_case(case: Fields, random: Randomness) -> Iterator[Fact]:
    """The epoch's authenticator is everybody's after the Welcome and after each commit (§8.7)."""
    using, package = suite(case), from_wire(raw(case["key_package"]))
    if not isinstance(package, KeyPackage):
        raise errors.Malformed(f"key_package is a {type(package).__name__}")
    keys = KeyPackageKeys(
        package,
        using.private_key(secret(case["init_priv"])),
        using.private_key(secret(case["encryption_priv"])),
        using.signature_key(secret(case["signature_priv"])),
    )
    leaf = package.leaf_node
    yield Fact("init_priv", keys.init_key.public, package.init_key)
    yield Fact("encryption_priv", keys.leaf_key.public, leaf.encryption_key)
    yield Fact("signature_priv", keys.signer.public, leaf.signature_key)
    policy = _Lenient({raw(each["psk_id"]): secret(each["psk"]) for each in case["external_psks"]})
    tree = case.get("ratchet_tree")
    given = None if tree is None else decode(RatchetTree, raw(tree), limits.MESSAGE_BYTES)
    group = Group.join(raw(case["welcome"]), keys, policy, tree=given)
    yield Fact("initial_epoch_authenticator", group.epoch_authenticator, secret(case["initial_epoch_authenticator"]))
    for number, epoch in enumerate(case["epochs"]):
        group = _next_epoch(group, epoch, leaf)
        name = f"epochs[{number}]: epoch_authenticator"
        yield Fact(name, group.epoch_authenticator, secret(epoch["epoch_authenticator"]))


def _next_epoch(group: Group, epoch: Fields, own: LeafNode) -> Group:
    commit = raw(epoch["commit"])
    proposals = [raw(each) for each in epoch["proposals"]]
    now = _time([own, *(leaf for each in (*proposals, commit) for leaf in _added(group, from_wire(each)))])
    for each in proposals:
        group, outcome = group.process(each, now)
        if not isinstance(outcome, ProposalTaken):
            raise errors.Malformed(f"a proposal is a {type(outcome).__name__}")
    group, outcome = group.process(commit, now)
    if not isinstance(outcome, CommitChecked):
        raise errors.Malformed(f"a commit is a {type(outcome).__name__}")
    return group.merge(outcome, now)


def _time(leaves: list[LeafNode]) -> int:
    """A time at which the file's key packages were in use, which are over by now: when the last of them began."""
    return max((leaf.source.not_before for leaf in leaves if isinstance(leaf.source, Lifetime)), default=0)


def _added(group: Group, message: AnyMessage) -> list[LeafNode]:
    """Whom a message adds; it is opened for that only, and processed afterwards."""
    proposals: list[AnyProposal] = []
    match _content(group, message):
        case ProposalContent(proposal):
            proposals = [proposal]
        case Commit(listed):
            proposals = [each.proposal for each in listed if isinstance(each, ByValue)]
    return [each.key_package.leaf_node for each in proposals if isinstance(each, Add)]


def _content(group: Group, message: AnyMessage) -> object:
    if isinstance(message, PublicMessage):
        return message.content.content
    if not isinstance(message, PrivateMessage):
        return None
    state = group.state
    opened = protection.open_private(
        group.suite, state.secret_tree, state.epoch.secrets.sender_data_secret, message, group.policy.window
    )
    return opened.content.body


FORMATS: Final[dict[str, Format]] = {
    "passive-client": of(
        passive_client_case, "external_psks", "key_package", "signature_priv", "encryption_priv", "init_priv", "epochs"
    ),
}
"""The format of the three files that begin with passive-client."""
