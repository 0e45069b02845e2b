"""Rows of the store as they travel."""

from __future__ import annotations

import msgspec

from tacit.api import conversations as api
from tacit.api.messages import EncryptedPayload, Item, LostItem, MessageItem, RecordItem
from tacit.server.store.rows import Epoch, Grant, Lost, Message


def grants(rows: tuple[Grant, ...]) -> list[api.Grant]:
    """Grants on their way out."""
    return [api.Grant(row.user_id, row.encrypted_key, row.granted_by) for row in rows]


def epoch(row: Epoch) -> api.Epoch:
    """An epoch with the grants that were asked for with it."""
    return api.Epoch(row.epoch, row.key_id, row.protocol, row.record, row.signature, row.seq, grants(row.grants))


def item(row: Message | Epoch | Lost) -> Item:
    """A message, a record or lost places on a page."""
    if isinstance(row, Lost):
        return LostItem(row.seq, row.created_at, row.last_seq)
    if isinstance(row, Message):
        return MessageItem(row.seq, row.created_at, msgspec.json.decode(row.payload, type=EncryptedPayload))
    return RecordItem(
        row.seq,
        row.created_at,
        row.epoch,
        row.key_id,
        row.protocol,
        row.record,
        row.signature,
        grants(row.grants),
    )
