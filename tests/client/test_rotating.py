"""What follows a revocation where an epoch cannot be opened at once."""

from __future__ import annotations

from functools import partial

import pytest

from client.test_account import id_of, pair
from client.world import World, password_of, yes
from tacit import errors
from tacit.client import Client, rotating, standing, vouching
from tacit.client.books import Books
from tacit.client.rotating import AGAIN

EPOCH = "/encryption/conversation/keys"
REFUSED = errors.InvalidRecord("for a while")


async def lost_phone(town: World, *more: str) -> tuple[Client, Client, Client]:
    """Alice's phone, lost; her tablet, which knows that and has more conversations; bob."""
    alice, bob = await pair(town)
    tablet = await town.another("alice", "tablet")
    for name in more:
        await tablet.create_conversation(name, members=["bob"])
    await tablet.sync()
    return alice, tablet, bob


async def test_a_refused_rotation_waits_and_is_tried_again(town: World) -> None:
    alice, tablet, bob = await lost_phone(town, "second")
    town.wires["alice-tablet"].refuse(REFUSED, EPOCH)
    steps: list[tuple[int, int]] = []
    lost = await id_of(alice)
    await tablet.account.revoke(lost, password=password_of("alice"), confirm=yes, progress=lambda *at: steps.append(at))
    assert steps == [(1, 2)]
    assert len((await tablet.account.rotations()).waiting) == 1
    await tablet.sync()
    assert (await tablet.account.rotations()).waiting == ()
    assert [each.epoch for each in await tablet.conversations()] == [2, 2]
    assert await bob.alarms() == []


async def test_a_blocked_conversation_waits_without_a_word_to_the_server(
    town: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, tablet, _ = await lost_phone(town, "second")
    team = (await tablet.conversation("team")).id
    with monkeypatch.context() as blocked:
        was = standing._why_waiting
        blocked.setattr(
            standing, "_why_waiting", lambda books, held: "" if held.id != team else was(books, held) or "no"
        )
        await tablet.account.revoke(await id_of(alice), password=password_of("alice"), confirm=yes)
        before = len(town.wires["alice-tablet"].requests)
        await tablet.account._device.keeper().rotate_all(None)
        assert len(town.wires["alice-tablet"].requests) == before
        assert (await tablet.account.rotations()).waiting == (team,)
    await tablet.sync()
    assert (await tablet.account.rotations()).waiting == ()
    assert (await tablet.conversation("team")).epoch == 2


async def test_a_rotation_that_can_never_be_made_is_not_waited_for(town: World) -> None:
    alice, tablet, bob = await lost_phone(town, "second")
    team = await tablet.conversation("team")

    def stop(books: Books) -> None:
        held = books.held(team.id)
        held.stopped = "for good"
        books.save(held)

    await team.set_role("bob", "admin")
    await (await tablet.conversation("second")).set_role("bob", "admin")
    await bob.sync()
    wire = town.wires["alice-tablet"]
    wire.refuse(REFUSED, EPOCH, times=2)
    await tablet.account.revoke(await id_of(alice), password=password_of("alice"), confirm=yes)
    assert len((await tablet.account.rotations()).waiting) == 2
    await tablet.device.run(stop)
    await (await bob.conversation("second")).remove("alice")
    await tablet.sync()
    assert (await tablet.account.rotations()).waiting == ()


async def test_where_somebody_else_opened_an_epoch_since_nothing_is_waited_for(town: World) -> None:
    alice, tablet, bob = await lost_phone(town)
    town.wires["alice-tablet"].refuse(REFUSED, EPOCH, times=3)  # the last is the voucher for what the phone opened
    await tablet.account.revoke(await id_of(alice), password=password_of("alice"), confirm=yes)
    await bob.sync()
    await (await bob.conversation("team")).rotate()
    await tablet.sync()
    assert (await tablet.account.rotations()).waiting == ()
    assert [each.epoch for each in await tablet.conversations()] == [2]


async def test_a_sync_tries_some_of_many_refused_rotations_in_turn(town: World) -> None:
    _, tablet, _ = await lost_phone(town)
    names = [f"{number:02}" for number in range(AGAIN + 2)]

    def remember(books: Books) -> None:
        for name in names:
            books.connection.execute("INSERT INTO rotations (conversation_id) VALUES (?)", (name,))

    await tablet.device.run(remember)
    assert await tablet.device.run(rotating.due) == tuple(names)
    for name in names:
        await tablet.device.run(partial(rotating.tried, conversation_id=name))
    assert await tablet.device.run(rotating.due) == tuple(names[:AGAIN])
    for name in names[:AGAIN]:
        await tablet.device.run(partial(rotating.tried, conversation_id=name))
    assert (await tablet.device.run(rotating.due))[:3] == (*names[AGAIN:], names[0])


# --- vouching --------------------------------------------------------------------------------


async def wanted_of_bob(town: World) -> tuple[Client, Client]:
    """Alice's tablet revoked her phone and got no further; bob knows it, and accepted what the phone did."""
    alice, bob = await pair(town)
    await town.register("carol")
    team = await alice.conversation("team")
    await team.set_role("bob", "admin")
    await team.add("carol")
    await bob.sync()
    tablet = await town.another("alice", "tablet")
    await tablet.sync()
    town.wires["alice-tablet"].refuse(REFUSED, EPOCH, times=9)
    await tablet.account.revoke(await id_of(alice), password=password_of("alice"), confirm=yes)
    assert bob.device._parts is not None
    await bob.device._parts.directory.refresh(["alice"])
    return tablet, bob


async def test_a_refused_voucher_is_tried_again(town: World) -> None:
    _, bob = await wanted_of_bob(town)
    town.wires["bob"].refuse(REFUSED, EPOCH)
    await bob.sync()
    assert (await bob.conversation("team")).epoch == 3
    await bob.sync()
    assert (await bob.conversation("team")).epoch == 4
    await bob.sync()
    assert (await bob.conversation("team")).epoch == 4


async def test_a_voucher_waits_while_the_conversation_is_blocked(town: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, bob = await wanted_of_bob(town)
    with monkeypatch.context() as blocked:
        blocked.setattr(standing, "why_blocked", lambda books, held: "for now")
        for _ in range(2):
            await bob.sync()
    assert (await bob.conversation("team")).epoch == 3
    await bob.sync()
    assert (await bob.conversation("team")).epoch == 4


async def test_a_voucher_that_can_never_be_given_is_not_waited_for(town: World) -> None:
    _, bob = await wanted_of_bob(town)
    team = (await bob.conversation("team")).id

    def stop(books: Books) -> list[str]:
        held = books.held(team)
        held.stopped = "for good"
        books.save(held)
        return vouching.look(books)[0]

    assert await bob.device.run(vouching.look) != ([], b"")
    assert await bob.device.run(stop) == []


async def test_an_ended_session_ends_the_vouching_too(town: World) -> None:
    _, bob = await wanted_of_bob(town)
    town.wires["bob"].refuse(errors.RequestSignatureInvalid(), EPOCH)
    with pytest.raises(errors.RequestSignatureInvalid):
        await bob.sync()
    await bob.sync()
    assert (await bob.conversation("team")).epoch == 4
