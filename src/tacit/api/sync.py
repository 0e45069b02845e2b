"""Everything after the cursors in one answer, and the frames of the WebSocket."""

from __future__ import annotations

from typing import Any

from tacit.api.base import Base64, Body, Hex
from tacit.api.messages import EncryptedPayload, Item, Page


class Sync(Body, frozen=True):
    """`POST /api/sync`: the account's cursor, and a cursor for each conversation asked for."""

    account_cursor: int
    conversations: dict[str, int]


class AccountEvent(Body, frozen=True):
    """One entry of the account's stream; `created_at` by the server's clock, in Unix milliseconds.

    `body` by `kind`: `conversation` {conversationId, epoch} (an epoch was opened or granted), `removed`
    {conversationId, epoch}, `account` {version}, `vault` {accountVersion, version}, `leave` {conversationId, leave},
    `grant_request` {conversationId, epoch, userId} (a member of that epoch lacks its key),
    `unlocker` {kind, deviceId, succeeded} (somebody used the password or the recovery key, or tried to), `reset`
    {version, deviceId, dueAt} (a device alone asks for a reset), `reset_cancelled` {version}.
    """

    seq: int
    kind: str
    body: dict[str, Any]
    created_at: int


class AccountPage(Body, frozen=True):
    """Account events in the order of `seq`; `cursor` is where to go on, `more` whether there is anything."""

    cursor: int
    more: bool
    events: list[AccountEvent]


class Synced(Body, frozen=True):
    """The answer of `POST /api/sync`."""

    account: AccountPage
    conversations: dict[str, Page]


# --- frames of /api/sync/socket ----------------------------------------------------------


class Challenge(Body, frozen=True, tag_field="type", tag="challenge"):
    """The server's first frame: 32 random bytes."""

    nonce: Base64


class Hello(Body, frozen=True, tag_field="type", tag="hello"):
    """The client's first frame: its signature over struct SocketChallenge."""

    token: str
    device_id: Hex
    signature: Base64


class Welcome(Body, frozen=True, tag_field="type", tag="welcome"):
    """The server's answer to a good hello; from here on it pushes."""

    incarnation: str


class Send(Body, frozen=True, tag_field="type", tag="send"):
    """The client sends a message; `id` is the client's own, for the answer."""

    id: str
    conversation_id: str
    encrypted_payload: EncryptedPayload


class SentFrame(Body, frozen=True, tag_field="type", tag="sent"):
    """The answer to a `send`."""

    id: str
    seq: int
    created_at: int


class ProblemFrame(Body, frozen=True, tag_field="type", tag="problem"):
    """A problem document in answer to the frame `id`; empty where it is not about a `send`."""

    id: str
    problem: dict[str, Any]


class ItemPush(Body, frozen=True, tag_field="type", tag="item"):
    """An item of a conversation, as on its page."""

    conversation_id: str
    item: Item


class AccountPush(Body, frozen=True, tag_field="type", tag="account"):
    """The account's stream has entries up to `cursor`."""

    cursor: int


class BehindPush(Body, frozen=True, tag_field="type", tag="behind"):
    """More was pushed than the client read in time, and dropped: what it lacks it fetches by its cursors."""


ClientFrame = Hello | Send
ServerFrame = Challenge | Welcome | SentFrame | ProblemFrame | ItemPush | AccountPush | BehindPush
