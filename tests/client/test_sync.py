from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import pytest

from client.world import World, abandon, rows, texts
from tacit import errors
from tacit.api.messages import Item, MessageItem
from tacit.api.sync import AccountEvent, AccountPage
from tacit.client import Client, Conversation, inbox
from tacit.client.books import Books
from tacit.client.events import take_events
from tacit.signed.message import from_fields

MESSAGES = "/api/messages/encrypted"


async def pair(world: World) -> tuple[Client, Client, Conversation]:
    alice, bob = await world.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await bob.sync()
    return alice, bob, team


async def items_of(client: Client, conversation_id: str) -> list[Item]:
    return (await client.device.api.get_messages_encrypted(conversation_id, 0)).items


async def push(client: Client, conversation_id: str, item: Item) -> None:
    parts = client.device._parts
    assert parts is not None
    await parts.syncer.take_push(conversation_id, item)


async def shown(client: Client, conversation_id: str) -> list[str]:
    return [message.cause or message.text for message in (await client.device.history(conversation_id))[0]]


async def test_pushes_that_come_in_order_need_no_request(world: World) -> None:
    _, bob, team = await pair(world)
    await team.send("one")
    await team.send("two")
    items = await items_of(bob, team.id)
    before = len(world.wires["bob"].requests)
    for item in items:
        await push(bob, team.id, item)
        await push(bob, team.id, item)
    assert await shown(bob, team.id) == ["one", "two"]
    assert len(world.wires["bob"].requests) == before


async def test_a_missed_push_is_made_good_by_the_next_one(world: World) -> None:
    _, bob, team = await pair(world)
    for text in ("one", "two", "three"):
        await team.send(text)
    items = await items_of(bob, team.id)
    await push(bob, team.id, items[-1])
    assert await shown(bob, team.id) == ["one", "two", "three"]
    await push(bob, team.id, items[-2])
    assert await shown(bob, team.id) == ["one", "two", "three"]


async def test_a_push_of_an_unknown_conversation_is_fetched_and_judged(world: World) -> None:
    alice, bob, _ = await pair(world)
    second = await alice.create_conversation("second", members=["bob"])
    await second.send("hello")
    items = await items_of(bob, second.id)
    await push(bob, second.id, items[-1])
    assert await shown(bob, second.id) == ["hello"]
    assert (await bob.conversation("second")).epoch == 1


def rewriting(world: World, name: str, change: Any) -> None:
    """From now on the pages of this person's conversations are changed on the way."""

    def rewrite(request: httpx2.Request, answer: Any) -> Any:
        if request.method == "GET" and request.url.path == MESSAGES:
            change(answer)
        return answer

    world.wires[name].rewrite = rewrite


def _reversed(page: Any) -> None:
    page["items"].reverse()


def _twice(page: Any) -> None:
    page["items"] += page["items"][-1:]


def _behind(page: Any) -> None:
    page["cursor"] = 1


def _ahead(page: Any) -> None:
    page["cursor"] = 2**53 - 1


def _deaf(page: Any) -> None:
    page.update(items=[], cursor=2**53 - 1)


def _with_a_hole(page: Any) -> None:
    del page["items"][-2]


def _moved(page: Any) -> None:
    page["items"][-1]["seq"] = page["cursor"] = 1000


def _endless(page: Any) -> None:
    page.update(items=[], cursor=3, more=True)


@pytest.mark.parametrize("change", [_reversed, _twice, _behind, _ahead, _deaf, _with_a_hole, _moved, _endless])
async def test_a_page_that_leaves_a_number_out_or_is_out_of_order_is_refused_whole(world: World, change: Any) -> None:
    _, bob, team = await pair(world)
    await team.send("one")
    await team.send("two")
    await bob.device._run(lambda books: setattr(books.held(team.id), "cursor", 3 if change is _endless else 0))
    rewriting(world, "bob", change)
    with pytest.raises(errors.UnexpectedAnswer):
        await bob.device.pull(team.id)
    assert await shown(bob, team.id) == []


@pytest.mark.parametrize("number", [2**53, 2**70, -1])
@pytest.mark.parametrize("field", ["seq", "createdAt"])
async def test_a_number_that_the_store_could_not_keep_is_refused_as_an_answer(
    world: World, field: str, number: int
) -> None:
    _, bob, team = await pair(world)
    await team.send("one")

    def spoil(page: Any) -> None:
        for item in page["items"]:
            item[field] = number

    rewriting(world, "bob", spoil)
    with pytest.raises(errors.UnexpectedAnswer):
        await bob.device.pull(team.id)
    world.wires["bob"].rewrite = None
    await bob.device.pull(team.id)
    assert await shown(bob, team.id) == ["one"]


def _jump(page: Any) -> None:
    page.update(events=[], cursor=2**53 - 1)


