from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from server.people import AUTHORITY, KEYS, MESSAGES, Person, Talk, Town
from server.test_accounts import GENERATE, revocation, with_second_device
from tacit.crypto.digest import sha256
from tacit.server import push
from tacit.server import talk as handler
from tacit.server.push import Line
from tacit.server.store.sessions import OF_A_DEVICE
from tacit.signed.request import SocketChallenge, sign_challenge
from tacit.wire import limits
from tacit.wire.text import from_base64, to_base64

PATH = "/api/sync/socket"


async def frame(connection: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(connection.recv(), 60))


def hello(person: Person, nonce: str, **bent: Any) -> dict[str, Any]:
    """A good answer to a challenge, with other values."""
    origin = bent.pop("origin", f"http://{AUTHORITY}")
    key = bent.pop("key", person.key)
    session = sha256(person.token.encode())
    challenge = SocketChallenge(origin, session, person.device_id, from_base64(nonce))
    return {
        "type": "hello",
        "token": person.token,
        "deviceId": person.device_id,
        "signature": to_base64(sign_challenge(challenge, key.sign)),
        **bent,
    }


@asynccontextmanager
async def line(person: Person, port: int) -> AsyncIterator[ClientConnection]:
    """An open connection."""
    async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None) as connection:
        challenge = await frame(connection)
        await connection.send(json.dumps(hello(person, challenge["nonce"])))
        assert await frame(connection) == {"type": "welcome", "incarnation": person.town.backend.incarnation}
        yield connection


def sending(talk: Talk, payload: dict[str, Any], number: str = "1") -> str:
    return json.dumps({"type": "send", "id": number, "conversationId": talk.id, "encryptedPayload": payload})


async def test_messages_go_in_and_come_out(town: Town, port: int) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    payload = talk.payload(alice)
    async with line(alice, port) as hers, line(bob, port) as his:
        await hers.send(sending(talk, payload))
        assert await frame(hers) == {"type": "sent", "id": "1", "seq": 2, "createdAt": town.clock()}
        expected = {"kind": "message", "seq": 2, "createdAt": town.clock(), "encryptedPayload": payload}
        for connection in (hers, his):
            assert await frame(connection) == {"type": "item", "conversationId": talk.id, "item": expected}
        await hers.send(sending(talk, payload, "again"))
        assert (await frame(hers))["seq"] == 2
        answer = await bob.ask("POST", MESSAGES, talk.message(bob))
        assert answer.body["seq"] == 3
        assert (await frame(his))["item"]["seq"] == 3


async def test_records_are_pushed_with_ones_own_grant_and_the_removed_are_told(town: Town, port: int) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    async with line(alice, port) as hers, line(bob, port) as his:
        await alice.ask("POST", KEYS, talk.next(alice))
        pushed = (await frame(his))["item"]
        assert (pushed["kind"], pushed["seq"], pushed["record"]) == ("record", 2, talk.posted["record"])
        assert [each["userId"] for each in pushed["encryptedKeys"]] == ["bob"]
        assert await frame(his) == {"type": "account", "cursor": 3}
        await alice.ask("POST", KEYS, talk.next(alice, talk.removal(bob)))
        assert await frame(his) == {"type": "account", "cursor": 4}
        assert [(await frame(hers))["type"] for _ in range(4)] == ["item", "account", "item", "account"]


@pytest.mark.parametrize(
    ("bent", "code"),
    [
        ({"token": "0" * 64}, "session_expired"),
        ({"deviceId": "0" * 64}, "bad_signature"),
        ({"signature": to_base64(bytes(64))}, "bad_signature"),
        ({"signature": "x"}, "base64_not_canonical"),
        ({"origin": "http://elsewhere:8080"}, "bad_signature"),
        ({"more": 1}, "unknown_field"),
        ({"type": "send"}, "unknown_field"),
    ],
)
async def test_a_challenge_is_answered_by_the_sessions_device_or_not_at_all(
    town: Town, port: int, bent: dict[str, Any], code: str
) -> None:
    (alice,) = await town.people("alice")
    async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None) as connection:
        challenge = await frame(connection)
        await connection.send(json.dumps(hello(alice, challenge["nonce"], **bent)))
        answer = await frame(connection)
        assert (answer["type"], answer["problem"]["code"]) == ("problem", code)
        with pytest.raises(ConnectionClosed):
            await connection.recv()


