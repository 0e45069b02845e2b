from __future__ import annotations

import re
from typing import Any

import pytest
from litestar import HttpMethod

from server.people import AUTHORITY, Person, Talk, Town, rows
from tacit.server.app import HANDLERS, application
from tacit.server.gate import NONCE_MS, OPENING, OPENING_BYTES, UNSIGNED
from tacit.server.store import nonces
from tacit.signed.account import device_id_of
from tacit.signed.request import LIFETIME
from tacit.wire import limits
from tacit.wire.codec import encode
from tacit.wire.text import to_base64, to_json

ROUTES = sorted(
    (str(method.value if isinstance(method, HttpMethod) else method), path)
    for handler in HANDLERS
    for path in handler.paths
    for method in getattr(handler, "http_methods", ())
    if method != "OPTIONS"
)
SIGNED = [route for route in ROUTES if route not in UNSIGNED]


def test_the_eight_endpoints_are_there_by_their_names() -> None:
    assert {
        ("POST", "/api/encryption/keys/generate"),
        ("GET", "/api/encryption/keys/public"),
        ("POST", "/api/encryption/keys/private"),
        ("GET", "/api/encryption/keys/private"),
        ("POST", "/api/encryption/conversation/keys"),
        ("GET", "/api/encryption/conversation/keys"),
        ("POST", "/api/encryption/conversation/members"),
        ("DELETE", "/api/encryption/conversation/members"),
        ("POST", "/api/messages/encrypted"),
        ("GET", "/api/messages/encrypted"),
    } <= set(ROUTES)


@pytest.mark.parametrize("route", SIGNED, ids=" ".join)
async def test_nothing_is_answered_without_a_signature(town: Town, route: tuple[str, str]) -> None:
    (alice,) = await town.people("alice")
    method, path = route
    target = path.replace("{conversation_id:str}", "some")
    answer = await town.ask(method, target, headers={"Authorization": f"Bearer {alice.token}"})
    assert (answer.status, answer.code) == (401, "request_unsigned")


async def valid(talk: Talk, person: Person, route: tuple[str, str]) -> tuple[str, Any]:
    """A target and a body that this route takes."""
    method, path = route
    match method, path.split("/")[2:]:
        case "POST", ["auth", "register"]:
            return path, {"userId": "nobody yet", "requestKey": to_base64(person.key.public)}
        case "POST", ["auth", "session"]:
            return path, {"userId": person.user_id, "requestKey": to_base64(person.key.public)}
        case "POST", ["auth", "unlocker"]:
            return path, person.wish(kind="password")
        case "POST", ["auth", "unlock"]:
            return path, person.wish(**person.proof())
        case "POST", ["encryption", "keys", "generate"]:
            return path, person.publication()
        case "GET", ["encryption", "keys", "public"]:
            return f"{path}?userId={person.user_id}", None
        case "POST", ["encryption", "keys", "private"]:
            return path, {
                "userId": person.user_id,
                "keyId": person.publication()["keyId"],
                "encryptedPrivateKey": to_base64(outer_of(person)),
            }
        case "POST" | "DELETE", ["encryption", "conversation", _]:
            return path, talk.posted
        case "GET", ["encryption", "conversation", "keys"] | ["messages", "encrypted"]:
            return f"{path}?conversationId={talk.id}", None
        case "POST", ["messages", "encrypted"]:
            return path, talk.message(person)
        case "POST", ["sync"]:
            return path, {"accountCursor": 0, "conversations": {talk.id: 0}}
        case "POST", ["conversations", _, "grant-requests"]:
            return path.replace("{conversation_id:str}", talk.id), {"keyId": talk.posted["keyId"]}
        case "POST", ["conversations", _, "leave"]:
            return path.replace("{conversation_id:str}", talk.id), {"leave": to_base64(encode(talk.leave(person)))}
        case "POST", ["reconcile", "conversation"]:
            held = {"kind": "message", "encryptedPayload": talk.payload(person)}
            return path, {"conversationId": talk.id, "items": [held]}
        case "POST", ["reconcile", "account"]:
            made = person.publication()
            version = {"record": made["record"], "signature": made["signature"]}
            return path, {"userId": person.user_id, "versions": [version]}
        case _:
            return path, None


