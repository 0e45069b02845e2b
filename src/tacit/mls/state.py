"""What a member keeps of a group: the epoch, its own keys, and what is left of former epochs. Nothing here changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tacit import errors
from tacit.crypto.kem import PrivateKey
from tacit.crypto.secret import Secret
from tacit.mls import key_schedule, transcript
from tacit.mls.census import Census
from tacit.mls.extensions import Extension
from tacit.mls.framing import AuthenticatedContent
from tacit.mls.group_context import GroupContext
from tacit.mls.key_schedule import EpochSecrets
from tacit.mls.policy import Effects, Policy, Proposed
from tacit.mls.proposals import ReInit
from tacit.mls.psk import ExternalPsk, PreSharedKeyID, psk_secret
from tacit.mls.secret_tree import SecretTree, new_secret_tree
from tacit.mls.suites import CipherSuite, SignatureKey
from tacit.mls.tree import Tree
from tacit.mls.tree_math import LeafIndex, NodeIndex


@dataclass(frozen=True, slots=True)
class Epoch:
    """What all members of an epoch have in common."""

    suite: CipherSuite
    context: GroupContext
    tree: Tree
    census: Census
    secrets: EpochSecrets
    confirmation_tag: bytes
    interim_transcript_hash: bytes


@dataclass(frozen=True, slots=True)
class PastEpoch:
    """What is left of an epoch, so that late messages can be read."""

    context: GroupContext
    tree: Tree
    sender_data_secret: Secret
    secret_tree: SecretTree
    ended_at: int


@dataclass(frozen=True, slots=True)
class OwnUpdate:
    """The keys of an own Update that is not committed yet."""

    leaf_key: PrivateKey
    signer: SignatureKey


class State(NamedTuple):
    """A member's state of a group: a tuple, since each message makes one."""

    epoch: Epoch
    secret_tree: SecretTree
    me: LeafIndex
    keys: Mapping[NodeIndex, PrivateKey]
    signer: SignatureKey
    proposals: Mapping[bytes, Proposed]
    updates: Mapping[bytes, OwnUpdate]
    past: tuple[PastEpoch, ...]
    resumption: tuple[tuple[int, Secret], ...]
    reinit: ReInit | None = None
    removed: bool = False

    def with_message_keys(self, secret_tree: SecretTree) -> State:
        """The state with other message keys: what each message changes, so it is written out."""
        return State(
            self.epoch,
            secret_tree,
            self.me,
            self.keys,
            self.signer,
            self.proposals,
            self.updates,
            self.past,
            self.resumption,
            self.reinit,
            self.removed,
        )

    def need_active(self) -> None:
        """Raises `GroupEnded` for whoever was removed, and where the group was reinitialised."""
        if self.removed:
            raise errors.GroupEnded("removed")
        if self.reinit is not None:
            raise errors.GroupEnded("reinitialised")


@dataclass(frozen=True, slots=True)
class Transition:
    """A commit that was checked and not applied yet: the epoch after it, and this member's part of it.

    Without an `epoch` this member is removed by it.
    """

    parent: GroupContext
    effects: Effects
    epoch: Epoch | None
    me: LeafIndex
    keys: Mapping[NodeIndex, PrivateKey]
    signer: SignatureKey


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """An own commit that the delivery service did not take yet; `welcome` is for whom it adds."""

    commit: bytes
    welcome: bytes | None
    transition: Transition

    @property
    def effects(self) -> Effects:
        """What it does."""
        return self.transition.effects


@dataclass(frozen=True, slots=True)
class Base:
    """What a commit starts from: a member's epoch, or what somebody from outside knows of it."""

    suite: CipherSuite
    context: GroupContext
    tree: Tree
    census: Census
    interim_transcript_hash: bytes
    init_secret: Secret

    def next_context(
        self, tree: Tree, extensions: tuple[Extension, ...], confirmed_transcript_hash: bytes | None = None
    ) -> GroupContext:
        """The next epoch's context; before its commit is signed it has the transcript hash of this one (§12.4.1)."""
        now = self.context
        return GroupContext(
            now.version,
            now.cipher_suite,
            now.group_id,
            now.epoch + 1,
            tree.tree_hash(self.suite),
            confirmed_transcript_hash or now.confirmed_transcript_hash,
            extensions,
        )


def base_of(epoch: Epoch) -> Base:
    """What a commit in an epoch starts from."""
    return Base(
        epoch.suite,
        epoch.context,
        epoch.tree,
        epoch.census,
        epoch.interim_transcript_hash,
        epoch.secrets.init_secret,
    )


