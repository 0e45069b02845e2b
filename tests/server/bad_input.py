"""Bad requests: what is posted by whom, and the code that it gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from server.people import KEYS, MESSAGES, Person, Talk, Town
from tacit.signed.grant import SignedGrant, sign_grant
from tacit.signed.record import Opener
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, to_base64

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


def opener(scene: Scene) -> Opener:
    assert scene.talk.state is not None
    return scene.talk.state.head.opener


def to_another_record(scene: Scene) -> Body:
    """The next epoch, in which the first grant is wrapped to another account record."""
    body = epoch(scene)
    signed = decode(SignedGrant, from_base64(body["encryptedKeys"][0]["encryptedKey"]))
    bent = sign_grant(dataclasses.replace(signed.grant, account_hash=bytes(32)), scene.alice.key.sign)
    return with_grant(body, encryptedKey=to_base64(encode(bent)))


def stranger(scene: Scene) -> Talk:
    """The conversation as somebody thinks of it who is not in it."""
    talk = Talk(scene.alice, scene.bob, scene.mallory)
    talk.state = scene.talk.state
    return talk


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
    Case("below zero", "alice", SYNC, lambda _: {"accountCursor": -1, "conversations": {}}, "malformed_json", 400),
    Case("2^53", "alice", SYNC, lambda _: {"accountCursor": 1 << 53, "conversations": {}}, "malformed_json", 400),
    Case("many values", "alice", SYNC, lambda _: [0] * limits.REQUEST_VALUES, "malformed_json", 400),
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
    Case(
        "another device's record",
        "alice",
        KEYS,
        lambda scene: scene.talk.next(
            scene.alice, keep=False, opener=dataclasses.replace(opener(scene), device_id=scene.bob.device_id)
        ),
        "field_mismatch",
        422,
    ),
    Case(
        "grants under another account record",
        "alice",
        KEYS,
        lambda scene: scene.talk.next(
            scene.alice, keep=False, opener=dataclasses.replace(opener(scene), account_hash=bytes(32))
        ),
        "invalid_grant",
        422,
    ),
    Case(
        "a record of no conversation",
        "alice",
        KEYS,
        lambda scene: scene.talk.next(scene.alice, keep=False, conversation_id="none"),
        "not_a_member",
        404,
    ),
    Case(
        "a grant to another account record",
        "alice",
        KEYS,
        to_another_record,
        "invalid_grant",
        422,
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
