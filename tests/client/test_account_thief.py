"""A stolen device that is still certified writes what it likes into the vault: its owner is rid of it soon."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from client.test_account import HOUR, id_of, pair, said
from client.world import World, password_of, yes
from tacit import errors
from tacit.api import accounts as api
from tacit.cli.lines import account_text
from tacit.client import Client
from tacit.client.accountview import AccountView
from tacit.client.books import Books
from tacit.client.vaultbook import pin_of
from tacit.client.vaults import held_header
from tacit.crypto.secret import Secret
from tacit.identity.vault import MOST, ContactPin, NewEntry, Writer, contact_entry, device_name_entry, merge, seal_outer
from tacit.signed.account import account_hash
from tacit.signed.vault import Entries, EntryKind, SignedEntry
from tacit.wire import limits
from tacit.wire.codec import encode
from tacit.wire.text import to_base64

ANOTHER_KEY = Secret(b"k" * 32)
Contents = Callable[[tuple[SignedEntry, ...], Writer, int], tuple[SignedEntry, ...]]


async def write(thief: Client, contents: Contents | None = None, key: Secret | None = None, at: int = 1) -> None:
    """What a stolen device posts: the next outer part, signed with its own key, with contents and time as it likes."""

    def make(books: Books) -> api.StoreOuter:
        me, before, account = books.me, held_header(books), books.own_account().value
        assert before is not None
        writer, version = Writer(me.device_id, me.request_key.sign), before.version + 1
        held = books.entries()
        entries = contents(held, writer, version) if contents is not None else held
        sealed_under = key or Secret(me.secrets.outer_key)
        outer = seal_outer(me.server_name, me.user_id, account.version, before, entries, sealed_under, writer, at)
        books.set_meta("outer_header", encode(outer.header))
        return api.StoreOuter(me.user_id, account_hash(account).hex(), to_base64(encode(outer)))

    await thief.device.api.post_encryption_keys_private(await thief.device.run(make))


def ahead(held: tuple[SignedEntry, ...], writer: Writer, version: int) -> tuple[SignedEntry, ...]:
    """An entry with a clock to come, which would beat every other."""
    return merge(held, [device_name_entry("d", "x")], version + 1, writer)


def unsigned(held: tuple[SignedEntry, ...], writer: Writer, version: int) -> tuple[SignedEntry, ...]:
    signer = Writer(writer.device_id, lambda _: bytes(64))
    return merge(held, [device_name_entry("d", "x")], version, signer)


async def robbed(town: World) -> tuple[Client, Client, str]:
    """Alice, the device that was stolen from her, and its id; it has asked for a reset."""
    alice, _ = await pair(town)
    thief = await town.another("alice", "tablet")
    await alice.sync()
    await thief.device.check_vault()
    return alice, thief, await id_of(thief)


UNUSABLE = [
    pytest.param({"key": ANOTHER_KEY}, id="under another key"),
    pytest.param({"contents": ahead}, id="a clock to come"),
    pytest.param({"contents": unsigned}, id="an entry that nobody signed"),
    pytest.param({"contents": lambda held, *_: (*held, held[0])}, id="an entry twice"),
]


@pytest.mark.parametrize("at", [2**60, 2**64 - 1])
async def test_a_vault_of_a_time_to_come_is_shown_as_old_and_written_anew(town: World, at: int) -> None:
    alice, thief, device_id = await robbed(town)
    await write(thief, at=at)
    await alice.sync()
    await alice.device.check_vault()
    shown: list[str] = []

    async def look(view: AccountView) -> bool:
        shown.append(account_text(view))
        return view.vault_is_old

    await alice.account.revoke(device_id, password=password_of("alice"), confirm=look)
    assert "vault written an unknown time" in shown[0]
    assert "WARNING" in shown[0]


async def test_a_vault_more_than_a_day_ahead_is_written_anew(town: World) -> None:
    alice, thief, device_id = await robbed(town)
    await alice.device._write_vault()
    for ahead_by, written in ((HOUR, False), (25 * HOUR, True)):
        await thief.device.check_vault()
        await write(thief, at=town.clock() + ahead_by)
        await alice.device.check_vault()
        assert (await alice.account.view()).vault_is_old is written
        await alice.device._write_vault()
        header = await alice.device.run(held_header)
        assert header is not None
        assert (header.device_id != device_id) is written


@pytest.mark.parametrize("written", UNUSABLE)
async def test_an_unusable_outer_part_is_in_nobody_s_way(town: World, written: dict[str, object]) -> None:
    alice, thief, device_id = await robbed(town)
    await write(thief, **written)  # type: ignore[arg-type]
    await thief.account.reset("the thief's password")
    await alice.sync()
    await alice.device.check_vault()
    view = await alice.account.view()
    assert (view.vault_is_readable, view.vault_written_by) == (False, device_id)
    told = [each.facts for each in await alice.account.notices() if each.kind == "vault_unreadable"]
    assert told == [{"deviceId": device_id}]
    with pytest.raises(errors.NotConfirmed):  # nobody looked at it
        await alice.account.cancel_reset(password=password_of("alice"))
    await alice.account.cancel_reset(password=password_of("alice"), confirm=yes)
    await alice.account.revoke(device_id, password=password_of("alice"), confirm=yes)
    town.clock.ahead += 73 * HOUR
    with pytest.raises(errors.TacitError):
        await thief.sync()
    assert [each.device_id for each in (await alice.account.view()).devices] == [await id_of(alice)]
    assert (await alice.account.view()).vault_is_readable
    assert await alice.alarms() == []  # the server did nothing
    laptop = await town.another("alice", "laptop")
    assert await said(laptop) == ["one", "two"]


@pytest.mark.parametrize("written", UNUSABLE)
async def test_the_next_write_mends_what_a_new_device_could_not_use(town: World, written: dict[str, object]) -> None:
    alice, thief, device_id = await robbed(town)
    await write(thief, **written)  # type: ignore[arg-type]
    shown: list[AccountView] = []

    async def look(view: AccountView) -> bool:
        shown.append(view)
        return True

    laptop = await town.another("alice", "laptop", confirm=look)
    (view,) = shown
    assert (view.vault_is_readable, view.vault_written_by) == (False, device_id)
    await laptop.sync()
    town.clock.ahead += HOUR
    await alice.sync()
    assert await said(laptop) == ["one", "two"]
    assert (await laptop.account.view()).vault_is_readable


def filled(total: int, kind: EntryKind = EntryKind.DEVICE_NAME) -> Contents:
    """The vault filled up to so many bytes."""

    def full(held: tuple[SignedEntry, ...], writer: Writer, version: int) -> tuple[SignedEntry, ...]:
        made = held
        for number in range(100):
            left = total - len(encode(Entries(made)))
            if left < 400:
                break
            new = NewEntry(kind, b"zz" + number.to_bytes(30, "big"), b"x" * min(left - 300, 60_000))
            made = merge(made, [new], version, writer)
        return made

    return full


FULL = [
    pytest.param(EntryKind.DEVICE_NAME, limits.OUTER_BYTES - 4_000, id="words, to the brim"),
    pytest.param(EntryKind.DEVICE_NAME, MOST, id="words"),
    pytest.param(EntryKind.ARCHIVE_KEY, MOST, id="keys"),
]


@pytest.mark.parametrize(("kind", "size"), FULL)
async def test_a_vault_that_is_filled_up_hinders_nobody(town: World, kind: EntryKind, size: int) -> None:
    """Two honest devices end with one vault that has room for what they say, and neither accuses the other."""
    alice, thief, device_id = await robbed(town)
    laptop = await town.another("alice", "laptop")
    for client in (alice, thief):
        await client.sync()
        await client.device.check_vault()
    await thief.account.reset("the thief's password")
    await write(thief, filled(size, kind))
    desk = await town.another("alice", "desk")
    versions = []
    for number in range(3):
        for name, client in (("alice", alice), ("laptop", laptop)):
            town.clock.ahead += HOUR
            if not number:
                await client.create_conversation(f"of {name}", members=["bob"])
            await client.sync()
            await client.device.check_vault()
            versions.append((await client.device.run(held_header)).version)  # type: ignore[union-attr]
    assert len(set(versions[-3:])) == 1  # nobody writes any more
    assert {each.entry.key for each in await laptop.device.run(Books.entries)} >= {
        each.id.encode() for each in await alice.conversations()
    }
    await alice.account.cancel_reset(password=password_of("alice"), confirm=yes)
    await alice.account.revoke(device_id, password=password_of("alice"), confirm=yes)
    await desk.sync()
    for client in (alice, laptop, desk):
        assert await said(client) == ["one", "two"]
        assert [each.kind for each in await client.account.notices() if each.kind == "vault_unreadable"] == []
        assert await client.alarms() == []
    assert sum(len(each.entry.value) for each in await alice.device.run(Books.entries)) < 100_000


async def test_a_vault_that_is_not_served_stops_nothing_else(town: World) -> None:
    alice, bob = await pair(town)
    town.wires["alice"].refuse(errors.TooLarge("the vault"), "/encryption/keys/private", times=9)
    await (await bob.conversation("team")).send("three")
    town.clock.ahead += HOUR
    assert await said(alice) == ["one", "two", "three"]


async def test_a_kept_device_begins_its_clocks_anew_also_after_an_unusable_part(town: World) -> None:
    alice, thief, device_id = await robbed(town)
    laptop = await town.another("alice", "laptop")
    for number in range(3):
        town.clock.ahead += HOUR
        await laptop.create_conversation(f"number {number}", members=["bob"])
        for client in (laptop, alice, thief):
            await client.sync()
    kept = [device_id, await id_of(laptop)]
    await alice.account.reset("new password", keep=kept, password=password_of("alice"), confirm=yes)
    await thief.sync()
    await thief.device.check_vault()
    await write(thief, key=ANOTHER_KEY)
    await laptop.sync()
    await laptop.account.confirm_identity("alice", await alice.account.fingerprint())
    for _ in range(2):
        for client in (laptop, alice):
            town.clock.ahead += HOUR
            await client.sync()
            await client.device.check_vault()
    told = [each.facts["deviceId"] for each in await alice.account.notices() if each.kind == "vault_unreadable"]
    assert told in ([], [device_id])
    assert (await alice.account.view()).vault_is_readable


async def test_who_is_far_behind_follows_the_headers_that_are_kept(
    town: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, thief, _ = await robbed(town)
    monkeypatch.setattr(limits, "OUTER_HEADERS", 4)
    for number in range(9):
        await write(thief, lambda *at, n=number: merge(at[0], [device_name_entry("d", f"{n}")], at[2], at[1]))
    newest = await thief.device.run(held_header)
    town.wires["alice"].rewrite = lambda request, answer: (
        {**answer, "outerHeaders": answer["outerHeaders"][1:]} if "outerHeaders" in answer else answer
    )
    await alice.device.check_vault()
    assert [each.about for each in await alice.alarms()] == ["vault"]  # fewer than a server keeps
    town.wires["alice"].rewrite = None
    await alice.device.check_vault()
    assert await alice.device.run(held_header) == newest


@pytest.mark.parametrize("what", ["revoke", "cancel", "password", "new device"])
async def test_writing_all_the_time_prevents_nothing(town: World, what: str) -> None:
    alice, thief, device_id = await robbed(town)
    await thief.account.reset("the thief's password")
    await alice.sync()

    async def slow(_: AccountView) -> bool:
        """While the person looks, the thief's program goes on writing."""
        await thief.device.check_vault()
        for number in range(3):
            await write(thief, lambda *at, n=number: merge(at[0], [device_name_entry("d", f"{n}")], at[2], at[1]))
        return True

    password = password_of("alice")
    if what == "revoke":
        await alice.account.revoke(device_id, password=password, confirm=slow)
    elif what == "cancel":
        await alice.account.cancel_reset(password=password, confirm=slow)
    elif what == "password":
        await alice.account.change_password("another password", password=password, confirm=slow)
        password = "another password"
    else:
        await town.another("alice", "laptop", confirm=slow)
        await alice.sync()
    assert not [each for each in await alice.account.notices() if each.kind == "change_refused"]
    if what != "revoke":
        await alice.account.revoke(device_id, password=password, confirm=slow)
    town.clock.ahead += 73 * HOUR
    with pytest.raises(errors.TacitError):
        await thief.sync()
    assert device_id not in [each.device_id for each in (await alice.account.view()).devices]
    await alice.sync()
    await alice.device.check_vault()
    assert await alice.alarms() == []
    desk = await town.another("alice", "desk", password=password)
    assert await said(desk) == ["one", "two"]


