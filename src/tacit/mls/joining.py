"""Joining a group: by a Welcome (RFC 9420 §12.4.3.1), or from outside (§12.4.3.2); what a client needs for it (§10)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from tacit import errors
from tacit.crypto.digest import equal
from tacit.crypto.kem import PrivateKey
from tacit.crypto.secret import Randomness, Secret
from tacit.mls import extensions as ext
from tacit.mls import group_info, key_schedule, protection, transcript, treekem
from tacit.mls.census import census_of
from tacit.mls.committing import reference, signed_leaf
from tacit.mls.credential import AnyCredential
from tacit.mls.extensions import DEFAULT_EXTENSIONS, Extension, ExternalPub
from tacit.mls.framing import External, FramedContent, NewMemberProposal, ProposalContent, PublicMessage, WireFormat
from tacit.mls.key_package import LAST_RESORT, MLS10, KeyPackage
from tacit.mls.leaf_node import Capabilities, LeafNode, Lifetime
from tacit.mls.leaf_validation import DEFAULT_PROPOSALS
from tacit.mls.nodes import RatchetTree
from tacit.mls.policy import Policy
from tacit.mls.proposal_list import check_sender
from tacit.mls.proposals import AnyProposal, ReInit
from tacit.mls.psk import PreSharedKeyID, ResumptionPsk, ResumptionPskUsage
from tacit.mls.state import Base, Epoch, State, epoch_of, first_state, psk_secret_of
from tacit.mls.suites import SUITES, CipherSuite, SignatureKey, suite_of
from tacit.mls.tree_math import LeafIndex, NodeIndex
from tacit.mls.welcome import GroupInfo, GroupSecrets, Welcome
from tacit.wire.codec import decode


@dataclass(frozen=True, slots=True)
class KeyPackageKeys:
    """A key package with its private keys; for one use, unless it is one of last resort."""

    package: KeyPackage
    init_key: PrivateKey
    leaf_key: PrivateKey
    signer: SignatureKey


def capabilities(
    credentials: Iterable[int],
    *,
    suites: Iterable[int] = (),
    extensions: Iterable[int] = (),
    proposals: Iterable[int] = (),
) -> Capabilities:
    """What a client supports, without the defaults (§7.2); every suite of this engine where none is named."""
    return Capabilities(
        (MLS10,),
        tuple(suites) or tuple(SUITES),
        tuple(each for each in extensions if each not in DEFAULT_EXTENSIONS),
        tuple(each for each in proposals if each not in DEFAULT_PROPOSALS),
        tuple(credentials),
    )


def greased(plain: Capabilities, random: Randomness) -> Capabilities:
    """The capabilities with a number in each list that means nothing, so that nobody learns to refuse those (§13.5)."""
    value = 0x0A0A + 0x1010 * (random(1)[0] % 15)
    return dataclasses.replace(
        plain,
        cipher_suites=(*plain.cipher_suites, value),
        extensions=(*plain.extensions, value),
        proposals=(*plain.proposals, value),
        credentials=(*plain.credentials, value),
    )


def _listing(supports: Capabilities, extensions: Iterable[Extension]) -> Capabilities:
    """The capabilities with the types of extensions that are there (§7.2, §10)."""
    missing = ext.types_of(extensions) - DEFAULT_EXTENSIONS - set(supports.extensions)
    return dataclasses.replace(supports, extensions=(*supports.extensions, *sorted(missing)))


def new_key_package(
    suite: CipherSuite,
    signer: SignatureKey,
    credential: AnyCredential,
    lifetime: Lifetime,
    random: Randomness,
    *,
    supports: Capabilities | None = None,
    leaf_extensions: tuple[Extension, ...] = (),
    extensions: tuple[Extension, ...] = (),
    last_resort: bool = False,
) -> KeyPackageKeys:
    """A key package of new keys (§10), whose leaf lists its extensions.

    One of last resort may be used again when no other is left.
    """
    if last_resort:
        extensions = (*extensions, Extension(LAST_RESORT, b""))
    init_key, leaf_key = suite.hpke.kem.generate(random), suite.hpke.kem.generate(random)
    leaf = LeafNode(
        leaf_key.public,
        signer.public,
        credential,
        _listing(_listing(supports or capabilities((credential.credential_type,)), leaf_extensions), extensions),
        lifetime,
        leaf_extensions,
        b"",
    )
    unsigned = KeyPackage(MLS10, suite.id, init_key.public, signed_leaf(suite, signer, leaf, b"", 0), extensions, b"")
    signature = suite.sign_with_label(signer, "KeyPackageTBS", unsigned.to_be_signed())
    package = KeyPackage(MLS10, suite.id, init_key.public, unsigned.leaf_node, extensions, signature)
    return KeyPackageKeys(package, init_key, leaf_key, signer)


def join(
    welcome: Welcome,
    keys: KeyPackageKeys,
    tree: RatchetTree | None,
    policy: Policy,
    former: State | None = None,
) -> State:
    """The state of somebody who was added (§12.4.3.1).

    `tree` is the group's where the Welcome does not carry it; `former` is the group that this one follows or is
    branched from. Raises as `group_info.check`, `PskMissing`, `DecryptionError`.
    """
    suite = suite_of(welcome.cipher_suite)
    package = keys.package
    if package.cipher_suite != welcome.cipher_suite:
        raise errors.InvalidGroupMessage("§12.4.3.1: the Welcome is for another cipher suite")
    mine = reference(suite, package)
    found = next((each for each in welcome.secrets if each.new_member == mine), None)
    if found is None:
        raise errors.InvalidGroupMessage("§12.4.3.1: the Welcome has nothing for this key package")
    opened = suite.decrypt_with_label(
        keys.init_key, "Welcome", welcome.encrypted_group_info, found.encrypted_group_secrets
    )
    secrets = decode(GroupSecrets, opened)
    follows = _followed(secrets.psks)
    joiner_secret = Secret(secrets.joiner_secret)
    psk = psk_secret_of(suite, secrets.psks, former, policy)
    key, nonce = group_info.welcome_key(suite, key_schedule.welcome_secret(suite, joiner_secret, psk))
    info = decode(
        GroupInfo, suite.open(key, nonce, welcome.encrypted_group_info, b""), len(welcome.encrypted_group_info)
    )
    checked = group_info.check(info, tree, policy)
    context = info.group_context
    if checked.suite is not suite:
        raise errors.InvalidGroupMessage("§12.4.3.1: the group has another cipher suite than the key package")
    own = package.leaf_node
    with_own_key = ((index, leaf) for index, leaf in checked.tree.leaves() if leaf.signature_key == own.signature_key)
    me = next((index for index, leaf in with_own_key if leaf == own), None)
    if me is None:
        raise errors.InvalidGroupMessage("§12.4.3.1: the key package's leaf is not in the tree")
    epoch = epoch_of(
        suite,
        context,
        checked.tree,
        census_of(checked.tree),
        key_schedule.epoch_secrets(suite, joiner_secret, psk, context),
    )
    if not equal(epoch.confirmation_tag, info.confirmation_tag):
        raise errors.InvalidGroupMessage("§12.4.3.1: the confirmation tag is not right")
    private: dict[NodeIndex, PrivateKey] = {NodeIndex(2 * me): keys.leaf_key}
    if secrets.path_secret is not None:
        path_secret = Secret(secrets.path_secret.path_secret)
        private |= treekem.from_welcome(suite, checked.tree, me, LeafIndex(info.signer), path_secret)
    if follows is not None:
        check_follows(epoch, follows, former, policy)
    elif former is not None and former.reinit is not None:
        raise errors.InvalidGroupMessage("§11.2: the Welcome names no key of the group that was reinitialised")
    return first_state(epoch, me, private, keys.signer)


def _followed(psks: tuple[PreSharedKeyID, ...]) -> ResumptionPsk | None:
    """The key of the group that this one follows or is branched from (§12.4.3.1)."""
    found = [
        each.psk
        for each in psks
        if isinstance(each.psk, ResumptionPsk) and each.psk.usage is not ResumptionPskUsage.APPLICATION
    ]
    if len(found) > 1:
        raise errors.InvalidGroupMessage("§12.4.3.1: several resumption keys for reinit or branch")
    return found[0] if found else None


def check_follows(epoch: Epoch, psk: ResumptionPsk, former: State | None, policy: Policy) -> None:
    """The new group is what the former one was to become, or a part of it (§11.2, §11.3, §12.4.3.1)."""
    if former is None or former.epoch.context.group_id != psk.psk_group_id:
        raise errors.InvalidGroupMessage("§12.4.3.1: the group that this one comes from is not at hand")
    context, old = epoch.context, former.epoch.context
    if context.epoch != 1:
        raise errors.InvalidGroupMessage("§12.4.3.1: a group that comes from another begins with epoch 1")
    members = [leaf for _, leaf in epoch.tree.leaves()]
    before = [leaf for _, leaf in former.epoch.tree.leaves()]
    if psk.usage is ResumptionPskUsage.REINIT:
        wanted = former.reinit
        if wanted is None or psk.psk_epoch != old.epoch:
            raise errors.InvalidGroupMessage("§11.2: the former group was not reinitialised in that epoch")
        if ReInit(context.group_id, context.version, context.cipher_suite, context.extensions) != wanted:
            raise errors.InvalidGroupMessage("§11.2: the new group is not what the ReInit says")
        members, before = before, members
    elif (context.version, context.cipher_suite) != (old.version, old.cipher_suite):
        raise errors.InvalidGroupMessage("§11.3: the new group has another version or cipher suite")
    if any(not any(policy.is_successor(one, other) for other in before) for one in members):
        raise errors.InvalidGroupMessage("§12.4.3.1: the members are not those of the former group")


def proposed_from_outside(
    suite: CipherSuite,
    group_id: bytes,
    epoch: int,
    proposal: AnyProposal,
    signer: SignatureKey,
    sender_index: int | None = None,
    authenticated_data: bytes = b"",
) -> PublicMessage:
    """A proposal by an external sender of that index, or by who asks to be added, with an Add of itself (§12.1.8).

    Raises `InvalidGroupMessage` for a proposal of a type that cannot come from outside.
    """
    sender = NewMemberProposal() if sender_index is None else External(sender_index)
    check_sender(proposal, sender)
    content = FramedContent(group_id, epoch, sender, authenticated_data, ProposalContent(proposal))
    return PublicMessage(
        content, protection.signature(suite, signer, WireFormat.PUBLIC_MESSAGE, content, None), None, None
    )


@dataclass(frozen=True, slots=True)
class Outside:
    """What somebody from outside knows of a group, with an init secret of its own for the next epoch."""

    base: Base
    kem_output: bytes


def from_outside(info: GroupInfo, tree: RatchetTree | None, policy: Policy) -> Outside:
    """What an external commit starts from (§8.3, §12.4.3.2); raises as `group_info.check`."""
    checked = group_info.check(info, tree, policy)
    suite, context = checked.suite, info.group_context
    public = ext.find(ExternalPub, info.extensions)
    if public is None:
        raise errors.InvalidGroupMessage("§12.4.3.2: the GroupInfo has no key to join by")
    kem_output, init_secret = key_schedule.external_init(suite, public.external_pub)
    interim = transcript.interim(suite, context.confirmed_transcript_hash, info.confirmation_tag)
    base = Base(suite, context, checked.tree, census_of(checked.tree), interim, init_secret)
    return Outside(base, kem_output)