def outer_of(person: Person) -> bytes:
    return encode(person.made.vault.outer)


@pytest.mark.parametrize("route", SIGNED, ids=" ".join)
async def test_each_signed_request_is_good_for_one_use(town: Town, route: tuple[str, str]) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    target, body = await valid(talk, alice, route)
    nonce = "n" * 22
    bent: dict[str, Any] = {"nonce": nonce}
    if "register" in target:
        bent["key_id"] = device_id_of("nobody yet", alice.key.public)
    first = await alice.ask(route[0], target, body, **bent)
    assert first.status == 200 or first.code == "nothing_lacking", first.body
    held = await rows(town)
    if route == ("DELETE", "/api/auth/session"):
        await alice.open("/api/auth/session")
        held = await rows(town)
    again = await alice.ask(route[0], target, body, **bent)
    assert (again.status, again.code) == (401, "request_replayed")
    assert await rows(town) == held


async def test_a_nonce_is_remembered_until_a_minute_after_its_request(town: Town) -> None:
    (alice,) = await town.people("alice")
    await alice.ask("GET", "/api/conversations", nonce="n" * 22)
    expires = town.clock() // 1000 * 1000 + 50_000

    async def known(now: int) -> int:
        await town.backend.store.write(lambda db: nonces.purge(db, now))
        count: int = (
            await town.backend.store.read(
                lambda db: db.execute("SELECT count(*) FROM nonces WHERE nonce = ?", ("n" * 22,)).fetchone()
            )
        )[0]
        return count

    assert await known(expires + NONCE_MS) == 1
    assert await known(expires + NONCE_MS + 1) == 0


async def test_a_request_is_for_the_configured_authority(town: Town) -> None:
    (alice,) = await town.people("alice")
    answer = await alice.ask("GET", "/api/conversations", authority="elsewhere:8080")
    assert (answer.status, answer.code) == (401, "request_signature_invalid")


@pytest.mark.parametrize("changed", ["method", "path", "query", "body", "digest"])
async def test_a_signature_covers_the_whole_request(town: Town, changed: str) -> None:
    (alice,) = await town.people("alice")
    method, target, content = "POST", "/api/sync?", b'{"accountCursor":0,"conversations":{}}'
    headers = alice.signature(method, target, content) | {"Authorization": f"Bearer {alice.token}"}
    match changed:
        case "method":
            method = "PUT"
        case "path":
            target = "/api/messages/encrypted?"
        case "query":
            target = "/api/sync?after=1"
        case "body":
            content = content.replace(b"0", b"1")
        case _:
            headers.pop("Content-Digest")
    answer = await town.ask(method, target, content, headers)
    assert (answer.status, answer.code) == (401, "request_signature_invalid")


async def test_a_stolen_token_is_worth_nothing_without_the_devices_key(town: Town) -> None:
    alice, mallory = await town.people("alice", "mallory")
    mallory.token = alice.token
    own_id = await mallory.ask("GET", "/api/conversations")
    hers = await mallory.ask("GET", "/api/conversations", key_id=alice.device_id)
    assert [own_id.code, hers.code] == ["request_signature_invalid"] * 2
    assert [own_id.status, hers.status] == [401, 401]


@pytest.mark.parametrize("token", ["", "0" * 64, "twice"])
async def test_without_one_session_there_is_none(town: Town, token: str) -> None:
    (alice,) = await town.people("alice")
    headers = alice.signature("GET", "/api/conversations", b"")
    if token == "twice":
        alice.token = f"{alice.token}, Bearer {alice.token}"
    elif token != alice.token:
        alice.token = token
    if alice.token:
        headers["Authorization"] = f"Bearer {alice.token}"
    answer = await town.ask("GET", "/api/conversations", b"", headers)
    assert (answer.status, answer.code) == (401, "session_expired")


