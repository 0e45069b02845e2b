"""One's own account on several devices: signing in, revoking, recovering, resetting, on the product's own server."""

from __future__ import annotations

from typing import Any, cast

import httpx2
import pytest

from client.world import World, password_of, texts, yes
from tacit import errors
from tacit.api.sync import AccountEvent, AccountPage
from tacit.cli.notices import READ, unread
from tacit.client import Client, events
from tacit.client.accountview import AccountView
from tacit.client.books import Books
from tacit.client.events import OWN_DUE, checked, keep_due
from tacit.client.vaults import held_header
from tacit.signed.record import DAY

HOUR = 60 * 60 * 1000


async def id_of(client: Client) -> str:
    return await client.device.run(lambda books: books.me.device_id)


async def pair(town: World) -> tuple[Client, Client]:
    """Alice and bob, who talk."""
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("one")
    await bob.sync()
    his = await bob.conversation("team")
    await his.send("two")
    await alice.sync()
    return alice, bob


def readable(every: list[str]) -> list[str]:
    """Without what was written while the account was not in the conversation."""
    return [each for each in every if each != "no_grant"]


async def said(client: Client, name: str = "team") -> list[str]:
    await client.sync()
    return [text for _, text in await texts(await client.conversation(name))]


async def test_a_new_device_reads_the_whole_history_and_talks(town: World) -> None:
    alice, bob = await pair(town)
    tablet = await town.another("alice", "tablet")
    assert await said(tablet) == ["one", "two"]
    team = await tablet.conversation("team")
    await team.send("three")
    assert await said(bob) == ["one", "two", "three"]
    assert await said(alice) == ["one", "two", "three"]
    for client in (alice, bob, tablet):
        assert await client.alarms() == []


async def test_the_person_sees_the_account_before_a_device_is_certified(town: World) -> None:
    alice, _ = await pair(town)
    shown: list[AccountView] = []

    async def no(view: AccountView) -> bool:
        shown.append(view)
        return False

    with pytest.raises(errors.NotConfirmed):
        await town.another("alice", "tablet", confirm=no)
    (view,) = shown
    assert (view.user_id, view.version, view.vault_is_old) == ("alice", 1, False)
    assert [each.device_id for each in view.devices] == [await id_of(alice)]
    assert view.revoked == ()
    assert view.vault_written_by == await id_of(alice)
    tablet = await town.another("alice", "tablet")
    assert (await tablet.account.view()).version == 2


async def test_an_old_vault_is_shown_as_old(town: World) -> None:
    await pair(town)
    town.clock.ahead += 49 * HOUR
    shown: list[bool] = []

    async def look(view: AccountView) -> bool:
        shown.append(view.vault_is_old)
        return True

    await town.another("alice", "tablet", confirm=look)
    assert shown == [True]


async def test_devices_have_names_that_the_server_does_not_know(town: World) -> None:
    alice, _ = await pair(town)
    tablet = await town.another("alice", "aunt's slate")
    await alice.account.name_device(await id_of(alice), "her first phone")
    await alice.device._write_vault()
    await tablet.sync()
    await tablet.device.check_vault()
    view = await tablet.account.view()
    assert {each.name for each in view.devices} == {"her first phone", "aunt's slate"}
    assert [each.this for each in view.devices if each.name == "aunt's slate"] == [True]
    raw = (town.folder / "server.db").read_bytes() + (town.folder / "server.db-wal").read_bytes()
    assert b"slate" not in raw
    assert (await id_of(tablet)).encode() in raw


async def held_version(client: Client) -> tuple[int, int]:
    """The account's and the vault's version as this device holds them."""

    def versions(books: Books) -> tuple[int, int]:
        header = held_header(books)
        assert header is not None
        return books.own_account().value.version, header.version

    return await client.device.run(versions)