def _skip(page: Any) -> None:
    del page["events"][0]


def _rest(page: Any) -> None:
    page.update(events=[], more=True)


@pytest.mark.parametrize("change", [_jump, _skip, _rest])
async def test_account_events_that_leave_a_number_out_are_refused_and_come_again(world: World, change: Any) -> None:
    alice, bob, _ = await pair(world)
    for name in ("second", "third"):
        await alice.create_conversation(name, members=["bob"])

    def rewrite(request: httpx2.Request, answer: Any) -> Any:
        if request.url.path == "/api/sync":
            change(answer["account"])
        return answer

    world.wires["bob"].rewrite = rewrite
    with pytest.raises(errors.UnexpectedAnswer):
        await bob.sync()
    world.wires["bob"].rewrite = None
    await bob.sync()
    assert [each.name for each in await bob.conversations()] == ["second", "team", "third"]


async def test_a_message_that_is_another_on_the_second_look_raises_an_alarm(world: World) -> None:
    _, bob, team = await pair(world)
    await team.send("one")
    await bob.device.pull(team.id)
    items = await items_of(bob, team.id)
    last = items[-1]
    assert isinstance(last, MessageItem)
    other = await team.send("two")
    assert other.seq == last.seq + 1
    swapped = (await items_of(bob, team.id))[-1]
    assert isinstance(swapped, MessageItem)

    def again(books: Books) -> None:
        held = books.held(team.id)
        held.cursor = last.seq - 1
        books.save(held)

    await bob.device._run(again)
    await push(bob, team.id, MessageItem(last.seq, last.created_at, swapped.encrypted_payload))
    assert await shown(bob, team.id) == ["one"]
    (alarm,) = await bob.alarms()
    assert (alarm.about, alarm.subject, alarm.code) == ("conversation", team.id, "server_misbehaved")


async def test_what_cannot_be_opened_is_kept_and_shown_with_cause_and_remedy(world: World) -> None:
    _, bob, team = await pair(world)
    await team.send("one")
    sent = await team.send("two")

    def spoil(page: Any) -> None:
        for item in page["items"]:
            if item["seq"] == sent.seq:
                item["encryptedPayload"]["iv"] = "AAAAAAAAAAAAAAAA"

    rewriting(world, "bob", spoil)
    view = await bob.conversation("team")
    first, second = [message async for message in view.messages()]
    assert first.text == "one"
    assert (second.kind, second.trust, second.cause, second.text, second.sender) == (
        "undecryptable",
        "undecryptable",
        "message_tampered",
        "",
        "",
    )
    assert second.remedy == errors.MessageTampered.remedy
    world.wires["bob"].rewrite = None
    await view.send("I could not read that")
    assert (await texts(view))[-1] == ("bob", "I could not read that")


async def _spoiled(world: World, **fields: Any) -> tuple[Client, str]:
    """Bob, who received a message with other fields than it was sent with, and its conversation."""
    _, bob, team = await pair(world)
    sent = await team.send("one")

    def spoil(page: Any) -> None:
        for item in page["items"]:
            if item["seq"] == sent.seq:
                item["encryptedPayload"].update(fields)

    rewriting(world, "bob", spoil)
    await bob.device.pull(team.id)
    world.wires["bob"].rewrite = None
    return bob, team.id


@pytest.mark.parametrize(
    "fields",
    [
        {"signature": "?"},
        {"iv": "AAAA"},
        {"tag": "AAAA"},
        {"keyId": "00"},
        {"senderId": ""},
        {"contentType": 1 << 16},
    ],
)
async def test_a_message_that_cannot_be_read_was_tampered_with(world: World, fields: dict[str, Any]) -> None:
    bob, conversation_id = await _spoiled(world, **fields)
    (message,) = (await bob.device.history(conversation_id))[0]
    assert (message.cause, message.remedy) == ("message_tampered", errors.MessageTampered.remedy)


