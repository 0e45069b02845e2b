"""The proposals of one commit: whether they are valid (RFC 9420 §12.1, §12.2), and what comes of them (§12.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from tacit import errors
from tacit.mls import extensions as ext
from tacit.mls import leaf_validation, limits
from tacit.mls.extensions import Extension, ExternalSenders
from tacit.mls.framing import AnySender, External, Member, NewMemberCommit, NewMemberProposal
from tacit.mls.group_context import GroupContext
from tacit.mls.key_package import KeyPackage
from tacit.mls.leaf_node import LeafNode, Updated
from tacit.mls.policy import Policy, Proposed
from tacit.mls.proposals import (
    Add,
    AnyProposal,
    CustomProposal,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from tacit.mls.psk import PreSharedKeyID, ResumptionPsk, ResumptionPskUsage
from tacit.mls.suites import CipherSuite
from tacit.mls.tree import Tree
from tacit.mls.tree_math import LeafIndex

P = TypeVar("P")
_NO_PATH: Final = (Add, PreSharedKey, ReInit)
"""What needs no path (§12.4); a custom proposal may change the membership, so it does."""
_FROM_OUTSIDE: Final = (Add, Remove, PreSharedKey, ReInit, GroupContextExtensions)
_MAY: Final[dict[type[AnySender], tuple[type[AnyProposal], ...]]] = {
    Member: (*_FROM_OUTSIDE, Update, CustomProposal),
    External: _FROM_OUTSIDE,
    NewMemberProposal: (Add,),
    NewMemberCommit: (ExternalInit, Remove, PreSharedKey),
}
"""Who may propose what (§12.1.8, §12.2)."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A group after a list of proposals, before the commit's own path."""

    tree: Tree
    extensions: tuple[Extension, ...]
    added: tuple[tuple[LeafIndex, KeyPackage], ...]
    updated: tuple[LeafIndex, ...]
    removed: tuple[tuple[LeafIndex, LeafNode], ...]
    psks: tuple[PreSharedKeyID, ...]
    reinit: ReInit | None
    external_init: ExternalInit | None


def needs_path(proposals: Sequence[Proposed]) -> bool:
    """Whether a commit of these has to have a path (§12.4)."""
    return not proposals or any(not isinstance(each.proposal, _NO_PATH) for each in proposals)


def check_sender(proposal: AnyProposal, sender: AnySender) -> None:
    """A proposal may come from whoever sends it (§12.1.8); raises `InvalidGroupMessage`."""
    if not isinstance(proposal, _MAY[type(sender)]):
        raise errors.InvalidGroupMessage("§12.1.8: a proposal of this type cannot come from such a sender")


