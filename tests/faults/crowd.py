"""People who talk on a server in a process of its own, and what they were told: no fault may take it back."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from msgspec import UnsetType

from client.world import CHEAP, password_of
from tacit import errors
from tacit.api.base import convert
from tacit.api.messages import EncryptedPayload, OneMessage, Results, SendMessages
from tacit.client import Client, Conversation
from tacit.client.handing import Wish
from tacit.client.tls import NO_TLS
from tacit.conversation.content import TextBody
from tacit.server.admin.check import check

START_SECONDS = 60.0
MESSAGES = "/api/messages/encrypted"
POSTS = "carol"
"""Who posts batches beside what she sends; all of it by HTTP."""
REFUSED = {errors.EpochClosed.code, errors.EpochOutdated.code}
PATIENCE = 300
"""How often somebody tries to bring to an end what was begun, 10 ms apart at the least."""
OPTIONS = (
    *("--log-level", "info", "--ballast-mb", "1", "--metrics-port", "0"),
    *("--requests-per-device", "0", "--requests-per-address", "0"),
)


async def short(_: float) -> None:
    """A wait of the client's, cut short: the server is away for a second."""
    await asyncio.sleep(0.01)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass
class Server:
    """`tacit serve` on one database and port, started over and over."""

    folder: Path
    program: tuple[str, ...] = (sys.executable, "-m", "tacit")
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    starts: list[float] = field(default_factory=list)

    @property
    def database(self) -> Path:
        return self.folder / "chat.db"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, *more: str) -> None:
        """Start it, and wait for its first answer."""
        began = time.perf_counter()
        place = ("serve", "--port", str(self.port), "--database", str(self.database))
        with (self.folder / "log").open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            self.process = subprocess.Popen(
                [*self.program, *place, *OPTIONS, *more], stdout=log, stderr=log, env=environment
            )
        async with httpx2.AsyncClient(verify=NO_TLS) as http:
            while True:
                with suppress(httpx2.HTTPError):
                    if (await http.get(f"{self.url}/api/server")).status_code == 200:
                        break
                if self.process.poll() is not None or time.perf_counter() - began > START_SECONDS:
                    raise AssertionError(f"it did not start: {(self.folder / 'log').read_text()[-2000:]}")
                await asyncio.sleep(0.01)
        self.starts.append(time.perf_counter() - began)

    async def keep_metrics(self) -> None:
        """Write down what `/metrics` says now, beside the log."""
        place = re.findall(r" metrics=([\d.:]+)", (self.folder / "log").read_text())[-1]
        async with httpx2.AsyncClient(verify=NO_TLS) as http:
            answer = await http.get(f"http://{place}/metrics")
        assert answer.status_code == 200
        with (self.folder / "metrics").open("ab") as kept:
            kept.write(answer.content)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it, by SIGKILL unless told otherwise."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)


