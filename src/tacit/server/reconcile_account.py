"""After a restore: taking what clients hold of an account and this server lacks.

A version is signed by the identity key of the one before it, so that anybody may bring it who knew it. The vault's
inner part nobody has but who is given it against an unlocker's proof: the one of the backup stays, and opens the
account to whoever could open it then, until the account's next version brings another.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from typing import NamedTuple

from litestar import post
from msgspec import UnsetType

from tacit import errors
from tacit.api import reconcile as api
from tacit.api.base import binary, identifier
from tacit.server import keyfields
from tacit.server.backend import Call, backend, body, full_session, own, read, write
from tacit.server.known import Chains
from tacit.server.store import accounts, putting_back
from tacit.server.store.rows import NewDevice
from tacit.server.store.rows import OuterHeader as Row
from tacit.signed import labels
from tacit.signed.account import (
    AccountRecord,
    AccountSignatures,
    EncryptionKeys,
    OuterRef,
    ResetBy,
    account_hash,
    certificate,
    is_reset,
    verify_next,
)
from tacit.signed.vault import Boxes, Outer, OuterHeader, Vault, boxes_hash, header_hash, verify_outer
from tacit.signed.verify import Verified, verify
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import to_base64


class Taken(NamedTuple):
    """What became of it: versions, the devices that they revoke, whether the vault changed."""

    versions: int
    revoked: tuple[str, ...]
    vault: bool


@post("/api/reconcile/account", status_code=200)
async def account(request: Call) -> api.AccountReconciled:
    """Take the versions of an account that are lacking, and of the session's own the parts of the vault.

    Raises `NothingLacking`, `NoSuchAccount`, `VersionConflict` for another branch or where a version is left out, and
    what the rules of an account's chain raise.
    """
    here, session = backend(request), full_session(request)
    posted = await body(request, api.ReconcileAccount)
    user_id = identifier("userId", posted.user_id)
    if len(posted.versions) > limits.PAGE:
        raise errors.TooLarge(f"more than {limits.PAGE} versions")
    vault = None
    if not isinstance(posted.vault, UnsetType):
        own(session, user_id)
        vault = read_vault(posted.vault)
    if not await read(request, putting_back.is_restored):
        raise errors.NothingLacking
    chains = await here.known.load([user_id])
    if chains.newest(user_id) is None:
        raise errors.NoSuchAccount(user_id)
    added = lacking(chains, user_id, posted.versions)
    now = here.clock()

    def job(db: sqlite3.Connection) -> Taken:
        if not chains.are_newest(db):
            raise errors.VersionConflict(accountVersion=accounts.get(db, user_id).version)
        revoked: list[str] = []
        for version, text in added:
            revoked += put_version(db, version.value, text, now)
        changed = False
        if vault is not None:
            newest = added[-1][0] if added else chains.newest(user_id)
            assert newest is not None
            changed = put_vault(db, newest.value, vault, now)
        return Taken(len(added), tuple(revoked), changed)

    taken = await write(request, job)
    here.hub.close(user_id, devices=taken.revoked)
    if taken.versions or taken.vault:
        newest = await read(request, lambda db: account_cursor(db, user_id))
        here.hub.push_account({user_id: newest})
    return api.AccountReconciled(True, taken.versions, taken.vault)


def account_cursor(db: sqlite3.Connection, user_id: str) -> int:
    """The number of the newest event in an account's stream."""
    found: int = db.execute(
        "SELECT coalesce(max(seq), 0) FROM account_events WHERE user_id = ?", (user_id,)
    ).fetchone()[0]
    return found


Lacking = list[tuple[Verified[AccountRecord], api.HeldVersion]]


def lacking(chains: Chains, user_id: str, posted: list[api.HeldVersion]) -> Lacking:
    """Those versions that follow the newest one, verified; the others have to be those that are there.

    A reset that a device alone asked for is refused, `ResetPending`: it was told to all devices for 72 hours once, and
    nothing says so any more.
    """
    newest = chains.newest(user_id)
    assert newest is not None
    added: Lacking = []
    for each in posted:
        record = decode(AccountRecord, binary(each.record, limits.RECORD_BYTES))
        signatures = decode(AccountSignatures, binary(each.signature, limits.RECORD_BYTES))
        if record.user_id != user_id:
            raise errors.FieldMismatch("userId")
        if record.version <= newest.value.version:
            own_hash = account_hash(record)
            if chains.named(user_id, own_hash) is None and account_hash(newest.value) != own_hash:
                raise errors.VersionConflict(accountVersion=newest.value.version)
            continue
        if record.version > newest.value.version + 1:
            raise errors.VersionConflict(accountVersion=newest.value.version)
        newest = verify_next(newest, record, signatures)
        check_waited(record)
        added.append((newest, each))
    return added


