"""The records of a snapshot, in their first version: what stands in them stays readable. All of it is secret."""

from __future__ import annotations

from typing import Annotated

from tacit.mls import limits
from tacit.mls.framing import Sender
from tacit.mls.group_context import GroupContext
from tacit.mls.key_package import KeyPackage
from tacit.mls.leaf_node import LeafNode
from tacit.mls.nodes import RatchetTree
from tacit.mls.proposals import Proposal, ReInit
from tacit.wire.codec import EncodedOnce, Many, struct
from tacit.wire.encodings import U8, U32, U64, Flag, Variable

_SecretBytes = Annotated[bytes, Variable(limits.SECRET_BYTES)]
_EPOCH_SECRETS = 9


class _Redacted:
    """Nothing of a secret shows in a repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


@struct
class SavedSecret(_Redacted):
    """A secret of a node."""

    index: U32
    secret: _SecretBytes


@struct
class SavedEpoch(_Redacted):
    """An epoch without its tree: its context, and the secrets in the order of `EpochSecrets`."""

    context: GroupContext
    secrets: Annotated[tuple[_SecretBytes, ...], Many(_EPOCH_SECRETS)]


@struct
class SavedResumption(_Redacted):
    """The resumption_psk of a former epoch."""

    epoch: U64
    secret: _SecretBytes


@struct
class SavedGroup(_Redacted):
    """`group`: the epoch, and what this member has in it."""

    epoch: SavedEpoch
    me: U32
    keys: Annotated[tuple[SavedSecret, ...], Many(limits.PATH)]
    signer: _SecretBytes
    past: Annotated[tuple[U64, ...], Many(limits.PAST)]
    resumption: Annotated[tuple[SavedResumption, ...], Many(limits.PAST)]
    reinit: ReInit | None
    removed: Annotated[bool, Flag()]


@struct
class SavedProposal(_Redacted):
    """A proposal that was received or made."""

    reference: _SecretBytes
    sender: Sender
    proposal: Proposal


@struct
class SavedUpdate(_Redacted):
    """The keys of an own Update, by its public key."""

    public: Annotated[bytes, Variable(limits.KEY_BYTES)]
    key: _SecretBytes
    signer: _SecretBytes


@struct
class SavedProposals(_Redacted):
    """`proposals`: what waits for a commit."""

    proposals: Annotated[tuple[SavedProposal, ...], Many(limits.PROPOSALS)]
    updates: Annotated[tuple[SavedUpdate, ...], Many(limits.PROPOSALS)]


@struct
class SavedPast(_Redacted):
    """`past/EPOCH`: a former epoch, without its tree and keys."""

    context: GroupContext
    sender_data_secret: _SecretBytes
    ended_at: U64


@struct
class SavedSecrets(_Redacted):
    """`secrets/EPOCH`: secrets of the secret tree that nobody needed yet."""

    width: U32
    secrets: Annotated[tuple[SavedSecret, ...], Many(limits.NODES)]


@struct
class SavedPart(_Redacted):
    """Some leaves of a tree with the nodes between them: the bytes of their encoding, blanks at the end among them."""

    encoded: U32
    occupied: U32
    resolved: U32
    tree_hash: _SecretBytes


@struct
class SavedParts(_Redacted, EncodedOnce):
    """The parts of a tree, from the left, each of that level."""

    level: U8
    parts: Annotated[tuple[SavedPart, ...], Many(limits.LEAVES)]


@struct
class SavedShape(_Redacted):
    """`shape/EPOCH`: what has to be known of a tree before its nodes are read, and the CRC-32 of that and of those."""

    of: SavedParts
    check: U32


@struct
class SavedKey(_Redacted):
    """A message key that was skipped."""

    generation: U64
    key: _SecretBytes
    nonce: _SecretBytes


@struct
class SavedRatchet(_Redacted):
    """A chain of message keys."""

    secret: _SecretBytes
    generation: U64
    skipped: Annotated[tuple[SavedKey, ...], Many(limits.SKIPPED)]


@struct
class SavedRatchets(_Redacted):
    """A member's two chains."""

    leaf: U32
    handshake: SavedRatchet
    application: SavedRatchet


@struct
class SavedKeys(_Redacted):
    """`keys/EPOCH/CHUNK`: the chains of some members, and the secrets of those beside them."""

    secrets: Annotated[tuple[SavedSecret, ...], Many(limits.NODES)]
    ratchets: Annotated[tuple[SavedRatchets, ...], Many(limits.LEAVES)]


@struct
class SavedLeaf(_Redacted):
    """A leaf with its place."""

    leaf: U32
    node: LeafNode


@struct
class SavedEffects(_Redacted):
    """What a commit does."""

    epoch: U64
    committer: U32
    external: Annotated[bool, Flag()]
    proposals: Annotated[tuple[SavedProposal, ...], Many(limits.PROPOSALS)]
    added: Annotated[tuple[SavedLeaf, ...], Many(limits.LEAVES)]
    updated: Annotated[tuple[SavedLeaf, ...], Many(limits.LEAVES)]
    removed: Annotated[tuple[SavedLeaf, ...], Many(limits.LEAVES)]
    committer_leaf: LeafNode
    reinit: ReInit | None


@struct
class SavedPending(_Redacted):
    """An own commit that waits to be taken."""

    commit: Annotated[bytes, Variable(limits.MESSAGE_BYTES)]
    welcome: Annotated[bytes, Variable(limits.MESSAGE_BYTES)]
    parent: GroupContext
    effects: SavedEffects
    epoch: SavedEpoch
    tree: RatchetTree
    me: U32
    keys: Annotated[tuple[SavedSecret, ...], Many(limits.PATH)]
    signer: _SecretBytes


@struct
class SavedKeyPackage(_Redacted):
    """A key package with its private keys."""

    package: KeyPackage
    init_key: _SecretBytes
    leaf_key: _SecretBytes
    signer: _SecretBytes
