"""What a restored server takes back, and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from server.people import KEYS, MESSAGES, Answer, Person, Talk, Town, as_posted, rows
from server.recording import restored
from tacit.signed.account import account_hash
from tacit.signed.grant import Granter, sign_grant
from tacit.wire.codec import encode
from tacit.wire.text import to_base64

RECONCILE = "/api/reconcile/conversation"
LOST = 1000


def record(body: dict[str, Any], **bent: Any) -> dict[str, Any]:
    """The epoch that a body would have opened, as somebody holds it."""
    return {"kind": "record", "record": body["record"], "signature": body["signature"]} | {
        "encryptedKeys": body["encryptedKeys"],
        **bent,
    }


def message(payload: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "message", "encryptedPayload": payload}


async def post(person: Person, talk: Talk, *items: dict[str, Any]) -> Answer:
    return await person.ask("POST", RECONCILE, {"conversationId": talk.id, "items": list(items)})


def codes(answer: Answer) -> list[str]:
    """What became of each thing: taken, known or the code that it was refused with."""
    assert answer.status == 200, answer.body
    assert answer.body["success"] is True
    found = []
    for each in answer.body["results"]:
        assert not (each["taken"] and "problem" in each)
        found.append("taken" if each["taken"] else each.get("problem", {"code": "known"})["code"])
    return found


async def items_of(person: Person, talk: Talk, after: int = 0) -> list[dict[str, Any]]:
    answer = await person.ask("GET", f"{MESSAGES}?conversationId={talk.id}&after={after}")
    found: list[dict[str, Any]] = answer.body["items"]
    return found


async def test_a_server_that_was_never_restored_lacks_nothing(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    before = await rows(town)
    answer = await post(bob, talk, record(talk.next(alice)))
    assert (answer.status, answer.code) == (409, "nothing_lacking")
    unknown = Talk(alice, bob)
    unknown.genesis_random, unknown.id = b"x" * 32, "0" * 64
    assert (await post(bob, unknown, message(talk.payload(alice)))).code == "nothing_lacking"
    assert await rows(town) == before


async def test_records_and_messages_come_back_in_their_order_at_new_places(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    await restored(town.backend)
    first = talk.payload(alice, "one", id="one")
    second = record(talk.next(alice))
    third = talk.payload(bob, "two", id="two")
    held = [message(first), second, message(third)]
    assert codes(await post(bob, talk, *held)) == ["taken"] * 3
    assert [(each["kind"], each["seq"]) for each in await items_of(bob, talk)] == [
        ("record", 1),
        ("lost", 2),
        ("message", LOST + 2),
        ("record", LOST + 3),
        ("message", LOST + 4),
    ]
    after = await rows(town)
    assert codes(await post(alice, talk, *held)) == ["known"] * 3
    assert await rows(town) == after
    assert (await alice.ask("POST", MESSAGES, talk.message(alice, "three", id="three"))).status == 200


async def test_the_whole_of_a_conversation_comes_back_beyond_every_place_that_it_had(town: Town) -> None:
    alice, bob, carol = await town.people("alice", "bob", "carol")
    await restored(town.backend)
    talk = Talk(alice, bob)
    founded = record(talk.genesis())
    assert codes(await post(bob, talk, founded, message(talk.payload(alice)))) == ["taken", "taken"]
    assert [(each["kind"], each["seq"]) for each in await items_of(alice, talk, 999_999)] == [
        ("lost", 1_000_000),
        ("record", 1_000_001),
        ("message", 1_000_002),
    ]
    assert (await post(carol, talk, founded)).code == "not_a_member"


async def test_who_was_added_since_brings_back_what_let_it_in(town: Town) -> None:
    alice, bob, carol = await town.people("alice", "bob", "carol")
    talk = await Talk.opened(alice, bob)
    talk.everybody["carol"] = carol
    await restored(town.backend)
    added = record(talk.next(alice, carol.place()))
    assert codes(await post(carol, talk, added, message(talk.payload(alice)))) == ["taken", "taken"]


async def test_who_was_removed_brings_back_the_removal_and_nothing_after_it(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    await restored(town.backend)
    before = talk.payload(bob)
    removed = record(talk.next(alice, talk.removal(bob)))
    after = record(talk.next(alice))
    held = [message(before), removed, after, message(talk.payload(alice, id="later"))]
    assert codes(await post(bob, talk, *held)) == ["taken", "taken", "not_a_member", "not_a_member"]
    assert (await post(bob, talk, after)).code == "not_a_member"
    assert codes(await post(alice, talk, after)) == ["taken"]


async def test_no_other_branch_and_no_record_after_a_gap_is_taken(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    await restored(town.backend)
    other = record(talk.next(bob, keep=False))
    mine = record(talk.next(alice))
    later = record(talk.next(alice))
    assert codes(await post(alice, talk, later, mine, other)) == ["epoch_conflict", "taken", "epoch_conflict"]
    assert codes(await post(alice, talk, later)) == ["taken"]


async def test_after_an_epoch_was_opened_anew_no_lost_one_follows(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    await restored(town.backend)
    assert (await alice.ask("POST", KEYS, talk.next(alice))).status == 200
    assert codes(await post(bob, talk, record(talk.next(bob)))) == ["epoch_conflict"]
    assert codes(await post(bob, talk, message(talk.payload(bob)))) == ["key_id_mismatch"]


async def test_of_an_epoch_that_was_opened_since_no_grant_is_lacking(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    first = talk.posted
    await restored(town.backend)
    opened = talk.next(alice)
    assert (await alice.ask("POST", KEYS, opened)).status == 200
    of_opened = next(each for each in talk.grants if each.grant.recipient == "alice")
    granter = Granter("bob", bob.device_id, account_hash(bob.record))
    by_bob = sign_grant(dataclasses.replace(of_opened.grant, granter=granter), bob.key.sign)
    before = await rows(town)
    found = await post(bob, talk, record(opened, encryptedKeys=[as_posted(by_bob)]), record(first))
    assert codes(found) == ["nothing_lacking", "known"]
    assert await rows(town) == before


async def test_what_is_not_as_it_was_signed_is_refused_and_holds_up_nothing_else(town: Town) -> None:
    alice, bob, carol = await town.people("alice", "bob", "carol")
    talk = await Talk.opened(alice, bob)
    other = await Talk.opened(carol, bob)
    await restored(town.backend)
    good = talk.payload(alice)
    bent = dict(good, clientMessageId="two")
    strange = dict(talk.payload(alice, id="three"), senderId="carol")
    of_another = other.payload(carol)
    body = record(talk.next(alice))
    bad_signature = dict(body, signature=to_base64(bytes(64)))
    found = await post(
        bob, talk, message(bent), message(strange), message(of_another), bad_signature, message(good), body
    )
    assert codes(found) == [
        "invalid_message",
        "invalid_message",
        "key_id_mismatch",
        "bad_signature",
        "taken",
        "taken",
    ]
    again = talk.payload(alice, "something else", id=good["clientMessageId"], counter=7)
    assert codes(await post(bob, talk, message(again))) == ["message_id_conflict"]
    cut = {**body, "record": to_base64(encode(talk.epoch.record)[:-1])}
    assert codes(await post(bob, talk, record(other.posted), cut)) == ["field_mismatch", "malformed"]


async def test_a_message_of_an_epoch_that_was_closed_before_the_backup_is_in_the_backup(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    old = talk.payload(alice)
    assert (await alice.ask("POST", KEYS, talk.next(alice))).status == 200
    await restored(town.backend)
    assert codes(await post(bob, talk, message(old))) == ["nothing_lacking"]


async def test_only_grants_that_hold_come_with_a_record_and_none_is_replaced(town: Town) -> None:
    alice, bob, carol = await town.people("alice", "bob", "carol")
    talk = await Talk.opened(alice, bob)
    await restored(town.backend)
    body = talk.next(alice)
    by_alice, to_bob = (next(each for each in talk.grants if each.grant.recipient == name) for name in ("alice", "bob"))
    forged = dataclasses.replace(by_alice, signature=bytes(64))
    foreign = sign_grant(dataclasses.replace(to_bob.grant, recipient="carol"), alice.key.sign)
    granter = dataclasses.replace(to_bob.grant.granter, user_id="carol", device_id=carol.device_id)
    by_carol = dataclasses.replace(granter, account_hash=account_hash(carol.record))
    strange = sign_grant(dataclasses.replace(to_bob.grant, granter=by_carol), carol.key.sign)
    bent = [as_posted(each) for each in (forged, foreign, strange)]
    assert codes(await post(bob, talk, record(body, encryptedKeys=[*bent, as_posted(to_bob)]))) == ["taken"]

    def held(db: Any) -> list[tuple[Any, ...]]:
        query = "SELECT user_id, encrypted_key FROM conversation_key_members AS m JOIN conversation_keys AS k "
        found = db.execute(query + "ON k.id = m.conversation_key_id WHERE k.epoch = 2 ORDER BY 1").fetchall()
        return list(map(tuple, found))

    ours, theirs = to_base64(encode(to_bob)), to_base64(encode(by_alice))
    assert await town.backend.store.read(held) == [("bob", ours)]
    other = sign_grant(dataclasses.replace(to_bob.grant, ciphertext=bytes(1168)), alice.key.sign)
    more = record(body, encryptedKeys=[as_posted(other), as_posted(by_alice)])
    assert codes(await post(alice, talk, more)) == ["taken"]
    assert await town.backend.store.read(held) == [("alice", theirs), ("bob", ours)]
    assert codes(await post(alice, talk, more)) == ["known"]


async def test_a_page_is_bounded(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    await restored(town.backend)
    held = [message(talk.payload(alice))] * 501
    assert (await post(alice, talk, *held)).code == "too_large"
    assert (await post(alice, talk)).body == {"success": True, "results": []}


@pytest.mark.parametrize("kind", ["records", ""])
async def test_a_thing_of_an_unknown_kind_is_refused(town: Town, kind: str) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    await restored(town.backend)
    assert (await post(alice, talk, {"kind": kind, "record": "AAAA"})).code == "malformed_json"
