"""What a restored server lacks is posted back by those who hold it, and everybody goes on together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from client.restoring import Place, assert_calm, notices, said
from client.world import Clock, Wire, World
from tacit.client import Client
from tacit.server.admin.check import check


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path, Clock())
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def town(place: Place, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        made = World("http://127.0.0.1:8080", tmp_path, stack, lambda: Wire(place))
        made.clock = place.clock
        yield made


async def members(client: Client) -> set[str]:
    team = await client.conversation("team")
    await team.refresh()
    return {each.user_id for each in team.members()}


async def test_an_epoch_that_was_lost_comes_back_and_talk_goes_on_in_it(town: World, place: Place) -> None:
    alice, bob, carol = await town.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await team.send("one")
    for each in (bob, carol):
        await each.sync()
    place.back_up()
    await team.rotate()
    await team.send("two")
    await bob.sync()
    await place.restore()

    assert await said(bob) == ["one", "two"]
    assert (await notices(bob)).count("server_behind") == 1
    assert await said(carol) == ["one", "no_grant", "no_grant"]  # whoever was there last asks for the key
    await bob.sync()
    assert await said(carol) == ["one", "two"]
    assert await said(alice) == ["one", "two"]
    for each in (alice, bob, carol):
        team = await each.conversation("team")
        assert team.epoch == 2
        await team.send(f"from {(await each.account.view()).user_id}")
    expected = ["one", "two", "from alice", "from bob", "from carol"]
    for each in (alice, bob, carol):
        assert await said(each) == expected
    await assert_calm(alice, bob, carol)
    assert list(check(place.database)) == []


async def test_what_the_sender_alone_has_comes_back_in_its_place(town: World, place: Place) -> None:
    """The server took it and forgot it before it came back to anybody."""
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("one")
    await bob.sync()
    place.back_up()
    await team.send("two")
    await team.rotate()
    await team.send("three")
    await place.restore()
    assert await said(alice) == ["one", "two", "three"]
    bob_hears = await bob.conversation("team")
    await bob.sync()
    await alice.sync()
    await bob.sync()
    messages = [each async for each in bob_hears.messages()]
    assert [(each.text, each.trust) for each in messages] == [
        ("one", "pinned"),
        ("two", "pinned"),
        ("three", "pinned"),
    ]
    await assert_calm(alice, bob)
    assert await alice.device.run(lambda books: books.connection.execute("SELECT * FROM acknowledged").fetchall()) == []


@pytest.mark.parametrize("first", ["alice", "bob"])
async def test_who_was_removed_stays_removed_whoever_comes_first(town: World, place: Place, first: str) -> None:
    alice, bob, carol = await town.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await team.send("one")
    for each in (bob, carol):
        await each.sync()
    place.back_up()
    await (await carol.conversation("team")).send("from carol")
    await carol.sync()
    await team.remove("carol")
    await team.send("two")
    await carol.sync()
    await bob.sync()
    await place.restore()

    assert await said(alice if first == "alice" else bob) == ["one", "from carol", "two"]
    await (await bob.conversation("team")).send("three")
    assert await said(carol) == ["one", "from carol"]
    assert await said(alice) == await said(bob) == ["one", "from carol", "two", "three"]
    assert "carol" not in await members(alice)
    await assert_calm(alice, bob)
    assert await carol.alarms() == []
    assert list(check(place.database)) == []


async def test_a_removed_member_brings_back_no_more_than_its_removal(town: World, place: Place) -> None:
    alice, bob, carol = await town.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await team.send("one")
    for each in (bob, carol):
        await each.sync()
    place.back_up()
    await team.remove("carol")
    await carol.sync()
    await place.restore()
    await carol.sync()
    await bob.sync()
    assert "carol" not in await members(bob)
    assert await said(alice) == ["one"]
    await team.send("two")
    await bob.sync()
    assert await said(bob) == ["one", "two"]
    assert await said(carol) == ["one"]
    await assert_calm(alice, bob)
    assert list(check(place.database)) == []


@pytest.mark.parametrize("first", ["alice", "bob", "carol"])
async def test_a_conversation_that_was_founded_since_comes_back_whole(town: World, place: Place, first: str) -> None:
    people = dict(zip(("alice", "bob", "carol"), await town.register("alice", "bob", "carol"), strict=True))
    for each in people.values():
        await each.sync()
    place.back_up()
    team = await people["alice"].create_conversation("team", members=["bob"])
    await team.send("one")
    await people["bob"].sync()
    await (await people["bob"].conversation("team")).send("two")
    await people["alice"].sync()
    await team.add("carol")
    await team.send("three")
    for each in people.values():
        await each.sync()
    await place.restore()
    await people[first].sync()
    for each in people.values():
        await each.sync()
    for each in people.values():
        await each.sync()
    assert await said(people["alice"]) == await said(people["bob"]) == ["one", "two", "three"]
    assert await said(people["carol"]) == ["no_grant", "no_grant", "no_grant", "three"]
    for name, each in people.items():
        await (await each.conversation("team")).send(f"from {name}")
    for each in people.values():
        assert (await said(each))[-3:] == ["from alice", "from bob", "from carol"]
    await assert_calm(*people.values())
    assert list(check(place.database)) == []
