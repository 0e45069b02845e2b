"""Key packages (RFC 9420 §10): what a client publishes, so that it can be added."""

from __future__ import annotations

from typing import Annotated, Final

from tacit.mls import limits
from tacit.mls.extensions import Extensions
from tacit.mls.leaf_node import LeafNode
from tacit.mls.signed_part import without_signature
from tacit.wire.codec import EncodedOnce, struct
from tacit.wire.encodings import U16, Variable

MLS10: Final = 1
"""The protocol version of RFC 9420."""
LAST_RESORT: Final = 0x000A
"""The extension of a key package that may be used again when no other is left (draft-ietf-mls-extensions)."""


@struct
class KeyPackage(EncodedOnce):
    """A client's offer to be added: its keys for one group of one suite."""

    version: U16
    cipher_suite: U16
    init_key: Annotated[bytes, Variable(limits.KEY_BYTES)]
    leaf_node: LeafNode
    extensions: Extensions
    signature: Annotated[bytes, Variable(limits.SIGNATURE_BYTES)]

    @property
    def is_last_resort(self) -> bool:
        """Whether it may be used again when no other is left."""
        return any(each.extension_type == LAST_RESORT for each in self.extensions)

    def to_be_signed(self) -> bytes:
        """KeyPackageTBS."""
        return without_signature(self)