async def test_a_session_ends_with_its_time(town: Town) -> None:
    (alice,) = await town.people("alice")
    town.clock.now += town.backend.config.session_ms - 1
    assert (await alice.ask("GET", "/api/conversations")).status == 200
    town.clock.now += 1
    assert (await alice.ask("GET", "/api/conversations")).code == "session_expired"


async def test_a_wrong_clock_is_told_the_servers_time(town: Town) -> None:
    (alice,) = await town.people("alice")
    headers = alice.signature("GET", "/api/conversations", b"") | {"Authorization": f"Bearer {alice.token}"}
    town.clock.now += (LIFETIME + 1) * 1000
    answer = await town.ask("GET", "/api/conversations", b"", headers)
    assert (answer.status, answer.code, answer.body["time"]) == (401, "clock_skew", town.clock() // 1000 * 1000)


async def test_a_registration_session_may_do_one_thing(town: Town) -> None:
    alice = Person(town, "alice")
    await alice.open("/api/auth/register")
    for method, path in SIGNED:
        if not path.startswith("/api/auth/") and not path.endswith("/generate"):
            target = path.replace("{conversation_id:str}", "some")
            answer = await alice.ask(method, target, {} if method == "POST" else None)
            assert (answer.status, answer.code) == (403, "session_forbidden"), path
    town.clock.now += town.backend.config.registration_ms
    late = await alice.ask("POST", "/api/encryption/keys/generate", alice.publication())
    assert late.code == "session_expired"


async def test_of_a_body_nothing_is_read_before_its_sender_is_known(town: Town) -> None:
    (alice,) = await town.people("alice")
    mallory = Person(town, "mallory")
    content = b"{}"
    for headers in ({}, mallory.signature("POST", "/api/sync", content)):
        read = 0

        async def chunks() -> Any:
            nonlocal read
            read += 1
            yield content

        sent = headers | {"Authorization": f"Bearer {alice.token}"}
        response = await town.http.post("/api/sync", content=chunks(), headers=sent)
        assert response.status_code == 401
        assert read == 0


@pytest.mark.parametrize("path", [path for _, path in sorted(OPENING)])
async def test_what_a_stranger_may_send_is_short(town: Town, path: str) -> None:
    alice = Person(town, "alice")
    body = {"userId": "alice", "requestKey": to_base64(alice.key.public)}
    long = to_json(body).encode() + b" " * OPENING_BYTES
    answer = await alice.ask("POST", path, long)
    assert (answer.status, answer.code) == (413, "too_large")


async def test_a_body_has_a_limit_that_is_checked_before_it_is_read(town: Town) -> None:
    (alice,) = await town.people("alice")
    read = 0

    async def chunks() -> Any:
        nonlocal read
        while True:
            read += 1
            yield bytes(limits.MIB)

    headers = alice.signature("POST", "/api/sync", b"something") | {"Authorization": f"Bearer {alice.token}"}
    response = await town.http.post("/api/sync", content=chunks(), headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert read == limits.BODY_BYTES // limits.MIB + 1
    headers = alice.signature("POST", "/api/sync", b"short") | {"Authorization": f"Bearer {alice.token}"}
    said = headers | {"Content-Length": str(limits.BODY_BYTES + 1)}
    answer = await town.ask("POST", "/api/sync", b"short", said)
    assert (answer.status, answer.code) == (413, "too_large")


async def test_every_answer_says_which_incarnation_it_is_of(town: Town) -> None:
    (alice,) = await town.people("alice")
    answers = [await town.ask("GET", "/api/server"), await town.ask("GET", "/nowhere")]
    answers += [await alice.ask("GET", target) for target in ("/nowhere", "/api/conversations")]
    assert [each.status for each in answers] == [200, 401, 404, 200]
    told = {each.headers["tacit-incarnation"] for each in answers}
    assert told == {town.backend.incarnation}
    assert re.fullmatch("[0-9a-f]{32}", town.backend.incarnation)


async def test_an_address_that_is_none_and_a_method_that_is_none(town: Town) -> None:
    (alice,) = await town.people("alice")
    nothing, wrong = await alice.ask("GET", "/api/nothing"), await alice.ask("PUT", "/api/sync", {})
    assert (nothing.status, nothing.code) == (404, "not_found")
    assert (wrong.status, wrong.code) == (405, "method_not_allowed")


@pytest.mark.parametrize("target", ["/", "/nothing", "/api/nothing", "/api/conversations"])
async def test_nothing_gets_by_without_a_signature(town: Town, target: str) -> None:
    answer = await town.ask("GET", target)
    assert (answer.status, answer.code) == (401, "request_unsigned")


@pytest.mark.parametrize(
    "target",
    ["/%61pi/sync", "//api/sync", "/api//sync", "/api/sync/", "/api%2fsync", "/api/s%79nc"],
)
async def test_a_path_has_one_spelling(town: Town, target: str) -> None:
    (alice,) = await town.people("alice")
    body = {"accountCursor": 0, "conversations": {}}
    answer = await alice.ask("POST", target, body)
    assert (answer.status, answer.code) == (404, "not_found")
    assert (await alice.ask("POST", "/api/sync", body)).status == 200


async def test_an_opening_request_by_another_spelling_opens_nothing(town: Town) -> None:
    (alice,) = await town.people("alice")
    held = await rows(town)
    body = {"userId": "alice", "requestKey": to_base64(alice.key.public)}
    answer = await alice.ask("POST", "/api/auth/session/", body)
    assert (answer.status, answer.code) == (404, "not_found")
    assert await rows(town) == held


async def test_what_fails_inside_says_nothing_of_why(
    town: Town, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alice,) = await town.people("alice")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(str(0x4D2))

    monkeypatch.setattr("tacit.server.conversations.conversations.standings", fail)
    answer = await alice.ask("GET", "/api/conversations")
    assert (answer.status, answer.code, answer.body["detail"]) == (500, "internal", "")
    assert "RuntimeError" in caplog.text
    assert "1234" not in caplog.text


async def test_the_server_says_what_it_is_to_anybody(town: Town) -> None:
    answer = await town.ask("GET", "/api/server")
    assert answer.status == 200
    assert (answer.body["name"], answer.body["authority"]) == ("127.0.0.1", AUTHORITY)
    assert answer.body["limits"]["bodyBytes"] == limits.BODY_BYTES


async def test_an_unknown_account_and_an_unknown_device_are_refused_alike(town: Town) -> None:
    await town.people("alice")
    stranger = Person(town, "bob")
    unknown = await stranger.open("/api/auth/session")
    stranger.user_id = "alice"
    stranger.device_id = device_id_of("alice", stranger.key.public)
    no_device = await stranger.open("/api/auth/session")
    assert (unknown.status, unknown.code) == (401, "sign_in_refused")
    assert unknown.body == no_device.body


async def test_a_session_ends_by_signing_out(town: Town) -> None:
    (alice,) = await town.people("alice")
    assert (await alice.ask("DELETE", "/api/auth/session")).status == 200
    assert (await alice.ask("GET", "/api/conversations")).code == "session_expired"


async def test_tokens_are_stored_hashed(town: Town) -> None:
    (alice,) = await town.people("alice")
    assert alice.token
    assert alice.token not in repr(await rows(town))


async def test_a_client_that_hangs_up_in_the_middle_of_its_request_is_let_go(town: Town) -> None:
    sent: list[object] = []
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> object:
        return messages.pop(0)

    async def send(message: object) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/auth/session", "headers": [], "query_string": b""}
    await application(town.backend)(scope, receive, send)
    assert sent == []
    assert messages == []
