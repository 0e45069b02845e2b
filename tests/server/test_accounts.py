from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from rsa_pool import pooled_rsa
from server.people import Answer, Person, Talk, Town, rows
from signed.chains import follow
from tacit import errors
from tacit.crypto.rsa import generate
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.identity import changes, unlockers
from tacit.identity.account import certificate_of, make_boxes, make_keys, new_device
from tacit.identity.changes import account_of
from tacit.identity.keys import SigningKey
from tacit.identity.vault import Writer, open_outer, seal_outer
from tacit.server import known
from tacit.server.store import accounts, sessions
from tacit.signed.account import (
    AccountRecord,
    AccountSignatures,
    OuterRef,
    account_hash,
    sign_record,
)
from tacit.signed.profiles import Profile
from tacit.signed.vault import Boxes, Outer, Vault, header_hash
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, to_base64

GENERATE = "/api/encryption/keys/generate"
PRIVATE = "/api/encryption/keys/private"


def aik_of(person: Person) -> SigningKey:
    """The identity key, opened with the password as its owner would."""
    record = person.record
    whose = unlockers.Account(record.server_name, record.user_id, record.profile, record.aik)
    bounds = unlockers.KdfBounds((8, 65536), (1, 3), (1, 4))
    password = unlockers.password_bytes(f"the password of {person.user_id}")
    return unlockers.open_with_password(whose, person.made.vault.inner, password, bounds).aik


def second_version(
    person: Person, *, boxes: Boxes | None = None, outer: Outer | None = None, **change: Any
) -> dict[str, Any]:
    """What posts the account's next version."""
    vault = person.made.vault
    boxes, outer = boxes or vault.boxes, outer or vault.outer
    named = OuterRef(outer.header.version, header_hash(outer.header))
    record = dataclasses.replace(follow(person.record, vault.inner, boxes), outer=named, **change)
    signatures = sign_record(record, aik_of(person).sign)
    return person.publication(
        record=record,
        signature=to_base64(encode(signatures)),
        encryptedPrivateKey=to_base64(encode(Vault(vault.inner, boxes, outer))),
    )


def next_outer(person: Person, before: Outer | None = None, now: int = 2, version: int | None = None) -> Outer:
    """The next outer part, with the same entries."""
    device = person.made.device
    before = before or person.made.vault.outer
    entries = open_outer(person.record, person.made.vault.outer, Secret(device.outer_key))
    writer = Writer(person.device_id, person.key.sign)
    named, key = person.record.server_name, Secret(device.outer_key)
    return seal_outer(named, person.user_id, 1, before.header, entries, key, writer, now, version)


async def store_outer(person: Person, outer: Outer) -> Answer:
    body = {
        "userId": person.user_id,
        "keyId": person.publication()["keyId"],
        "encryptedPrivateKey": to_base64(encode(outer)),
    }
    return await person.ask("POST", PRIVATE, body)


