"""Sends bytes to the server as they are, and looks at what it did: what it answered, logged, stored and kept."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

from fuzz import frame_bytes, http_bytes
from fuzz.frame_bytes import END, TEXT, frame
from fuzz.http_bytes import SOCKET, Sent
from fuzz.target import PATIENCE, Abroad, Failed, Target, running
from server.people import Person, Talk
from server.test_socket import hello, sending

AT_ONCE: Final = 16
GROWTH: Final = 24 * 1024 * 1024
"""What the process may keep after all that, in bytes: nothing, but memory is not always given back."""
HEAD: Final = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r](.*?)\r\n\r\n", re.DOTALL)


async def exchange(target: Target, sent: Sent, before: bytes = b"", until: bytes = b"") -> bytes:
    """All that comes back on one connection: after `before` it is waited for `until`, then what is sent is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    got = b""
    try:
        async with asyncio.timeout(PATIENCE):
            if before:
                writer.write(before)
                got = await reader.readuntil(until)
                got += await reader.readexactly((await reader.readexactly(2))[1])  # a challenge is short
            for piece in sent.pieces:
                writer.write(piece)
                await writer.drain()
            if sent.reset:
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return got
            with suppress(OSError):  # it hung up, and may have answered before
                writer.write_eof()
            while more := await reader.read(1 << 16):
                got += more
    except (OSError, asyncio.IncompleteReadError):
        pass  # it hung up
    except TimeoutError:
        raise Failed(f"{sent.name}: the connection stayed open") from None
    finally:
        writer.close()
    return got


def check_answer(sent: Sent, got: bytes) -> None:
    """Raises `Failed` for a server's error, and for a refusal that is no problem document."""
    for status, head in HEAD.findall(got):
        if status >= b"500" or (status >= b"400" and b"application/problem+json" not in head):
            raise Failed(f"{sent}: it was answered {got!r}")


async def each(target: Target, all_sent: Iterable[Sent], before: bytes = b"", until: bytes = b"") -> int:
    """Send all, some at once; how many."""
    waiting, count = asyncio.Semaphore(AT_ONCE), 0

    async def one(sent: Sent) -> None:
        async with waiting:
            check_answer(sent, await exchange(target, sent, before, until))

    async with asyncio.TaskGroup() as group:
        for sent in all_sent:
            group.create_task(one(sent))
            count += 1
    return count


class Socket:
    """A WebSocket of somebody's, of which every byte is written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def opened(cls, target: Target, person: Person) -> Socket:
        """After the hello and its welcome."""
        made = cls(*await asyncio.open_connection("127.0.0.1", target.port))
        made.writer.write(SOCKET)
        await made.reader.readuntil(b"\r\n\r\n")
        nonce = json.loads(await made.frame())["nonce"]
        made.writer.write(frame(TEXT, json.dumps(hello(person, nonce)).encode()))
        assert json.loads(await made.frame())["type"] == "welcome"
        return made

    async def frame(self) -> bytes:
        """The next frame's payload."""
        _, length = await self.reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        return await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """All that comes until the end."""
        got = b""
        while more := await self.reader.read(1 << 16):
            got += more
        return got


async def after_hello(target: Target, person: Person, all_sent: Iterable[Sent]) -> int:
    """The same on WebSockets that are somebody's, one after the other; how many."""
    count = 0
    for sent in all_sent:
        async with asyncio.timeout(PATIENCE):
            opened = await Socket.opened(target, person)
            try:
                for piece in sent.pieces:
                    opened.writer.write(piece)
                    await opened.writer.drain()
                if not sent.reset:
                    with suppress(OSError):
                        opened.writer.write_eof()
                    await opened.rest()
            except OSError:
                pass
            finally:
                opened.writer.close()
        count += 1
    return count


async def bent_sends(target: Target, talk: Talk, person: Person, random: Random, count: int) -> int:
    """Frames that send messages, bent: each is answered by a problem, and the connection goes on."""
    opened = await Socket.opened(target, person)
    whole = sending(talk, talk.payload(person, id="fuzzed") | {"keyId": "0" * 64}).encode()
    async with asyncio.timeout(PATIENCE):
        for _ in range(count):
            raw = bytearray(whole)
            raw[random.randrange(len(raw))] = random.choice(b'"\\{}[],:0-. \x00aZ')
            try:
                raw.decode()
            except UnicodeDecodeError:
                continue
            opened.writer.write(frame(TEXT, bytes(raw)))
            answer = json.loads(await opened.frame())
            if answer["type"] != "problem" or answer["problem"]["code"] == "internal":
                raise Failed(f"a bent message was answered {answer}")
        opened.writer.write(END)
        await opened.rest()
        opened.writer.close()
    return count


async def round_of(target: Target, person: Person, talk: Talk, seed: int, mutations: int, step: int) -> int:
    """Everything once; how many connections and frames."""
    random = Random(seed)
    count = await each(target, http_bytes.by_hand())
    count += await each(target, http_bytes.cut(http_bytes.register(), step))
    count += await each(target, http_bytes.cut(SOCKET, step))
    count += await each(target, http_bytes.mutated(random, mutations))
    count += await each(target, frame_bytes.handshakes())
    challenged = SOCKET, b"\r\n\r\n"
    count += await each(target, frame_bytes.by_hand(), *challenged)
    count += await each(target, frame_bytes.mutated(random, mutations), *challenged)
    count += await after_hello(target, person, frame_bytes.by_hand())
    count += await after_hello(target, person, frame_bytes.mutated(random, mutations // 2))
    return count + await bent_sends(target, talk, person, random, mutations)


async def fuzz(target: Target, *, seed: int, rounds: int, mutations: int, step: int) -> str:
    """A round to warm up and then some more; says what it did, or raises `Failed`."""
    town = Abroad(target)
    try:
        alice, bob = await town.people("alice", "bob")
        talk = await Talk.opened(alice, bob)
        await alice.ask("POST", "/api/messages/encrypted", talk.message(alice))
    finally:
        await town.http.aclose()
    rows, descriptors = target.rows(), target.descriptors()
    count = await round_of(target, alice, talk, seed, mutations, step)
    target.until(lambda: target.descriptors() <= descriptors, "sockets stayed open")
    memory = target.resident()
    for number in range(rounds):
        count += await round_of(target, alice, talk, seed + 1 + number, mutations, step)
    target.until(lambda: target.descriptors() <= descriptors, "sockets stayed open")
    target.check_well()
    grown = target.resident() - memory
    if grown > GROWTH:
        raise Failed(f"it keeps {grown >> 20} MiB more")
    if target.rows() != rows:
        raise Failed("something was written")
    target.check_log()
    return f"{count} connections and frames; {grown >> 10} KiB more are kept, {descriptors} descriptors as before"


def run(folder: Path, **how: int) -> str:
    """On a server of its own."""
    with running(folder) as target:
        return asyncio.run(fuzz(target, **how))
