"""What a restored server takes back of accounts, and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

from server.people import Answer, Person, Town, rows
from server.recording import restored
from server.test_accounts import next_outer, second_version, store_outer
from server.test_unlocking import posted, reset
from tacit.signed.vault import Boxes, Outer
from tacit.wire import limits
from tacit.wire.codec import encode
from tacit.wire.text import to_base64

RECONCILE = "/api/reconcile/account"


def version(publication: dict[str, Any]) -> dict[str, str]:
    return {name: publication[name] for name in ("record", "signature")}


async def post(by: Person, user_id: str, *versions: dict[str, Any], **more: Any) -> Answer:
    body = {"userId": user_id, "versions": [version(each) for each in versions], **more}
    return await by.ask("POST", RECONCILE, body)


def vault(boxes: Boxes, outer: Outer, *headers: Outer) -> dict[str, Any]:
    """What a device has of its vault; `headers` are those of these outer parts."""
    signed = [{"header": to_base64(encode(each.header)), "signature": to_base64(each.signature)} for each in headers]
    return {"boxes": to_base64(encode(boxes)), "outer": to_base64(encode(outer)), "outerHeaders": signed}


async def test_a_server_that_was_never_restored_lacks_no_version(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    before = await rows(town)
    assert (await post(bob, "alice", second_version(alice))).code == "nothing_lacking"
    assert await rows(town) == before


async def test_a_version_comes_back_from_anybody_once(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    first = alice.publication()
    await restored(town.backend)
    lost = second_version(alice)
    answer = await post(bob, "alice", first, lost)
    assert (answer.status, answer.body) == (200, {"success": True, "versions": 1, "vault": False})
    after = await rows(town)
    assert (await post(alice, "alice", first, lost)).body["versions"] == 0
    assert await rows(town) == after
    served = (await bob.ask("GET", "/api/encryption/keys/public?userId=alice")).body["accounts"][0]["versions"]
    assert [version(each) for each in served] == [version(first), version(lost)]


async def test_no_other_branch_nothing_after_a_gap_and_nothing_forged_is_taken(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    await restored(town.backend)
    lost = second_version(alice)
    other = second_version(alice, archive_key_id=b"\1" * 32)
    ahead = second_version(alice, version=3)
    before = await rows(town)
    assert (await post(bob, "alice", ahead)).code == "version_conflict"
    assert (await post(bob, "alice", {**lost, "signature": second_version(bob)["signature"]})).code == "bad_signature"
    assert (await post(bob, "carol", lost)).code == "no_such_account"
    assert (await post(bob, "bob", lost)).code == "field_mismatch"
    assert (await post(bob, "alice", *[lost] * 501)).code == "too_large"
    assert await rows(town) == before
    assert (await post(bob, "alice", lost)).body["versions"] == 1
    assert (await post(alice, "alice", other)).code == "version_conflict"


async def test_of_a_vault_only_what_the_record_names_and_its_devices_wrote_is_taken(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    await restored(town.backend)
    made = alice.made.vault
    lost = next_outer(alice)
    later = next_outer(alice, lost, 3)
    before = await rows(town)
    foreign = dataclasses.replace(later, signature=bytes(64))
    for bad, code in (
        (vault(made.boxes, later, made.outer, later), "invalid_vault"),
        (vault(made.boxes, later, lost, later), "invalid_vault"),
        (vault(made.boxes, later, made.outer, lost), "invalid_vault"),
        (vault(made.boxes, later), "invalid_vault"),
        (vault(made.boxes, foreign, made.outer, lost, later), "bad_signature"),
        (vault(made.boxes, later, made.outer, lost, foreign), "bad_signature"),
        (vault(made.boxes, later, *[lost] * 5001), "too_large"),
    ):
        assert (await post(alice, "alice", vault=bad)).code == code
    good = vault(made.boxes, later, made.outer, lost, later)
    assert (await post(bob, "alice", vault=good)).code == "user_mismatch"
    assert await rows(town) == before
    assert (await post(alice, "alice", vault=good)).body["vault"] is True
    assert (await post(alice, "alice", vault=good)).body["vault"] is False
    assert (await post(alice, "alice", vault=vault(made.boxes, lost, made.outer, lost))).body["vault"] is False
    answer = await alice.ask("GET", "/api/encryption/keys/private")
    assert answer.body["outer"] == to_base64(encode(later))
    assert (await store_outer(alice, next_outer(alice, later, 4))).status == 200


async def test_the_largest_vault_with_all_its_headers_is_no_larger_than_a_request(town: Town) -> None:
    (alice,) = await town.people("alice")
    await restored(town.backend)
    made, later = alice.made.vault, next_outer(alice)
    full = dataclasses.replace(later, sealed_entries=bytes(limits.OUTER_BYTES))
    held = vault(made.boxes, full, *[later] * limits.OUTER_HEADERS)
    assert (await post(alice, "alice", vault=held)).code == "invalid_vault"  # it was read


async def test_a_reset_that_a_device_alone_asked_for_waits_anew(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    await restored(town.backend)
    before = await rows(town)
    alone = posted(alice, reset(alice).version)
    assert (await post(bob, "alice", alone)).code == "reset_pending"
    assert await rows(town) == before
    with_the_old_key = posted(alice, reset(alice, alone=False).version)
    assert (await post(bob, "alice", with_the_old_key)).body["versions"] == 1
