"""A network between clients and a server that does what networks do, by TCP alone: it knows nothing of what it carries.

Each connection has a fate, drawn from a seed: it is carried for a while, cut after some bytes in one direction or the
other, carried in small pieces, or what comes back from the server is lost. `mend` ends all that.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

FATES = ("carried", "cut up", "cut down", "in pieces", "one way")
"""`cut up` and `cut down`: towards the server, and from it. `one way`: the server hears, and its answer is lost."""
MOST_BYTES = 6000
LONGEST = 4
"""A connection that is carried ends after so many times that at the latest."""


@dataclass
class Network:
    """The way to one server's port."""

    target: int
    chance: random.Random
    whole: bool = False
    port: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    requests: list[bytes] = field(default_factory=list)
    """What went up each connection."""
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = "carried" if self.whole else self.chance.choice(FATES)
        self.fates[fate] += 1
        most = self.chance.randint(1, MOST_BYTES)
        number = len(self.requests)
        self.requests.append(b"")
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, outer}

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, up: bool) -> None:
            left = most if fate == ("cut up" if up else "cut down") else None if self.whole else LONGEST * most
            while data := await source.read(100 if fate == "in pieces" else 1 << 16):
                if left is not None:
                    data, left = data[:left], left - len(data[:left])
                if up:
                    self.requests[number] += data
                if fate == "one way" and not up:
                    return  # it was done, and nobody hears of it
                sink.write(data)
                await sink.drain()
                if left == 0:
                    return

        both = [asyncio.create_task(carry(reader, outer, True)), asyncio.create_task(carry(inner, writer, False))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await task
        self._open -= {writer, outer}
        writer.close()
        outer.close()

    def mend(self) -> None:
        """From now on everything arrives; what is open is cut once more."""
        self.whole = True
        for each in list(self._open):
            each.close()


@asynccontextmanager
async def network(target: int, seed: int) -> AsyncIterator[Network]:
    """A network to this port of 127.0.0.1, on a port of its own."""
    made = Network(target, random.Random(seed))
    server = await asyncio.start_server(made._connected, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.mend()
        server.close()
