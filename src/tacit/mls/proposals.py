"""Proposals (RFC 9420 §12.1), and how a commit names them (§12.4)."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from tacit.mls import limits
from tacit.mls.extensions import Extensions
from tacit.mls.key_package import KeyPackage
from tacit.mls.leaf_node import LeafNode
from tacit.mls.psk import PreSharedKeyID
from tacit.wire.codec import Variant, struct
from tacit.wire.encodings import U16, U32, Variable


class ProposalType(IntEnum):
    """The proposal types that the RFC defines (§17.4)."""

    ADD = 1
    UPDATE = 2
    REMOVE = 3
    PSK = 4
    REINIT = 5
    EXTERNAL_INIT = 6
    GROUP_CONTEXT_EXTENSIONS = 7


@struct
class Add:
    """A client with that key package becomes a member (§12.1.1)."""

    key_package: KeyPackage


@struct
class Update:
    """The sender's leaf becomes another one (§12.1.2)."""

    leaf_node: LeafNode


@struct
class Remove:
    """The member at that leaf goes (§12.1.3)."""

    removed: U32


@struct
class PreSharedKey:
    """A key that both have before goes into the next epoch (§12.1.4)."""

    psk: PreSharedKeyID


@struct
class ReInit:
    """The group ends, and a new one with these parameters follows it (§12.1.5)."""

    group_id: Annotated[bytes, Variable(limits.GROUP_ID_BYTES)]
    version: U16
    cipher_suite: U16
    extensions: Extensions


@struct
class ExternalInit:
    """The next init secret, encapsulated to the group's external key (§12.1.6)."""

    kem_output: Annotated[bytes, Variable(limits.KEY_BYTES)]


@struct
class GroupContextExtensions:
    """The group's extensions become these (§12.1.7)."""

    extensions: Extensions


@struct
class CustomProposal:
    """A proposal of a type that the application knows; its data is one vector."""

    proposal_type: U16
    data: Annotated[bytes, Variable(limits.EXTENSION_BYTES)]


AnyProposal = Add | Update | Remove | PreSharedKey | ReInit | ExternalInit | GroupContextExtensions | CustomProposal
TYPES: Final[dict[type, int]] = {
    Add: ProposalType.ADD,
    Update: ProposalType.UPDATE,
    Remove: ProposalType.REMOVE,
    PreSharedKey: ProposalType.PSK,
    ReInit: ProposalType.REINIT,
    ExternalInit: ProposalType.EXTERNAL_INIT,
    GroupContextExtensions: ProposalType.GROUP_CONTEXT_EXTENSIONS,
}
Proposal = Annotated[AnyProposal, Variant(2, {number: cls for cls, number in TYPES.items()}, CustomProposal)]


def type_of(proposal: AnyProposal) -> int:
    """The number of a proposal's type."""
    return proposal.proposal_type if isinstance(proposal, CustomProposal) else TYPES[type(proposal)]


@struct
class ByValue:
    """A proposal that stands in the commit itself."""

    proposal: Proposal


@struct
class ByReference:
    """The hash of a proposal that was sent before (§5.2)."""

    reference: Annotated[bytes, Variable(limits.SECRET_BYTES)]


ProposalReference = ByValue | ByReference
ProposalOrRef = Annotated[ProposalReference, Variant(1, {1: ByValue, 2: ByReference})]
