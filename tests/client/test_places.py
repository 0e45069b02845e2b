"""Where things stand in a conversation: the server gives the numbers, and is held to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import pytest

from client.world import World, rows
from tacit import errors
from tacit.api.conversations import EpochWritten
from tacit.client import Client, Conversation
from tacit.client.openings import ROTATE, Intent

KEYS = "/api/encryption/conversation/keys"
SEND = "/api/messages/encrypted"

Pages = Callable[[list[Any]], list[Any]]


async def three(world: World) -> tuple[Client, Client, Client, Conversation]:
    alice, bob, mallory = await world.register("alice", "bob", "mallory")
    team = await alice.create_conversation("team", members=["bob", "mallory"])
    await bob.sync()
    await mallory.sync()
    return alice, bob, mallory, team


def serving(world: World, name: str, change: Pages) -> None:
    """From now on this person's pages have other items; the cursor is that of the last one."""

    def rewrite(request: httpx2.Request, answer: Any) -> Any:
        pages = [answer] if request.method == "GET" and request.url.path == SEND else []
        if request.url.path == "/api/sync":
            pages.extend(answer["conversations"].values())
        for page in pages:
            before = page["items"][0]["seq"] - 1 if page["items"] else page["cursor"]
            page["items"] = change(page["items"])
            page["cursor"] = page["items"][-1]["seq"] if page["items"] else before
        return answer

    world.wires[name].rewrite = rewrite


async def shown(client: Client, conversation_id: str) -> list[tuple[str, str]]:
    return [(each.sender, each.cause or each.text) for each in (await client.device.history(conversation_id))[0]]


async def caught(world: World, client: Client, conversation_id: str, text: str) -> dict[str, Any]:
    """What somebody seals, as a page's item without its number; the server has not taken it."""
    world.wires["mallory"].down = True
    with pytest.raises(errors.Unreachable):
        await client.device.send_text(conversation_id, text)
    ((sealed,),) = await rows(client, "SELECT sealed FROM outbox")
    return {"kind": "message", "createdAt": 1, "encryptedPayload": msgspec.json.decode(sealed)}


async def restore(client: Client) -> None:
    """The server says that it was restored: the client compares everything from the beginning on."""
    await client.device._run(lambda books: books.set_meta("incarnation", b"an earlier one"))
    await client.sync()


async def test_ones_own_record_stands_where_it_is_served_or_nothing_is_sent_any_more(world: World) -> None:
    alice, _, _, team = await three(world)

    def far_ahead(request: httpx2.Request, answer: Any) -> Any:
        return {**answer, "seq": 1000} if request.url.path == KEYS else answer

    world.wires["alice"].rewrite = far_ahead
    with pytest.raises(errors.SendingBlocked):
        await team.remove("mallory")
    await team.refresh()
    assert team.blocked.startswith("server_misbehaved")
    assert [each.user_id for each in team.members()] == ["alice", "bob"]
    assert await rows(alice, "SELECT epoch, seq FROM records ORDER BY epoch") == [(1, 1), (2, 3)]
    assert [(alarm.about, alarm.code) for alarm in await alice.alarms()] == [("conversation", "server_misbehaved")]


async def test_ones_own_record_that_is_not_served_does_not_count_until_it_is(world: World) -> None:
    alice, _, mallory, team = await three(world)
    payload = await caught(world, mallory, team.id, "still here")
    serving(world, "alice", lambda items: [item for item in items if item["kind"] != "record"])
    with pytest.raises(errors.UnexpectedAnswer):
        await team.remove("mallory")
    assert await rows(alice, "SELECT epoch FROM records") == [(1,)]
    assert len(await rows(alice, "SELECT 1 FROM openings")) == 1
    world.wires["alice"].rewrite = None
    await alice.sync()
    await team.refresh()
    assert [each.user_id for each in team.members()] == ["alice", "bob"]
    assert await rows(alice, "SELECT 1 FROM openings") == []
    serving(world, "alice", lambda items: [*items, {**payload, "seq": 5}])
    await alice.device.pull(team.id)
    assert await shown(alice, team.id) == [("mallory", "late_after_removal")]


