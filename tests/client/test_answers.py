"""JSON fields beside a signed struct: the client takes none that says something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import pytest

from client.world import World, rows
from tacit import errors
from tacit.client import Client, Conversation
from tacit.client.answers import check_record
from tacit.signed.record import ConversationRecord, Protocol
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, to_base64

PAGE = "/api/messages/encrypted"
PUBLIC = "/api/encryption/keys/public"
PRIVATE = "/api/encryption/keys/private"

Spoil = Callable[[Any], None]


def serving(world: World, name: str, path: str, spoil: Spoil) -> None:
    """From now on what this person is answered there is changed on the way."""

    def rewrite(request: httpx2.Request, answer: Any) -> Any:
        if request.method == "GET" and request.url.path == path:
            spoil(answer)
        return answer

    world.wires[name].rewrite = rewrite


async def pair(world: World) -> tuple[Client, Client, Conversation]:
    """Alice's conversation with bob, who does not know of it yet."""
    alice, bob = await world.register("alice", "bob")
    return alice, bob, await alice.create_conversation("team", members=["bob"])


@pytest.mark.parametrize(
    ("field", "value"), [("version", 2), ("keyId", "00" * 32), ("keyId", "?"), ("publicKey", "AA=="), ("publicKey", "")]
)
async def test_an_account_version_beside_which_stands_something_else(world: World, field: str, value: object) -> None:
    alice, _ = await world.register("alice", "bob")
    serving(world, "alice", PUBLIC, lambda answer: answer["accounts"][0]["versions"][0].update({field: value}))
    with pytest.raises(errors.UnexpectedAnswer, match=field):
        await alice.create_conversation("team", members=["bob"])
    assert await rows(alice, "SELECT user_id FROM accounts") == [("alice",)]
    world.wires["alice"].rewrite = None
    await alice.create_conversation("team", members=["bob"])
    assert await alice.alarms() == []


async def refused(world: World, spoil: Spoil, field: str) -> None:
    """Bob takes nothing of the page, and all of it once it is right."""
    _, bob, team = await pair(world)
    serving(world, "bob", PAGE, spoil)
    await bob.device._run(lambda books: books.add(team.id))
    with pytest.raises(errors.UnexpectedAnswer, match=field):
        await bob.device.pull(team.id)
    assert await rows(bob, "SELECT 1 FROM records UNION SELECT 1 FROM grants UNION SELECT 1 FROM evidence") == []
    assert await rows(bob, "SELECT cursor, highest, stopped FROM conversations") == [(0, 0, "")]
    world.wires["bob"].rewrite = None
    await bob.device.pull(team.id)
    assert (await bob.conversation("team")).blocked == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [("epoch", 2), ("epoch", 0), ("keyId", "00" * 32), ("keyId", ""), ("protocol", "mls"), ("protocol", "Envelope")],
)
async def test_a_record_beside_which_stands_something_else(world: World, field: str, value: object) -> None:
    await refused(world, lambda page: page["items"][0].update({field: value}), field)


async def test_a_later_programs_record_beside_which_stands_another_epoch(world: World) -> None:
    def spoil(page: Any) -> None:
        raw = bytearray(from_base64(page["items"][0]["record"]))
        raw[2 + 64 + 8 + 32] = 9  # its protocol
        page["items"][0].update(record=to_base64(bytes(raw)), epoch=2)

    await refused(world, spoil, "epoch")


@pytest.mark.parametrize("epoch", [1 << 53, (1 << 64) - 1])
async def test_an_epoch_that_no_answer_can_name_is_refused(world: World, epoch: int) -> None:
    def spoil(page: Any) -> None:
        raw = from_base64(page["items"][0]["record"])
        place = 2 + 64
        page["items"][0]["record"] = to_base64(raw[:place] + epoch.to_bytes(8, "big") + raw[place + 8 :])

    await refused(world, spoil, "epoch")


@pytest.mark.parametrize(("field", "value"), [("userId", "alice"), ("grantedBy", "bob/phone"), ("grantedBy", "alice")])
async def test_a_grant_beside_which_stands_something_else(world: World, field: str, value: str) -> None:
    await refused(world, lambda page: page["items"][0]["encryptedKeys"][0].update({field: value}), field)


async def test_under_mls_the_key_id_stands_beside_the_record_alone(world: World) -> None:
    _, bob, team = await pair(world)
    item: Any = (await bob.device.api.get_messages_encrypted(team.id, 0)).items[0]
    record = decode(ConversationRecord, from_base64(item.record))
    mls = msgspec.structs.replace(item, protocol="mls", key_id="11" * 32)
    raw = bytearray(encode(record))
    raw[2 + 64 + 8 + 32] = Protocol.MLS
    named = raw.index(b"\x20" + record.key_id)
    check_record(mls, decode(ConversationRecord, bytes(raw[:named] + b"\0" + raw[named + 33 :])))
    with pytest.raises(errors.UnexpectedAnswer, match="keyId"):
        check_record(mls, decode(ConversationRecord, bytes(raw)))


@pytest.mark.parametrize(("field", "value"), [("userId", "bob"), ("keyId", "00" * 32), ("accountVersion", 0)])
async def test_a_vault_beside_which_stands_something_else(world: World, field: str, value: object) -> None:
    (alice,) = await world.register("alice")
    await alice.device.close()
    client = await world.open("alice")
    serving(world, "alice", PRIVATE, lambda answer: answer.update({field: value}))
    with pytest.raises(errors.UnexpectedAnswer, match=field):
        await client.sign_in("alice", "the password of alice")
    world.wires["alice"].rewrite = None
    await client.sign_in("alice", "the password of alice")
    assert await client.alarms() == []
