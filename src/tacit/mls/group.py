"""`Group`: a member's view of a group. A group never changes: what changes it gives another one.

Keep the new one, and only then send or show what came with it: who goes on from an old one uses a key twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import final

from tacit import errors
from tacit.crypto.secret import Randomness, Secret
from tacit.mls import (
    choosing,
    committing,
    framing,
    group_info,
    joining,
    key_schedule,
    leaf_validation,
    limits,
    processing,
    protection,
    sending,
    snapshot,
)
from tacit.mls.census import census_of
from tacit.mls.committing import LeafChanges, Plan
from tacit.mls.extensions import Extension, types_of
from tacit.mls.framing import (
    AnySender,
    AuthenticatedContent,
    FramedContent,
    Member,
    PrivateMessage,
    ProposalContent,
    PublicMessage,
    WireFormat,
)
from tacit.mls.group_context import GroupContext
from tacit.mls.joining import KeyPackageKeys
from tacit.mls.key_package import MLS10
from tacit.mls.leaf_node import LeafNode, Updated
from tacit.mls.nodes import RatchetTree
from tacit.mls.policy import Policy, Proposed
from tacit.mls.processing import CommitChecked, Outcome, ProposalTaken
from tacit.mls.proposals import AnyProposal, ExternalInit, Remove, Update
from tacit.mls.state import OwnUpdate, PendingCommit, State, epoch_of, first_state, merged
from tacit.mls.suites import CipherSuite, suite_of
from tacit.mls.tree import new_tree
from tacit.mls.tree_math import LeafIndex
from tacit.mls.welcome import GroupInfo, Welcome


@final
class Group:
    """A member's view of a group in one epoch (RFC 9420)."""

    __slots__ = ("policy", "state")

    def __init__(self, state: State, policy: Policy) -> None:
        self.state = state
        self.policy = policy

    # --- beginning -----------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        group_id: bytes,
        keys: KeyPackageKeys,
        policy: Policy,
        random: Randomness,
        extensions: tuple[Extension, ...] = (),
    ) -> Group:
        """A group of one (§11), with the suite and the leaf of a key package."""
        suite, leaf = suite_of(keys.package.cipher_suite), keys.package.leaf_node
        types_of(extensions)
        leaf_validation.check_form(suite, leaf)
        leaf_validation.check_supports(leaf, extensions)
        tree = new_tree(leaf)
        context = GroupContext(MLS10, suite.id, group_id, 0, tree.tree_hash(suite), b"", extensions)
        secrets = key_schedule.of_epoch_secret(suite, Secret(random(suite.hash_bytes)))
        epoch = epoch_of(suite, context, tree, census_of(tree), secrets)
        return cls(first_state(epoch, LeafIndex(0), {tree.root.index: keys.leaf_key}, keys.signer), policy)

    @classmethod
    def join(
        cls,
        welcome: bytes,
        keys: KeyPackageKeys,
        policy: Policy,
        *,
        tree: RatchetTree | None = None,
        former: Group | None = None,
    ) -> Group:
        """The group of a Welcome (§12.4.3.1); `former` is the one that it follows or is branched from.

        Whoever keeps groups refuses one whose id it has already.
        """
        message = framing.from_wire(welcome)
        if not isinstance(message, Welcome):
            raise errors.Malformed("this is no Welcome")
        return cls(joining.join(message, keys, tree, policy, former.state if former else None), policy)

    @classmethod
    def join_external(
        cls,
        info: bytes,
        keys: KeyPackageKeys,
        policy: Policy,
        *,
        now: int,
        random: Randomness,
        tree: RatchetTree | None = None,
        resync: LeafIndex | None = None,
        proposals: tuple[AnyProposal, ...] = (),
        authenticated_data: bytes = b"",
    ) -> tuple[Group, bytes]:
        """The group as it is once others took the commit, and that commit (§12.4.3.2); `resync` is an own old leaf."""
        message = framing.from_wire(info)
        if not isinstance(message, GroupInfo):
            raise errors.Malformed("this is no GroupInfo")
        outside = joining.from_outside(message, tree, policy)
        own: list[AnyProposal] = [ExternalInit(outside.kem_output)]
        if resync is not None:
            own.append(Remove(resync))
        sender = framing.NewMemberCommit()
        plan = Plan(
            tuple(Proposed(each, sender) for each in (*own, *proposals)),
            WireFormat.PUBLIC_MESSAGE,
            authenticated_data,
        )
        made = committing.external_commit(outside.base, policy, plan, keys.package.leaf_node, keys.signer, now, random)
        after = made.transition
        assert after.epoch is not None
        sent = made.message
        commit = PublicMessage(sent.content, sent.signature, sent.confirmation_tag, None)
        return cls(first_state(after.epoch, after.me, after.keys, after.signer), policy), framing.to_wire(commit)

    @classmethod
    def load(cls, records: Mapping[str, bytes], policy: Policy) -> Group:
        """The group of these records; raises `Malformed`, `UnknownVersion`, `InvalidGroupMessage`."""
        return cls(snapshot.load(records), policy)

    # --- keeping -------------------------------------------------------------------------

    def records(self) -> dict[str, bytes]:
        """The whole state, to be kept secret: see `snapshot`."""
        return snapshot.records(self.state)

    def changed(self, before: Group) -> dict[str, bytes | None]:
        """What has to be written where `before` was kept; None for what has to be deleted, if it is there."""
        return snapshot.changed(before.state, self.state)

    # --- looking -------------------------------------------------------------------------

    @property
    def suite(self) -> CipherSuite:
        """The group's cipher suite."""
        return self.state.epoch.suite

    @property
    def context(self) -> GroupContext:
        """Group id, epoch, extensions, and the hashes of tree and history."""
        return self.state.epoch.context

    @property
    def group_id(self) -> bytes:
        """The group's id."""
        return self.context.group_id

    @property
    def epoch(self) -> int:
        """The number of the present epoch."""
        return self.context.epoch

    @property
    def me(self) -> LeafIndex:
        """This member's leaf."""
        return self.state.me

    @property
    def is_active(self) -> bool:
        """Whether this member can send: it was not removed, and the group not reinitialised."""
        return not self.state.removed and self.state.reinit is None

    @property
    def epoch_authenticator(self) -> Secret:
        """What all members of an epoch have alike, and nobody else (§8.7); raises `GroupEnded` for who was removed."""
        self._need_member()
        return self.state.epoch.secrets.epoch_authenticator

    @property
    def resumption_psk(self) -> Secret:
        """What ties another group to this epoch (§8.6); raises `GroupEnded` for who was removed."""
        self._need_member()
        return self.state.epoch.secrets.resumption_psk

    @property
    def proposals(self) -> tuple[Proposed, ...]:
        """The proposals that the next commit may name."""
        return tuple(self.state.proposals.values())

    def members(self) -> Iterable[tuple[LeafIndex, LeafNode]]:
        """The members by their leaves."""
        return self.state.epoch.tree.leaves()

    def ratchet_tree(self) -> RatchetTree:
        """The tree, for whoever joins and is not given it otherwise (§12.4.3.3)."""
        return self.state.epoch.tree.to_nodes()

    def exporter(self, label: str, context: bytes, length: int) -> Secret:
        """MLS-Exporter (§8.5)."""
        self._need_member()
        return key_schedule.exported(self.suite, self.state.epoch.secrets.exporter_secret, label, context, length)

    def group_info(self, *, with_tree: bool = True, external: bool = False, extra: tuple[Extension, ...] = ()) -> bytes:
        """A GroupInfo of this epoch (§12.4.3); with `external` anybody who has it can ask to join."""
        self.state.need_active()
        info = group_info.signed(
            self.state.epoch, self.me, self.state.signer, with_tree=with_tree, external=external, extra=extra
        )
        return framing.to_wire(info)

    def _need_member(self) -> None:
        if self.state.removed:
            raise errors.GroupEnded("removed")

    # --- messages ------------------------------------------------------------------------

    def protect(self, data: bytes, random: Randomness, authenticated_data: bytes = b"") -> tuple[Group, bytes]:
        """A message of the application (§6.3); raises `InvalidArgument` where proposals wait for a commit (§12.4)."""
        if self.state.proposals:
            raise errors.InvalidArgument("§12.4: proposals were received, commit them before a message is sent")
        self.state.need_active()
        state, message = sending.application(self.state, self.policy, data, authenticated_data, random)
        return Group(state, self.policy), message

    def propose(
        self, proposal: AnyProposal, random: Randomness, authenticated_data: bytes = b""
    ) -> tuple[Group, bytes]:
        """A proposal by itself (§12.1); an Update is made by `propose_update`."""
        group, sent, message = self._proposed(proposal, authenticated_data, random)
        return group._with_proposal(Proposed(proposal, Member(self.me), sent.reference(self.suite))), message

    def propose_update(
        self, random: Randomness, changes: LeafChanges | None = None, authenticated_data: bytes = b""
    ) -> tuple[Group, bytes]:
        """An Update of the own leaf with a new key (§12.1.2)."""
        self.state.need_active()
        leaf = self.state.epoch.tree.leaf(self.me)
        assert leaf is not None
        key, changes = self.suite.hpke.kem.generate(random), changes or LeafChanges()
        signer = changes.signer or self.state.signer
        unsigned = dataclasses.replace(changes.of(leaf), encryption_key=key.public, source=Updated(), signature=b"")
        signed = committing.signed_leaf(self.suite, signer, unsigned, self.group_id, self.me)
        group, message = self.propose(Update(signed), random, authenticated_data)
        updates = {**group.state.updates, key.public: OwnUpdate(key, signer)}
        return Group(group.state._replace(updates=updates), self.policy), message

    def commit(
        self,
        *proposals: AnyProposal,
        now: int,
        random: Randomness,
        received: bool = True,
        with_path: bool = False,
        with_tree: bool = True,
        changes: LeafChanges | None = None,
        authenticated_data: bytes = b"",
        group_info_extensions: tuple[Extension, ...] = (),
    ) -> tuple[Group, PendingCommit]:
        """A commit of these proposals and, unless `received` is false, of those that were received (§12.4.1).

        It is applied by `merge` once the delivery service took it; without a proposal it renews the own keys.
        """
        self.state.need_active()
        own = tuple(Proposed(each, Member(self.me)) for each in proposals)
        taken = choosing.chosen(self.state, self.policy, own, now) if received else own
        plan = Plan(
            taken,
            self._wire_format(),
            authenticated_data,
            with_path or changes is not None,
            with_tree,
            group_info_extensions,
            changes or LeafChanges(),
        )
        made = committing.commit(self.state, self.policy, plan, now, random)
        state, message = sending.protected(self.state, self.policy, made.message, random)
        welcome = framing.to_wire(made.welcome) if made.welcome else None
        return Group(state, self.policy), PendingCommit(message, welcome, made.transition)

    def merge(self, commit: PendingCommit | CommitChecked, now: int) -> Group:
        """The group after a commit that the delivery service took; raises `WrongEpoch`, `GroupEnded`."""
        return Group(merged(self.state, commit.transition, self.policy, now), self.policy)

    def process(self, message: bytes, now: int) -> tuple[Group, Outcome]:
        """What a message is, and the group without the key that it used (§6, §12.4.2).

        A proposal is kept for the next commit; a commit is looked at and then merged. Raises as `processing.process`.
        """
        parsed = framing.from_wire(message)
        if not isinstance(parsed, PublicMessage | PrivateMessage):
            raise errors.Malformed("this is no message of a group")
        state, outcome = processing.process(self.state, self.policy, parsed, now)
        group = Group(state, self.policy)
        if isinstance(outcome, ProposalTaken):
            group = group._with_proposal(outcome.proposed)
        return group, outcome

    # --- sending -------------------------------------------------------------------------

    def _wire_format(self) -> WireFormat:
        return WireFormat.PRIVATE_MESSAGE if self.policy.private_handshakes else WireFormat.PUBLIC_MESSAGE

    def _with_proposal(self, proposed: Proposed) -> Group:
        assert proposed.reference is not None
        if len(self.state.proposals) >= limits.PROPOSALS:
            raise errors.TooLarge("more proposals than one commit can name")
        proposals = {**self.state.proposals, proposed.reference: proposed}
        return Group(self.state._replace(proposals=proposals), self.policy)

    def _proposed(
        self, proposal: AnyProposal, authenticated_data: bytes, random: Randomness
    ) -> tuple[Group, AuthenticatedContent, bytes]:
        self.state.need_active()
        sender: AnySender = Member(self.me)
        content = FramedContent(self.group_id, self.epoch, sender, authenticated_data, ProposalContent(proposal))
        form = self._wire_format()
        signature = protection.signature(self.suite, self.state.signer, form, content, self.context)
        sent = AuthenticatedContent(form, content, signature, None)
        state, message = sending.protected(self.state, self.policy, sent, random)
        return Group(state, self.policy), sent, message
