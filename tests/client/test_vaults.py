from __future__ import annotations

import dataclasses
import shutil
from typing import Any

import httpx2
import pytest

from client.world import World, rows
from tacit import errors
from tacit.api.accounts import PrivateKeys
from tacit.client import Client, vaults
from tacit.client.books import Books
from tacit.client.vaults import check_not_older
from tacit.crypto.secret import Secret
from tacit.identity.unlockers import password_bytes
from tacit.identity.vault import ContactPin, ConversationHead, conversation_entry, open_outer, values
from tacit.signed.record import DAY
from tacit.signed.vault import EntryKind, Outer, OuterHeader
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64

PRIVATE = "/api/encryption/keys/private"
PUBLIC = "/api/encryption/keys/public"


async def header(client: Client) -> OuterHeader:
    """The outer part's header as this device holds it."""
    ((raw,),) = await rows(client, "SELECT value FROM meta WHERE key = 'outer_header'")
    return decode(OuterHeader, raw)


async def write(client: Client) -> None:
    parts = client.device._parts
    assert parts is not None
    await parts.vault.write()


async def on_server(client: Client) -> Outer:
    answer = await client.device.api.get_encryption_keys_private()
    return decode(Outer, from_base64(answer.outer))


async def test_pins_and_heads_are_kept_in_the_vault(world: World) -> None:
    alice, _ = await world.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await team.rotate()
    await write(alice)
    assert (await on_server(alice)).header.version == (await header(alice)).version == 2

    def entries(books: Books) -> tuple[list[ContactPin], list[ConversationHead], list[ConversationHead]]:
        held = books.entries()
        return (
            [decode(ContactPin, each) for each in values(held, EntryKind.CONTACT_PIN)],
            [decode(ConversationHead, each) for each in values(held, EntryKind.CONVERSATION_PIN)],
            [decode(ConversationHead, each) for each in values(held, EntryKind.CONVERSATION_HEAD)],
        )

    contacts, pins, heads = await alice.device._run(entries)
    assert [(each.user_id, each.version) for each in contacts] == [("bob", 1)]
    assert [(each.conversation_id, each.epoch) for each in pins] == [(team.id, 1)]
    assert [(each.conversation_id, each.epoch) for each in heads] == [(team.id, 2)]


async def test_nothing_is_written_where_nothing_changed_but_once_a_day(world: World) -> None:
    (alice,) = await world.register("alice")
    await write(alice)
    assert (await header(alice)).version == 1
    world.clock.ahead = DAY + 1
    await write(alice)
    await write(alice)
    assert (await header(alice)).version == 2


async def test_changes_are_written_together_at_the_end(world: World) -> None:
    (alice,) = await world.register("alice")
    for name in ("one", "two", "three"):
        await alice.create_conversation(name)
    await alice.device.close()
    assert (await on_server(await world.come_back("alice"))).header.version == 2


async def test_a_write_whose_answer_was_lost_is_found_again(world: World) -> None:
    (alice,) = await world.register("alice")
    await alice.create_conversation("team")
    world.wires["alice"].fail("lose answer", PRIVATE)
    with pytest.raises(errors.Unreachable):
        await write(alice)
    assert (await header(alice)).version == 1
    await write(alice)
    assert (await header(alice)).version == (await on_server(alice)).header.version == 2
    assert await alice.alarms() == []


async def older(world: World, change: Any) -> Client:
    """Alice comes back to a server that changes what it says of her vault."""
    (alice,) = await world.register("alice")
    first = await alice.device.api.get_encryption_keys_private()
    await alice.create_conversation("team")
    await alice.device.close()
    client = await world.open("alice")

    def rewrite(request: httpx2.Request, answer: Any) -> Any:
        if request.url.path == PRIVATE and request.method == "GET":
            change(answer, first)
        return answer

    world.wires["alice"].rewrite = rewrite
    await client.sign_in("alice", "the password of alice")
    return client


def _earlier(answer: Any, first: Any) -> None:
    answer["outer"] = first.outer


