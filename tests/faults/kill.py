"""The server's process killed while people send, come and go: what they were told is there when it runs again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2

from adversary.bending import command as bent_command
from adversary.bending import wraps_original
from adversary.loot import secrets_of
from client.world import CHEAP, password_of
from faults.form import Row
from tacit import errors
from tacit.cli.needles import Needle, haystack, search
from tacit.client import Client
from tacit.server.admin.check import check
from tacit.server.store import backup
from tacit.server.store.sqlite import Store

START_SECONDS = 60.0
ROUND_SECONDS = 15.0
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
        async with httpx2.AsyncClient() as http:
            while True:
                with suppress(httpx2.HTTPError):
                    if (await http.get(f"{self.url}/api/server")).status_code == 200:
                        break
                if self.process.poll() is not None or time.perf_counter() - began > START_SECONDS:
                    raise AssertionError(f"it did not start: {(self.folder / 'log').read_text()[-2000:]}")
                await asyncio.sleep(0.01)
        self.starts.append(time.perf_counter() - began)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it, by SIGKILL unless told otherwise."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)


@dataclass
class Crowd:
    """People who send all the time, and what they were told."""

    server: Server
    chance: random.Random
    clients: dict[str, Client] = field(default_factory=dict)
    told: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Text: its client message id and seq, as the server acknowledged it."""
    begun: list[str] = field(default_factory=list)
    url: str = ""
    """Where they find the server, if not at its own address."""

    async def gather(self, folder: Path) -> None:
        """Four people; two of them have a WebSocket open, one sends by HTTP, and one comes and goes."""
        for name in ("alice", "bob", "carol", "dave"):
            client = Client(self.url or self.server.url, store=folder / f"{name}.db", sleep=short, cost=CHEAP)
            await client.register(name, password_of(name))
            self.clients[name] = client
        await self.clients["alice"].create_conversation("team", members=["bob", "carol"])
        for name in ("bob", "carol"):
            await self.clients[name].sync()
        for name in ("alice", "bob"):
            self.clients[name].device.listen()

    async def talk(self, name: str, until: asyncio.Event) -> None:
        """Send until it is time to end; what is not acknowledged stays in the outbox."""
        team = await self.clients[name].conversation("team")
        while not until.is_set():
            text = f"{name} {len(self.begun)} {self.chance.randbytes(8).hex()}"
            self.begun.append(text)
            try:
                sent = await team.send(text)
                self.told[text] = (sent.client_message_id, sent.seq)
            except errors.TacitError:
                await asyncio.sleep(0.001)

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
                    await client.sync()
                    if not (await client.conversation("team")).unsent:
                        break
                await asyncio.sleep(0.01)
            else:
                raise AssertionError(f"what {name} began does not come to an end")


async def one_round(crowd: Crowd, server: Server) -> None:
    """Everybody is busy; after a few acknowledgements the server is killed, and started again."""
    over = asyncio.Event()
    busy = [asyncio.create_task(crowd.talk(name, over)) for name in ("alice", "bob", "carol")]
    busy.append(asyncio.create_task(crowd.change(over)))
    wanted, before = crowd.chance.randint(1, 15), len(crowd.told)
    until = time.monotonic() + ROUND_SECONDS
    while len(crowd.told) - before < wanted and time.monotonic() < until:
        await asyncio.sleep(0.001)
    await asyncio.sleep(crowd.chance.random() * 0.01)  # anywhere in what goes on
    server.kill()
    over.set()
    await server.start()
    await asyncio.gather(*busy)


@dataclass(frozen=True)
class Found:
    """What is wrong after it all, and what it took."""

    faults: tuple[str, ...]
    kills: int
    told: int
    ambiguous: int
    epochs: int
    median: float
    worst: float

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.told} acknowledged, {self.ambiguous} ambiguous, {self.epochs} epochs; from "
            f"start to first answer {self.median:.2f} s, at worst {self.worst:.2f} s {self.faults[:3] or ''}"
        )


