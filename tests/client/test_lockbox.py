"""Which password opens the store while the account's next one is under way."""

from __future__ import annotations

import pytest

from client.test_account import pair
from client.world import Crash, World, abandon, password_of, yes
from tacit import errors
from tacit.identity.unlockers import password_bytes

GENERATE = "/keys/generate"
NEW = "another password"


async def opens(town: World, password: str) -> bool:
    again = await town.open("alice")
    try:
        await again.sign_in("alice", password)
    except errors.StoreLocked:
        return False
    finally:
        await again.device.close()
    return True


async def begun(town: World) -> None:
    """Alice's new password is sent, and refused for the session alone: it stays under way."""
    alice, _ = await pair(town)
    town.wires["alice"].refuse(errors.SessionExpired(), GENERATE, 4)
    with pytest.raises(errors.SessionExpired):
        await alice.account.change_password(NEW, password=password_of("alice"), confirm=yes)
    town.wires["alice"].refusals.clear()
    await alice.device.close()


async def test_either_password_opens_the_store_while_the_change_is_under_way(town: World) -> None:
    await begun(town)
    town.wires["alice"].refuse(errors.SessionExpired(), GENERATE, 40)
    assert await opens(town, password_of("alice"))
    assert await opens(town, NEW)


async def test_once_the_change_counts_the_new_password_alone_opens_the_store(town: World) -> None:
    await begun(town)
    alice = await town.open("alice")
    await alice.sign_in("alice", password_of("alice"))
    await alice.sync()
    await alice.device.close()
    assert [await opens(town, each) for each in (password_of("alice"), NEW)] == [False, True]


async def test_once_the_change_is_refused_the_old_password_alone_opens_the_store(town: World) -> None:
    await begun(town)
    alice = await town.open("alice")
    await alice.sign_in("alice", password_of("alice"))
    town.wires["alice"].refuse(errors.InvalidAccountRecord(), GENERATE)
    await alice.sync()
    await alice.device.close()
    assert [await opens(town, each) for each in (NEW, password_of("alice"))] == [False, True]


async def test_the_next_change_settles_what_was_offered_for_the_last(town: World) -> None:
    await begun(town)
    alice = await town.open("alice")
    await alice.sign_in("alice", password_of("alice"))
    with pytest.raises(errors.SignInRefused):  # the one that was under way counts, so the old one opens nothing
        await alice.account.change_password("a third", password=password_of("alice"), confirm=yes)
    await alice.device.close()
    assert [await opens(town, each) for each in ("a third", password_of("alice"), NEW)] == [False, False, True]


async def test_a_password_that_never_was_sent_opens_nothing(town: World) -> None:
    alice, _ = await pair(town)
    town.wires["alice"].lose("request", "/auth/unlock")
    with pytest.raises(errors.Unreachable):
        await alice.account.change_password(NEW, password=password_of("alice"), confirm=yes)
    await alice.device.close()
    assert [await opens(town, each) for each in (NEW, password_of("alice"))] == [False, True]


@pytest.mark.parametrize("order", [(NEW, "old"), ("old", NEW)])
async def test_a_refused_password_that_opened_the_store_meanwhile_opens_it_no_more(
    town: World, order: tuple[str, str]
) -> None:
    await begun(town)
    town.wires["alice"].refuse(errors.SessionExpired(), GENERATE, 40)
    for each in order:
        assert await opens(town, NEW if each == NEW else password_of("alice"))
    town.wires["alice"].refusals.clear()
    alice = await town.open("alice")
    await alice.sign_in("alice", NEW)
    town.wires["alice"].refuse(errors.InvalidAccountRecord(), GENERATE)
    await alice.sync()
    await alice.device.close()
    assert [await opens(town, each) for each in (NEW, password_of("alice"))] == [False, True]


async def test_a_process_that_ends_before_anything_is_made_leaves_no_second_password(town: World) -> None:
    alice, _ = await pair(town)
    town.wires["alice"].fail("crash before", "/auth/unlock")
    with pytest.raises(Crash):
        await alice.account.change_password(NEW, password=password_of("alice"), confirm=yes)
    await abandon(alice)
    again = await town.open("alice")
    await again.sign_in("alice", password_of("alice"))
    await again.sync()
    await again.device.close()
    assert [await opens(town, each) for each in (NEW, password_of("alice"))] == [False, True]


async def test_no_second_password_takes_the_place_of_one_whose_outcome_is_not_known(town: World) -> None:
    """A server that lets the first one wait, which is no answer, must not make its password open nothing."""
    alice, _ = await pair(town)
    town.wires["alice"].rewrite = lambda request, answer: (
        {**answer, "waitsUntil": 1} if request.url.path.endswith(GENERATE) else answer
    )
    with pytest.raises(errors.UnexpectedAnswer):
        await alice.account.change_password(NEW, password=password_of("alice"), confirm=yes)
    with pytest.raises(errors.UnexpectedAnswer):
        await alice.account.change_password("a third", password=NEW, confirm=yes)
    with pytest.raises(errors.InvalidArgument, match="under way"):
        async with alice.device._box.following(password_bytes("a third")):
            pass
    town.wires["alice"].rewrite = None
    await alice.sync()
    await alice.device.close()
    assert [await opens(town, each) for each in ("a third", password_of("alice"), NEW)] == [False, False, True]
