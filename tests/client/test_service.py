from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import msgspec
import pytest

from client.world import Crash, World, abandon, password_of, rows, texts
from tacit import errors
from tacit.api.base import convert
from tacit.api.messages import EncryptedPayload, MessageItem, SendMessages
from tacit.client import Client, Conversation, EncryptedMessage, EncryptionService, KeyInfo, Message
from tacit.client.accountbook import AccountBook
from tacit.client.books import Books
from tacit.client.handing import describe
from tacit.conversation.content import Name
from tacit.signed.message import FIELDS
from tacit.signed.record import DAY
from tacit.wire.text import from_base64, to_base64

MESSAGES = "/api/messages/encrypted"
KEYS = "/api/encryption/conversation/keys"


class Pair(NamedTuple):
    """Two people in a conversation, each with the service; the second one's client has caught up."""

    alice: Client
    bob: Client
    ours: EncryptionService
    theirs: EncryptionService
    id: str


@pytest.fixture
async def pair(world: World) -> Pair:
    alice, bob = await world.register("alice", "bob")
    ours, theirs = EncryptionService(alice), EncryptionService(bob)
    key = await ours.get_or_create_conversation_key(None, ["bob"], "team")
    await bob.sync()
    return Pair(alice, bob, ours, theirs, key.conversation_id)


async def item_of(client: Client, conversation_id: str, seq: int) -> dict[str, Any]:
    """An item as the server gives it."""
    page = await client.device.api.get_messages_encrypted(conversation_id, seq - 1)
    item = page.items[0]
    assert isinstance(item, MessageItem)
    found: dict[str, Any] = msgspec.to_builtins(item)
    return found


async def post(client: Client, conversation_id: str, message: EncryptedMessage) -> int:
    """Post a message as an application does that has only the JSON."""
    body: SendMessages = convert(SendMessages, {"conversationId": conversation_id, **message})
    return (await client.device.api.post_messages_encrypted(body)).seq


async def of(client: Client, conversation_id: str) -> Conversation:
    await client.sync()
    return await client.conversation(conversation_id)


# --- a user's keys ------------------------------------------------------------------------


async def test_registering_gives_the_public_side_and_the_words_once(world: World) -> None:
    client = await world.open("alice")
    service = EncryptionService(client)
    assert not await service.has_user_keys()
    made = await service.generate_and_register_user_keys("alice", password_of("alice"))
    assert len(made.recovery_words) == 24
    assert made.recovery_words[0] not in repr(made).split("'")
    assert (made.user_id, made.version, len(made.device_ids)) == ("alice", 1, 1)
    assert {key.algorithm for key in made.public_keys} == {"x_wing", "rsa"}
    assert await service.has_user_keys()
    again = await service.generate_user_key_pair("alice", password_of("alice"))
    assert (again.key_id, again.recovery_words) == (made.key_id, ())
    with pytest.raises(errors.StoreLocked):
        await service.generate_and_register_user_keys("alice", password_of("alice"))


async def test_keys_that_were_made_are_those_that_are_registered(world: World) -> None:
    client = await world.open("alice")
    world.wires["alice"].down = True
    first = await EncryptionService(client).generate_user_key_pair("alice", password_of("alice"))
    again = await EncryptionService(client).generate_user_key_pair("alice", password_of("alice"))
    assert first == again
    assert first.recovery_words == ()
    await abandon(client)
    service = EncryptionService(await world.open("alice"))
    made = await service.generate_and_register_user_keys("alice", password_of("alice"))
    assert (made.key_id, made.public_keys) == (first.key_id, first.public_keys)


async def test_who_has_keys_is_asked_of_the_server(world: World, pair: Pair) -> None:
    assert await pair.ours.has_user_keys("bob")
    assert await pair.ours.has_user_keys("alice")
    assert not await pair.ours.has_user_keys("nobody")


async def test_without_keys_nothing_works_and_says_so(world: World) -> None:
    service = EncryptionService(await world.open("alice"))
    assert repr(service) == "EncryptionService()"
    calls: list[Any] = [
        service.generate_conversation_key("c"),
        service.get_or_create_conversation_key(None, ["bob"]),
        service.decrypt_conversation_key("c", "00" * 32),
        service.encrypt_message("hello", "c", ["bob"]),
        service.decrypt_message("c", {name: kind() for name, kind in FIELDS.items()}),
        service.has_user_keys("bob"),
    ]
    for call in calls:
        with pytest.raises(errors.UserKeysNotFound):
            await call


