"""Commits (RFC 9420 §12.4) and the path of new keys in them (§7.6)."""

from __future__ import annotations

from typing import Annotated

from tacit.mls import limits
from tacit.mls.leaf_node import LeafNode
from tacit.mls.proposals import ProposalOrRef
from tacit.mls.suites import HPKECiphertext
from tacit.wire.codec import Many, struct
from tacit.wire.encodings import Variable


@struct
class UpdatePathNode:
    """A node's new key, and its path secret for each node of the copath's resolution."""

    encryption_key: Annotated[bytes, Variable(limits.KEY_BYTES)]
    encrypted_path_secret: Annotated[tuple[HPKECiphertext, ...], Many(limits.LEAVES)]


@struct
class UpdatePath:
    """The committer's new leaf, and the new nodes of its filtered direct path, from the leaf upwards."""

    leaf_node: LeafNode
    nodes: Annotated[tuple[UpdatePathNode, ...], Many(limits.PATH)]


@struct
class Commit:
    """What the next epoch takes from the proposals, and the new keys, where some are needed."""

    proposals: Annotated[tuple[ProposalOrRef, ...], Many(limits.PROPOSALS)]
    path: UpdatePath | None
