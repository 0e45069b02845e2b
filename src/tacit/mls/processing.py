"""Processing what others sent (RFC 9420 §6, §12.1.8, §12.4.2). Nothing is applied: a commit is a `Transition`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from tacit import errors
from tacit.crypto.digest import equal
from tacit.crypto.secret import Secret
from tacit.mls import extensions as ext
from tacit.mls import key_schedule, leaf_validation, protection, treekem
from tacit.mls.commit import Commit, UpdatePath
from tacit.mls.committing import census_after, effects_of
from tacit.mls.extensions import ExternalSenders
from tacit.mls.framing import (
    AnySender,
    ApplicationData,
    AuthenticatedContent,
    ContentType,
    External,
    FramedContent,
    Member,
    NewMemberCommit,
    NewMemberProposal,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
)
from tacit.mls.group_context import GroupContext
from tacit.mls.leaf_node import LeafNode
from tacit.mls.policy import Policy, Proposed
from tacit.mls.proposal_list import Applied, apply, check_new_leaf, check_sender, needs_path
from tacit.mls.proposals import Add, ByReference, ProposalReference
from tacit.mls.protection import Decrypted
from tacit.mls.state import Base, Epoch, PastEpoch, State, Transition, base_of, next_epoch, psk_secret_of
from tacit.mls.suites import CipherSuite, SignatureKey
from tacit.mls.tree import Tree
from tacit.mls.tree_math import LeafIndex, NodeIndex
from tacit.wire.codec import encode


@dataclass(frozen=True, slots=True)
class Application:
    """A message of the application: of whom, in which epoch, and with which leaf in that epoch."""

    data: bytes
    authenticated_data: bytes
    sender: LeafIndex
    leaf: LeafNode
    epoch: int


@dataclass(frozen=True, slots=True)
class ProposalTaken:
    """A proposal that the next commit may name."""

    proposed: Proposed
    authenticated_data: bytes


@dataclass(frozen=True, slots=True)
class CommitChecked:
    """A commit that can be merged."""

    transition: Transition
    authenticated_data: bytes


@dataclass(frozen=True, slots=True)
class Own:
    """An own message that came back; it was applied, or is merged, where it was made."""

    content_type: ContentType
    epoch: int


Outcome = Application | ProposalTaken | CommitChecked | Own


def process(state: State, policy: Policy, message: PublicMessage | PrivateMessage, now: int) -> tuple[State, Outcome]:
    """What a message is, and the state in which its key is used up.

    Raises `WrongEpoch`, `KeyConsumed`, `DecryptionError`, `BadSignature`, `InvalidGroupMessage`, `ProposalMissing`,
    `PskMissing`, `GroupEnded`, `Malformed`, and what the policy refuses with; the state is then as it was.
    """
    if isinstance(message, PublicMessage):
        return state, _public(state, policy, message, now)
    return _private(state, policy, message, now)


def _check_group(epoch: Epoch, group_id: bytes) -> None:
    if group_id != epoch.context.group_id:
        raise errors.WrongEpoch("this message is of another group")


# --- PublicMessage -----------------------------------------------------------------------


def _public(state: State, policy: Policy, message: PublicMessage, now: int) -> Outcome:
    """A message in the clear: only ever of the present epoch."""
    state.need_active()
    epoch, content = state.epoch, message.content
    _check_group(epoch, content.group_id)
    if content.epoch != epoch.context.epoch:
        raise errors.WrongEpoch(f"epoch {content.epoch}, here {epoch.context.epoch}")
    if isinstance(content.sender, Member) and not policy.public_handshakes:
        raise errors.InvalidGroupMessage("the application takes encrypted proposals and commits only")
    claimed = protection.open_public(epoch.suite, epoch.secrets.membership_key, message, epoch.context)
    verified = claimed.verified(epoch.suite, _key_of(epoch, content), epoch.context)
    if content.sender == Member(state.me):
        return Own(content.content_type, content.epoch)
    return _handshake(state, policy, verified, now)


def _key_of(epoch: Epoch, content: FramedContent) -> bytes:
    """The signature key of whoever the content says that it is of (§6.1)."""
    match content.sender:
        case Member(leaf_index):
            return _member(epoch.tree, leaf_index).signature_key
        case External(sender_index):
            senders = ext.find(ExternalSenders, epoch.context.extensions)
            if senders is None or sender_index >= len(senders.senders):
                raise errors.InvalidGroupMessage("§12.1.8: there is no such external sender")
            return senders.senders[sender_index].signature_key
        case NewMemberProposal():
            if isinstance(content.content, ProposalContent) and isinstance(content.content.proposal, Add):
                return content.content.proposal.key_package.leaf_node.signature_key
            raise errors.InvalidGroupMessage("§12.1.8: a new member proposes to be added, and nothing else")
    if isinstance(content.content, Commit) and content.content.path is not None:
        return content.content.path.leaf_node.signature_key
    raise errors.InvalidGroupMessage("§12.4.3.2: a new member's commit has a path")


def _member(tree: Tree, leaf_index: int) -> LeafNode:
    leaf = tree.leaf(leaf_index)
    if leaf is None:
        raise errors.InvalidGroupMessage("§6.1: the sender is no member")
    return leaf


# --- PrivateMessage ----------------------------------------------------------------------


def _private(state: State, policy: Policy, message: PrivateMessage, now: int) -> tuple[State, Outcome]:
    epoch = state.epoch
    _check_group(epoch, message.group_id)
    if message.epoch != epoch.context.epoch:
        return _late(state, policy, message, now)
    state.need_active()
    data = protection.sender_data(epoch.suite, epoch.secrets.sender_data_secret, message)
    if data.leaf_index == state.me:
        return state, Own(message.content_type, message.epoch)
    opened = protection.open_content(epoch.suite, state.secret_tree, data, message, policy.window)
    leaf = _verified(epoch.suite, epoch.context, epoch.tree, opened.content)
    state = state.with_message_keys(opened.tree)
    if message.content_type is ContentType.APPLICATION:
        return state, _application(opened.content, leaf)
    return state, _handshake(state, policy, opened.content.claimed(), now)


def _late(state: State, policy: Policy, message: PrivateMessage, now: int) -> tuple[State, Outcome]:
    """A message of the application of an epoch that is over; proposals and commits of it are worth nothing."""
    at = next((at for at, past in enumerate(state.past) if past.context.epoch == message.epoch), None)
    if at is None or message.content_type is not ContentType.APPLICATION:
        state.need_active()
        raise errors.WrongEpoch(f"epoch {message.epoch}, here {state.epoch.context.epoch}")
    past, suite = state.past[at], state.epoch.suite
    if now - past.ended_at > policy.past_seconds:
        raise errors.WrongEpoch(f"epoch {message.epoch} is over for too long")
    data = protection.sender_data(suite, past.sender_data_secret, message)
    if data.leaf_index == state.me:
        return state, Own(message.content_type, message.epoch)
    opened = protection.open_content(suite, past.secret_tree, data, message, policy.window)
    # The leaf of that epoch: at this place may be somebody else now.
    leaf = _verified(suite, past.context, past.tree, opened.content)
    kept: list[PastEpoch] = list(state.past)
    kept[at] = dataclasses.replace(past, secret_tree=opened.tree)
    return state._replace(past=tuple(kept)), _application(opened.content, leaf)


def _verified(suite: CipherSuite, context: GroupContext, tree: Tree, content: Decrypted) -> LeafNode:
    """The leaf of who sent it; raises `BadSignature`, and `InvalidGroupMessage` where nobody is."""
    leaf = _member(tree, content.leaf_index)
    content.verify(suite, leaf.signature_key, context)
    return leaf


def _application(content: Decrypted, leaf: LeafNode) -> Application:
    message, body = content.message, content.body
    assert isinstance(body, ApplicationData)
    sender = LeafIndex(content.leaf_index)
    return Application(body.application_data, message.authenticated_data, sender, leaf, message.epoch)


# --- proposals and commits ---------------------------------------------------------------


def _handshake(state: State, policy: Policy, verified: AuthenticatedContent, now: int) -> Outcome:
    content = verified.content
    if isinstance(content.content, Commit):
        return CommitChecked(_commit(state, policy, verified, content.content, now), content.authenticated_data)
    assert isinstance(content.content, ProposalContent)
    proposal = content.content.proposal
    check_sender(proposal, content.sender)
    proposed = Proposed(proposal, content.sender, verified.reference(state.epoch.suite))
    policy.check_proposal(proposed)
    return ProposalTaken(proposed, content.authenticated_data)


def resolved(state: State, named: Sequence[ProposalReference], sender: AnySender) -> tuple[Proposed, ...]:
    """The proposals that a commit names; raises `ProposalMissing`."""
    found = []
    for each in named:
        if not isinstance(each, ByReference):
            found.append(Proposed(each.proposal, sender))
        elif each.reference in state.proposals:
            found.append(state.proposals[each.reference])
        else:
            raise errors.ProposalMissing()
    return tuple(found)


def _commit(state: State, policy: Policy, message: AuthenticatedContent, commit: Commit, now: int) -> Transition:
    """What a commit makes of the group (§12.4.2)."""
    base, sender = base_of(state.epoch), message.content.sender
    external = isinstance(sender, NewMemberCommit)
    if not external and not isinstance(sender, Member):
        raise errors.InvalidGroupMessage("§6.1: only members and who joins can commit")
    committer = LeafIndex(sender.leaf_index) if isinstance(sender, Member) else None
    proposals = resolved(state, commit.proposals, sender)
    if commit.path is None and needs_path(proposals):
        raise errors.InvalidGroupMessage("§12.4: the commit needs a path and has none")
    applied = apply(base.suite, base.context, base.tree, proposals, committer, policy, now)
    if applied.external_init is not None:
        key = key_schedule.external_key(base.suite, state.epoch.secrets.external_secret)
        init_secret = key_schedule.external_init_opened(base.suite, key, applied.external_init.kem_output)
        base = dataclasses.replace(base, init_secret=init_secret)
    tree, place, filtered = _with_path(base, policy, applied, committer, commit.path)
    effects = effects_of(base, proposals, applied, place, tree, external)
    policy.check_commit(effects)
    if any(index == state.me for index, _ in applied.removed):
        return Transition(base.context, effects, None, state.me, {}, state.signer)
    census = census_after(base, applied, tree, commit.path)
    keys, signer = _own(state, applied)
    provisional = base.next_context(tree, applied.extensions)
    commit_secret = Secret(bytes(base.suite.hash_bytes))
    if commit.path is not None:
        joiners = [index for index, _ in applied.added]
        new_keys, commit_secret = treekem.opened(
            base.suite, filtered, commit.path, state.me, keys, encode(provisional), joiners
        )
        keys = {**treekem.kept(keys, applied.tree, tree, state.me), **new_keys}
    psk = psk_secret_of(base.suite, applied.psks, state, policy)
    after = next_epoch(base, tree, applied.extensions, census, message, commit_secret, psk).epoch
    if not equal(after.confirmation_tag, message.confirmation_tag or b""):
        raise errors.InvalidGroupMessage("§12.4.2: the confirmation tag is not right")
    return Transition(base.context, effects, after, state.me, keys, signer)


def _with_path(
    base: Base, policy: Policy, applied: Applied, committer: LeafIndex | None, path: UpdatePath | None
) -> tuple[Tree, LeafIndex, treekem.FilteredPath]:
    """The tree after a commit, where the committer is in it, and its filtered path."""
    tree = applied.tree
    if path is None:
        assert committer is not None
        return tree, committer, []
    if committer is None:
        before = applied.removed[0][1] if applied.removed else None
        tree, place = tree.added(path.leaf_node)
    else:
        place, before = committer, tree.leaf(committer)
    check_new_leaf(base.suite, base.context.group_id, applied.extensions, policy, place, before, path.leaf_node)
    for node in path.nodes:
        leaf_validation.check_key(base.suite, node.encryption_key)
    tree, filtered = treekem.applied(base.suite, tree, place, path)
    return tree, place, filtered


def _own(state: State, applied: Applied) -> tuple[treekem.PrivateKeys, SignatureKey]:
    """This member's keys and signer after the proposals, one of which may be an own Update."""
    keys = treekem.kept(state.keys, state.epoch.tree, applied.tree, state.me)
    leaf = applied.tree.leaf(state.me) if state.updates else None
    update = state.updates.get(leaf.encryption_key) if leaf is not None else None
    if update is None:
        return keys, state.signer
    return {**keys, NodeIndex(2 * state.me): update.leaf_key}, update.signer