def check_waited(record: AccountRecord) -> None:
    """Raises `ResetPending` for a reset that a device alone asked for: nothing here says that it waited."""
    if record.reset_by.by is ResetBy.DEVICE:
        raise errors.ResetPending


def put_version(db: sqlite3.Connection, record: AccountRecord, text: api.HeldVersion, now: int) -> tuple[str, ...]:
    """Store a version; the devices that it revokes."""
    return accounts.put_back(
        db,
        user_id=record.user_id,
        version=record.version,
        key_id=account_hash(record).hex(),
        record=text.record,
        signature=text.signature,
        public_key=to_base64(encode(EncryptionKeys(record.encryption_keys))),
        devices=[NewDevice(each.device_id, each.request_key) for each in record.devices],
        now=now,
        is_reset=is_reset(record),
    )


class Parts(NamedTuple):
    """Parts of a vault as they were posted; of nothing in them the record is known yet."""

    boxes: Boxes
    outer: Outer
    headers: tuple[tuple[OuterHeader, bytes], ...]


def read_vault(posted: api.HeldVault) -> Parts:
    """The parts of a vault; raises what parsing raises, `SecretKeyRefused`, and `TooLarge`."""
    if len(posted.outer_headers) > limits.OUTER_HEADERS:
        raise errors.TooLarge(f"more than {limits.OUTER_HEADERS} headers")
    boxes = keyfields.key_struct(Boxes, posted.boxes, limits.VAULT_BYTES)
    keyfields.check_boxes_wrapped(boxes)
    outer = keyfields.key_struct(Outer, posted.outer, limits.VAULT_BYTES)
    headers = [
        (decode(OuterHeader, binary(each.header, limits.RECORD_BYTES)), binary(each.signature, limits.SIGNATURE_BYTES))
        for each in posted.outer_headers
    ]
    return Parts(boxes, outer, tuple(headers))


def put_vault(db: sqlite3.Connection, record: AccountRecord, posted: Parts, now: int) -> bool:
    """Put those parts in their place that belong to the newest record, where what is there does not or is lower.

    Raises `InvalidVault` or `BadSignature` for an outer part that is none.
    """
    stored = decode(Vault, binary(accounts.vault(db, record.user_id).encrypted_private_key), limits.VAULT_BYTES)
    whole = stored
    if boxes_hash(posted.boxes) == record.boxes_hash:
        whole = dataclasses.replace(whole, boxes=posted.boxes)
    headers: tuple[Row, ...] = ()
    if posted.outer.header.version > stored.outer.header.version or not belongs(record, stored.outer):
        verify_outer(record, posted.outer)
        check_led(record, posted)
        whole = dataclasses.replace(whole, outer=posted.outer)
        headers = tuple(
            Row(header.version, header.account_version, to_base64(encode(header)), to_base64(signature))
            for header, signature in posted.headers
        )
    if whole == stored:
        return False
    raw = encode(whole)
    if len(raw) > limits.VAULT_BYTES:
        raise errors.TooLarge("the vault with these parts")
    accounts.put_vault_back(db, record.user_id, to_base64(raw), headers, now)
    return True


def belongs(record: AccountRecord, outer: Outer) -> bool:
    """Whether an outer part is one under this record: another may be by a device that it revoked."""
    try:
        verify_outer(record, outer)
    except errors.PeerError:
        return False
    return True


def check_led(record: AccountRecord, posted: Parts) -> None:
    """Raises `InvalidVault` unless signed headers lead from the one that the record names to the outer part's."""
    before: OuterRef | None = None
    for header, signature in posted.headers:
        own = OuterRef(header.version, header_hash(header))
        writer = certificate(record, header.device_id)
        follows = own == record.outer if before is None else header.previous_hash == before.hash
        if writer is None or not follows or (before is not None and own.version != before.version + 1):
            raise errors.InvalidVault("its headers do not lead from the one that the record names")
        verify(labels.OUTER_HEADER, header, writer.request_key, signature, record.profile)
        before = own
    if before is None or before.hash != header_hash(posted.outer.header):
        raise errors.InvalidVault("its headers do not lead to it")
