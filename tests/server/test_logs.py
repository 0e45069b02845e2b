"""The log says how requests were answered, and nothing of who asked for what."""

from __future__ import annotations

import io
import json
import logging
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from server.listening import served
from server.logged import logged
from server.people import MESSAGES, Clock, Person, Talk, Town, seeded
from server.test_serve import running, url_in
from server.test_socket import PATH, frame, line, sending
from tacit.cli.needles import Needle, search
from tacit.crypto.server import hash_token
from tacit.server import logs, messages
from tacit.server.app import HANDLERS, open_backend, routes
from tacit.server.config import Config, listen
from tacit.server.events import (
    LIVE,
    OTHER,
    READY,
    BatchWritten,
    CertificateRead,
    ConnectionCut,
    Event,
    Events,
    Failed,
    FrameAnswered,
    RequestAnswered,
    SocketEnded,
    Started,
    Stopped,
    Stopping,
    failed,
)
from tacit.server.serve import unhandled
from tacit.wire.text import from_base64

PASTED = "hunter2-hunter2"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a server logs with all that it has to say."""
    root, ours = logging.getLogger(), logging.getLogger(logs.OURS)
    before = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    stream = io.StringIO()
    logs.set_up(stream, "json", "info")
    yield stream
    root.handlers[:], logging.raiseExceptions = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(each) for each in stream.getvalue().splitlines()]


def formatted(form: str, record: logging.LogRecord) -> str:
    return logs.Lines(form).format(record)


def of(event: Event, caplog: pytest.LogCaptureFixture) -> logging.LogRecord | None:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        logs.write(event)
    return caplog.records[0] if caplog.records else None


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (Started("a chat", "x:80", "1.0"), "info", 'started name="a chat" authority=x:80 version=1.0'),
        (Started("a", "x", "1", "x:9"), "info", "started name=a authority=x version=1 metrics=x:9"),
        (Stopping(), "info", "stopping how=gracefully"),
        (Stopping(at_once=True), "info", 'stopping how="at once"'),
        (Stopped(), "info", "stopped"),
        (CertificateRead("sha256/A"), "info", "certificate pin=sha256/A"),
        (CertificateRead("sha256/A", "a.pem: no"), "error", 'certificate pin=sha256/A problem="a.pem: no"'),
        (
            RequestAnswered("ab", "GET", "/api/x/{id}", 200, "", 0.00123),
            "info",
            "request method=GET route=/api/x/{id} status=200 ms=1.2 id=ab",
        ),
        (
            RequestAnswered("ab", "GET", OTHER, 404, "not_found", 0.5),
            "info",
            "request method=GET route=other status=404 code=not_found ms=500.0 id=ab",
        ),
        (FrameAnswered("too_large", 0.5), "info", "frame code=too_large ms=500.0"),
        (SocketEnded("left", 1), "info", "socket outcome=left ms=1000"),
        (
            Failed("KeyError", ("a.py:1 f", "b.py:2 g"), "ab"),
            "error",
            'failed error=KeyError where="b.py:2 g < a.py:1 f" id=ab',
        ),
    ],
)
def test_each_event_is_a_line(event: Event, level: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    record = of(event, caplog)
    assert record is not None
    time, shown, rest = formatted("text", record).split(" ", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert (shown, rest) == (level, text)
    parsed = json.loads(formatted("json", record))
    assert (parsed.pop("time"), parsed.pop("level"), parsed.pop("event")) == (time, level, text.split(" ")[0])
    assert set(parsed) == set(re.findall(r"(\w+)=", text))


@pytest.mark.parametrize(
    "event",
    [
        FrameAnswered("", 0.5),
        BatchWritten(1, 0.5, True),
        ConnectionCut("stalled"),
        RequestAnswered("ab", "GET", LIVE, 200, "", 0.5),
        RequestAnswered("ab", "GET", READY, 200, "", 0.5),
    ],
)
def test_what_happens_all_the_time_is_not_logged(event: Event, caplog: pytest.LogCaptureFixture) -> None:
    assert of(event, caplog) is None


def test_a_server_that_is_not_ready_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert of(RequestAnswered("ab", "GET", READY, 503, "", 0.5), caplog) is not None


def test_a_value_cannot_begin_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    record = of(Started('x"\n2026 info forged', "x", "1"), caplog)
    assert record is not None
    for form in logs.FORMATS:
        assert formatted(form, record).count("\n") == 0


@pytest.mark.parametrize("form", logs.FORMATS)
def test_what_another_library_logs_is_shown_without_what_it_logs(form: str) -> None:
    try:
        raise ValueError(PASTED)
    except ValueError:
        record = logging.LogRecord(
            "asyncio", logging.ERROR, "x.py", 1, f"%s broke\n{PASTED}", (PASTED,), sys.exc_info()
        )
    text = formatted(form, record)
    assert PASTED not in text
    for said in ("asyncio", "%s broke", "ValueError", "test_what_another_library_logs"):
        assert said in text


def test_an_exception_is_told_by_its_class_and_its_places() -> None:
    def inner() -> None:
        raise KeyError(PASTED)

    try:
        inner()
    except KeyError as error:
        told = failed(error, "ab")
    assert (told.error, told.request_id, len(told.where)) == ("KeyError", "ab", 2)
    assert re.fullmatch(r"server/test_logs.py:\d+ inner", told.where[1])
    assert unhandled({"message": PASTED}) == Failed("unhandled")
    assert unhandled({"message": PASTED, "exception": ValueError(PASTED)}) == Failed("ValueError")


def test_the_servers_own_files_are_told_by_their_place_in_the_package() -> None:
    try:
        Config("x", 1, Path("y")).check_profile(None)  # type: ignore[arg-type]
    except Exception as error:
        told = failed(error)
    assert any(each.startswith("tacit/server/config.py:") for each in told.where)


def test_every_route_is_found_and_what_a_client_makes_up_is_other() -> None:
    found = routes()
    for handler in HANDLERS:
        for path in handler.paths:
            for method in getattr(handler, "http_methods", ()):
                name = str(getattr(method, "value", method))
                template = path.replace(":str}", "}")
                assert found.find(name, path.replace("{conversation_id:str}", PASTED)) == (name, template)
    assert found.find("BREW", "/api/server") == (OTHER, "/api/server")
    assert found.find("GET", f"/api/{PASTED}") == (OTHER, OTHER)
    assert found.find("POST", "/api/conversations//leave") == (OTHER, OTHER)
    assert found.find("POST", f"/api/conversations/{PASTED}/leave/more") == (OTHER, OTHER)


async def test_a_request_is_told_once_with_its_answers_id(town: Town) -> None:
    told: list[Event] = []
    events = Events((told.append,), stopwatch=iter((1.0, 1.5)).__next__, new_id=lambda: "ab")
    object.__setattr__(town.backend, "events", events)
    fresh = Town(town.backend, town.clock)
    answer = await fresh.ask("GET", f"/api/conversations?x={PASTED}")
    assert (answer.status, answer.headers["tacit-request-id"]) == (401, "ab")
    assert told == [RequestAnswered("ab", "GET", "/api/conversations", 401, "request_unsigned", 0.5)]
    await fresh.http.aclose()


async def test_what_fails_in_a_socket_is_told_and_answered(
    town: Town, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(PASTED)

    caplog.set_level(logging.INFO, logs.OURS)
    with listen(Config("127.0.0.1", 0, town.backend.config.database)) as listening:
        async with served(town.backend, listening), line(alice, listening.getsockname()[1]) as connection:
            monkeypatch.setattr(messages, "insert", fail)
            await connection.send(sending(talk, talk.payload(alice)))
            answer = await frame(connection)
    assert (answer["id"], answer["problem"]["code"], answer["problem"]["detail"]) == ("1", "internal", "")
    assert logged(caplog) == [("failed", "RuntimeError"), ("frame", "internal"), ("socket", "left")]
    assert PASTED not in caplog.text


async def test_nothing_of_who_talks_to_whom_and_no_secret_is_in_the_log(written: io.StringIO, tmp_path: Path) -> None:
    config = Config("127.0.0.1", 8080, tmp_path / "chat.db")
    backend = await open_backend(config, Clock(), seeded("server"))
    town = Town(backend, backend.clock)  # type: ignore[arg-type]
    one, two = await town.people("the first person", "the second person")
    talk = await Talk.opened(one, two)
    payload = talk.payload(one, "what nobody else may read")
    token = one.token
    await one.ask("POST", MESSAGES, {"conversationId": talk.id, "encryptedPayload": payload})
    await two.ask("GET", f"{MESSAGES}?conversationId={talk.id}&after=0")
    await two.ask("GET", f"{MESSAGES}?conversationId={PASTED}")
    await two.ask("GET", f"/api/{PASTED}")
    await one.unlock()
    proof = one.proof()["proof"]
    await Person(town, "the second person").unlock(proof=proof)
    one.token = token
    with listen(Config("127.0.0.1", 0, tmp_path / "unused.db")) as listening:
        async with served(backend, listening):
            port = listening.getsockname()[1]
            async with line(one, port) as connection:
                for number in range(2):
                    bent = payload if number else payload | {"senderId": "the second person"}
                    await connection.send(sending(talk, bent, str(number)))
                    await frame(connection)
            async with connect(f"ws://127.0.0.1:{port}{PATH}?token={PASTED}", proxy=None) as connection:
                await frame(connection)
                await connection.send(PASTED)
                await frame(connection)
    await one.ask("POST", f"/api/conversations/{talk.id}/grant-requests", {"keyId": PASTED})
    await town.http.aclose()
    await backend.store.close()
    log = written.getvalue()
    assert {each["event"] for each in lines(written)} == {"request", "frame", "socket"}
    assert {each["code"] for each in lines(written) if "code" in each} >= {"not_a_member", "user_mismatch"}
    needles = [
        Needle("user", b"the first person"),
        Needle("user", b"the second person"),
        Needle("device", one.device_id.encode()),
        Needle("conversation", talk.id.encode()),
        Needle("token", token.encode()),
        Needle("token's hash", hash_token(token).encode()),
        Needle("request key", one.key.public),
        Needle("proof", from_base64(proof)),
        Needle("ciphertext", from_base64(payload["encryptedText"])),
        Needle("client message id", b"hunter2-"),
        Needle("text", b"what nobody else may read"),
    ]
    assert search([("log", log.encode())], needles) == []
    assert search([("log", log.encode())], [Needle("canary", b"/api/messages/encrypted")]) != []


def test_a_process_logs_each_request_as_json(tmp_path: Path) -> None:
    with running(tmp_path / "chat.db", "--log-format", "json") as (process, started):
        url = url_in(started)
        headers = {"Authorization": f"Bearer {PASTED}", "Signature": PASTED, "X-Request-Id": PASTED}
        answer = httpx2.get(f"{url}/api/server?secret={PASTED}", headers=headers)
        httpx2.get(f"{url}/api/{PASTED}", headers=headers)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    found = [json.loads(each) for each in err.splitlines()]
    assert [each["event"] for each in found] == ["started", "request", "request", "stopping", "stopped"]
    assert (found[1]["route"], found[1]["status"], found[1]["id"]) == (
        "/api/server",
        200,
        answer.headers["tacit-request-id"],
    )
    assert (found[2]["route"], found[2]["code"]) == (OTHER, "request_signature_invalid")
    assert PASTED not in err
