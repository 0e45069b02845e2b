from __future__ import annotations

import asyncio
from typing import Any

import pytest

from client.world import Crash, World, abandon, rows, texts
from tacit import errors
from tacit.client import Client, Conversation
from tacit.client.books import Books
from tacit.signed.record import ConversationRecord
from tacit.wire.codec import decode

KEYS = "/api/encryption/conversation/keys"
FAULTS = ["lose request", "lose answer", "crash before", "crash after"]


async def team_of(world: World, *names: str) -> tuple[list[Client], list[Conversation]]:
    """The first of these people founds a conversation with the others; everybody's view of it."""
    clients = await world.register(*names)
    await clients[0].create_conversation("team", members=names[1:])
    return clients, [await look(client) for client in clients]


async def look(client: Client) -> Conversation:
    await client.sync()
    return await client.conversation("team")


def users(conversation: Conversation) -> list[str]:
    return [each.user_id for each in conversation.members()]


async def head(client: Client, conversation_id: str) -> tuple[int, bytes, bool]:
    """The newest epoch that this client holds: its number, its record's hash, and whether its key is there."""

    def work(books: Books) -> tuple[int, bytes, bool]:
        known = books.held(conversation_id).head()
        assert known is not None
        return known.record.epoch, known.record_hash, known.opened is not None

    return await client.device._run(work)


async def test_who_was_removed_reads_nothing_that_follows(world: World) -> None:
    clients, (alices, bobs, carols) = await team_of(world, "alice", "bob", "carol")
    await alices.send("with carol")
    await alices.remove("carol")
    await alices.send("without carol")
    assert users(alices) == ["alice", "bob"]
    assert await texts(bobs) == [("alice", "with carol"), ("alice", "without carol")]
    assert await texts(carols) == [("alice", "with carol")]
    await carols.refresh()
    assert carols.blocked == "you are not a member any more"
    with pytest.raises(errors.SendingBlocked):
        await carols.send("let me in")
    assert len(await rows(clients[2], "SELECT 1 FROM epoch_keys")) == 1
    assert len(await rows(clients[1], "SELECT 1 FROM epoch_keys")) == 2


async def test_who_was_removed_and_comes_back_lacks_what_was_between(world: World) -> None:
    _, (alices, bobs, carols) = await team_of(world, "alice", "bob", "carol")
    await alices.send("one")
    await alices.remove("carol")
    await alices.send("two")
    await alices.add("carol")
    await alices.send("three")
    read = {text: cause for cause, text in await texts(carols)}
    assert "one" in read
    assert "three" in read
    assert "two" not in read
    await carols.send("four")
    assert (await texts(bobs))[-1] == ("carol", "four")


@pytest.mark.parametrize("count", [2, 3])
async def test_epochs_opened_at_once_converge_and_lose_no_change(world: World, count: int) -> None:
    names = ("alice", "bob", "carol", "dave", "erin")
    clients = await world.register(*names)
    await clients[0].create_conversation("team", members=names[1:3])
    views = [await look(client) for client in clients[:count]]
    await views[0].set_role("bob", "admin")
    changes: list[Any] = [views[0].add("dave"), views[1].add("erin")]
    if count == 3:
        changes.append(views[2].rotate())
    await asyncio.gather(*changes)
    heads = set()
    for client in clients:
        view = await look(client)
        assert users(view) == list(names)
        assert view.epoch == 2 + count
        heads.add(await head(client, view.id))
    assert len(heads) == 1
    assert heads.pop()[2]
    for client in clients:
        await (await look(client)).send("here")
    read = await texts(await look(clients[4]))
    assert read[-5:] == [(name, "here") for name in names]


