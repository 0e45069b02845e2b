"""Records and grants of a later program: kept as they were served, until a program that knows them reads them."""

from __future__ import annotations

from typing import NamedTuple

from tacit import errors
from tacit.crypto.digest import sha256
from tacit.signed import labels
from tacit.signed.record import ConversationRecord
from tacit.signed.verify import labelled_bytes
from tacit.wire.codec import decode, functions_of
from tacit.wire.encodings import Id
from tacit.wire.reader import Reader


class RecordStart(NamedTuple):
    """How every conversation record begins."""

    conversation_id: str
    epoch: int


def record_start(raw: bytes) -> RecordStart:
    """The beginning of a record whose rest this program may not know; raises `Malformed` and the like."""
    reader = Reader(raw)
    conversation_id: str = functions_of(Id)[1](reader)
    return RecordStart(conversation_id, reader.uint(8))


def granted_record(raw: bytes) -> bytes:
    """The hash of the record that a grant is for, with which every grant begins; raises `Malformed`."""
    return Reader(raw).take(32)


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