async def run(folder: Path, kills: int, seed: int = 1, bent: dict[str, str] | None = None) -> Found:
    """Kill a server so many times, and look at what is left; `bent` are stand-ins in the server."""
    for each in ("server", "people"):
        (folder / each).mkdir()
    server = Server(folder / "server", bent_command(bent) if bent else (sys.executable, "-m", "tacit"))
    crowd = Crowd(server, random.Random(seed))
    await server.start()
    faults: list[str] = []
    try:
        await crowd.gather(folder / "people")
        for _ in range(kills):
            await one_round(crowd, server)
        acknowledged = dict(crowd.told)
        if bent is None:  # clients do not forgive a server that forgot
            try:
                await crowd.end()
            except AssertionError as error:
                faults.append(str(error))
            faults += await in_the_clients(crowd, acknowledged)
        faults += of_the_database(server.database, acknowledged)
        with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as db:
            (epochs,) = db.execute("SELECT count(*) FROM conversation_keys").fetchone()
        needles = await needles_of(crowd)
        backup.copy(server.database, server.folder / "backup.db")
        faults += found_in(server.folder, needles, next(iter(acknowledged.values()))[0])
    finally:
        for client in crowd.clients.values():
            await client.device.close()
        server.kill(signal.SIGTERM)
    starts = server.starts[1:]
    ambiguous = len(crowd.begun) - len(acknowledged)
    return Found(
        tuple(faults),
        kills,
        len(acknowledged),
        ambiguous,
        epochs,
        statistics.median(starts),
        max(starts),
    )


async def in_the_clients(crowd: Crowd, told: dict[str, tuple[str, int]]) -> list[str]:
    """Everybody sees each message once: those that were acknowledged, and those that nobody knew of."""
    faults: list[str] = []
    for name in ("alice", "bob", "carol"):
        team = await crowd.clients[name].conversation("team")
        seen = Counter([each.text async for each in team.messages() if each.kind == "text"])
        faults += [f"{name} lacks {text}" for text in told if not seen[text]]
        faults += [f"{name} sees twice: {text}" for text, count in seen.items() if count > 1]
        faults += [f"{name} sees what nobody wrote: {text}" for text in seen if text not in crowd.begun]
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


# --- what a thief of all that would have -------------------------------------------------


async def needles_of(crowd: Crowd) -> list[Needle]:
    """What the server may have nowhere: what was written, passwords, and every key of the people's."""
    found = [Needle(f"text {number}", text.encode()) for number, text in enumerate(crowd.begun[:200])]
    for name, client in crowd.clients.items():
        found.append(Needle(f"{name}'s password", password_of(name).encode()))
        seeds, keys = await client.device._run(secrets_of)
        found += [Needle(f"{name}'s seed", each.reveal()) for each in seeds]
        found += [Needle(f"a key of {name}'s", each) for each in keys]
    return found


def found_in(folder: Path, needles: list[Needle], canary: str) -> list[str]:
    """What is found in database, log and copies that may not be; and the canary where it is not found."""
    places = haystack(folder)
    faults = [f"{hit.name} ({hit.form}) is in {hit.place}" for hit in search(places, needles)]
    if not search(places, [Needle("canary", canary.encode())]):
        faults.append("the search finds not even what is there")
    log = [place for place in places if place[0] == "log"]
    return faults + [hit.name for hit in search(log, [Needle("a name in the log", canary.encode())])]


def long(share: float) -> Iterator[Row]:
    """A hundred kills, and what a thief would have afterwards; and a server that tells too early, to be caught."""
    kills = max(5, round(100 * share))
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(Path(folder), kills))
        yield Row("kill.as-it-is", str(found), bool(found.faults))
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(Path(folder), 2, bent=TELLS_TOO_EARLY))
        yield Row(
            "kill.told-too-early",
            f"{found} (it has to lose)",
            not any(each.startswith("lost") for each in found.faults),
        )


# --- a server that has to be found out ---------------------------------------------------

TELLS_TOO_EARLY = {
    "tacit.server.store.sqlite:Store._run": "faults.kill:tell_at_once",
    "tacit.server.store.sqlite:Store._commit_batches": "faults.kill:commit_late",
}
COMMIT_SECONDS = 0.05


@wraps_original
def tell_at_once(original: Callable[..., None]) -> Callable[..., None]:
    """A message is acknowledged once it was inserted, before its transaction is committed."""

    def run(self: Store, job: Any) -> None:
        original(self, job)
        if job.job.__qualname__.startswith(("send", "deliver")):
            job.settle(None)

    return run


@wraps_original
def commit_late(original: Callable[..., None]) -> Callable[..., None]:
    """The disk is slow, so that it shows."""

    def commit_batches(self: Any) -> None:
        batches = self._batches

        def get() -> Any:
            batch = batches.get()
            time.sleep(COMMIT_SECONDS)
            return batch

        self._batches = SimpleNamespace(get=get, put=batches.put)
        original(self)

    return commit_batches
