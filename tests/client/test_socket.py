"""The WebSocket against a server that says what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, cast

import httpx2
import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from client.answering import Answer, Answering
from tacit import errors
from tacit.api.messages import EncryptedPayload, Item
from tacit.api.problems import to_problem
from tacit.api.sync import AccountPush
from tacit.client.socket import Socket, read_frame
from tacit.client.sync import Notifier, Syncer
from tacit.client.transport import ATTEMPTS, EncryptionAPIClient
from tacit.crypto.digest import sha256
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.signed.account import device_id_of
from tacit.signed.request import SocketChallenge, verify_challenge
from tacit.wire import limits
from tacit.wire.text import from_base64, to_base64

KEY = Ed25519Key.from_seed(Secret(bytes(32)))
NONCE = bytes(range(32))
PAYLOAD = EncryptedPayload(1, "AA==", "AA==", "", "00", "00", 1, "alice", "00", "00", 0, "a message", 1, "00", "AA==")
RECORD = {
    "kind": "record",
    "seq": 7,
    "createdAt": 0,
    "epoch": 1,
    "keyId": "00",
    "protocol": "envelope",
    "record": "",
    "signature": "",
    "encryptedKeys": [],
}

Talk = Callable[[ServerConnection], Awaitable[None]]


class Recorder:
    """In the syncer's place: notes what the socket asks of it."""

    def __init__(self) -> None:
        self.news = Notifier()
        self.calls: list[str] = []
        self.settled = 0
        self.called = asyncio.Event()
        self.fails: Exception | None = None

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.called.set()

    async def pull(self) -> None:
        self._note("pull")

    async def settle(self) -> None:
        self.settled += 1

    async def take_push(self, conversation_id: str, item: Item) -> None:
        self._note(f"{conversation_id}:{item.seq}")
        if self.fails is not None:
            raise self.fails

    async def until(self, count: int) -> None:
        """Wait for that many calls."""
        while len(self.calls) < count:
            self.called.clear()
            await asyncio.wait_for(self.called.wait(), 60)