@dataclass(frozen=True, slots=True)
class Next:
    """The epoch that a commit begins, and what joiners need for it."""

    epoch: Epoch
    joiner_secret: Secret


def next_epoch(
    base: Base,
    tree: Tree,
    extensions: tuple[Extension, ...],
    census: Census,
    commit: AuthenticatedContent,
    commit_secret: Secret,
    psk: Secret,
) -> Next:
    """The epoch after a commit, with the confirmation tag that the commit has to have (§12.4.1, §12.4.2)."""
    suite = base.suite
    confirmed = transcript.confirmed(suite, base.interim_transcript_hash, commit)
    context = base.next_context(tree, extensions, confirmed)
    joined = key_schedule.next_epoch(suite, base.init_secret, commit_secret, psk, context)
    return Next(epoch_of(suite, context, tree, census, joined.epoch), joined.joiner_secret)


def epoch_of(suite: CipherSuite, context: GroupContext, tree: Tree, census: Census, secrets: EpochSecrets) -> Epoch:
    """An epoch with the confirmation tag that its secrets make."""
    tag = transcript.confirmation_tag(suite, secrets.confirmation_key, context.confirmed_transcript_hash)
    interim = transcript.interim(suite, context.confirmed_transcript_hash, tag)
    return Epoch(suite, context, tree, census, secrets, tag, interim)


def first_state(epoch: Epoch, me: LeafIndex, keys: Mapping[NodeIndex, PrivateKey], signer: SignatureKey) -> State:
    """The state of somebody who is in its first epoch."""
    return State(*_begun(epoch), me, keys, signer, {}, {}, (), ())


def _begun(epoch: Epoch) -> tuple[Epoch, SecretTree]:
    """An epoch with its ratchets, and without what they come from: used keys could be made again of that (§9.2)."""
    begun = Epoch(
        epoch.suite,
        epoch.context,
        epoch.tree,
        epoch.census,
        epoch.secrets.without_encryption_secret(),
        epoch.confirmation_tag,
        epoch.interim_transcript_hash,
    )
    return begun, new_secret_tree(epoch.tree.width, epoch.secrets.encryption_secret)


def merged(state: State, transition: Transition, policy: Policy, now: int) -> State:
    """The state after a commit; raises `WrongEpoch` when another one was applied meanwhile, `GroupEnded`."""
    state.need_active()
    epoch = state.epoch
    if transition.parent != epoch.context:
        raise errors.WrongEpoch("this commit is of another epoch")
    if transition.epoch is None:
        return _left(state)
    former = PastEpoch(epoch.context, epoch.tree, epoch.secrets.sender_data_secret, state.secret_tree, now)
    past = (former, *state.past)[: policy.past_epochs]
    resumption = ((epoch.context.epoch, epoch.secrets.resumption_psk), *state.resumption)[: policy.resumption_epochs]
    return State(
        *_begun(transition.epoch),
        transition.me,
        transition.keys,
        transition.signer,
        {},
        {},
        tuple(each for each in past if now - each.ended_at <= policy.past_seconds),
        resumption,
        transition.effects.reinit,
    )


def _left(state: State) -> State:
    """What stays with who was removed: the group as it was and past epochs, but nothing that opens its last one."""
    epoch = state.epoch
    nothing = dict.fromkeys(EpochSecrets.__slots__, Secret(b""))
    secrets = EpochSecrets(**{**nothing, "confirmation_key": epoch.secrets.confirmation_key})
    return state._replace(
        epoch=dataclasses.replace(epoch, secrets=secrets),
        secret_tree=SecretTree(epoch.tree.width, None, {}),
        keys={},
        proposals={},
        updates={},
        removed=True,
    )


def psk_secret_of(suite: CipherSuite, names: tuple[PreSharedKeyID, ...], state: State | None, policy: Policy) -> Secret:
    """The pre-shared keys of those names in one (§8.4); raises `PskMissing`."""
    return psk_secret(suite, [(name, _psk(name, state, policy)) for name in names])


def _psk(name: PreSharedKeyID, state: State | None, policy: Policy) -> Secret:
    if isinstance(name.psk, ExternalPsk):
        found = policy.external_psk(name.psk.psk_id)
    else:
        group_id, number = name.psk.psk_group_id, name.psk.psk_epoch
        found = None
        if state is not None and group_id == state.epoch.context.group_id:
            current = (state.epoch.context.epoch, state.epoch.secrets.resumption_psk)
            found = dict((*state.resumption, current)).get(number)
        found = found or policy.resumption_psk(group_id, number)
    if found is None:
        raise errors.PskMissing()
    return found
