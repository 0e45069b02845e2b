"""The newest messages first: on a new device, before the rest of a long history."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from client.world import World, rows, texts
from tacit import errors
from tacit.client import Client


async def long_talk(town: World) -> tuple[Client, Client]:
    """Twelve messages in two epochs."""
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    for number in range(6):
        await team.send(str(number))
    await team.rotate()
    for number in range(6, 12):
        await team.send(str(number))
    return alice, bob


async def received(client: Client) -> list[str]:
    (conversation,) = await client.conversations()
    return [message.text for message in await conversation.received()]


async def test_the_newest_come_first_and_the_rest_later(town: World) -> None:
    alice, _ = await long_talk(town)
    tablet = await town.another("alice", "tablet")
    await tablet.fetch_recent(3)
    assert await received(tablet) == ["9", "10", "11"]
    ((cursor, highest),) = await rows(tablet, "SELECT cursor, highest FROM conversations")
    assert (cursor, highest) == (0, 0)
    await tablet.sync()
    assert await received(tablet) == [str(number) for number in range(12)]
    (team,) = await tablet.conversations()
    await team.send("12")
    assert (await texts((await alice.conversations())[0]))[-1] == ("alice", "12")
    assert not await team.gaps()
    assert await tablet.alarms() == []


async def test_fetched_twice_nothing_is_shown_twice(town: World) -> None:
    alice, _ = await long_talk(town)
    tablet = await town.another("alice", "tablet")
    await tablet.fetch_recent(3)
    await tablet.fetch_recent(5)
    assert await received(tablet) == ["7", "8", "9", "10", "11"]
    (team,) = await alice.conversations()
    await team.send("12")
    await tablet.fetch_recent(3)
    assert (await received(tablet))[-1] == "12"
    await tablet.sync()
    assert await received(tablet) == [str(number) for number in range(13)]
    for count in (0, 501):
        with pytest.raises(errors.InvalidArgument):
            await tablet.fetch_recent(count)


async def test_nothing_is_sent_before_the_rest_is_here(town: World) -> None:
    await long_talk(town)
    tablet = await town.another("alice", "tablet")
    await tablet.fetch_recent(3)
    (team,) = await tablet.conversations()
    await team.send("12")
    await tablet.sync()
    assert await received(tablet) == [str(number) for number in range(13)]


async def test_what_stands_elsewhere_later_is_evidence(town: World) -> None:
    await long_talk(town)
    tablet = await town.another("alice", "tablet")
    await tablet.fetch_recent(3)

    def swapped(request: httpx2.Request, answer: Any) -> Any:
        pages = (answer.get("conversations") or {}) if request.url.path == "/api/sync" else {}
        for page in pages.values():
            items = page["items"]
            for name in ("encryptedPayload", "createdAt"):
                items[-1][name], items[-2][name] = items[-2][name], items[-1][name]
        return answer

    town.wires["alice-tablet"].rewrite = swapped
    await tablet.sync()
    assert len(await tablet.alarms()) == 2
    assert await received(tablet) == [str(number) for number in range(12)]


async def test_after_a_restore_of_the_server_cursors_are_dropped_here_too(town: World) -> None:
    alice, _ = await long_talk(town)
    await alice.sync()
    ((cursor,),) = await rows(alice, "SELECT cursor FROM conversations")
    assert cursor
    await alice.device.run(lambda books: books.set_meta("incarnation", b"an earlier one"))
    await alice.fetch_recent(3)
    assert await rows(alice, "SELECT cursor FROM conversations") == [(0,)]
    await alice.sync()
    assert await rows(alice, "SELECT cursor FROM conversations") == [(cursor,)]
    assert await alice.alarms() == []
