from __future__ import annotations

import inspect
import os
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, get_type_hints

import httpx2
import msgspec
import pytest

from client.answering import Answer, Answering, body_of
from tacit import errors
from tacit.api.accounts import StoreOuter
from tacit.api.auth import ServerInfo
from tacit.api.problems import to_problem
from tacit.api.sync import Sync
from tacit.client import transport
from tacit.client.tls import NO_TLS
from tacit.client.transport import EncryptionAPIClient
from tacit.crypto.digest import sha256
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.identity.keys import SigningKey
from tacit.server.app import HANDLERS
from tacit.signed.account import device_id_of
from tacit.signed.record import DAY
from tacit.signed.request import SocketChallenge, read_signature, verify_challenge, verify_request
from tacit.wire.text import from_base64

NOW = 1_800_000_000_000
KEY = Ed25519Key.from_seed(Secret(bytes(32)))
INFO = {
    "name": "127.0.0.1",
    "authority": "127.0.0.1:8080",
    "version": "1",
    "incarnation": "first",
    "time": NOW,
    "limits": {},
    "profiles": ["standard"],
}
SYNCED = {"account": {"cursor": 0, "more": False, "events": []}, "conversations": {}}
LOST = httpx2.ConnectError("gone")


class Waited:
    """Counts what was waited for and waits not at all."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def ok(request: httpx2.Request) -> Answer:
    match request.url.path:
        case "/api/server":
            return 200, INFO
        case "/api/auth/session" | "/api/auth/register" | "/api/auth/unlock" if request.method == "POST":
            return 200, {"token": "a token", "expiresAt": NOW, "deviceId": device_id_of("alice", KEY.public)}
        case "/api/auth/unlocker":
            return 200, {"unlockerId": "u", "parameters": ""}
        case "/api/sync":
            return 200, SYNCED
    return 200, {"success": True}


def problem(error: errors.TacitError) -> Answer:
    return error.status, to_problem(error)


def client_on(
    answer: Callable[[httpx2.Request], Answer], sleep: Waited | None = None, url: str = "http://127.0.0.1:8080"
) -> tuple[EncryptionAPIClient, Answering]:
    wire = Answering(answer)
    made = EncryptionAPIClient(
        url, server_name=None, clock=lambda: NOW, random=os.urandom, sleep=sleep or Waited(), transport=wire
    )
    return made, wire


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:99/", "http://127.8.8.8", "HTTP://LOCALHOST:1"]
)
def test_loopback_is_taken(url: str) -> None:
    client_on(ok, url=url)


def test_what_is_signed_is_the_same_however_a_url_is_written() -> None:
    for url in ("http://localhost", "HTTP://LocalHost:80/"):
        client, _ = client_on(ok, url=url)
        assert (client.origin, client.authority, client.server_name) == ("http://localhost", "localhost", "localhost")


@pytest.mark.parametrize(
    "url",
    [
        "http://chat.example.org",
        "http://10.0.0.1",
        "http://localhost.example.org",
        "http://0.0.0.0:8080",
        "http://[::2]",
    ],
)
def test_nothing_but_loopback_is_taken_without_tls(url: str) -> None:
    with pytest.raises(errors.NotLoopback):
        client_on(ok, url=url)


def test_where_there_is_no_tls_no_authorities_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """That took longer than all else that a client does at its start."""
    read: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda self, *_, **__: read.append(self))
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda self, *_: read.append(self))
    EncryptionAPIClient("http://127.0.0.1:8080", server_name=None, clock=lambda: NOW, random=os.urandom, sleep=Waited())
    assert read == []
    assert NO_TLS.verify_mode == ssl.CERT_REQUIRED
    assert NO_TLS.get_ca_certs() == []


@pytest.mark.parametrize(
    ("addresses", "taken"),
    [
        (["127.0.0.1"], True),
        (["::1", "127.0.0.1"], True),
        (["fe80::1%lo"], False),
        (["127.0.0.1", "192.0.2.7"], False),
        (["192.0.2.7"], False),
        ([], False),
        (None, False),
    ],
)
def test_localhost_is_not_taken_on_its_word(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str] | None, taken: bool
) -> None:
    def resolve(host: str, port: None) -> list[tuple[object, ...]]:
        assert host == "localhost"
        if addresses is None:
            raise socket.gaierror
        return [(0, 0, 0, "", (each, 0)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with nullcontext() if taken else pytest.raises(errors.NotLoopback):
        client_on(ok, url="http://localhost:8080")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1",
        "127.0.0.1:8080",
        "",
        "http://",
        "http://127.0.0.1/path",
        "http://127.0.0.1?a=b",
        "http://me:secret@127.0.0.1",
        "http://127.0.0.1:port",
    ],
)
def test_what_is_no_servers_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        client_on(ok, url=url)
    assert "secret" not in str(caught.value)


async def test_the_servers_word_is_not_proposed_where_its_name_is_another() -> None:
    client, _ = client_on(lambda request: (200, INFO | {"name": "evil.example.org"}))
    with pytest.raises(errors.ServerNameMismatch) as caught:
        await client.get_server()
    assert "evil" not in str(caught.value)
    named = EncryptionAPIClient(
        "http://127.0.0.1:8080",
        server_name="chat.example.org",
        clock=lambda: NOW,
        random=os.urandom,
        sleep=Waited(),
        transport=Answering(ok),
    )
    with pytest.raises(errors.ServerNameMismatch):
        await named.get_server()


async def test_every_request_but_one_is_signed_over_what_is_sent() -> None:
    client, wire = client_on(ok)
    await client.get_server()
    await client.post_auth_session("alice", KEY)
    await client.post_sync(Sync(0, {"c": 1}))
    with pytest.raises(errors.UnexpectedAnswer):
        await client.get_messages_encrypted("a&b=c/ü", 5)
    unsigned, *signed = wire.requests
    assert "signature" not in unsigned.headers
    assert len(signed) == 3
    nonces = set()
    for request in signed:
        read = read_signature(request.headers.items())
        path, _, query = request.url.raw_path.decode().partition("?")
        verify_request(
            read,
            request.method,
            "127.0.0.1:8080",
            path,
            query,
            request.content,
            public=KEY.public,
            now=NOW // 1000,
        )
        assert read.key_id == device_id_of("alice", KEY.public)
        nonces.add(read.nonce)
    assert len(nonces) == 3
    assert "authorization" not in signed[0].headers
    assert signed[1].headers["authorization"] == "Bearer a token"
    assert signed[2].url.params["conversationId"] == "a&b=c/ü"


async def test_nothing_is_signed_before_there_is_a_key() -> None:
    client, wire = client_on(ok)
    with pytest.raises(errors.NotSignedIn):
        await client.post_sync(Sync(0, {}))
    with pytest.raises(errors.NotSignedIn):
        client.answer_challenge(bytes(32))
    with pytest.raises(errors.NotSignedIn):
        await client.renew()
    assert wire.requests == []


async def test_a_lost_request_is_sent_again_after_a_growing_wait() -> None:
    answers: list[Answer] = [LOST, (503, b"busy"), (200, INFO)]
    waited = Waited()
    client, wire = client_on(lambda request: answers.pop(0), waited)
    await client.get_server()
    assert len(wire.requests) == 3
    assert len(waited.seconds) == 2
    assert 0 <= waited.seconds[0] < 0.25
    assert 0 <= waited.seconds[1] < 0.5


async def test_who_asks_too_often_waits_as_it_is_told_whatever_it_asked() -> None:
    refused = [errors.TooManyRequests(retryAfter=7), errors.TooManyRequests(retryAfter=10**6)]
    waited = Waited()

    def answer(request: httpx2.Request) -> Answer:
        return problem(refused.pop(0)) if refused and "private" in request.url.path else ok(request)

    client, wire = client_on(answer, waited)
    await client.post_auth_session("alice", KEY)
    with pytest.raises(errors.UnexpectedAnswer):  # the answer of the third request, which was taken
        await client.post_encryption_keys_private(StoreOuter("alice", "00" * 32, "AA=="))
    assert len(wire.requests) == 4
    nonces = {request.headers["signature-input"] for request in wire.requests}
    assert len(nonces) == 4
    assert [int(each) for each in waited.seconds] == [7, 60]


async def test_a_server_without_room_is_waited_for_as_it_says() -> None:
    answers: list[Answer] = [problem(errors.TooManyConnections()), problem(errors.RequestTimeout()), (200, INFO)]
    waited = Waited()
    client, wire = client_on(lambda request: answers.pop(0), waited)
    wire.headers["retry-after"] = "5"
    await client.get_server()
    assert [int(each) for each in waited.seconds] == [5, 5]


async def test_a_server_that_always_finds_it_too_often_is_left() -> None:
    waited = Waited()
    client, wire = client_on(lambda request: problem(errors.TooManyRequests(retryAfter=1)), waited)
    with pytest.raises(errors.TooManyRequests):
        await client.get_server()
    assert len(wire.requests) == transport.ATTEMPTS
    assert len(waited.seconds) == transport.ATTEMPTS - 1


async def test_too_many_proofs_are_for_the_person_to_wait_for() -> None:
    waited = Waited()
    client, wire = client_on(lambda request: problem(errors.TooManyAttempts(retryAfter=1)), waited)
    with pytest.raises(errors.TooManyAttempts):
        await client.get_server()
    assert (len(wire.requests), waited.seconds) == (1, [])


async def test_a_server_that_is_not_there_is_given_up() -> None:
    waited = Waited()
    client, wire = client_on(lambda request: LOST, waited)
    with pytest.raises(errors.Unreachable):
        await client.get_server()
    assert len(wire.requests) == transport.ATTEMPTS
    assert len(waited.seconds) == transport.ATTEMPTS - 1


async def test_a_write_that_could_count_twice_is_sent_once() -> None:
    client, wire = client_on(lambda request: LOST if "private" in request.url.path else ok(request))
    await client.post_auth_session("alice", KEY)
    with pytest.raises(errors.Unreachable):
        await client.post_encryption_keys_private(StoreOuter("alice", "00" * 32, "AA=="))
    assert [request.url.path for request in wire.requests].count("/api/encryption/keys/private") == 1


async def test_a_wrong_clock_is_put_right_for_requests_and_told_once() -> None:
    server_time = NOW + 3_600_000

    def answer(request: httpx2.Request) -> Answer:
        created = read_signature(request.headers.items()).created
        return ok(request) if abs(created - server_time // 1000) < 60 else problem(errors.ClockSkew(time=server_time))

    client, wire = client_on(answer)
    await client.post_auth_session("alice", KEY)
    assert len(wire.requests) == 2
    await client.post_sync(Sync(0, {}))
    assert len(wire.requests) == 3


async def test_a_server_that_is_never_content_with_the_clock_is_left() -> None:
    client, wire = client_on(lambda request: problem(errors.ClockSkew(time=NOW + len(wire.requests) * 10**6)))
    with pytest.raises(errors.ClockSkew):
        await client.post_auth_session("alice", KEY)
    assert len(wire.requests) == 2


@pytest.mark.parametrize(
    "time", [NOW + DAY + 1, NOW - DAY - 1, -1, -(10**15), 2**53 - 1, 10**400, True, 1.5, "soon", None]
)
async def test_no_request_is_signed_for_a_day_that_is_not_near(time: object) -> None:
    away = True

    def answer(request: httpx2.Request) -> Answer:
        return problem(errors.ClockSkew(time=time)) if away else ok(request)

    client, wire = client_on(answer)
    with pytest.raises((errors.ClockSkew, errors.UnexpectedAnswer)):  # or it is not even JSON as the protocol has it
        await client.post_auth_session("alice", KEY)
    assert len(wire.requests) == 1
    away = False
    await client.post_auth_session("alice", KEY)
    created = [read_signature(request.headers.items()).created for request in wire.requests]
    assert created == [NOW // 1000] * 2


async def test_a_clock_by_which_nothing_was_taken_is_forgotten() -> None:
    served = [problem(errors.ClockSkew(time=NOW + DAY)), problem(errors.NotFound())]
    client, wire = client_on(lambda request: served.pop(0) if served else ok(request))
    with pytest.raises(errors.NotFound):
        await client.post_auth_session("alice", KEY)
    await client.post_auth_session("alice", KEY)
    created = [read_signature(request.headers.items()).created - NOW // 1000 for request in wire.requests]
    assert created == [0, DAY // 1000, 0]


async def test_an_ended_session_is_opened_again_and_the_request_repeated() -> None:
    ended = ["a token"]

    def answer(request: httpx2.Request) -> Answer:
        if request.url.path == "/api/sync" and ended:
            ended.pop()
            return problem(errors.SessionExpired())
        return ok(request)

    client, wire = client_on(answer)
    await client.post_auth_session("alice", KEY)
    await client.post_sync(Sync(0, {}))
    paths = [request.url.path for request in wire.requests]
    assert paths == ["/api/auth/session", "/api/sync", "/api/auth/session", "/api/sync"]


async def test_a_device_that_is_wanted_no_more_is_told_so() -> None:
    refused = False

    def answer(request: httpx2.Request) -> Answer:
        if not refused:
            return ok(request)
        return problem(errors.SignInRefused() if "auth" in request.url.path else errors.SessionExpired())

    client, _ = client_on(answer)
    await client.post_auth_session("alice", KEY)
    refused = True
    with pytest.raises(errors.SignInRefused):
        await client.post_sync(Sync(0, {}))


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"not json"),
        (200, {"name": "127.0.0.1"}),
        (200, INFO | {"more": 1}),
        (200, INFO | {"time": "soon"}),
        (404, b"<html>"),
        (302, b""),
        (500, {"code": "no such code"}),
        (500, {"detail": 1}),
        (500, [1]),
    ],
)
async def test_an_answer_of_another_kind_is_unexpected(answer: Answer) -> None:
    client, _ = client_on(lambda request: answer)
    with pytest.raises(errors.UnexpectedAnswer):
        await client.get_server()


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ANSWER_BYTES", 1000)
    whole = msgspec.json.encode(INFO)
    client, _ = client_on(lambda request: (200, whole + b" " * (1000 - len(whole))))
    assert (await client.get_server()).name == "127.0.0.1"
    client, _ = client_on(lambda request: (200, whole + b" " * (1001 - len(whole))))
    with pytest.raises(errors.UnexpectedAnswer):
        await client.get_server()


async def test_a_problem_is_its_error_with_its_facts() -> None:
    client, _ = client_on(lambda request: problem(errors.EpochConflict("too late", epoch=7)))
    with pytest.raises(errors.EpochConflict) as caught:
        await client.get_server()
    assert caught.value.facts["epoch"] == 7


async def test_the_challenge_is_signed_over_origin_session_and_nonce() -> None:
    client, wire = client_on(ok)
    await client.post_auth_session("alice", KEY)
    nonce = os.urandom(32)
    hello = client.answer_challenge(nonce)
    expected = SocketChallenge("http://127.0.0.1:8080", sha256(b"a token"), client.device_id, nonce)
    verify_challenge(expected, from_base64(hello.signature), KEY.public)
    assert body_of(wire.requests[0])["userId"] == "alice"
    assert client.incarnation == "first"


async def test_signing_out_ends_the_session_once() -> None:
    client, wire = client_on(ok)
    await client.post_auth_session("alice", KEY)
    await client.delete_auth_session()
    await client.delete_auth_session()
    assert [request.method for request in wire.requests] == ["POST", "DELETE"]
    await client.close()


async def test_a_new_device_unlocks_with_its_own_key_and_no_session() -> None:
    client, wire = client_on(ok)
    await client.post_auth_session("alice", KEY)
    new = Ed25519Key.from_seed(Secret(bytes([1]) * 32))
    assert (await client.post_auth_unlocker("alice", new, "password")).unlocker_id == "u"
    assert client.token == ""
    await client.post_auth_unlock("alice", new, "u", Secret(bytes(32)))
    assert (client.token, client.device_id) == ("a token", device_id_of("alice", new.public))
    for request in wire.requests[-2:]:
        assert "authorization" not in request.headers
        verify_request(
            read_signature(list(request.headers.items())),
            "POST",
            "127.0.0.1:8080",
            request.url.path,
            "",
            request.content,
            public=new.public,
            now=NOW // 1000,
        )
    with pytest.raises(errors.WrongLength):
        await client.post_auth_unlock("alice", new, "u", Secret(bytes(31)))


async def test_a_proof_is_not_shown_again_by_itself() -> None:
    waited = Waited()
    client, _ = client_on(lambda request: LOST, waited)
    with pytest.raises(errors.Unreachable):
        await client.post_auth_unlock("alice", KEY, "u", Secret(bytes(32)))
    assert waited.seconds == []


# --- a method an endpoint ---------------------------------------------------------------

ENDPOINTS = sorted(
    (str(getattr(method, "value", method)), re.sub(r"\{[^}]*\}", "{id}", path))
    for handler in HANDLERS
    for path in handler.paths
    for method in getattr(handler, "http_methods", ())  # the WebSocket has none
    if path.startswith("/api/")  # what else there is, is for the operator
)
"""What the server serves to clients over HTTP."""
VERBS = ("get_", "post_", "put_", "patch_", "delete_")
ARGUMENTS = {str: "an/id", int: 7, Sequence[str]: ["an/id"], SigningKey: KEY, Secret: Secret(bytes(32))}
"""Something of each type that a method takes; for a body any object does."""


def name_of(method: str, path: str) -> str:
    """The rule: HTTP method and path after `/api`, without parameters, but for one at the end, which is `one`."""
    *segments, last = path.removeprefix("/api/").split("/")
    kept = [each for each in segments if each != "{id}"] + ["one" if last == "{id}" else last]
    return "_".join([method.lower(), *kept]).replace("-", "_")


def test_the_name_of_an_endpoint_is_its_method_and_path() -> None:
    assert name_of("GET", "/api/server") == "get_server"
    assert name_of("POST", "/api/encryption/keys/generate") == "post_encryption_keys_generate"
    assert name_of("POST", "/api/conversations/{id}/leave") == "post_conversations_leave"
    assert name_of("DELETE", "/api/key-packages/{id}") == "delete_key_packages_one"


def test_each_endpoint_has_one_method_named_as_it() -> None:
    """For a new endpoint, write the method that this says is missing."""
    methods = [name for name in vars(EncryptionAPIClient) if name.startswith(VERBS)]
    assert sorted(methods) == sorted(name_of(*endpoint) for endpoint in ENDPOINTS)


@pytest.mark.parametrize(("method", "path"), ENDPOINTS, ids=lambda value: value)
async def test_each_method_asks_the_endpoint_that_it_is_named_after(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    asked: list[tuple[str, str]] = []

    class Anything:
        def __getattr__(self, name: str) -> str:
            return name

    async def record(self: EncryptionAPIClient, method: str, path: str, *args: Any, **options: Any) -> Any:
        asked.append((method, path))
        return msgspec.convert(INFO, ServerInfo) if args[0] is ServerInfo else Anything()

    monkeypatch.setattr(EncryptionAPIClient, "_request", record)
    client, _ = client_on(ok)
    client.token = "a token"
    call = getattr(client, name_of(method, path))
    hints = get_type_hints(call, vars(transport))
    required = [each for each in inspect.signature(call).parameters.values() if each.default is each.empty]
    await call(*(ARGUMENTS.get(hints[each.name], object()) for each in required))
    assert asked == [(method, path.replace("{id}", "an%2Fid"))]