def _spoiled(answer: Any, first: Any) -> None:
    text = answer["outer"]
    answer["outer"] = text[:-8] + ("AAAA" if text[-8:-4] != "AAAA" else "BBBB") + text[-4:]


def _empty(answer: Any, first: Any) -> None:
    answer["outer"] = ""


@pytest.mark.parametrize("change", [_earlier, _spoiled, _empty])
async def test_an_earlier_or_different_outer_part_is_refused_and_kept_as_evidence(world: World, change: Any) -> None:
    client = await older(world, change)
    (alarm,) = await client.alarms()
    assert (alarm.about, alarm.subject, alarm.code) == ("vault", "alice", "server_misbehaved")
    assert (await header(client)).version == 2
    await (await client.conversation("team")).send("goes on")


async def test_a_vault_under_a_later_version_of_the_account_waits_for_the_account(world: World) -> None:
    (alice,) = await world.register("alice")
    assert world.simulator is not None
    world.simulator.follow("alice", "the password of alice", lambda record: record)
    assert (await alice.device.api.get_encryption_keys_private()).account_version == 2
    parts = alice.device._parts
    assert parts is not None
    await parts.vault.check()
    assert await rows(alice, "SELECT version FROM accounts ORDER BY version") == [(1,), (2,)]
    assert await alice.alarms() == []


async def test_a_vault_under_a_version_that_the_account_never_had_is_evidence(world: World) -> None:
    client = await older(world, lambda answer, _: answer.update(accountVersion=2))
    (alarm,) = await client.alarms()
    assert (alarm.about, alarm.code) == ("vault", "server_misbehaved")
    assert "names version 2 of the account" in alarm.detail


async def test_where_the_account_is_refused_the_vault_is_compared_the_next_time(world: World) -> None:
    (alice,) = await world.register("alice")
    parts = alice.device._parts
    assert parts is not None

    def refused(request: httpx2.Request, answer: Any) -> Any:
        if request.url.path == PUBLIC:
            return errors.SessionForbidden()
        return {**answer, "accountVersion": 2} if request.url.path == PRIVATE else answer

    world.wires["alice"].rewrite = refused
    await parts.vault.check()
    assert await alice.alarms() == []


@pytest.mark.parametrize("before", [0, 1])
async def test_what_another_program_writes_while_the_vault_is_asked_for_raises_no_alarm(
    world: World, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alice,) = await world.register("alice")
    other = await world.come_back("alice")
    answer = other.device.api.get_encryption_keys_private

    async def slow() -> PrivateKeys:
        for number in range(before):
            await alice.create_conversation(f"{number}")
            await write(alice)
        early = await answer()
        await alice.create_conversation("last")
        await write(alice)
        return early

    monkeypatch.setattr(other.device.api, "get_encryption_keys_private", slow)
    parts = other.device._parts
    assert parts is not None
    await parts.vault.check()
    assert await other.alarms() == []
    assert (await header(other)).version == 2 + before


async def snapshot_of(world: World) -> None:
    """Copy alice's store as it is on the disk now."""
    for suffix in (".db", ".db.key"):
        shutil.copy(world.folder / f"alice{suffix}", world.folder / f"restored{suffix}")


async def restored(world: World) -> Client:
    """Alice on that copy."""
    client = await world.open("restored")
    await client.sign_in("alice", "the password of alice")
    return client


async def test_a_restored_store_takes_the_newer_outer_part(world: World) -> None:
    (alice,) = await world.register("alice")
    await snapshot_of(world)
    for name in ("one", "two"):
        await alice.create_conversation(name)
        await write(alice)
    client = await restored(world)
    assert (await header(client)).version == 3
    assert await client.alarms() == []
    heads = await client.device._run(lambda books: len(values(books.entries(), EntryKind.CONVERSATION_HEAD)))
    assert heads == 2


