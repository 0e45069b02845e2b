"""The client's own guards, each by itself: what nothing is sent on, whoever asks for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from client.world import World
from tacit import errors
from tacit.client.books import Books, Held
from tacit.client.standing import check_may_open, check_sendable, why_blocked


def stopped(held: Held) -> None:
    held.stopped = "server_misbehaved: two valid records follow one"


def unknown(held: Held) -> None:
    held.states.clear()
    held.known.clear()


def removed(held: Held) -> None:
    held.known[1] = dataclasses.replace(held.known[1], roster={})


def waiting(held: Held) -> None:
    held.pending[2] = "it waits"


def without_key(held: Held) -> None:
    held.known[1] = dataclasses.replace(held.known[1], opened=None)


@pytest.mark.parametrize(
    ("change", "reason", "opens"),
    [
        (stopped, "server_misbehaved", False),
        (unknown, "no record", False),
        (removed, "you are not a member", False),
        (waiting, "record_pending: epoch 2", False),
        (without_key, "no_grant", True),
    ],
)
async def test_nothing_is_sealed_while_something_has_to_be_settled(
    world: World, change: Callable[[Held], None], reason: str, opens: bool
) -> None:
    (alice,) = await world.register("alice")
    team = await alice.create_conversation("team")

    def work(books: Books) -> None:
        held = books.held(team.id)
        assert check_sendable(books, held).epoch == 1
        check_may_open(books, held)
        assert why_blocked(books, held) == ""
        change(held)
        assert why_blocked(books, held).startswith(reason)
        with pytest.raises(errors.SendingBlocked, match=reason):
            check_sendable(books, held)
        if opens:
            check_may_open(books, held)
        else:
            with pytest.raises(errors.SendingBlocked, match=reason):
                check_may_open(books, held)

    await alice.device._run(work)


async def test_a_leave_blocks_the_stay_that_it_ends_and_no_later_one(world: World) -> None:
    alice, bob = await world.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await bob.sync()
    his = await bob.conversation("team")
    await his.leave()
    assert his.blocked == "you asked to leave"
    await alice.sync()
    await team.rotate()
    await team.add("bob")
    await bob.sync()
    await his.refresh()
    assert his.blocked == ""
    await his.send("back again")
