"""One connection's limits, on a transport that a test holds and a clock that it moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from server.test_rates import Stopwatch
from tacit.server.config import ConnectionLimits
from tacit.server.connection import LINGER_SECONDS, SLOWEST, HttpConnection
from tacit.server.connections import REFUSALS, Connections
from tacit.server.serve import settings
from tacit.server.watch import Receive, Send

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
LIMITS = ConnectionLimits(
    most=3,
    of_address=2,
    header_bytes=200,
    headers=4,
    pipelined=2,
    header_seconds=10,
    body_seconds=20,
    idle_seconds=30,
    stalled_seconds=40,
)


class Transport(asyncio.Transport):
    """What was written to it, and how it ended."""

    def __init__(self, host: str = "192.0.2.1") -> None:
        super().__init__({"peername": (host, 1)})
        self.written = b""
        self.waiting = 0
        self.ended = ""
        self.half = False

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.ended != ""

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    @property
    def answers(self) -> list[tuple[int, str]]:
        """The status of each answer, and a refusal's code."""
        found = []
        for part in self.written.split(b"HTTP/1.1 ")[1:]:
            body = part.partition(b"\r\n\r\n")[2]
            found.append((int(part[:3]), json.loads(body)["code"] if body else ""))
        return found


class Door:
    """A server's connections, and requests that are answered when a test says so."""

    def __init__(self, limits: ConnectionLimits = LIMITS, *proxies: str) -> None:
        self.clock = Stopwatch()
        self.told: list[str] = []
        self.connections = Connections(limits, self.clock, self.told.append, tuple(map(ip_network, proxies)))
        self.config = uvicorn.Config(self._app, interface="asgi3", **settings(self.connections))
        self.config.load()
        self.state = ServerState()
        self.go = asyncio.Event()
        self.bodies: list[bytes] = []

    async def _app(self, scope: Any, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        await self.go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def open(self, host: str = "192.0.2.1") -> tuple[HttpConnection, Transport]:
        """A client that connects."""
        made: HttpConnection = self.config.http_protocol_class(  # type: ignore[call-arg, assignment]
            config=self.config, server_state=self.state, app_state={}
        )
        transport = Transport(host)
        if made.accepted(host):
            made.connection_made(transport)
        else:
            transport.abort()
        return made, transport

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds
        self.connections.sweep()


@pytest.fixture
async def door() -> Door:
    return Door()


async def until(true: Callable[[], bool]) -> None:
    """Let the loop run until this holds."""
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError


async def test_the_head_is_due_from_the_connections_beginning(door: Door) -> None:
    connection, transport = door.open()
    door.wait(9)
    connection.data_received(GET[:-1])
    assert transport.answers == []
    door.wait(1)
    assert transport.answers == [(408, "request_timeout")]
    assert transport.half
    assert door.told == ["request_timeout"]
    connection.data_received(GET)  # thrown away
    door.wait(LINGER_SECONDS)
    assert transport.ended == "aborted"
    assert door.bodies == []


async def test_who_sends_nothing_is_hung_up_on_without_a_word(door: Door) -> None:
    connection, transport = door.open()
    connection.data_received(b"\r\n" * 100)
    door.wait(9)
    assert not transport.is_closing()
    door.wait(1)
    assert (transport.ended, transport.written) == ("closed", b"")


async def test_the_body_is_due_from_the_heads_end(door: Door) -> None:
    connection, transport = door.open()
    door.wait(9)
    connection.data_received(POST + b"123")
    door.wait(19)
    assert transport.answers == []
    door.wait(1)
    assert transport.answers == [(408, "request_timeout")]
    await until(lambda: not door.state.tasks)
    assert door.bodies == []


async def test_an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not(door: Door) -> None:
    connection, transport = door.open()
    connection.data_received(POST + b"1234")
    await until(lambda: door.bodies == [b"1234"])
    door.wait(1000)
    assert not transport.is_closing()
    door.go.set()
    await until(lambda: transport.answers == [(204, "")])
    door.wait(29)
    connection.data_received(GET[:5])  # not idle any more, and its head has a time of its own
    door.wait(9)
    connection.data_received(GET[5:])
    await until(lambda: len(transport.answers) == 2)
    door.wait(29)
    assert not transport.is_closing()
    door.wait(1)
    assert transport.ended == "closed"
    assert door.told == []


async def test_a_further_head_is_due_as_the_first_is(door: Door) -> None:
    connection, transport = door.open()
    door.go.set()
    connection.data_received(GET)
    await until(lambda: transport.answers == [(204, "")])
    connection.data_received(GET[:5])
    door.wait(10)
    assert transport.answers[1:] == [(408, "request_timeout")]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 300,
        b"GET / HTTP/1.1\r\nA: " + b"a" * 300,
        b"GET / HTTP/1.1\r\n" + b"a" * 300,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 6,
        b"GET / HTTP/1.1\r\n" + b"".join(b"A: %s\r\n" % (b"a" * 60) for _ in range(4)),
    ],
    ids=["line", "value", "name", "count", "sum"],
)
@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_a_head_that_is_too_large_is_refused_before_its_end(door: Door, head: bytes, piece: int) -> None:
    connection, transport = door.open()
    for start in range(0, len(head), piece):
        if transport.written:
            assert start > 0
        connection.data_received(head[start : start + piece])
    if piece == 1000 and not transport.written:
        connection.data_received(b"a" * 201)  # whatever the parser holds is no more than came at once
    assert transport.answers == [(431, "header_too_large")]
    assert door.told == ["header_too_large"]