@dataclass
class Crowd:
    """People who send all the time, and what they were told."""

    url: str
    chance: random.Random
    clients: dict[str, Client] = field(default_factory=dict)
    told: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Text: its client message id and seq, as the server acknowledged it."""
    begun: list[str] = field(default_factory=list)
    batch: dict[str, EncryptedPayload] = field(default_factory=dict)
    """Text: its message, which was posted with the others here and not answered."""
    in_batches: int = 0
    """Acknowledged."""

    async def gather(self, folder: Path, *, listening: Sequence[str] = ("alice", "bob")) -> None:
        """Four people; two of them have a WebSocket open, one sends by HTTP, and one comes and goes."""
        for name in ("alice", "bob", "carol", "dave"):
            client = Client(self.url, store=folder / f"{name}.db", sleep=short, cost=CHEAP)
            await client.register(name, password_of(name))
            self.clients[name] = client
        await self.clients["alice"].create_conversation("team", members=["bob", "carol"])
        for name in ("bob", "carol"):
            await self.clients[name].sync()
        for name in listening:
            self.clients[name].device.listen()

    def begin(self, until: asyncio.Event) -> list[asyncio.Task[None]]:
        """Everybody is busy until it is time to end."""
        talks = [self.talk(name, until) for name in ("alice", "bob", "carol")]
        return [asyncio.create_task(each) for each in (*talks, self.post(POSTS, until), self.change(until))]

    async def say(self, team: Conversation, text: str) -> int:
        """Send this, and keep where it was told to be; raises what sending does."""
        self.begun.append(text)
        sent = await team.send(text)
        self.told[text] = (sent.client_message_id, sent.seq)
        return sent.seq

    async def talk(self, name: str, until: asyncio.Event) -> None:
        """Send until it is time to end; what is not acknowledged stays in the outbox."""
        team = await self.clients[name].conversation("team")
        while not until.is_set():
            try:
                await self.say(team, f"{name} {len(self.begun)} {self.chance.randbytes(8).hex()}")
            except errors.TacitError:
                await asyncio.sleep(0.001)

    async def post(self, name: str, until: asyncio.Event) -> None:
        """Post batches by HTTP, as an application does, until it is time to end."""
        while not until.is_set():
            try:
                await self.post_batch(name)
                await self.seal_batch(name)
            except errors.TacitError:
                await asyncio.sleep(0.001)

    async def seal_batch(self, name: str) -> None:
        """Seal a few messages more for the next batch."""
        team, handing = await self.clients[name].conversation("team"), self.clients[name].device.handing()
        for _ in range(self.chance.randint(2, 4)):
            text = f"{name} in a batch {len(self.begun)} {self.chance.randbytes(8).hex()}"
            self.begun.append(text)
            self.batch[text] = convert(EncryptedPayload, await handing.seal(team.id, Wish(TextBody(text))))

    async def post_batch(self, name: str) -> None:
        """Post what is sealed, byte for byte until it is answered; each message counts, or is refused, by itself."""
        if not self.batch:
            return
        team = await self.clients[name].conversation("team")
        body = SendMessages(team.id, messages=[OneMessage(each) for each in self.batch.values()])
        answer = await self.clients[name].device.api._request("POST", MESSAGES, Results, body)
        for (text, payload), result in zip(self.batch.items(), answer.results, strict=True):
            if not isinstance(result.seq, UnsetType):
                self.told[text] = (payload.client_message_id, result.seq)
                self.in_batches += 1
            elif not isinstance(result.problem, UnsetType):
                assert result.problem["code"] in REFUSED, result.problem
        self.batch.clear()

    async def change(self, until: asyncio.Event) -> None:
        """Dave comes and goes: an epoch each time."""
        team = await self.clients["alice"].conversation("team")
        while not until.is_set():
            try:
                there = any(each.user_id == "dave" for each in team.members())
                await (team.remove("dave") if there else team.add("dave"))
            except errors.TacitError:
                await asyncio.sleep(0.001)
            with suppress(errors.TacitError):
                await team.refresh()

    async def end(self) -> None:
        """Everybody brings to an end what was begun; raises `AssertionError` where that does not come."""
        for name in ("alice", "bob", "carol"):
            client = self.clients[name]
            for _ in range(PATIENCE):
                with suppress(errors.TacitError):
                    if name == POSTS:
                        await self.post_batch(name)
                    await client.sync()
                    if not (await client.conversation("team")).unsent:
                        break
                await asyncio.sleep(0.01)
            else:
                raise AssertionError(f"what {name} began does not come to an end")


async def in_the_clients(crowd: Crowd, told: dict[str, tuple[str, int]]) -> list[str]:
    """Everybody sees each message once and in its place: those that were told of, and those that nobody knew of."""
    faults: list[str] = []
    order = sorted(told, key=lambda text: told[text][1])
    for name in ("alice", "bob", "carol"):
        team = await crowd.clients[name].conversation("team")
        seen = Counter([each.text async for each in team.messages() if each.kind == "text"])
        faults += [f"{name} lacks {text}" for text in told if not seen[text]]
        faults += [f"{name} sees twice: {text}" for text, count in seen.items() if count > 1]
        faults += [f"{name} sees what nobody wrote: {text}" for text in seen if text not in crowd.begun]
        faults += [f"{name} sees another order"] * ([text for text in seen if text in told] != order)
        faults += [f"{name} is alarmed" for _ in await crowd.clients[name].alarms()]
    return faults


def of_the_database(database: Path, told: dict[str, tuple[str, int]]) -> list[str]:
    """What the database lacks of what was acknowledged, and what the operator's check finds."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT device_id, client_message_id, seq FROM messages").fetchall()
    there = Counter((device, name) for device, name, _ in rows)
    places = {name: seq for _, name, seq in rows}
    faults = [f"lost: {text}" for text, (name, seq) in told.items() if places.get(name) != seq]
    faults += [f"stands twice: {name}" for (_, name), count in there.items() if count > 1]
    return faults + [f"{each.name}: {each.rule}" for each in check(database)]