@pytest.mark.parametrize("fails", ["request", "answer"])
async def test_a_newer_vault_is_looked_at_although_the_first_look_failed(town: World, fails: str) -> None:
    alice, _ = await pair(town)
    tablet = await town.another("alice", "tablet")
    await alice.sync()
    await tablet.account.name_device(await id_of(alice), "her first phone")
    await tablet.device._write_vault()
    town.wires["alice"].lose(fails, "/encryption/keys/private")
    with pytest.raises(errors.Unreachable):
        await alice.sync()
    assert town.wires["alice"].faults == []
    assert await held_version(alice) != await held_version(tablet)
    await alice.device._parts_now().syncer.pull()
    assert await held_version(alice) == await held_version(tablet)
    assert await alice.device.run(lambda books: books.meta(OWN_DUE)) is None


@pytest.mark.parametrize("path", ["/encryption/keys/public", "/encryption/keys/private"])
async def test_a_newer_account_is_looked_at_although_the_first_look_failed(town: World, path: str) -> None:
    alice, _ = await pair(town)
    tablet = await town.another("alice", "tablet")
    await alice.sync()
    await tablet.account.change_password("another password", password=password_of("alice"))
    await tablet.account.name_device(await id_of(alice), "her first phone")
    await tablet.device._write_vault()
    town.wires["alice"].lose("request", path)
    with pytest.raises(errors.Unreachable):
        await alice.sync()
    await alice.device._parts_now().syncer.pull()
    assert await held_version(alice) == await held_version(tablet)


def test_that_the_account_is_newer_is_not_forgotten_for_a_newer_vault() -> None:
    meta: dict[str, bytes | None] = {}

    class Kept:
        def meta(self, key: str) -> bytes | None:
            return meta.get(key)

        def set_meta(self, key: str, value: bytes | None) -> None:
            meta[key] = value

    books = cast(Books, Kept())
    keep_due(books, AccountPage(3, False, [AccountEvent(3, "account", {"version": 2}, 0)]))
    assert meta[OWN_DUE] == b"account 3"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "is_vault_newer", lambda *_: True)
        keep_due(books, AccountPage(4, False, []))
    assert meta[OWN_DUE] == b"account 4"
    checked(books, b"account 3")
    assert meta[OWN_DUE] == b"account 4"
    checked(books, b"account 4")
    assert meta[OWN_DUE] is None


async def test_a_revoked_device_is_out_and_reads_nothing_new(town: World) -> None:
    alice, bob = await pair(town)
    tablet = await town.another("alice", "tablet")
    lost = await id_of(alice)
    steps: list[tuple[int, int]] = []
    await tablet.sync()
    await tablet.account.revoke(lost, password=password_of("alice"), confirm=yes, progress=lambda *at: steps.append(at))
    assert steps == [(1, 1)]
    assert (await tablet.account.rotations()).waiting == ()
    team = await tablet.conversation("team")
    assert team.epoch == 2
    await team.send("three")
    assert await said(bob) == ["one", "two", "three"]
    with pytest.raises(errors.SignInRefused):
        await alice.sync()
    view = await tablet.account.view()
    assert [each.device_id for each in view.revoked] == [lost]
    assert [each.name for each in view.devices] == ["tablet"]
    assert await said(tablet) == ["one", "two", "three"]
    for client in (tablet, bob):
        assert await client.alarms() == []


async def test_the_other_devices_get_the_new_outer_key(town: World) -> None:
    alice, bob = await pair(town)
    tablet = await town.another("alice", "tablet")
    laptop = await town.another("alice", "laptop")
    await laptop.sync()
    await tablet.account.revoke(await id_of(alice), password=password_of("alice"), confirm=yes)
    assert await said(laptop) == ["one", "two"]
    team = await laptop.conversation("team")
    await team.send("three")
    assert await said(bob) == ["one", "two", "three"]
    await laptop.device._write_vault()
    await tablet.device.check_vault()
    keys = [await each.device.run(lambda books: books.me.secrets.outer_key) for each in (tablet, laptop, alice)]
    assert keys[0] == keys[1] != keys[2]
    for client in (tablet, laptop, bob):
        assert await client.alarms() == []


