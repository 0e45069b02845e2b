"""Bad input about an account: each has a cause of its own, a remedy, and nothing of it is half applied."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

import httpx2
import pytest

from client.test_account import id_of, pair
from client.world import CHEAP, World, password_of, rows, yes
from tacit import errors
from tacit.api.base import binary
from tacit.client import Client
from tacit.identity.changes import account_of
from tacit.identity.keys import SigningKey
from tacit.identity.unlockers import bounds_of, open_with_password, password_bytes
from tacit.server.store import accounts
from tacit.signed.account import AccountRecord, EncryptionKeys, account_hash, sign_record
from tacit.signed.profiles import Profile
from tacit.signed.vault import Vault
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, to_base64

PRIVATE = "/api/encryption/keys/private"
PUBLIC = "/api/encryption/keys/public"


def rewriting(method: str, path: str, change: Callable[[Any], None]) -> Callable[[httpx2.Request, Any], Any]:
    """Change every answer of this path."""

    def rewrite(request: httpx2.Request, answer: Any) -> Any:
        if (request.method, request.url.path) == (method, path):
            change(answer)
        return answer

    return rewrite


class Case(NamedTuple):
    """What a new device is given, how it is refused, and a part of what it says."""

    how: dict[str, Any]
    change: Callable[[Any, Any], None] | None
    refused: type[errors.TacitError]
    says: str


def cut(part: str) -> Callable[[Any, Any], None]:
    """A part of the vault without its last 30 bytes."""

    def change(answer: Any, _: Any) -> None:
        answer[part] = to_base64(from_base64(answer[part], limits.VAULT_BYTES)[:-30])

    return change


def swapped(*parts: str) -> Callable[..., None]:
    """These parts of another vault: another user's, or of another version."""

    def change(answer: Any, other: Any) -> None:
        for part in parts:
            answer[part] = other[part]

    return change


OTHER_WORDS = " ".join(["abandon"] * 23 + ["art"])
NEW_DEVICE = {
    "wrong password": Case({"password": "a guess"}, None, errors.SignInRefused, "The sign-in was refused"),
    "wrong words": Case(
        {"words": OTHER_WORDS, "new_password": "new"}, None, errors.SignInRefused, "The sign-in was refused"
    ),
    "a word that is none": Case(
        {"words": "tacit " + OTHER_WORDS[8:], "new_password": "new"}, None, errors.InvalidArgument, "1"
    ),
    "words in another order": Case(
        {"words": "art " + " ".join(["abandon"] * 23), "new_password": "new"},
        None,
        errors.InvalidArgument,
        "checksum",
    ),
    "a cut inner part": Case({}, cut("inner"), errors.InvalidVault, "its part inner cannot be read"),
    "cut boxes": Case({}, cut("boxes"), errors.InvalidVault, "its part boxes cannot be read"),
    "a cut outer part": Case({}, cut("outer"), errors.InvalidVault, "its part outer cannot be read"),
    "another's inner part": Case({}, swapped("inner"), errors.InvalidVault, "the inner part is not the one"),
    "another's boxes": Case({}, swapped("boxes"), errors.InvalidVault, "the boxes are not those"),
    "another's outer part": Case({}, swapped("outer"), errors.InvalidVault, "another account's"),
    "another's vault": Case(
        {},
        swapped("inner", "boxes", "outer", "userId", "keyId", "accountVersion"),
        errors.UnexpectedAnswer,
        "userId is not what the signed struct",
    ),
}


async def provisional_answer(town: World, name: str, **how: Any) -> dict[str, Any]:
    """What the server gives of somebody's vault to a new device, which then stops."""
    found: list[dict[str, Any]] = []
    client = await town.open(f"{name}-look")
    town.wires[f"{name}-look"].rewrite = rewriting("GET", PRIVATE, lambda answer: found.append(dict(answer)))

    async def no(_: object) -> bool:
        return False

    with pytest.raises(errors.NotConfirmed):
        await client.sign_in_new_device(name, password=password_of(name), name="look", confirm=no, **how)
    return found[0]


async def at_server(town: World, user_id: str) -> list[tuple[Any, ...]]:
    """Everything that the server has of an account but who asked for it."""
    assert town.backend is not None
    query = "SELECT * FROM user_keys WHERE user_id = ? ORDER BY version"
    return await town.backend.store.read(lambda db: db.execute(query, (user_id,)).fetchall())