async def test_a_head_of_just_the_limit_is_taken(door: Door) -> None:
    connection, transport = door.open()
    start = b"GET / HTTP/1.1\r\nA: "
    head = start + b"a" * (200 - len(b"/A") - 4) + b"\r\n\r\n"
    connection.data_received(head)
    assert (transport.written, len(door.state.tasks)) == (b"", 1)
    for task in door.state.tasks:
        task.cancel()


async def test_a_body_in_many_pieces_is_no_head_and_what_stands_between_them_is(door: Door) -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    door.go.set()
    connection, transport = door.open()
    connection.data_received(head)
    for _ in range(300):
        for byte in b"1\r\na\r\n":
            connection.data_received(bytes([byte]))
    connection.data_received(b"0\r\n\r\n")
    await until(lambda: transport.answers == [(204, "")])
    assert door.bodies == [b"a" * 300]
    for endless in (b"0\r\nA: " + b"a" * 300, b"1;" + b"a" * 300, b"0\r\n" + b"A: b\r\n" * 60):
        connection, transport = door.open("192.0.2.2")
        connection.data_received(head)
        for byte in endless:
            connection.data_received(bytes([byte]))
        assert transport.answers == [(431, "header_too_large")]
        connection.connection_lost(None)


async def test_what_is_not_http_is_refused_with_a_problem(door: Door) -> None:
    connection, transport = door.open()
    connection.data_received(b"\x16\x03\x01 no HTTP\r\n\r\n")
    assert transport.answers == [(400, "malformed")]


async def test_few_requests_wait_for_the_answer_to_an_earlier_one(door: Door) -> None:
    connection, transport = door.open()
    connection.data_received(GET * 3)
    await until(lambda: len(door.bodies) == 1)
    door.go.set()
    await until(lambda: len(transport.answers) == 3)
    door.go.clear()
    connection.data_received(GET * 4)
    assert transport.ended == "closed"  # an answer would be taken for that to the first one
    assert len(transport.answers) == 3
    assert door.told == ["too_many_requests"]
    for task in door.state.tasks:
        task.cancel()


async def test_a_refusal_is_not_taken_for_the_answer_to_an_earlier_request(door: Door) -> None:
    connection, transport = door.open()
    connection.data_received(GET)
    await until(lambda: len(door.bodies) == 1)
    connection.data_received(b"nonsense\r\n\r\n")
    assert (transport.ended, transport.written) == ("closed", b"")
    door.go.set()
    await until(lambda: not door.state.tasks)
    assert transport.written == b""


async def test_a_websocket_does_not_overtake_an_answer(door: Door) -> None:
    connection, transport = door.open()
    connection.data_received(GET)
    await until(lambda: len(door.bodies) == 1)
    connection.data_received(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert (transport.ended, transport.written) == ("closed", b"")
    door.go.set()
    await until(lambda: not door.state.tasks)


async def test_a_client_that_does_not_read_its_answer_is_hung_up_on(door: Door) -> None:
    connection, transport = door.open()
    connection.data_received(GET)
    transport.waiting = 10 * SLOWEST
    connection.pause_writing()
    door.wait(49)
    assert not transport.is_closing()
    connection.resume_writing()
    door.wait(1000)
    connection.pause_writing()
    door.wait(49)
    assert not transport.is_closing()
    door.wait(1)
    assert (transport.ended, door.told) == ("aborted", ["stalled"])
    for task in door.state.tasks:
        task.cancel()


async def test_nor_does_it_keep_a_connection_that_was_closed(door: Door) -> None:
    _, transport = door.open()
    transport.close()
    door.wait(0)
    door.wait(39)
    assert transport.ended == "closed"
    door.wait(1)
    assert transport.ended == "aborted"


async def test_an_address_has_so_many_connections_and_all_have_so_many(door: Door) -> None:
    opened = [door.open(), door.open(), door.open("2001:db8::1")]
    assert [transport.written for _, transport in opened] == [b"", b"", b""]
    _, refused = door.open("192.0.2.9")
    assert refused.answers == [(503, "too_many_connections")]
    assert len(door.connections) == 3
    opened[2][0].connection_lost(None)
    _, refused = door.open()
    assert refused.answers == [(503, "too_many_connections")]
    opened[0][0].connection_lost(None)
    _, again = door.open()
    assert again.written == b""
    assert len(door.connections) == 2


async def test_few_are_told_that_there_is_no_room(door: Door) -> None:
    for number in range(3):
        door.open(f"192.0.2.{number}")
    refused = [door.open("198.51.100.1") for _ in range(REFUSALS + 1)]
    assert {tuple(transport.answers) for _, transport in refused[:-1]} == {((503, "too_many_connections"),)}
    assert (refused[-1][1].written, refused[-1][1].ended) == (b"", "aborted")
    assert len(door.connections) == 3
    door.wait(LINGER_SECONDS)
    assert {transport.ended for _, transport in refused} == {"aborted"}
    for connection, _ in refused[:-1]:
        connection.connection_lost(None)
    assert door.open("198.51.100.1")[1].answers == [(503, "too_many_connections")]


async def test_an_ipv6_network_is_one_address(door: Door) -> None:
    opened = [door.open(f"2001:db8::{number}")[1] for number in range(3)]
    assert [transport.answers for transport in opened] == [[], [], [(503, "too_many_connections")]]


async def test_without_a_limit_there_is_none() -> None:
    door = Door(ConnectionLimits(most=0, of_address=0))
    opened = [door.open()[1] for _ in range(1100)]
    assert {transport.written for transport in opened} == {b""}


async def test_a_proxy_may_have_all_connections() -> None:
    door = Door(LIMITS, "192.0.2.0/30")
    opened = [door.open()[1] for _ in range(4)]
    assert [transport.answers for transport in opened] == [[], [], [], [(503, "too_many_connections")]]