async def test_with_the_words_alone_the_account_is_back_under_another_password(town: World) -> None:
    (alice,) = [await town.open("alice")]
    words = await alice.register("alice", password_of("alice"))
    await alice.create_conversation("diary")
    await (await alice.conversation("diary")).send("one")
    tablet = await town.another("alice", "tablet", words=list(words), new_password="another password")
    assert await said(tablet, "diary") == ["one"]
    with pytest.raises(errors.SignInRefused):
        await town.another("alice", "thief")
    laptop = await town.another("alice", "laptop", password="another password")
    assert await said(laptop, "diary") == ["one"]
    await tablet.device.close()
    again = await town.open("alice-tablet")
    await again.sign_in("alice", "another password")


async def test_a_new_password_and_new_words_end_the_old_ones(town: World) -> None:
    alice = await town.open("alice")
    old = await alice.register("alice", password_of("alice"))
    await alice.account.change_password("another password", password=password_of("alice"))
    words = await alice.account.new_recovery_key(password="another password")
    assert len(words) == 24
    for how in ({"password": password_of("alice")}, {"words": old, "new_password": "a thief's"}):
        with pytest.raises(errors.SignInRefused):
            await town.another("alice", "thief", **how)
    await town.another("alice", "tablet", words=words, options={"passphrase": "of the tablet alone"})
    await alice.device.close()
    again = await town.open("alice")
    with pytest.raises(errors.StoreLocked):
        await again.sign_in("alice", password_of("alice"))
    await again.sign_in("alice", "another password")


async def test_a_device_that_slept_while_it_was_unlocked_blames_nobody(town: World) -> None:
    alice, _ = await pair(town)

    def sleep(request: httpx2.Request, answer: Any) -> Any:
        if request.url.path.endswith("/auth/unlock"):
            town.clock.ahead += HOUR
            town.wires["alice"].rewrite = None
        return answer

    town.wires["alice"].rewrite = sleep
    with pytest.raises(errors.SessionExpired):
        await alice.account.change_password("another password", password=password_of("alice"))
    await alice.account.change_password("another password", password=password_of("alice"))


async def test_every_use_of_an_unlocker_is_told(town: World) -> None:
    alice, _ = await pair(town)
    with pytest.raises(errors.SignInRefused):
        await town.another("alice", "thief", password="a guess")
    tablet = await town.another("alice", "tablet")
    await alice.sync()
    told = [(each.kind, each.facts["kind"], each.facts["succeeded"]) for each in await alice.account.notices()]
    assert told == [("unlocker", "password", False), ("unlocker", "password", True)]
    assert (await alice.account.notices())[1].facts["deviceId"] == await id_of(tablet)


async def test_who_guesses_is_told_how_long_to_wait_and_does_not_flood_the_account(town: World) -> None:
    alice, _ = await pair(town)
    for _ in range(5):
        with pytest.raises(errors.SignInRefused):
            await alice.account.cancel_reset(password="a guess")
    with pytest.raises(errors.TooManyAttempts, match="looked at in ") as refused:
        await alice.account.cancel_reset(password=password_of("alice"))
    assert refused.value.facts["retryAfter"] in (9, 10)
    tablet = await town.another("alice", "tablet")
    town.clock.ahead += 10_000
    await alice.account.change_password("another password", password=password_of("alice"), confirm=yes)
    await tablet.sync()
    told = [(each.facts["succeeded"], each.facts["failed"]) for each in await tablet.account.notices()]
    assert told == [(False, 1), (True, 4), (True, 0)]


async def test_only_the_newest_notices_are_kept_and_what_is_new_is_still_known(town: World) -> None:
    alice, _ = await pair(town)

    def keep(books: Books, first: int, last: int) -> None:
        for at in range(first, last):
            books.keep_notice(at, "unlocker", {"kind": "password"})

    await alice.device.run(lambda books: keep(books, 1, 1101))
    await alice.device.run(lambda books: books.set_meta(READ, b"1100"))
    assert [each.at for each in await alice.account.notices()] == list(range(901, 1101))
    await alice.device.run(lambda books: keep(books, 1, 1101))  # as after a restore of the server
    assert [each.at for each in await alice.account.notices()] == list(range(901, 1101))
    assert (await alice.device.run(unread))[0] == 0
    await alice.device.run(lambda books: keep(books, 2000, 2003))
    assert (await alice.account.notices())[-1].at == 2002
    assert len(await alice.account.notices()) == 200
    assert (await alice.device.run(unread))[0] == 3


