"""Messages as they come, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from client.simulator import Simulator
from client.world import World
from tacit import errors
from tacit.client import Client, Conversation, Message

SEND = "/api/messages/encrypted"


async def next_of(messages: AsyncIterator[Message]) -> Message:
    return await asyncio.wait_for(anext(messages), 60)


async def pair(live: World) -> tuple[Client, Client, Conversation, Conversation]:
    alice, bob = await live.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await bob.sync()
    return alice, bob, team, await bob.conversation("team")


async def test_messages_edits_and_deletions_come_as_they_are_sent(live: World) -> None:
    _, _, alices, bobs = await pair(live)
    await alices.send("before")
    following = bobs.messages(follow=True)
    assert (await next_of(following)).text == "before"
    first = await alices.send("typo")
    assert (await next_of(following)).text == "typo"
    await alices.edit(first, "mended")
    edit = await next_of(following)
    assert (edit.kind, edit.text, edit.target) == ("edit", "mended", first.client_message_id)
    await alices.delete(first)
    deletion = await next_of(following)
    assert (deletion.kind, deletion.text, deletion.target) == ("delete", "", first.client_message_id)
    await alices.rename("crew")
    await alices.rotate()
    await alices.send("after")
    assert (await next_of(following)).text == "after"
    assert (bobs.name, bobs.epoch) == ("crew", 2)


async def test_while_following_messages_go_out_by_the_socket(live: World) -> None:
    _, _, alices, bobs = await pair(live)
    following = bobs.messages(follow=True)
    first = asyncio.create_task(next_of(following))
    service = bobs._device
    while not (service._parts is not None and service._parts.socket.connected):
        await asyncio.sleep(0)
    before = live.wires["bob"].requests.count(("POST", SEND))
    sent = await bobs.send("by the socket")
    assert (await first).client_message_id == sent.client_message_id
    assert live.wires["bob"].requests.count(("POST", SEND)) == before
    assert [each.text async for each in alices.messages()] == ["by the socket"]


async def test_a_broken_socket_loses_nothing(live: World, listening: Simulator) -> None:
    _, _, alices, bobs = await pair(live)
    following = bobs.messages(follow=True)
    await alices.send("one")
    assert (await next_of(following)).text == "one"
    waiting = asyncio.create_task(next_of(following))
    while not listening.sockets:
        await asyncio.sleep(0)
    await listening.hang_up()
    await alices.send("two")
    await alices.send("three")
    assert (await waiting).text == "two"
    assert (await next_of(following)).text == "three"


async def test_pushes_that_are_never_sent_are_made_good_by_the_next(live: World, listening: Simulator) -> None:
    _, _, alices, bobs = await pair(live)
    following = bobs.messages(follow=True)
    await alices.send("one")
    assert (await next_of(following)).text == "one"
    waiting = asyncio.create_task(next_of(following))
    while not listening.sockets:
        await asyncio.sleep(0)
    listening.silent = True
    await alices.send("two")
    listening.silent = False
    await alices.send("three")
    assert (await waiting).text == "two"
    assert (await next_of(following)).text == "three"


async def test_a_device_that_is_wanted_no_more_stops_following(live: World, listening: Simulator) -> None:
    _, _, _, bobs = await pair(live)
    following = bobs.messages(follow=True)
    waiting = asyncio.create_task(next_of(following))
    while not listening.sockets:
        await asyncio.sleep(0)
    listening.sessions.clear()
    del listening.accounts["bob"]
    await listening.hang_up()
    with pytest.raises(errors.SignInRefused):
        await waiting
