"""Unlockers at the server, what their sessions may do, and resets."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from rsa_pool import pooled_rsa
from server.people import AUTHORITY, Answer, Person, Talk, Town, rows
from server.test_accounts import aik_of, revocation, with_second_device
from server.test_gate import SIGNED, valid
from tacit.crypto.rsa import generate
from tacit.crypto.secret import Secret
from tacit.identity import changes
from tacit.identity.account import make_keys, new_device
from tacit.identity.changes import Reset, Unlocked, Version
from tacit.identity.unlockers import Cost, KdfBounds, find_unlocker, open_with_password, password_bytes
from tacit.identity.vault import open_outer
from tacit.server.gate import OPENING
from tacit.signed.profiles import Profile
from tacit.signed.vault import Inner, PasswordParameters, UnlockerKind
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, to_base64

GENERATE, PRIVATE = "/api/encryption/keys/generate", "/api/encryption/keys/private"
HOUR = 60 * 60 * 1000


def unlocked(person: Person) -> Unlocked:
    """The account as the password opens it."""
    bounds = KdfBounds((8, 8), (1, 1), (1, 1))
    password = password_bytes(f"the password of {person.user_id}")
    opened = open_with_password(changes.account_of(person.record), person.made.vault.inner, password, bounds)
    entries = open_outer(person.record, person.made.vault.outer, opened.outer_key)
    return Unlocked(person.record, person.made.vault, opened, entries)


def posted(person: Person, version: Version) -> dict[str, Any]:
    return person.publication(
        record=version.record,
        signature=to_base64(encode(version.signatures)),
        encryptedPrivateKey=to_base64(encode(version.vault)),
    )


def reset(person: Person, *, alone: bool = True, keep: set[str] | None = None, before: Any = None) -> Reset:
    return changes.reset(
        before or person.record,
        dataclasses.replace(person.made.device),
        keep or set(),
        (),
        Secret(b"another"),
        make_keys(Profile.STANDARD, person.random, generate),
        Cost(8, 1, 1),
        person.town.clock(),
        person.random,
        None if alone else aik_of(person),
    )


async def events(person: Person, kind: str) -> list[dict[str, Any]]:
    answer = await person.ask("POST", "/api/sync", {"accountCursor": 0, "conversations": {}})
    return [each["body"] for each in answer.body["account"]["events"] if each["kind"] == kind]


# --- what deriving needs ---------------------------------------------------------------------


async def test_anybody_may_ask_what_an_unlocker_needs(town: Town) -> None:
    (alice,) = await town.people("alice")
    inner = alice.made.vault.inner
    for kind, name in ((UnlockerKind.PASSWORD, "password"), (UnlockerKind.RECOVERY_KEY, "recovery_key")):
        unlocker = find_unlocker(inner, kind)
        answer = await alice.ask("POST", "/api/auth/unlocker", alice.wish(kind=name))
        assert answer.body == {"unlockerId": unlocker.id, "parameters": to_base64(unlocker.parameters)}
    answer = await alice.ask("POST", "/api/auth/unlocker", alice.wish(kind="passkey"))
    assert (answer.status, answer.code) == (400, "malformed")


async def test_nobody_is_answered_like_somebody(town: Town) -> None:
    (alice,) = await town.people("alice")
    nobody = Person(town, "nobody")
    for kind in ("password", "recovery_key"):
        real = await alice.ask("POST", "/api/auth/unlocker", alice.wish(kind=kind))
        made_up = await nobody.ask("POST", "/api/auth/unlocker", nobody.wish(kind=kind))
        again = await nobody.ask("POST", "/api/auth/unlocker", nobody.wish(kind=kind))
        assert made_up.body == again.body != real.body
        assert (made_up.status, made_up.body.keys()) == (real.status, real.body.keys())
        assert len(made_up.body["unlockerId"]) == len(real.body["unlockerId"])
        assert len(made_up.body["parameters"]) == len(real.body["parameters"])
        assert answers_parse(made_up.body, kind)


def answers_parse(body: dict[str, Any], kind: str) -> bool:
    raw = from_base64(body["parameters"])
    return raw == b"" if kind == "recovery_key" else decode(PasswordParameters, raw).kdf in (1, 2)


async def test_a_wrong_proof_is_refused_as_nobodys_is(town: Town) -> None:
    (alice,) = await town.people("alice")
    nobody = Person(town, "nobody")
    wrong = await Person(town, "alice").unlock(proof=to_base64(bytes(32)))
    unknown = await nobody.unlock()
    no_such = await Person(town, "alice").unlock(unlockerId="0" * 32)
    assert (wrong.status, wrong.code) == (401, "sign_in_refused")
    assert wrong.body == unknown.body == no_such.body
    for bad in (b"", bytes(31), bytes(33)):
        answer = await alice.unlock(proof=to_base64(bad))
        assert answer.status in (400, 413)


# --- what a session does that an unlocker opened ---------------------------------------------


async def test_an_unlocker_opens_a_session_for_a_new_device(town: Town) -> None:
    (alice,) = await town.people("alice")
    for kind in (UnlockerKind.PASSWORD, UnlockerKind.RECOVERY_KEY):
        tablet = Person(town, "alice")
        secrets = new_device(Profile.STANDARD, "alice", Secret(bytes(32)), tablet.random, pooled_rsa)
        tablet.key, tablet.device_id = secrets.request_key(), secrets.device_id()
        answer = await tablet.unlock(kind)
        assert (answer.status, answer.body["deviceId"]) == (200, tablet.device_id)
        vault = await tablet.ask("GET", PRIVATE)
        assert decode(Inner, from_base64(vault.body["inner"])) == alice.made.vault.inner
        assert "inner" not in (await alice.ask("GET", PRIVATE)).body
        own = await tablet.ask("GET", "/api/encryption/keys/public?userId=alice")
        assert [each["version"] for each in own.body["accounts"][0]["versions"]] == [1]


@pytest.mark.parametrize("route", SIGNED, ids=" ".join)
async def test_such_a_session_may_do_nothing_else(town: Town, route: tuple[str, str]) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    tablet = Person(town, "alice")
    secrets = new_device(Profile.STANDARD, "alice", Secret(bytes(32)), tablet.random, pooled_rsa)
    tablet.key, tablet.device_id = secrets.request_key(), secrets.device_id()
    await tablet.unlock()
    target, body = await valid(talk, tablet, route)
    held = await rows(town)
    answer = await tablet.ask(route[0], target, body)
    if route in OPENING or route == ("DELETE", "/api/auth/session"):
        return
    if target == PRIVATE and route[0] == "GET":
        assert answer.status == 200
    elif target.endswith("?userId=alice"):
        assert answer.status == 200
        assert (await tablet.ask("GET", f"{target}&userId=bob")).code == "session_forbidden"
        assert (await tablet.ask("GET", target.replace("alice", "bob"))).code == "session_forbidden"
    elif target == GENERATE:
        assert answer.code == "invalid_account_record"
    else:
        assert (answer.status, answer.code) == (403, "session_forbidden")
    assert await rows(town) == held


async def test_a_socket_is_for_signed_in_devices(town: Town) -> None:
    await town.people("alice")
    tablet = Person(town, "alice")
    await tablet.unlock()
    assert AUTHORITY
    answer = await tablet.ask("POST", "/api/sync", {"accountCursor": 0, "conversations": {}})
    assert answer.code == "session_forbidden"


async def test_its_time_is_short(town: Town) -> None:
    await town.people("alice")
    tablet = Person(town, "alice")
    await tablet.unlock()
    town.clock.now += 10 * 60 * 1000
    assert (await tablet.ask("GET", PRIVATE)).code == "session_expired"


async def test_the_record_that_certifies_a_device_signs_it_in(town: Town) -> None:
    (alice,) = await town.people("alice")
    at = unlocked(alice)
    secrets = new_device(Profile.STANDARD, "alice", at.opened.outer_key, alice.random, pooled_rsa)
    tablet = Person(town, "alice")
    tablet.key, tablet.device_id = secrets.request_key(), secrets.device_id()
    await tablet.unlock()
    body = posted(tablet, changes.certify(at, secrets, (), town.clock()))
    assert (await tablet.ask("POST", GENERATE, body)).body == {"success": True, "keyId": body["keyId"]}
    assert (await tablet.ask("GET", "/api/conversations")).status == 200
    assert "inner" not in (await tablet.ask("GET", PRIVATE)).body
    assert (await tablet.ask("POST", GENERATE, body)).status == 200


async def test_another_password_ends_what_the_old_one_opened(town: Town) -> None:
    (alice,) = await town.people("alice")
    thief = Person(town, "alice")
    at = unlocked(alice)
    thief_secrets = new_device(Profile.STANDARD, "alice", Secret(bytes(32)), thief.random, pooled_rsa)
    thief.key, thief.device_id = thief_secrets.request_key(), thief_secrets.device_id()
    assert (await thief.unlock()).status == 200
    held = changes.with_password(at, Secret(b"another"), Cost(8, 1, 1), alice.random)
    assert (await alice.ask("POST", GENERATE, posted(alice, changes.change_unlockers(at, held)))).status == 200
    assert (await thief.ask("GET", PRIVATE)).code == "session_expired"
    assert (await thief.unlock()).code == "sign_in_refused"
    assert (await thief.unlock(UnlockerKind.RECOVERY_KEY)).status == 200


async def test_every_use_of_an_unlocker_is_told(town: Town) -> None:
    (alice,) = await town.people("alice")
    thief = Person(town, "alice")
    await thief.unlock(proof=to_base64(bytes(32)))
    await thief.unlock(UnlockerKind.RECOVERY_KEY)
    assert await events(alice, "unlocker") == [
        {"kind": "password", "deviceId": thief.device_id, "succeeded": False},
        {"kind": "recovery_key", "deviceId": thief.device_id, "succeeded": True},
    ]


# --- resets ------------------------------------------------------------------------------------


async def test_a_reset_with_the_old_identity_key_counts_at_once(town: Town) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(bob, alice)
    made = reset(alice, alone=False)
    answer = await alice.ask("POST", GENERATE, posted(alice, made.version))
    assert answer.body == {"success": True, "keyId": posted(alice, made.version)["keyId"]}
    served = await bob.ask("GET", "/api/encryption/keys/public?userId=alice")
    assert [each["version"] for each in served.body["accounts"][0]["versions"]] == [1, 2]
    assert (await bob.ask("POST", "/api/messages/encrypted", talk.message(bob))).code == "epoch_outdated"
    headers = (await alice.ask("GET", PRIVATE)).body["outerHeaders"]
    assert len(headers) == 1
    assert (await alice.unlock()).code == "sign_in_refused"


async def test_a_reset_that_a_device_alone_asks_for_waits(town: Town) -> None:
    (alice,) = await town.people("alice")
    body = posted(alice, reset(alice).version)
    due = town.clock() + 72 * HOUR
    waits: Answer = await alice.ask("POST", GENERATE, body)
    assert waits.body == {"success": True, "keyId": body["keyId"], "waitsUntil": due}
    town.clock.now = due - 1
    assert (await alice.ask("POST", GENERATE, body)).body["waitsUntil"] == due
    assert await events(alice, "reset") == [{"version": 2, "deviceId": alice.device_id, "dueAt": due}]
    assert await events(alice, "reset_cancelled") == []
    assert (
        len((await alice.ask("GET", "/api/encryption/keys/public?userId=alice")).body["accounts"][0]["versions"]) == 1
    )
    town.clock.now = due
    assert (await alice.ask("POST", GENERATE, body)).body == {"success": True, "keyId": body["keyId"]}
    assert (await alice.ask("POST", GENERATE, body)).body == {"success": True, "keyId": body["keyId"]}
    found = (await town.backend.known.load(["alice"])).newest("alice")
    assert found is not None
    assert found.value.aik != alice.record.aik
    assert await events(alice, "reset_cancelled") == []


async def test_a_record_of_the_old_identity_key_cancels_it(town: Town) -> None:
    (alice,) = await town.people("alice")
    body = posted(alice, reset(alice).version)
    await alice.ask("POST", GENERATE, body)
    at = unlocked(alice)
    held = changes.with_password(at, Secret(b"another"), Cost(8, 1, 1), alice.random)
    assert (await alice.ask("POST", GENERATE, posted(alice, changes.change_unlockers(at, held)))).status == 200
    town.clock.now += 73 * HOUR
    answer = await alice.ask("POST", GENERATE, body)
    assert (answer.status, answer.code) == (409, "version_conflict")
    assert await events(alice, "reset_cancelled") == [{"version": 2}]


async def test_one_device_does_not_take_anothers_reset_away(town: Town) -> None:
    (alice,) = await town.people("alice")
    tablet, second = with_second_device(alice)
    assert (await alice.ask("POST", GENERATE, second)).status == 200
    await tablet.open("/api/auth/session")
    found = (await town.backend.known.load(["alice"])).newest("alice")
    assert found is not None
    first = reset(alice, before=found.value)
    assert "waitsUntil" in (await alice.ask("POST", GENERATE, posted(alice, first.version))).body
    theirs = dataclasses.replace(first.version.record.reset_by, device_id=tablet.device_id)
    kept = reset(alice, before=found.value, keep={tablet.device_id})
    assert theirs.device_id != alice.device_id
    refused = await tablet.ask("POST", GENERATE, posted(alice, kept.version))
    assert (refused.status, refused.code) == (422, "field_mismatch")
    again = await alice.ask("POST", GENERATE, posted(alice, kept.version))
    assert "waitsUntil" in again.body
    assert len(await events(alice, "reset")) == 2
    body = revocation(alice, tablet, second)
    assert (await alice.ask("POST", GENERATE, body)).status == 200
    assert len(await events(alice, "reset_cancelled")) == 1


async def test_a_reset_of_another_device_waits_for_the_first(town: Town) -> None:
    (alice,) = await town.people("alice")
    at = unlocked(alice)
    secrets = new_device(Profile.STANDARD, "alice", at.opened.outer_key, alice.random, pooled_rsa)
    tablet = Person(town, "alice")
    tablet.key, tablet.device_id = secrets.request_key(), secrets.device_id()
    tablet.made = dataclasses.replace(alice.made, device=secrets)
    await tablet.unlock()
    second = changes.certify(at, secrets, (), town.clock())
    assert (await tablet.ask("POST", GENERATE, posted(tablet, second))).status == 200
    first = await tablet.ask("POST", GENERATE, posted(tablet, reset(tablet, before=second.record).version))
    assert "waitsUntil" in first.body
    refused = await alice.ask("POST", GENERATE, posted(alice, reset(alice, before=second.record).version))
    assert (refused.status, refused.code, refused.body["dueAt"]) == (409, "reset_pending", first.body["waitsUntil"])