async def test_a_registration_is_served_to_others_as_it_was_published(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    answer = await bob.ask("GET", "/api/encryption/keys/public?userId=alice&userId=bob&after=0")
    assert [each["userId"] for each in answer.body["accounts"]] == ["alice", "bob"]
    (version,) = answer.body["accounts"][0]["versions"]
    published = alice.publication()
    assert version == {"version": 1} | {name: published[name] for name in ("keyId", "publicKey", "record", "signature")}


async def test_a_registration_posted_again_is_the_same_registration(town: Town) -> None:
    (alice,) = await town.people("alice")
    held = [row for row in await rows(town) if row[0] != "sessions"]
    assert (await alice.ask("POST", GENERATE, alice.publication())).status == 200
    assert [row for row in await rows(town) if row[0] != "sessions"] == held


async def test_a_name_is_taken_once(town: Town) -> None:
    second = Person(town, "alice")
    await second.open("/api/auth/register")
    await town.people("alice")
    assert (await second.open("/api/auth/register")).code == "account_exists"
    late = Person(town, "alice")
    assert (await late.open("/api/auth/register")).code == "account_exists"


async def test_a_session_gets_boxes_and_outer_part_and_never_the_inner_part(town: Town) -> None:
    (alice,) = await town.people("alice")
    answer = await alice.ask("GET", PRIVATE)
    vault = alice.made.vault
    assert answer.body["boxes"] == to_base64(encode(vault.boxes))
    assert answer.body["outer"] == to_base64(encode(vault.outer))
    (header,) = answer.body["outerHeaders"]
    assert header == {"header": to_base64(encode(vault.outer.header)), "signature": to_base64(vault.outer.signature)}
    sealed = to_base64(vault.inner.wrapped_aik)[4:-4]
    assert sealed not in repr(answer.body)
    assert not set(answer.body) - {"userId", "keyId", "accountVersion", "boxes", "outer", "outerHeaders"}


async def test_the_next_outer_part_takes_the_place_of_the_last(town: Town) -> None:
    (alice,) = await town.people("alice")
    outer = next_outer(alice)
    assert (await store_outer(alice, outer)).status == 200
    answer = await alice.ask("GET", PRIVATE)
    assert answer.body["outer"] == to_base64(encode(outer))
    assert len(answer.body["outerHeaders"]) == 2
    held = await rows(town)
    assert (await store_outer(alice, outer)).status == 200
    assert await rows(town) == held


async def test_an_outer_part_on_an_old_one_is_a_conflict(town: Town) -> None:
    (alice,) = await town.people("alice")
    await store_outer(alice, next_outer(alice))
    other = await store_outer(alice, next_outer(alice, now=3))
    assert (other.status, other.code) == (409, "version_conflict")
    assert (other.body["accountVersion"], other.body["outerVersion"]) == (1, 2)


async def test_a_record_s_outer_part_may_overtake_what_devices_wrote(town: Town) -> None:
    """A device that writes all the time is not in the way of what the identity key signs."""
    (alice,) = await town.people("alice")
    two = next_outer(alice)
    three = next_outer(alice, two)
    for outer in (two, three):
        assert (await store_outer(alice, outer)).status == 200
    for version in (2, 3):  # where a device wrote already
        answer = await alice.ask(
            "POST", GENERATE, second_version(alice, outer=next_outer(alice, now=9, version=version))
        )
        assert (answer.status, answer.code) == (409, "version_conflict")
    ahead = next_outer(alice, version=9)  # it follows the first one, which the record before names
    assert (await alice.ask("POST", GENERATE, second_version(alice, outer=ahead))).status == 200
    answer = await alice.ask("GET", PRIVATE)
    assert answer.body["outer"] == to_base64(encode(ahead))
    assert len(answer.body["outerHeaders"]) == 1


async def test_an_outer_part_of_a_device_is_one_more(town: Town) -> None:
    (alice,) = await town.people("alice")
    answer = await store_outer(alice, next_outer(alice, version=3))
    assert (answer.status, answer.code) == (409, "version_conflict")


async def test_an_outer_part_that_its_device_did_not_sign_is_refused(town: Town) -> None:
    (alice,) = await town.people("alice")
    forged = dataclasses.replace(next_outer(alice), signature=bytes(64))
    assert (await store_outer(alice, forged)).code == "bad_signature"


async def test_an_outer_part_that_does_not_follow_is_refused(town: Town) -> None:
    (alice,) = await town.people("alice")
    stranger = next_outer(alice, before=next_outer(alice))
    assert (await store_outer(alice, stranger)).code == "version_conflict"


async def test_a_next_version_is_taken_and_told(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    body = second_version(alice)
    assert (await alice.ask("POST", GENERATE, body)).status == 200
    answer = await bob.ask("GET", "/api/encryption/keys/public?userId=alice&after=1")
    assert [each["keyId"] for each in answer.body["accounts"][0]["versions"]] == [body["keyId"]]
    events = (await alice.ask("POST", "/api/sync", {"accountCursor": 0, "conversations": {}})).body["account"]
    assert [(each["seq"], each["kind"], each["body"]) for each in events["events"]] == [
        (1, "account", {"version": 1}),
        (2, "account", {"version": 2}),
    ]
    assert (await alice.ask("POST", GENERATE, body)).status == 200
    assert (await alice.ask("POST", GENERATE, alice.publication())).code == "account_exists"


async def test_only_the_newest_version_holds_the_vault(town: Town) -> None:
    (alice,) = await town.people("alice")
    await alice.ask("POST", GENERATE, second_version(alice))
    query = "SELECT version, encrypted_private_key = '' FROM user_keys ORDER BY version"
    found = await town.backend.store.read(lambda db: db.execute(query).fetchall())
    assert found == [(1, 1), (2, 0)]


async def test_a_version_that_the_identity_key_did_not_sign_is_refused(town: Town) -> None:
    (alice,) = await town.people("alice")
    body = second_version(alice)
    signatures = decode(AccountSignatures, from_base64(body["signature"]))
    record = decode(AccountRecord, from_base64(body["record"]))
    stranger = Ed25519Key.generate(alice.random)
    for forged in (
        dataclasses.replace(signatures, aik=bytes(64)),
        sign_record(record, stranger.sign),
    ):
        answer = await alice.ask("POST", GENERATE, body | {"signature": to_base64(encode(forged))})
        assert (answer.status, answer.code) == (422, "bad_signature")


async def test_two_next_versions_are_a_conflict_for_the_second(town: Town) -> None:
    (alice,) = await town.people("alice")
    await alice.ask("POST", GENERATE, second_version(alice))
    answer = await alice.ask("POST", GENERATE, second_version(alice, archive_key_id=bytes(32)))
    assert (answer.status, answer.code, answer.body["accountVersion"]) == (409, "version_conflict", 2)


@pytest.mark.parametrize("skip", [0, 1])
async def test_an_outer_part_with_a_record_is_a_later_one(town: Town, skip: int) -> None:
    (alice,) = await town.people("alice")
    first = next_outer(alice)
    if skip:
        first = next_outer(alice, before=first)
    answer = await alice.ask("POST", GENERATE, second_version(alice, outer=first))
    assert answer.status == 200


async def test_headers_of_outer_parts_do_not_fill_the_database(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    (alice,) = await town.people("alice")
    monkeypatch.setattr(limits, "OUTER_HEADERS", 3)
    outer = None
    for _ in range(5):
        outer = next_outer(alice, outer)
        assert (await store_outer(alice, outer)).status == 200
    assert len((await alice.ask("GET", PRIVATE)).body["outerHeaders"]) == 3


async def test_an_outer_part_with_which_the_vault_is_too_large_is_refused(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alice,) = await town.people("alice")
    held = await rows(town)
    monkeypatch.setattr(limits, "VAULT_BYTES", len(encode(alice.made.vault)) - 1)
    refused = await store_outer(alice, next_outer(alice))
    assert (refused.status, refused.code) == (413, "too_large")
    monkeypatch.undo()
    assert await rows(town) == held


async def test_an_outer_part_with_a_record_may_not_go_back(town: Town) -> None:
    (alice,) = await town.people("alice")
    await store_outer(alice, next_outer(alice))
    answer = await alice.ask("POST", GENERATE, second_version(alice))
    assert (answer.status, answer.code) == (409, "version_conflict")
    other = await alice.ask("POST", GENERATE, second_version(alice, outer=next_outer(alice, now=9)))
    assert (other.status, other.code, other.body["outerVersion"]) == (409, "version_conflict", 2)


def with_second_device(person: Person) -> tuple[Person, dict[str, Any]]:
    """The next version, which certifies a second device, and that device."""
    outer_key = Secret(person.made.device.outer_key)
    secrets = new_device(Profile.STANDARD, person.user_id, outer_key, person.random, pooled_rsa)
    new = certificate_of(secrets)
    devices = tuple(sorted((*person.record.devices, new), key=lambda each: each.device_id))
    boxes = make_boxes(Profile.STANDARD, person.record.server_name, person.user_id, 2, devices, outer_key)
    tablet = Person(person.town, person.user_id)
    tablet.key, tablet.device_id = secrets.request_key(), secrets.device_id()
    return tablet, second_version(person, boxes=boxes, devices=devices)


def revocation(person: Person, device: Person, before: dict[str, Any]) -> dict[str, Any]:
    """The version after `before`, without that device."""
    opened = unlockers.open_with_password(
        account_of(person.record),
        person.made.vault.inner,
        unlockers.password_bytes(f"the password of {person.user_id}"),
        unlockers.KdfBounds((8, 8), (1, 1), (1, 1)),
    )
    entries = open_outer(person.record, person.made.vault.outer, opened.outer_key)
    record = decode(AccountRecord, from_base64(before["record"]))
    vault = decode(Vault, from_base64(before["encryptedPrivateKey"]), limits.VAULT_BYTES)
    at = changes.Unlocked(record, vault, opened, entries)
    keys = make_keys(Profile.STANDARD, person.random, generate)
    made = changes.revoke(at, person.made.device, {device.device_id}, keys, person.town.clock(), person.random)
    return person.publication(
        record=made.record,
        signature=to_base64(encode(made.signatures)),
        encryptedPrivateKey=to_base64(encode(made.vault)),
    )


async def test_a_revoked_device_has_no_session_any_more_and_epochs_with_it_are_outdated(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    tablet, second = with_second_device(alice)
    assert (await alice.ask("POST", GENERATE, second)).status == 200
    assert (await tablet.open("/api/auth/session")).status == 200
    talk = Talk(bob, alice)
    alice.made = dataclasses.replace(alice.made, record=await verified(town, "alice"))
    assert (await bob.ask("POST", "/api/encryption/conversation/keys", talk.genesis())).status == 200
    body = revocation(alice, tablet, second)
    refused = await tablet.ask("POST", GENERATE, body)
    assert (refused.status, refused.code) == (422, "invalid_account_record")
    assert (await alice.ask("POST", GENERATE, body)).status == 200
    assert (await tablet.ask("GET", "/api/conversations")).code == "session_expired"
    assert (await tablet.open("/api/auth/session")).code == "sign_in_refused"
    sent = await bob.ask("POST", "/api/messages/encrypted", talk.message(bob))
    assert (sent.status, sent.code) == (409, "epoch_outdated")


async def verified(town: Town, user: str) -> Any:
    found = (await town.backend.known.load([user])).newest(user)
    assert found is not None
    return found


async def test_many_accounts_are_verified_in_a_thread_and_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, _ = await town.people("alice", "bob")
    monkeypatch.setattr(known, "ON_THE_LOOP", 1)
    fresh = known.KnownAccounts(town.backend.store)
    chains = await fresh.load(["alice", "bob", "nobody"])
    assert [chains.newest(user) is not None for user in ("alice", "bob", "nobody")] == [True, True, False]

    def refuse(*_: object) -> None:
        raise AssertionError("verified again")

    monkeypatch.setattr(known, "verify_chain", lambda pairs, pin: refuse() if pairs else [])
    again = await fresh.load(["alice", "bob"])
    assert again.newest("alice") is chains.newest("alice")
    named = chains.named("alice", account_hash(alice.record))
    assert named is chains.newest("alice")
    assert chains.named("alice", bytes(32)) is None


async def test_only_so_many_records_are_kept(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, _ = await town.people("alice", "bob")
    await alice.ask("POST", GENERATE, second_version(alice))
    monkeypatch.setattr(known, "KEPT", 2)
    fresh = known.KnownAccounts(town.backend.store)
    await fresh.load(["alice"])
    await fresh.load(["alice", "nobody"])
    assert list(fresh._kept) == ["alice"]
    await fresh.load(["bob"])
    assert list(fresh._kept) == ["bob"]
    assert fresh._records == 1


async def test_an_outer_part_has_a_version_that_can_be_kept(town: Town) -> None:
    alice = Person(town, "alice")
    await alice.open("/api/auth/register")
    outer = alice.made.vault.outer
    header = dataclasses.replace(outer.header, version=2**64 - 1)
    bent = dataclasses.replace(outer, header=header)
    record = dataclasses.replace(alice.record, outer=OuterRef(header.version, header_hash(header)))
    body = alice.publication(
        record=record,
        signature=to_base64(encode(sign_record(record, aik_of(alice).sign, alice.key.sign))),
        encryptedPrivateKey=to_base64(encode(Vault(alice.made.vault.inner, alice.made.vault.boxes, bent))),
    )
    answer = await alice.ask("POST", GENERATE, body)
    assert (answer.status, answer.code) == (400, "malformed")


async def test_a_registration_posted_again_with_another_signature_is_another(town: Town) -> None:
    (alice,) = await town.people("alice")
    forged = to_base64(encode(dataclasses.replace(alice.made.signatures, aik=bytes(64))))
    answer = await alice.ask("POST", GENERATE, alice.publication(signature=forged))
    assert (answer.status, answer.code) == (409, "account_exists")


async def test_one_device_has_so_many_sessions(town: Town) -> None:
    (alice,) = await town.people("alice")
    first = alice.token
    for _ in range(sessions.OF_A_DEVICE):
        town.clock.now += 1
        assert (await alice.open("/api/auth/session")).status == 200
    newest, alice.token = alice.token, first
    assert (await alice.ask("GET", "/api/conversations")).code == "session_expired"
    alice.token = newest
    assert (await alice.ask("GET", "/api/conversations")).status == 200
    query = "SELECT count(*) FROM sessions"
    assert await town.backend.store.read(lambda db: db.execute(query).fetchone()) == (sessions.OF_A_DEVICE,)


async def test_an_account_that_was_changed_in_the_database_is_not_used(town: Town) -> None:
    await town.people("alice")
    forged = encode(AccountSignatures(bytes(64), bytes(64), b""))
    change = "UPDATE user_keys SET signature = ?"
    await town.backend.store.write(lambda db: db.execute(change, (to_base64(forged),)).rowcount)
    with pytest.raises(errors.Internal):
        await known.KnownAccounts(town.backend.store).load(["alice"])


async def test_unlockers_are_known_by_the_hash_of_their_proof(town: Town) -> None:
    (alice,) = await town.people("alice")
    found = await town.backend.store.read(lambda db: accounts.unlockers(db, "alice"))
    assert {each.proof_hash for each in found} == {each.proof_hash for each in alice.made.vault.inner.unlockers}
