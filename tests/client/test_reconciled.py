"""What a restored server lacks is posted back by those who hold it, and everybody goes on together."""

from __future__ import annotations

from contextlib import suppress
from itertools import permutations
from operator import methodcaller
from pathlib import Path

import pytest
from click.testing import CliRunner

from client import restoring
from client.restoring import Place, assert_calm, notices, said
from client.world import World, password_of, yes
from tacit import errors
from tacit.cli.admin import admin
from tacit.client import Client, lost
from tacit.client.vaults import held_header
from tacit.server.admin.check import check

place, town = restoring.place, restoring.town


async def members(client: Client) -> set[str]:
    team = await client.conversation("team")
    await team.refresh()
    return {each.user_id for each in team.members()}


async def test_an_epoch_that_was_lost_comes_back_and_talk_goes_on_in_it(town: World, place: Place) -> None:
    alice, bob, carol = await town.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await team.send("one")
    for each in (bob, carol):
        await each.sync()
    place.back_up()
    await team.rotate()
    await team.send("two")
    await bob.sync()
    await place.restore()

    assert await said(bob) == ["one", "two"]
    assert (await notices(bob)).count("server_behind") == 1
    assert await said(carol) == ["one", "no_grant", "no_grant"]  # whoever was there last asks for the key
    await bob.sync()
    assert await said(carol) == ["one", "two"]
    assert await said(alice) == ["one", "two"]
    for each in (alice, bob, carol):
        team = await each.conversation("team")
        assert team.epoch == 2
        await team.send(f"from {(await each.account.view()).user_id}")
    expected = ["one", "two", "from alice", "from bob", "from carol"]
    for each in (alice, bob, carol):
        assert await said(each) == expected
    await assert_calm(alice, bob, carol)
    assert list(check(place.database)) == []


async def test_what_the_sender_alone_has_comes_back_in_its_place(town: World, place: Place) -> None:
    """The server took it and forgot it before it came back to anybody."""
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("one")
    await bob.sync()
    place.back_up()
    await team.send("two")
    await team.rotate()
    await team.send("three")
    await place.restore()
    assert await said(alice) == ["one", "two", "three"]
    bob_hears = await bob.conversation("team")
    await bob.sync()
    await alice.sync()
    await bob.sync()
    messages = [each async for each in bob_hears.messages()]
    assert [(each.text, each.trust) for each in messages] == [
        ("one", "pinned"),
        ("two", "pinned"),
        ("three", "pinned"),
    ]
    await assert_calm(alice, bob)
    assert await alice.device.run(lambda books: books.connection.execute("SELECT * FROM acknowledged").fetchall()) == []


@pytest.mark.parametrize("first", ["alice", "bob"])
async def test_who_was_removed_stays_removed_whoever_comes_first(town: World, place: Place, first: str) -> None:
    alice, bob, carol = await town.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await team.send("one")
    for each in (bob, carol):
        await each.sync()
    place.back_up()
    await (await carol.conversation("team")).send("from carol")
    await carol.sync()
    await team.remove("carol")
    await team.send("two")
    await carol.sync()
    await bob.sync()
    await place.restore()

    assert await said(alice if first == "alice" else bob) == ["one", "from carol", "two"]
    await (await bob.conversation("team")).send("three")
    assert await said(carol) == ["one", "from carol"]
    assert await said(alice) == await said(bob) == ["one", "from carol", "two", "three"]
    assert "carol" not in await members(alice)
    await assert_calm(alice, bob)
    assert await carol.alarms() == []
    assert list(check(place.database)) == []


async def test_a_removed_member_brings_back_no_more_than_its_removal(town: World, place: Place) -> None:
    alice, bob, carol = await town.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await team.send("one")
    for each in (bob, carol):
        await each.sync()
    place.back_up()
    await team.remove("carol")
    await carol.sync()
    await place.restore()
    await carol.sync()
    await bob.sync()
    assert "carol" not in await members(bob)
    assert await said(alice) == ["one"]
    await team.send("two")
    await bob.sync()
    assert await said(bob) == ["one", "two"]
    assert await said(carol) == ["one"]
    await assert_calm(alice, bob)
    assert list(check(place.database)) == []


