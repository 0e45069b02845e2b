"""Changes of the account that are interrupted: each ends in the same state as no crash."""

from __future__ import annotations

from typing import Any

import pytest

from client.test_account import id_of, pair, said
from client.world import Crash, World, abandon, password_of, yes
from tacit import errors
from tacit.client import Client

GENERATE = "/encryption/keys/generate"
EPOCH = "/encryption/conversation/keys"
UNLOCK = "/auth/unlock"
PLACES = [
    ("crash before", UNLOCK),
    ("crash after", UNLOCK),
    ("crash before", "/encryption/keys/private"),
    ("crash before", GENERATE),
    ("crash after", GENERATE),
    ("lose answer", GENERATE),
    ("crash before", EPOCH),
    ("crash after", EPOCH),
]


async def interrupted(town: World, name: str, fault: str, path: str, work: object) -> None:
    wire = town.wires[name]
    wire.fail(fault, path)
    with pytest.raises((Crash, errors.Unreachable)):
        await work  # type: ignore[misc]
    assert wire.faults == []


async def again(town: World, store: str, user: str, password: str | None = None) -> Client:
    """The next process on a store."""
    client = await town.open(store)
    await client.sign_in(user, password or password_of(user))
    return client


@pytest.mark.parametrize(("fault", "path"), PLACES)
async def test_a_revocation_goes_on_where_it_was_interrupted(town: World, fault: str, path: str) -> None:
    alice, bob = await pair(town)
    lost = await id_of(alice)
    tablet = await town.another("alice", "tablet")
    for name in ("second", "third"):
        await tablet.create_conversation(name, members=["bob"])
    await tablet.sync()
    revoking = tablet.account.revoke(lost, password=password_of("alice"), confirm=yes)
    await interrupted(town, "alice-tablet", fault, path, revoking)
    await abandon(tablet)
    tablet = await again(town, "alice-tablet", "alice")
    await tablet.sync()
    if not (await tablet.account.view()).revoked:
        await tablet.account.revoke(lost, password=password_of("alice"), confirm=yes)
    view = await tablet.account.view()
    assert ([each.device_id for each in view.revoked], view.version) == ([lost], 3)
    assert (await tablet.account.rotations()).waiting == ()
    for conversation in await tablet.conversations():
        assert conversation.epoch >= 2
        assert conversation.blocked == ""
    await (await tablet.conversation("team")).send("three")
    assert (await said(bob))[-1] == "three"
    assert await bob.alarms() == await tablet.alarms() == []


@pytest.mark.parametrize(("fault", "path"), PLACES[:6])
async def test_a_new_device_comes_where_it_was_interrupted(town: World, fault: str, path: str) -> None:
    alice, bob = await pair(town)
    tablet = await town.open("alice-tablet")
    given: dict[str, Any] = {"password": password_of("alice"), "name": "tablet", "confirm": yes}
    await interrupted(town, "alice-tablet", fault, path, tablet.sign_in_new_device("alice", **given))
    await abandon(tablet)
    tablet = await town.open("alice-tablet")
    await tablet.sign_in_new_device("alice", **given)
    assert (await tablet.account.view()).version == 2
    assert await said(tablet) == ["one", "two"]
    await (await tablet.conversation("team")).send("three")
    assert (await said(bob))[-1] == (await said(alice))[-1] == "three"
    assert await bob.alarms() == await tablet.alarms() == []


@pytest.mark.parametrize(("fault", "path"), PLACES[:6])
async def test_a_new_password_counts_or_does_not(town: World, fault: str, path: str) -> None:
    alice, _ = await pair(town)
    changing = alice.account.change_password("another password", password=password_of("alice"))
    await interrupted(town, "alice", fault, path, changing)
    await abandon(alice)
    alice = await again(town, "alice", "alice")  # its store has the old one until the change came to its end
    await alice.sync()
    counts = path == GENERATE
    good, bad = ("another password", password_of("alice")) if counts else (password_of("alice"), "another password")
    with pytest.raises(errors.SignInRefused):
        await town.another("alice", "thief", password=bad)
    tablet = await town.another("alice", "tablet", password=good)
    assert await said(tablet) == ["one", "two"]


