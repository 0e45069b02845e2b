from __future__ import annotations

import asyncio
import dataclasses
import os

import msgspec
import pytest

from client.world import Crash, World, abandon, rows, texts
from tacit import errors
from tacit.api.messages import SendMessages, Sent
from tacit.client import Client, Conversation, standing
from tacit.client.books import Books
from tacit.client.queue import enqueue
from tacit.client.timing import wall_clock
from tacit.conversation.content import TextBody
from tacit.signed.record import DAY, HOUR

SEND = "/api/messages/encrypted"
KEYS = "/api/encryption/conversation/keys"
FAULTS = ["lose request", "lose answer", "crash before", "crash after"]


async def pair(world: World) -> tuple[Client, Client, Conversation]:
    alice, bob = await world.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    return alice, bob, team


async def read_by(client: Client) -> list[tuple[str, str]]:
    await client.sync()
    return await texts(await client.conversation("team"))


@pytest.mark.parametrize("fault", ["lose request", "lose answer"])
async def test_a_retry_does_not_duplicate(world: World, fault: str) -> None:
    _, bob, team = await pair(world)
    world.wires["alice"].fail(fault, SEND)
    sent = await team.send("once")
    assert await read_by(bob) == [("alice", "once")]
    assert sent.seq == 3
    sealed = [body for body in world.wires["alice"].bodies if sent.client_message_id.encode() in body]
    assert len(set(sealed)) == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_message_survives_the_end_of_its_process_once(world: World, fault: str) -> None:
    alice, bob, team = await pair(world)
    await team.send("before")
    world.wires["alice"].fail(fault, SEND)
    world.wires["alice"].fail("crash before", SEND)
    with pytest.raises(Crash):
        await team.send("interrupted")
    bodies = [body for body in world.wires["alice"].bodies if b"encryptedText" in body]
    await abandon(alice)
    back = await world.come_back("alice")
    await back.sync()
    assert await read_by(bob) == await read_by(back) == [("alice", "before"), ("alice", "interrupted")]
    hers = await back.conversation("team")
    assert hers.unsent == ()
    again = [body for body in world.wires["alice"].bodies if b"encryptedText" in body]
    if fault in ("lose answer", "crash after"):
        assert again == bodies[-1:]


async def test_a_message_that_was_not_sealed_yet_goes_out_later(world: World) -> None:
    alice, bob, team = await pair(world)
    conversation_id = team.id
    world.wires["alice"].down = True
    for text in ("first", "second"):
        with pytest.raises(errors.Unreachable):
            await team.send(text)
    await team.refresh()
    assert [failure for _, failure in team.unsent] == ["", ""]
    assert len(await rows(alice, "SELECT 1 FROM outbox WHERE sealed IS NOT NULL")) == 1
    world.wires["alice"].down = False
    await alice.sync()
    assert await read_by(bob) == [("alice", "first"), ("alice", "second")]
    assert (await alice.conversation(conversation_id)).unsent == ()


async def test_concurrent_sends_each_arrive_once_and_in_order(world: World) -> None:
    alice, bob, team = await pair(world)
    sent = await asyncio.gather(*(team.send(f"{number}") for number in range(10)))
    assert [each.text for each in sorted(sent, key=lambda each: each.seq)] == [str(number) for number in range(10)]
    assert await read_by(bob) == [("alice", str(number)) for number in range(10)]
    counters = await rows(alice, "SELECT next FROM sending")
    assert counters == [(11,)]  # the name notice was the first


async def test_a_message_refused_for_its_epoch_is_sealed_for_the_next_one(world: World) -> None:
    alice, bob, team = await pair(world)
    await bob.sync()
    his = await bob.conversation("team")
    await his.rotate()
    sent = await team.send("late for epoch 1")
    assert sent.epoch == team.epoch == 2
    assert await read_by(bob) == await read_by(alice) == [("alice", "late for epoch 1")]
    payloads = [body for body in world.wires["alice"].bodies if sent.client_message_id.encode() in body]
    assert len(set(payloads)) == 2
    assert not await his.gaps()


async def test_an_epoch_that_the_server_calls_outdated_is_followed_by_the_next(world: World) -> None:
    _, bob, team = await pair(world)
    world.wires["alice"].refuse(errors.EpochOutdated(), SEND)
    sent = await team.send("hello")
    assert sent.epoch == 2
    assert await read_by(bob) == [("alice", "hello")]


async def test_a_definite_refusal_is_passed_on_and_holds_up_nothing_else(world: World) -> None:
    _, bob, team = await pair(world)
    world.wires["alice"].refuse(errors.InvalidMessage("no"), SEND)
    with pytest.raises(errors.InvalidMessage):
        await team.send("refused")
    await team.send("taken")
    assert await read_by(bob) == [("alice", "taken")]
    assert [failure for _, failure in team.unsent] == ["invalid_message"]