@pytest.mark.parametrize("first", ["alice", "bob", "carol"])
async def test_a_conversation_that_was_founded_since_comes_back_whole(town: World, place: Place, first: str) -> None:
    people = dict(zip(("alice", "bob", "carol"), await town.register("alice", "bob", "carol"), strict=True))
    for each in people.values():
        await each.sync()
    place.back_up()
    team = await people["alice"].create_conversation("team", members=["bob"])
    await team.send("one")
    await people["bob"].sync()
    await (await people["bob"].conversation("team")).send("two")
    await people["alice"].sync()
    await team.add("carol")
    await team.send("three")
    for each in people.values():
        await each.sync()
    await place.restore()
    await people[first].sync()
    for each in people.values():
        await each.sync()
    for each in people.values():
        await each.sync()
    assert await said(people["alice"]) == await said(people["bob"]) == ["one", "two", "three"]
    assert await said(people["carol"]) == ["no_grant", "no_grant", "no_grant", "three"]
    for name, each in people.items():
        await (await each.conversation("team")).send(f"from {name}")
    for each in people.values():
        assert (await said(each))[-3:] == ["from alice", "from bob", "from carol"]
    await assert_calm(*people.values())
    assert list(check(place.database)) == []


def run(*arguments: str) -> None:
    """A command of the operator, which has to succeed."""
    result = CliRunner().invoke(admin, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output


async def revoke(client: Client, other: Client, password: str) -> None:
    device = await other.device.run(lambda books: books.me.device_id)
    await client.account.revoke(device, password=password, confirm=yes)


async def test_an_account_that_was_changed_since_goes_on(town: World, place: Place) -> None:
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("one")
    tablet = await town.another("alice", "tablet")
    for each in (bob, tablet, alice):
        await each.sync()
    place.back_up()
    await alice.account.change_password("another password", password=password_of("alice"))
    await revoke(alice, tablet, "another password")
    await team.send("two")
    phone = await town.another("alice", "phone", password="another password")
    await phone.sync()
    for each in (bob, alice, phone):
        await each.sync()
    await place.restore()

    assert await said(bob) == ["one", "two"]
    assert await said(alice) == ["one", "two"]
    await phone.sync()
    with pytest.raises(errors.TacitError):
        await tablet.sync()
    await (await bob.conversation("team")).send("three")
    for each in (alice, bob, phone):
        await each.sync()
        assert (await each.alarms()) == []
    # The password of the backup opens the account until it is changed again.
    await alice.account.change_password("a third password", password=password_of("alice"))
    await alice.account.change_password("a fourth password", password="a third password")
    laptop = await town.another("alice", "laptop", password="a fourth password")
    await laptop.sync()
    await (await phone.conversation("team")).send("four")
    for each in (alice, bob, phone):
        assert (await said(each))[-2:] == ["three", "four"]
        assert (await each.alarms()) == []
    assert list(check(place.database)) == []


async def test_a_vault_that_was_written_since_comes_back(town: World, place: Place) -> None:
    alice, _, carol = await town.register("alice", "bob", "carol")
    tablet = await town.another("alice", "tablet")
    for each in (alice, tablet, carol):
        await each.sync()
    place.back_up()
    await alice.create_conversation("team", members=["bob"])
    await alice.device.check_vault()
    await alice.device._write_vault()
    await tablet.sync()
    await place.restore()
    for each in (alice, tablet):
        await each.sync()
        assert await each.alarms() == []
    await alice.create_conversation("more", members=["carol"])
    await alice.device._write_vault()
    await tablet.sync()
    await tablet.device._write_vault()
    assert await alice.alarms() == await tablet.alarms() == []
    phone = await town.another("alice", "phone")
    await phone.sync()
    assert await phone.alarms() == []
    assert list(check(place.database)) == []


async def test_until_it_is_mended_a_lower_version_is_refused_and_no_evidence(town: World, place: Place) -> None:
    alice, bob = await town.register("alice", "bob")
    await alice.create_conversation("team", members=["bob"])
    place.back_up()
    await alice.account.change_password("another password", password=password_of("alice"))
    await bob.sync()
    await bob.device._parts_now().directory.refresh(["alice"])
    await place.restore()
    for client in (alice, bob):
        with pytest.raises(errors.ServerBehind):
            await client.device._parts_now().directory.refresh(["alice"])
    await bob.sync()
    held = await bob.device.run(lambda books: books.accounts.newest("alice"))
    assert held is not None
    assert held.value.version == 2
    await bob.device._parts_now().directory.refresh(["alice"])
    await alice.sync()
    assert await alice.alarms() == await bob.alarms() == []


async def test_a_server_that_claims_a_restore_and_stays_behind_is_evidence_again(town: World, place: Place) -> None:
    alice, bob = await town.register("alice", "bob")
    await alice.create_conversation("team", members=["bob"])
    place.back_up()
    await alice.account.change_password("another password", password=password_of("alice"))
    await bob.device._parts_now().directory.refresh(["alice"])
    await place.restore()
    town.wires["bob"].lose("request", "/reconcile/account")
    with pytest.raises(errors.Unreachable):
        await bob.sync()
    assert await bob.alarms() == []
    await bob.device.run(lambda books: books.set_meta(lost.DUE, None))  # as after a comparison that changed nothing
    with pytest.raises(errors.ServerMisbehaved):
        await bob.device._parts_now().directory.refresh(["alice"])
    assert [each.about for each in await bob.alarms()] == ["account"]


@pytest.mark.parametrize("written", [1, 2])
@pytest.mark.parametrize("writes", [1, 2])
async def test_two_devices_that_wrote_the_vault_apart_come_together(
    town: World, place: Place, written: int, writes: int
) -> None:
    """One before the restore, `written` times, and one after it, before the first came back."""
    alice, *_ = await town.register("alice", "bob", "carol", "dave", "erin")
    tablet = await town.another("alice", "tablet")
    for each in (alice, tablet):
        await each.sync()
        await each.device._write_vault()
    await alice.sync()
    place.back_up()
    for name in ("bob", "dave")[:written]:
        await alice.create_conversation(f"with {name}", members=[name])
        await alice.device._write_vault()
    await place.restore()
    for name in ("carol", "erin")[:writes]:
        await tablet.sync()
        await tablet.create_conversation(f"with {name}", members=[name])
        await tablet.device._write_vault()
    for _ in range(2):
        for each in (alice, tablet):
            await each.sync()
            await each.device._write_vault()
    await alice.device.check_vault()
    for each in (alice, tablet):
        assert await each.alarms() == []
        for name in ("bob", "carol"):
            assert await each.device.run(methodcaller("vault_contact", name)) is not None
    headers = [await each.device.run(held_header) for each in (alice, tablet)]
    assert headers[0] == headers[1]
    assert list(check(place.database)) == []


async def test_what_is_said_to_a_server_that_forgot_the_conversation_goes_out_once_it_knows_it(
    town: World, place: Place
) -> None:
    alice, bob = await town.register("alice", "bob")
    place.back_up()
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("one")
    await alice.sync()
    await place.restore()
    await team.send("two")
    for each in (bob, alice):  # he asks for the key, and is given it
        await each.sync()
    assert await said(bob) == await said(alice) == ["one", "two"]
    assert (await alice.conversation("team")).unsent == ()
    assert list(check(place.database)) == []


async def test_an_epoch_since_which_a_device_was_revoked_takes_no_message_when_it_is_back(
    town: World, place: Place
) -> None:
    alice, bob = await town.register("alice", "bob")
    tablet = await town.another("alice", "tablet")
    await alice.sync()
    team = await alice.create_conversation("team", members=["bob"])
    place.back_up()
    await team.rotate()
    town.wires["alice"].lose("request", "/conversation/keys")
    with pytest.raises(errors.Unreachable):
        await revoke(alice, tablet, password_of("alice"))
    await bob.sync()
    await bob.device._parts_now().directory.refresh(["alice"])
    await place.restore()
    await bob.sync()
    assert place.backend is not None
    query = "SELECT epoch, outdated FROM conversations"
    outdated = await place.backend.store.read(lambda db: db.execute(query).fetchall())
    assert [tuple(each) for each in outdated] == [(2, 1)]
    await (await bob.conversation("team")).send("one")
    town.wires["alice"].faults.clear()
    assert await said(alice) == ["one"]
    await assert_calm(alice, bob)
    assert list(check(place.database)) == []


async def test_a_new_device_does_not_take_the_unlockers_of_the_backup(town: World, place: Place) -> None:
    """It holds nothing to tell a restore from a server that brings an old password back."""
    (alice,) = await town.register("alice")
    place.back_up()
    await alice.account.change_password("another password", password=password_of("alice"))
    await place.restore()
    await alice.sync()
    with pytest.raises(errors.InvalidVault):
        await town.another("alice", "phone")
    await alice.account.change_password("a third password", password=password_of("alice"))
    assert await town.another("alice", "tablet", password="a third password")


@pytest.mark.parametrize("order", list(permutations(("alice", "bob", "phone"))))
async def test_in_whatever_order_they_come_everybody_goes_on(
    town: World, place: Place, tmp_path: Path, order: tuple[str, ...]
) -> None:
    """Messages, epochs, a removal, another password, a device more: all of it since the backup, by the commands."""
    alice, bob, carol = await town.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await team.send("one")
    for each in (alice, bob, carol):
        await each.sync()
    run("backup", str(place.database), str(tmp_path / "backup.db"))
    await team.remove("carol")
    await alice.account.change_password("another password", password=password_of("alice"))
    phone = await town.another("alice", "phone", password="another password")
    await team.send("two")
    for each in (phone, bob, alice):
        await each.sync()
    await (await bob.conversation("team")).send("three")
    for each in (phone, alice):
        await each.sync()
    await place.stop()
    run("restore", str(tmp_path / "backup.db"), str(tmp_path / "restored.db"))
    place.database = tmp_path / "restored.db"
    await place.start()

    people = {"alice": alice, "bob": bob, "phone": phone}
    refused = 0
    for name in order:
        try:
            await people[name].sync()
        except errors.SignInRefused:  # its certificate is in the version that nobody brought yet
            assert name == "phone"
            refused += 1
    for name in [*order, *order]:
        with suppress(errors.SignInRefused):
            await people[name].sync()
    assert refused == (order.index("phone") < order.index("alice"))  # bob never saw it
    for name in order:
        await (await people[name].conversation("team")).send(f"from {name}")
    for each in people.values():
        heard = [text for text in await said(each) if text != "no_grant"]
        assert heard == ["one", "two", "three", *(f"from {name}" for name in order)]
        assert await members(each) == {"alice", "bob"}
    await assert_calm(*people.values())
    assert "two" not in await said(carol)
    assert await carol.alarms() == []
    run("check", str(place.database))


async def test_an_account_that_only_a_contact_brought_back_is_whole_once_its_device_comes(
    town: World, place: Place
) -> None:
    alice, bob = await town.register("alice", "bob")
    tablet = await town.another("alice", "tablet")
    await alice.create_conversation("team", members=["bob"])
    place.back_up()
    await revoke(alice, tablet, password_of("alice"))
    await bob.sync()
    await place.restore()
    await bob.sync()
    assert list(check(place.database)) == []  # its vault is still the one of the backup
    with pytest.raises(errors.SignInRefused):
        await tablet.sync()
    await alice.sync()
    await alice.account.change_password("another password", password=password_of("alice"))
    await alice.device._write_vault()
    assert await town.another("alice", "phone", password="another password")
    await assert_calm(alice, bob)
    assert list(check(place.database)) == []
