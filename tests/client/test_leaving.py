"""Leaves of people with several devices, on the product's own server."""

from __future__ import annotations

import pytest

from client.world import World, password_of
from tacit import errors


async def test_a_leave_under_a_version_that_others_have_not_met_is_fetched_and_judged(town: World) -> None:
    alice, bob, carol = await town.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    for client in (bob, carol):
        await client.sync()
    await town.another("bob", "tablet")  # nothing in the record but the leave names the version that this makes
    await bob.sync()
    await (await bob.conversation("team")).leave()
    await alice.sync()
    await team.send("without bob")
    await carol.device.pull(team.id)
    hers = await carol.conversation("team")
    assert (hers.epoch, hers.blocked) == (2, "")
    assert [each.user_id for each in hers.members()] == ["alice", "carol"]
    await hers.send("we two")


async def test_who_was_reset_is_told_that_there_is_nothing_to_leave(town: World) -> None:
    alice, bob = await town.register("alice", "bob")
    await alice.create_conversation("team", members=["bob"])
    await bob.sync()
    await bob.account.reset("another password", password=password_of("bob"))
    with pytest.raises(errors.NotAMember):
        await (await bob.conversation("team")).leave()
    await bob.sync()
    assert "leave" not in {path.rpartition("/")[2] for _, path in town.wires["bob"].requests}


async def test_a_leave_that_went_stale_is_signed_again(town: World) -> None:
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await bob.sync()
    await (await bob.conversation("team")).leave()
    tablet = await town.another("bob", "tablet")
    await tablet.sync()
    his = await tablet.conversation("team")
    await his.rotate()  # no record removes its opener, and this one names the account version with the tablet
    assert [each.user_id for each in his.members()] == ["alice", "bob"]
    await bob.sync()
    await bob.sync()
    await alice.sync()
    await team.send("without bob")
    assert [each.user_id for each in team.members()] == ["alice"]


async def test_a_leave_is_not_sent_for_an_account_that_was_reset_since(town: World) -> None:
    alice, bob = await town.register("alice", "bob")
    await alice.create_conversation("team", members=["bob"])
    await bob.sync()
    town.wires["bob"].lose("request", "/leave")
    with pytest.raises(errors.Unreachable):
        await (await bob.conversation("team")).leave()
    tablet = await town.another("bob", "tablet")
    await tablet.account.reset("another password", password=password_of("bob"), keep=[await id_of(bob)])
    sent = len(town.wires["bob"].requests)
    await bob.sync()
    assert not [path for _, path in town.wires["bob"].requests[sent:] if path.endswith("/leave")]


async def id_of(client: object) -> str:
    return str(await client.device.run(lambda books: books.me.device_id))  # type: ignore[attr-defined]