async def test_nothing_of_a_secret_key_is_given_out(pair: Pair) -> None:
    """Whatever the service gives is text, numbers and such: no `Secret`, no bytes."""
    key = await pair.ours.get_or_create_conversation_key(pair.id, ["bob"])
    sealed = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    for name, method in inspect.getmembers(EncryptionService, inspect.iscoroutinefunction):
        assert "Secret" not in str(inspect.signature(method)), name
        assert "bytes" not in str(inspect.signature(method)), name
    ((secret,),) = await rows(pair.alice, "SELECT key FROM epoch_keys")
    for shown in (repr(key), repr(sealed)):
        assert secret.hex() not in shown
        assert to_base64(secret) not in shown


# --- a conversation's keys ----------------------------------------------------------------


async def test_a_conversation_begins_and_keeps_its_key(pair: Pair) -> None:
    key = await pair.ours.get_or_create_conversation_key(pair.id, ["bob"])
    assert (key.epoch, key.opener, key.members, key.without_key) == (1, "alice", ("alice", "bob"), ())
    assert await pair.ours.get_or_create_conversation_key(pair.id, ["bob", "alice"]) == key
    theirs = await pair.theirs.get_or_create_conversation_key(pair.id, ["alice"])
    assert (theirs.key_id, theirs.record_hash, theirs.granted_by) == (key.key_id, key.record_hash, ("alice",))
    assert (await of(pair.bob, pair.id)).name == "team"


async def test_the_next_key_comes_when_it_is_wished_or_due(world: World, pair: Pair) -> None:
    first = await pair.ours.get_or_create_conversation_key(pair.id, ["bob"])
    second = await pair.theirs.generate_conversation_key(pair.id)
    assert (second.epoch, second.opener) == (2, "bob")
    assert second.key_id != first.key_id
    world.clock.ahead = 8 * DAY
    third = await pair.ours.get_or_create_conversation_key(pair.id, ["bob"])
    assert (third.epoch, third.opener) == (3, "alice")
    for key in (first, second):
        opened = await pair.ours.decrypt_conversation_key(pair.id, key.key_id)
        assert (opened.epoch, opened.opened, opened.key_id) == (key.epoch, True, key.key_id)
    # One that was not fetched yet is fetched.
    assert (await pair.theirs.decrypt_conversation_key(pair.id, third.key_id)).granted_by == ("alice",)


async def test_a_key_that_is_not_here_says_why(pair: Pair) -> None:
    with pytest.raises(errors.RecordMissing):
        await pair.ours.decrypt_conversation_key(pair.id, "00" * 32)
    with pytest.raises(errors.ConversationNotFound):
        await pair.ours.decrypt_conversation_key("no such one", "00" * 32)


async def test_a_key_that_nobody_granted_says_so(world: World, pair: Pair) -> None:
    def without_grants(request: Any, answer: Any) -> Any:
        for item in answer.get("items", ()) if isinstance(answer, dict) else ():
            if item["kind"] == "record":
                item["encryptedKeys"] = []
        return answer

    world.wires["bob"].rewrite = without_grants
    key = await pair.ours.generate_conversation_key(pair.id)
    with pytest.raises(errors.NoGrant):
        await pair.theirs.decrypt_conversation_key(pair.id, key.key_id)
    with pytest.raises(errors.SendingBlocked):
        await pair.theirs.encrypt_message("hello", pair.id, ["alice"])


async def test_a_grant_that_cannot_be_read_is_nobodys(pair: Pair) -> None:
    key = await pair.theirs.get_or_create_conversation_key(pair.id, ["alice"])
    await rows(pair.bob, "INSERT INTO grants VALUES (?, ?, ?)", pair.id, bytes.fromhex(key.record_hash), b"none")
    assert (await pair.theirs.decrypt_conversation_key(pair.id, key.key_id)).granted_by == ("alice",)


async def test_a_member_who_has_no_device_is_named(pair: Pair) -> None:
    def look(books: Books) -> KeyInfo:
        held, newest = books.held(pair.id), books.accounts.newest
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AccountBook, "newest", lambda self, user: None if user == "bob" else newest(user))
            return describe(books, held, 1)

    assert (await pair.alice.device.run(look)).without_key == ("bob",)


@pytest.mark.parametrize("named", [["carol"], ["bob", "carol"], [], ["alice"]])
async def test_recipients_are_the_members_and_nobody_else(world: World, pair: Pair, named: list[str]) -> None:
    await world.register("carol")
    sealing = [
        pair.ours.get_or_create_conversation_key(pair.id, named),
        pair.ours.encrypt_message("hello", pair.id, named),
    ]
    for call in sealing:
        with pytest.raises(errors.WrongRecipients) as caught:
            await call
        assert caught.value.facts["more"] == [each for each in named if each == "carol"]
        assert caught.value.facts["missing"] == [each for each in ["bob"] if each not in named]
    assert await rows(pair.alice, "SELECT count(*) FROM sending") == [(1,)]  # the conversation's name alone


