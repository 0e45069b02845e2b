"""A key that is missing: asked for, handed on by another member, taken when it comes."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from client.world import World, texts
from tacit import errors
from tacit.api.conversations import GrantRequest
from tacit.client import Client
from tacit.client.granting import Wanted, grant_for
from tacit.signed.grant import SignedGrant
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, to_base64

ASK = "/grant-requests"


async def said(client: Client) -> list[str]:
    await client.sync()
    return [text for _, text in await texts(await client.conversation("team"))]


def spoiling(world: World, name: str, *, leave_out: bool = False) -> None:
    """This person's client is served alice's grants spoilt, or not at all."""

    def spoilt(each: dict[str, Any]) -> dict[str, Any]:
        grant = decode(SignedGrant, from_base64(each["encryptedKey"]))
        other = bytes([grant.signature[0] ^ 1]) + grant.signature[1:]
        return each | {"encryptedKey": to_base64(encode(SignedGrant(grant.grant, other)))}

    def rewrite(_: httpx2.Request, answer: Any) -> Any:
        waiting = [answer]
        while waiting:
            item = waiting.pop()
            waiting.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
            if isinstance(item, dict) and "encryptedKeys" in item:
                theirs = [each for each in item["encryptedKeys"] if not each["grantedBy"].startswith("alice/")]
                hers = [each for each in item["encryptedKeys"] if each["grantedBy"].startswith("alice/")]
                item["encryptedKeys"] = theirs + ([] if leave_out else [spoilt(each) for each in hers])
        return answer

    world.wires[name].rewrite = rewrite


async def three(town: World) -> tuple[Client, Client, Client]:
    """Alice's conversation, in which bob has no key."""
    alice, bob, carol = await town.register("alice", "bob", "carol")
    spoiling(town, "bob", leave_out=True)
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await team.send("one")
    return alice, bob, carol


async def test_a_missing_key_is_asked_for_and_handed_on(town: World) -> None:
    alice, bob, carol = await three(town)
    await carol.sync()
    assert "one" not in await bobs(bob)
    assert ("POST", "/api/conversations/" + await id_of(bob) + ASK) in town.wires["bob"].requests
    await carol.sync()
    assert "one" in await bobs(bob)
    conversation = (await bob.conversations())[0]
    assert conversation.blocked == ""
    await conversation.send("two")
    assert await said(alice) == ["one", "two"]
    assert await bob.alarms() == []


async def bobs(bob: Client) -> list[str]:
    await bob.sync()
    return [text for _, text in await texts((await bob.conversations())[0])]


async def id_of(client: Client) -> str:
    return (await client.conversations())[0].id


async def test_a_wrong_grant_is_repaired_by_another_member(town: World) -> None:
    alice, bob, carol = await town.register("alice", "bob", "carol")
    spoiling(town, "bob")
    team = await alice.create_conversation("team", members=["bob", "carol"])
    await team.send("one")
    await carol.sync()
    assert "one" not in await bobs(bob)
    assert "bad_signature" in (await bob.conversations())[0].blocked
    await carol.sync()
    assert "one" in await bobs(bob)
    assert (await bob.conversations())[0].blocked == ""


async def test_it_is_asked_for_once_an_hour(town: World) -> None:
    _, bob, carol = await three(town)
    await bob.sync()
    await bob.sync()
    asked = [each for each in town.wires["bob"].requests if each[1].endswith(ASK)]
    assert len(asked) == 1
    town.clock.ahead += 61 * 60 * 1000
    await bob.sync()
    asked = [each for each in town.wires["bob"].requests if each[1].endswith(ASK)]
    assert len(asked) == 2
    await carol.sync()
    assert "one" in await bobs(bob)


async def test_nothing_is_handed_on_to_who_is_not_there(town: World) -> None:
    alice, _, _ = await three(town)
    conversation_id = await id_of(alice)
    team = await alice.conversation("team")
    await team.remove("bob")

    async def granted(epoch: int, user: str) -> bool:
        wanted = Wanted(conversation_id, epoch, user)
        return await alice.device.run(lambda books: grant_for(books, wanted)) is not None

    assert await granted(1, "carol")
    assert await granted(2, "carol")
    for epoch, user in ((1, "bob"), (2, "bob"), (3, "carol"), (1, "nobody")):
        assert not await granted(epoch, user)
    assert not await alice.device.run(lambda books: grant_for(books, Wanted("another", 1, "carol")))


async def test_only_who_was_in_an_epoch_asks_for_its_key(town: World) -> None:
    alice, bob, _ = await three(town)
    dave, *_ = await town.register("dave")
    team = await alice.conversation("team")
    key_id = await alice.device.run(lambda books: books.held(team.id).known[1].record.key_id.hex())
    ask = dave.device.api.post_conversations_grant_requests

    with pytest.raises(errors.NotAMember):
        await ask(team.id, GrantRequest(key_id))
    await team.add("dave")
    with pytest.raises(errors.KeyIdMismatch):
        await ask(team.id, GrantRequest(key_id))
    with pytest.raises(errors.KeyIdMismatch):
        await ask(team.id, GrantRequest("0" * 64))
    await bob.device.api.post_conversations_grant_requests(team.id, GrantRequest(key_id))
