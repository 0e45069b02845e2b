from __future__ import annotations

from typing import Any

import pytest

from server.people import KEYS, MESSAGES, Talk, Town, rows
from server.test_conversations import grants_by
from tacit.server import sync as sync_handlers
from tacit.wire import limits

SYNC = "/api/sync"


async def test_a_message_is_stored_as_it_was_sealed_with_a_placeholder_for_its_text(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    body = talk.message(alice, "a secret")
    sent = await alice.ask("POST", MESSAGES, body)
    assert (sent.status, sent.body["success"], sent.body["seq"]) == (200, True, 2)
    assert sent.body["keyId"] == talk.posted["keyId"]
    columns = "text, encrypted, encryption_key_id, encrypted_payload, iv, sender_id, device_id, created_at"
    (row,) = await town.backend.store.read(lambda db: db.execute(f"SELECT {columns} FROM messages").fetchall())
    assert row[:3] == ("[Encrypted Message]", 1, talk.posted["keyId"])
    assert row[4:] == (body["encryptedPayload"]["iv"], "alice", alice.device_id, town.clock())
    (item,) = (await bob.ask("GET", f"{MESSAGES}?conversationId={talk.id}&after=1")).body["items"]
    assert item == {
        "kind": "message",
        "seq": 2,
        "createdAt": town.clock(),
        "encryptedPayload": body["encryptedPayload"],
    }


async def test_the_same_bytes_get_the_first_answer_and_other_bytes_none(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    body = talk.message(alice)
    first = await alice.ask("POST", MESSAGES, body)
    town.clock.now += 1000
    again = await alice.ask("POST", MESSAGES, body)
    assert again.body == first.body
    other = await alice.ask("POST", MESSAGES, talk.message(alice))
    assert (other.status, other.code) == (409, "message_id_conflict")


async def test_another_device_may_use_the_same_client_message_id(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    sent = [(await person.ask("POST", MESSAGES, talk.message(person))).body["seq"] for person in (alice, bob)]
    assert sent == [2, 3]


async def test_only_the_newest_epoch_takes_messages_but_what_was_taken_is_remembered(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    taken, late = talk.message(alice), talk.message(alice, id="two")
    first = await alice.ask("POST", MESSAGES, taken)
    await bob.ask("POST", KEYS, talk.next(bob))
    answer = await alice.ask("POST", MESSAGES, late)
    assert (answer.status, answer.code, answer.body["epoch"]) == (409, "epoch_closed", 2)
    assert (await alice.ask("POST", MESSAGES, taken)).body == first.body


async def test_the_stored_grants_may_stand_beside_a_message(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    for number, grants in enumerate(([], talk.posted["encryptedKeys"])):
        body = talk.message(alice, id=str(number)) | {"encryptedKeys": grants}
        assert (await alice.ask("POST", MESSAGES, body)).status == 200
    part = talk.message(alice, id="part") | {"encryptedKeys": talk.posted["encryptedKeys"][:1]}
    assert (await alice.ask("POST", MESSAGES, part)).code == "field_mismatch"


async def test_the_key_id_beside_messages_is_their_own(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    batch = {"conversationId": talk.id, "messages": [{"encryptedPayload": talk.payload(alice, id="batch")}]}
    for body in (talk.message(alice), batch):
        assert (await alice.ask("POST", MESSAGES, body | {"keyId": talk.posted["keyId"]})).status == 200
        other = await alice.ask("POST", MESSAGES, body | {"keyId": "00" * 32})
        assert (other.status, other.code) == (422, "field_mismatch")


async def test_a_message_sent_again_gets_the_first_answer_whatever_was_granted_since(
    town: Town,
) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    body = talk.message(alice) | {"encryptedKeys": talk.posted["encryptedKeys"]}
    first = await alice.ask("POST", MESSAGES, body)
    grants = {"conversationId": talk.id, "keyId": talk.posted["keyId"]}
    grants["encryptedKeys"] = grants_by(bob, talk, talk.posted, [alice])
    assert (await bob.ask("POST", KEYS, grants)).status == 200
    assert (await alice.ask("POST", MESSAGES, body)).body == first.body


async def test_of_a_batch_each_is_taken_or_refused_by_itself(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    payloads = [talk.payload(alice, id=each) for each in ("one", "two", "three")]
    payloads[1] = talk.payload(bob, id="two")
    body = {"conversationId": talk.id, "messages": [{"encryptedPayload": each} for each in payloads]}
    answer = await alice.ask("POST", MESSAGES, body)
    assert answer.status == 200
    assert answer.body["success"] is False
    assert [each.get("seq") for each in answer.body["results"]] == [2, None, 3]
    assert answer.body["results"][1]["problem"]["code"] == "user_mismatch"
    whole = {"conversationId": talk.id, "messages": [body["messages"][0], body["messages"][2]]}
    again = await alice.ask("POST", MESSAGES, whole)
    assert (again.body["success"], [each["seq"] for each in again.body["results"]]) == (True, [2, 3])


async def test_a_batch_for_a_conversation_of_others_is_refused_whole(town: Town) -> None:
    alice, bob, mallory = await town.people("alice", "bob", "mallory")
    talk = await Talk.opened(alice, bob)
    body = {"conversationId": talk.id, "messages": [{"encryptedPayload": talk.payload(mallory)}]}
    answer = await mallory.ask("POST", MESSAGES, body)
    assert (answer.status, answer.code) == (404, "not_a_member")


async def test_pages_go_on_where_the_last_one_ended(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    for number in range(5):
        await alice.ask("POST", MESSAGES, talk.message(alice, id=str(number)))
    seen: list[int] = []
    cursor, more = 0, True
    while more:
        target = f"{MESSAGES}?conversationId={talk.id}&after={cursor}&limit=4"
        page = (await bob.ask("GET", target)).body
        seen += [each["seq"] for each in page["items"]]
        cursor, more = page["cursor"], page["more"]
    assert seen == [1, 2, 3, 4, 5, 6]


async def ask_sync(person: Any, account: int, **cursors: int) -> Any:
    return (await person.ask("POST", SYNC, {"accountCursor": account, "conversations": cursors})).body


async def test_sync_answers_both_kinds_of_cursor(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    await alice.ask("POST", MESSAGES, talk.message(alice))
    answer = await ask_sync(bob, 0, **{talk.id: 0})
    assert [each["kind"] for each in answer["account"]["events"]] == ["account", "conversation"]
    assert answer["account"]["events"][1]["body"] == {"conversationId": talk.id, "epoch": 1}
    assert (answer["account"]["cursor"], answer["account"]["more"]) == (2, False)
    page = answer["conversations"][talk.id]
    assert [each["kind"] for each in page["items"]] == ["record", "message"]
    assert (page["cursor"], page["more"]) == (2, False)
    nothing = await ask_sync(bob, 2, **{talk.id: 2})
    assert nothing["account"]["events"] == nothing["conversations"][talk.id]["items"] == []


async def test_a_sync_that_would_be_too_large_leaves_conversations_out(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await town.people("alice", "bob")
    first, second = await Talk.opened(alice, bob), await Talk.opened(bob, alice)
    monkeypatch.setattr(sync_handlers, "PAGE_BYTES", 1)
    answer = await ask_sync(alice, 0, **{first.id: 0, second.id: 0})
    assert list(answer["conversations"]) == [first.id]
    rest = await ask_sync(alice, 0, **{first.id: 1, second.id: 0})
    assert list(rest["conversations"]) == [first.id, second.id]


async def test_a_batch_has_a_limit(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    payloads = [{"encryptedPayload": talk.payload(alice, id=str(number))} for number in range(limits.MESSAGES)]
    answer = await alice.ask("POST", MESSAGES, {"conversationId": talk.id, "messages": payloads})
    assert answer.body["success"] is True
    assert [each["seq"] for each in answer.body["results"]] == list(range(2, limits.MESSAGES + 2))


async def test_a_member_may_guess_neither_ids_nor_keys_of_others(town: Town) -> None:
    alice, bob, mallory = await town.people("alice", "bob", "mallory")
    talk = await Talk.opened(alice, bob)
    held = await rows(town)
    here = await mallory.ask("GET", f"{MESSAGES}?conversationId={talk.id}")
    nowhere = await mallory.ask("GET", f"{MESSAGES}?conversationId=nowhere")
    assert here.body == nowhere.body
    assert await rows(town) == held