async def test_who_has_no_account_is_named(pair: Pair) -> None:
    calls: list[Any] = [
        pair.ours.get_or_create_conversation_key(None, ["bob", "nobody"]),
        pair.ours.get_or_create_conversation_key(pair.id, ["bob", "nobody"]),
        pair.ours.encrypt_message("hello", pair.id, ["bob", "nobody"]),
    ]
    for call in calls:
        with pytest.raises(errors.NoKeyForUser, match="nobody"):
            await call


# --- messages out -------------------------------------------------------------------------


async def test_what_is_encrypted_is_what_the_endpoint_takes_and_comes_back(pair: Pair) -> None:
    message = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    assert set(message) == {"encryptedPayload", "encryptedKeys", "keyId"}
    assert list(message["encryptedPayload"]) == list(FIELDS)
    assert (message["encryptedKeys"], message["keyId"]) == ([], message["encryptedPayload"]["keyId"])
    seq = await post(pair.alice, pair.id, message)
    assert await post(pair.alice, pair.id, message) == seq
    for client in (pair.alice, pair.bob):
        assert await texts(await of(client, pair.id)) == [("alice", "hello")]
        assert not await (await of(client, pair.id)).gaps()


async def test_sending_gives_the_message_as_it_came_back(pair: Pair) -> None:
    message = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    sent = await pair.ours.send_encrypted_message(message, pair.id)
    assert (sent.text, sent.sender, sent.trust) == ("hello", "alice", "pinned")
    assert await pair.ours.send_encrypted_message(message, pair.id) == sent
    assert await texts(await of(pair.bob, pair.id)) == [("alice", "hello")]


async def test_no_key_is_used_twice(world: World, pair: Pair) -> None:
    counters = set()
    for text in ("one", "two"):
        payload = (await pair.ours.encrypt_message(text, pair.id, ["bob"]))["encryptedPayload"]
        counters.add((payload["instanceId"], payload["counter"]))
    other = EncryptionService(await world.come_back("alice"))
    payload = (await other.encrypt_message("three", pair.id, ["bob"]))["encryptedPayload"]
    counters.add((payload["instanceId"], payload["counter"]))
    assert len(counters) == 3


async def test_a_counter_is_kept_before_the_message_is_given_out(pair: Pair) -> None:
    payload = (await pair.ours.encrypt_message("one", pair.id, ["bob"]))["encryptedPayload"]
    query = "SELECT next FROM sending WHERE instance_id = ? AND conversation_id = ?"
    assert await rows(pair.alice, query, from_base64(payload["instanceId"]), pair.id) == [(payload["counter"] + 1,)]


async def test_one_that_is_never_posted_holds_nothing_up_and_is_a_gap(pair: Pair) -> None:
    await pair.ours.encrypt_message("lost", pair.id, ["bob"])
    message = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    await pair.ours.send_encrypted_message(message, pair.id)
    team = await of(pair.alice, pair.id)
    await team.send("and more")
    assert await texts(await of(pair.bob, pair.id)) == [("alice", "hello"), ("alice", "and more")]
    assert await (await of(pair.bob, pair.id)).gaps()


async def test_one_of_a_closed_epoch_is_sealed_anew(pair: Pair) -> None:
    message = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    await pair.theirs.generate_conversation_key(pair.id)
    with pytest.raises(errors.EpochClosed):
        await pair.ours.send_encrypted_message(message, pair.id)
    with pytest.raises(errors.EpochClosed):
        await post(pair.alice, pair.id, message)
    await pair.ours.send_encrypted_message(await pair.ours.encrypt_message("hello", pair.id, ["bob"]), pair.id)
    assert await texts(await of(pair.bob, pair.id)) == [("alice", "hello")]


async def test_one_that_was_taken_before_its_epoch_was_closed_is_found(pair: Pair) -> None:
    message = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    seq = await post(pair.alice, pair.id, message)
    await pair.theirs.generate_conversation_key(pair.id)
    assert (await pair.ours.send_encrypted_message(message, pair.id)).seq == seq


async def test_nothing_old_goes_out_once_an_epoch_is_due(world: World, pair: Pair) -> None:
    message = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    world.clock.ahead = 8 * DAY
    with pytest.raises(errors.EpochClosed):
        await pair.ours.send_encrypted_message(message, pair.id)


