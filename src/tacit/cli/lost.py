"""A lost device, handed everything that came after it was revoked: every key that it has, on every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tacit import errors
from tacit.cli.handover import Keys, Later, hand_over, keys_in, try_rows, try_wrapped, verdict_of
from tacit.cli.inspection import Row, in_store
from tacit.cli.stage import Person
from tacit.crypto import sealed
from tacit.crypto.secret import Secret
from tacit.identity import unlockers
from tacit.identity.unlockers import BOUNDS, Account, password_bytes
from tacit.identity.vault import OuterContext, PrivateKey
from tacit.signed import labels
from tacit.signed.account import AccountRecord
from tacit.signed.vault import BoxContext, Entries, EntryKind, Inner, Outer, PasswordParameters, UnlockerKind, Vault
from tacit.signed.verify import labelled
from tacit.wire import limits
from tacit.wire.codec import decode
from tacit.wire.text import from_base64


def what_opens(lost: Person, key: Secret, vaults: Sequence[Row], rows: Later) -> list[dict[str, Any]]:
    """What a device's real keys and its own password open of these rows of the server: a verdict on each.

    `key` opens its store. Of the newest vault also what its owner's password opens, if that is still the account's.
    """
    keys = keys_in(lost.home, key)
    own_id = in_store(lost.home, key, lambda books: books.me.device_id)
    verdicts = []
    for place, row in enumerate(vaults):
        password = password_bytes(lost.password) if place == len(vaults) - 1 else None
        verdicts += list(try_vault(row, own_id, password, keys))
    return [*verdicts, *try_rows(rows, lost.name, keys)]


def hand_over_lost(
    lost: Person, key: Secret, vaults: Sequence[Row], later: Later, accounts: Sequence[Row], now: int
) -> list[dict[str, Any]]:
    """The same of later rows, and for grants and messages what the client makes of them."""
    verdicts = what_opens(lost, key, vaults, later)
    by_client = {(each["kind"], each["row"]): each for each in hand_over(lost, key, later, accounts, now)}
    for verdict in verdicts:
        told = by_client.pop((verdict["kind"], verdict["row"]), None)
        if told is not None:
            verdict["cause"] = told["cause"]
            verdict["opened"] = verdict["opened"] or told["opened"]
    return verdicts


def try_vault(row: Row, own_id: str, password: Secret | None, keys: Keys) -> Iterator[dict[str, Any]]:
    """A vault's inner part, each of its boxes, its outer part; a key that is found is tried on what follows."""
    record = decode(AccountRecord, from_base64(row["record"]))
    vault = decode(Vault, from_base64(row["encrypted_private_key"]), limits.VAULT_BYTES)
    named = f"vault of version {record.version}"
    verdict = verdict_of("inner", f"{named}, inner part", record.version)
    verdict["tried"] = len(keys) + (password is not None)
    verdict["opened"] = try_inner(record, vault.inner, password, keys)
    yield verdict
    for box in vault.boxes.boxes:
        verdict = verdict_of("box", f"{named}, box {box.device_id[:8]}", record.version)
        infos = [
            labelled(labels.BOX, BoxContext(record.server_name, record.user_id, record.version, device_id))
            for device_id in dict.fromkeys((box.device_id, own_id))
        ]
        verdict["tried"] = len(keys)
        verdict["opened"], found = try_wrapped(box.wrapped_outer_key, infos, keys)
        keys.add(f"key in the {verdict['row']}", found)
        yield verdict
    verdict = verdict_of("outer", f"{named}, outer part", record.version)
    verdict["tried"] = len(keys)
    verdict["opened"] = try_outer(vault.outer, keys)
    yield verdict


def try_inner(record: AccountRecord, inner: Inner, password: Secret | None, keys: Keys) -> str:
    """The name of what opens an inner part: a key in an unlocker's place or in the AMK's, or the password."""
    account = Account(record.server_name, record.user_id, record.profile, record.aik)
    context = labelled(labels.WRAPPED_OUTER_KEY, account.context())
    for key in list(keys.plain):
        for tried in (Secret(key.value), *amks(account, inner, Secret(key.value))):
            try:
                keys.add(f"outer key by {key.name}", sealed.open(tried, context, inner.wrapped_outer_key))
            except errors.TacitError:
                continue
            return key.name
    if password is None:
        return ""
    for unlocker in inner.unlockers:
        if unlocker.kind is UnlockerKind.PASSWORD:
            parameters = decode(PasswordParameters, unlocker.parameters)
            bounds = BOUNDS[record.profile]
            secret = unlockers.password_secret(record.server_name, record.user_id, password, parameters, bounds)
            if list(amks(account, inner, secret)):
                return "its password"
    return ""


def amks(account: Account, inner: Inner, secret: Secret) -> Iterator[Secret]:
    """The AMK by each unlocker that this secret opens."""
    for unlocker in inner.unlockers:
        try:
            yield unlockers.open_amk(account, unlocker, secret)
        except errors.TacitError:
            continue


def try_outer(outer: Outer, keys: Keys) -> str:
    """The name of the key that opens an outer part, whose keys are tried on what follows; empty for none."""
    header = outer.header
    at = OuterContext(header.server_name, header.user_id, header.account_version, header.version)
    context = labelled(labels.OUTER, at)
    for key in keys.plain:
        try:
            plain = sealed.open(Secret(key.value), context, outer.sealed_entries)
        except errors.TacitError:
            continue
        for signed in decode(Entries, plain, limits.VAULT_BYTES).entries:
            entry = signed.entry
            if entry.kind is EntryKind.ENCRYPTION_KEY:
                keys.add("key in an outer part", decode(PrivateKey, entry.value).private)
            elif entry.kind is EntryKind.ARCHIVE_KEY:
                keys.add("archive key in an outer part", entry.value)
        return key.name
    return ""
