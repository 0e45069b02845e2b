"""Unlockers at the server, what their sessions may do, and resets."""

from __future__ import annotations

import dataclasses
import sqlite3
from typing import Any

import pytest

from rsa_pool import pooled_rsa
from server.people import AUTHORITY, Answer, Person, Talk, Town, rows
from server.test_accounts import aik_of, revocation, with_second_device
from server.test_gate import SIGNED, valid
from tacit.crypto.rsa import generate
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.identity import changes
from tacit.identity.account import make_keys, new_device
from tacit.identity.changes import Reset, Unlocked, Version
from tacit.identity.unlockers import Cost, KdfBounds, find_unlocker, open_with_password, password_bytes
from tacit.identity.vault import open_outer
from tacit.server import unlocking
from tacit.server.config import ProofLimits
from tacit.server.gate import OPENING
from tacit.server.store import attempts
from tacit.server.store.rows import Failures
from tacit.server.unlocking import tell_overdue, wait_of
from tacit.signed.account import device_id_of
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
    changed = changes.change_unlockers(at, alice.made.device, held, town.clock())
    assert (await alice.ask("POST", GENERATE, posted(alice, changed))).status == 200
    assert (await thief.ask("GET", PRIVATE)).code == "session_expired"
    assert (await thief.unlock()).code == "sign_in_refused"
    assert (await thief.unlock(UnlockerKind.RECOVERY_KEY)).status == 200


async def test_every_use_of_an_unlocker_is_told(town: Town) -> None:
    (alice,) = await town.people("alice")
    thief = Person(town, "alice")
    await thief.unlock(proof=to_base64(bytes(32)))
    await thief.unlock(UnlockerKind.RECOVERY_KEY)
    assert await events(alice, "unlocker") == [
        {"kind": "password", "deviceId": thief.device_id, "succeeded": False, "failed": 1},
        {"kind": "recovery_key", "deviceId": thief.device_id, "succeeded": True, "failed": 0},
    ]


# --- how fast they can be tried --------------------------------------------------------------

WRONG = to_base64(bytes(32))
LIMITS = ProofLimits()


def stranger(town: Town, user_id: str) -> Person:
    """Somebody with a key of their own, which is none of the account's."""
    person = Person(town, user_id)
    person.key = Ed25519Key.from_seed(Secret(person.random(32)))
    person.device_id = device_id_of(user_id, person.key.public)
    return person


async def guesses(town: Town, user_id: str, count: int) -> None:
    """So many wrong proofs, each with another key."""
    asker = stranger(town, user_id)
    found = (await asker.ask("POST", "/api/auth/unlocker", asker.wish(kind="password"))).body["unlockerId"]
    for _ in range(count):
        answer = await stranger(town, user_id).unlock(proof=WRONG, unlockerId=found)
        assert answer.code == "sign_in_refused"


async def test_a_key_that_failed_waits_twice_as_long_each_time(town: Town) -> None:
    await town.people("alice")
    thief = stranger(town, "alice")
    for _ in range(LIMITS.key_failures):
        assert (await thief.unlock(proof=WRONG)).code == "sign_in_refused"
    waited = []
    for _ in range(3):
        refused = await thief.unlock()  # the right one tells nothing more than a wrong one
        assert (refused.status, refused.code) == (429, "too_many_attempts")
        assert (await thief.unlock(proof=WRONG)).body == refused.body
        waited.append(refused.body["retryAfter"])
        town.clock.now += waited[-1] * 1000 - 1
        assert (await thief.unlock()).body["retryAfter"] == 1
        town.clock.now += 1
        assert (await thief.unlock(proof=WRONG)).code == "sign_in_refused"
    assert waited == [10, 20, 40]
    assert (await stranger(town, "alice").unlock()).status == 200
    town.clock.now += LIMITS.within_ms
    assert (await thief.unlock()).status == 200


@pytest.mark.parametrize(("count", "seconds"), [(5, 10), (11, 640), (12, 900), (100, 900)])
def test_no_key_waits_longer_than_a_quarter_of_an_hour(count: int, seconds: int) -> None:
    assert wait_of(Failures(count, 1_000), Failures(0, 0), 1_000, LIMITS) == seconds * 1000


async def test_strangers_are_slowed_together_and_the_accounts_devices_are_not(town: Town) -> None:
    (alice,) = await town.people("alice")
    await guesses(town, "alice", LIMITS.account_failures)
    for proof in (alice.proof()["proof"], WRONG):
        refused = await stranger(town, "alice").unlock(proof=proof)
        assert (refused.status, refused.code, refused.body["retryAfter"]) == (429, "too_many_attempts", 30)
    assert (await alice.unlock()).status == 200
    for _ in range(3):  # never for good, and what was refused makes nobody wait
        town.clock.now += LIMITS.account_wait_ms
        assert (await stranger(town, "alice").unlock(proof=WRONG)).code == "sign_in_refused"
        assert (await stranger(town, "alice").unlock()).code == "too_many_attempts"
    town.clock.now += LIMITS.account_wait_ms
    assert (await stranger(town, "alice").unlock()).status == 200


async def test_what_a_device_of_the_account_got_wrong_slows_no_other_key(town: Town) -> None:
    alice, _ = await town.people("alice", "bob")

    def fail(db: sqlite3.Connection) -> None:
        for _ in range(LIMITS.account_failures):
            attempts.add(db, "alice", alice.device_id, True, town.clock())

    await town.backend.store.write(fail)
    assert (await alice.unlock()).code == "too_many_attempts"
    assert (await stranger(town, "alice").unlock()).status == 200
    await guesses(town, "alice", LIMITS.account_failures)
    assert (await stranger(town, "bob").unlock()).status == 200