@pytest.mark.parametrize("name", NEW_DEVICE)
async def test_a_new_device_that_is_given_something_wrong_leaves_no_trace(town: World, name: str) -> None:
    case = NEW_DEVICE[name]
    await town.register("alice", "bob")
    other = await provisional_answer(town, "bob")
    before = await at_server(town, "alice")
    client = await town.open("alice-tablet")
    if case.change is not None:
        change = case.change
        town.wires["alice-tablet"].rewrite = rewriting("GET", PRIVATE, lambda answer: change(answer, other))
    with pytest.raises(case.refused) as caught:
        await sign_in(client, case.how)
    assert type(caught.value) is case.refused
    assert case.says in str(caught.value)
    assert caught.value.remedy
    assert await at_server(town, "alice") == before
    assert not list(town.folder.glob("alice-tablet*"))
    town.wires["alice-tablet"].rewrite = None
    await sign_in(client, {})
    assert (await client.account.view()).version == 2


async def sign_in(client: Client, how: dict[str, Any]) -> None:
    async def yes(_: object) -> bool:
        return True

    given = how or {"password": password_of("alice")}
    await client.sign_in_new_device("alice", name="tablet", confirm=yes, **given)


async def test_a_vault_of_an_earlier_version_of_the_account_is_refused(town: World) -> None:
    (alice,) = await town.register("alice")
    old = await provisional_answer(town, "alice")
    await alice.account.new_recovery_key(password=password_of("alice"))
    for part, says in (("inner", "the inner part is not the one"), ("boxes", "the boxes are not those")):
        client = await town.open("alice-tablet")
        town.wires["alice-tablet"].rewrite = rewriting("GET", PRIVATE, partial(swapped(part), other=old))
        with pytest.raises(errors.InvalidVault, match=says):
            await sign_in(client, {})
        assert not list(town.folder.glob("alice-tablet*"))


# --- records that a device is served of others -------------------------------------------------------------------


async def aik_of(town: World, user_id: str) -> SigningKey:
    """Somebody's identity key, out of the vault by the password."""
    assert town.backend is not None
    stored = await town.backend.store.read(lambda db: accounts.newest(db, user_id))
    kept = await town.backend.store.read(lambda db: accounts.vault(db, user_id))
    assert stored is not None
    record = decode(AccountRecord, binary(stored.record))
    vault = decode(Vault, binary(kept.encrypted_private_key), limits.VAULT_BYTES)
    bounds = bounds_of(Profile.STANDARD, CHEAP)
    return open_with_password(account_of(record), vault.inner, password_bytes(password_of(user_id)), bounds).aik


def served(record: AccountRecord, signer: SigningKey) -> dict[str, Any]:
    """A version as the server would serve it."""
    return {
        "version": record.version,
        "keyId": account_hash(record).hex(),
        "publicKey": to_base64(encode(EncryptionKeys(record.encryption_keys))),
        "record": to_base64(encode(record)),
        "signature": to_base64(encode(sign_record(record, signer.sign))),
    }


def next_of(record: AccountRecord, **fields: Any) -> AccountRecord:
    """What follows, with these fields."""
    follows: dict[str, Any] = {"version": record.version + 1, "previous_hash": account_hash(record)}
    return dataclasses.replace(record, **(follows | fields))


def gap(record: AccountRecord, _: AccountRecord, versions: list[Any], signer: SigningKey) -> None:
    skipped = next_of(record)
    versions.append(served(next_of(skipped), signer))


def another_of_one_version(record: AccountRecord, _: AccountRecord, versions: list[Any], signer: SigningKey) -> None:
    versions[0] = served(dataclasses.replace(record, inner_hash=bytes(32)), signer)


def two_of_one_version(record: AccountRecord, _: AccountRecord, versions: list[Any], signer: SigningKey) -> None:
    versions += [served(next_of(record, inner_hash=bytes([number]) * 32), signer) for number in (1, 2)]


def of_another_account(record: AccountRecord, other: AccountRecord, versions: list[Any], signer: SigningKey) -> None:
    devices = tuple(sorted((*record.devices, *other.devices), key=lambda each: each.device_id))
    versions.append(served(next_of(record, devices=devices), signer))


