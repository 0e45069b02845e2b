"""The group's context (RFC 9420 §8.1): what all members of an epoch agree on."""

from __future__ import annotations

from typing import Annotated

from tacit.mls import limits
from tacit.mls.extensions import Extensions
from tacit.wire.codec import EncodedOnce, struct
from tacit.wire.encodings import U16, U64, Variable


@struct
class GroupContext(EncodedOnce):
    """Group, epoch, tree, history and extensions."""

    version: U16
    cipher_suite: U16
    group_id: Annotated[bytes, Variable(limits.GROUP_ID_BYTES)]
    epoch: U64
    tree_hash: Annotated[bytes, Variable(limits.SECRET_BYTES)]
    confirmed_transcript_hash: Annotated[bytes, Variable(limits.SECRET_BYTES)]
    extensions: Extensions