async def test_a_server_that_refuses_without_end_is_given_up(world: World) -> None:
    _, _, team = await pair(world)
    world.wires["alice"].refuse(errors.EpochClosed(), SEND, times=100)
    with pytest.raises(errors.SendingBlocked, match="is kept and goes out later"):
        await team.send("never")
    assert len(world.wires["alice"].refusals) == 92


async def test_a_refused_session_leaves_the_message_as_it_is(world: World) -> None:
    alice, bob, team = await pair(world)
    world.wires["alice"].refuse(errors.SessionExpired(), SEND)
    world.wires["alice"].refuse(errors.SignInRefused(), "/api/auth/session")
    with pytest.raises(errors.SignInRefused):
        await team.send("later")
    await alice.sync()
    assert await read_by(bob) == [("alice", "later")]


async def test_the_key_is_rotated_by_age_and_by_number_of_messages(world: World) -> None:
    alice, bob, team = await pair(world)
    await team.send("first")
    assert team.epoch == 1
    world.clock.ahead = 7 * DAY + 60_000
    await team.send("a week later")
    assert team.epoch == 2

    def many(books: Books) -> None:
        held = books.held(team.id)
        head = held.head()
        assert head is not None
        before = held.highest - head.record.policy.rotation.max_messages
        held.known[held.epoch] = dataclasses.replace(head, seq=before)

    await alice.device._run(many)
    await team.send("and ten thousand messages later")
    assert team.epoch == 3
    world.clock.ahead = 0
    assert [text for _, text in await read_by(bob)] == ["first", "a week later", "and ten thousand messages later"]


async def test_each_opening_of_the_store_counts_from_the_beginning_under_its_own_id(world: World) -> None:
    alice, bob, team = await pair(world)
    await team.send("one")
    await abandon(alice)
    back = await world.come_back("alice")
    hers = await back.conversation("team")
    await hers.send("two")
    await read_by(bob)
    found = await rows(bob, "SELECT DISTINCT hex(instance_id), counter FROM counters ORDER BY seq")
    assert [counter for _, counter in found] == [0, 1, 0]
    assert len({instance for instance, _ in found}) == 2
    assert not await (await bob.conversation("team")).gaps()


async def test_two_programs_on_one_store_do_not_disturb_each_other(world: World) -> None:
    alice, bob, team = await pair(world)
    second = await world.come_back("alice")
    other = await second.conversation("team")
    await asyncio.gather(team.send("from one"), other.send("from the other"))
    await team.rotate()
    await other.send("after the key changed")
    read = await read_by(bob)
    assert sorted(read[:2]) == [("alice", "from one"), ("alice", "from the other")]
    assert read[2:] == [("alice", "after the key changed")]
    await alice.device.close()


async def test_epochs_that_are_due_without_end_are_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob, team = await pair(world)
    with monkeypatch.context() as patch:
        patch.setattr(standing, "why_next_epoch", lambda *_: "always")
        with pytest.raises(errors.SendingBlocked):
            await team.send("later")
        await team.refresh()
        assert team.epoch == 5
        await alice.sync()
    await alice.sync()
    assert await read_by(bob) == [("alice", "later")]


async def test_an_openers_clock_does_not_keep_a_key_in_use_for_ever(world: World) -> None:
    alice = await world.open("alice", clock=lambda: wall_clock() + 23 * HOUR)
    await alice.register("alice", "a password")
    (bob,) = await world.register("bob")
    await alice.create_conversation("team", members=["bob"])
    await bob.sync()
    his = await bob.conversation("team")
    await his.send("now")
    assert his.epoch == 1
    world.clock.ahead = 7 * DAY + HOUR
    await his.send("a week later")
    assert his.epoch == 2


async def test_what_was_sealed_before_the_conversation_was_stopped_is_not_sent(world: World) -> None:
    alice, bob, team = await pair(world)
    world.wires["alice"].fail("crash before", SEND)
    with pytest.raises(Crash):
        await team.send("interrupted")

    def stop(books: Books) -> None:
        held = books.held(team.id)
        held.stopped = "server_misbehaved: two valid records follow one"
        books.save(held)

    await alice.device._run(stop)
    await alice.sync()
    assert await read_by(bob) == []
    assert [failure for _, failure in (await alice.conversation("team")).unsent] == [""]


