"""What of a struct is signed: everything but the signature at its end."""

from __future__ import annotations

from typing import Protocol

from tacit.wire.codec import encode
from tacit.wire.reader import varint


class Signed(Protocol):
    """A struct whose last field is its signature."""

    @property
    def signature(self) -> bytes:
        """The last field."""


def without_signature(value: Signed) -> bytes:
    """The encoded struct up to its last field, the signature: KeyPackageTBS, GroupInfoTBS, most of LeafNodeTBS."""
    encoded, size = encode(value), len(value.signature)
    return encoded[: len(encoded) - len(varint(size)) - size]
