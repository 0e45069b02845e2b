"""Each kind of bad input has its own code; nothing of it is written, and nothing of it is logged."""

from __future__ import annotations

import base64
import dataclasses
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from server.people import KEYS, MESSAGES, Person, Talk, Town, one_rsa_key, rows
from tacit.wire import limits
from tacit.wire.codec import encode
from tacit.wire.text import from_base64, to_base64, to_json

GENERATE = "/api/encryption/keys/generate"
PRIVATE = "/api/encryption/keys/private"
SYNC = "/api/sync"
Body = dict[str, Any]


class Scene(NamedTuple):
    """Two people in a conversation, one who is not in it, one who is registering."""

    town: Town
    alice: Person
    bob: Person
    mallory: Person
    newcomer: Person
    talk: Talk


@pytest.fixture
async def scene(town: Town) -> Scene:
    alice, bob, mallory = await town.people("alice", "bob", "mallory")
    newcomer = Person(town, "newcomer")
    await newcomer.open("/api/auth/register")
    return Scene(town, alice, bob, mallory, newcomer, await Talk.opened(alice, bob))


def next_outer(scene: Scene, **bent: Any) -> Body:
    alice = scene.alice
    body: Body = {
        "userId": "alice",
        "keyId": alice.publication()["keyId"],
        "encryptedPrivateKey": to_base64(encode(alice.made.vault.outer)),
    }
    return body | bent


def message(scene: Scene, **bent: Any) -> Body:
    """A message whose payload has other fields."""
    return {"conversationId": scene.talk.id, "encryptedPayload": scene.talk.payload(scene.alice) | bent}


def epoch(scene: Scene, **bent: Any) -> Body:
    """The next epoch, posted with other fields."""
    return scene.talk.next(scene.alice, keep=False) | bent


def without(body: Body, *names: str) -> Body:
    return {name: value for name, value in body.items() if name not in names}


def with_grant(body: Body, **bent: Any) -> Body:
    first, *others = body["encryptedKeys"]
    return body | {"encryptedKeys": [first | bent, *others]}


class Case(NamedTuple):
    """What is posted by whom, and the answer that it gets."""

    name: str
    who: str
    path: str
    make: Callable[[Scene], Any]
    code: str
    status: int


def uncanonical(text: str) -> str:
    """The same bytes with a stray bit or a line end, whichever this text can have."""
    if text.endswith("="):
        digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        bare = text.rstrip("=")
        return bare[:-1] + digits[digits.index(bare[-1]) + 1] + text[len(bare) :]
    return text + "\n"


