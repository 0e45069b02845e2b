"""What a restored server lacks, posted back byte for byte by those who hold it."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from tacit.api.accounts import SignedHeader
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


class HeldVersion(Body, frozen=True):
    """A version of an account (struct AccountRecord) with its signatures (struct AccountSignatures)."""

    record: Base64
    signature: Base64


class HeldVault(Body, frozen=True):
    """What a device has of its own account's vault: its boxes, its outer part, and the outer part's headers.

    The headers lead from the one that the newest account record names to the outer part's own.
    """

    boxes: Base64
    outer: Base64
    outer_headers: list[SignedHeader]


class ReconcileAccount(Body, frozen=True):
    """`POST /api/reconcile/account`: versions of somebody's account, oldest first, and of one's own the vault."""

    user_id: str
    versions: list[HeldVersion]
    vault: HeldVault | UnsetType = UNSET


class AccountReconciled(Body, frozen=True):
    """How many versions were lacking and are taken now, and whether anything of the vault is."""

    success: bool
    versions: int
    vault: bool


class Outcome(Body, frozen=True):
    """What became of one thing: whether it was lacking and is taken now, or `problem` (a problem document)."""

    taken: bool
    problem: dict[str, Any] | UnsetType = UNSET


class Reconciled(Body, frozen=True):
    """The answer, in the order of what was posted."""

    success: bool
    results: list[Outcome]