async def test_a_change_that_another_account_version_overtook_is_not_made_again(town: World) -> None:
    alice, thief, _ = await robbed(town)

    async def slow(_: AccountView) -> bool:
        await thief.account.change_password("the other's password", password=password_of("alice"), confirm=yes)
        return True

    with pytest.raises(errors.VersionConflict):
        await alice.account.new_recovery_key(password=password_of("alice"), confirm=slow)
    assert [each.kind for each in await alice.account.notices()][-1] == "change_refused"


@pytest.mark.parametrize("what", ["revoke", "password"])
async def test_nothing_is_signed_on_an_earlier_outer_part(town: World, what: str) -> None:
    """The server serves an earlier part than this device holds: the change is refused, and the vault stays whole."""
    await pair(town)
    tablet = await town.another("alice", "tablet")
    lost = await id_of(await town.another("alice", "lost"))
    await tablet.sync()
    await tablet.device.check_vault()
    query = "SELECT encrypted_private_key, outer_version FROM user_keys WHERE user_id = 'alice' ORDER BY version DESC"
    assert town.backend is not None
    old = await town.backend.store.read(lambda db: db.execute(query).fetchone())
    for number in range(3):
        await tablet.account.name_device(await id_of(tablet), f"name {number}")
        town.clock.ahead += HOUR
        await tablet.sync()
    before = await tablet.device.run(lambda books: (held_header(books), books.entries()))

    def back(db: sqlite3.Connection) -> None:
        db.execute(
            "UPDATE user_keys SET encrypted_private_key = ?, outer_version = ? "
            "WHERE user_id = 'alice' AND encrypted_private_key <> ''",
            tuple(old),
        )
        db.execute("DELETE FROM outer_headers WHERE user_id = 'alice' AND version > ?", (old[1],))

    await town.backend.store.write(back)
    with pytest.raises(errors.ServerMisbehaved):
        if what == "revoke":
            await tablet.account.revoke(lost, password=password_of("alice"), confirm=yes)
        else:
            await tablet.account.change_password("another", password=password_of("alice"), confirm=yes)
    assert [each.about for each in await tablet.alarms()] == ["vault"]
    assert await tablet.device.run(lambda books: (held_header(books), books.entries())) == before