CASES = [
    Case("no JSON", "alice", SYNC, lambda _: b"{", "malformed_json", 400),
    Case("no UTF-8", "alice", SYNC, lambda _: b'{"a":"\xff"}', "malformed_json", 400),
    Case("UTF-16", "alice", SYNC, lambda _: "{}".encode("utf-16"), "malformed_json", 400),
    Case("half a surrogate pair", "alice", SYNC, lambda _: b'{"a":"\\ud800"}', "malformed_json", 400),
    Case("NaN", "alice", SYNC, lambda _: b'{"accountCursor":NaN,"conversations":{}}', "malformed_json", 400),
    Case(
        "a key twice",
        "alice",
        SYNC,
        lambda _: b'{"accountCursor":0,"accountCursor":1,"conversations":{}}',
        "malformed_json",
        400,
    ),
    Case("deep", "alice", SYNC, lambda _: b"[" * 100_000, "malformed_json", 400),
    Case("an array", "alice", SYNC, lambda _: b"[]", "malformed_json", 400),
    Case("no body", "alice", SYNC, lambda _: None, "malformed_json", 400),
    Case("a field missing", "alice", SYNC, lambda _: {"accountCursor": 0}, "malformed_json", 400),
    Case(
        "a text for a number",
        "alice",
        SYNC,
        lambda _: {"accountCursor": "0", "conversations": {}},
        "malformed_json",
        400,
    ),
    Case(
        "a fraction",
        "alice",
        SYNC,
        lambda _: {"accountCursor": 0.5, "conversations": {}},
        "malformed_json",
        400,
    ),
    Case("below zero", "alice", SYNC, lambda _: {"accountCursor": -1, "conversations": {}}, "malformed", 400),
    Case("2^53", "alice", SYNC, lambda _: {"accountCursor": 1 << 53, "conversations": {}}, "malformed", 400),
    Case(
        "an unknown field",
        "alice",
        SYNC,
        lambda _: {"accountCursor": 0, "conversations": {}, "more": 1},
        "unknown_field",
        400,
    ),
    Case(
        "an id that is too long",
        "alice",
        SYNC,
        lambda _: {"accountCursor": 0, "conversations": {"x" * 256: 0}},
        "wrong_length",
        400,
    ),
    Case(
        "too many conversations",
        "alice",
        SYNC,
        lambda _: {"accountCursor": 0, "conversations": {str(each): 0 for each in range(limits.CONVERSATIONS + 1)}},
        "too_large",
        413,
    ),
    Case(
        "another's conversation",
        "mallory",
        SYNC,
        lambda scene: {"accountCursor": 0, "conversations": {scene.talk.id: 0}},
        "not_a_member",
        404,
    ),
    # Messages.
    Case(
        "base64 not canonical",
        "alice",
        MESSAGES,
        lambda scene: message(scene, signature=uncanonical(scene.talk.payload(scene.alice)["signature"])),
        "base64_not_canonical",
        400,
    ),
    Case("a short iv", "alice", MESSAGES, lambda s: message(s, iv=to_base64(bytes(11))), "wrong_length", 400),
    Case(
        "no room for a tag",
        "alice",
        MESSAGES,
        lambda scene: message(scene, encryptedText=to_base64(bytes(15))),
        "wrong_length",
        400,
    ),
    Case("a tag of its own", "alice", MESSAGES, lambda s: message(s, tag=to_base64(bytes(16))), "wrong_length", 400),
    Case(
        "too long a ciphertext",
        "alice",
        MESSAGES,
        lambda scene: message(scene, encryptedText=to_base64(bytes(limits.CIPHERTEXT_BYTES + 1))),
        "too_large",
        413,
    ),
    Case("an upper-case hash", "alice", MESSAGES, lambda s: message(s, recordHash="A" * 64), "malformed", 400),
    Case("a later version", "alice", MESSAGES, lambda s: message(s, version=2), "unknown_version", 400),
    Case(
        "a field inside the payload",
        "alice",
        MESSAGES,
        lambda scene: message(scene, text="hello"),
        "unknown_field",
        400,
    ),
    Case("a key id of no epoch", "alice", MESSAGES, lambda s: message(s, keyId="0" * 64), "key_id_mismatch", 422),
    Case("another epoch's number", "alice", MESSAGES, lambda s: message(s, epoch=2), "invalid_message", 422),
    Case("another record", "alice", MESSAGES, lambda s: message(s, recordHash="0" * 64), "invalid_message", 422),
    Case("another sender", "alice", MESSAGES, lambda s: message(s, senderId="bob"), "user_mismatch", 403),
    Case(
        "another device",
        "alice",
        MESSAGES,
        lambda scene: message(scene, deviceId=scene.bob.device_id),
        "invalid_message",
        422,
    ),
    Case(
        "a stranger's message",
        "mallory",
        MESSAGES,
        lambda scene: {
            "conversationId": scene.talk.id,
            "encryptedPayload": scene.talk.payload(scene.mallory),
        },
        "not_a_member",
        404,
    ),
    Case(
        "no such conversation",
        "alice",
        MESSAGES,
        lambda scene: message(scene) | {"conversationId": "none"},
        "not_a_member",
        404,
    ),
    Case(
        "grants that are not stored",
        "alice",
        MESSAGES,
        lambda scene: message(scene) | {"encryptedKeys": epoch(scene)["encryptedKeys"]},
        "field_mismatch",
        422,
    ),
    Case("neither one nor many", "alice", MESSAGES, lambda s: {"conversationId": s.talk.id}, "malformed_json", 400),
    Case(
        "one and many",
        "alice",
        MESSAGES,
        lambda scene: message(scene) | {"messages": []},
        "malformed_json",
        400,
    ),
    Case(
        "too many",
        "alice",
        MESSAGES,
        lambda scene: {
            "conversationId": scene.talk.id,
            "messages": [{"encryptedPayload": scene.talk.payload(scene.alice)}] * (limits.MESSAGES + 1),
        },
        "too_large",
        413,
    ),
    # Epochs.
    Case("a record that is none", "alice", KEYS, lambda s: epoch(s, record=""), "malformed", 400),
    Case(
        "bytes after the record",
        "alice",
        KEYS,
        lambda scene: epoch(scene, record=to_base64(from_base64(epoch(scene)["record"]) + b"\0")),
        "malformed",
        400,
    ),
    Case("another conversation's id", "alice", KEYS, lambda s: epoch(s, conversationId="x"), "field_mismatch", 422),
    Case("another key's id", "alice", KEYS, lambda s: epoch(s, keyId="0" * 64), "field_mismatch", 422),
    Case("other members", "alice", KEYS, lambda s: epoch(s, memberIds=["alice"]), "field_mismatch", 422),
    Case("a record without signature", "alice", KEYS, lambda s: without(epoch(s), "signature"), "malformed_json", 400),
    Case("a forged signature", "alice", KEYS, lambda s: epoch(s, signature=to_base64(bytes(64))), "bad_signature", 422),
    Case("another opener", "bob", KEYS, epoch, "user_mismatch", 403),
    Case(
        "a plain member's removal",
        "bob",
        KEYS,
        lambda scene: scene.talk.next(scene.bob, scene.talk.removal(scene.alice), keep=False),
        "invalid_record",
        422,
    ),
    Case(
        "a record by a stranger",
        "mallory",
        KEYS,
        lambda scene: Talk.next(stranger(scene), scene.mallory, keep=False),
        "not_a_member",
        404,
    ),
    Case(
        "an account that is not known",
        "alice",
        KEYS,
        lambda scene: scene.talk.next(
            scene.alice, dataclasses.replace(scene.bob.place(), account_version=2, account_hash=bytes(32)), keep=False
        ),
        "record_pending",
        409,
    ),
    Case("a grant too few", "alice", KEYS, lambda s: epoch(s, encryptedKeys=[]), "invalid_grant", 422),
    Case(
        "a grant for two",
        "alice",
        KEYS,
        lambda scene: epoch(scene, encryptedKeys=[epoch(scene)["encryptedKeys"][0]] * 2),
        "invalid_grant",
        422,
    ),
    Case("a grant to another", "alice", KEYS, lambda s: with_grant(epoch(s), userId="carol"), "field_mismatch", 422),
    Case(
        "another epoch's grants",
        "alice",
        KEYS,
        lambda scene: epoch(scene, encryptedKeys=scene.talk.posted["encryptedKeys"]),
        "invalid_grant",
        422,
    ),
    Case(
        "too many grants",
        "alice",
        KEYS,
        lambda scene: epoch(scene, encryptedKeys=epoch(scene)["encryptedKeys"] * limits.GRANTS),
        "too_large",
        413,
    ),
    Case(
        "a grant for no epoch",
        "alice",
        KEYS,
        lambda scene: without(epoch(scene), "record", "signature"),
        "key_id_mismatch",
        422,
    ),
    # Accounts.
    Case("another user's account", "alice", GENERATE, lambda s: s.bob.publication(), "user_mismatch", 403),
    Case(
        "another's record",
        "alice",
        GENERATE,
        lambda scene: scene.bob.publication(userId="alice"),
        "field_mismatch",
        422,
    ),
    Case(
        "another record's hash",
        "newcomer",
        GENERATE,
        lambda scene: scene.newcomer.publication(keyId="0" * 64),
        "field_mismatch",
        422,
    ),
    Case(
        "other public keys",
        "newcomer",
        GENERATE,
        lambda scene: scene.newcomer.publication(publicKey=scene.bob.publication()["publicKey"]),
        "field_mismatch",
        422,
    ),
    Case(
        "signatures of another account",
        "newcomer",
        GENERATE,
        lambda scene: scene.newcomer.publication(signature=scene.bob.publication()["signature"]),
        "bad_signature",
        422,
    ),
    Case(
        "another's vault",
        "newcomer",
        GENERATE,
        lambda scene: scene.newcomer.publication(encryptedPrivateKey=scene.bob.publication()["encryptedPrivateKey"]),
        "invalid_vault",
        422,
    ),
    Case(
        "a record that follows nothing",
        "newcomer",
        GENERATE,
        lambda scene: scene.newcomer.publication(record=dataclasses.replace(scene.newcomer.record, version=2)),
        "session_forbidden",
        403,
    ),
    Case(
        "a record that was never made known",
        "alice",
        GENERATE,
        lambda scene: scene.alice.publication(record=dataclasses.replace(scene.alice.record, version=3)),
        "version_conflict",
        409,
    ),
    Case(
        "another first record",
        "alice",
        GENERATE,
        lambda scene: scene.alice.publication(record=dataclasses.replace(scene.alice.record, archive_key_id=bytes(32))),
        "account_exists",
        409,
    ),
    Case(
        "another server's account",
        "newcomer",
        GENERATE,
        lambda scene: scene.newcomer.publication(
            record=dataclasses.replace(scene.newcomer.record, server_name="elsewhere")
        ),
        "server_name_mismatch",
        421,
    ),
    Case(
        "an outer part under no account version",
        "alice",
        PRIVATE,
        lambda scene: next_outer(scene, keyId="0" * 64),
        "version_conflict",
        409,
    ),
    Case(
        "an outer part by another device",
        "bob",
        PRIVATE,
        lambda scene: next_outer(scene, userId="bob"),
        "invalid_vault",
        422,
    ),
    Case("another user's outer part", "bob", PRIVATE, next_outer, "user_mismatch", 403),
    Case(
        "another's leave",
        "bob",
        "/api/conversations/ID/leave",
        lambda scene: {"leave": to_base64(encode(scene.talk.leave(scene.alice)))},
        "user_mismatch",
        403,
    ),
    Case(
        "a leave of an earlier stay",
        "bob",
        "/api/conversations/ID/leave",
        lambda scene: {"leave": to_base64(encode(scene.talk.leave(scene.bob, adding_record_hash=bytes(32))))},
        "invalid_record",
        422,
    ),
    Case(
        "a leave of nobody's conversation",
        "mallory",
        "/api/conversations/ID/leave",
        lambda scene: {
            "leave": to_base64(
                encode(scene.talk.leave(scene.bob, user_id="mallory", device_id=scene.mallory.device_id))
            )
        },
        "not_a_member",
        404,
    ),
]


