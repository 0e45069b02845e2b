"""What a restored server lacks, posted back byte for byte by those who hold it."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from tacit.api.base import Base64, Body
from tacit.api.conversations import EncryptedKey
from tacit.api.messages import EncryptedPayload


class HeldRecord(Body, frozen=True, tag_field="kind", tag="record"):
    """A conversation record (struct ConversationRecord) with those grants of its epoch that the poster holds."""

    record: Base64
    signature: Base64
    encrypted_keys: list[EncryptedKey]


class HeldMessage(Body, frozen=True, tag_field="kind", tag="message"):
    """A sealed message, the poster's own or another's."""

    encrypted_payload: EncryptedPayload


Held = HeldRecord | HeldMessage


class ReconcileConversation(Body, frozen=True):
    """`POST /api/reconcile/conversation`: what one holds of a conversation, in the order in which it was received."""

    conversation_id: str
    items: list[Held]


class Outcome(Body, frozen=True):
    """What became of one thing: whether it was lacking and is taken now, or `problem` (a problem document)."""

    taken: bool
    problem: dict[str, Any] | UnsetType = UNSET


class Reconciled(Body, frozen=True):
    """The answer, in the order of what was posted."""

    success: bool
    results: list[Outcome]
