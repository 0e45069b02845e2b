"""Publishing an account's records and keys, and the vault."""

from __future__ import annotations

import dataclasses
import sqlite3
from typing import NamedTuple

from litestar import get, post
from msgspec import UNSET

from tacit import errors
from tacit.api import accounts as api
from tacit.api.base import binary, counter
from tacit.server import keyfields
from tacit.server.backend import (
    FULL,
    PROVISIONAL,
    REGISTRATION,
    Call,
    Query,
    any_session,
    backend,
    body,
    full_session,
    own,
    read,
    write,
)
from tacit.server.config import Config
from tacit.server.known import Chains
from tacit.server.store import account_events, accounts, resets, sessions
from tacit.server.store.rows import AccountWritten, NewDevice, OuterHeader, PendingReset, Session, Unlocker
from tacit.signed.account import (
    AccountRecord,
    AccountSignatures,
    EncryptionKeys,
    ResetBy,
    account_hash,
    certificate,
    is_reset,
    verify_first,
    verify_next,
)
from tacit.signed.vault import Outer, Vault, check_vault, header_hash, verify_outer_next
from tacit.signed.vault import OuterHeader as Header
from tacit.signed.verify import ZERO_HASH
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import to_base64


@post("/api/encryption/keys/generate", status_code=200)
async def generate(request: Call) -> api.Published:
    """Take the next version of the session's account, with its vault, if every rule of its chain holds.

    A reset that a device alone asks for is taken once it has waited.
    """
    here, session = backend(request), any_session(request)
    published = await body(request, api.GenerateKeys)
    own(session, published.user_id)
    record = decode(AccountRecord, binary(published.record, limits.RECORD_BYTES))
    signatures = decode(AccountSignatures, binary(published.signature, limits.RECORD_BYTES))
    vault = keyfields.key_struct(Vault, published.encrypted_private_key, limits.VAULT_BYTES)
    keyfields.check_vault_wrapped(vault)
    check_published(published, record, session, here.config.server_name)
    if record.version == 1:
        here.config.check_profile(record.profile)
    counter("the outer part's version", vault.outer.header.version)
    check_signatures(await here.known.load([session.user_id]), record, signatures)
    check_vault(record, vault)
    now = here.clock()

    def job(db: sqlite3.Connection) -> AccountWritten | Waits:
        check_outer_follows(db, record, vault.outer.header)
        if record.reset_by.by is ResetBy.DEVICE:
            waits = wait(db, record, published.key_id, session, now, here.config)
            if waits is not None:
                return waits
        if session.kind != FULL:
            sessions.promote(db, session.token_hash, now + here.config.session_ms)
        return accounts.put(
            db,
            user_id=session.user_id,
            version=record.version,
            key_id=published.key_id,
            previous_key_id="" if record.previous_hash == ZERO_HASH else record.previous_hash.hex(),
            record=published.record,
            signature=published.signature,
            public_key=published.public_key,
            encrypted_private_key=published.encrypted_private_key,
            outer=_row(vault.outer),
            named_outer_version=record.outer.version,
            devices=[NewDevice(each.device_id, each.request_key) for each in record.devices],
            unlockers=[
                Unlocker(each.id, each.kind, each.proof_hash, each.parameters) for each in vault.inner.unlockers
            ],
            now=now,
            is_reset=is_reset(record),
        )

    done = await write(request, job)
    if isinstance(done, Waits):
        if done.event:
            here.hub.push_account({session.user_id: done.event})
        return api.Published(True, published.key_id, done.until)
    here.hub.close(session.user_id, devices=done.revoked)
    if not done.duplicate:
        here.hub.push_account({session.user_id: done.event})
    return api.Published(True, published.key_id)


class Waits(NamedTuple):
    """A reset that is not published yet: from when it may be, and its number in the account's stream if it is new."""

    until: int
    event: int


def wait(
    db: sqlite3.Connection, record: AccountRecord, key_id: str, session: Session, now: int, config: Config
) -> Waits | None:
    """Let a reset wait that a device alone asks for; None once it has.

    All devices of the account are told at once. One that its device did not come back for in time is forgotten: it
    neither keeps another device from asking nor counts long after everybody was told. Raises `ResetPending` while
    another one waits, and `FieldMismatch` where it is not the session's device that asks.
    """
    if record.reset_by.device_id != session.device_id:
        raise errors.FieldMismatch("record.resetBy.deviceId")
    newest = accounts.newest(db, session.user_id)
    if newest is not None and newest.version >= record.version:
        return None  # a version that was taken already: the store knows what to answer
    found = resets.find(db, session.user_id)
    if found is not None and found.due_at + config.reset_lapse_ms <= now:
        found = None
    if found is not None and found.key_id == key_id:
        return None if found.due_at <= now else Waits(found.due_at, 0)
    if found is not None and found.device_id != session.device_id:
        raise errors.ResetPending(dueAt=found.due_at, lapsesAt=found.due_at + config.reset_lapse_ms)
    due = now + config.reset_wait_ms
    resets.put(db, session.user_id, PendingReset(record.version, key_id, session.device_id, due))
    body = {"version": record.version, "deviceId": session.device_id, "dueAt": due}
    return Waits(due, account_events.append(db, [session.user_id], "reset", body, now)[session.user_id])


