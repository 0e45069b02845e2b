from __future__ import annotations

import pytest

from client.world import Crash, World, abandon, password_of, texts
from tacit import errors
from tacit.client import Client


async def test_two_people_talk(world: World) -> None:
    alice, bob = await world.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    assert (team.name, team.protocol, team.profile, team.epoch, team.encrypted) == (
        "team",
        "envelope",
        "standard",
        1,
        True,
    )
    assert [(each.user_id, each.role, each.has_device) for each in team.members()] == [
        ("alice", "admin", True),
        ("bob", "member", True),
    ]
    sent = await team.send("hello")
    await bob.sync()
    his = await bob.conversation("team")
    await his.send("hi")
    assert await texts(his) == await texts(team) == [("alice", "hello"), ("bob", "hi")]
    (first, _) = [each async for each in his.messages()]
    assert (first.seq, first.client_message_id, first.sender, first.device_id, first.trust, first.kind) == (
        sent.seq,
        sent.client_message_id,
        "alice",
        sent.device_id,
        "pinned",
        "text",
    )
    assert first.sent_at == sent.sent_at


async def test_who_was_offline_catches_up(world: World) -> None:
    alice, bob = await world.register("alice", "bob")
    await bob.device.close()
    team = await alice.create_conversation("team", members=["bob"])
    for number in range(5):
        await team.send(f"message {number}")
    await team.rotate()
    await team.send("under the next key")
    back = await world.come_back("bob")
    await back.sync()
    his = await back.conversation("team")
    expected = [*((f"message {number}") for number in range(5)), "under the next key"]
    assert await texts(his) == [("alice", text) for text in expected]
    assert not await his.gaps()


async def test_edits_and_deletions_show_as_they_stand(world: World) -> None:
    alice, bob = await world.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    first, second = await team.send("typo"), await team.send("regret")
    await team.edit(first, "mended")
    await team.delete(second)
    await bob.sync()
    shown = [each async for each in (await bob.conversation("team")).messages()]
    assert [(each.text, each.edited, each.deleted) for each in shown] == [("mended", True, False), ("", False, True)]


async def test_another_persons_message_is_not_edited_or_deleted(world: World) -> None:
    alice, bob = await world.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    sent = await team.send("mine")
    await bob.sync()
    his = await bob.conversation("team")
    with pytest.raises(errors.NoRight):
        await his.edit(sent, "his")
    with pytest.raises(errors.NoRight):
        await his.delete(sent)
    assert await texts(team) == [("alice", "mine")]


async def test_a_conversation_is_found_by_its_name_or_id(world: World) -> None:
    alice, bob = await world.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    assert (await alice.conversation("team")).id == (await alice.conversation(team.id)).id == team.id
    with pytest.raises(errors.ConversationNotFound):
        await alice.conversation("another")
    await alice.create_conversation("team")
    with pytest.raises(errors.InvalidArgument):
        await alice.conversation("team")
    assert [each.name for each in await alice.conversations()] == ["team", "team"]
    await bob.sync()
    await (await bob.conversation("team")).rename("crew")
    await alice.sync()
    assert (await alice.conversation("crew")).id == team.id


async def test_who_joins_later_reads_from_there_on_and_knows_the_name(world: World) -> None:
    alice, _, carol = await world.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("before")
    await team.add("carol")
    await team.send("after")
    await carol.sync()
    hers = await carol.conversation("team")
    read = await texts(hers)
    assert read[-1] == ("alice", "after")
    assert ("alice", "before") not in read
    assert {each.user_id for each in hers.members()} == {"alice", "bob", "carol"}
    assert not await hers.gaps()


@pytest.mark.parametrize("name", ["", "x" * 256, "\udcff"])
async def test_a_name_that_does_not_fit_is_refused(world: World, name: str) -> None:
    (alice,) = await world.register("alice")
    with pytest.raises(errors.InvalidArgument):
        await alice.create_conversation(name)


async def test_somebody_who_is_not_there_cannot_be_a_member(world: World) -> None:
    (alice,) = await world.register("alice")
    with pytest.raises(errors.NoSuchAccount):
        await alice.create_conversation("team", members=["nobody"])
    assert await alice.conversations() == []
    team = await alice.create_conversation("team")
    with pytest.raises(errors.NoSuchAccount):
        await team.add("nobody")
    assert team.epoch == 1
    await team.send("alone")


