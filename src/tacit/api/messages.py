"""Sending and paging messages."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from tacit.api.base import Base64, Body, Hex, Number
from tacit.api.conversations import EncryptedKey, Grant


class EncryptedPayload(Body, frozen=True):
    """A sealed message; GCM's tag is the end of `encryptedText`, and `tag` is empty."""

    version: Number
    encrypted_text: Base64
    iv: Base64
    tag: str
    key_id: Hex
    record_hash: Hex
    epoch: Number
    sender_id: str
    device_id: Hex
    instance_id: Base64
    counter: Number
    client_message_id: str
    content_type: Number
    franking_tag: Base64
    signature: Base64


class OneMessage(Body, frozen=True):
    """One message of a batch."""

    encrypted_payload: EncryptedPayload


class SendMessages(Body, frozen=True):
    """`POST /api/messages/encrypted`: one message, or a batch in `messages`.

    `encryptedKeys` may be left out or empty, or must equal the stored grants of the epoch; `keyId` may be left out, or
    must equal that of every message.
    """

    conversation_id: str
    encrypted_payload: EncryptedPayload | UnsetType = UNSET
    messages: list[OneMessage] | UnsetType = UNSET
    encrypted_keys: list[EncryptedKey] | UnsetType = UNSET
    key_id: Hex | UnsetType = UNSET


class Sent(Body, frozen=True):
    """The answer to one message; `createdAt` in Unix milliseconds."""

    success: bool
    key_id: Hex
    seq: int
    created_at: int


class Result(Body, frozen=True):
    """One message of a batch: either `seq` and `createdAt`, or `problem` (a problem document)."""

    seq: int | UnsetType = UNSET
    created_at: int | UnsetType = UNSET
    problem: dict[str, Any] | UnsetType = UNSET


class Results(Body, frozen=True):
    """The answer to a batch, in its order."""

    success: bool
    results: list[Result]


class MessageItem(Body, frozen=True, tag_field="kind", tag="message"):
    """A message on a page."""

    seq: int
    created_at: int
    encrypted_payload: EncryptedPayload


class RecordItem(Body, frozen=True, tag_field="kind", tag="record"):
    """A conversation record on a page, with the grants that the asking user has in its epoch."""

    seq: int
    created_at: int
    epoch: int
    key_id: Hex
    protocol: str
    record: Base64
    signature: Base64
    encrypted_keys: list[Grant]


class LostItem(Body, frozen=True, tag_field="kind", tag="lost"):
    """The places from `seq` to `lastSeq`: the server was restored, and gives them to nothing."""

    seq: int
    created_at: int
    last_seq: int


Item = MessageItem | RecordItem | LostItem


class Page(Body, frozen=True):
    """Items in the order of `seq`; `cursor` is where to go on, `more` whether there is anything."""

    items: list[Item]
    cursor: int
    more: bool
