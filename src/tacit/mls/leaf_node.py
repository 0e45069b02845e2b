"""Leaf nodes (RFC 9420 §7.2): what the tree says of one member."""

from __future__ import annotations

import functools
from typing import Annotated, Final

from tacit.mls import limits
from tacit.mls.credential import Credential
from tacit.mls.extensions import Extensions
from tacit.mls.signed_part import without_signature
from tacit.mls.suites import vector
from tacit.wire.codec import EncodedOnce, Many, Variant, functions_of, own_functions, struct
from tacit.wire.encodings import U16, U64, Variable
from tacit.wire.reader import Reader

_Numbers = Annotated[tuple[U16, ...], Many(limits.CAPABILITIES)]


@struct
class Capabilities(EncodedOnce):
    """What a client supports beyond the defaults (§7.2)."""

    versions: _Numbers
    cipher_suites: _Numbers
    extensions: _Numbers
    proposals: _Numbers
    credentials: _Numbers


@struct
class Lifetime:
    """When a key package may be used, in Unix seconds (§7.2): the source of a leaf from a key package."""

    not_before: U64
    not_after: U64


@struct
class Updated:
    """The source of a leaf from an Update proposal."""


@struct
class Committed:
    """The source of a leaf from an UpdatePath, with the hash of its parent (§7.9)."""

    parent_hash: Annotated[bytes, Variable(limits.SECRET_BYTES)]


@struct
class LeafNode(EncodedOnce):
    """One member: keys, credential, capabilities, where the leaf comes from, extensions, signature."""

    encryption_key: Annotated[bytes, Variable(limits.KEY_BYTES)]
    signature_key: Annotated[bytes, Variable(limits.KEY_BYTES)]
    credential: Credential
    capabilities: Capabilities
    source: Annotated[Lifetime | Updated | Committed, Variant(1, {1: Lifetime, 2: Updated, 3: Committed})]
    extensions: Extensions
    signature: Annotated[bytes, Variable(limits.SIGNATURE_BYTES)]

    def to_be_signed(self, group_id: bytes, leaf_index: int) -> bytes:
        """LeafNodeTBS; in a key package's leaf neither the group nor the place stands (§7.2)."""
        signed = without_signature(self)
        if isinstance(self.source, Lifetime):
            return signed
        return signed + vector(group_id) + leaf_index.to_bytes(4, "big")


# Most members of a group have the same capabilities: what was read once is found by its bytes. They come before any
# signature was checked, so that long ones, which nobody needs, are not kept: 1024 of those would be 200 MB.
_write_capabilities, _read_capabilities = functions_of(Capabilities)
KNOWN_BYTES: Final = 256


@functools.lru_cache(maxsize=1024)
def _known(encoded: bytes) -> Capabilities:
    found: Capabilities = _read_capabilities(Reader(encoded))
    return found


def _read_known(reader: Reader) -> Capabilities:
    data, start, end = reader.data, reader.position, reader.end
    at = start
    for _ in Capabilities.__slots__:
        if at < end and data[at] < 0x40:
            at += 1 + data[at]
        else:
            reader.position = at
            reader.skip(reader.varint())
            at = reader.position
    reader.position = at
    reader.skip(0)  # the last one may go beyond the end
    encoded = data[start:at]
    return _known(encoded) if len(encoded) <= KNOWN_BYTES else _known.__wrapped__(encoded)


own_functions(Capabilities, _write_capabilities, _read_known)