async def test_a_text_too_long_for_one_message_is_refused_and_not_kept(world: World) -> None:
    (alice,) = await world.register("alice")
    team = await alice.create_conversation("team")
    with pytest.raises(errors.TooLarge):
        await team.send("x" * 65_000)
    await team.refresh()
    assert team.unsent == ()
    await team.send("x" * 60_000)


async def test_a_wrong_password_opens_nothing(world: World) -> None:
    (alice,) = await world.register("alice")
    await alice.device.close()
    client = await world.open("alice")
    with pytest.raises(errors.StoreLocked):
        await client.sign_in("alice", "wrong")
    with pytest.raises(errors.NotSignedIn):
        await client.conversations()
    await client.sign_in("alice", password_of("alice"))


async def test_a_store_is_one_accounts(world: World) -> None:
    (alice,) = await world.register(
        "alice",
    )
    with pytest.raises(errors.StoreLocked):
        await alice.register("bob", password_of("alice"))
    await alice.device.close()
    client = await world.open("alice")
    with pytest.raises(errors.StoreLocked):
        await client.sign_in("bob", password_of("alice"))


async def test_without_a_store_nobody_signs_in_and_no_file_is_made(world: World) -> None:
    client = await world.open("alice")
    with pytest.raises(errors.NotSignedIn):
        await client.sign_in("alice", "a password")
    assert list(world.folder.glob("alice.db*")) == []
    with pytest.raises(errors.NotSignedIn):
        await client.sync()


async def test_a_taken_name_leaves_no_store_behind(world: World) -> None:
    await world.register("alice")
    other = Client(world.url, store=world.folder / "other.db", transport=world._make_wire())
    with pytest.raises(errors.AccountExists):
        await other.register("alice", "another password")
    assert list(world.folder.glob("other*")) == []
    await other.register("alicia", "yet another password")
    await other.device.close()


async def test_a_passphrase_opens_the_store_instead_of_the_password(world: World) -> None:
    client = await world.open("alice", passphrase="of the store")
    await client.register("alice", "of the account")
    await client.device.close()
    locked = await world.open("alice")
    with pytest.raises(errors.StoreLocked):
        await locked.sign_in("alice", "of the account")
    with pytest.raises(errors.InvalidArgument):
        await locked.sign_in("alice")
    again = await world.open("alice", passphrase="of the store")
    await again.sign_in("alice")


async def test_after_signing_out_nothing_works_until_signing_in(world: World) -> None:
    (alice,) = await world.register("alice")
    await alice.create_conversation("team")
    await alice.sign_out()
    with pytest.raises(errors.NotSignedIn):
        await alice.conversations()
    await alice.sign_in("alice", password_of("alice"))
    assert [each.name for each in await alice.conversations()] == ["team"]


async def test_who_joins_misses_nothing_that_is_there_and_cannot_be_read(world: World) -> None:
    alice, bob, carol = await world.register("alice", "bob", "carol")
    team = await alice.create_conversation("team", members=["bob"])
    await team.send("before")
    await bob.sync()
    bobs = await bob.conversation("team")
    world.wires["alice"].refuse(errors.InvalidMessage(), "/api/messages/encrypted")
    await team.add("carol")  # what would have named the earlier messages does not go out
    await bob.sync()
    await bobs.rotate()
    await bobs.send("after")
    await carol.sync()
    carols = await carol.conversation(team.id)
    assert ("bob", "after") in await texts(carols)
    assert not await carols.gaps()


async def test_an_epochs_first_message_gives_the_name_that_there_is_when_it_goes_out(world: World) -> None:
    alice, bob = await world.register("alice", "bob")
    team = await alice.create_conversation("old", members=["bob"])
    await bob.sync()
    bobs = await bob.conversation("old")
    world.wires["alice"].fail("crash after", "/api/encryption/conversation/keys")
    with pytest.raises(Crash):
        await team.rotate()  # the epoch counts; alice learns of it together with the new name
    await abandon(alice)
    await bobs.rename("new")
    alice = await world.come_back("alice")
    await alice.sync()
    await bob.sync()
    assert [each.name for each in await bob.conversations()] == ["new"]
    assert [each.name for each in await alice.conversations()] == ["new"]
