"""The server's process killed while people send, come and go: what they were told is there when it runs again."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from adversary.bending import command as bent_command
from adversary.bending import wraps_original
from adversary.loot import secrets_of
from client.world import password_of
from faults.crowd import Crowd, Server, in_the_clients, of_the_database
from faults.form import Row
from tacit.cli.needles import Needle, haystack, search
from tacit.server.store import backup
from tacit.server.store.sqlite import Store

ROUND_SECONDS = 15.0
LEFT = ("chat.db", "chat.db-wal", "backup.db", "log", "metrics")
"""What a server leaves behind, and a thief could have."""
TOLD = ("log", "metrics")
"""Of that, what names nobody."""


async def one_round(crowd: Crowd, server: Server) -> None:
    """Everybody is busy; after a few acknowledgements the server is killed, and started again."""
    over = asyncio.Event()
    busy = crowd.begin(over)
    until = time.monotonic() + ROUND_SECONDS

    async def told(count: int) -> None:
        wanted = len(crowd.told) + count
        while len(crowd.told) < wanted and time.monotonic() < until:
            await asyncio.sleep(0.001)

    await told(crowd.chance.randint(1, 15))
    await server.keep_metrics()
    await told(1)  # what was told last is what could be lost
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
    in_batches: int
    ambiguous: int
    epochs: int
    median: float
    worst: float

    def __str__(self) -> str:
        lost, twice = (sum(word in each for each in self.faults) for word in ("lost: ", " twice: "))
        return (
            f"{self.kills} kills, {self.told} acknowledged ({self.in_batches} in batches), {lost} lost, {twice} twice, "
            f"{self.ambiguous} ambiguous, {self.epochs} epochs; from start to first answer {self.median:.2f} s, at "
            f"worst {self.worst:.2f} s {self.faults[:3] or ''}"
        )


async def run(folder: Path, kills: int, seed: int = 1, bent: dict[str, str] | None = None) -> Found:
    """Kill a server so many times, and look at what is left; `bent` are stand-ins in the server."""
    for each in ("server", "people"):
        (folder / each).mkdir()
    server = Server(folder / "server", bent_command(bent) if bent else (sys.executable, "-m", "tacit"))
    crowd = Crowd(server.url, random.Random(seed))
    await server.start()
    faults: list[str] = []
    try:
        await crowd.gather(folder / "people")
        for _ in range(kills):
            await one_round(crowd, server)
        acknowledged, in_batches = dict(crowd.told), crowd.in_batches
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
        names = [*crowd.clients, (await crowd.clients["alice"].conversation("team")).id]
        faults += found_in(server.folder, needles, next(iter(acknowledged.values()))[0], names)
        faults += [f"nothing to search in {name}" for name in LEFT if not (server.folder / name).stat().st_size]
        if b"tacit_requests_total{" not in (server.folder / "metrics").read_bytes():
            faults.append("the metrics tell nothing")
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
        in_batches,
        ambiguous,
        epochs,
        statistics.median(starts),
        max(starts),
    )


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


def found_in(folder: Path, needles: list[Needle], canary: str, names: Sequence[str] = ()) -> list[str]:
    """What is found in database, log, metrics and copies that may not be; and the canary where it is not found."""
    places = haystack(folder)
    faults = [f"{hit.name} ({hit.form}) is in {hit.place}" for hit in search(places, needles)]
    if not search(places, [Needle("canary", canary.encode())]):
        faults.append("the search finds not even what is there")
    told = [(place, data) for place, data in places if place in TOLD]
    called = [name.encode() for name in (canary, *names)]
    return faults + [f"a name is in {place}" for place, data in told for name in called if name in data]


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
COMMIT_SECONDS = 0.5
"""Longer than somebody takes, on a machine that does much else, to see an acknowledgement and kill for it."""


def sends(job: Any) -> bool:
    """Whether a job of the store's takes messages."""
    name: str = job.job.__qualname__
    return name.startswith(("send", "deliver"))


@wraps_original
def tell_at_once(original: Callable[..., None]) -> Callable[..., None]:
    """A message is acknowledged once it was inserted, before its transaction is committed."""

    def run(self: Store, job: Any) -> None:
        original(self, job)
        if sends(job):
            job.settle(None)

    return run


@wraps_original
def commit_late(original: Callable[..., None]) -> Callable[..., None]:
    """The disk is slow with messages, so that it shows."""

    def commit_batches(self: Any) -> None:
        batches = self._batches

        def get() -> Any:
            batch = batches.get()
            if any(map(sends, batch or ())):
                time.sleep(COMMIT_SECONDS)
            return batch

        self._batches = SimpleNamespace(get=get, put=batches.put)
        original(self)

    return commit_batches