def apply(
    suite: CipherSuite,
    context: GroupContext,
    tree: Tree,
    proposals: Sequence[Proposed],
    committer: LeafIndex | None,
    policy: Policy,
    now: int,
) -> Applied:
    """The group after these proposals of a commit (§12.3); `committer` is None where it joins by the commit.

    Raises `InvalidGroupMessage` for an invalid list, and what the policy refuses with.
    """
    _check_list(proposals, committer)
    if not proposals:
        return Applied(tree, context.extensions, (), (), (), (), None, None)
    for each in proposals:
        policy.check_proposal(each)
    changes = _only(proposals, GroupContextExtensions)
    extensions = changes[0].extensions if changes else context.extensions
    ext.types_of(extensions)
    if changes:
        check_external_senders(extensions, policy)
    before = tree
    touched = set[int]()

    updated = []
    for each in proposals:
        if isinstance(each.proposal, Update):
            assert isinstance(each.sender, Member)
            leaf = LeafIndex(each.sender.leaf_index)
            _touch(touched, leaf)
            check_new_leaf(suite, context.group_id, extensions, policy, leaf, tree.leaf(leaf), each.proposal.leaf_node)
            if not isinstance(each.proposal.leaf_node.source, Updated):
                raise errors.InvalidGroupMessage("§12.1.2: the leaf of an Update has another source")
            tree = tree.updated(leaf, each.proposal.leaf_node)
            updated.append(leaf)
    removed = []
    for remove in _only(proposals, Remove):
        leaf = LeafIndex(remove.removed)
        gone = before.leaf(leaf)
        if gone is None:
            raise errors.InvalidGroupMessage("§12.1.3: there is no member at the leaf to be removed")
        _touch(touched, leaf)
        removed.append((leaf, gone))
    for leaf, _ in removed:
        tree = tree.removed(leaf)
    tree, added = _added(suite, tree, extensions, proposals, policy, now)
    _check_capabilities(before, tree, extensions, bool(changes), proposals, {leaf for leaf, _ in removed})
    psks = tuple(each.psk for each in _only(proposals, PreSharedKey))
    _check_psks(suite, context, psks)
    reinits, inits = _only(proposals, ReInit), _only(proposals, ExternalInit)
    for reinit in reinits:
        if reinit.version < context.version:
            raise errors.InvalidGroupMessage("§12.1.5: the group cannot go to an older version")
        ext.types_of(reinit.extensions)
    return Applied(
        tree,
        extensions,
        tuple(added),
        tuple(updated),
        tuple(removed),
        psks,
        reinits[0] if reinits else None,
        inits[0] if inits else None,
    )


def _only(proposals: Sequence[Proposed], kind: type[P]) -> list[P]:
    return [each.proposal for each in proposals if isinstance(each.proposal, kind)]


def _touch(touched: set[int], leaf: int) -> None:
    if leaf in touched:
        raise errors.InvalidGroupMessage("§12.2: two Updates or Removes of one leaf")
    touched.add(leaf)


def _check_list(proposals: Sequence[Proposed], committer: LeafIndex | None) -> None:
    """What can be said of the list without the group (§12.2)."""
    for each in proposals:
        check_sender(each.proposal, each.sender)
    if committer is None:
        _check_external(proposals)
        return
    if any(isinstance(each.proposal, Update) and each.sender == Member(committer) for each in proposals):
        raise errors.InvalidGroupMessage("§12.2: an Update of the committer's own")
    if any(each.removed == committer for each in _only(proposals, Remove)):
        raise errors.InvalidGroupMessage("§12.2: the committer removes itself")
    if len(_only(proposals, GroupContextExtensions)) > 1:
        raise errors.InvalidGroupMessage("§12.2: several GroupContextExtensions")
    if _only(proposals, ReInit) and len(proposals) > 1:
        raise errors.InvalidGroupMessage("§12.2: a ReInit beside other proposals")


def _check_external(proposals: Sequence[Proposed]) -> None:
    if len(_only(proposals, ExternalInit)) != 1:
        raise errors.InvalidGroupMessage("§12.2: an external commit has one ExternalInit")
    if len(_only(proposals, Remove)) > 1:
        raise errors.InvalidGroupMessage("§12.2: an external commit removes one leaf at most")
    if any(each.reference is not None for each in proposals):
        raise errors.InvalidGroupMessage("§12.4.3.2: an external commit has proposals by value only")


def check_external_senders(extensions: tuple[Extension, ...], policy: Policy) -> None:
    """The application knows everybody outside of the group who may propose to it (§5.3.1)."""
    listed = ext.find(ExternalSenders, extensions)
    for each in listed.senders if listed else ():
        policy.authenticate_external(each)


def check_new_leaf(
    suite: CipherSuite,
    group_id: bytes,
    extensions: tuple[Extension, ...],
    policy: Policy,
    index: LeafIndex,
    before: LeafNode | None,
    leaf: LeafNode,
) -> None:
    """A member's new leaf is valid, has a new key, and is of the same member (§7.3, §12.1.2, §12.4.2).

    Without a leaf `before` it is of somebody who joins by an external commit.
    """
    leaf_validation.check_key(suite, leaf.encryption_key)
    leaf_validation.check_signature(suite, leaf, group_id, index)
    check_made_leaf(suite, extensions, policy, before, leaf)