class Stage:
    """A scripted server, and a client's socket on it."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.waits: list[float] = []
        self.hellos: list[dict[str, Any]] = []
        self.recorder = Recorder()
        self.renewals: list[Answer] = []
        self.crowded = 0
        self.socket: Socket
        self.origin = ""

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    def _answer(self, request: httpx2.Request) -> Answer:
        if self.renewals:
            return self.renewals.pop(0)
        return 200, {"token": "a token", "expiresAt": 0, "deviceId": device_id_of("alice", KEY.public)}

    async def open(self, *talks: Talk) -> Socket:
        """Start; the connections are talked to in this order, and the last one again for any more."""
        waiting = list(talks)

        async def handler(connection: ServerConnection) -> None:
            talk = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            with suppress(ConnectionClosed):
                await talk(connection)

        def crowd(connection: ServerConnection, _: Request) -> Response | None:
            if not self.crowded:
                return None
            self.crowded -= 1
            refusal = connection.respond(503, "")
            refusal.headers["Retry-After"] = "9"
            return refusal

        serving = serve(handler, "127.0.0.1", 0, compression=None, process_request=crowd)
        server = await self._stack.enter_async_context(serving)
        port = next(iter(server.sockets)).getsockname()[1]
        self.origin = f"http://127.0.0.1:{port}"
        client = EncryptionAPIClient(
            self.origin,
            server_name=None,
            clock=lambda: 1_800_000_000_000,
            random=os.urandom,
            sleep=self._wait,
            transport=Answering(self._answer),
        )
        await client.post_auth_session("alice", KEY)
        self.socket = Socket(client, cast(Syncer, self.recorder), self.recorder.settle, os.urandom, self._wait)
        self._stack.push_async_callback(self.socket.stop)
        self.socket.start()
        return self.socket

    async def greet(self, connection: ServerConnection) -> None:
        """Challenge, hello, welcome."""
        await say(connection, {"type": "challenge", "nonce": to_base64(NONCE)})
        self.hellos.append(msgspec.json.decode(await connection.recv()))
        await say(connection, {"type": "welcome", "incarnation": "first"})

    async def listen(self, connection: ServerConnection) -> None:
        """Greet, and then only listen."""
        await self.greet(connection)
        await connection.wait_closed()


async def say(connection: ServerConnection, frame: dict[str, Any]) -> None:
    await connection.send(msgspec.json.encode(frame).decode())


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        yield Stage(stack)


async def test_the_challenge_is_answered_by_the_devices_key(stage: Stage) -> None:
    socket = await stage.open(stage.listen)
    await stage.recorder.until(1)
    assert socket.connected
    (hello,) = stage.hellos
    device_id = device_id_of("alice", KEY.public)
    assert (hello["type"], hello["token"], hello["deviceId"]) == ("hello", "a token", device_id)
    challenge = SocketChallenge(stage.origin, sha256(b"a token"), device_id, NONCE)
    verify_challenge(challenge, from_base64(hello["signature"]), KEY.public)


async def test_what_was_missed_is_fetched_before_pushes_are_taken(stage: Stage) -> None:
    async def talk(connection: ServerConnection) -> None:
        await stage.greet(connection)
        await say(connection, {"type": "item", "conversationId": "c", "item": RECORD})
        await say(connection, {"type": "account", "cursor": 3})
        await connection.wait_closed()

    await stage.open(talk)
    await stage.recorder.until(3)
    assert stage.recorder.calls == ["pull", "c:7", "pull"]


async def test_whoever_is_behind_fetches(stage: Stage) -> None:
    async def talk(connection: ServerConnection) -> None:
        await stage.greet(connection)
        await say(connection, {"type": "behind"})
        await connection.wait_closed()

    await stage.open(talk)
    await stage.recorder.until(2)
    assert stage.recorder.calls == ["pull", "pull"]


async def test_a_message_is_sent_and_answered(stage: Stage) -> None:
    async def talk(connection: ServerConnection) -> None:
        await stage.greet(connection)
        async for raw in connection:
            frame = msgspec.json.decode(raw)
            assert (frame["type"], frame["conversationId"]) == ("send", "c")
            assert frame["encryptedPayload"]["clientMessageId"] == "a message"
            await say(connection, {"type": "sent", "id": "of nobody", "seq": 1, "createdAt": 1})
            await say(connection, {"type": "sent", "id": frame["id"], "seq": 5, "createdAt": 6})

    socket = await stage.open(talk)
    assert await socket.send("c", PAYLOAD) is None  # not open yet
    await stage.recorder.until(1)
    assert await socket.send("c", PAYLOAD) == (5, 6)


async def test_a_refusal_on_the_socket_is_its_error(stage: Stage) -> None:
    async def talk(connection: ServerConnection) -> None:
        await stage.greet(connection)
        async for raw in connection:
            number = msgspec.json.decode(raw)["id"]
            await say(connection, {"type": "problem", "id": number, "problem": to_problem(errors.EpochClosed())})

    socket = await stage.open(talk)
    await stage.recorder.until(1)
    with pytest.raises(errors.EpochClosed):
        await socket.send("c", PAYLOAD)


async def test_a_message_that_is_one_too_many_is_sent_again_when_the_server_says(stage: Stage) -> None:
    sent = 0

    async def talk(connection: ServerConnection) -> None:
        nonlocal sent
        await stage.greet(connection)
        async for raw in connection:
            sent += 1
            number = msgspec.json.decode(raw)["id"]
            refused = to_problem(errors.TooManyRequests(retryAfter=sent))
            taken = {"type": "sent", "id": number, "seq": 5, "createdAt": 6}
            await say(connection, taken if sent == 3 else {"type": "problem", "id": number, "problem": refused})

    socket = await stage.open(talk)
    await stage.recorder.until(1)
    assert await socket.send("c", PAYLOAD) == (5, 6)
    assert [int(each) for each in stage.waits] == [1, 2]
    with pytest.raises(errors.TooManyRequests):
        await socket.send("c", PAYLOAD)
    assert sent == 3 + ATTEMPTS


async def test_a_server_without_room_is_come_back_to_when_it_says(stage: Stage) -> None:
    stage.crowded = 2
    socket = await stage.open(stage.listen)
    await stage.recorder.until(1)
    assert [int(each) for each in stage.waits] == [9, 9]
    assert socket.connected


async def test_an_answer_that_is_lost_with_its_connection_is_no_answer(stage: Stage) -> None:
    async def talk(connection: ServerConnection) -> None:
        await stage.greet(connection)
        await connection.recv()
        await connection.close()

    socket = await stage.open(talk, stage.listen)
    await stage.recorder.until(1)
    assert await socket.send("c", PAYLOAD) is None
    await stage.recorder.until(2)
    assert socket.connected
    while stage.recorder.settled < 2:
        await asyncio.sleep(0)


@pytest.mark.parametrize("by_itself", [True, False])
async def test_a_connection_that_takes_nothing_any_more_is_given_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, by_itself: bool
) -> None:
    """No ping would find out: it waits behind what cannot be written. Nor where whoever sends has no patience."""
    monkeypatch.setattr("tacit.client.socket.ANSWER_SECONDS", 0.2 if by_itself else 1000)
    monkeypatch.setattr("tacit.client.socket.PING_SECONDS", 0.2)
    large = msgspec.structs.replace(PAYLOAD, encrypted_text="A" * 16 * limits.MIB)

    async def deaf(connection: ServerConnection) -> None:
        await stage.greet(connection)
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    over = asyncio.Event()
    socket = await stage.open(deaf, stage.listen)
    await stage.recorder.until(1)
    if by_itself:
        async with asyncio.timeout(30):
            assert await socket.send("c", large) is None
    else:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.send("c", large), 0.2)
    async with asyncio.timeout(20):  # before the server's own pings find out
        await stage.recorder.until(2)
    over.set()
    assert socket.connected


@pytest.mark.parametrize(
    "frames",
    [
        [{"type": "welcome", "incarnation": "x"}],
        [{"type": "challenge", "nonce": "?"}],
        [{"type": "challenge", "nonce": to_base64(NONCE)}, {"type": "challenge", "nonce": to_base64(NONCE)}],
        [{"type": "challenge", "nonce": to_base64(NONCE)}, {"type": "welcome", "incarnation": "x"}, {"type": "what"}],
        [{"type": "challenge", "nonce": to_base64(NONCE)}, {"type": "problem", "id": "", "problem": {}}],
    ],
)
async def test_a_connection_that_breaks_or_babbles_is_opened_again_after_a_growing_wait(
    stage: Stage, frames: list[dict[str, Any]]
) -> None:
    async def babble(connection: ServerConnection) -> None:
        for frame in frames:
            await say(connection, frame)
        await connection.wait_closed()

    async def listen(connection: ServerConnection) -> None:
        await stage.listen(connection)

    socket = await stage.open(babble, babble, babble, listen)
    while not stage.hellos:
        await stage.recorder.until(len(stage.recorder.calls) + 1)
        await asyncio.sleep(0)
    assert len(stage.waits) == 3
    assert all(0 <= each < 30 for each in stage.waits)
    assert socket.connected


async def test_an_ended_session_is_renewed_before_coming_again(stage: Stage) -> None:
    async def refuse(connection: ServerConnection) -> None:
        await say(connection, {"type": "challenge", "nonce": to_base64(NONCE)})
        await connection.recv()
        await say(connection, {"type": "problem", "id": "", "problem": to_problem(errors.SessionExpired())})

    stage.renewals = [
        (200, {"token": token, "expiresAt": 0, "deviceId": device_id_of("alice", KEY.public)})
        for token in ("first", "second")
    ]
    await stage.open(refuse, stage.listen)
    await stage.recorder.until(1)
    assert [hello["token"] for hello in stage.hellos] == ["second"]


async def test_a_device_that_is_wanted_no_more_ends_the_waiting(stage: Stage) -> None:
    async def refuse(connection: ServerConnection) -> None:
        await say(connection, {"type": "challenge", "nonce": to_base64(NONCE)})
        await connection.recv()
        await say(connection, {"type": "problem", "id": "", "problem": to_problem(errors.SessionExpired())})

    refused = errors.SignInRefused()
    session = {"token": "a token", "expiresAt": 0, "deviceId": device_id_of("alice", KEY.public)}
    stage.renewals = [(200, session), (refused.status, to_problem(refused))]
    event = stage.recorder.news.event()
    await stage.open(refuse)
    await asyncio.wait_for(event.wait(), 60)
    assert isinstance(stage.recorder.news.failure, errors.SignInRefused)
    assert stage.waits == []


async def test_a_failure_that_nobody_expected_ends_the_waiting(stage: Stage) -> None:
    async def talk(connection: ServerConnection) -> None:
        await stage.greet(connection)
        await say(connection, {"type": "item", "conversationId": "c", "item": RECORD})
        await connection.wait_closed()

    stage.recorder.fails = ZeroDivisionError()
    event = stage.recorder.news.event()
    socket = await stage.open(talk)
    await asyncio.wait_for(event.wait(), 60)
    assert stage.recorder.news.failure is stage.recorder.fails
    await socket.stop()
    assert not socket.connected


@pytest.mark.parametrize("number", [2**53, 2**70, -1])
def test_a_frame_with_a_number_that_is_none_of_the_protocols_is_refused(number: int) -> None:
    for frame in (
        {"type": "item", "conversationId": "c", "item": {**RECORD, "seq": number}},
        {"type": "item", "conversationId": "c", "item": {**RECORD, "createdAt": number}},
        {"type": "sent", "id": "", "seq": 1, "createdAt": number},
        {"type": "account", "cursor": number},
    ):
        with pytest.raises(errors.UnexpectedAnswer):
            read_frame(json.dumps(frame))
    assert read_frame(json.dumps({"type": "account", "cursor": 2**53 - 1})) == AccountPush(2**53 - 1)
