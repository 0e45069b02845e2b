"""What a network does to real clients and a real server, one thing at a time, and all at once as a seed has it.

The clients' and the server's limits of time are those of the product in the arms that wait for something to arrive, and
about a second in those in which somebody has to give up.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from unittest import mock

from websockets.asyncio.client import connect

from faults.crowd import Crowd, Server, in_the_clients, of_the_database
from faults.form import Row
from faults.proxy import CHUNK, FATES, Link, Network, network
from faults.replay import POST, answer_to, sends_in
from rsa_pool import pooled_rsa
from server.listening import served
from tacit.server.app import open_backend
from tacit.server.backend import Backend
from tacit.server.config import Config, ConnectionLimits, listen
from tacit.server.serve import wall_clock

SOCKET = b"GET /api/sync/socket "
SECONDS = 60
QUICK = ConnectionLimits(header_seconds=1, body_seconds=1, stalled_seconds=1, ping_seconds=1, pong_seconds=1)
QUICK_REST = {
    "tacit.client.socket.ANSWER_SECONDS": 1.0,
    "tacit.client.socket.PING_SECONDS": 1.0,
    "tacit.client.socket.connect": partial(connect, open_timeout=1, close_timeout=1),
    "tacit.client.transport.TIMEOUT_SECONDS": 1.0,
    "tacit.server.connections.SWEEP_SECONDS": 0.1,
    "tacit.server.socket.CLOSE_SECONDS": 1.0,
    "tacit.server.talk.HELLO_SECONDS": 1.0,
}
LARGE = "x" * 60_000
MOST_LARGE = 400
STEP = 4096
"""Bytes at a time of who is slow."""


async def until(true: Callable[[], bool]) -> None:
    """Wait, for a minute at most, until this holds."""
    async with asyncio.timeout(SECONDS):
        while not true():
            await asyncio.sleep(0.005)


@dataclass
class Street:
    """Alice and bob with a WebSocket each, carol by HTTP alone, and the network between them and their server."""

    net: Network
    here: Backend
    crowd: Crowd
    lines: dict[str, Link] = field(default_factory=dict)
    """Of those who have a WebSocket."""

    async def listen(self, name: str) -> None:
        """Open a WebSocket."""
        caught = self.net.catch(SOCKET)
        self.crowd.clients[name].device.listen()
        self.lines[name] = await caught
        await until(lambda: self.connected(name))

    def connected(self, name: str) -> bool:
        """Whether somebody has a WebSocket that is good for sending."""
        parts = self.crowd.clients[name].device._parts
        return parts is not None and parts.socket.connected

    async def say(self, name: str, text: str) -> int:
        """Send; the `seq` that was told."""
        return await self.crowd.say(await self.crowd.clients[name].conversation("team"), text)

    def post_of(self, name: str, *, up: int | None = None, down: int | None = None) -> asyncio.Future[Link]:
        """The connection of the next message that somebody posts."""
        return self.net.catch(POST, self.crowd.clients[name].device.api.device_id.encode(), up=up, down=down)

    def open_to_server(self) -> int:
        """Connections that the server holds."""
        return len(self.here.connections)

    async def faults(self) -> list[str]:
        """Let everything flow; everybody speaks; and what is wrong then."""
        self.net.mend()
        for name in ("alice", "bob", "carol"):
            await self.say(name, f"{name} goes on")
        await self.crowd.end()
        found = await in_the_clients(self.crowd, self.crowd.told)
        return found + of_the_database(self.here.config.database, self.crowd.told)


@asynccontextmanager
async def street(folder: Path, *, quick: bool) -> AsyncIterator[Street]:
    """A street on which everything arrives so far."""
    (folder / "people").mkdir()
    config = Config("127.0.0.1", 0, folder / "chat.db", connections=QUICK if quick else ConnectionLimits())
    with ExitStack() as stack:
        listening = stack.enter_context(listen(config))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)  # what is not read is felt soon
        stack.enter_context(mock.patch("tacit.crypto.rsa.generate", lambda bits=0: pooled_rsa()))
        for name, value in QUICK_REST.items() if quick else ():
            stack.enter_context(mock.patch(name, value))
        port = listening.getsockname()[1]
        async with network(port, 0, whole=True) as net:
            url = f"http://127.0.0.1:{net.port}"
            here = await open_backend(replace(config, port=port, url=url), wall_clock, os.urandom)
            crowd = Crowd(url, random.Random(0))
            try:
                async with served(here, listening):
                    made = Street(net, here, crowd)
                    await crowd.gather(folder / "people", listening=())
                    for name in ("alice", "bob"):
                        await made.listen(name)
                    yield made
                    for client in crowd.clients.values():
                        await client.device.close()
            finally:
                await here.store.close()


# --- one thing at a time -----------------------------------------------------------------


async def held_on_the_way_up(here: Street) -> None:
    """What was sent first arrives last: its place is where it arrives."""
    line = here.lines["alice"]
    line.up.hold()
    hers = asyncio.create_task(here.say("alice", "first"))
    await until(lambda: bool(line.up.held))
    others = [await here.say(name, f"{name} {number}") for number in range(2) for name in ("bob", "carol")]
    assert not hers.done()
    line.up.let(None)
    assert await hers > max(others)
    assert not line.over


async def answered_late(here: Street) -> None:
    """The answer comes on a WebSocket when the message went by HTTP too, and was told to be at the same place."""
    line = here.lines["alice"]
    line.down.hold()
    with mock.patch("tacit.client.socket.ANSWER_SECONDS", 0.2):
        await here.say("alice", "twice on its way")
    await until(lambda: b'"sent"' in line.down.held)
    line.down.let(None)
    await until(lambda: not line.down.held)
    await here.say("alice", "on the same line")
    assert not line.over


async def answered_late_by_http(here: Street) -> None:
    """The answer comes when the request was repeated on another connection and answered there."""
    caught = here.post_of("carol", down=0)
    await here.say("carol", "twice on its way")
    late = await caught
    assert b'"seq"' in late.down.held
    late.down.let(None)


async def delivered_in_another_order(here: Street) -> None:
    """Whole requests of two people change places between their connections."""
    await stop(here, "bob")
    first = here.post_of("carol", up=0)
    hers = asyncio.create_task(here.say("carol", "sent first"))
    links = [await first]
    second = here.post_of("bob", up=0)
    his = asyncio.create_task(here.say("bob", "sent second"))
    links.append(await second)
    links[1].up.let(None)
    seq = await his
    assert not hers.done()
    links[0].up.let(None)
    assert seq < await hers


async def replayed(here: Street) -> None:
    """Whole requests go up once more, in another order and each on a connection of its own: each is refused."""
    await stop(here, "bob")
    caught = [here.post_of(name) for name in ("carol", "bob")]
    for name in ("carol", "bob"):
        await here.say(name, f"{name} by HTTP")
    sends = [sends_in(bytes((await each).sent))[-1] for each in caught]
    for each in reversed(sends):
        answer = await answer_to(here.here.config.port, each)
        assert b'"request_replayed"' in answer, answer


async def read_slowly(here: Street) -> None:
    """Who reads nothing for a while is told that it is behind, and fetches the rest, as slowly as it reads."""
    line, hidden = here.lines["alice"], next(iter(here.here.hub._lines["alice"]))
    line.down.hold()
    last = 0
    for number in range(MOST_LARGE):
        last = await here.say("bob", f"{number} {LARGE}")
        if hidden._behind:
            break
    assert hidden._behind
    async with asyncio.timeout(SECONDS):
        while await highest(here, "alice") < last:  # nothing else is said that could tell her
            await step(line)
    assert not line.over


async def written_slowly(here: Street) -> None:
    """A large message comes in a piece at a time, and holds nobody else up."""
    line = here.lines["alice"]
    line.up.hold()
    hers = asyncio.create_task(here.say("alice", LARGE))
    await until(lambda: bool(line.up.held))
    line.up.let(STEP)
    await until(lambda: line.up.left == 0)
    assert await here.say("bob", "meanwhile")
    assert not hers.done()
    async with asyncio.timeout(SECONDS):
        while not hers.done():
            await step(line)
    assert await hers > here.crowd.told["meanwhile"][1]
    assert not line.over


async def half_open(here: Street, *, up: bool, down: bool) -> None:
    """A WebSocket on which nothing comes through any more: client and server give it up, each by itself."""
    line, hidden = here.lines["alice"], next(iter(here.here.hub._lines["alice"]))
    for way in [line.up] * up + [line.down] * down:
        way.hold()
    await here.say("alice", "it goes another way")
    await until(lambda: hidden not in here.here.hub._lines.get("alice", {}))
    await until(lambda: len(here.here.hub._lines.get("alice", {})) == 1 and here.connected("alice"))
    assert not (up and down and line.over)  # nobody was told
    await here.say("alice", "it goes by another line")
    line.up.let(None)
    line.down.let(None)


async def half_open_from_the_start(here: Street, *, up: int | None, down: int) -> None:
    """A WebSocket that falls silent before it is one: another is opened, and the server hangs up."""
    before = here.open_to_server()
    await stop(here, "alice")
    caught = here.net.catch(SOCKET, up=up, down=down)
    here.crowd.clients["alice"].device.listen()
    link = await caught
    link.up.hold()
    await here.say("alice", "it goes another way")
    await until(lambda: here.connected("alice"))
    await until(lambda: here.open_to_server() <= before and not here.here.hub.strangers)
    assert not link.over  # nobody was told
    await here.say("alice", "it goes by another line")


async def half_open_by_http(here: Street, needle: bytes, count: int) -> None:
    """A request of which so many bytes come through, and no answer: it is repeated, and the server hangs up."""
    before = here.open_to_server()
    caught = here.net.catch(needle, up=count, down=0)
    await here.say("carol", "it goes another way")
    link = await caught
    await until(lambda: here.open_to_server() <= before)
    assert not link.over
    assert link.up.held


async def stop(here: Street, name: str) -> None:
    """From now on somebody sends by HTTP."""
    parts = here.crowd.clients[name].device._parts
    assert parts is not None
    await parts.socket.stop()


async def step(link: Link) -> None:
    """Some bytes more may pass, where those before did."""
    for way in (link.up, link.down):
        if way.left == 0:
            way.let(STEP)
    await asyncio.sleep(0)


async def highest(here: Street, name: str) -> int:
    """Up to where somebody has received the conversation."""
    team = await here.crowd.clients[name].conversation("team")
    return await here.crowd.clients[name].device.run(lambda books: books.held(team.id).highest)


ARMS: dict[str, tuple[Callable[[Street], Awaitable[None]], bool]] = {
    "held-on-the-way-up": (held_on_the_way_up, False),
    "answered-late": (answered_late, False),
    "answered-late-by-http": (answered_late_by_http, True),
    "delivered-in-another-order": (delivered_in_another_order, False),
    "replayed": (replayed, False),
    "read-slowly": (read_slowly, False),
    "written-slowly": (written_slowly, False),
    "half-open": (partial(half_open, up=True, down=True), True),
    "half-open-up": (partial(half_open, up=True, down=False), True),
    "half-open-down": (partial(half_open, up=False, down=True), True),
    "half-a-handshake": (partial(half_open_from_the_start, up=100, down=0), True),
    "half-an-answer": (partial(half_open_from_the_start, up=None, down=60), True),
    "half-a-challenge": (partial(half_open_from_the_start, up=None, down=200), True),  # of 243
    "half-a-head": (partial(half_open_by_http, needle=POST, count=100), True),
    "half-a-body": (partial(half_open_by_http, needle=b'"encryptedPayload"', count=100), True),
}
"""What happens, and whether somebody has to give up before it goes on."""


async def arm(folder: Path, name: str) -> list[str]:
    """Let one thing happen; what is wrong afterwards."""
    happen, quick = ARMS[name]
    async with asyncio.timeout(2 * SECONDS), street(folder, quick=quick) as here:
        await happen(here)
        return await here.faults()


# --- all at once -------------------------------------------------------------------------


@dataclass(frozen=True)
class Stormed:
    """What is wrong after it all, and what it took."""

    faults: tuple[str, ...]
    told: int
    connections: int
    replays: int

    def __str__(self) -> str:
        return (
            f"{self.told} acknowledged over {self.connections} connections, {self.replays} sent once more "
            f"{self.faults[:3] or ''}"
        )


async def storm(folder: Path, seed: int, wanted: int = 25) -> Stormed:
    """Everybody talks over a network that does everything, until so many were acknowledged."""
    for each in ("server", "people"):
        (folder / each).mkdir()
    server = Server(folder / "server")
    async with network(server.port, seed, whole=True) as net:
        url = f"http://127.0.0.1:{net.port}"
        await server.start("--url", url)
        crowd = Crowd(url, random.Random(seed))
        with ExitStack() as stack:
            for name, value in QUICK_REST.items():
                stack.enter_context(mock.patch(name, value))
            try:
                await crowd.gather(folder / "people")
                net.whole, over = False, asyncio.Event()
                busy = crowd.begin(over)
                await until(lambda: len(crowd.told) >= wanted and len(net.fates) == len(FATES))
                over.set()
                net.mend()
                await asyncio.gather(*busy)
                told = dict(crowd.told)
                await crowd.end()
                faults = await in_the_clients(crowd, told) + of_the_database(server.database, told)
                sends = [each for link in net.links for each in sends_in(bytes(link.sent))]
                before = places_in(server.database)
                for request in sends:
                    await answer_to(server.port, request)
                if places_in(server.database) != before:
                    faults.append("what was sent once more counts once more")
            finally:
                for client in crowd.clients.values():
                    await client.device.close()
                server.kill()
    return Stormed(tuple(faults), len(told), len(net.links), len(sends))


def places_in(database: Path) -> list[tuple[int, str]]:
    """Every message's place and name."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return db.execute("SELECT seq, client_message_id FROM messages ORDER BY 1, 2").fetchall()


def long(share: float) -> Iterator[Row]:
    """Each arm, and a storm for each of so many seeds."""
    for name in ARMS:
        with tempfile.TemporaryDirectory() as folder:
            faults = asyncio.run(arm(Path(folder), name))
        yield Row(f"network.{name}", f"{faults or 'the conversation goes on'}", bool(faults))
    for seed in range(1, 1 + max(2, round(30 * share))):
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(storm(Path(folder), seed))
        yield Row(f"network.seed-{seed}", str(found), bool(found.faults))
