"""Account record versions, the vault, and what is taken out of them: devices, unlockers, outer headers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from tacit import errors
from tacit.server.store import account_events, resets, sessions
from tacit.server.store.grants import PAGE_BYTES
from tacit.server.store.rows import (
    Account,
    AccountPage,
    AccountWritten,
    Device,
    NewDevice,
    OuterHeader,
    Unlocker,
    Vault,
    row_id,
)
from tacit.wire import limits

_COLUMNS = "user_id, version, key_id, public_key, record, signature, outer_version, created_at"
_DEVICE = "user_id, device_id, request_key, certified_in, revoked_in"


def newest(connection: sqlite3.Connection, user_id: str) -> Account | None:
    """The newest version of an account, or None where there is no such account."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM user_keys WHERE user_id = ? ORDER BY version DESC LIMIT 1", (user_id,)
    ).fetchone()
    return None if row is None else Account._make(row)


def get(connection: sqlite3.Connection, user_id: str, version: int | None = None) -> Account:
    """The newest or the named version of an account; raises `NoSuchAccount`."""
    if version is None:
        found = newest(connection, user_id)
    else:
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM user_keys WHERE user_id = ? AND version = ?", (user_id, version)
        ).fetchone()
        found = None if row is None else Account._make(row)
    if found is None:
        raise errors.NoSuchAccount(user_id)
    return found