@pytest.mark.parametrize("field", ["version", "contentType"])
async def test_a_message_of_a_later_program_is_judged_again_after_an_update(
    world: World, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    bob, conversation_id = await _spoiled(world, **{field: 2})
    (message,) = (await bob.device.history(conversation_id))[0]
    assert (message.cause, message.remedy) == ("unsupported_suite", errors.UnsupportedSuite.remedy)

    def read(fields: dict[str, Any]) -> Any:  # a program that knows it, in which it says the same
        return from_fields(fields | {field: 1})

    await abandon(bob)
    monkeypatch.setattr(inbox, "from_fields", read)
    back = await world.come_back("bob")
    assert await shown(back, conversation_id) == ["one"]


@pytest.mark.parametrize("field", ["version", "contentType"])
async def test_without_an_update_a_message_of_a_later_program_stays_as_it_is(world: World, field: str) -> None:
    bob, conversation_id = await _spoiled(world, **{field: 2})
    before = await bob.device.history(conversation_id)
    await abandon(bob)
    back = await world.come_back("bob")
    assert await back.device.history(conversation_id) == before


def _without_grants(page: Any) -> None:
    for item in page["items"]:
        if item["kind"] == "record":
            item["encryptedKeys"] = []


async def test_a_message_whose_grant_comes_late_is_shown_then(world: World) -> None:
    _, bob, team = await pair(world)
    await team.rotate()
    await team.send("hidden")

    rewriting(world, "bob", _without_grants)
    view = await bob.conversation("team")
    assert (await texts(view))[-1] == ("alice", "no_grant")
    assert view.blocked.startswith("no_grant")
    with pytest.raises(errors.SendingBlocked):
        await view.send("what?")
    world.wires["bob"].rewrite = None
    await bob.device._run(lambda books: setattr(books.held(team.id), "cursor", 0))
    assert await texts(view) == [("alice", "hidden")]
    assert view.blocked == ""


async def test_a_retry_that_was_shown_first_gives_way_to_what_becomes_readable(world: World) -> None:
    """The server hands out what it refused, in an epoch whose key it holds back, and the message sealed anew."""
    alice, bob, carol = await world.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await carol.sync()
    await team.rotate()
    await alice.sync()
    world.wires["alice"].down = True
    with pytest.raises(errors.Unreachable):
        await team.send("once")
    ((sealed,),) = await rows(alice, "SELECT sealed FROM outbox")
    refused = {"kind": "message", "createdAt": 1, "encryptedPayload": msgspec.json.decode(sealed)}
    await (await carol.conversation("team")).rotate()
    world.wires["alice"].down = False
    await alice.sync()
    without_key = True

    def serve(page: Any) -> None:
        place = next(place for place, item in enumerate(page["items"]) if item.get("epoch") == 3)
        page["items"].insert(place, refused)
        for seq, item in enumerate(page["items"], 1):
            item["seq"] = page["cursor"] = seq
            if item.get("epoch") == 2 and without_key:
                item["encryptedKeys"] = []

    rewriting(world, "bob", serve)
    await bob.device._run(lambda books: books.add(team.id))
    await bob.device.pull(team.id)
    assert [text for text in await shown(bob, team.id) if text == "once"] == ["once"]
    assert "no_grant" in await shown(bob, team.id)
    _, revision = await bob.device.news(team.id, 0)
    without_key = False
    await bob.device._run(lambda books: setattr(books.held(team.id), "cursor", 0))
    await bob.device.pull(team.id)
    assert await shown(bob, team.id) == ["once"]
    for after in (0, revision):
        found, _ = await bob.device.news(team.id, after)
        assert [message.text for message in found if message.kind == "text"] == ["once"]
    assert await bob.alarms() == []


async def test_without_a_key_the_next_epoch_mends_it(world: World) -> None:
    _, bob, team = await pair(world)
    await team.rotate()
    rewriting(world, "bob", _without_grants)
    view = await bob.conversation("team")
    assert await texts(view) == [("alice", "no_grant")]  # the conversation's name
    await view.rotate()
    await view.send("here I am")
    assert (await texts(team))[-1] == ("bob", "here I am")


async def test_after_a_restore_cursors_are_dropped_and_everything_is_compared(world: World) -> None:
    _, bob, team = await pair(world)
    await team.send("one")
    await bob.sync()
    await bob.device._run(lambda books: books.set_meta("incarnation", b"an earlier one"))
    before = len(world.wires["bob"].requests)
    await team.send("two")
    await bob.sync()
    assert await shown(bob, team.id) == ["one", "two"]
    assert len(world.wires["bob"].requests) > before + 1
    assert await bob.alarms() == []
    assert (await rows(bob, "SELECT value FROM meta WHERE key = 'incarnation'"))[0][0] != b"an earlier one"


async def test_events_that_make_no_sense_are_passed_over(world: World) -> None:
    _, bob, team = await pair(world)
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("conversation", {}),
        ("conversation", {"conversationId": 7}),
        ("conversation", {"conversationId": ""}),
        ("conversation", {"conversationId": "x" * 256}),
        ("leave", {"conversationId": team.id}),
        ("leave", {"conversationId": team.id, "leave": "?"}),
        ("leave", {"conversationId": team.id, "leave": "AA=="}),
        ("leave", {"conversationId": "unknown", "leave": "AA=="}),
        ("something later", {"conversationId": team.id}),
    ]
    events = [AccountEvent(100 + number, kind, body, 0) for number, (kind, body) in enumerate(bodies)]
    named = await bob.device._run(lambda books: take_events(books, AccountPage(200, False, events)))
    assert named == set()
    assert await rows(bob, "SELECT id FROM conversations") == [(team.id,)]
    assert await rows(bob, "SELECT 1 FROM leaves") == []
