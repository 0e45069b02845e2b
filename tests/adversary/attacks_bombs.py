"""Little that becomes much: what a server makes of bytes before it refuses them, and what the refusal costs."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
import tracemalloc
import zlib
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from adversary.attack import Attack
from adversary.bending import StandIn
from adversary.probing import Prober
from adversary.stage import Stage
from tacit import errors
from tacit.client.transport import EncryptionAPIClient
from tacit.signed.profiles import Profile
from tacit.signed.record import DEFAULT_POLICY, ConversationRecord, Opener, Protocol, Request, RequestKind
from tacit.wire.codec import encode
from tacit.wire.reader import write_varint
from tacit.wire.text import from_json, to_base64, to_json

MIB: Final = 1024 * 1024
UPGRADE: Final = (
    "GET /api/sync/socket HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n"
)
PATIENCE: Final = 30


class Bomb(Attack):
    """Sends it, and measures what Python allocates in the server meanwhile.

    The sender is a thread of the same process that allocates nothing of the kind.
    """

    most: int
    """What the server may have allocated at once; far less is usual, and far more without the guard."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.peak = 0

    async def run(self) -> None:
        async with self.stage() as stage:
            pieces = await self.pieces(stage)
            address = stage.backend.config.host, stage.backend.config.port
            await asyncio.to_thread(exchange, address, [UPGRADE.format("x", "").encode()])  # all is loaded
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                began = time.perf_counter()
                answer = await asyncio.to_thread(exchange, address, pieces)
                seconds = time.perf_counter() - began
                self.peak = tracemalloc.get_traced_memory()[1] - before
            finally:
                tracemalloc.stop()
            sent = sum(map(len, pieces))
            self.code = (
                f"{told(answer)}: {1000 * seconds:.0f} ms and {self.peak / 1024:.0f} KiB for {sent / 1024:.0f} KiB"
            )

    @abstractmethod
    async def pieces(self, stage: Stage) -> list[bytes]:
        """What is sent, after an upgrade's first answer where it is one."""

    def succeeded(self) -> str:
        return f"{self.peak / MIB:.0f} MiB were allocated" if self.peak > self.most else ""


def exchange(address: tuple[str, int], pieces: list[bytes]) -> bytes:
    """What comes back, its first bytes."""
    got = b""
    with socket.create_connection(address, PATIENCE) as connection, suppress(OSError):
        for number, piece in enumerate(pieces):
            with suppress(OSError):  # refused before it was sent, and answered perhaps
                connection.sendall(piece)
            if not number and piece.startswith(b"GET "):
                got = connection.recv(4096)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        while len(got) < 65536 and (more := connection.recv(4096)):
            got += more
    return got


