from __future__ import annotations

import dataclasses
import hashlib

import nacl.bindings
import pytest

from server.people import KEYS, MESSAGES, Answer, Person, Talk, Town, as_posted, rows
from server.test_accounts import second_version, verified
from tacit.server import conversations, known
from tacit.signed import labels
from tacit.signed.account import account_hash
from tacit.signed.grant import Grant, Granter, SignedGrant, WrapAlgorithm, sign_grant
from tacit.signed.record import DEFAULT_POLICY, ConversationRecord, Role, SignedLeave, record_hash
from tacit.signed.verify import labelled
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, to_base64

MEMBERS = "/api/encryption/conversation/members"


async def leave(person: Person, talk: Talk, signed: SignedLeave) -> Answer:
    return await person.ask("POST", f"/api/conversations/{talk.id}/leave", {"leave": to_base64(encode(signed))})


async def events(person: Person) -> list[tuple[str, int]]:
    """The account's stream as (kind, epoch), but for its own records."""
    answer = await person.ask("POST", "/api/sync", {"accountCursor": 0, "conversations": {}})
    found = answer.body["account"]["events"]
    assert [each["seq"] for each in found] == list(range(1, len(found) + 1))
    return [(each["kind"], each["body"].get("epoch", 0)) for each in found if each["kind"] != "account"]