RECORDS = {
    "a gap": (gap, errors.InvalidAccountRecord, "the version is not one more"),
    "another record of a known version": (another_of_one_version, errors.ServerMisbehaved, "of version 1 is another"),
    "two records of one version": (two_of_one_version, errors.InvalidAccountRecord, "the version is not one more"),
    "a certificate for another account": (
        of_another_account,
        errors.InvalidAccountRecord,
        "a certificate is for another user",
    ),
}


async def dump(client: Client, *but: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a client's store, table by table."""
    tables = [name for (name,) in await rows(client, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: await rows(client, f'SELECT * FROM "{name}" ORDER BY 1, 2') for name in tables if name not in but}


@pytest.mark.parametrize("name", RECORDS)
async def test_a_wrong_account_record_is_evidence_and_changes_nothing(town: World, name: str) -> None:
    change, refused, says = RECORDS[name]
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", ["bob"])
    signer = await aik_of(town, "bob")
    record, other = [(await client.device.run(lambda books: books.own_account())).value for client in (bob, alice)]

    def lie(answer: Any) -> None:
        for each in answer["accounts"]:
            if each["userId"] == "bob":
                change(record, other, each["versions"], signer)

    before = await dump(alice, "evidence", "sqlite_sequence")
    town.wires["alice"].rewrite = rewriting("GET", PUBLIC, lie)
    parts = alice.device._parts
    assert parts is not None
    with pytest.raises(refused) as caught:
        await parts.directory.refresh(["bob"])
    assert type(caught.value) is refused
    assert says in str(caught.value)
    assert caught.value.remedy
    assert await dump(alice, "evidence", "sqlite_sequence") == before
    (alarm,) = await alice.alarms()
    assert (alarm.about, alarm.subject, alarm.code) == ("account", "bob", refused.code)
    await team.refresh()
    assert "bob contradicts" in team.blocked
    with pytest.raises(errors.SendingBlocked):
        await team.send("to whom?")


async def test_a_grant_for_another_epoch_opens_nothing_and_is_named(town: World) -> None:
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", ["bob"])
    await bob.sync()
    view = await bob.conversation("team")
    await team.rotate()
    await team.send("two")
    first: list[Any] = []

    def lie(request: httpx2.Request, answer: Any) -> Any:
        for page in answer.get("conversations", {}).values() if request.url.path == "/api/sync" else ():
            for item in page["items"]:
                if "encryptedKeys" in item:
                    item["encryptedKeys"] = first
        return answer

    answer = await bob.device.api.get_encryption_conversation_keys(team.id, 0)
    first += [
        {"userId": each.user_id, "encryptedKey": each.encrypted_key, "grantedBy": each.granted_by}
        for epoch in answer.epochs
        if epoch.epoch == 1
        for each in epoch.encrypted_keys
    ]
    held = await rows(bob, "SELECT * FROM epoch_keys")
    town.wires["bob"].rewrite = lie
    parts = bob.device._parts
    assert parts is not None
    await parts.syncer.pull()
    assert await rows(bob, "SELECT * FROM epoch_keys") == held
    await view.refresh()
    assert (view.epoch, view.blocked) == (2, "no_grant: nobody gave you the key of epoch 2")
    town.wires["bob"].rewrite = None
    await bob.sync()
    await view.refresh()
    assert view.blocked == ""


@pytest.mark.parametrize("what", ["revoke", "password", "words", "cancel", "reset"])
async def test_no_change_waits_that_does_not(town: World, what: str) -> None:
    """A server that lets it wait would have the person believe that it was made."""
    alice, _ = await pair(town)
    lost = await id_of(await town.another("alice", "tablet"))
    await alice.sync()

    def waiting(request: httpx2.Request, answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "waitsUntil": 2**53 - 1} if request.url.path.endswith("/keys/generate") else answer

    town.wires["alice"].rewrite = waiting
    account, password = alice.account, password_of("alice")
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "revoke": lambda: account.revoke(lost, password=password, confirm=yes),
        "password": lambda: account.change_password("another", password=password, confirm=yes),
        "words": lambda: account.new_recovery_key(password=password, confirm=yes),
        "cancel": lambda: account.cancel_reset(password=password, confirm=yes),
        "reset": lambda: account.reset("another"),
    }
    with pytest.raises(errors.UnexpectedAnswer, match="wait"):
        await calls[what]()
    town.wires["alice"].rewrite = None
    if what == "revoke":  # it stays under way
        await alice.sync()
        assert [each.device_id for each in (await account.view()).revoked] == [lost]
