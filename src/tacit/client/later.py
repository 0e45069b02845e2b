"""Records and grants of a later program: kept as they were served, until a program that knows them reads them."""

from __future__ import annotations

from typing import TypeVar

from tacit import errors
from tacit.crypto.digest import sha256
from tacit.signed import labels
from tacit.signed.record import ConversationRecord
from tacit.signed.verify import labelled_bytes
from tacit.wire.codec import U64, Hash, Id, Reader, decode, functions_of, struct

T = TypeVar("T")


@struct
class RecordStart:
    """How every conversation record begins."""

    conversation_id: Id
    epoch: U64


@struct
class GrantStart:
    """How every signed grant begins."""

    record_hash: Hash


def start(cls: type[T], raw: bytes) -> T:
    """The beginning of bytes whose rest this program may not know; raises `Malformed` and the like."""
    found: T = functions_of(cls)[1](Reader(raw))
    return found


def hash_of(raw: bytes) -> bytes:
    """The hash of an encoded record, 32 bytes: `record_hash`, also of one that cannot be decoded."""
    return sha256(labelled_bytes(labels.CONVERSATION_RECORD, raw))


def read_record(raw: bytes) -> ConversationRecord | None:
    """A record, or None for a later program's; raises `Malformed` and the like for what is none."""
    try:
        return decode(ConversationRecord, raw)
    except errors.UnknownVersion:
        return None


def why_unread(raw: bytes) -> str:
    """Why a record cannot be judged, for a person; the empty text where it can be read."""
    try:
        decode(ConversationRecord, raw)
    except errors.UnknownVersion as error:
        return f"it is a later program's ({error.detail}): update the program"
    return ""
