"""Conversation records, grants and leaves."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from tacit.api.base import Base64, Body, Hex


class EncryptedKey(Body, frozen=True):
    """A grant on its way in: struct SignedGrant for the member `userId`."""

    user_id: str
    encrypted_key: Base64


class ConversationKeys(Body, frozen=True):
    """`POST /api/encryption/conversation/keys`, and `POST` and `DELETE` of `conversation/members`.

    With `record` (struct ConversationRecord) and `signature` it opens the next epoch; without, it adds grants to the
    epoch named by `keyId`. `memberIds`, if sent, are the roster's user ids sorted by their bytes.
    """

    conversation_id: str
    key_id: Hex
    encrypted_keys: list[EncryptedKey]
    member_ids: list[str] | UnsetType = UNSET
    record: Base64 | UnsetType = UNSET
    signature: Base64 | UnsetType = UNSET


class EpochWritten(Body, frozen=True):
    """The epoch that was opened or added to, and its record's `seq`."""

    success: bool
    key_id: Hex
    epoch: int
    seq: int


class Grant(Body, frozen=True):
    """A grant on its way out: `grantedBy` is user_id/device_id."""

    user_id: str
    encrypted_key: Base64
    granted_by: str


class Epoch(Body, frozen=True):
    """One epoch with the grants that the asking user has in it; `protocol` is `envelope`."""

    epoch: int
    key_id: Hex
    protocol: str
    record: Base64
    signature: Base64
    seq: int
    encrypted_keys: list[Grant]


class Epochs(Body, frozen=True):
    """`GET /api/encryption/conversation/keys?conversationId=..&after=EPOCH`."""

    epochs: list[Epoch]


class GrantRequest(Body, frozen=True):
    """`POST /api/conversations/{id}/grant-requests`: a member of the epoch with this key id lacks its key."""

    key_id: Hex


class LeaveConversation(Body, frozen=True):
    """`POST /api/conversations/{id}/leave`: struct SignedLeave."""

    leave: Base64


class Conversation(Body, frozen=True):
    """One conversation of the user: role and epoch 0 where it was removed (`headSeq` is then its removal's)."""

    conversation_id: str
    epoch: int
    role: int
    head_seq: int


class Conversations(Body, frozen=True):
    """`GET /api/conversations`."""

    conversations: list[Conversation]
