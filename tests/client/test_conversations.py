"""What the client makes of a server that bends a conversation's records, grants and messages."""

from __future__ import annotations

import dataclasses
from typing import Any

import httpx2
import msgspec
import pytest

from client.world import Crash, World, abandon, rows, texts
from tacit import errors
from tacit.api.messages import Item, MessageItem, RecordItem
from tacit.client import Client, Conversation
from tacit.client.books import Books
from tacit.client.openings import place
from tacit.conversation import judging_records
from tacit.signed.grant import SignedGrant
from tacit.signed.record import ConversationRecord, Protocol, Role, fold, in_order, record_hash, roster_hash
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, to_base64

MESSAGES = "/api/messages/encrypted"
KEYS = "/api/encryption/conversation/keys"
PUBLIC = "/api/encryption/keys/public"


async def three(world: World) -> tuple[Client, Client, Client, Conversation]:
    """Alice has a conversation with bob; mallory is not in it."""
    alice, bob, mallory = await world.register("alice", "bob", "mallory")
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("before")
    await bob.sync()
    return alice, bob, mallory, team


async def items_of(client: Client, conversation_id: str) -> list[Item]:
    return (await client.device.api.get_messages_encrypted(conversation_id, 0)).items


async def push(client: Client, conversation_id: str, *items: Item) -> None:
    parts = client.device._parts
    assert parts is not None
    for item in items:
        await parts.syncer.take_push(conversation_id, item)


def record_items(items: list[Item]) -> list[RecordItem]:
    return [item for item in items if isinstance(item, RecordItem)]


async def seen_by(client: Client, conversation_id: str) -> list[str]:
    return [message.cause or message.text for message in (await client.device.history(conversation_id))[0]]


async def is_stopped(client: Client, code: str) -> None:
    """The client sends nothing more, shows what it had, and has the evidence."""
    view = await client.conversation("team")
    assert await seen_by(client, view.id) == ["before"]
    assert view.blocked.startswith(code)
    with pytest.raises(errors.SendingBlocked):
        await view.send("to whom?")
    with pytest.raises(errors.SendingBlocked):
        await view.rotate()
    assert [(alarm.about, alarm.code) for alarm in await client.alarms()] == [("conversation", code)]


async def test_a_member_that_the_server_adds_stops_the_conversation(world: World) -> None:
    alice, bob, _, team = await three(world)
    await team.rotate()
    genuine = record_items(await items_of(alice, team.id))[-1]
    record = decode(ConversationRecord, from_base64(genuine.record))
    await bob.device._parts.directory.refresh(["mallory"])  # type: ignore[union-attr]

    def with_a_ghost(books: Books) -> ConversationRecord:
        mallory = books.accounts.newest("mallory")
        assert mallory is not None
        changes = (place(mallory.value, Role.MEMBER),)
        after = fold(books.held(team.id).roster(), changes)
        return dataclasses.replace(record, changes=tuple(in_order(changes)), roster_hash=roster_hash(after))

    forged = msgspec.structs.replace(genuine, record=to_base64(encode(await bob.device._run(with_a_ghost))))
    await push(bob, team.id, forged)
    await is_stopped(bob, "bad_signature")
    assert [each.user_id for each in (await bob.conversation("team")).members()] == ["alice", "bob"]
    # The genuine record comes too late: what stopped the conversation is not taken back.
    await push(bob, team.id, genuine)
    assert (await bob.conversation("team")).blocked.startswith("bad_signature")


@pytest.mark.parametrize("text", ["AAAA", "?", ""])
async def test_a_record_that_cannot_be_read_stops_the_conversation(world: World, text: str) -> None:
    _, bob, _, team = await three(world)
    await team.rotate()
    genuine = record_items(await items_of(bob, team.id))[-1]
    await push(bob, team.id, msgspec.structs.replace(genuine, record=text))
    await is_stopped(bob, "server_misbehaved")