def told(answer: bytes) -> str:
    """What the server said: a problem's code, or a WebSocket's close code."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"problem+json" in head:
        return str(from_json(body)["code"])
    closed = body.rfind(b"\x88")
    return f"closed with {struct.unpack('!H', body[closed + 2 : closed + 4])[0]}" if closed >= 0 else "hung up"


class Json(Bomb):
    """Who is signed in sends 2 MiB of empty objects, some 700,000 of them."""

    most = 24 * MIB

    async def pieces(self, stage: Stage) -> list[bytes]:
        return [await signed_by(stage, "/api/sync", b"[" + b"{}," * (2 * MIB // 3) + b"{}]")]


async def signed_by(stage: Stage, path: str, body: bytes) -> bytes:
    """A whole request of somebody who is signed in."""
    (mallory,) = await stage.people("mallory")
    async with await Prober.of(stage, mallory) as prober:
        headers = prober.headers("POST", path, body)
    headers |= {"Host": stage.backend.config.authority, "Content-Length": str(len(body)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


class Base64(Bomb):
    """Who is signed in opens an epoch with a signature of 6 MiB, in base64; the body itself takes 33 MiB."""

    most = 40 * MIB

    async def pieces(self, stage: Stage) -> list[bytes]:
        return [await opening(stage, encode(record_with()), bytes(6 * MIB - 4096))]


def record_with(*requests: Request) -> ConversationRecord:
    """A record that nobody signed, with these requests."""
    opener = Opener("mallory", "0" * 64, bytes(32))
    return ConversationRecord(
        "0" * 64, 2, bytes(32), Protocol.ENVELOPE, Profile.STANDARD, 0, b"", 0, b"", bytes(32), (), requests,
        DEFAULT_POLICY, b"", bytes(32), "", 1000, opener,
    )  # fmt: skip


async def opening(stage: Stage, record: bytes, signature: bytes) -> bytes:
    """A whole request that opens an epoch."""
    body = {
        "conversationId": "0" * 64,
        "keyId": bytes(32).hex(),
        "encryptedKeys": [],
        "record": to_base64(record),
        "signature": to_base64(signature),
    }
    return await signed_by(stage, "/api/encryption/conversation/keys", to_json(body).encode())


class Elements(Bomb):
    """Who is signed in opens an epoch whose record carries out some 350,000 wishes to leave, three bytes each."""

    most = 12 * MIB

    async def pieces(self, stage: Stage) -> list[bytes]:
        one = Request(RequestKind.LEAVE, b"x")
        raw, item = encode(record_with(one)), encode(one)
        vector = bytearray()
        write_varint(vector, len(item) * (MIB // len(item)))
        assert raw.count(bytes([len(item)]) + item) == 1
        raw = raw.replace(bytes([len(item)]) + item, bytes(vector) + item * (MIB // len(item)))
        return [await opening(stage, raw, bytes(64))]


class LargeBody(Bomb):
    """Nobody in particular sends 32 MiB in chunks, whose sum no header tells, to open a session."""

    most = 4 * MIB

    async def pieces(self, stage: Stage) -> list[bytes]:
        async with Prober.stranger(stage) as prober:
            headers = prober.headers("POST", "/api/auth/session", b"x", "mallory")
        headers |= {"Host": stage.backend.config.authority, "Transfer-Encoding": "chunked", "Connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        chunk = f"{64 * 1024:x}\r\n".encode() + bytes(64 * 1024) + b"\r\n"
        return [f"POST /api/auth/session HTTP/1.1\r\n{lines}\r\n".encode(), *[chunk] * 512, b"0\r\n\r\n"]


class LargeFrame(Bomb):
    """Nobody in particular sends a WebSocket frame of 32 MiB instead of a hello."""

    most = 4 * MIB

    async def pieces(self, stage: Stage) -> list[bytes]:
        size = 32 * MIB
        upgrade = UPGRADE.format(stage.backend.config.authority, "").encode()
        return [upgrade, b"\x81\xff" + struct.pack("!Q", size) + bytes(4), *[bytes(MIB)] * 32]


class Deflated(Bomb):
    """Nobody in particular sends 32 KiB that inflate to 32 MiB."""

    most = 4 * MIB

    async def pieces(self, stage: Stage) -> list[bytes]:
        offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        upgrade = UPGRADE.format(stage.backend.config.authority, offer).encode()
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(bytes(32 * MIB)) + packer.flush(zlib.Z_SYNC_FLUSH)[:-4]
        return [upgrade, b"\xc1\xfe" + struct.pack("!H", len(packed)) + bytes(4) + packed]


# --- what a server sends a client -------------------------------------------------------------------------------


class Answer(Bomb):
    """A server answers a client's first question with more than any answer is."""

    most = 100 * MIB
    chunk = bytes(MIB)
    chunks = 128

    async def pieces(self, stage: Stage) -> list[bytes]:
        raise NotImplementedError

    async def run(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            size = len(self.chunk) * self.chunks
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
            with suppress(ConnectionError):
                for _ in range(self.chunks):
                    writer.write(self.chunk)
                    await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = EncryptionAPIClient(url, server_name=None, clock=lambda: 1, random=os.urandom, sleep=asyncio.sleep)
        tracemalloc.start()
        try:
            began = time.perf_counter()
            try:
                await client.get_server()
            except errors.TacitError as error:
                self.refused(error)
            seconds = time.perf_counter() - began
            _, self.peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            await client.close()
            server.close()
        sent = len(self.chunk) * self.chunks
        self.code += f": {1000 * seconds:.0f} ms and {self.peak / 1024:.0f} KiB for {sent / 1024:.0f} KiB"


class AnswerJson(Answer):
    """It answers with 4 MiB of JSON, some 1,400,000 empty objects."""

    most = 40 * MIB
    chunk = b"[" + b"{}," * (4 * MIB // 3) + b"{}]"
    chunks = 1