async def test_the_same_change_made_twice_at_once_is_made_once(world: World) -> None:
    clients, views = await team_of(world, "alice", "bob", "carol")
    await views[0].set_role("bob", "admin")
    await asyncio.gather(views[0].remove("carol"), views[1].remove("carol"))
    for client in clients[:2]:
        view = await look(client)
        assert (users(view), view.epoch) == (["alice", "bob"], 3)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_new_conversation_survives_the_end_of_its_process(world: World, fault: str) -> None:
    alice, bob = await world.register("alice", "bob")
    world.wires["alice"].fail(fault, KEYS)
    world.wires["alice"].fail("crash before", KEYS)
    with pytest.raises(Crash):
        await alice.create_conversation("team", members=["bob"])
    await abandon(alice)
    back = await world.come_back("alice")
    (hers, his) = (await look(back), await look(bob))
    assert (hers.id, hers.epoch, users(hers)) == (his.id, 1, ["alice", "bob"])
    await hers.send("hello")
    assert await texts(his) == [("alice", "hello")]
    assert await rows(back, "SELECT 1 FROM openings") == []


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_change_survives_the_end_of_its_process(world: World, fault: str) -> None:
    clients, views = await team_of(world, "alice", "bob", "carol")
    world.wires["alice"].fail(fault, KEYS)
    world.wires["alice"].fail("crash before", KEYS)
    with pytest.raises(Crash):
        await views[0].remove("carol")
    sent = [body for body in world.wires["alice"].bodies if b'"memberIds"' in body]
    await abandon(clients[0])
    back = await world.come_back("alice")
    await back.sync()
    hers, his = await look(back), await look(clients[1])
    assert (hers.epoch, users(hers)) == (his.epoch, users(his)) == (2, ["alice", "bob"])
    await hers.send("hello")
    assert await texts(his) == [("alice", "hello")]
    again = [body for body in world.wires["alice"].bodies if b'"memberIds"' in body]
    if fault in ("lose answer", "crash after"):  # the first one counts, whoever tells of it first
        assert again in ([], sent[-1:])
    assert await rows(back, "SELECT 1 FROM openings") == []


@pytest.mark.parametrize("fault", ["crash before", "crash after"])
async def test_a_change_that_lost_its_race_while_nobody_ran_it_is_made_on_the_new_head(
    world: World, fault: str
) -> None:
    clients, views = await team_of(world, "alice", "bob", "carol")
    world.wires["alice"].fail(fault, KEYS)
    with pytest.raises(Crash):
        await views[0].remove("carol")
    await abandon(clients[0])
    bobs = await look(clients[1])
    await bobs.rotate()
    back = await world.come_back("alice")
    hers = await look(back)
    his = await look(clients[1])
    assert (hers.epoch, users(hers)) == (his.epoch, users(his)) == (3, ["alice", "bob"])
    keys = await rows(back, "SELECT count(DISTINCT key) FROM epoch_keys")
    assert keys == [(3,)]


async def test_every_attempt_makes_a_fresh_key(world: World) -> None:
    clients, views = await team_of(world, "alice", "bob")
    seen: list[tuple[bytes, bytes]] = []
    original = world.wires["alice"].handle_async_request

    async def watch(request: Any) -> Any:
        if request.url.path == KEYS:
            seen.extend(await rows(clients[0], "SELECT key, record FROM openings"))
            if len(seen) == 1:
                await views[1].rotate()
        return await original(request)

    world.wires["alice"].handle_async_request = watch  # type: ignore[method-assign]
    await views[0].rotate()
    assert len(seen) == 2
    assert seen[0][0] != seen[1][0]
    assert [decode(ConversationRecord, record).epoch for _, record in seen] == [2, 3]


async def test_a_definite_refusal_leaves_the_conversation_as_it_was(world: World) -> None:
    clients, views = await team_of(world, "alice", "bob")
    world.wires["alice"].refuse(errors.InvalidGrant("no"), KEYS)
    with pytest.raises(errors.InvalidGrant):
        await views[0].rotate()
    assert await rows(clients[0], "SELECT 1 FROM openings") == []
    await views[0].send("still here")
    assert views[0].epoch == 1
    world.wires["alice"].refuse(errors.InvalidRecord("no"), KEYS)
    with pytest.raises(errors.InvalidRecord):
        await clients[0].create_conversation("another")
    assert [each.name for each in await clients[0].conversations()] == ["team"]


async def test_a_server_for_which_every_record_is_outdated_is_given_up(world: World) -> None:
    _, views = await team_of(world, "alice", "bob")
    world.wires["alice"].refuse(errors.RecordOutdated(accounts=["bob", 7], leaves=["AA==", "?", 7]), KEYS, times=99)
    with pytest.raises(errors.EpochConflict):
        await views[0].rotate()
    assert len(world.wires["alice"].refusals) == 89


async def test_a_plain_member_changes_no_one_elses_place(world: World) -> None:
    _, views = await team_of(world, "alice", "bob", "carol")
    for change in (views[1].add("alice"), views[1].remove("carol"), views[1].set_role("bob", "admin")):
        with pytest.raises(errors.NoRight):
            await change
    await views[1].rotate()
    assert views[1].epoch == 2


