"""Checks of accounts: chains, vaults, what was taken out of them, and the streams of events."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterator

from tacit.api.base import binary
from tacit.server import keyfields
from tacit.server.admin.findings import UNREADABLE, Finding, Place, rule_of, trying, unequal
from tacit.server.admin.records import walk
from tacit.server.store import accounts, putting_back
from tacit.server.store.rows import Account, Device, OuterHeader, Unlocker
from tacit.signed import labels
from tacit.signed.account import AccountRecord, EncryptionKeys, account_hash, certificate
from tacit.signed.vault import OuterHeader as Header
from tacit.signed.vault import Vault, boxes_hash, check_vault, header_hash
from tacit.signed.verify import verify
from tacit.wire import limits
from tacit.wire.codec import decode


def check_accounts(db: sqlite3.Connection, server_name: str) -> Iterator[Finding]:
    """Everything that is wrong with accounts, one after the other."""
    for (user_id,) in db.execute("SELECT DISTINCT user_id FROM user_keys ORDER BY user_id"):
        yield from _check_account(db, user_id, server_name)


def _check_account(db: sqlite3.Connection, user_id: str, server_name: str) -> Iterator[Finding]:
    known: dict[str, Device] = {}
    newest: AccountRecord | None = None
    place: Place = {"user": user_id, "version": 0}
    try:
        for row, verified in walk(db, user_id):
            newest = verified.value
            place = {"user": user_id, "version": row.version}
            if (newest.user_id, newest.server_name) != (user_id, server_name):
                yield Finding("account_chain", place, "the record is another account's or another server's")
            yield from trying("account_row", place, _beside(row, newest))
            _follow(known, newest)
    except UNREADABLE as error:
        yield Finding("account_chain", {"user": user_id, "after": place["version"]}, rule_of(error))
        return
    assert newest is not None
    for _ in db.execute(
        "SELECT 1 FROM user_keys WHERE user_id = ? AND (version = ?) = (encrypted_private_key = '') LIMIT 1",
        (user_id, newest.version),
    ):
        yield Finding("vault", place, "not the newest version alone has a vault")
    earlier = inner_hashes(db, user_id) if putting_back.is_restored(db) else set()
    if not earlier or belongs(newest, _stored(db, user_id)):  # else no device of the account put its parts back yet
        yield from trying("vault", place, _vault(db, newest, earlier))
        yield from trying("outer_header", place, _headers(db, newest))
    yield from trying("unlocker", place, _unlockers(db, user_id))
    for device in set(accounts.devices(db, user_id)) ^ set(known.values()):
        yield Finding("device", {"user": user_id, "device": device.device_id}, "another row, one too many or too few")


def _beside(row: Account, record: AccountRecord) -> Iterator[str]:
    """The columns beside a record against it."""
    keys = keyfields.key_struct(EncryptionKeys, row.public_key)
    yield from unequal(
        version=(row.version, record.version),
        key_id=(row.key_id, account_hash(record).hex()),
        public_key=(keys.keys, record.encryption_keys),
    )


def _follow(known: dict[str, Device], record: AccountRecord) -> None:
    """Bring the expected devices up to a record."""
    for each in record.devices:
        row = Device(record.user_id, each.device_id, each.request_key, record.version, None)
        known.setdefault(each.device_id, row)
    for gone in record.revoked:
        known[gone.device_id] = known[gone.device_id]._replace(revoked_in=gone.version)


def _stored(db: sqlite3.Connection, user_id: str) -> Vault:
    text = accounts.vault(db, user_id).encrypted_private_key
    return decode(Vault, binary(text, limits.VAULT_BYTES), limits.VAULT_BYTES)


def inner_hashes(db: sqlite3.Connection, user_id: str) -> set[bytes]:
    """What the versions of an account name as their vault's inner part: of a restored server's any may be left."""
    return {each.value.inner_hash for _, each in walk(db, user_id)}


def belongs(record: AccountRecord, vault: Vault) -> bool:
    """Whether boxes and outer part are those of the newest record, or of none that came back after a restore."""
    return boxes_hash(vault.boxes) == record.boxes_hash and vault.outer.header.version >= record.outer.version


def _vault(db: sqlite3.Connection, record: AccountRecord, earlier: Container[bytes]) -> Iterator[str]:
    vault = _stored(db, record.user_id)
    check_vault(record, vault, earlier)
    outer_version = accounts.get(db, record.user_id).outer_version
    yield from unequal(outer_version=(outer_version, vault.outer.header.version))


def _unlockers(db: sqlite3.Connection, user_id: str) -> Iterator[str]:
    expected = [
        Unlocker(each.id, each.kind, each.proof_hash, each.parameters) for each in _stored(db, user_id).inner.unlockers
    ]
    if sorted(expected) != list(accounts.unlockers(db, user_id)):
        yield "another unlocker, one too many or too few"


def _headers(db: sqlite3.Connection, record: AccountRecord) -> Iterator[str]:
    """Signed headers lead from the part that the record names to the one that is stored, as clients ask for them."""
    before: Header | None = None
    query = "SELECT version, account_version, header, signature FROM outer_headers WHERE user_id = ? ORDER BY version"
    for found in db.execute(query, (record.user_id,)):
        row = OuterHeader._make(found)
        header = decode(Header, binary(row.header, limits.RECORD_BYTES))
        yield from unequal(
            version=(row.version, header.version),
            account_version=(row.account_version, header.account_version),
            account=((header.server_name, header.user_id), (record.server_name, record.user_id)),
        )
        if before is None:
            named = (record.outer.version, record.outer.hash)
            yield from unequal(beginning=((header.version, header_hash(header)), named))
        elif (header.version, header.previous_hash) != (before.version + 1, header_hash(before)):
            yield "a header does not follow the one before it"
        writer = certificate(record, header.device_id)
        if writer is None:
            yield "a header's device is not certified"
        else:
            signature = binary(row.signature, limits.SIGNATURE_BYTES)
            verify(labels.OUTER_HEADER, header, writer.request_key, signature, record.profile)
        before = header
    if before != _stored(db, record.user_id).outer.header:
        yield "the last header is not the vault's"


def check_events(db: sqlite3.Connection) -> Iterator[Finding]:
    """The streams whose events are not numbered from 1 without a hole, or are not JSON."""
    query = (
        "SELECT user_id, count(*), min(seq), max(seq), sum(NOT json_valid(body)) FROM account_events "
        "GROUP BY user_id ORDER BY user_id"
    )
    for user_id, number, first, last, unreadable in db.execute(query):
        if (first, last) != (1, number):
            yield Finding("account_event", {"user": user_id, "events": number, "last": last}, "a number is left out")
        if unreadable:
            yield Finding("account_event", {"user": user_id}, "unreadable")