async def test_two_records_on_one_parent_are_an_alarm_and_the_first_is_kept(world: World) -> None:
    alice, bob, _, team = await three(world)
    world.wires["alice"].fail("crash before", KEYS)
    with pytest.raises(Crash):
        await team.rotate()
    ((record, signature),) = await rows(alice, "SELECT record, signature FROM openings")
    await abandon(alice)
    await (await bob.conversation("team")).rotate()
    kept = (await bob.conversation("team")).epoch
    key_id = decode(ConversationRecord, record).key_id.hex()
    other = RecordItem(5, 0, 2, key_id, "envelope", to_base64(record), to_base64(signature), [])
    await bob.device.pull(team.id)
    last = (await items_of(bob, team.id))[-1].seq
    await push(bob, team.id, msgspec.structs.replace(other, seq=last + 1))
    await is_stopped(bob, "server_misbehaved")
    assert (await bob.conversation("team")).epoch == kept == 2


async def test_a_grant_that_is_not_the_epochs_is_refused_and_blocks_sending(world: World) -> None:
    _, bob, _, team = await three(world)
    (first,) = record_items(await items_of(bob, team.id))
    await team.rotate()
    second = record_items(await items_of(bob, team.id))[-1]
    (given,) = first.encrypted_keys
    (right,) = second.encrypted_keys
    old, new = (decode(SignedGrant, from_base64(each.encrypted_key)) for each in (given, right))
    wrong = dataclasses.replace(new, grant=dataclasses.replace(new.grant, ciphertext=old.grant.ciphertext))
    swapped = msgspec.structs.replace(right, encrypted_key=to_base64(encode(wrong)))
    await push(bob, team.id, msgspec.structs.replace(second, encrypted_keys=[swapped]))
    view = await bob.conversation("team")
    assert view.epoch == 2
    assert view.blocked == "bad_signature: grant"
    with pytest.raises(errors.SendingBlocked):
        await view.send("with which key?")
    assert [(alarm.about, alarm.code) for alarm in await bob.alarms()] == [("grant", "bad_signature")]
    # The right one still opens the epoch.
    await bob.device._run(lambda books: setattr(books.held(team.id), "cursor", 0))
    await bob.device.pull(team.id)
    await view.refresh()
    assert view.blocked == ""


async def test_a_record_that_names_an_account_that_is_not_served_waits_for_it(world: World) -> None:
    _, bob, _, team = await three(world)

    def hide(request: httpx2.Request, answer: Any) -> Any:
        hidden = request.url.path == PUBLIC and "mallory" in str(request.url)
        return errors.NoSuchAccount("mallory") if hidden else answer

    world.wires["bob"].rewrite = hide
    await team.add("mallory")
    await team.send("welcome")
    await bob.sync()
    view = await bob.conversation("team")
    assert view.epoch == 1
    assert view.blocked.startswith("record_pending")
    with pytest.raises(errors.SendingBlocked):
        await view.send("hello")
    assert (await texts(view))[-1][1] == "record_pending"
    world.wires["bob"].rewrite = None
    await bob.sync()
    await view.refresh()
    assert (view.epoch, view.blocked) == (2, "")
    assert (await texts(view))[-1] == ("alice", "welcome")
    assert await bob.alarms() == []


async def test_a_message_of_a_closed_epoch_is_shown_as_late(world: World) -> None:
    alice, bob, _, team = await three(world)
    view = await bob.conversation("team")
    world.wires["bob"].fail("crash before", MESSAGES)
    with pytest.raises(Crash):
        await view.send("held back")
    ((sealed,),) = await rows(bob, "SELECT sealed FROM outbox")
    await team.rotate()
    await alice.device.pull(team.id)
    last = (await items_of(alice, team.id))[-1].seq
    payload = msgspec.json.decode(sealed)
    item = msgspec.convert(
        {"kind": "message", "seq": last + 1, "createdAt": 0, "encryptedPayload": payload}, type=MessageItem
    )
    await push(alice, team.id, item)
    shown = (await alice.device.history(team.id))[0][-1]
    assert (shown.text, shown.trust) == ("held back", "late")