def versions(connection: sqlite3.Connection, user_id: str, after: int = 0) -> tuple[Account, ...]:
    """The versions of an account above `after`, oldest first; raises `NoSuchAccount`."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM user_keys WHERE user_id = ? AND version > ? ORDER BY version", (user_id, after)
    ).fetchall()
    if not rows:
        get(connection, user_id)
    return tuple(Account._make(row) for row in rows)


def pages(
    connection: sqlite3.Connection, user_ids: Iterable[str], after: int, *, max_bytes: int = PAGE_BYTES
) -> dict[str, AccountPage]:
    """The versions of several accounts above `after`, oldest first, until they reach `max_bytes` together.

    The first account has at least one if there is one. Raises `NoSuchAccount`.
    """
    found: dict[str, AccountPage] = {}
    size = 0
    query = f"SELECT {_COLUMNS} FROM user_keys WHERE user_id = ? AND version > ? ORDER BY version"
    for user_id in user_ids:
        newest_version = get(connection, user_id).version
        taken: list[Account] = []
        last = after
        while last < newest_version and size < max_bytes:
            taken.append(Account._make(connection.execute(f"{query} LIMIT 1", (user_id, last)).fetchone()))
            last = taken[-1].version
            size += len(taken[-1].record) + len(taken[-1].public_key)
        found[user_id] = AccountPage(tuple(taken), last < newest_version)
    return found


def vault(connection: sqlite3.Connection, user_id: str) -> Vault:
    """The newest vault with the versions that a write must name; raises `NoSuchAccount`."""
    row = connection.execute(
        "SELECT user_id, version, key_id, outer_version, encrypted_private_key FROM user_keys WHERE user_id = ? "
        "ORDER BY version DESC LIMIT 1",
        (user_id,),
    ).fetchone()
    if row is None:
        raise errors.NoSuchAccount(user_id)
    return Vault._make(row)


def outer_headers(connection: sqlite3.Connection, user_id: str) -> tuple[OuterHeader, ...]:
    """The newest headers of the outer part since the version that the newest account record names, oldest first."""
    rows = connection.execute(
        "SELECT version, account_version, header, signature FROM outer_headers WHERE user_id = ? ORDER BY version",
        (user_id,),
    )
    return tuple(OuterHeader._make(row) for row in rows)


def newest_header(connection: sqlite3.Connection, user_id: str) -> OuterHeader | None:
    """The header of the newest outer part, or None where there is no such account."""
    row = connection.execute(
        "SELECT version, account_version, header, signature FROM outer_headers WHERE user_id = ? "
        "ORDER BY version DESC LIMIT 1",
        (user_id,),
    ).fetchone()
    return None if row is None else OuterHeader._make(row)


def devices(connection: sqlite3.Connection, user_id: str) -> tuple[Device, ...]:
    """All devices that an account ever certified, sorted by id."""
    rows = connection.execute(f"SELECT {_DEVICE} FROM devices WHERE user_id = ? ORDER BY device_id", (user_id,))
    return tuple(Device._make(row) for row in rows)


def device(connection: sqlite3.Connection, user_id: str, device_id: str) -> Device | None:
    """One device that an account certified at some time, or None."""
    row = connection.execute(
        f"SELECT {_DEVICE} FROM devices WHERE user_id = ? AND device_id = ?", (user_id, device_id)
    ).fetchone()
    return None if row is None else Device._make(row)


def unlockers(connection: sqlite3.Connection, user_id: str) -> tuple[Unlocker, ...]:
    """The unlockers of the newest vault, sorted by id."""
    rows = connection.execute(
        "SELECT unlocker_id, kind, proof_hash, parameters FROM unlockers WHERE user_id = ? ORDER BY unlocker_id",
        (user_id,),
    )
    return tuple(Unlocker._make(row) for row in rows)


def put(
    connection: sqlite3.Connection,
    *,
    user_id: str,
    version: int,
    key_id: str,
    previous_key_id: str,
    record: str,
    signature: str,
    public_key: str,
    encrypted_private_key: str,
    outer: OuterHeader,
    named_outer_version: int,
    devices: Iterable[NewDevice],
    unlockers: Iterable[Unlocker],
    now: int,
    is_reset: bool = False,
) -> AccountWritten:
    """Store the next version of an account with its vault, if it follows the newest one.

    `previous_key_id` is the hash (hex) of the record before, empty for version 1. `outer` is the header in the vault,
    `named_outer_version` the one that the record names: older headers are dropped. Devices that are no longer among
    `devices` are revoked: their sessions end, and the epochs of all conversations that the account is in are marked
    outdated. A reset begins the outer part anew, and outdates those epochs too; a reset that waits ends with any
    version. Sessions that an unlocker opened end. The version that is newest already, sent again, is a duplicate.
    Raises `AccountExists` for another version 1, and `VersionConflict` (facts `accountVersion`, `outerVersion`) where
    another version came first.
    """
    before = newest(connection, user_id)
    if before is not None and before.key_id == key_id and _is_the_same(connection, before, signature, outer):
        return AccountWritten(True, (), 0)
    if before is not None and version == 1:
        raise errors.AccountExists(user_id)
    follows = (0, "") if before is None else (before.version, before.key_id)
    if (version - 1, previous_key_id) != follows:
        outer_version = before.outer_version if before else 0
        raise errors.VersionConflict(accountVersion=follows[0], outerVersion=outer_version)
    if before is not None and outer.version < before.outer_version and not is_reset:
        raise errors.VersionConflict(accountVersion=before.version, outerVersion=before.outer_version)
    connection.execute("UPDATE user_keys SET encrypted_private_key = '' WHERE user_id = ?", (user_id,))
    connection.execute(
        "INSERT INTO user_keys (id, user_id, version, record, signature, outer_version, public_key, "
        "encrypted_private_key, key_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (row_id(), user_id, version, record, signature, outer.version, public_key, encrypted_private_key, key_id, now),
    )
    gone = "DELETE FROM outer_headers WHERE user_id = ? AND (version < ? OR ?)"
    connection.execute(gone, (user_id, named_outer_version, is_reset))
    _put_header(connection, user_id, outer)
    revoked = _put_devices(connection, user_id, version, devices)
    if revoked or is_reset:
        outdate(connection, user_id)
    sessions.end_provisional(connection, user_id)
    if resets.end(connection, user_id) and not is_reset:
        account_events.append(connection, [user_id], "reset_cancelled", {"version": version}, now)
    connection.execute("DELETE FROM unlockers WHERE user_id = ?", (user_id,))
    connection.executemany(
        "INSERT INTO unlockers (user_id, unlocker_id, kind, proof_hash, parameters) VALUES (?, ?, ?, ?, ?)",
        [(user_id, *unlocker) for unlocker in unlockers],
    )
    told = account_events.append(connection, [user_id], "account", {"version": version}, now)
    return AccountWritten(False, revoked, told[user_id])


def put_back(
    connection: sqlite3.Connection,
    *,
    user_id: str,
    version: int,
    key_id: str,
    record: str,
    signature: str,
    public_key: str,
    devices: Iterable[NewDevice],
    now: int,
    is_reset: bool,
) -> tuple[str, ...]:
    """Store the next version of an account that is there, under the vault that is there; the devices that it revokes.

    A restored server knows the vault of then only: which parts of it still belong to the record, clients find out. The
    caller saw that the version follows the newest one.
    """
    stored = vault(connection, user_id)
    connection.execute("UPDATE user_keys SET encrypted_private_key = '' WHERE user_id = ?", (user_id,))
    connection.execute(
        "INSERT INTO user_keys (id, user_id, version, record, signature, outer_version, public_key, "
        "encrypted_private_key, key_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row_id(),
            user_id,
            version,
            record,
            signature,
            stored.outer_version,
            public_key,
            stored.encrypted_private_key,
            key_id,
            now,
        ),
    )
    revoked = _put_devices(connection, user_id, version, devices)
    if revoked or is_reset:
        outdate(connection, user_id)
    sessions.end_provisional(connection, user_id)
    resets.end(connection, user_id)
    account_events.append(connection, [user_id], "account", {"version": version}, now)
    return revoked


def put_vault_back(
    connection: sqlite3.Connection, user_id: str, vault: str, headers: Iterable[OuterHeader], now: int
) -> int:
    """Put a vault (base64) and the headers of its outer part in the place of those that are there; the event's number.

    None: only its boxes are others.
    """
    newest = tuple(headers)
    if newest:
        connection.execute("DELETE FROM outer_headers WHERE user_id = ?", (user_id,))
        for each in newest:
            _put_header(connection, user_id, each)
    outer_version = newest[-1].version if newest else get(connection, user_id).outer_version
    connection.execute(
        "UPDATE user_keys SET encrypted_private_key = ?, outer_version = ? WHERE user_id = ? AND version = "
        "(SELECT max(version) FROM user_keys WHERE user_id = ?)",
        (vault, outer_version, user_id, user_id),
    )
    body = {"accountVersion": get(connection, user_id).version, "version": outer_version}
    return account_events.append(connection, [user_id], "vault", body, now)[user_id]


def _is_the_same(connection: sqlite3.Connection, before: Account, signature: str, outer: OuterHeader) -> bool:
    """Whether a version that is stored came with this signature and this outer part."""
    headers = {each.header for each in outer_headers(connection, before.user_id)}
    return before.signature == signature and outer.header in headers


def put_outer(
    connection: sqlite3.Connection,
    *,
    user_id: str,
    account_version: int,
    outer: OuterHeader,
    encrypted_private_key: str,
    now: int,
) -> AccountWritten:
    """Store the next outer part, in a vault otherwise unchanged, if both versions are still the newest.

    The part that is newest already, sent again, is a duplicate. Raises `NoSuchAccount`, and `VersionConflict` (facts
    `accountVersion`, `outerVersion`) where another write came first.
    """
    stored = get(connection, user_id)
    if (account_version, outer.version) == (stored.version, stored.outer_version):
        newest = newest_header(connection, user_id)
        if newest is not None and newest.header == outer.header:
            return AccountWritten(True, (), 0)
    if (account_version, outer.version) != (stored.version, stored.outer_version + 1):
        raise errors.VersionConflict(accountVersion=stored.version, outerVersion=stored.outer_version)
    connection.execute(
        "UPDATE user_keys SET encrypted_private_key = ?, outer_version = ? WHERE user_id = ? AND version = ?",
        (encrypted_private_key, outer.version, user_id, account_version),
    )
    _put_header(connection, user_id, outer)
    # Whoever is further behind follows the newest ones: a device that writes all the time does not fill the database.
    old = "DELETE FROM outer_headers WHERE user_id = ? AND version <= ?"
    connection.execute(old, (user_id, outer.version - limits.OUTER_HEADERS))
    body = {"accountVersion": account_version, "version": outer.version}
    told = account_events.append(connection, [user_id], "vault", body, now)
    return AccountWritten(False, (), told[user_id])


def _put_header(connection: sqlite3.Connection, user_id: str, outer: OuterHeader) -> None:
    # A record may leave the outer part as it was: then its header is there already.
    connection.execute(
        "INSERT INTO outer_headers (user_id, version, account_version, header, signature) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (user_id, version) DO NOTHING",
        (user_id, *outer),
    )


def _put_devices(
    connection: sqlite3.Connection, user_id: str, version: int, certified: Iterable[NewDevice]
) -> tuple[str, ...]:
    """Bring the devices up to a new version; returns those that it revokes."""
    wanted = {device.device_id: device.request_key for device in certified}
    present = {device.device_id for device in devices(connection, user_id) if device.revoked_in is None}
    connection.executemany(
        f"INSERT INTO devices ({_DEVICE}) VALUES (?, ?, ?, ?, NULL)",
        [(user_id, device_id, key, version) for device_id, key in wanted.items() if device_id not in present],
    )
    revoked = tuple(sorted(present - wanted.keys()))
    for device_id in revoked:
        connection.execute(
            "UPDATE devices SET revoked_in = ? WHERE user_id = ? AND device_id = ?", (version, user_id, device_id)
        )
        sessions.end_device(connection, user_id, device_id)
    return revoked


def outdate(connection: sqlite3.Connection, user_id: str) -> None:
    """Take no message in any conversation of an account before its next epoch."""
    connection.execute(
        "UPDATE conversations SET outdated = 1 WHERE conversation_id IN "
        "(SELECT conversation_id FROM conversation_members WHERE user_id = ? AND removed_seq IS NULL)",
        (user_id,),
    )
