"""The connections of a server on real sockets: how many, for how long, and what becomes of the others."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from websockets.asyncio.client import connect

from server.listening import served
from server.people import Clock, Town, seeded
from server.test_rates import limited
from server.test_serve import running, url_in
from server.test_socket import PATH, frame, line
from tacit.server.app import open_backend
from tacit.server.config import Config, ConnectionLimits, RateLimits, listen
from tacit.server.connections import RESERVED, most_connections
from tacit.server.socket import CONTROLS, SocketProtocol

GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (
    b"GET /api/sync/socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@asynccontextmanager
async def town_with(folder: Path, limits: ConnectionLimits) -> AsyncIterator[tuple[Town, int]]:
    """A server with these limits, and its port."""
    clock = Clock()
    config = Config("127.0.0.1", 8080, folder / "chat.db", connections=limits)
    backend = await open_backend(config, clock, seeded("server"))
    town = Town(backend, clock)
    try:
        with listen(Config("127.0.0.1", 0, config.database)) as listening:
            async with served(backend, listening):
                yield town, listening.getsockname()[1]
    finally:
        await town.http.aclose()
        await backend.store.close()


async def until(true: Callable[[], bool]) -> None:
    """Wait, at most half a minute, until this holds."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


async def answer_to(port: int, *said: bytes) -> bytes:
    """All that a server answers to this, to its end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for each in said:
        writer.write(each)
    found = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return found


def code_of(answer: bytes) -> str:
    """The problem code in an answer."""
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["code"])


async def test_half_a_head_is_not_waited_for(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits(header_seconds=0.1)) as (_, port):
        found = await answer_to(port, GET[:-2])
        assert found.startswith(b"HTTP/1.1 408 ")
        assert code_of(found) == "request_timeout"
        assert await answer_to(port) == b""


async def test_half_a_body_is_not_waited_for(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits(body_seconds=0.1)) as (_, port):
        found = await answer_to(port, b"POST /api/auth/session HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n123")
        assert code_of(found) == "request_timeout"


async def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits(idle_seconds=0.1)) as (_, port):
        found = await answer_to(port, GET)
        assert found.count(b"HTTP/1.1 200 ") == 1


async def test_a_refusal_reaches_a_client_that_is_still_sending(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits()) as (town, port):
        found = await answer_to(port, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200_000)
        assert code_of(found) == "header_too_large"
        head = b"POST /api/auth/session HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
        found = await answer_to(port, head, bytes(4_000_000))
        assert code_of(found) == "too_large"
        await until(lambda: len(town.backend.connections) == 0)


async def test_a_client_that_does_not_read_is_hung_up_on(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits(stalled_seconds=0.1)) as (town, port):
        (alice,) = await town.people("alice")
        async with line(alice, port) as hers:
            hers.transport.pause_reading()
            (hidden,) = [each for lines in town.backend.hub._lines.values() for each in lines]
            async with asyncio.timeout(60):
                while town.backend.hub.sockets:
                    for _ in range(20):  # until what the system takes is full too
                        hidden.answer(b"x" * 32 * 1024)
                    await asyncio.sleep(0.01)
            assert len(town.backend.connections) == 0
            hers.transport.abort()


async def test_a_half_open_websocket_ends_by_its_pings(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits(ping_seconds=0.1, pong_seconds=0.1)) as (town, port):
        alice, bob = await town.people("alice", "bob")
        async with line(alice, port) as hers, line(bob, port) as his:
            assert len(town.backend.connections) == town.backend.hub.sockets == 2
            hers.transport.pause_reading()
            await until(lambda: town.backend.hub.sockets == 1)
            assert len(town.backend.connections) == 1
            assert await (await his.ping()) >= 0
            hers.transport.abort()


async def test_a_websocket_counts_as_the_connection_that_it_was(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits(of_address=2)) as (town, port):
        async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None) as first:
            await frame(first)
            async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None) as second:
                await frame(second)
                found = await answer_to(port)
                assert found.startswith(b"HTTP/1.1 503 ")
                assert code_of(found) == "too_many_connections"
        await until(lambda: len(town.backend.connections) == 0)
        assert (await answer_to(port, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))).startswith(
            b"HTTP/1.1 200 "
        )


async def test_a_handshake_that_uvicorn_cannot_read_is_answered_and_leaves_nothing(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits()) as (town, port):
        found = await answer_to(port, UPGRADE + b"A: " + b"a" * 10_000 + b"\r\n\r\n")
        assert code_of(found) == "malformed"
        await until(lambda: len(town.backend.connections) == 0)
        limited(town, RateLimits(device=0, address=1))  # and counts for its address
        answers = [await answer_to(port, UPGRADE + b"A: " + b"a" * 10_000 + b"\r\n\r\n") for _ in range(2)]
        assert [code_of(each) for each in answers] == ["malformed", "too_many_requests"]


async def test_no_compression_is_accepted(tmp_path: Path) -> None:
    async with (
        town_with(tmp_path, ConnectionLimits()) as (_, port),
        connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None, compression="deflate") as connection,
    ):
        assert connection.response is not None
        assert connection.request is not None
        assert "permessage-deflate" in connection.request.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in connection.response.headers
        await frame(connection)


async def test_a_message_in_endless_empty_frames_is_hung_up_on(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits()) as (town, port):
        first, more = bytes([0x01, 0x80, 0, 0, 0, 0]), bytes([0x00, 0x80, 0, 0, 0, 0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(UPGRADE + b"\r\n")
        await reader.readuntil(b"challenge")
        told: list[str] = []
        town.backend.connections.told = told.append
        writer.write(first + more * 2000)
        await until(lambda: len(town.backend.connections) == 0)
        assert told == ["too_large"]  # and not its hello that never came
        writer.close()


PING = bytes([0x89, 0x80, 0, 0, 0, 0])


async def test_a_flood_of_pings_is_hung_up_on(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits()) as (town, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(UPGRADE + b"\r\n")
        await reader.readuntil(b"challenge")
        told: list[str] = []
        town.backend.connections.told = told.append
        (hidden,) = town.backend.connections._open
        assert isinstance(hidden, SocketProtocol)
        for _ in range(2):
            writer.write(PING * CONTROLS)
            await until(lambda: hidden._controls == CONTROLS)
            hidden._ping_at = 0
            hidden.check(town.backend.connections.clock())  # with the server's own ping it counts anew
            assert hidden._controls == 0
        writer.write(PING * (CONTROLS + 2))
        await until(lambda: len(town.backend.connections) == 0)
        assert told == ["too_many_requests"]
        writer.close()


async def test_after_the_close_frame_no_ping_is_answered(tmp_path: Path) -> None:
    async with town_with(tmp_path, ConnectionLimits()) as (town, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(UPGRADE + b"\r\n")
        await reader.readuntil(b"challenge")
        writer.write(PING)
        await reader.readuntil(b"\x8a\x00")
        writer.write(bytes([0x81, 0x81, 0, 0, 0, 0]) + b"{")  # no hello
        await reader.readuntil(b"\x88\x02\x11\x31")
        assert (len(town.backend.handshakes), town.backend.hub.sockets) == (0, 1)  # it waits for nothing any more
        writer.write(PING * (CONTROLS - 1) + bytes([0x88, 0x80, 0, 0, 0, 0]))
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


def few(descriptors: int) -> tuple[str, ...]:
    """What a command stands behind that has so many file descriptors, half of which it has to ask for."""
    return "sh", "-c", f'ulimit -Sn {descriptors // 2} && ulimit -Hn {descriptors} && exec "$@"', "sh"


def test_the_server_takes_all_file_descriptors_that_it_may_have() -> None:
    program = (
        "from tacit.server.connections import *; import resource; raise_descriptors();"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE), most_connections())"
    )
    done = subprocess.run([*few(1000), sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"(1000, 1000) {1000 - RESERVED}\n"
    assert most_connections() > 0


def test_file_descriptors_do_not_run_out(tmp_path: Path) -> None:
    with ExitStack() as stack:
        process, started = stack.enter_context(running(tmp_path / "chat.db", under=few(300)))
        port = int(url_in(started).rpartition(":")[2])

        def dial() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))

        def ask(connection: socket.socket) -> bytes:
            try:
                connection.sendall(GET)
                found = b""
                while not found.endswith(b"}") and (more := connection.recv(4096)):
                    found += more
                return found[:12]
            except ConnectionError:
                return b""

        first = dial()
        assert ask(first) == b"HTTP/1.1 200"
        opened = [dial() for _ in range(400)]
        heard = [ask(each) for each in opened]
        assert heard.count(b"HTTP/1.1 200") == 300 - RESERVED - 1
        assert set(heard) == {b"HTTP/1.1 200", b"HTTP/1.1 503", b""}
        assert ask(first) == b"HTTP/1.1 200"
        assert process.poll() is None
        for each in opened:
            each.close()
        assert b"HTTP/1.1 200" in (ask(dial()) for _ in range(1000))
