"""Creating commits (RFC 9420 §12.4.1), also those by which somebody joins (§12.4.3.2), and Welcomes (§12.4.3.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from tacit import errors
from tacit.crypto.kem import PrivateKey
from tacit.crypto.secret import Randomness, Secret
from tacit.mls import group_info, key_schedule, protection, tree_math, treekem
from tacit.mls.census import Census
from tacit.mls.commit import Commit, UpdatePath
from tacit.mls.credential import AnyCredential
from tacit.mls.extensions import Extension
from tacit.mls.framing import AnySender, AuthenticatedContent, FramedContent, Member, NewMemberCommit, WireFormat
from tacit.mls.key_package import KeyPackage
from tacit.mls.leaf_node import Capabilities, Committed, LeafNode
from tacit.mls.policy import Effects, Policy, Proposed
from tacit.mls.proposal_list import Applied, apply, check_made_leaf, needs_path
from tacit.mls.proposals import ByReference, ByValue, ProposalReference
from tacit.mls.state import Base, Next, State, Transition, base_of, next_epoch, psk_secret_of
from tacit.mls.suites import CipherSuite, SignatureKey
from tacit.mls.tree import Tree
from tacit.mls.tree_math import LeafIndex, NodeIndex
from tacit.mls.treekem import NewPath
from tacit.mls.welcome import EncryptedGroupSecrets, GroupSecrets, PathSecret, Welcome
from tacit.wire.codec import encode


@dataclass(frozen=True, slots=True)
class LeafChanges:
    """What of a member's leaf is to be another besides its key; None leaves it as it is."""

    signer: SignatureKey | None = None
    credential: AnyCredential | None = None
    capabilities: Capabilities | None = None
    extensions: tuple[Extension, ...] | None = None

    def of(self, leaf: LeafNode) -> LeafNode:
        """The changed leaf, to be signed."""
        return dataclasses.replace(
            leaf,
            signature_key=self.signer.public if self.signer else leaf.signature_key,
            credential=self.credential or leaf.credential,
            capabilities=self.capabilities or leaf.capabilities,
            extensions=leaf.extensions if self.extensions is None else self.extensions,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a commit is to be."""

    proposals: tuple[Proposed, ...] = ()
    wire_format: WireFormat = WireFormat.PRIVATE_MESSAGE
    authenticated_data: bytes = b""
    with_path: bool = False
    """Whether it has a path even where none is needed."""
    with_tree: bool = True
    """Whether the Welcome carries the tree."""
    group_info_extensions: tuple[Extension, ...] = ()
    changes: LeafChanges = field(default_factory=LeafChanges)


@dataclass(frozen=True, slots=True)
class Made:
    """A commit before it is protected, the Welcome for whom it adds, and what it does."""

    message: AuthenticatedContent
    welcome: Welcome | None
    transition: Transition


def signed_leaf(suite: CipherSuite, signer: SignatureKey, leaf: LeafNode, group_id: bytes, index: int) -> LeafNode:
    """The leaf with its signature (§7.2)."""
    signature = suite.sign_with_label(signer, "LeafNodeTBS", leaf.to_be_signed(group_id, index))
    return dataclasses.replace(leaf, signature=signature)


def commit(state: State, policy: Policy, plan: Plan, now: int, random: Randomness) -> Made:
    """A member's commit; raises as `proposal_list.apply` does, `PskMissing`, `GroupEnded`.

    `InvalidArgument` where the state's signing key is not that of the leaf.
    """
    state.need_active()
    base, me = base_of(state.epoch), state.me
    applied = apply(base.suite, base.context, base.tree, plan.proposals, me, policy, now)
    leaf = applied.tree.leaf(me)
    assert leaf is not None
    signer = plan.changes.signer or state.signer
    path = None
    if plan.with_path or needs_path(plan.proposals):
        path = _new_path(base, policy, applied, applied.tree, me, leaf, plan.changes.of(leaf), signer, random)
    psk = psk_secret_of(base.suite, applied.psks, state, policy)
    maker = _Maker(base, policy, plan, applied, Member(me), me, state.signer, psk)
    after = path or _Unchanged(applied.tree, leaf)
    keys = {**treekem.kept(state.keys, base.tree, after.tree, me), **(path.keys if path else {})}
    return maker.made(after, keys, signer, random)


def external_commit(
    base: Base, policy: Policy, plan: Plan, leaf: LeafNode, signer: SignatureKey, now: int, random: Randomness
) -> Made:
    """The commit by which somebody joins with that leaf, whose key and signature are made here (§12.4.3.2).

    Raises as `commit` does, `InvalidArgument` for a `signer` that is not the leaf's.
    """
    applied = apply(base.suite, base.context, base.tree, plan.proposals, None, policy, now)
    tree, me = applied.tree.added(leaf)
    before = applied.removed[0][1] if applied.removed else None
    path = _new_path(base, policy, applied, tree, me, before, leaf, signer, random)
    psk = psk_secret_of(base.suite, applied.psks, None, policy)
    maker = _Maker(base, policy, plan, applied, NewMemberCommit(), me, signer, psk)
    return maker.made(path, path.keys, signer, random)


@dataclass(frozen=True, slots=True)
class _Unchanged:
    """In place of a path: a commit without one."""

    tree: Tree
    leaf: LeafNode


def _new_path(
    base: Base,
    policy: Policy,
    applied: Applied,
    tree: Tree,
    me: LeafIndex,
    before: LeafNode | None,
    leaf: LeafNode,
    signer: SignatureKey,
    random: Randomness,
) -> NewPath:
    suite, group_id = base.suite, base.context.group_id
    if signer.public != leaf.signature_key:  # the signature that is made here is verified by nobody here
        raise errors.InvalidArgument("the key to sign with is not that of the leaf")

    def made(key: bytes, parent_hash: bytes) -> LeafNode:
        changed = dataclasses.replace(leaf, encryption_key=key, source=Committed(parent_hash), signature=b"")
        return signed_leaf(suite, signer, changed, group_id, me)

    path = treekem.new_path(suite, tree, me, made, random)
    check_made_leaf(suite, applied.extensions, policy, before, path.leaf)
    return path


@dataclass(frozen=True, slots=True)
class _Maker:
    """What is known of a commit once its proposals were applied."""

    base: Base
    policy: Policy
    plan: Plan
    applied: Applied
    sender: AnySender
    me: LeafIndex
    signer: SignatureKey
    """Who signs the message: the key that the group knows, not the one that the commit brings."""
    psk: Secret

    def made(
        self,
        path: NewPath | _Unchanged,
        keys: dict[NodeIndex, PrivateKey],
        signer: SignatureKey,
        random: Randomness,
    ) -> Made:
        """The commit with that path; `signer` and `keys` are the committer's after it."""
        base, plan, applied = self.base, self.plan, self.applied
        provisional = base.next_context(path.tree, applied.extensions)
        joiners = [index for index, _ in applied.added]
        sent = commit_secret = None
        if isinstance(path, NewPath):
            sent = treekem.encrypted(base.suite, path, encode(provisional), joiners)
            commit_secret = path.commit_secret
        named = tuple(_named(each) for each in plan.proposals)
        content = FramedContent(
            base.context.group_id,
            base.context.epoch,
            self.sender,
            plan.authenticated_data,
            Commit(named, sent),
        )
        signature = protection.signature(base.suite, self.signer, plan.wire_format, content, base.context)
        unconfirmed = AuthenticatedContent(plan.wire_format, content, signature, b"")
        census = census_after(base, applied, path.tree, sent)
        zeros = Secret(bytes(base.suite.hash_bytes))
        after = next_epoch(base, path.tree, applied.extensions, census, unconfirmed, commit_secret or zeros, self.psk)
        message = dataclasses.replace(unconfirmed, confirmation_tag=after.epoch.confirmation_tag)
        effects = effects_of(
            base, plan.proposals, applied, self.me, path.tree, isinstance(self.sender, NewMemberCommit)
        )
        self.policy.check_commit(effects)
        welcome = None
        if applied.added:
            secrets = path.path_secrets if isinstance(path, NewPath) else {}
            welcome = _welcome(after, plan, self.me, signer, applied, self.psk, secrets)
        return Made(message, welcome, Transition(base.context, effects, after.epoch, self.me, keys, signer))


def _named(proposed: Proposed) -> ProposalReference:
    return ByValue(proposed.proposal) if proposed.reference is None else ByReference(proposed.reference)


def census_after(base: Base, applied: Applied, tree: Tree, path: UpdatePath | None) -> Census:
    """The census after a commit; raises `InvalidGroupMessage` for keys of the path that are in the tree (§12.4.2)."""
    census = base.census.after(base.tree, applied.tree)
    if path is None:
        return census
    census.refuse_keys((path.leaf_node.encryption_key, *(node.encryption_key for node in path.nodes)))
    return census.after(applied.tree, tree)


def effects_of(
    base: Base, proposals: Sequence[Proposed], applied: Applied, committer: LeafIndex, tree: Tree, external: bool
) -> Effects:
    """What a commit does, for the application."""
    leaf = tree.leaf(committer)
    assert leaf is not None
    updated = ((index, tree.leaf(index)) for index in applied.updated)
    return Effects(
        base.context.epoch + 1,
        committer,
        external,
        tuple(proposals),
        tuple((index, package.leaf_node) for index, package in applied.added),
        tuple((index, each) for index, each in updated if each is not None),
        applied.removed,
        leaf,
        applied.reinit,
    )


def _welcome(
    after: Next,
    plan: Plan,
    me: LeafIndex,
    signer: SignatureKey,
    applied: Applied,
    psk: Secret,
    path_secrets: dict[NodeIndex, Secret],
) -> Welcome:
    """The Welcome for everybody who is added: the encrypted GroupInfo is hashed once for all of them (§12.4.3.1)."""
    suite = after.epoch.suite
    info = group_info.signed(after.epoch, me, signer, with_tree=plan.with_tree, extra=plan.group_info_extensions)
    joiner_secret = after.joiner_secret
    key, nonce = group_info.welcome_key(suite, key_schedule.welcome_secret(suite, joiner_secret, psk))
    sealed = suite.seal(key, nonce, encode(info), b"")
    prepared = suite.prepare("Welcome", sealed)
    secrets = []
    for index, package in applied.added:
        shared = path_secrets.get(tree_math.common_ancestor(me, index)) if path_secrets else None
        path_secret = None if shared is None else PathSecret(shared.reveal())
        secret = encode(GroupSecrets(joiner_secret.reveal(), path_secret, applied.psks))
        encrypted = suite.encrypt_with_label(package.init_key, prepared, secret)
        secrets.append(EncryptedGroupSecrets(reference(suite, package), encrypted))
    return Welcome(suite.id, tuple(secrets), sealed)


def reference(suite: CipherSuite, package: KeyPackage) -> bytes:
    """KeyPackageRef (§5.2)."""
    return suite.ref_hash("MLS 1.0 KeyPackage Reference", encode(package))