async def test_a_challenge_is_good_for_one_connection(town: Town, port: int) -> None:
    (alice,) = await town.people("alice")
    async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None) as first:
        heard = hello(alice, (await frame(first))["nonce"])
    async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None) as second:
        await frame(second)
        await second.send(json.dumps(heard))
        assert (await frame(second))["problem"]["code"] == "bad_signature"


async def test_a_send_before_the_hello_and_a_registration_session_are_refused(town: Town, port: int) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None) as connection:
        await frame(connection)
        await connection.send(sending(talk, talk.payload(alice)))
        assert (await frame(connection))["problem"]["code"] == "malformed_json"
    carol = Person(town, "carol")
    await carol.open("/api/auth/register")
    async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None) as connection:
        challenge = await frame(connection)
        await connection.send(json.dumps(hello(carol, challenge["nonce"])))
        assert (await frame(connection))["problem"]["code"] == "session_forbidden"


async def test_who_says_nothing_is_hung_up_on(town: Town, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "HELLO_SECONDS", 0.01)
    async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None) as connection:
        await frame(connection)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(connection.recv(), 60)


async def test_a_bad_frame_gets_its_code_and_the_line_stays_open(town: Town, port: int) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    async with line(alice, port) as connection:
        for bad, code in (
            ("{", "malformed_json"),
            ("null", "malformed_json"),
            ('{"type":"nothing"}', "malformed_json"),
            (json.dumps(hello(alice, to_base64(bytes(32)))), "malformed_json"),
        ):
            await connection.send(bad)
            answer = await frame(connection)
            assert (answer["id"], answer["problem"]["code"]) == ("", code)
        await connection.send(sending(talk, talk.payload(bob)))
        refused = await frame(connection)
        assert (refused["id"], refused["problem"]["code"]) == ("1", "user_mismatch")
        await connection.send(sending(talk, talk.payload(alice)))
        assert (await frame(connection))["type"] == "sent"


