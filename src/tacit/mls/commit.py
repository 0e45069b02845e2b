"""Commits (RFC 9420 §12.4) and the path of new keys in them (§7.6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, overload

from tacit.mls import limits
from tacit.mls.leaf_node import LeafNode
from tacit.mls.proposals import ProposalOrRef
from tacit.mls.suites import HPKECiphertext
from tacit.wire.codec import EncodedOnce, Many, decode, encode, functions_of, struct
from tacit.wire.encodings import Encoding, Variable
from tacit.wire.reader import Reader, ReaderFunction, Writer, write_varint


class Ciphertexts(Sequence[HPKECiphertext]):
    """Ciphertexts as they came: a member of a large group reads one of thousands.

    Those of one suite are all of one size, so that the one that is asked for is found without reading the others; where
    they are not, all are read. What cannot be read is refused as `Malformed` when it is asked for.
    """

    __slots__ = ("_all", "encoded")

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded
        self._all: tuple[HPKECiphertext, ...] | None = None

    @classmethod
    def of(cls, ciphertexts: Iterable[HPKECiphertext]) -> Ciphertexts:
        """The sequence of these."""
        return cls(b"".join(encode(each) for each in ciphertexts))

    def _size(self) -> int:
        """Bytes of the first one, if all can be of that size, else 0."""
        reader = Reader(self.encoded)
        for _ in range(2 if self.encoded else 0):
            reader.take(reader.varint())
        return reader.position if reader.position and len(self.encoded) % reader.position == 0 else 0

    def _read(self) -> tuple[HPKECiphertext, ...]:
        if self._all is None:
            reader, found = Reader(self.encoded), []
            while reader.position < reader.end:
                found.append(_read_ciphertext(reader))
            self._all = tuple(found)
        return self._all

    def __len__(self) -> int:
        size = self._size()
        return len(self.encoded) // size if size else len(self._read())

    @overload
    def __getitem__(self, index: int) -> HPKECiphertext: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[HPKECiphertext]: ...
    def __getitem__(self, index: int | slice) -> HPKECiphertext | Sequence[HPKECiphertext]:
        size = self._size()
        if isinstance(index, slice) or not size:
            return self._read()[index]
        start = range(0, len(self.encoded), size)[index]
        return decode(HPKECiphertext, self.encoded[start : start + size], size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ciphertexts) and self.encoded == other.encoded

    def __hash__(self) -> int:
        return hash(self.encoded)


_read_ciphertext = functions_of(HPKECiphertext)[1]


class _Unread(Encoding):
    """A vector of ciphertexts that is not read yet."""

    __slots__ = ()

    def functions(self, hint: Any) -> tuple[Writer, ReaderFunction]:
        def write(out: bytearray, value: Ciphertexts) -> None:
            write_varint(out, len(value.encoded))
            out += value.encoded

        def read(reader: Reader) -> Ciphertexts:
            return Ciphertexts(reader.take(reader.varint()))

        return write, read


@struct
class UpdatePathNode:
    """A node's new key, and its path secret for each node of the copath's resolution."""

    encryption_key: Annotated[bytes, Variable(limits.KEY_BYTES)]
    encrypted_path_secret: Annotated[Ciphertexts, _Unread()]


@struct
class UpdatePath:
    """The committer's new leaf, and the new nodes of its filtered direct path, from the leaf upwards."""

    leaf_node: LeafNode
    nodes: Annotated[tuple[UpdatePathNode, ...], Many(limits.PATH)]


@struct
class Commit(EncodedOnce):
    """What the next epoch takes from the proposals, and the new keys, where some are needed."""

    proposals: Annotated[tuple[ProposalOrRef, ...], Many(limits.PROPOSALS)]
    path: UpdatePath | None