def check_published(published: api.GenerateKeys, record: AccountRecord, session: Session, server_name: str) -> None:
    """The JSON fields and the session against the record.

    Raises `FieldMismatch`, `ServerNameMismatch`, or `InvalidAccountRecord` for a device that certifies or revokes
    where it may not.
    """
    if record.user_id != session.user_id:
        raise errors.FieldMismatch("record.userId")
    if record.server_name != server_name:
        raise errors.ServerNameMismatch("the account record names another server")
    if published.key_id != account_hash(record).hex():
        raise errors.FieldMismatch("keyId")
    keys = keyfields.key_struct(EncryptionKeys, published.public_key)
    if keys.keys != record.encryption_keys:
        raise errors.FieldMismatch("publicKey")
    if session.kind == REGISTRATION and record.version != 1:
        raise errors.SessionForbidden
    if certificate(record, session.device_id) is None:
        raise errors.InvalidAccountRecord("it does not certify the device that posts it")


def check_signatures(chains: Chains, record: AccountRecord, signatures: AccountSignatures) -> None:
    """The record on the one before it; raises what `verify_first` and `verify_next` raise.

    A version that has been taken already, or is ahead, is left to the store, which knows what to answer.
    """
    newest = chains.newest(record.user_id)
    if newest is None and record.version == 1:
        verify_first(record, signatures)
    elif newest is not None and record.version == newest.value.version + 1:
        verify_next(newest, record, signatures)
    elif newest is None or record.version > newest.value.version:
        known = newest.value.version if newest is not None else 0
        raise errors.VersionConflict(accountVersion=known)


def check_outer_follows(db: sqlite3.Connection, record: AccountRecord, header: Header) -> None:
    """An outer part that comes with a record is the stored one, or has a higher version; raises `VersionConflict`.

    It need not follow the stored one: the identity key's word is above that of a device, which may go on writing to be
    in its way.
    """
    newest = accounts.newest_header(db, record.user_id)
    if newest is None or record.version == 1 or is_reset(record):
        return
    stored = decode(Header, binary(newest.header))
    if header.version <= stored.version and header_hash(header) != header_hash(stored):
        raise errors.VersionConflict(accountVersion=record.version - 1, outerVersion=stored.version)


@get("/api/encryption/keys/public")
async def public_keys(request: Call) -> api.PublicKeys:
    """The account record versions of users, as many as fit into one answer; raises `NoSuchAccount`.

    A provisional session may ask for its own account only.
    """
    session = full_or_provisional(request)
    query = Query(request, ["after"], ["userId"])
    users, after = query.identifiers("userId", limits.USERS), query.number("after", 0)
    if session.kind == PROVISIONAL and users != [session.user_id]:
        raise errors.SessionForbidden
    found = await read(request, lambda db: accounts.pages(db, users, after))
    return api.PublicKeys(
        [
            api.AccountVersions(
                user,
                [
                    api.AccountVersion(row.version, row.key_id, row.public_key, row.record, row.signature)
                    for row in page.versions
                ],
                page.more,
            )
            for user, page in found.items()
        ]
    )


@get("/api/encryption/keys/private")
async def private_keys(request: Call) -> api.PrivateKeys:
    """What a session may have of its vault: boxes and outer part; the inner one where an unlocker opened it."""
    session = full_or_provisional(request)
    Query(request, [])
    stored, headers = await read(
        request, lambda db: (accounts.vault(db, session.user_id), accounts.outer_headers(db, session.user_id))
    )
    vault = decode(Vault, binary(stored.encrypted_private_key), limits.VAULT_BYTES)
    return api.PrivateKeys(
        session.user_id,
        stored.key_id,
        stored.version,
        to_base64(encode(vault.boxes)),
        to_base64(encode(vault.outer)),
        [api.SignedHeader(each.header, each.signature) for each in headers],
        to_base64(encode(vault.inner)) if session.kind == PROVISIONAL else UNSET,
    )


@post("/api/encryption/keys/private", status_code=200)
async def store_outer(request: Call) -> api.Written:
    """Take the next outer part of the session's vault, written by its device; raises `VersionConflict`."""
    here, session = backend(request), full_session(request)
    posted = await body(request, api.StoreOuter)
    own(session, posted.user_id)
    outer = keyfields.key_struct(Outer, posted.encrypted_private_key, limits.VAULT_BYTES)
    if outer.header.device_id != session.device_id:
        raise errors.InvalidVault("the outer part is written by another device")
    chains = await here.known.load([session.user_id])
    now = here.clock()

    def job(db: sqlite3.Connection) -> AccountWritten:
        stored = accounts.vault(db, session.user_id)
        newest = chains.newest(session.user_id)
        if newest is None or not chains.are_newest(db) or posted.key_id != stored.key_id:
            raise errors.VersionConflict(accountVersion=stored.version, outerVersion=stored.outer_version)
        vault = decode(Vault, binary(stored.encrypted_private_key), limits.VAULT_BYTES)
        if outer.header.version == stored.outer_version + 1:
            verify_outer_next(newest.value, vault.outer.header, outer)
        whole = encode(dataclasses.replace(vault, outer=outer))
        if len(whole) > limits.VAULT_BYTES:
            raise errors.TooLarge("the vault with this outer part")
        return accounts.put_outer(
            db,
            user_id=session.user_id,
            account_version=stored.version,
            outer=_row(outer),
            encrypted_private_key=to_base64(whole),
            now=now,
        )

    done = await write(request, job)
    if not done.duplicate:
        here.hub.push_account({session.user_id: done.event})
    return api.Written(True, posted.key_id)


def full_or_provisional(request: Call) -> Session:
    """The session of the request; raises `SessionForbidden` for that of a registration."""
    session = any_session(request)
    if session.kind not in (FULL, PROVISIONAL):
        raise errors.SessionForbidden
    return session


def _row(outer: Outer) -> OuterHeader:
    header = outer.header
    return OuterHeader(header.version, header.account_version, to_base64(encode(header)), to_base64(outer.signature))