@pytest.mark.parametrize("more", [0, 1])
async def test_an_outer_part_beside_the_one_that_is_held_is_refused(world: World, more: int) -> None:
    (alice,) = await world.register("alice")
    await snapshot_of(world)
    for number in range(1 + more):
        await alice.create_conversation(f"{number}")
        await write(alice)
    client = await world.open("restored")
    store = await client.device._box.open(password_bytes("the password of alice"), create=False)

    def beside(books: Books) -> None:
        """Another second version, which the server never saw."""
        first = books.meta("outer_header")
        assert first is not None
        here = decode(OuterHeader, first)
        books.set_meta("outer_header", encode(dataclasses.replace(here, version=2, written_at=1)))

    await store.run(beside)
    await client.sign_in("alice", "the password of alice")
    (alarm,) = await client.alarms()
    assert (alarm.about, alarm.code) == ("vault", "server_misbehaved")
    detail = "does not follow" if more else "under the same version"
    assert detail in alarm.detail


async def test_an_earlier_outer_part_is_called_so() -> None:
    held = OuterHeader("s", "alice", 1, 3, bytes(32), 0, "0" * 64, bytes(32))
    assert check_not_older(held, held)
    assert not check_not_older(held, dataclasses.replace(held, version=4))
    with pytest.raises(errors.ServerMisbehaved, match="an earlier outer part"):
        check_not_older(held, dataclasses.replace(held, version=2))


async def test_a_newer_outer_part_over_a_header_that_nobody_signed_is_refused(world: World) -> None:
    (alice,) = await world.register("alice")
    await snapshot_of(world)
    for name in ("one", "two"):
        await alice.create_conversation(name)
        await write(alice)
    client = await world.open("restored")

    def forge(request: httpx2.Request, answer: Any) -> Any:
        if request.url.path == PRIVATE:
            first, second, _ = answer["outerHeaders"]
            second["signature"] = first["signature"]
        return answer

    world.wires["restored"].rewrite = forge
    await client.sign_in("alice", "the password of alice")
    assert [(alarm.about, alarm.code) for alarm in await client.alarms()] == [("vault", "server_misbehaved")]
    assert (await header(client)).version == 1


async def head_on_server(client: Client) -> tuple[int, int]:
    """The version of the outer part on the server, and the epoch that it names for the one conversation."""
    outer = await on_server(client)

    def opened(books: Books) -> int:
        entries = open_outer(books.own_account().value, outer, Secret(books.me.secrets.outer_key))
        (head,) = values(entries, EntryKind.CONVERSATION_HEAD)
        return decode(ConversationHead, head).epoch

    return outer.header.version, await client.device._run(opened)


async def test_a_restored_store_writes_no_older_head_over_a_newer_one(world: World) -> None:
    (alice,) = await world.register("alice")
    team = await alice.create_conversation("team")
    await snapshot_of(world)
    for _ in range(2):
        await team.rotate()
    await write(alice)
    assert await head_on_server(alice) == (2, 3)
    client = await restored(world)
    assert (await client.conversation("team")).epoch == 1
    world.clock.ahead = DAY + 1
    await write(client)
    assert await head_on_server(client) == (3, 3)
    await client.sync()
    hers = await client.conversation("team")
    assert (hers.epoch, hers.blocked) == (3, "")
    await hers.rotate()
    await write(client)
    assert (await head_on_server(client))[1] == hers.epoch
    assert await client.alarms() == []


@pytest.mark.parametrize("when", ["written", "read"])
async def test_another_branch_than_the_vault_knows_stops_the_conversation(
    world: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    (alice,) = await world.register("alice")
    team = await alice.create_conversation("team")
    other = conversation_entry(EntryKind.CONVERSATION_HEAD, ConversationHead(team.id, 1, b"?" * 32))
    await snapshot_of(world)
    with monkeypatch.context() as patch:
        patch.setattr(vaults, "wanted_entries", lambda _: [other])
        await write(alice)
    client = await restored(world) if when == "read" else alice
    if when == "written":
        await write(client)
    view = await client.conversation("team")
    assert view.blocked.startswith("server_misbehaved")
    assert [(alarm.about, alarm.subject) for alarm in await client.alarms()] == [("conversation", team.id)]
    with pytest.raises(errors.SendingBlocked):
        await view.send("to which members?")
    client.device._clock.ahead += DAY  # type: ignore[attr-defined]
    await write(client)
    assert (await client.conversation("team")).blocked == view.blocked