async def test_a_record_by_a_revoked_device_counts_once_a_person_accepted_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bob, _, team = await three(world)
    with monkeypatch.context() as patch:
        patch.setattr(judging_records, "is_revoked", lambda *_: True)
        await team.set_role("bob", "admin")
        genuine = record_items(await items_of(bob, team.id))[-1]
        await push(bob, team.id, genuine)
        view = await bob.conversation("team")
        assert (view.epoch, view.blocked.partition(":")[0]) == (1, "record_pending")
        (asked,) = await view.pending()
        me = await team._device._run(lambda books: books.me)
        assert (asked.epoch, asked.opener, asked.device_id) == (2, "alice", me.device_id)
        assert (asked.changes, asked.policy) == ((("bob", "admin"),), False)
        with pytest.raises(errors.RecordMissing):
            await view.accept("00" * 32)
        with pytest.raises(errors.InvalidArgument):
            await view.accept("2")
        await view.accept(asked.record_hash)
        assert (view.epoch, view.blocked) == (2, "")
        await view.send("taken")
        with pytest.raises(errors.RecordMissing):
            await view.accept(asked.record_hash)
        assert await view.pending() == []
    assert (await texts(team))[-1] == ("bob", "taken")


async def test_a_record_that_nobody_signed_keeps_the_true_one_out_of_nothing(world: World) -> None:
    """The server invents one that cannot be judged, and serves the true one of that epoch later."""
    _, bob, _, team = await three(world)
    (first,) = record_items(await items_of(bob, team.id))
    genesis = decode(ConversationRecord, from_base64(first.record))
    parent = record_hash(genesis)
    invented = dataclasses.replace(
        genesis, epoch=2, previous_record_hash=parent, genesis_random=b"", protocol=Protocol.MLS
    )
    raw = to_base64(encode(invented))
    seq = (await items_of(bob, team.id))[-1].seq + 1
    signature = to_base64(bytes(64))
    fake = msgspec.structs.replace(first, seq=seq, epoch=2, protocol="mls", record=raw, signature=signature)
    await push(bob, team.id, fake)
    view = await bob.conversation("team")
    assert view.blocked.startswith("record_pending")
    assert await view.pending() == []
    with pytest.raises(errors.RecordMissing):
        await view.accept(record_hash(invented).hex())
    await team.send("in the place of what was invented")
    await team.rotate()
    await bob.sync()
    await view.refresh()
    assert (view.epoch, view.blocked) == (2, "")
    assert await rows(bob, "SELECT epoch, place FROM records ORDER BY epoch") == [(1, "accepted"), (2, "accepted")]
    await view.send("and on")


async def test_a_rotation_by_a_revoked_device_is_read_and_followed_by_the_next_epoch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bob, _, team = await three(world)
    await team.rotate()
    genuine = record_items(await items_of(bob, team.id))[-1]
    with monkeypatch.context() as patch:
        patch.setattr(judging_records, "is_revoked", lambda *_: True)
        await push(bob, team.id, genuine)
    view = await bob.conversation("team")
    assert (view.epoch, view.blocked) == (2, "")
    sent = await view.send("not in that epoch")
    assert sent.epoch == 3


async def test_a_server_that_drops_a_message_is_noticed_by_the_gap(world: World) -> None:
    _, bob, _, team = await three(world)
    dropped = await team.send("dropped")
    await team.send("after")

    def drop(request: httpx2.Request, answer: Any) -> Any:
        if request.url.path == MESSAGES:
            answer["items"] = [item for item in answer["items"] if item["seq"] != dropped.seq]
            for item in answer["items"]:  # the next ones move up: a number that is left out is seen at once
                item["seq"] -= item["seq"] > dropped.seq
            answer["cursor"] -= 1
        return answer

    world.wires["bob"].rewrite = drop
    view = await bob.conversation("team")
    assert [text for _, text in await texts(view)] == ["before", "after"]
    found = await view.gaps()
    assert list(found.counters.values()) == [(2,)]


async def test_a_conversation_that_the_server_denies_holds_up_no_other(world: World) -> None:
    _, bob, _, team = await three(world)
    await bob.device._run(lambda books: books.add("a conversation that is not there"))
    await team.send("still here")
    await bob.sync()
    assert await seen_by(bob, team.id) == ["before", "still here"]
    assert [each.id for each in await bob.conversations()] == [team.id]