async def three(world: World) -> tuple[Client, Client, Client, Conversation]:
    """Alice, bob, who is an admin too, and mallory, who is about to be removed."""
    alice, bob, mallory = await world.register("alice", "bob", "mallory")
    team = await alice.create_conversation("team", members=["bob", "mallory"])
    await team.set_role("bob", "admin")
    await alice.sync()
    await bob.sync()
    return alice, bob, mallory, team


def epochs_sent(world: World, name: str) -> list[int]:
    """The epochs of the messages that this person's wire carried, in order."""
    sealed = [msgspec.json.decode(body) for body in world.wires[name].bodies if b"encryptedText" in body]
    return [each["encryptedPayload"]["epoch"] for each in sealed]


async def test_what_was_sealed_for_a_closed_epoch_is_sealed_anew_and_never_goes_out(world: World) -> None:
    alice, bob, _, team = await three(world)
    world.wires["alice"].down = True
    with pytest.raises(errors.Unreachable):
        await team.send("not for mallory")
    assert await rows(alice, "SELECT epoch FROM outbox WHERE sealed IS NOT NULL") == [(2,)]
    await (await bob.conversation("team")).remove("mallory")
    world.wires["alice"].down = False
    await abandon(alice)
    back = await world.come_back("alice")
    await back.sync()
    assert epochs_sent(world, "alice") == [3]
    assert await read_by(bob) == [("alice", "not for mallory")]
    assert (await back.conversation("team")).unsent == ()


async def test_what_arrived_before_its_epoch_was_closed_is_not_sent_again(world: World) -> None:
    alice, bob, _, team = await three(world)
    world.wires["alice"].lose("answer", SEND)
    with pytest.raises(errors.Unreachable):
        await team.send("once")
    sent = epochs_sent(world, "alice")
    await (await bob.conversation("team")).remove("mallory")
    await alice.device.pull(team.id)
    await team.send("twice")
    assert epochs_sent(world, "alice") == [*sent, 3]
    assert await read_by(bob) == [("alice", "once"), ("alice", "twice")]
    assert (await alice.conversation("team")).unsent == ()


async def test_what_is_sealed_waits_for_the_next_epoch_where_that_is_due(world: World) -> None:
    _, bob, mallory, team = await three(world)
    await mallory.sync()
    world.wires["alice"].down = True
    with pytest.raises(errors.Unreachable):
        await team.send("not for mallory")
    await (await mallory.conversation("team")).leave()
    world.wires["alice"].down = False
    await team._device.sync()
    assert epochs_sent(world, "alice")[-2:] == [3, 3]  # the name and the message
    assert await read_by(bob) == [("alice", "not for mallory")]


async def test_nothing_is_sent_before_the_conversation_was_fetched_once(world: World) -> None:
    alice, bob, _, _ = await three(world)
    await abandon(alice)
    await (await bob.conversation("team")).remove("mallory")
    back = await world.come_back("alice")
    sent = await (await back.conversation("team")).send("after a week away")
    assert sent.epoch == 3
    assert epochs_sent(world, "alice") == [3]
    await abandon(back)
    back = await world.come_back("alice")
    hers = await back.conversation("team")
    world.wires["alice"].down = True
    with pytest.raises(errors.Unreachable):
        await hers.send("offline")
    await hers.refresh()
    assert [failure for _, failure in hers.unsent] == [""]
    assert await rows(back, "SELECT sealed FROM outbox") == [(None,)]
    world.wires["alice"].down = False
    await back.sync()
    assert await read_by(bob) == [("alice", "after a week away"), ("alice", "offline")]


async def test_nothing_is_sent_while_a_removal_of_ones_own_is_undecided(world: World) -> None:
    _, bob, _, team = await three(world)
    world.wires["alice"].lose("request", KEYS)
    with pytest.raises(errors.Unreachable):
        await team.remove("mallory")
    sent = await team.send("not for mallory")
    assert sent.epoch == 3
    assert await read_by(bob) == [("alice", "not for mallory")]