@pytest.mark.parametrize(("fault", "path"), [each for each in PLACES[:6] if each[1] != UNLOCK])
async def test_a_reset_goes_on_where_it_was_interrupted(town: World, fault: str, path: str) -> None:
    alice, _ = await pair(town)
    resetting = alice.account.reset("another password", password=password_of("alice"))
    await interrupted(town, "alice", fault, path, resetting)
    await abandon(alice)
    alice = await again(town, "alice", "alice")
    await alice.sync()
    if path != GENERATE:
        await alice.account.reset("another password", password=password_of("alice"))
    tablet = await town.another("alice", "tablet", password="another password")
    assert await said(tablet) == ["one", "two"]
    assert (await tablet.account.view()).version == 3


async def test_what_was_overtaken_is_told(town: World) -> None:
    alice, _ = await pair(town)
    tablet = await town.another("alice", "tablet")
    changing = alice.account.change_password("another password", password=password_of("alice"), confirm=yes)
    await interrupted(town, "alice", "crash before", GENERATE, changing)
    await tablet.account.new_recovery_key(password=password_of("alice"))
    await abandon(alice)
    alice = await again(town, "alice", "alice")
    await alice.sync()
    assert [each.kind for each in await alice.account.notices()][-1] == "change_refused"
    await town.another("alice", "laptop", password=password_of("alice"))


async def test_a_record_of_a_device_that_was_revoked_is_vouched_for_by_who_accepted_it(town: World) -> None:
    """The revoking device stops half-way; bob, who could have done the same, opens the epoch that a joiner needs."""
    alice, bob = await pair(town)
    await town.register("carol", "dave")
    team = await alice.conversation("team")
    await team.set_role("bob", "admin")
    await team.add("carol")
    await team.send("three")
    assert (await said(bob))[-1] == "three"
    tablet = await town.another("alice", "tablet")
    await tablet.sync()
    revoking = tablet.account.revoke(await id_of(alice), password=password_of("alice"), confirm=yes)
    await interrupted(town, "alice-tablet", "crash before", EPOCH, revoking)
    await abandon(tablet)
    parts = bob.device._parts
    assert parts is not None
    await parts.directory.refresh(["alice"])
    await bob.sync()
    his = await bob.conversation("team")
    assert his.epoch == 4
    await bob.sync()
    await his.refresh()
    assert his.epoch == 4
    await his.add("dave")
    await his.send("four")
    dave = await town.come_back("dave")
    assert (await said(dave))[-1] == "four"
    assert await (await dave.conversation("team")).pending() == []


async def test_words_that_nobody_was_shown_are_kept_until_somebody_was(town: World) -> None:
    alice, _ = await pair(town)
    asking = alice.account.new_recovery_key(password=password_of("alice"))
    await interrupted(town, "alice", "crash after", GENERATE, asking)
    await abandon(alice)
    alice = await again(town, "alice", "alice")
    assert await alice.account.unseen_words() == ()
    await alice.sync()
    words = await alice.account.unseen_words()
    await town.another("alice", "tablet", words=words, new_password="another password")
    await alice.account.words_seen()
    assert await alice.account.unseen_words() == ()


async def test_words_are_kept_until_the_application_says_that_they_were_seen(town: World) -> None:
    alice, _ = await pair(town)
    words = await alice.account.new_recovery_key(password=password_of("alice"))
    await abandon(alice)  # the words were given to a program that showed nobody
    alice = await again(town, "alice", "alice")
    assert await alice.account.unseen_words() == words
    words, until = await alice.account.reset("another password", password=password_of("alice"))
    assert until == 0
    await abandon(alice)
    alice = await again(town, "alice", "alice", "another password")
    assert await alice.account.unseen_words() == words
    words, until = await alice.account.reset("a third password")
    assert until
    await abandon(alice)
    alice = await again(town, "alice", "alice", "another password")
    town.clock.ahead += 73 * 60 * 60 * 1000
    await alice.sync()
    assert await alice.account.unseen_words() == words
    await alice.account.words_seen()
    assert await alice.account.unseen_words() == ()