async def test_a_record_of_another_in_ones_place_stops_the_conversation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server says that it took the record, and serves everybody another one for its epoch."""
    alice, bob, _, team = await three(world)
    await (await bob.conversation("team")).rotate()

    async def took_both(_: object) -> EpochWritten:
        return EpochWritten(True, "00" * 32, 2, 3)

    monkeypatch.setattr(alice.device.api, "post_encryption_conversation_keys", took_both)
    with pytest.raises(errors.SendingBlocked):
        await alice.device._parts.changes.open_epoch(team.id, Intent(ROTATE))  # type: ignore[union-attr]
    await team.refresh()
    assert team.blocked.startswith("server_misbehaved")


async def test_a_message_in_the_place_of_a_record_is_kept_as_evidence_and_not_shown(world: World) -> None:
    _, bob, mallory, team = await three(world)
    payload = await caught(world, mallory, team.id, "weeks after my removal")
    await team.remove("mallory")
    await bob.sync()
    serving(world, "bob", lambda items: [{**payload, "seq": 3} if item["seq"] == 3 else item for item in items])
    await restore(bob)
    assert await shown(bob, team.id) == []
    assert [(alarm.about, alarm.code) for alarm in await bob.alarms()] == [("conversation", "server_misbehaved")]


@pytest.mark.parametrize("order", [(1, 3, 2, 4), (1, 2, 4, 3)], ids=["forward", "back"])
async def test_a_record_at_another_place_than_before_stops_the_conversation(
    world: World, order: tuple[int, ...]
) -> None:
    _, bob, _, team = await three(world)
    await team.remove("mallory")
    await bob.sync()

    def moved(items: list[Any]) -> list[Any]:
        by_seq = {item["seq"]: item for item in items}
        return [{**by_seq[seq], "seq": place} for place, seq in enumerate(order, 1) if seq in by_seq]

    serving(world, "bob", moved)
    await restore(bob)
    assert (await bob.conversation("team")).blocked.startswith("server_misbehaved")
    assert await rows(bob, "SELECT epoch, seq FROM records ORDER BY epoch") == [(1, 1), (2, 3)]


async def test_a_record_in_the_place_of_a_message_stops_the_conversation(world: World) -> None:
    _, bob, _, team = await three(world)
    await team.send("three")
    await bob.sync()
    await team.remove("mallory")
    late: list[Any] = []

    def earlier(items: list[Any]) -> list[Any]:
        late.extend(item for item in items if item["kind"] == "record" and item["seq"] == 4)
        return [{**late[0], "seq": 3} if item["seq"] == 3 else item for item in items if item["seq"] < 4]

    serving(world, "bob", earlier)
    await restore(bob)
    view = await bob.conversation("team")
    assert view.blocked.startswith("server_misbehaved")
    assert view.epoch == 1


def keeping_back(world: World, name: str, payload: dict[str, Any], epoch: int) -> Callable[[], None]:
    """Serve this person everything but one record, and then a message; what is given serves the record."""
    records: dict[int, Any] = {}
    at = [0]

    def without(items: list[Any]) -> list[Any]:
        records.update({item["epoch"]: item for item in items if item["kind"] == "record"})
        start = items[0]["seq"] if items else 0
        left = [item for item in items if item["kind"] != "record" or item["epoch"] != epoch]
        served = [{**item, "seq": seq} for seq, item in enumerate([*left, payload], start)] if items else []
        at[0] = served[-1]["seq"] if served else at[0]
        return served

    def then() -> None:
        serving(world, name, lambda items: [{**records[epoch], "seq": at[0] + 1}])

    serving(world, name, without)
    return then


async def test_messages_before_the_record_of_their_epoch_stop_the_conversation(world: World) -> None:
    """The server lets who was removed write on before the removal, by serving what the others wrote after it first."""
    _, bob, mallory, team = await three(world)
    payload = await caught(world, mallory, team.id, "pay me")
    await team.remove("mallory")
    await team.send("mallory is out")
    then = keeping_back(world, "bob", payload, 2)
    await bob.sync()
    view = await bob.conversation("team")
    assert view.blocked == "record_missing: epoch 2"
    with pytest.raises(errors.SendingBlocked):
        await view.send("to whom?")
    then()
    await bob.sync()
    await view.refresh()
    assert view.blocked.startswith("server_misbehaved")
    assert ("alice", "message_tampered") in await shown(bob, team.id)
    assert ("alice", "mallory is out") not in await shown(bob, team.id)
    assert {(alarm.about, alarm.code) for alarm in await bob.alarms()} == {("conversation", "server_misbehaved")}


async def test_a_record_before_the_one_that_it_follows_stops_the_conversation(world: World) -> None:
    _, bob, mallory, team = await three(world)
    payload = await caught(world, mallory, team.id, "pay me")
    await team.remove("mallory")
    await team.rotate()

    taken: list[Any] = []

    def turned(items: list[Any]) -> list[Any]:
        taken.extend(item for item in items if item["kind"] == "record")
        return [{**taken[1], "seq": 3}, {**payload, "seq": 4}, {**taken[0], "seq": 5}]

    serving(world, "bob", turned)
    await bob.sync()
    view = await bob.conversation("team")
    assert view.blocked.startswith("server_misbehaved: record 3 stands before")
    assert await rows(bob, "SELECT epoch, seq, place FROM records ORDER BY epoch") == [
        (1, 1, "accepted"),
        (2, 5, "accepted"),
        (3, 3, "invalid"),
    ]
    assert (await (await world.come_back("bob")).conversation("team")).blocked == view.blocked
