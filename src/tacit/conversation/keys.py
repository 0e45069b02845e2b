"""The epoch's key: 32 random bytes, and the commitment to them in the epoch's record."""

from __future__ import annotations

import dataclasses
from typing import Final, final

from tacit import errors
from tacit.crypto.digest import equal
from tacit.crypto.kdf import hkdf_sha256
from tacit.crypto.secret import Randomness, Secret
from tacit.signed import labels
from tacit.signed.record import ConversationRecord, record_hash
from tacit.signed.verify import labelled
from tacit.wire.codec import struct
from tacit.wire.encodings import Hash

KEY_BYTES: Final = 32


@struct
class KeyIdContext:
    """What a key id is derived over: the hash of the epoch's record with an empty `key_id`."""

    record_hash: Hash


@final
@dataclasses.dataclass(frozen=True, slots=True)
class ConversationKey:
    """One epoch's key, 32 bytes; raises `WrongLength` for any other size."""

    secret: Secret

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise errors.WrongLength(f"a conversation key of {len(self.secret)} bytes")

    @classmethod
    def generate(cls, random: Randomness) -> ConversationKey:
        """A fresh key; every attempt to open an epoch makes another one."""
        return cls(Secret(random(KEY_BYTES)))


def key_id_of(key: ConversationKey, record: ConversationRecord) -> bytes:
    """The key's id for this record, 32 bytes; whatever `key_id` the record has already does not count."""
    bare = dataclasses.replace(record, key_id=b"") if record.key_id else record
    info = labelled(labels.KEY_ID, KeyIdContext(record_hash(bare)))
    return hkdf_sha256(key.secret, info).reveal()


def finish_record(record: ConversationRecord, key: ConversationKey) -> ConversationRecord:
    """The record with the id of its key: what the opener signs."""
    return dataclasses.replace(record, key_id=key_id_of(key, record))


def is_key_of(key: ConversationKey, record: ConversationRecord) -> bool:
    """Whether the record commits to this key."""
    return equal(key_id_of(key, record), record.key_id)