async def test_words_that_were_seen_are_not_kept(town: World) -> None:
    alice, _ = await pair(town)
    await alice.account.new_recovery_key(password=password_of("alice"))
    await alice.account.words_seen()
    assert await alice.account.unseen_words() == ()
    words, _ = await alice.account.reset("another password")
    await alice.account.words_seen()
    raw = await alice.device.run(lambda books: books.meta("account_change"))
    assert raw is not None
    assert all(word.encode() not in raw for word in words if len(word) > 5)
    town.clock.ahead += 73 * 60 * 60 * 1000
    await alice.sync()
    assert (await alice.account.view()).version == 3
    assert await alice.account.unseen_words() == ()


async def test_a_change_that_counted_and_was_overtaken_is_not_taken_for_refused(town: World) -> None:
    alice, _ = await pair(town)
    tablet = await town.another("alice", "tablet")
    asking = alice.account.new_recovery_key(password=password_of("alice"), confirm=yes)
    await interrupted(town, "alice", "crash after", GENERATE, asking)
    await tablet.account.change_password("another password", password=password_of("alice"), confirm=yes)
    await abandon(alice)
    alice = await again(town, "alice", "alice")
    await alice.sync()
    assert "change_refused" not in [each.kind for each in await alice.account.notices()]
    words = await alice.account.unseen_words()
    await town.another("alice", "laptop", words=words, new_password="a third password")
    assert await alice.alarms() == []


async def test_a_revocation_that_counted_and_was_overtaken_is_followed_by_its_epochs(town: World) -> None:
    alice, bob = await pair(town)
    lost = await id_of(alice)
    tablet, laptop = await town.another("alice", "tablet"), await town.another("alice", "laptop")
    await tablet.sync()
    await laptop.sync()
    revoking = tablet.account.revoke(lost, password=password_of("alice"), confirm=yes)
    await interrupted(town, "alice-tablet", "crash after", GENERATE, revoking)
    await laptop.account.new_recovery_key(password=password_of("alice"), confirm=yes)
    await abandon(tablet)
    tablet = await again(town, "alice-tablet", "alice")
    await tablet.sync()
    team = await tablet.conversation("team")
    assert (team.epoch, team.blocked) == (2, "")
    await team.send("three")
    assert (await said(bob))[-1] == (await said(laptop))[-1] == "three"
    assert await tablet.alarms() == await laptop.alarms() == []


@pytest.mark.parametrize(("fault", "counts"), [("crash before", False), ("crash after", True), ("lose answer", True)])
async def test_the_store_opens_by_whichever_password_counts(town: World, fault: str, counts: bool) -> None:
    """The process ends between the account's new password and the store's: neither person nor store is locked out."""
    alice, _ = await pair(town)
    old, new = password_of("alice"), "another password"
    work = alice.account.change_password(new, password=old, confirm=yes)
    await interrupted(town, "alice", fault, GENERATE, work)
    await abandon(alice)
    town.wires["alice"].faults.clear()
    first = await again(town, "alice", "alice")
    await first.sync()
    await first.device.close()
    if counts:
        second = await again(town, "alice", "alice", new)
        await second.device.close()
        with pytest.raises(errors.StoreLocked):
            await again(town, "alice", "alice", old)
        await town.another("alice", "laptop", password=new)
    else:  # it is sent again by the next process
        await town.another("alice", "laptop", password=new)


async def test_a_password_that_is_refused_does_not_open_the_store(town: World) -> None:
    alice, _ = await pair(town)
    with pytest.raises(errors.SignInRefused):
        await alice.account.change_password("another password", password="wrong", confirm=yes)
    await alice.device.close()
    with pytest.raises(errors.StoreLocked):
        await again(town, "alice", "alice", "another password")
    await again(town, "alice", "alice")