async def test_anothers_message_is_not_sent(pair: Pair) -> None:
    message = await pair.theirs.encrypt_message("hello", pair.id, ["alice"])
    with pytest.raises(errors.InvalidArgument):
        await pair.ours.send_encrypted_message(message, pair.id)


async def test_a_text_is_sealed_under_the_key_that_was_looked_at(pair: Pair) -> None:
    key = await pair.ours.get_or_create_conversation_key(pair.id, ["bob"])
    payload = await pair.ours.encrypt_text("hello", key)
    seq = await post(pair.alice, pair.id, {"encryptedPayload": payload, "encryptedKeys": [], "keyId": key.key_id})
    assert (await pair.theirs.decrypt_message(pair.id, payload, seq)).text == "hello"
    await pair.theirs.generate_conversation_key(pair.id)
    with pytest.raises(errors.EpochClosed):
        await pair.ours.encrypt_text("hello", key)


async def test_too_long_a_text_uses_up_no_key(pair: Pair) -> None:
    before = await rows(pair.alice, "SELECT * FROM sending")
    with pytest.raises(errors.TooLarge):
        await pair.ours.encrypt_message("a" * 70_000, pair.id, ["bob"])
    assert await rows(pair.alice, "SELECT * FROM sending") == before


async def test_what_blocks_sending_blocks_sealing(pair: Pair) -> None:
    key = await pair.theirs.get_or_create_conversation_key(pair.id, ["alice"])
    message = await pair.theirs.encrypt_message("before", pair.id, ["alice"])
    team = await of(pair.bob, pair.id)
    await team.leave()
    calls: list[Any] = [
        pair.theirs.encrypt_message("hello", pair.id, ["alice"]),
        pair.theirs.encrypt_text("hello", key),
        pair.theirs.get_or_create_conversation_key(pair.id, ["alice"]),
        pair.theirs.generate_conversation_key(pair.id),
        pair.theirs.send_encrypted_message(message, pair.id),
    ]
    for call in calls:
        with pytest.raises(errors.SendingBlocked):
            await call
    await pair.alice.sync()
    # Whoever is left opens the next epoch before anything is sealed, and seals for who is in it.
    with pytest.raises(errors.WrongRecipients):
        await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    message = await pair.ours.encrypt_message("hello", pair.id, [])
    assert message["encryptedPayload"]["epoch"] == 2


@pytest.mark.parametrize("fault", ["crash before", "crash after"])
async def test_an_epoch_that_was_being_opened_is_finished_first(world: World, pair: Pair, fault: str) -> None:
    world.wires["alice"].fail(fault, KEYS)
    with pytest.raises(Crash):
        await pair.ours.generate_conversation_key(pair.id)
    message = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    assert message["encryptedPayload"]["epoch"] == 2
    await pair.ours.send_encrypted_message(message, pair.id)
    assert await texts(await of(pair.bob, pair.id)) == [("alice", "hello")]


