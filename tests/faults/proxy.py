"""A network between clients and a server that does what networks do, by TCP alone: it knows nothing of what it carries.

Each connection has a fate, drawn from a seed: it is carried for a while, cut after some bytes in one direction or the
other, carried in small pieces, held until there is another one, never heard of again without being closed, or what
comes back from the server is lost. `mend` ends all that. A test that wants one thing to happen, and only that, takes a
network that is `whole` and holds what it likes: each direction of a connection carries what it is let carry.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

FATES = ("carried", "cut up", "cut down", "in pieces", "one way", "held", "half open")
"""`cut up` and `cut down`: towards the server, and from it. `one way`: the server hears, and its answer is lost."""
MOST_BYTES = 6000
LONGEST = 4
"""A connection that is carried ends after so many times that at the latest."""
CHUNK = 1 << 16
PIECE = 100
BUFFER = 1 << 14
"""What is read of a connection, or about so much, before it may pass: that nobody reads is felt at its other end."""


@dataclass(eq=False)
class Way:
    """One direction of a connection."""

    left: int | None = None
    """Bytes that may pass still; None: all."""
    cuts: bool = False
    """Whether the connection ends when no more may pass; else what comes is held, and so is its end."""
    piece: int = CHUNK
    held: bytes = b""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def let(self, count: int | None) -> None:
        """So many bytes more may pass; None for whatever comes."""
        self.left = None if count is None or self.left is None else self.left + count
        self._changed.set()

    def hold(self) -> None:
        """Nothing passes from now on."""
        self.left = 0

    async def _is_open(self) -> bool:
        """Wait until something may pass; False where nothing will."""
        while self.left == 0:
            if self.cuts:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    async def pass_on(self, data: bytes, sink: asyncio.StreamWriter) -> bool:
        """Carry this, when it may; False where the connection is to end."""
        self.held = data
        while self.held:
            if not await self._is_open():
                return False
            piece, self.held = self.held[: self.left], self.held[len(self.held[: self.left]) :]
            if self.left is not None:
                self.left -= len(piece)
            sink.write(piece)
            await sink.drain()
        return True

    async def end(self) -> None:
        """One side hung up; the other hears of it when something may pass."""
        await self._is_open()


@dataclass(eq=False)
class Link:
    """One connection."""

    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)
    sent: bytearray = field(default_factory=bytearray)
    """What went up."""
    over: bool = False

    def ends_after(self, count: int) -> None:
        """So much more is carried in either direction, and then it is cut."""
        for way in (self.up, self.down):
            way.cuts = True
            way.left = count
            way.let(0)


@dataclass(eq=False)
class Catch:
    """What to wait for on its way up: a piece with all of these in it."""

    needles: tuple[bytes, ...]
    up: int | None
    down: int | None
    link: asyncio.Future[Link]


@dataclass
class Network:
    """The way to one server's port."""

    target: int
    chance: random.Random
    whole: bool = False
    port: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    links: list[Link] = field(default_factory=list)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _next: list[str] = field(default_factory=list)
    _delayed: list[Link] = field(default_factory=list)
    _catches: list[Catch] = field(default_factory=list)

    def catch(self, *needles: bytes, up: int | None = None, down: int | None = None) -> asyncio.Future[Link]:
        """The connection that the next piece goes up with all of these in it: of this on, so much passes."""
        found: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._catches.append(Catch(needles, up, down, found))
        return found

    def _came(self, link: Link, data: bytes) -> None:
        for each in self._catches:
            if all(needle in data for needle in each.needles):
                link.up.left, link.down.left = each.up, each.down
                self._catches.remove(each)
                each.link.set_result(link)
                return

    def _fated(self) -> Link:
        link = Link()
        self.links.append(link)
        while self._delayed:
            self._delayed.pop().ends_after(LONGEST * MOST_BYTES)
        if self.whole:
            return link
        if not self._next:  # each has its turn
            self._next = self.chance.sample(FATES, len(FATES))
        fate, most = self._next.pop(), self.chance.randint(1, MOST_BYTES)
        self.fates[fate] += 1
        link.ends_after(LONGEST * most)
        match fate:
            case "cut up":
                link.up.left = most
            case "cut down":
                link.down.left = most
            case "one way":
                link.down.left = 0
            case "in pieces":
                link.up.piece = link.down.piece = PIECE
            case "held" | "half open":
                link.up, link.down = Way(most), Way(most)
        if fate == "held":
            self._delayed.append(link)
        return link

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = self._fated()
        try:
            inner, outer = await _small_connection(self.target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, outer}
        ways = ((link.up, reader, outer), (link.down, inner, writer))
        both = [asyncio.create_task(self._carry(link, *each)) for each in ways]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await task
        self._open -= {writer, outer}
        link.over = True
        writer.close()
        outer.close()

    async def _carry(self, link: Link, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(way.piece):
                if way is link.up:
                    self._came(link, data)
                    link.sent += data
                if not await way.pass_on(data, sink):
                    return
        await way.end()

    def mend(self) -> None:
        """From now on everything arrives; what is open is cut once more."""
        self.whole = True
        for link in self.links:
            link.up.let(None)
            link.down.let(None)
        for each in list(self._open):
            each.close()


async def _small_connection(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    made.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return await asyncio.open_connection(sock=made, limit=BUFFER)


@asynccontextmanager
async def network(target: int, seed: int, *, whole: bool = False) -> AsyncIterator[Network]:
    """A network to this port of 127.0.0.1, on a port of its own."""
    made = Network(target, random.Random(seed), whole)
    server = await asyncio.start_server(made._connected, "127.0.0.1", 0, limit=BUFFER)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.mend()
        server.close()
