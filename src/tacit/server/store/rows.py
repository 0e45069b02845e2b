"""What goes into the store and comes out of it: plain values, with the columns' meaning and format.

Tuples with names, because rows come by the thousand and are made straight from what SQLite returns.
"""

from __future__ import annotations

import uuid
from typing import NamedTuple


def row_id() -> str:
    """A new UUID for a row's `id` column; it means nothing outside the database."""
    return str(uuid.uuid4())


# --- accounts --------------------------------------------------------------------------


class NewDevice(NamedTuple):
    """A device that an account record certifies; `request_key` is the raw public key."""

    device_id: str
    request_key: bytes


class OuterHeader(NamedTuple):
    """A signed header of the vault's outer part; `header` and `signature` in base64."""

    version: int
    account_version: int
    header: str
    signature: str


class Account(NamedTuple):
    """One version of an account; `key_id` is the record's hash in hex, `public_key`, `record`, `signature` base64."""

    user_id: str
    version: int
    key_id: str
    public_key: str
    record: str
    signature: str
    outer_version: int
    created_at: int


class AccountPage(NamedTuple):
    """Versions of one account; `more`: there are others after these."""

    versions: tuple[Account, ...]
    more: bool


class Vault(NamedTuple):
    """The newest vault (`encrypted_private_key`, base64) and the versions that a write to it must name."""

    user_id: str
    version: int
    key_id: str
    outer_version: int
    encrypted_private_key: str


class Device(NamedTuple):
    """A device that some account record certified; `revoked_in` is the version that revoked it, or None."""

    user_id: str
    device_id: str
    request_key: bytes
    certified_in: int
    revoked_in: int | None


class Unlocker(NamedTuple):
    """An unlocker of the newest vault, the hash of its proof (32 bytes) and its public parameters."""

    unlocker_id: str
    kind: int
    proof_hash: bytes
    parameters: bytes


class Failures(NamedTuple):
    """How many proofs were wrong, and when the last of them came; 0 and 0 for none."""

    number: int
    last_at: int


class ToldProofs(NamedTuple):
    """When wrong proofs of one kind of unlocker were last told, and how many came since, the last by `device_id`."""

    user_id: str
    kind: str
    told_at: int
    untold: int
    device_id: str


class PendingReset(NamedTuple):
    """A reset that a device alone asked for: the version's number and hash (hex), and when it may be published."""

    version: int
    key_id: str
    device_id: str
    due_at: int


class AccountWritten(NamedTuple):
    """A new account version or outer part is stored.

    `duplicate`: it was there already, byte for byte, and nothing was written; `revoked`: the devices that this version
    revoked, whose sessions are gone; `event`: its number in the account's stream, 0 for a duplicate.
    """

    duplicate: bool
    revoked: tuple[str, ...]
    event: int


class Event(NamedTuple):
    """One entry of an account's stream; `body` is a JSON object."""

    seq: int
    kind: str
    body: str
    created_at: int


class EventPage(NamedTuple):
    """Entries after a cursor; `cursor` is where to go on, `more` whether there is anything."""

    events: tuple[Event, ...]
    cursor: int
    more: bool


class Session(NamedTuple):
    """An open session; `token_hash` in hex, `request_key` raw, `kind` full, provisional or registration."""

    token_hash: str
    user_id: str
    device_id: str
    request_key: bytes
    kind: str
    created_at: int
    expires_at: int


# --- conversations ---------------------------------------------------------------------


class MemberChange(NamedTuple):
    """One user's new place in the roster: role 0 takes it out; `account_version` is the one that the record names."""

    user_id: str
    role: int
    account_version: int


class Member(NamedTuple):
    """A user's place in a conversation; `removed_seq` is the seq of the record that removed it, or None."""

    user_id: str
    role: int
    account_version: int
    added_seq: int
    removed_seq: int | None


class Head(NamedTuple):
    """A conversation's newest epoch and seq; `outdated`: since then a member revoked a device or ended."""

    conversation_id: str
    epoch: int
    key_id: str
    record_hash: str
    head_seq: int
    outdated: bool
    created_at: int


class Standing(NamedTuple):
    """One user's place in one conversation beside the conversation's head; see `Head` and `Member`."""

    conversation_id: str
    epoch: int
    key_id: str
    record_hash: str
    head_seq: int
    outdated: bool
    role: int
    account_version: int
    added_seq: int
    removed_seq: int | None


class NewGrant(NamedTuple):
    """A grant to store; `granted_by` is user_id/device_id, `encrypted_key` base64."""

    user_id: str
    granted_by: str
    encrypted_key: str


class Grant(NamedTuple):
    """A stored grant."""

    user_id: str
    encrypted_key: str
    granted_by: str


class Epoch(NamedTuple):
    """A row of `conversation_keys` with the grants that were asked for with it."""

    seq: int
    created_at: int
    epoch: int
    key_id: str
    record_hash: str
    protocol: str
    record: str
    signature: str
    grants: tuple[Grant, ...]


class Opened(NamedTuple):
    """An epoch is open: the record's seq, and for each user told of it the number in that account's stream.

    `duplicate`: the very record was stored before; seq and time are the first answer's, nobody is told again.
    """

    seq: int
    created_at: int
    duplicate: bool
    told: dict[str, int]


class Message(NamedTuple):
    """A stored message; `payload` is the JSON object `encryptedPayload` as text."""

    seq: int
    created_at: int
    sender: str
    device_id: str
    client_message_id: str
    key_id: str
    payload: str
    iv: str


class Lost(NamedTuple):
    """Places from `seq` to `last_seq` that a restored server gives to nothing."""

    seq: int
    last_seq: int
    created_at: int


class Place(NamedTuple):
    """What a message meets: the conversation's newest epoch, the sender's removal, and whether it is `known` already.

    `head_seq` is the last place that is taken; `outdated`: a member's device ended since the epoch was opened.
    """

    head_seq: int
    epoch: int
    key_id: str
    record_hash: str
    outdated: int
    removed_seq: int | None
    known: int


class Inserted(NamedTuple):
    """A message is stored; `duplicate`: it was before, and seq and time are the first answer's."""

    seq: int
    created_at: int
    duplicate: bool


class Page(NamedTuple):
    """Messages, records, lost places in their order; `cursor` is where to go on, `more` whether there is anything."""

    items: tuple[Message | Epoch | Lost, ...]
    cursor: int
    more: bool
