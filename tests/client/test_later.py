"""What a later program made: it waits until a program that knows it judges it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pytest

from client.world import World, abandon, rows, texts
from tacit import errors
from tacit.api.messages import Item, MessageItem, RecordItem
from tacit.client import Client, Conversation, later
from tacit.signed.grant import SignedGrant
from tacit.signed.record import ConversationRecord, Request, RequestKind, record_hash
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, to_base64

T = TypeVar("T")


async def pair(world: World) -> tuple[Client, Client, Conversation]:
    alice, bob = await world.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("before")
    await bob.sync()
    return alice, bob, team


async def items_of(client: Client, conversation_id: str) -> list[Item]:
    return (await client.device.api.get_messages_encrypted(conversation_id, 0)).items


async def push(client: Client, conversation_id: str, *items: Item) -> None:
    parts = client.device._parts
    assert parts is not None
    for item in items:
        await parts.syncer.take_push(conversation_id, item)


async def newest_record(client: Client, conversation_id: str) -> tuple[RecordItem, ConversationRecord]:
    item = [each for each in await items_of(client, conversation_id) if isinstance(each, RecordItem)][-1]
    return item, decode(ConversationRecord, from_base64(item.record))


async def shown(client: Client, conversation_id: str) -> list[tuple[str, str]]:
    return [(each.sender, each.cause or each.text) for each in (await client.device.history(conversation_id))[0]]


def not_known(monkeypatch: pytest.MonkeyPatch, cls: type, is_later: Callable[[Any], bool]) -> None:
    """An earlier program, which does not know some of these structs."""

    def read(kind: type[T], raw: bytes) -> T:
        try:
            found = decode(kind, raw)
        except errors.Malformed:
            raise errors.UnknownVersion("Protocol 9") from None
        if kind is cls and is_later(found):
            raise errors.UnknownVersion("Protocol 9")
        return found

    monkeypatch.setattr(later, "decode", read)
    monkeypatch.setattr("tacit.client.grants.decode", read)


def of_protocol(record: ConversationRecord) -> bytes:
    raw = bytearray(encode(record))
    raw[2 + 64 + 8 + 32] = 9  # after id with its length, epoch and parent
    return bytes(raw)


def of_profile(record: ConversationRecord) -> bytes:
    raw = bytearray(encode(record))
    raw[2 + 64 + 8 + 32 + 1] = 9
    return bytes(raw)


def of_role(record: ConversationRecord) -> bytes:
    change = record.changes[0]
    raw = encode(record)
    place = raw.index(encode(change)) + 1 + len(change.user_id) + 32
    return raw[:place] + b"\x09" + raw[place + 1 :]


def of_request(record: ConversationRecord) -> bytes:
    request = Request(RequestKind.LEAVE, b"body of the request")
    raw = encode(dataclasses.replace(record, requests=(request,)))
    return raw.replace(encode(request), b"\x09" + encode(request)[1:])


@pytest.mark.parametrize("made_later", [of_protocol, of_profile, of_role, of_request])
async def test_a_record_of_a_later_program_waits_and_stops_nothing(
    world: World, made_later: Callable[[ConversationRecord], bytes]
) -> None:
    _, bob, team = await pair(world)
    await team.set_role("bob", "admin")
    item, record = await newest_record(bob, team.id)
    raw = made_later(record)
    with pytest.raises(errors.UnknownVersion):
        decode(ConversationRecord, raw)
    await push(bob, team.id, msgspec.structs.replace(item, record=to_base64(raw)))
    view = await bob.conversation("team")
    assert view.epoch == 1
    assert view.blocked.startswith("record_pending: epoch 2: it is a later program's")
    assert view.blocked.endswith("update the program")
    for refused in (view.send("to whom?"), view.rotate()):
        with pytest.raises(errors.SendingBlocked):
            await refused
    assert await shown(bob, team.id) == [("alice", "before"), ("", "record_pending")]  # the conversation's name
    assert (await bob.alarms(), await view.pending()) == ([], [])
    found = await rows(bob, "SELECT record, seq, place FROM records WHERE epoch = 2")
    assert found == [(raw, item.seq, "pending")]
    # It is there after a restart too, and is taken once.
    await abandon(bob)
    back = await world.come_back("bob")
    await push(back, team.id, msgspec.structs.replace(item, record=to_base64(raw)))
    assert (await back.conversation("team")).blocked == view.blocked
    assert await back.alarms() == []


@pytest.mark.parametrize("grants_too", [True, False])
async def test_after_an_update_the_record_is_judged_and_the_conversation_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, grants_too: bool
) -> None:
    _, bob, team = await pair(world)
    await team.rotate()
    await team.send("under the new key")
    hash_of_second = (await newest_record(bob, team.id))[1]
    with monkeypatch.context() as earlier:
        if grants_too:
            not_known(earlier, SignedGrant, lambda grant: grant.grant.record_hash == record_hash(hash_of_second))
        else:
            not_known(earlier, ConversationRecord, lambda record: record.epoch == 2)
        await bob.sync()
        view = await bob.conversation("team")
        assert view.epoch == (2 if grants_too else 1)
        assert view.blocked.startswith("no_grant" if grants_too else "record_pending")
        assert (await shown(bob, team.id))[-1] == ("alice" if grants_too else "", view.blocked.partition(":")[0])
        await bob.sync()
        assert await bob.alarms() == []
        await abandon(bob)
    back = await world.come_back("bob")
    view = await back.conversation("team")
    assert (view.epoch, view.blocked) == (2, "")
    assert (await shown(back, team.id))[-1] == ("alice", "under the new key")
    assert await rows(back, "SELECT epoch, seq, place FROM records ORDER BY epoch") == [
        (1, 1, "accepted"),
        (2, 4, "accepted"),
    ]
    await view.send("and on")
    assert (await texts(team))[-1] == ("bob", "and on")
    await team.rotate()
    await back.sync()
    await view.refresh()
    assert (view.epoch, await back.alarms()) == (3, [])


async def test_what_follows_a_record_of_a_later_program_waits_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bob, team = await pair(world)
    await team.rotate()
    second = await items_of(bob, team.id)
    await team.rotate()
    await team.send("in the third")
    with monkeypatch.context() as earlier:
        not_known(earlier, ConversationRecord, lambda record: record.epoch == 2)
        await push(bob, team.id, *second)
        await bob.sync()
        view = await bob.conversation("team")
        assert view.epoch == 1
        assert view.blocked.startswith("record_pending: epoch 2: it is a later program's")
    await bob.sync()
    await view.refresh()
    assert (view.epoch, view.blocked) == (3, "")
    assert (await shown(bob, team.id))[-1] == ("alice", "in the third")


async def test_a_conversation_that_a_later_program_founded_is_listed_and_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await world.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    with monkeypatch.context() as earlier:
        not_known(earlier, ConversationRecord, lambda _: True)
        await bob.sync()
        (view,) = await bob.conversations()
        assert (view.id, view.epoch, view.encrypted) == (team.id, 0, False)
        assert view.blocked.startswith("record_pending: epoch 1: it is a later program's")
        with pytest.raises(errors.SendingBlocked):
            await view.send("hello")
    await bob.sync()
    view = await bob.conversation("team")
    assert (view.epoch, view.blocked) == (1, "")


async def test_a_record_of_a_later_program_keeps_the_place_that_it_had(world: World) -> None:
    alice, bob, team = await pair(world)
    await team.rotate()
    item, record = await newest_record(bob, team.id)
    waits = msgspec.structs.replace(item, record=to_base64(of_protocol(record)))
    await push(bob, team.id, waits)
    message = next(each for each in await items_of(alice, team.id) if isinstance(each, MessageItem))
    await bob.device._run(lambda books: setattr(books.held(team.id), "cursor", item.seq - 1))
    await push(bob, team.id, MessageItem(item.seq, 0, message.encrypted_payload))
    assert await shown(bob, team.id) == [("alice", "before")]
    assert len(await bob.alarms()) == 1
    await push(bob, team.id, msgspec.structs.replace(waits, seq=item.seq + 1))
    assert (await bob.conversation("team")).blocked.startswith("server_misbehaved")


async def test_another_record_at_the_place_of_one_that_waits_stops_the_conversation(world: World) -> None:
    _, bob, team = await pair(world)
    await team.rotate()
    item, record = await newest_record(bob, team.id)
    await push(bob, team.id, msgspec.structs.replace(item, record=to_base64(of_protocol(record))))
    await bob.device._run(lambda books: setattr(books.held(team.id), "cursor", item.seq - 1))
    await push(bob, team.id, msgspec.structs.replace(item, record=to_base64(of_profile(record))))
    assert (await bob.conversation("team")).blocked.startswith("server_misbehaved")


async def test_a_later_programs_record_of_another_conversation_stops_this_one(world: World) -> None:
    alice, bob, team = await pair(world)
    other = await alice.create_conversation("other", members=["bob"])
    item, record = await newest_record(bob, other.id)
    seq = (await items_of(bob, team.id))[-1].seq + 1
    await push(bob, team.id, msgspec.structs.replace(item, record=to_base64(of_protocol(record)), seq=seq))
    assert (await bob.conversation("team")).blocked.startswith("invalid_record")


async def test_a_record_that_no_one_can_read_after_an_update_stops_the_conversation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bob, team = await pair(world)
    await team.rotate()
    item, record = await newest_record(bob, team.id)
    with monkeypatch.context() as earlier:
        not_known(earlier, ConversationRecord, lambda _: True)
        junk = encode(record)[:-1]  # the end is not looked at by who does not know what comes before it
        await push(bob, team.id, msgspec.structs.replace(item, record=to_base64(junk)))
        assert (await bob.conversation("team")).blocked.startswith("record_pending")
    await bob.sync()
    assert (await bob.conversation("team")).blocked.startswith("server_misbehaved")


async def test_what_waits_beside_a_record_that_counts_keeps_nothing_waiting(world: World) -> None:
    _, bob, team = await pair(world)
    _, genesis = await newest_record(bob, team.id)
    fake = of_protocol(dataclasses.replace(genesis, epoch=2))
    item, _ = await newest_record(bob, team.id)
    seq = (await items_of(bob, team.id))[-1].seq + 1
    await push(bob, team.id, msgspec.structs.replace(item, seq=seq, epoch=2, record=to_base64(fake)))
    assert (await bob.conversation("team")).blocked.startswith("record_pending")
    await team.send("in the place of what was invented")
    await team.rotate()
    await bob.sync()
    view = await bob.conversation("team")
    assert (view.epoch, view.blocked) == (2, "")


@pytest.mark.parametrize("where", ["record", "grant"])
async def test_the_beginning_of_what_is_known_is_read_alike(world: World, where: str) -> None:
    _, bob, team = await pair(world)
    item, record = await newest_record(bob, team.id)
    raw = from_base64(item.record)
    if where == "record":
        begins = later.record_start(raw)
        assert (begins.conversation_id, begins.epoch) == (record.conversation_id, record.epoch)
        assert later.hash_of(raw) == record_hash(record)
        assert later.why_unread(raw) == ""
    else:
        (given,) = item.encrypted_keys
        granted = from_base64(given.encrypted_key)
        assert later.granted_record(granted) == record_hash(record)