def check_made_leaf(
    suite: CipherSuite,
    extensions: tuple[Extension, ...],
    policy: Policy,
    before: LeafNode | None,
    leaf: LeafNode,
) -> None:
    """As `check_new_leaf` of a leaf whose key and signature were made here."""
    leaf_validation.check_form(suite, leaf)
    leaf_validation.check_supports(leaf, extensions)
    policy.authenticate(leaf)
    if before is None:
        return
    if before.encryption_key == leaf.encryption_key:
        raise errors.InvalidGroupMessage("§7.3: the leaf's encryption key is the former one")
    if not policy.is_successor(before, leaf):
        raise errors.InvalidGroupMessage("§5.3.1: the new credential is not of the same member")


def _added(
    suite: CipherSuite,
    tree: Tree,
    extensions: tuple[Extension, ...],
    proposals: Sequence[Proposed],
    policy: Policy,
    now: int,
) -> tuple[Tree, list[tuple[LeafIndex, KeyPackage]]]:
    adds = _only(proposals, Add)
    if not adds:
        return tree, []
    clients = {policy.client_of(leaf) for _, leaf in tree.leaves()} if policy.tells_clients else set()
    for each in adds:
        package = each.key_package
        leaf_validation.check_key_package(suite, package, now)
        leaf_validation.check_duration(package.leaf_node, policy.lifetime_seconds)
        leaf_validation.check_supports(package.leaf_node, extensions)
        policy.authenticate(package.leaf_node)
        if policy.tells_clients:
            client = policy.client_of(package.leaf_node)
            if client in clients:
                raise errors.InvalidGroupMessage("§12.2: the client to be added is a member already")
            clients.add(client)
    tree, places = tree.added_all([each.key_package.leaf_node for each in adds])
    return tree, [(index, each.key_package) for index, each in zip(places, adds, strict=True)]


def _check_capabilities(
    before: Tree,
    after: Tree,
    extensions: tuple[Extension, ...],
    changed: bool,
    proposals: Sequence[Proposed],
    removed: set[LeafIndex],
) -> None:
    """Who goes on supports the group's new extensions (§12.1.7) and every custom proposal (§12.2)."""
    if changed:
        for leaf in leaf_validation.one_for_each(leaf for _, leaf in after.leaves()):
            leaf_validation.check_supports(leaf, extensions)
    custom = {each.proposal_type for each in _only(proposals, CustomProposal)}
    if not custom:
        return
    for index, leaf in before.leaves():
        if index not in removed and not custom <= set(leaf.capabilities.proposals):
            raise errors.InvalidGroupMessage("§12.2: a proposal's type is not supported by every member")


def _check_psks(suite: CipherSuite, context: GroupContext, psks: tuple[PreSharedKeyID, ...]) -> None:
    if len(psks) > limits.PSKS:  # joiners could not be told of them
        raise errors.TooLarge(f"{len(psks)} pre-shared keys where {limits.PSKS} are the most")
    if len(set(psks)) != len(psks):
        raise errors.InvalidGroupMessage("§12.2: one pre-shared key twice")
    for each in psks:
        if len(each.psk_nonce) != suite.hash_bytes:
            raise errors.InvalidGroupMessage("§12.1.4: a psk_nonce is of the wrong size")
        usage = each.psk.usage if isinstance(each.psk, ResumptionPsk) else ResumptionPskUsage.APPLICATION
        # Only the commit that founds a group reinitialises or branches another one (§11.2, §11.3).
        if usage is not ResumptionPskUsage.APPLICATION and context.epoch != 0:
            raise errors.InvalidGroupMessage("§12.1.4: a resumption key for reinit or branch in a group that exists")