async def test_what_a_revoked_device_said_goes_out_of_the_vault(town: World) -> None:
    alice, thief, device_id = await robbed(town)
    made_up = [device_name_entry("none of alice's", "a name")]
    await write(thief, lambda held, writer, version: merge(held, made_up, version, writer))
    await alice.device.check_vault()
    assert device_id in await alice.device.run(_writers)
    await alice.account.revoke(device_id, password=password_of("alice"), confirm=yes)
    assert device_id not in await alice.device.run(_writers)


@pytest.mark.parametrize("is_record_true", [False, True], ids=["another record", "another identity"])
async def test_a_contact_made_up_by_the_thief_hinders_until_the_device_is_revoked(
    town: World, is_record_true: bool
) -> None:
    """Nobody who is met for the first time is believed to be another than the vault says, whoever wrote it."""
    alice, thief, device_id = await robbed(town)
    (carol,) = await town.register("carol")
    known_by = pin_of(await carol.device.run(lambda books: books.own_account().value))
    hash_said = known_by.account_hash if is_record_true else b"h" * 32
    false = contact_entry(ContactPin("carol", 1, hash_said, b"f" * 32))
    await write(thief, lambda held, writer, version: merge(held, [false], version, writer))
    await alice.device.check_vault()
    with pytest.raises(errors.ServerMisbehaved, match=device_id[:16]):
        await alice.create_conversation("more", members=["carol"])
    await alice.account.revoke(device_id, password=password_of("alice"), confirm=yes)
    more = await alice.create_conversation("more", members=["carol"])
    await more.send("hello")
    assert more.blocked == ""
    assert await alice.alarms() == []
    contacts = {each.user_id: each for each in await alice.account.contacts()}
    assert not contacts["carol"].changed


def _writers(books: Books) -> set[str]:
    return {each.entry.device_id for each in books.entries()}