async def test_a_conversation_that_never_holds_still_blocks(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    handing = pair.alice.device.handing()
    monkeypatch.setattr(handing, "_seal", lambda *arguments: None)
    with pytest.raises(errors.SendingBlocked, match="4 times"):
        await pair.ours.encrypt_message("hello", pair.id, ["bob"])


async def test_what_changes_between_is_seen_in_the_transaction_that_seals(
    world: World, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = pair.alice.device.handing()._outbox
    ready = outbox.make_ready
    waited: list[str] = []

    async def slow(conversation_id: str) -> None:
        await ready(conversation_id)
        if not waited:
            world.clock.ahead = 8 * DAY
        waited.append(conversation_id)

    monkeypatch.setattr(outbox, "make_ready", slow)
    message = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    assert (message["encryptedPayload"]["epoch"], len(waited)) == (2, 2)


# --- messages in --------------------------------------------------------------------------


async def test_an_item_is_read_the_same_each_time(pair: Pair) -> None:
    seq = (await (await of(pair.alice, pair.id)).send("hello")).seq
    item = await item_of(pair.bob, pair.id, seq)
    found = [await pair.theirs.decrypt_incoming_message(pair.id, item) for _ in range(2)]
    found += [await pair.theirs.decrypt_message(pair.id, item["encryptedPayload"], each) for each in (seq, None)]
    assert {(each.text, each.sender, each.seq, each.trust) for each in found} == {("hello", "alice", seq, "pinned")}
    backwards = dict(reversed(item["encryptedPayload"].items()))
    assert await pair.theirs.decrypt_message(pair.id, backwards) == found[0]
    assert await texts(await of(pair.bob, pair.id)) == [("alice", "hello")]


async def test_at_another_place_it_is_replayed(pair: Pair) -> None:
    seq = (await (await of(pair.alice, pair.id)).send("hello")).seq
    payload = (await item_of(pair.bob, pair.id, seq))["encryptedPayload"]
    for other in (seq + 1, seq - 1, 1000):
        with pytest.raises((errors.Replayed, errors.MessageTampered)) as caught:
            await pair.theirs.decrypt_message(pair.id, payload, other)
        assert isinstance(caught.value, errors.Replayed) or other < seq
    assert (await pair.theirs.decrypt_message(pair.id, payload, seq)).text == "hello"


@pytest.mark.parametrize(
    "change",
    [{"counter": 99}, {"senderId": "bob"}, {"encryptedText": to_base64(bytes(64))}, {"iv": "AA"}, {"version": 1 << 20}],
)
async def test_a_changed_payload_is_told_by_its_cause(pair: Pair, change: dict[str, object]) -> None:
    seq = (await (await of(pair.alice, pair.id)).send("hello")).seq
    payload = (await item_of(pair.bob, pair.id, seq))["encryptedPayload"]
    causes = (errors.MessageTampered, errors.SenderNotCertified, errors.UnsupportedSuite)
    for place in (seq, None):
        with pytest.raises(causes):
            await pair.theirs.decrypt_message(pair.id, payload | change, place)
    assert await pair.bob.alarms() == []


async def test_what_was_never_posted_is_not_shown_however_well_it_is_signed(pair: Pair) -> None:
    message = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    for place in (None, 1000):
        with pytest.raises(errors.NotFound):
            await pair.theirs.decrypt_message(pair.id, message["encryptedPayload"], place)


async def test_what_repeats_a_message_says_so(pair: Pair) -> None:
    """A retry that was sealed anew under the same name: it is in the conversation twice, and shown once."""
    first = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    seq = await post(pair.alice, pair.id, first)
    await pair.bob.sync()
    await rows(pair.bob, "UPDATE messages SET verdict = 'repeated', content = NULL WHERE seq = ?", seq)
    with pytest.raises(errors.Replayed):
        await pair.theirs.decrypt_message(pair.id, first["encryptedPayload"])


async def test_changes_are_messages_of_their_kind(pair: Pair) -> None:
    team = await of(pair.alice, pair.id)
    sent = await team.send("hello")
    seq = (await team.edit(sent, "hello there")).seq
    found = await pair.theirs.decrypt_incoming_message(pair.id, await item_of(pair.bob, pair.id, seq))
    assert (found.kind, found.text, found.target) == ("edit", "hello there", sent.client_message_id)


async def test_a_change_that_its_sender_had_no_right_to_is_none(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await (await of(pair.alice, pair.id)).send("hello")

    async def anybody(message: Message) -> Name:
        return Name(message.sender, message.device_id, message.client_message_id)

    monkeypatch.setattr(pair.bob.device, "_own", anybody)
    seq = (await (await of(pair.bob, pair.id)).edit(sent, "not hello")).seq
    with pytest.raises(errors.InvalidMessage):
        await pair.ours.decrypt_incoming_message(pair.id, await item_of(pair.alice, pair.id, seq))


async def test_what_cannot_be_read_says_why(world: World, pair: Pair) -> None:
    (carol,) = await world.register("carol")
    seq = (await (await of(pair.alice, pair.id)).send("before carol")).seq
    item = await item_of(pair.alice, pair.id, seq)
    await (await of(pair.alice, pair.id)).add("carol")
    with pytest.raises(errors.PeerError) as caught:
        await EncryptionService(carol).decrypt_incoming_message(pair.id, item)
    assert caught.value.code in ("no_grant", "record_missing")


@pytest.mark.parametrize("item", [{}, {"seq": 1}, {"seq": True, "encryptedPayload": {}}, {"encryptedPayload": {}}])
async def test_what_is_no_item_is_the_callers_mistake(pair: Pair, item: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidArgument):
        await pair.ours.decrypt_incoming_message(pair.id, item)


async def test_what_is_no_payload_is_told(pair: Pair) -> None:
    message = await pair.ours.encrypt_message("hello", pair.id, ["bob"])
    payload = message["encryptedPayload"]
    with pytest.raises(errors.MalformedJson):
        await pair.ours.decrypt_message(pair.id, {})
    with pytest.raises(errors.UnknownField):
        await pair.ours.decrypt_message(pair.id, payload | {"more": 1})
    with pytest.raises(errors.MalformedJson):
        await pair.ours.decrypt_message(pair.id, payload | {"clientMessageId": "\ud800"})
    assert list(EncryptedPayload.__struct_encode_fields__) == list(FIELDS)
