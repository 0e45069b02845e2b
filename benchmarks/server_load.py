"""The load: plain asyncio connections that write bytes made beforehand and only count what comes back.

A client library would measure itself: these parse no JSON and know of a frame only its length and how it begins.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

from benchmarks.server_seed import Person

OPENING: Final = (
    "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SENT: Final = b'{"type":"sent"'
ITEM: Final = b'{"type":"item"'
SOCKET_PATH: Final = "/api/sync/socket"


def masked(payload: bytes) -> bytes:
    """A client's text frame (RFC 6455 §5.2); the mask is four zero bytes, so that making frames costs little."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, 0x80 | size)) + bytes(4) + payload
    if size < 1 << 16:
        return b"\x81\xfe" + size.to_bytes(2, "big") + bytes(4) + payload
    return b"\x81\xff" + size.to_bytes(8, "big") + bytes(4) + payload


class Socket(asyncio.Protocol):
    """A WebSocket's client end; `got` is called with each frame's payload."""

    def __init__(self, path: str, authority: str) -> None:
        self._opening = OPENING.format(path=path, authority=authority).encode()
        self._waiting = b""
        self._upgraded = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._early: deque[bytes] = deque()
        self._wanted: asyncio.Future[bytes] | None = None
        self.got: Callable[[bytes], None] = self._keep
        self.lost = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._opening)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("the WebSocket was refused"))

    def data_received(self, data: bytes) -> None:
        if self._waiting:
            data = self._waiting + data
        at, end = 0, len(data)
        if not self._upgraded:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._waiting = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                self.transport.close()
                return
            self._upgraded = True
            self.opened.set_result(None)
        got = self.got
        while end - at >= 2:
            size, head = data[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if end - at < head + size:
                break
            if data[at] == 0x81:
                got(data[at + head : at + head + size])
            at += head + size
        self._waiting = data[at:]

    def send(self, frame: bytes) -> None:
        """Write a masked frame."""
        self.transport.write(frame)

    def _keep(self, payload: bytes) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(payload)
        else:
            self._early.append(payload)

    async def next(self) -> bytes:
        """The next payload; only as long as `got` is not set."""
        if self._early:
            return self._early.popleft()
        self._wanted = asyncio.get_running_loop().create_future()
        return await asyncio.wait_for(self._wanted, 10)


class Http(asyncio.Protocol):
    """A kept-alive HTTP connection; `got` is called with each answer's status line and body."""

    def __init__(self) -> None:
        self._waiting = b""
        self.got: Callable[[bytes, bytes], None] = lambda *_: None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        data = self._waiting + data if self._waiting else data
        while (head := data.find(b"\r\n\r\n")) >= 0:
            start = data.find(b"content-length: ") + 16
            size = int(data[start : data.find(b"\r\n", start)])
            if len(data) < head + 4 + size:
                break
            self.got(data[:12], data[head + 4 : head + 4 + size])
            data = data[head + 4 + size :]
        self._waiting = data

    def send(self, request: bytes) -> None:
        """Write a whole request."""
        self.transport.write(request)


async def connect_socket(host: str, port: int, path: str = SOCKET_PATH, source: str | None = None) -> Socket:
    """An open WebSocket that nobody has said hello on; its challenge is waited for by `greet`."""
    loop = asyncio.get_running_loop()
    local = None if source is None else (source, 0)
    _, protocol = await loop.create_connection(lambda: Socket(path, f"{host}:{port}"), host, port, local_addr=local)
    return protocol


async def greet(host: str, port: int, person: Person, source: str | None = None) -> Socket:
    """A WebSocket of this person's, welcomed."""
    socket = await connect_socket(host, port, source=source)
    challenge = json.loads(await socket.next())
    nonce = base64.b64decode(challenge["nonce"])
    socket.send(masked(person.hello(f"http://{host}:{port}", nonce)))
    welcome = json.loads(await socket.next())
    if welcome["type"] != "welcome":
        raise RuntimeError(f"no welcome: {welcome}")
    return socket


async def connect_http(host: str, port: int) -> Http:
    """An open connection."""
    _, protocol = await asyncio.get_running_loop().create_connection(Http, host, port)
    return protocol


class Run:
    """What one measurement counted; times in seconds."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.delivered = 0
        self.latencies: list[float] = []
        self.seconds = 0.0
        self.own = 0.0
        """The load's processor time for each."""

    @property
    def rate(self) -> float:
        """Acknowledged a second."""
        return self.acknowledged / self.seconds

    def quantile(self, share: float) -> float:
        """The send-to-delivery time that this share stays under."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Sender:
    """Sends one message after the other: the next one when the last is acknowledged."""

    def __init__(self, run: Run, write: Callable[[bytes], None], messages: Sequence[bytes]) -> None:
        self._run = run
        self._write = write
        self._messages: Iterator[bytes] = iter(messages)
        self._started: deque[float] = deque()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def go(self) -> None:
        """Send the next one, or be done."""
        message = next(self._messages, None)
        if message is None:
            self.done.set_result(None)
            return
        self._started.append(time.perf_counter())
        self._write(message)

    def acknowledged(self) -> None:
        """The server has it on its disk."""
        self._run.acknowledged += 1
        self.go()

    def delivered(self, _: bytes = b"") -> None:
        """The other one got it: the answers and pushes of one conversation come in its order."""
        self._run.delivered += 1
        self._run.latencies.append(time.perf_counter() - self._started.popleft())

    def frame(self, payload: bytes) -> None:
        """A frame on the sender's own socket: an acknowledgement, or the push of its own message."""
        if payload.startswith(SENT):
            self.acknowledged()
        elif not payload.startswith(ITEM):
            raise RuntimeError(f"refused: {payload[:300]!r}")

    def echoed(self, _: bytes) -> None:
        """A frame came back."""
        self.delivered()
        self.acknowledged()

    def page(self, status: bytes, body: bytes) -> None:
        """A page came: acknowledged and delivered in one."""
        self.delivered()
        self.answer(status, body)

    def answer(self, status: bytes, body: bytes) -> None:
        """An HTTP answer."""
        if status != b"HTTP/1.1 200":
            raise RuntimeError(f"refused: {status!r} {body[:300]!r}")
        self.acknowledged()