async def test_no_number_of_other_notices_pushes_a_reset_out(town: World) -> None:
    alice, _ = await pair(town)

    def keep(books: Books) -> None:
        for kind in ("reset", "reset_cancelled", "identity"):
            books.keep_notice(1, kind, {"version": 3})
        books.set_meta(READ, b"3")
        for number in range(300):
            books.keep_notice(2 + number * DAY, "vault_unreadable", {"deviceId": "d"})
            books.keep_notice(2 + number * DAY, "identity_confirmed", {"userId": f"u{number}"})

    await alice.device.run(keep)
    kinds = [each.kind for each in await alice.account.notices()]
    assert kinds[:3] == ["reset", "reset_cancelled", "identity"]
    assert [kinds.count(each) for each in ("vault_unreadable", "identity_confirmed")] == [200, 200]
    assert (await alice.device.run(unread))[0] == 400


async def test_what_a_device_can_cause_at_will_is_told_once(town: World) -> None:
    alice, _ = await pair(town)

    def keep(books: Books) -> None:
        for at in (DAY, DAY + 1, 2 * DAY - 1, 2 * DAY):
            for device in ("d", "e"):
                books.keep_notice(at, "vault_unreadable", {"deviceId": device})
            for version in (1, 2):
                facts = {"userId": "bob", "version": version, "deviceId": "d"}
                books.keep_notice(at, "identity_confirmed", facts)

    await alice.device.run(keep)
    told = [(each.kind, each.at) for each in await alice.account.notices()]
    assert sorted(told) == [
        *[("identity_confirmed", DAY)] * 2,
        *[("vault_unreadable", DAY)] * 2,
        *[("vault_unreadable", 2 * DAY)] * 2,
    ]


# --- resets ------------------------------------------------------------------------------------


async def test_a_reset_ends_roles_and_is_not_followed_silently(town: World) -> None:
    alice, bob = await pair(town)
    words, until = await alice.account.reset("another password", password=password_of("alice"))
    assert (len(words), until) == (24, 0)
    await alice.sync()
    team = await alice.conversation("team")
    assert "reset" in team.blocked
    with pytest.raises(errors.SendingBlocked):
        await team.send("under a new name")
    await bob.sync()
    his = await bob.conversation("team")
    await his.send("who are you?")
    assert [each.user_id for each in his.members()] == ["bob"]
    (told,) = [each for each in await bob.account.notices() if each.kind == "identity"]
    assert told.facts["userId"] == "alice"
    with pytest.raises(errors.IdentityChanged):
        await bob.create_conversation("another", members=["alice"])
    (contact,) = await bob.account.contacts()
    assert contact.changed
    with pytest.raises(errors.InvalidArgument):
        await bob.account.confirm_identity("alice", contact.fingerprint)
    await bob.account.confirm_identity("alice", contact.fingerprint_now)
    another = await bob.create_conversation("another", members=["alice"])
    await another.send("hello again")
    assert await said(alice, "another") == ["hello again"]
    assert await said(alice) == ["one", "two"]
    assert await bob.alarms() == await alice.alarms() == []


async def test_after_a_reset_the_store_opens_with_the_new_password(town: World) -> None:
    alice = await town.open("alice")
    await alice.register("alice", password_of("alice"))
    await alice.account.reset("another password")
    await alice.device.close()
    await (again := await town.open("alice")).sign_in("alice", password_of("alice"))  # it waits: nothing counts yet
    await again.account.cancel_reset(password=password_of("alice"))
    await again.account.reset("another password", password=password_of("alice"))
    await again.device.close()
    with pytest.raises(errors.StoreLocked):
        await (await town.open("alice")).sign_in("alice", password_of("alice"))
    await (await town.open("alice")).sign_in("alice", "another password")


