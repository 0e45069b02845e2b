"""Changes that another member was faster with: what was lost is not in the way of what follows."""

from __future__ import annotations

import pytest

from client.world import World, rows, texts
from tacit import errors
from tacit.client import Client, Conversation
from tacit.client.openings import ADD, Intent


async def two_admins(world: World) -> tuple[Client, Conversation, Conversation]:
    """Alice does not know yet what bob does next."""
    alice, bob, _ = await world.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob"])
    await team.set_role("bob", "admin")
    await bob.sync()
    return alice, team, await bob.conversation("team")


async def change_without_looking(client: Client, conversation_id: str, intent: Intent) -> bool:
    parts = client.device._parts
    assert parts is not None
    return await parts.changes.open_epoch(conversation_id, intent)


async def test_what_another_did_first_is_forgotten(world: World) -> None:
    alice, team, his = await two_admins(world)
    await his.add("carol")
    assert not await change_without_looking(alice, team.id, Intent(ADD, ("carol",)))
    assert await rows(alice, "SELECT 1 FROM openings") == []
    await team.send("hello")
    assert await texts(his) == [("alice", "hello")]


async def test_what_one_has_no_right_to_any_more_is_forgotten(world: World) -> None:
    alice, team, his = await two_admins(world)
    await his.set_role("alice", "member")
    with pytest.raises(errors.NoRight):
        await change_without_looking(alice, team.id, Intent(ADD, ("carol",)))
    assert await rows(alice, "SELECT 1 FROM openings") == []
    await team.send("hello")
    assert await texts(his) == [("alice", "hello")]


async def test_what_one_wanted_before_a_removal_is_not_carried_out_after_a_return(world: World) -> None:
    alice, bob, _ = await world.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob"])
    await team.set_role("bob", "admin")
    await bob.sync()
    bobs = await bob.conversation("team")
    world.wires["alice"].lose("request", "conversation/keys")
    with pytest.raises(errors.Unreachable):
        await team.add("carol")
    await bobs.remove("alice")
    await alice.sync()
    assert await rows(alice, "SELECT 1 FROM openings") == []
    await bobs.add("alice")
    await bobs.set_role("alice", "admin")
    await alice.sync()
    await bobs.refresh()
    assert [each.user_id for each in bobs.members()] == ["alice", "bob"]