async def test_an_epoch_that_stays_undecided_holds_messages_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server takes the record again and again, and what it serves decides nothing."""
    alice, bob, _, team = await three(world)

    async def decides_nothing(*_: object) -> None:
        pass

    world.wires["alice"].lose("request", KEYS)
    with pytest.raises(errors.Unreachable):
        await team.remove("mallory")
    with monkeypatch.context() as patch:
        parts = alice.device._parts
        assert parts is not None
        patch.setattr(parts.syncer, "take_own", decides_nothing)
        with pytest.raises(errors.SendingBlocked):
            await team.send("not for mallory")
    await alice.sync()
    assert await read_by(bob) == [("alice", "not for mallory")]
    assert epochs_sent(world, "alice")[-2:] == [3, 3]


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_waited_at_a_removal_does_not_go_to_those_who_are_there_after_a_return(
    world: World, at_once: bool
) -> None:
    alice, bob, carol = await world.register("alice", "bob", "carol")
    bobs = await bob.create_conversation("team", members=["alice"])
    await alice.sync()
    team = await alice.conversation("team")
    world.wires["alice"].down = True
    for text in ("only bob", "may read this"):
        with pytest.raises(errors.Unreachable):
            await team.send(text)
    world.wires["alice"].down = False
    await bobs.remove("alice")
    if not at_once:
        await alice.sync()
    await bobs.add("carol", "alice")
    await alice.sync()
    await team.refresh()
    assert [failure for _, failure in team.unsent] == ["not_a_member", "not_a_member"]
    assert await rows(alice, "SELECT 1 FROM outbox WHERE sealed IS NOT NULL") == []
    await team.send("to all")
    assert [said for said in await read_by(carol) if said[0] == "alice"] == [("alice", "to all")]


async def test_what_arrived_before_a_removal_is_not_called_unsent(world: World) -> None:
    alice, bob, _ = await world.register("alice", "bob", "carol")
    bobs = await bob.create_conversation("team", members=["alice"])
    await alice.sync()
    team = await alice.conversation("team")
    world.wires["alice"].lose("answer", SEND)
    with pytest.raises(errors.Unreachable):
        await team.send("it arrived")
    await bobs.remove("alice")
    await alice.sync()
    await team.refresh()
    assert team.unsent == ()
    assert ("alice", "it arrived") in await texts(team)
    assert ("alice", "it arrived") in await read_by(bob)


async def test_a_change_that_one_may_not_make_any_more_holds_up_no_message(world: World) -> None:
    _, bob, _, team = await three(world)
    world.wires["alice"].lose("request", KEYS)
    with pytest.raises(errors.Unreachable):
        await team.remove("mallory")
    await (await bob.conversation("team")).set_role("alice", "member")
    sent = await team.send("once")
    assert sent.epoch == 3
    assert await read_by(bob) == [("alice", "once")]


async def test_a_message_that_is_kept_says_so_whatever_was_in_its_way(world: World) -> None:
    alice, bob, team = await pair(world)
    world.wires["alice"].refuse(errors.RecordOutdated("", accounts=[], leaves=[]), KEYS, 100)
    world.clock.ahead = 8 * DAY
    with pytest.raises(errors.SendingBlocked, match="the message is kept and goes out later"):
        await team.send("once")
    world.wires["alice"].refusals.clear()
    await alice.sync()
    assert await read_by(bob) == [("alice", "once")]


async def test_a_message_that_was_sent_is_not_reported_for_what_comes_after_it(world: World) -> None:
    alice, bob, team = await pair(world)
    conversation_id = team.id
    send = alice.device.api.post_messages_encrypted

    async def sent_and_another_comes(body: SendMessages) -> Sent:
        answer = await send(body)
        await alice.device._run(lambda books: enqueue(books, conversation_id, TextBody("next"), 1, os.urandom))
        world.wires["alice"].down = True
        return answer

    alice.device.api.post_messages_encrypted = sent_and_another_comes  # type: ignore[method-assign]
    assert (await team.send("first")).seq == 3
    world.wires["alice"].down = False
    alice.device.api.post_messages_encrypted = send  # type: ignore[method-assign]
    await alice.sync()
    assert await read_by(bob) == [("alice", "first"), ("alice", "next")]


async def test_the_refusal_of_a_form_that_another_program_replaced_is_not_reported(world: World) -> None:
    alice, bob, team = await pair(world)

    async def replaced(body: SendMessages) -> Sent:
        alice.device.api.post_messages_encrypted = send  # type: ignore[method-assign]
        update = "UPDATE outbox SET sealed = NULL"
        await alice.device._run(lambda books: books.connection.execute(update))
        raise errors.InvalidMessage("the earlier form")

    send = alice.device.api.post_messages_encrypted
    alice.device.api.post_messages_encrypted = replaced  # type: ignore[method-assign]
    assert (await team.send("once")).seq == 3
    assert await read_by(bob) == [("alice", "once")]


async def test_who_is_removed_while_sending_is_told_that_it_failed(world: World) -> None:
    _, bob, mallory, team = await three(world)
    await mallory.sync()
    hers = await mallory.conversation("team")
    await team.remove("mallory")
    world.wires["mallory"].refuse(errors.EpochClosed(), SEND)
    with pytest.raises(errors.NotAMember):
        await hers.send("too late")
    await hers.refresh()
    assert [failure for _, failure in hers.unsent] == ["not_a_member"]
    assert await read_by(bob) == []