async def test_a_device_that_was_kept_asks_whether_the_reset_was_its_owner_s(town: World) -> None:
    """Whoever has the password may reset the account and keep its owner's device: that one asks before it goes on."""
    bob, alice = await town.register("bob", "alice")
    his = await bob.create_conversation("team", members=["alice"])
    await his.send("one")
    await alice.sync()
    thief = await town.another("alice", "tablet")
    await thief.account.reset("the thief's password", password=password_of("alice"), keep=[await id_of(alice)])
    assert (await thief.account.view()).reset_by == ""
    await bob.sync()
    await his.send("who are you?")
    (contact,) = await bob.account.contacts()
    await bob.account.confirm_identity("alice", contact.fingerprint_now)
    await his.add("alice")
    await his.send("three")
    assert (await said(alice))[-1] == "three"
    assert (await alice.account.view()).reset_by == await id_of(thief)
    team = await alice.conversation("team")
    assert "your account was reset by device" in team.blocked
    with pytest.raises(errors.SendingBlocked):
        await team.send("under an identity that is not mine?")
    with pytest.raises(errors.IdentityChanged):
        await alice.create_conversation("another", members=["bob"])
    sent = len(town.wires["alice"].requests)
    town.clock.ahead += 25 * HOUR
    await alice.sync()
    assert ("POST", "/api/encryption/keys/private") not in town.wires["alice"].requests[sent:]
    with pytest.raises(errors.InvalidArgument):
        await alice.account.confirm_identity("alice", contact.fingerprint)
    await alice.account.confirm_identity("alice", await thief.account.fingerprint())
    assert (await alice.account.view()).reset_by == ""
    await team.send("it was me")
    assert (await said(bob))[-1] == "it was me"


async def test_an_admin_adds_who_was_reset_again(town: World) -> None:
    alice, bob = await pair(town)
    await bob.account.reset("another password", password=password_of("bob"))
    team = await alice.conversation("team")
    await alice.sync()
    await team.send("three")
    with pytest.raises(errors.IdentityChanged):
        await team.add("bob")
    (contact,) = await alice.account.contacts()
    await alice.account.confirm_identity("bob", contact.fingerprint_now)
    await team.add("bob")
    await team.send("four")
    assert readable(await said(bob)) == ["one", "two", "four"]
    await (await bob.conversation("team")).send("five")
    assert (await said(alice))[-1] == "five"
    tablet = await town.another("bob", "tablet", password="another password")
    assert readable(await said(tablet)) == ["one", "two", "four", "five"]


async def test_a_device_alone_waits_for_its_reset(town: World) -> None:
    alice, bob = await pair(town)
    tablet = await town.another("alice", "tablet")
    _, until = await tablet.account.reset("another password")
    assert until >= town.clock() + 71 * HOUR
    await alice.sync()
    (told,) = [each for each in await alice.account.notices() if each.kind == "reset"]
    assert told.facts["deviceId"] == await id_of(tablet)
    town.clock.ahead += 71 * HOUR
    await tablet.sync()
    assert (await tablet.account.view()).version == 2
    town.clock.ahead += 2 * HOUR
    await tablet.sync()
    view = await tablet.account.view()
    assert view.version == 3
    assert [each.device_id for each in view.devices] == [await id_of(tablet)]
    with pytest.raises(errors.SignInRefused):
        await alice.sync()
    assert await said(tablet) == ["one", "two"]
    await bob.sync()
    await (await bob.conversation("team")).send("to nobody")
    assert [each.kind for each in await bob.account.notices()] == ["identity"]


async def test_whoever_has_the_password_cancels_it(town: World) -> None:
    alice, _ = await pair(town)
    tablet = await town.another("alice", "tablet")
    await tablet.account.reset("another password")
    await alice.sync()
    await alice.account.cancel_reset(password=password_of("alice"))
    town.clock.ahead += 80 * HOUR
    await tablet.sync()
    assert (await tablet.account.view()).version == 3
    assert [each.kind for each in await tablet.account.notices()][-1] == "change_refused"
    assert "reset_cancelled" in [each.kind for each in await tablet.account.notices()]
    again = await town.another("alice", "laptop")
    assert await said(again) == ["one", "two"]