def stranger(scene: Scene) -> Talk:
    """The conversation as somebody thinks of it who is not in it."""
    talk = Talk(scene.alice, scene.bob, scene.mallory)
    talk.state = scene.talk.state
    return talk


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_input_is_refused_by_its_own_code(scene: Scene, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    person: Person = getattr(scene, case.who)
    body = case.make(scene)
    before = await rows(scene.town)
    with caplog.at_level(logging.DEBUG):
        answer = await person.ask("POST", case.path.replace("ID", scene.talk.id), body)
    assert (answer.code, answer.status) == (case.code, case.status), answer.body
    assert answer.body["type"] == f"tacit:{case.code}"
    assert answer.body["status"] == case.status
    assert answer.body["remedy"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert await rows(scene.town) == before
    assert "tacit" not in {record.name.partition(".")[0] for record in caplog.records}


def bare_key() -> bytes:
    return bytes(range(32))


def secret_keys() -> dict[str, Any]:
    """A secret key in each form in which one may be sent by mistake."""
    key = Ed25519PrivateKey.from_private_bytes(bare_key())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    ssh = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    number = base64.urlsafe_b64encode(bare_key()).decode().rstrip("=")
    jwk = {"kty": "OKP", "crv": "Ed25519", "d": number, "x": number}
    return {
        "PEM": pem.decode(),
        "PEM in base64": to_base64(pem),
        "encrypted PEM": locked.decode(),
        "OpenSSH": ssh.decode(),
        "PKCS#8": to_base64(der),
        "PKCS#8 of RSA": to_base64(one_rsa_key().private.reveal()),
        "JWK": jwk,
        "JWK as text": to_json(jwk),
        "JWK in base64": to_base64(to_json(jwk).encode()),
        "32 bytes": to_base64(bare_key()),
        "32 bytes in base64url": base64.urlsafe_b64encode(bytes([251]) * 32).decode(),
        "64 bytes": to_base64(bare_key() * 2),
        "32 bytes in hex": bare_key().hex(),
        "64 bytes in hex": (bare_key() * 2).hex(),
    }


FIELDS: dict[str, tuple[str, str, Callable[[Scene, Any], Body]]] = {
    "publicKey": ("newcomer", GENERATE, lambda scene, key: scene.newcomer.publication(publicKey=key)),
    "encryptedPrivateKey": (
        "newcomer",
        GENERATE,
        lambda scene, key: scene.newcomer.publication(encryptedPrivateKey=key),
    ),
    "encryptedPrivateKey (outer)": (
        "alice",
        PRIVATE,
        lambda scene, key: next_outer(scene, encryptedPrivateKey=key),
    ),
    "encryptedKeys": ("alice", KEYS, lambda scene, key: with_grant(epoch(scene), encryptedKey=key)),
    "encryptedKeys of a message": (
        "alice",
        MESSAGES,
        lambda scene, key: message(scene) | {"encryptedKeys": [{"userId": "bob", "encryptedKey": key}]},
    ),
}


@pytest.mark.parametrize("form", secret_keys())
@pytest.mark.parametrize("field", FIELDS)
async def test_a_secret_key_in_a_key_field_is_refused_by_name(
    scene: Scene, field: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    who, path, make = FIELDS[field]
    person: Person = getattr(scene, who)
    before = await rows(scene.town)
    with caplog.at_level(logging.DEBUG):
        answer = await person.ask("POST", path, make(scene, secret_keys()[form]))
    assert (answer.code, answer.status) == ("secret_key_refused", 422), answer.body
    assert answer.body["detail"] == ""
    assert await rows(scene.town) == before
    assert "tacit" not in {record.name.partition(".")[0] for record in caplog.records}


@pytest.mark.parametrize("form", sorted(set(secret_keys()) - {"32 bytes"}))
async def test_a_secret_key_in_the_place_of_a_request_key_is_refused(town: Town, form: str) -> None:
    # A bare seed of 32 bytes cannot be told from a public key; the signature does not verify under it.
    alice = Person(town, "alice")
    answer = await alice.ask("POST", "/api/auth/register", {"userId": "alice", "requestKey": secret_keys()[form]})
    expected = ("request_signature_invalid", 401) if form == "32 bytes" else ("secret_key_refused", 422)
    assert (answer.code, answer.status) == expected


@pytest.mark.parametrize("value", [bytes(32), bytes(64), b""])
@pytest.mark.parametrize("place", ["wrapped_aik", "wrapped_outer_key", "unlockers"])
async def test_a_vault_in_which_a_key_stands_bare_is_refused(scene: Scene, place: str, value: bytes) -> None:
    vault = scene.newcomer.made.vault
    inner = vault.inner
    if place == "unlockers":
        first, *others = inner.unlockers
        inner = dataclasses.replace(inner, unlockers=(dataclasses.replace(first, wrapped_amk=value), *others))
    elif place == "wrapped_aik":
        inner = dataclasses.replace(inner, wrapped_aik=value)
    else:
        inner = dataclasses.replace(inner, wrapped_outer_key=value)
    bent = to_base64(encode(dataclasses.replace(vault, inner=inner)))
    answer = await scene.newcomer.ask("POST", GENERATE, scene.newcomer.publication(encryptedPrivateKey=bent))
    assert (answer.code, answer.status) == ("secret_key_refused", 422)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/api/messages/encrypted", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&conversationId=ID", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&after=-1", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&after=x", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&after=99999999999999999", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&limit=0", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&limit=501", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&more=1", "unknown_field"),
        ("/api/messages/encrypted?conversationId=none", "not_a_member"),
        ("/api/encryption/conversation/keys?conversationId=none", "not_a_member"),
        ("/api/encryption/conversation/keys?conversationId=", "wrong_length"),
        ("/api/encryption/keys/public", "malformed"),
        ("/api/encryption/keys/public?userId=nobody", "no_such_account"),
        ("/api/encryption/keys/public?" + "&".join(["userId=bob"] * (limits.USERS + 1)), "too_large"),
        ("/api/encryption/keys/private?userId=bob", "unknown_field"),
        ("/api/conversations?userId=bob", "unknown_field"),
    ],
)
async def test_a_bad_query_is_refused_by_its_own_code(scene: Scene, target: str, code: str) -> None:
    answer = await scene.alice.ask("GET", target.replace("ID", scene.talk.id))
    assert answer.code == code, answer.body


async def test_a_secret_key_as_text_in_a_message_is_only_a_message(scene: Scene) -> None:
    # What people write is nobody's business: only key fields are looked into.
    answer = await scene.alice.ask("POST", MESSAGES, scene.talk.message(scene.alice, str(secret_keys()["PEM"])))
    assert answer.status == 200