async def test_a_frame_has_a_limit(town: Town, port: int) -> None:
    (alice,) = await town.people("alice")
    async with line(alice, port) as connection:
        await connection.send("x" * (limits.FRAME_BYTES + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(connection.recv(), 60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_nothing_is_deflated(town: Town, port: int) -> None:
    (alice,) = await town.people("alice")
    async with line(alice, port) as connection:
        assert connection.protocol.extensions == []


async def test_signing_out_closes_the_sessions_lines(town: Town, port: int) -> None:
    (alice,) = await town.people("alice")
    async with line(alice, port) as connection:
        await alice.ask("DELETE", "/api/auth/session")
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(connection.recv(), 60)


@pytest.mark.parametrize("last", ["sign-in", "password"])
async def test_a_session_that_a_further_one_ends_closes_its_lines(town: Town, port: int, last: str) -> None:
    (alice,) = await town.people("alice")
    async with line(alice, port) as oldest:
        lines = town.backend.hub._lines["alice"]
        for number in range(OF_A_DEVICE, 0, -1):
            assert not any(each.closed for each in lines)
            town.clock.now += 1
            if number == 1 and last == "password":
                await alice.unlock()
            else:
                await alice.open("/api/auth/session")
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await frame(oldest)  # it is told of the password
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012


async def test_revoking_a_device_closes_its_lines(town: Town, port: int) -> None:
    (alice,) = await town.people("alice")
    tablet, second = with_second_device(alice)
    await alice.ask("POST", GENERATE, second)
    await tablet.open("/api/auth/session")
    async with line(tablet, port) as connection, line(alice, port) as hers:
        assert (await alice.ask("POST", GENERATE, revocation(alice, tablet, second))).status == 200
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(connection.recv(), 60)
        assert await frame(hers) == {"type": "account", "cursor": 3}


async def test_a_session_that_ends_closes_its_lines(town: Town, port: int) -> None:
    (alice,) = await town.people("alice")
    town.clock.now += town.backend.config.session_ms - 10
    async with line(alice, port) as connection:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(connection.recv(), 60)


async def test_an_ended_session_sends_nothing_on_a_line_that_is_still_open(
    town: Town, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    async with line(alice, port) as connection:
        monkeypatch.setattr(push.Hub, "close", lambda *_, **__: None)
        await alice.ask("DELETE", "/api/auth/session")
        await connection.send(sending(talk, talk.payload(alice)))
        assert (await frame(connection))["problem"]["code"] == "session_expired"


async def test_many_sends_at_once_are_answered_in_their_order(
    town: Town, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "UNDER_WAY", 2)
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    async with line(alice, port) as connection:
        for number in range(20):
            await connection.send(sending(talk, talk.payload(alice, id=str(number)), str(number)))
        answers = [await frame(connection) for _ in range(40)]
    sent = [(each["id"], each["seq"]) for each in answers if each["type"] == "sent"]
    assert sent == [(str(number), number + 2) for number in range(20)]


async def test_a_send_to_a_store_that_closes_is_refused_and_the_line_goes_on(
    town: Town, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    async with line(alice, port) as connection:
        with monkeypatch.context() as patch:
            patch.setattr(town.backend.store, "_closing", True)
            await connection.send(sending(talk, talk.payload(alice)))
            assert (await frame(connection))["problem"]["code"] == "internal"
        await connection.send(sending(talk, talk.payload(alice)))
        assert (await frame(connection))["type"] == "sent"


class Paper:
    """What a line writes to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.ended = False

    def write(self, frames: bytes) -> None:
        self.written.append(frames)

    def hang_up(self) -> None:
        self.ended = True


def line_of(device: str = "device") -> tuple[Line, Paper]:
    paper = Paper()
    return Line("alice", device, "token", paper), paper


async def test_one_device_has_so_many_lines() -> None:
    hub = push.Hub()
    lines = [line_of()[0] for _ in range(push.OF_A_DEVICE + 1)]
    other, _ = line_of("another")
    for each in (other, *lines):
        hub.add(each)
    assert [each.closed for each in (other, *lines)] == [False, True] + [False] * push.OF_A_DEVICE


async def test_one_account_has_so_many_lines() -> None:
    hub = push.Hub()
    lines = [line_of(str(number))[0] for number in range(push.OF_AN_ACCOUNT + 2)]
    for each in lines:
        hub.add(each)
    assert [each.closed for each in lines] == [True, True] + [False] * push.OF_AN_ACCOUNT


async def test_what_comes_in_one_turn_of_the_loop_is_written_at_once_and_answers_first() -> None:
    line, paper = line_of()
    line.push(b"one ")
    line.answer(b"two ")
    line.push(b"three")
    assert not paper.written
    await asyncio.sleep(0)
    assert paper.written == [b"two one three"]


async def test_a_slow_reader_is_told_once_that_it_is_behind_and_nothing_is_kept_for_it() -> None:
    slow, paper = line_of()
    slow.pause()
    for _ in range(100):
        slow.push(bytes(push.BACKLOG_BYTES // 8))
        assert slow._waiting <= push.BACKLOG_BYTES
    slow.answer(b"answer")
    await asyncio.sleep(0)
    assert not paper.written
    slow.resume()
    assert paper.written == [b"answer" + push.BEHIND]
    slow.push(b"next")
    await asyncio.sleep(0)
    assert paper.written[1:] == [b"next"]


async def test_a_slow_reader_gets_its_answers_before_the_line_leaves() -> None:
    slow, paper = line_of()
    slow.pause()
    slow.answer(b"answer")
    slow.leave()
    assert not paper.ended
    slow.resume()
    assert (paper.written, paper.ended) == ([b"answer"], True)


async def test_a_reader_that_is_slow_for_a_moment_misses_nothing() -> None:
    slow, paper = line_of()
    for number in range(10):
        slow.pause()
        slow.push(bytes(push.BACKLOG_BYTES))
        slow.resume()
        assert len(paper.written[number]) == push.BACKLOG_BYTES
    assert not slow.closed


async def test_whoever_does_not_read_is_told_that_it_is_behind_and_delays_nobody(town: Town, port: int) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    async with line(alice, port) as hers, line(bob, port) as his:
        his.transport.pause_reading()
        (slow,) = town.backend.hub._lines["bob"]
        number = 0
        while not slow._behind:
            number += 1
            payload = talk.payload(alice, "x" * 30_000, id=str(number))
            await hers.send(sending(talk, payload, str(number)))
            while (await frame(hers))["type"] != "sent":
                pass
        his.transport.resume_reading()
        got = [await frame(his)]
        while got[-1]["type"] != "behind":
            got.append(await frame(his))
        assert len(got) < number
        await hers.send(sending(talk, talk.payload(alice, id="after"), "after"))
        assert (await frame(his))["item"]["encryptedPayload"]["clientMessageId"] == "after"
