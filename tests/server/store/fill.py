"""Short ways to put accounts, conversations and messages into a store under test."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from tacit.server.store import accounts, conversations, messages
from tacit.server.store.rows import (
    AccountWritten,
    Inserted,
    MemberChange,
    NewDevice,
    NewGrant,
    Opened,
    OuterHeader,
    Unlocker,
)

ALICE_AND_BOB = (MemberChange("alice", 2, 1), MemberChange("bob", 1, 1))


def put_account(
    db: sqlite3.Connection,
    user_id: str = "alice",
    version: int = 1,
    *,
    outer: int = 1,
    named_outer: int | None = None,
    devices: Iterable[str] = ("phone",),
    unlockers: Iterable[str] = ("password",),
    variant: str = "",
    previous: str | None = None,
    now: int = 1000,
) -> AccountWritten:
    """A version of an account; `variant` makes it differ from another of the same version."""
    before = f"{user_id}-{version - 1}" if version > 1 else ""
    return accounts.put(
        db,
        user_id=user_id,
        version=version,
        key_id=f"{user_id}-{version}{variant}",
        previous_key_id=before if previous is None else previous,
        record=f"record {user_id} {version}{variant}",
        signature="c2ln",
        public_key=f"public {user_id} {version}",
        encrypted_private_key=f"vault {user_id} {version}{variant}",
        outer=OuterHeader(outer, version, f"header {outer}", "c2ln"),
        named_outer_version=outer if named_outer is None else named_outer,
        devices=[NewDevice(device, device.encode()) for device in devices],
        unlockers=[Unlocker(unlocker, 1, unlocker.encode(), b"") for unlocker in unlockers],
        now=now,
    )


def put_epoch(
    db: sqlite3.Connection,
    epoch: int = 1,
    changes: Sequence[MemberChange] = ALICE_AND_BOB,
    grants: Iterable[NewGrant] = (),
    *,
    conversation_id: str = "team",
    variant: str = "",
    previous: str | None = None,
    key_id: str | None = None,
    now: int = 1000,
) -> Opened:
    """An epoch of a conversation; `variant` makes its record differ from another of the same epoch."""
    before = f"{conversation_id}-record-{epoch - 1}" if epoch > 1 else ""
    return conversations.put_record(
        db,
        conversation_id=conversation_id,
        epoch=epoch,
        key_id=f"{conversation_id}-key-{epoch}{variant}" if key_id is None else key_id,
        record_hash=f"{conversation_id}-record-{epoch}{variant}",
        previous_record_hash=before if previous is None else previous,
        protocol="envelope",
        record=f"record {epoch}{variant}",
        signature="c2ln",
        state=f"state {epoch}{variant}".encode(),
        changes=changes,
        new_grants=grants,
        now=now,
    )


def send(
    db: sqlite3.Connection,
    client_message_id: str,
    *,
    device_id: str = "phone",
    payload: str = "{}",
    epoch: int = 1,
    conversation_id: str = "team",
    now: int = 2000,
) -> Inserted:
    """A message by alice in an epoch made by `put_epoch`."""
    key_id = f"{conversation_id}-key-{epoch}"
    return messages.insert(db, conversation_id, "alice", device_id, client_message_id, payload, key_id, "aXY=", now)