async def test_names_that_are_invented_fill_no_more_than_so_many_rows(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unlocking, "SHARED", 2)
    await town.people("alice")
    answers = []
    for number in range(160):
        asker = stranger(town, f"nobody {number}")
        found = await asker.ask("POST", "/api/auth/unlocker", asker.wish(kind="password"))
        answers.append(await asker.unlock(proof=WRONG, unlockerId=found.body["unlockerId"]))
    assert {each.code for each in answers[: LIMITS.account_failures]} == {"sign_in_refused"}
    assert answers[-1].code == "too_many_attempts"
    assert (await stranger(town, "alice").unlock(proof=WRONG)).code == "sign_in_refused"
    held = {table: await names_in(town, table) for table in ("failed_proofs", "proofs_told")}
    assert [len(set(each) - {"alice"}) for each in held.values()] == [2, 2]
    assert len(held["failed_proofs"]) == 2 * LIMITS.account_failures + 1


async def names_in(town: Town, table: str) -> list[str]:
    return await town.backend.store.read(lambda db: [row[0] for row in db.execute(f"SELECT user_id FROM {table}")])


async def test_a_revoked_device_is_a_stranger(town: Town) -> None:
    (alice,) = await town.people("alice")
    tablet, second = with_second_device(alice)
    assert (await alice.ask("POST", GENERATE, second)).status == 200
    assert (await alice.ask("POST", GENERATE, revocation(alice, tablet, second))).status == 200
    await guesses(town, "alice", LIMITS.account_failures)
    assert (await tablet.unlock()).code == "too_many_attempts"


async def test_nobodys_account_is_limited_like_somebodys(town: Town) -> None:
    await town.people("alice")
    answers = []
    for user_id in ("alice", "nobody"):
        await guesses(town, user_id, LIMITS.account_failures)
        answers.append((await stranger(town, user_id).unlock(proof=WRONG)).body)
    assert answers[0] == answers[1]
    assert [row for row in await rows(town) if row[:2] == ("account_events", "nobody")] == []


# --- how often they are told -----------------------------------------------------------------


async def test_failures_are_told_once_an_hour_with_their_number(town: Town) -> None:
    (alice,) = await town.people("alice")
    await guesses(town, "alice", 4)
    town.clock.now += LIMITS.told_each_ms - 1
    await guesses(town, "alice", 1)
    assert [each["failed"] for each in await events(alice, "unlocker")] == [1]
    town.clock.now += 1
    last = stranger(town, "alice")
    await last.unlock(UnlockerKind.RECOVERY_KEY, proof=WRONG)
    await last.unlock(proof=WRONG)
    assert (await events(alice, "unlocker"))[1:] == [
        {"kind": "recovery_key", "deviceId": last.device_id, "succeeded": False, "failed": 1},
        {"kind": "password", "deviceId": last.device_id, "succeeded": False, "failed": 5},
    ]


async def test_a_success_is_always_told_and_says_what_failed_before(town: Town) -> None:
    (alice,) = await town.people("alice")
    await guesses(town, "alice", 3)
    for _ in range(2):
        assert (await stranger(town, "alice").unlock()).status == 200
    await guesses(town, "alice", 1)
    told = [(each["succeeded"], each["failed"]) for each in await events(alice, "unlocker")]
    assert told == [(False, 1), (True, 2), (True, 0)]


async def test_what_nothing_followed_is_told_when_the_hour_is_over(town: Town) -> None:
    (alice,) = await town.people("alice")
    for user_id in ("alice", "nobody"):
        await guesses(town, user_id, 3)
    town.clock.now += LIMITS.told_each_ms - 1
    await tell_overdue(town.backend)
    assert len(await events(alice, "unlocker")) == 1
    town.clock.now += 1
    for _ in range(2):
        await tell_overdue(town.backend)
    assert [each["failed"] for each in await events(alice, "unlocker")] == [1, 2]
    assert [row for row in await rows(town) if row[:2] == ("account_events", "nobody")] == []


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
    changed = changes.change_unlockers(at, alice.made.device, held, town.clock())
    assert (await alice.ask("POST", GENERATE, posted(alice, changed))).status == 200
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
    own = posted(alice, reset(alice, before=second.record).version)
    town.clock.now = refused.body["lapsesAt"] - 1
    assert (await alice.ask("POST", GENERATE, own)).code == "reset_pending"
    town.clock.now += 1
    waits = await alice.ask("POST", GENERATE, own)
    assert waits.body["waitsUntil"] == town.clock.now + 72 * HOUR
    assert len(await events(alice, "reset")) == 2


async def test_a_reset_that_lapsed_waits_anew(town: Town) -> None:
    (alice,) = await town.people("alice")
    body = posted(alice, reset(alice).version)
    first = await alice.ask("POST", GENERATE, body)
    town.clock.now = first.body["waitsUntil"] + 72 * HOUR
    again = await alice.ask("POST", GENERATE, body)
    assert again.body["waitsUntil"] == town.clock.now + 72 * HOUR
    assert [each["dueAt"] for each in await events(alice, "reset")] == [
        first.body["waitsUntil"],
        again.body["waitsUntil"],
    ]
    town.clock.now = again.body["waitsUntil"] + 72 * HOUR - 1
    assert (await alice.ask("POST", GENERATE, body)).body == {"success": True, "keyId": body["keyId"]}
