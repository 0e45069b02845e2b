"""A server that was restored from a backup, and the people whom it had promised to keep what is not in it."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from client import restoring
from client.restoring import Place, notices, said
from client.world import World, password_of
from tacit import errors
from tacit.api.messages import LostItem, Page
from tacit.client.sync import check_page
from tacit.server.admin.check import check

place, town = restoring.place, restoring.town


async def test_what_nobody_is_there_to_post_back_is_missing_and_talk_goes_on(town: World, place: Place) -> None:
    """Bob received what the backup lacks and stays away, carol did not."""
    alice, bob, carol = await town.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await team.send("one")
    for each in (bob, carol):
        await each.sync()
    place.back_up()
    await (await carol.conversation("team")).send("two")
    assert await said(bob) == ["one", "two"]
    await carol.device.run(lambda books: books.connection.execute("DELETE FROM acknowledged"))

    await place.restore()
    await team.send("three")
    assert await said(alice) == await said(carol) == ["one", "three"]
    assert await said(bob) == ["one", "two", "three"]
    assert await said(alice) == await said(carol) == ["one", "three", "two"]
    await (await carol.conversation("team")).send("four")  # the places that were lost do not wear the key out
    assert await said(bob) == ["one", "two", "three", "four"]
    for each in (alice, bob, carol):
        assert await each.alarms() == []
        team = await each.conversation("team")
        assert (team.blocked, team.epoch) == ("", 1)
        assert (await notices(each)).count("server_restored") == 1
        assert (await team.gaps()).hashes == frozenset()
    assert list(check(place.database)) == []


async def test_a_device_that_comes_later_takes_the_lost_places_too(town: World, place: Place) -> None:
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("one")
    place.back_up()
    await place.restore()
    await team.send("two")
    tablet = await town.another("bob", "tablet")
    await tablet.fetch_recent(1)
    assert await said(tablet) == ["one", "two"]
    assert await tablet.alarms() == []
    assert "server_restored" not in await notices(tablet)
    assert await said(bob) == ["one", "two"]


async def test_what_waited_to_be_sent_is_sent(town: World, place: Place) -> None:
    """The server took it, and neither its answer nor the server's memory of it is left."""
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("one")
    await bob.sync()
    place.back_up()
    town.wires["alice"].lose("answer", "/messages/encrypted")
    with pytest.raises(errors.Unreachable):
        await team.send("two")
    assert await said(bob) == ["one", "two"]
    await place.restore()
    town.wires["alice"].faults.clear()
    assert await said(alice) == ["one", "two"]
    assert await said(bob) == ["one", "two"]
    assert await alice.alarms() == await bob.alarms() == []


async def test_a_reset_that_was_cancelled_since_does_not_come_back(town: World, place: Place) -> None:
    (alice,) = await town.register("alice")
    await alice.account.reset("another password")
    place.back_up()
    await place.restore()
    await alice.sync()
    assert {"server_restored", "reset_cancelled"} <= set(await notices(alice))
    assert place.backend is not None
    waiting = await place.backend.store.read(lambda db: db.execute("SELECT 1 FROM pending_resets").fetchall())
    assert waiting == []
    town.clock.ahead += 73 * 60 * 60 * 1000
    _, until = await alice.account.reset("another password")
    assert until > town.clock()


async def test_a_password_that_was_changed_since_is_good_again(town: World, place: Place) -> None:
    """What the operator's page warns of: the vault of then opens by the password of then."""
    (alice,) = await town.register("alice")
    place.back_up()
    await alice.account.change_password("another password", password=password_of("alice"))
    await place.restore()
    assert await town.another("alice", "tablet")


@pytest.mark.parametrize(
    ("places", "cursor", "holds"),
    [
        ([(4, 9)], 9, True),
        ([(4, 4)], 4, True),
        ([(4, 6), (7, 9)], 9, True),
        ([(4, 9)], 8, False),
        ([(4, 3)], 3, False),
        ([(5, 9)], 9, False),
        ([(3, 9)], 9, False),
        ([(4, 6), (6, 9)], 9, False),
        ([(4, 6), (8, 9)], 9, False),
        ([(4, 1_000_003), (1_000_004, 10_000_003)], 10_000_003, True),
        ([(4, 10_000_004)], 10_000_004, False),
        ([(4, 2**53 - 1)], 2**53 - 1, False),
        ([(4, 5_000_000), (5_000_001, 10_000_004)], 10_000_004, False),
    ],
)
def test_lost_places_leave_no_number_out_either(places: list[tuple[int, int]], cursor: int, holds: bool) -> None:
    page = Page([LostItem(first, 0, last) for first, last in places], cursor, False)
    with nullcontext() if holds else pytest.raises(errors.UnexpectedAnswer):
        check_page(page, 3)
