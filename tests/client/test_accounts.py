"""What the client makes of account records that the server serves."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import httpx2
import msgspec
import pytest

from client.world import World, rows, texts
from rsa_pool import pooled_rsa
from signed.chains import replacing
from tacit import errors
from tacit.api.accounts import PublicKeys
from tacit.client import Client
from tacit.client.books import Books
from tacit.crypto.secret import Secret
from tacit.identity.account import certificate_of, new_device
from tacit.signed.account import AccountRecord, DeviceCertificate, RevokedDevice, account_hash
from tacit.signed.profiles import Profile
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, to_base64

PUBLIC = "/api/encryption/keys/public"


def swapping(world: World, name: str, instead: dict[str, Any]) -> None:
    """From now on this person is served other account records for some users."""

    def rewrite(request: httpx2.Request, answer: Any) -> Any:
        if request.url.path == PUBLIC and "accounts" in answer:
            for account in answer["accounts"]:
                account.update(instead.get(account["userId"], {}))
        return answer

    world.wires[name].rewrite = rewrite


async def served(world: World, name: str, user: str) -> dict[str, Any]:
    """What the server says of an account."""
    client = await world.come_back(name)
    answer = await client.device.api.get_encryption_keys_public([user], 0)
    await client.device.close()
    return {
        "versions": [
            {
                "version": each.version,
                "keyId": each.key_id,
                "publicKey": each.public_key,
                "record": each.record,
                "signature": each.signature,
            }
            for each in answer.accounts[0].versions
        ]
    }


async def pair(world: World) -> tuple[Client, Client]:
    alice, bob = await world.register("alice", "bob")
    await alice.create_conversation("team", members=["bob"])
    await bob.sync()
    return alice, bob


async def test_a_key_that_is_swapped_after_it_was_pinned_raises_an_alarm_and_blocks_sending(world: World) -> None:
    alice, bob = await pair(world)
    team = await alice.conversation("team")
    other = World(world.url, world.folder / "elsewhere", world._stack, world._make_wire)
    other.folder.mkdir()
    await other.register("mallory")
    mallory = await served(other, "mallory", "mallory")
    swapping(world, "alice", {"bob": mallory})
    with pytest.raises(errors.InvalidAccountRecord):
        await team.rotate()
    (alarm,) = await alice.alarms()
    assert (alarm.about, alarm.subject, alarm.code) == ("account", "bob", "invalid_account_record")
    with pytest.raises(errors.SendingBlocked):
        await team.send("to whom?")
    await team.refresh()
    assert "bob" in team.blocked
    assert await texts(await bob.conversation("team")) == []
    (count,) = await rows(alice, "SELECT count(*) FROM accounts WHERE user_id = 'bob'")
    assert count == (1,)


async def test_an_account_that_is_not_served_any_more_raises_an_alarm(world: World) -> None:
    alice, _ = await pair(world)
    team = await alice.conversation("team")
    swapping(world, "alice", {"bob": {"versions": []}})
    with pytest.raises(errors.ServerMisbehaved):
        await team.rotate()
    assert [alarm.code for alarm in await alice.alarms()] == ["server_misbehaved"]
    with pytest.raises(errors.SendingBlocked):
        await team.send("hello")


@pytest.mark.parametrize("change", ["record", "signature"])
async def test_a_stranger_whose_record_does_not_verify_is_not_met(world: World, change: str) -> None:
    alice, _ = await world.register("alice", "bob")
    bobs = await served(world, "bob", "bob")
    text = bobs["versions"][0][change]
    bobs["versions"][0][change] = text[:-12] + ("A" if text[-12] != "A" else "B") + text[-11:]
    swapping(world, "alice", {"bob": bobs})
    with pytest.raises((errors.BadSignature, errors.InvalidAccountRecord, errors.UnexpectedAnswer)):
        await alice.create_conversation("team", members=["bob"])
    assert await rows(alice, "SELECT 1 FROM accounts WHERE user_id = 'bob'") == []
    assert await alice.alarms() == []


async def test_an_answer_about_somebody_else_is_unexpected(world: World) -> None:
    alice, _ = await world.register("alice", "bob")
    swapping(world, "alice", {"bob": {"userId": "carol"}})
    with pytest.raises(errors.UnexpectedAnswer):
        await alice.create_conversation("team", members=["bob"])


async def test_a_known_version_that_is_another_now_raises_an_alarm(world: World) -> None:
    alice, _ = await pair(world)
    team = await alice.conversation("team")
    bobs = await served(world, "bob", "bob")
    (version,) = bobs["versions"]
    record = decode(AccountRecord, from_base64(version["record"]))
    other = dataclasses.replace(record, archive_key_id=bytes(32))
    version.update(record=to_base64(encode(other)), keyId=account_hash(other).hex())
    swapping(world, "alice", {"bob": bobs})
    with pytest.raises(errors.ServerMisbehaved):
        await team.rotate()
    with pytest.raises(errors.SendingBlocked):
        await team.send("hello")


def another_device(user: str) -> DeviceCertificate:
    """A device that somebody has besides the one in the store."""
    return certificate_of(new_device(Profile.STANDARD, user, Secret(bytes(32)), os.urandom, pooled_rsa))


def with_another(record: AccountRecord) -> AccountRecord:
    """The record with one device more."""
    devices = sorted([*record.devices, another_device(record.user_id)], key=lambda each: each.device_id)
    return dataclasses.replace(record, devices=tuple(devices))


def in_its_place(record: AccountRecord) -> AccountRecord:
    """The record with another device in the place of the one that was there, which is revoked."""
    gone = tuple(RevokedDevice(each.device_id, record.version) for each in record.devices)
    return dataclasses.replace(record, devices=(another_device(record.user_id),), revoked=gone, **replacing(record))


def named(books: Books, conversation_id: str) -> dict[str, int]:
    """The account version of each member that the newest epoch names."""
    return {user: change.account_version for user, change in books.held(conversation_id).roster().items()}


async def test_the_next_epoch_names_the_newest_version_of_each_member(world: World) -> None:
    alice, bob = await pair(world)
    team = await alice.conversation("team")
    assert world.simulator is not None
    world.simulator.follow("bob", "the password of bob", with_another)
    await team.send("nothing to mend")
    assert team.epoch == 1
    await team.rotate()
    assert await alice.device._run(lambda books: named(books, team.id)) == {"alice": 1, "bob": 2}
    await team.send("hello")
    await bob.sync()
    his = await bob.conversation("team")
    assert (await texts(his))[-1] == ("alice", "hello")
    await his.send("me too")
    assert (await texts(team))[-1] == ("bob", "me too")


async def test_after_a_member_revoked_a_device_the_next_epoch_comes_before_the_next_message(world: World) -> None:
    alice, bob = await pair(world)
    his = await bob.conversation("team")
    await his.send("from the device that is lost")
    team = await alice.conversation("team")
    assert await texts(team) == [("bob", "from the device that is lost")]
    assert world.simulator is not None
    world.simulator.follow("bob", "the password of bob", in_its_place)
    parts = alice.device._parts
    assert parts is not None
    await parts.directory.refresh(["bob"])
    sent = await team.send("not for the lost device")
    assert (sent.epoch, team.epoch) == (2, 2)
    assert await alice.device._run(lambda books: named(books, team.id)) == {"alice": 1, "bob": 2}


async def test_a_member_whose_account_goes_on_as_another_is_not_followed(world: World) -> None:
    alice, _ = await pair(world)
    team = await alice.conversation("team")
    assert world.simulator is not None
    before = len(world.simulator.accounts["bob"].versions)
    world.simulator.follow("bob", "the password of bob", with_another)
    versions = world.simulator.accounts["bob"].versions
    assert len(versions) == before + 1
    broken = decode(AccountRecord, from_base64(versions[-1].record))
    forged = dataclasses.replace(broken, devices=(another_device("bob"),))
    key_id = account_hash(forged).hex()
    versions[-1] = msgspec.structs.replace(versions[-1], record=to_base64(encode(forged)), key_id=key_id)
    with pytest.raises((errors.BadSignature, errors.InvalidAccountRecord)):
        await team.rotate()
    with pytest.raises(errors.SendingBlocked):
        await team.send("to whom?")


async def test_an_account_that_ended_cannot_be_brought_into_a_conversation(world: World) -> None:
    alice, _ = await world.register("alice", "bob")
    assert world.simulator is not None

    def ended(record: AccountRecord) -> AccountRecord:
        gone = tuple(RevokedDevice(each.device_id, record.version) for each in record.devices)
        emptied = {"devices": (), "encryption_keys": (), "archive_key_id": b"", "revoked": gone}
        return dataclasses.replace(record, **replacing(record) | emptied)

    world.simulator.follow("bob", "the password of bob", ended)
    with pytest.raises(errors.CannotFollow, match="bob's account has ended"):
        await alice.create_conversation("team", members=["bob"])
    assert await alice.conversations() == []


async def test_a_conversation_is_no_larger_than_one_request_can_grant(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _, _ = await world.register("alice", "bob", "carol")
    monkeypatch.setattr(limits, "GRANTS", 2)
    with pytest.raises(errors.TooLarge, match="at most 2 members"):
        await alice.create_conversation("team", members=["bob", "carol"])
    await alice.create_conversation("pair", members=["bob"])
    assert [each.name for each in await alice.conversations()] == ["pair"]


async def test_accounts_that_others_name_are_fetched_in_groups(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "USERS", 3)
    alice, *_ = await world.register("alice", "bob", "carol", "dave", "erin")
    parts = alice.device._parts
    assert parts is not None

    async def fetched(*users: str) -> tuple[int, int]:
        """How many versions were new, and the number of requests."""
        before = world.wires["alice"].requests.count(("GET", PUBLIC))
        added = await parts.directory.try_refresh(users)
        return added, world.wires["alice"].requests.count(("GET", PUBLIC)) - before

    assert await fetched("bob", "carol", "dave", "erin") == (4, 2)
    assert await fetched("bob", "carol") == (0, 1)


async def test_one_account_that_is_not_there_holds_up_no_other_of_its_group(world: World) -> None:
    alice, *_ = await world.register("alice", "bob", "carol")
    parts = alice.device._parts
    assert parts is not None
    assert await parts.directory.try_refresh(["bob", "nobody", "carol"]) == 2
    assert await rows(alice, "SELECT user_id FROM accounts ORDER BY user_id") == [("alice",), ("bob",), ("carol",)]


async def test_many_versions_are_fetched_page_by_page(world: World) -> None:
    alice, _ = await world.register("alice", "bob")
    assert world.simulator is not None
    for _ in range(5):
        world.simulator.follow("bob", "the password of bob", lambda record: record)
    world.simulator.versions_a_page = 2
    await alice.create_conversation("team", members=["bob"])
    found = await rows(alice, "SELECT version FROM accounts WHERE user_id = 'bob' ORDER BY version")
    assert [version for (version,) in found] == [1, 2, 3, 4, 5, 6]


async def test_versions_that_do_not_go_forward_are_refused(world: World) -> None:
    alice, _ = await world.register("alice", "bob")
    assert world.simulator is not None
    world.simulator.follow("bob", "the password of bob", lambda record: record)
    world.simulator.versions_a_page = 1
    with pytest.raises(errors.UnexpectedAnswer, match="do not go forward"):
        await alice.create_conversation("team", members=["bob"])


@pytest.mark.parametrize("stranger", [True, False])
async def test_an_answer_that_was_overtaken_by_another_raises_no_alarm(world: World, stranger: bool) -> None:
    """Two tasks, or two programs on one store, ask for an account; the later answer is taken first."""
    alice, _ = await world.register("alice", "bob")
    assert world.simulator is not None
    world.simulator.follow("bob", "the password of bob", lambda record: record)
    parts = alice.device._parts
    assert parts is not None
    directory, ask = parts.directory, alice.device.api.get_encryption_keys_public
    if not stranger:
        await directory.refresh(["bob"])

    async def overtaken(users: list[str], after: int) -> PublicKeys:
        early = await ask(users, after)
        alice.device.api.get_encryption_keys_public = ask  # type: ignore[method-assign]
        assert world.simulator is not None
        world.simulator.follow("bob", "the password of bob", lambda record: record)
        await directory.refresh(["bob"])
        return early

    alice.device.api.get_encryption_keys_public = overtaken  # type: ignore[assignment,method-assign]
    assert await directory.refresh(["bob"]) == 0
    assert await rows(alice, "SELECT version FROM accounts WHERE user_id = 'bob'") == [(1,), (2,), (3,)]
    assert await alice.alarms() == []
    assert await directory.refresh(["bob"]) == 0