async def test_an_epoch_is_served_to_its_members_with_their_own_grants(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    (epoch,) = (await bob.ask("GET", f"{KEYS}?conversationId={talk.id}")).body["epochs"]
    posted = {each["userId"]: each["encryptedKey"] for each in talk.posted["encryptedKeys"]}
    granted_by = f"alice/{alice.device_id}"
    assert epoch == {
        "epoch": 1,
        "keyId": talk.posted["keyId"],
        "protocol": "envelope",
        "record": talk.posted["record"],
        "signature": talk.posted["signature"],
        "seq": 1,
        "encryptedKeys": [{"userId": "bob", "encryptedKey": posted["bob"], "grantedBy": granted_by}],
    }
    assert (await bob.ask("GET", f"{KEYS}?conversationId={talk.id}&after=1")).body["epochs"] == []


async def test_an_epoch_posted_again_gets_the_first_answer(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    first = talk.posted
    second = await alice.ask("POST", KEYS, talk.next(alice))
    held = await rows(town)
    for body, epoch in ((first, 1), (talk.posted, 2)):
        answer = await alice.ask("POST", KEYS, body)
        assert (answer.status, answer.body["epoch"], answer.body["seq"]) == (200, epoch, epoch)
    assert second.body["seq"] == 2
    assert await rows(town) == held


@pytest.mark.parametrize(("method", "path"), [("POST", KEYS), ("POST", MEMBERS), ("DELETE", MEMBERS)])
async def test_members_change_by_either_name(town: Town, method: str, path: str) -> None:
    alice, bob, carol = await town.people("alice", "bob", "carol")
    talk = await Talk.opened(alice, bob)
    talk.everybody["carol"] = carol
    assert (await alice.ask(method, path, talk.next(alice, carol.place()))).status == 200
    assert (await alice.ask(method, path, talk.next(alice, talk.removal(bob)))).status == 200
    assert await events(alice) == [("conversation", 1), ("conversation", 2), ("conversation", 3)]
    assert await events(bob) == [("conversation", 1), ("conversation", 2), ("removed", 3)]
    assert await events(carol) == [("conversation", 2), ("conversation", 3)]


async def test_of_two_next_epochs_the_first_one_counts(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    late = talk.next(bob, keep=False)
    assert (await alice.ask("POST", KEYS, talk.next(alice))).status == 200
    answer = await bob.ask("POST", KEYS, late)
    assert (answer.status, answer.code) == (409, "epoch_conflict")
    assert talk.state is not None
    told = (answer.body["epoch"], answer.body["head"], answer.body["keyId"])
    assert told == (2, talk.state.head_hash.hex(), talk.posted["keyId"])
    ahead = talk.next(bob, keep=False, epoch=9)
    assert (await bob.ask("POST", KEYS, ahead)).code == "invalid_record"


async def test_a_removed_member_is_served_what_came_up_to_the_removal(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    await alice.ask("POST", MESSAGES, talk.message(alice))
    await alice.ask("POST", KEYS, talk.next(alice, talk.removal(bob)))
    await alice.ask("POST", MESSAGES, talk.message(alice, id="two"))
    page = (await bob.ask("GET", f"{MESSAGES}?conversationId={talk.id}")).body
    assert [each["seq"] for each in page["items"]] == [1, 2, 3]
    assert page["items"][2]["encryptedKeys"] == []
    epochs = (await bob.ask("GET", f"{KEYS}?conversationId={talk.id}")).body["epochs"]
    assert [each["epoch"] for each in epochs] == [1, 2]
    (place,) = (await bob.ask("GET", "/api/conversations")).body["conversations"]
    assert place == {"conversationId": talk.id, "epoch": 0, "role": 0, "headSeq": 3}
    (place,) = (await alice.ask("GET", "/api/conversations")).body["conversations"]
    assert place == {"conversationId": talk.id, "epoch": 2, "role": 2, "headSeq": 4}


async def test_a_removed_member_writes_nothing_more(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    first = talk.message(bob)
    await bob.ask("POST", MESSAGES, first)
    back, wish = talk.next(bob, keep=False), talk.leave(bob)
    await alice.ask("POST", KEYS, talk.next(alice, talk.removal(bob)))
    held = await rows(town)
    for target, body in ((KEYS, back), (MESSAGES, talk.message(bob, id="two"))):
        answer = await bob.ask("POST", target, body)
        assert (answer.status, answer.code) == (404, "not_a_member")
    assert (await leave(bob, talk, wish)).code == "not_a_member"
    assert await rows(town) == held
    again = await bob.ask("POST", MESSAGES, first)
    assert (again.status, again.body["seq"]) == (200, 2)


async def test_a_record_that_does_not_name_the_newest_accounts_is_refused(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    await bob.ask("POST", "/api/encryption/keys/generate", second_version(bob))
    answer = await alice.ask("POST", KEYS, talk.next(alice, keep=False))
    assert (answer.status, answer.code, answer.body["accounts"]) == (409, "record_outdated", ["bob"])
    bob.made = dataclasses.replace(bob.made, record=await verified(town, "bob"))
    assert (await alice.ask("POST", KEYS, talk.next(alice, bob.place()))).status == 200


async def test_a_leave_waits_until_a_record_carries_it_out(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    wish = talk.leave(bob)
    assert (await leave(bob, talk, wish)).status == 200
    held = await rows(town)
    assert (await leave(bob, talk, wish)).status == 200
    assert await rows(town) == held
    assert await events(alice) == [("conversation", 1), ("leave", 0)]
    refused = await alice.ask("POST", KEYS, talk.next(alice, keep=False))
    assert (refused.status, refused.code, refused.body["accounts"]) == (409, "record_outdated", [])
    (told,) = refused.body["leaves"]
    assert decode(SignedLeave, from_base64(told)) == wish
    done = await alice.ask("POST", KEYS, talk.next(alice, talk.removal(bob), leaves=[wish]))
    assert done.status == 200
    assert (await alice.ask("POST", KEYS, talk.next(alice))).status == 200


async def test_a_leave_that_its_device_did_not_sign_is_refused(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    forged = dataclasses.replace(talk.leave(bob), signature=bytes(64))
    held = await rows(town)
    assert (await leave(bob, talk, forged)).code == "invalid_record"
    assert await rows(town) == held


async def test_a_plain_member_carries_out_a_leave_and_rotates(town: Town) -> None:
    alice, bob, carol = await town.people("alice", "bob", "carol")
    talk = await Talk.opened(alice, bob, carol)
    wish = talk.leave(carol)
    await leave(carol, talk, wish)
    assert (await bob.ask("POST", KEYS, talk.next(bob, talk.removal(carol), leaves=[wish]))).status == 200
    assert (await bob.ask("POST", KEYS, talk.next(bob))).status == 200
    refused = await bob.ask("POST", KEYS, talk.next(bob, bob.place(Role.ADMIN), keep=False))
    assert refused.code == "invalid_record"


OPEN_HISTORY = dataclasses.replace(DEFAULT_POLICY, member_history=True)


async def handed_on(granter: Person, talk: Talk, epoch: dict[str, str], recipients: list[Person]) -> Answer:
    """Post grants of an earlier epoch."""
    body = {"conversationId": talk.id, "keyId": epoch["keyId"]}
    return await granter.ask("POST", KEYS, body | {"encryptedKeys": grants_by(granter, talk, epoch, recipients)})


async def test_a_member_hands_on_an_epochs_key(town: Town) -> None:
    alice, bob, carol = await town.people("alice", "bob", "carol")
    talk = Talk(alice, bob)
    await alice.ask("POST", KEYS, talk.genesis(policy=OPEN_HISTORY))
    talk.everybody["carol"] = carol
    first = talk.posted
    await alice.ask("POST", KEYS, talk.next(alice, carol.place(), policy=OPEN_HISTORY))
    answer = await handed_on(bob, talk, first, [alice, bob, carol])
    assert (answer.status, answer.body["epoch"], answer.body["seq"]) == (200, 1, 1)
    epochs = (await carol.ask("GET", f"{KEYS}?conversationId={talk.id}")).body["epochs"]
    assert [each["grantedBy"] for each in epochs[0]["encryptedKeys"]] == [f"bob/{bob.device_id}"]
    assert await events(carol) == [("conversation", 2), ("conversation", 1)]
    held = await rows(town)
    assert (await handed_on(bob, talk, first, [alice, bob, carol])).status == 200
    assert await rows(town) == held
    assert (await handed_on(carol, talk, first, [carol])).code == "invalid_grant"


async def test_history_is_handed_to_newcomers_only_where_the_epochs_own_policy_says_so(town: Town) -> None:
    alice, bob, carol = await town.people("alice", "bob", "carol")
    talk = await Talk.opened(alice, bob)
    talk.everybody["carol"] = carol
    first = talk.posted
    await alice.ask("POST", KEYS, talk.next(alice, carol.place(), policy=OPEN_HISTORY))
    held = await rows(town)
    refused = await handed_on(bob, talk, first, [carol])
    assert (refused.status, refused.code) == (422, "invalid_grant")
    assert await rows(town) == held
    assert (await handed_on(bob, talk, first, [alice])).status == 200


async def test_a_former_member_hands_on_nothing(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    first = talk.posted
    await alice.ask("POST", KEYS, talk.next(alice, talk.removal(bob)))
    held = await rows(town)
    refused = await handed_on(bob, talk, first, [alice])
    assert (refused.status, refused.code) == (404, "not_a_member")
    assert await rows(town) == held


async def test_a_grant_is_not_taken_back_by_another_to_the_same_account_record(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    held = await rows(town)
    refused = await handed_on(alice, talk, talk.posted, [bob])
    assert (refused.status, refused.code) == (422, "invalid_grant")
    assert await rows(town) == held


async def test_a_grant_is_made_anew_to_a_newer_account_record(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    await bob.ask("POST", "/api/encryption/keys/generate", second_version(bob))
    bob.made = dataclasses.replace(bob.made, record=await verified(town, "bob"))
    assert (await handed_on(alice, talk, talk.posted, [bob])).status == 200
    query = "SELECT count(*) FROM conversation_key_members WHERE user_id = 'bob'"
    assert await town.backend.store.read(lambda db: db.execute(query).fetchone()) == (1,)


async def test_no_grant_is_no_grant(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    assert (await handed_on(alice, talk, talk.posted, [])).code == "invalid_grant"


async def test_a_record_posted_again_with_other_grants_is_not_the_same(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    other = grants_by(alice, talk, talk.posted, [alice, bob])
    for bent in ({"encryptedKeys": other}, {"signature": to_base64(bytes(64))}):
        answer = await alice.ask("POST", KEYS, talk.posted | bent)
        assert (answer.status, answer.code) == (409, "epoch_conflict")


async def test_a_leave_signed_once_more_tells_nobody_once_more(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    wish = talk.leave(bob)
    await leave(bob, talk, wish)
    held = await rows(town)
    # Whoever has the key can make any number of valid signatures over the same bytes.
    again = dataclasses.replace(wish, signature=another_signature(bob, wish))
    assert again != wish
    assert (await leave(bob, talk, again)).status == 200
    assert await rows(town) == held
    assert await events(alice) == [("conversation", 1), ("leave", 0)]


def another_signature(person: Person, signed: SignedLeave) -> bytes:
    """A second Ed25519 signature over a leave, with a nonce of one's own choice (RFC 8032 §5.1.6)."""
    seed = person.made.device.request_seed
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    scalar = scalar & ((1 << 254) - 8) | 1 << 254
    order = 2**252 + 27742317777372353535851937790883648493
    nonce = 12345
    point = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(nonce.to_bytes(32, "little"))
    message = labelled(labels.LEAVE, signed.leave)
    challenge = int.from_bytes(hashlib.sha512(point + person.key.public + message).digest(), "little") % order
    return bytes(point) + ((nonce + challenge * scalar) % order).to_bytes(32, "little")


def grants_by(granter: Person, talk: Talk, epoch: dict[str, str], recipients: list[Person]) -> list[dict[str, str]]:
    """Grants of an earlier epoch; what they hold is for the recipients to judge."""
    record = decode(ConversationRecord, from_base64(epoch["record"]))
    by = Granter(granter.user_id, granter.device_id, account_hash(granter.record))
    return [
        as_posted(
            sign_grant(
                Grant(
                    record_hash(record),
                    by,
                    person.user_id,
                    account_hash(person.record),
                    WrapAlgorithm.HPKE_X_WING,
                    bytes(1168),
                ),
                granter.key.sign,
            )
        )
        for person in recipients
    ]


async def test_a_key_is_handed_on_to_members_only(town: Town) -> None:
    alice, bob, mallory = await town.people("alice", "bob", "mallory")
    talk = await Talk.opened(alice, bob)
    body = {"conversationId": talk.id, "keyId": talk.posted["keyId"]}
    to_mallory = grants_by(bob, talk, talk.posted, [mallory])
    refused = await bob.ask("POST", KEYS, body | {"encryptedKeys": to_mallory})
    assert refused.code == "invalid_grant"
    by_mallory = grants_by(mallory, talk, talk.posted, [alice])
    assert (await mallory.ask("POST", KEYS, body | {"encryptedKeys": by_mallory})).code == "not_a_member"
    assert (await bob.ask("POST", KEYS, body | {"encryptedKeys": by_mallory})).code == "invalid_grant"
    unknown = dataclasses.replace(mallory.record, archive_key_id=bytes(32))
    bob.made = dataclasses.replace(bob.made, record=FakeVerified(unknown))  # type: ignore[arg-type]
    stray = grants_by(bob, talk, talk.posted, [alice])
    assert (await bob.ask("POST", KEYS, body | {"encryptedKeys": stray})).code == "invalid_grant"


class FakeVerified:
    """A record that nobody published."""

    def __init__(self, value: object) -> None:
        self.value = value


async def test_a_grant_has_the_length_of_a_wrapped_key(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    body = talk.next(alice, keep=False)
    signed = decode(SignedGrant, from_base64(body["encryptedKeys"][0]["encryptedKey"]))
    for change in ({"ciphertext": bytes(1167)}, {"algorithm": WrapAlgorithm.SEALED}):
        bent = sign_grant(dataclasses.replace(signed.grant, **change), alice.key.sign)
        answer = await alice.ask("POST", KEYS, body | {"encryptedKeys": [as_posted(bent), body["encryptedKeys"][1]]})
        assert (answer.status, answer.code) == (422, "invalid_grant")


async def test_who_is_in_the_same_conversation_twice_founded_is_refused(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    second = Talk(alice, bob)
    second.id, second.genesis_random = talk.id, talk.genesis_random
    answer = await alice.ask("POST", KEYS, second.genesis(created_at=2000))
    assert (answer.status, answer.code) == (409, "epoch_conflict")


async def test_a_record_is_judged_anew_when_an_account_changes_meanwhile(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    judged = 0
    original = conversations.judge

    async def judge_and_change(*arguments: object) -> object:
        nonlocal judged
        judged += 1
        state = await original(*arguments)  # type: ignore[arg-type]
        if judged == 1:
            answer = await bob.ask("POST", "/api/encryption/keys/generate", second_version(bob))
            assert answer.status == 200
        return state

    monkeypatch.setattr(conversations, "judge", judge_and_change)
    answer = await alice.ask("POST", KEYS, talk.next(alice, keep=False))
    assert (answer.code, answer.body["accounts"]) == ("record_outdated", ["bob"])
    assert judged == 2


async def test_the_same_record_posted_twice_at_once_is_taken_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    body = talk.next(alice)
    first: list[Answer] = []
    nested = False
    original = conversations.judge

    async def judge_and_post(*arguments: object) -> object:
        nonlocal nested
        state = await original(*arguments)  # type: ignore[arg-type]
        if not nested:
            nested = True
            first.append(await alice.ask("POST", KEYS, body))
        return state

    monkeypatch.setattr(conversations, "judge", judge_and_post)
    second = await alice.ask("POST", KEYS, body)
    assert second.body == first[0].body
    assert await events(alice) == [("conversation", 1), ("conversation", 2)]


async def test_a_roster_that_never_rests_gives_up(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    monkeypatch.setattr(known.Chains, "are_newest", lambda *_: False)
    held = await rows(town)
    answer = await alice.ask("POST", KEYS, talk.next(alice, keep=False))
    assert (answer.status, answer.code, answer.body["accounts"]) == (409, "record_outdated", [])
    assert await rows(town) == held
    assert conversations.ATTEMPTS > 1


async def test_many_leaves_are_verified_in_a_thread(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    wish = talk.leave(bob)
    await leave(bob, talk, wish)
    monkeypatch.setattr(conversations, "ON_THE_LOOP", 0)
    assert (await alice.ask("POST", KEYS, talk.next(alice, talk.removal(bob), leaves=[wish]))).status == 200
