"""GroupInfo (RFC 9420 §12.4.3): an epoch for those who join, signed by a member."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import extensions as ext
from tacit.mls import key_schedule, leaf_validation, limits, tree_validation
from tacit.mls.extensions import Extension, ExtensionType, ExternalPub, as_extension
from tacit.mls.key_package import MLS10
from tacit.mls.leaf_node import LeafNode
from tacit.mls.nodes import RatchetTree
from tacit.mls.policy import Policy
from tacit.mls.proposal_list import check_external_senders
from tacit.mls.state import Epoch
from tacit.mls.suites import CipherSuite, SignatureKey, suite_of
from tacit.mls.tree import Tree, from_nodes
from tacit.mls.tree_math import LeafIndex
from tacit.mls.welcome import GroupInfo
from tacit.wire.codec import decode


def signed(
    epoch: Epoch,
    me: LeafIndex,
    signer: SignatureKey,
    *,
    with_tree: bool = True,
    external: bool = False,
    extra: tuple[Extension, ...] = (),
) -> GroupInfo:
    """A GroupInfo by this member: with the tree, and with the key by which anybody can join, if asked for."""
    extensions = list(extra)
    if with_tree:
        extensions.append(Extension(ExtensionType.RATCHET_TREE, epoch.tree.encoded()))
    if external:
        key = key_schedule.external_key(epoch.suite, epoch.secrets.external_secret)
        extensions.append(as_extension(ExternalPub(key.public)))
    info = GroupInfo(epoch.context, tuple(extensions), epoch.confirmation_tag, me, b"")
    return dataclasses.replace(info, signature=epoch.suite.sign_with_label(signer, "GroupInfoTBS", info.to_be_signed()))


@dataclass(frozen=True, slots=True)
class Checked:
    """A GroupInfo whose signature and tree are right."""

    info: GroupInfo
    suite: CipherSuite
    tree: Tree
    signer: LeafNode


def check(info: GroupInfo, tree: RatchetTree | None, policy: Policy) -> Checked:
    """The group that a GroupInfo is of; `tree` is that one which does not stand in it (§12.4.3.1, §12.4.3.2).

    Raises `InvalidGroupMessage` for a tree that is none of this group or not valid, `BadSignature`, `UnknownVersion`,
    and what the policy refuses a member with.
    """
    context = info.group_context
    if context.version != MLS10:
        raise errors.UnknownVersion(f"MLS version {context.version}")
    suite = suite_of(context.cipher_suite)
    ext.types_of(info.extensions)
    ext.types_of(context.extensions)
    carried = ext.data_of(info.extensions, ExtensionType.RATCHET_TREE)
    if carried is not None:
        tree = decode(RatchetTree, carried, limits.EXTENSION_BYTES)
    if tree is None:
        raise errors.InvalidGroupMessage("§12.4.3.1: the group's tree is not there")
    found = from_nodes(tree)
    signer = found.leaf(info.signer)
    if signer is None:
        raise errors.InvalidGroupMessage("§12.4.3.1: the signer of the GroupInfo is no member")
    if not suite.verify_with_label(signer.signature_key, "GroupInfoTBS", info.to_be_signed(), info.signature):
        raise errors.BadSignature("§12.4.3.1: the GroupInfo's")
    if found.tree_hash(suite) != context.tree_hash:
        raise errors.InvalidGroupMessage("§12.4.3.1: the tree is not that of the group")
    tree_validation.check(found, suite, context.group_id, context.extensions, policy.mapped)
    check_external_senders(context.extensions, policy)
    for _, leaf in found.leaves():
        leaf_validation.check_duration(leaf, policy.lifetime_seconds)
        policy.authenticate(leaf)
    return Checked(info, suite, found, signer)


def welcome_key(suite: CipherSuite, welcome_secret: Secret) -> tuple[Secret, bytes]:
    """The key and nonce of a Welcome's GroupInfo (§12.4.3.1)."""
    key, nonce = suite.key_and_nonce(welcome_secret, b"")
    return key, nonce.reveal()