async def test_roles_change_and_the_last_admin_stays(world: World) -> None:
    _, views = await team_of(world, "alice", "bob")
    for change in (views[0].set_role("alice", "member"), views[0].leave(), views[0].remove("alice")):
        with pytest.raises(errors.InvalidArgument):
            await change
    with pytest.raises(errors.InvalidArgument):
        await views[0].set_role("bob", "owner")
    await world.register("zoe")
    with pytest.raises(errors.InvalidArgument):
        await views[0].set_role("zoe", "admin")
    await views[0].set_role("bob", "admin")
    await views[0].set_role("bob", "admin")
    assert views[0].epoch == 2
    await views[0].set_role("alice", "member")
    assert [(each.user_id, each.role) for each in views[0].members()] == [("alice", "member"), ("bob", "admin")]
    with pytest.raises(errors.NoRight):
        await views[0].remove("bob")


async def test_who_leaves_is_out_with_the_next_message_of_another(world: World) -> None:
    _, (alices, bobs, carols) = await team_of(world, "alice", "bob", "carol")
    await bobs.leave()
    assert bobs.blocked == "you asked to leave"
    with pytest.raises(errors.SendingBlocked):
        await bobs.send("one more thing")
    await carols._device.sync()
    sent = await carols.send("he is gone")
    assert sent.epoch == 2
    assert users(carols) == ["alice", "carol"]
    assert await texts(bobs) == []
    assert bobs.blocked == "you are not a member any more"
    assert await texts(alices) == [("carol", "he is gone")]


async def test_asking_to_leave_twice_sends_the_same_wish(world: World) -> None:
    clients, (_, bobs) = await team_of(world, "alice", "bob")
    await bobs.leave()
    await bobs.leave()
    wishes = [body for body in world.wires["bob"].bodies if b'"leave"' in body]
    assert len(wishes) == 2
    assert wishes[0] == wishes[1]
    await clients[1].device.close()


async def test_a_leave_that_was_lost_is_asked_for_again(world: World) -> None:
    clients, (alices, bobs, _) = await team_of(world, "alice", "bob", "carol")
    world.wires["bob"].fail("crash before", "/leave")
    with pytest.raises(Crash):
        await bobs.leave()
    await abandon(clients[1])
    back = await world.come_back("bob")
    await back.sync()
    await back.sync()
    assert len([body for body in world.wires["bob"].bodies if b'"leave"' in body]) == 1
    await alices._device.sync()
    await alices.send("goodbye")
    assert users(alices) == ["alice", "carol"]


async def test_a_change_waits_for_the_outcome_of_the_one_before_it(world: World) -> None:
    clients, views = await team_of(world, "alice", "bob", "carol")
    await world.register("dave")
    world.wires["alice"].lose("request", KEYS)
    with pytest.raises(errors.Unreachable):
        await views[0].remove("carol")
    assert len(await rows(clients[0], "SELECT 1 FROM openings")) == 1
    await views[0].add("dave")
    assert (users(views[0]), views[0].epoch) == (["alice", "bob", "dave"], 3)
    assert await rows(clients[0], "SELECT 1 FROM openings") == []


@pytest.mark.parametrize("founded", [True, False])
async def test_an_epoch_that_was_kept_is_not_sent_in_a_conversation_that_was_stopped(
    world: World, founded: bool
) -> None:
    alice, _ = await world.register("alice", "bob")
    if founded:
        team = await alice.create_conversation("team", members=["bob"])
    world.wires["alice"].fail("crash before", KEYS)
    with pytest.raises(Crash):
        await (team.rotate() if founded else alice.create_conversation("team", members=["bob"]))
    ((conversation_id,),) = await rows(alice, "SELECT conversation_id FROM openings")

    def stop(books: Books) -> None:
        held = books.held(conversation_id)
        held.stopped = "server_misbehaved: two valid records follow one"
        books.save(held)

    await alice.device._run(stop)
    await abandon(alice)
    back = await world.come_back("alice")
    await back.sync()
    assert ("POST", KEYS) not in world.wires["alice"].requests
    view = await back.conversation(conversation_id)
    for change in (view.rotate(), view.send("hello")):
        with pytest.raises(errors.SendingBlocked if founded else errors.TacitError):
            await change
    assert ("POST", KEYS) not in world.wires["alice"].requests


async def test_a_conflict_with_ones_own_record_is_no_conflict(world: World) -> None:
    clients, views = await team_of(world, "alice", "bob")
    world.wires["alice"].fail("lose answer", KEYS)
    world.wires["alice"].refuse(errors.EpochConflict(epoch=2), KEYS)
    await views[0].rotate()
    assert (views[0].epoch, (await look(clients[1])).epoch) == (2, 2)
    assert await rows(clients[0], "SELECT 1 FROM openings") == []
