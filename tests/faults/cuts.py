"""Power cuts under the store: what was acknowledged before the cut has to be there after it, and be whole."""

from __future__ import annotations

import asyncio
import os
import queue
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

from faults.disk import Disk, Held, Link, Sync, after_cut, by_chance, everything, nothing
from faults.form import Row
from faults.lookalike import opening_through
from server.store.fill import put_account, put_epoch, send
from tacit.server.store import backup, meta, nonces
from tacit.server.store.sqlite import Connect, Store, connect
from tacit.wire import limits

DATABASE = "chat.db"
CHECKPOINT_PAGES = 30
"""After so many pages the log is merged into the database: often, so that cuts fall into that."""
Told = tuple[str, int, str]
"""A message that was acknowledged: its client message id, its seq, and its bytes."""


@dataclass(slots=True)
class Outcome:
    """What came of the cuts: how many there were, and of how many what was wrong. One loss of each kind is told."""

    cuts: int = 0
    lost: int = 0
    unsound: int = 0
    examples: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.cuts} cuts, {self.lost} lost acknowledged rows, {self.unsound} left something unsound"


def opener(vfs: str, weaker: str = "") -> Connect:
    """The product's own `connect` through this file system; `weaker` is another `synchronous` than it sets."""

    def opened(path: Path, read_only: bool = False) -> sqlite3.Connection:
        with opening_through(vfs):
            connection = connect(path, read_only)
        if not read_only:
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            if weaker:
                connection.execute(f"PRAGMA synchronous = {weaker}")
        return connection

    return opened


class TellsTooEarly(Store):
    """A store that acknowledges what is not committed yet, and commits it once that was heard."""

    def __init__(self, path: Path, connect: Connect) -> None:
        super().__init__(path, connect)
        self._batches = _Later(self._batches)

    def _run(self, job: Any) -> None:
        super()._run(job)
        job.settle(None)


class _Later(queue.SimpleQueue[Any]):
    """A queue that hands on to another, a few turns of the event loop later."""

    def __init__(self, to: queue.SimpleQueue[Any]) -> None:
        self._to, self.get = to, to.get  # type: ignore[method-assign]

    def put(self, item: Any, block: bool = True, timeout: float | None = None, *, turns: int = 5) -> None:
        if item is None or not turns:
            self._to.put(item)
        else:
            asyncio.get_running_loop().call_soon(lambda: self.put(item, turns=turns - 1))


MakeStore = Callable[[Path, Connect], Store]


def written(folder: Path, rounds: int, *, weaker: str = "", honest: bool = True, make: MakeStore = Store) -> Disk:
    """The disk under a store to which several people write at once, while what is over is forgotten."""
    disk, chance = Disk(honest), random.Random(7)
    with disk.mounted() as vfs:
        asyncio.run(_write(make(folder / DATABASE, opener(vfs, weaker)), disk, rounds, chance))
    return disk


async def _write(store: Store, disk: Disk, rounds: int, chance: random.Random) -> None:
    async def one(name: str) -> None:
        payload = chance.randbytes(chance.choice((100, 400, 6000))).hex()
        done = await store.write(lambda db: send(db, name, payload=payload), checks_first=True)
        disk.tell((name, done.seq, payload))

    await store.write(lambda db: meta.put(db, "name", b"chat.example"))
    await store.write(lambda db: [put_account(db, name) for name in ("alice", "bob")])
    await store.write(put_epoch)
    for number in range(rounds):
        await asyncio.gather(*(one(f"{number}-{each}") for each in range(chance.randint(1, 6))))
        await store.write(lambda db, number=number: nonces.take(db, "key", str(number), number))  # type: ignore[misc]
        if number % 7 == 6:
            await store.write(lambda db, number=number: nonces.purge(db, now=number))  # type: ignore[misc]
    await store.close()


def faults_of(database: Path, told: Iterable[Told]) -> list[str]:
    """What is wrong with a database after a cut, by plain sqlite3: `lost: …` for what was told, else `unsound: …`."""
    try:
        with closing(sqlite3.connect(database)) as db:
            db.execute("PRAGMA synchronous = OFF")
            return list(_faults(db, told))
    except sqlite3.Error as error:
        return [f"unsound: {error}"]


def _faults(db: sqlite3.Connection, told: Iterable[Told]) -> Iterator[str]:
    for (line,) in db.execute("PRAGMA integrity_check(3)").fetchall():
        if line != "ok":
            yield f"unsound: {line}"
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'messages'").fetchone():
        yield from ("lost: " + name for name, _, _ in told)
        return
    if db.execute("PRAGMA foreign_key_check").fetchone():
        yield "unsound: a row belongs to one that is not there"
    rows = db.execute("SELECT client_message_id, seq, encrypted_payload FROM messages ORDER BY seq").fetchall()
    there = set(rows)
    yield from (f"lost: {each[0]}" for each in told if each not in there)
    head = db.execute("SELECT head_seq FROM conversations").fetchone()
    records = db.execute("SELECT seq FROM conversation_keys").fetchall()
    places = Counter([seq for _, seq, _ in rows] + [seq for (seq,) in records])
    if head and places != Counter(range(1, head[0] + 1)):
        yield "unsound: the numbers have a hole"
    if len({name for name, _, _ in rows}) != len(rows):
        yield "unsound: a message stands twice"


def moments(disk: Disk, extra: int, chance: random.Random) -> set[int]:
    """After which steps the power goes: at each sync and each new name, before and after, and `extra` others."""
    every = range(len(disk.steps))
    edges = {at for at in every if isinstance(disk.steps[at], Sync | Link)}
    others = chance.sample(every, min(extra, len(every)))
    return edges | {at + 1 for at in edges} | {len(disk.steps)} | set(others)


Judge = Callable[[Path, list[Any], bool], list[str]]
"""What is wrong in a folder after a cut, given what was told before it."""


def cut(disk: Disk, judge: Judge, *, extra: int, seeds: int, seed: int = 1) -> Outcome:
    """Cut the power at every such moment, with each luck there is and `seeds` by chance, and look."""
    outcome, held, chance = Outcome(), Held(), random.Random(seed)
    at_these = moments(disk, extra, chance)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as scratch:
        for at in range(len(disk.steps) + 1):
            if at in at_these:
                for luck in (nothing, everything, *(by_chance(chance) for _ in range(seeds))):
                    found = after_cut(held, luck, lambda _, kept=luck is everything: kept or chance.random() < 0.5)  # type: ignore[misc]
                    folder = Path(scratch) / str(outcome.cuts)
                    folder.mkdir()
                    for name, data in found.items():
                        (folder / name).write_bytes(data)
                    _count(outcome, judge(folder, held.told, luck is everything), f"step {at}")
                    for each in folder.iterdir():
                        each.unlink()
                    folder.rmdir()
            if at < len(disk.steps):
                held.take(disk.steps[at])
    return outcome


def _count(outcome: Outcome, faults: list[str], where: str) -> None:
    outcome.cuts += 1
    outcome.lost += any(each.startswith("lost") for each in faults)
    outcome.unsound += any(each.startswith("unsound") for each in faults)
    for each in faults:
        outcome.examples.setdefault(each.partition(":")[0], f"{where}: {each}")


def judge_store(folder: Path, told: list[Any], _: bool) -> list[str]:
    """What is wrong with the database of a store."""
    if not (folder / DATABASE).exists():
        return [f"lost: {name}" for name, _, _ in told]
    return faults_of(folder / DATABASE, told)


# --- copies ------------------------------------------------------------------------------

COPY = "copy.db"


def copied(database: Path, *, restored: bool, weaker: str = "") -> tuple[Disk, list[Told]]:
    """The disk under a backup, or under a restoring, of this database; and the messages that it has to hold."""
    disk = Disk()
    with closing(sqlite3.connect(database)) as db:
        rows = db.execute("SELECT client_message_id, seq, encrypted_payload FROM messages").fetchall()
    target = database.parent / f"of {database.name}"
    target.mkdir()
    with disk.mounted() as vfs, disk.names_watched(), mock.patch.object(backup, "connect", opener(vfs, weaker)):
        if restored:
            backup.restore(database, target / COPY, "ab" * 16, 1)
        else:
            backup.copy(database, target / COPY)
    disk.tell("done")
    return disk, rows


def judge_copy(rows: list[Told], lost_places: int) -> Judge:
    """Of a copy: it has its name only when it is whole, and has it for good once it was said to be done."""

    def judge(folder: Path, told: list[Any], _: bool) -> list[str]:
        copy = folder / COPY
        if not copy.exists():
            return ["lost: the copy"] if told else []
        if (folder / f"{COPY}-wal").exists() or (folder / f"{COPY}-journal").exists():
            return ["unsound: something lies beside the copy"]
        with closing(sqlite3.connect(copy)) as db:
            try:
                there = set(db.execute("SELECT client_message_id, seq, encrypted_payload FROM messages").fetchall())
                sound = [row[0] for row in db.execute("PRAGMA integrity_check(3)").fetchall()]
                (places,) = db.execute("SELECT coalesce(sum(last_seq - first_seq + 1), 0) FROM lost_places").fetchone()
            except sqlite3.Error as error:
                return [f"unsound: {error}"]
        faults = [f"unsound: {each}" for each in sound if each != "ok"]
        faults += [] if there == set(rows) else ["lost: rows of the copy"]
        return faults + ([] if places == lost_places else ["unsound: the lost places are not those"])

    return judge


# --- the long form -----------------------------------------------------------------------


def long(share: float) -> Iterator[Row]:
    """Every arm; the store as it is with a cut after each step. `share` of the rounds."""
    rounds = max(30, round(200 * share))
    for name, options, loses in ARMS:
        with tempfile.TemporaryDirectory() as folder:
            outcome = cut(written(Path(folder), rounds, **options), judge_store, extra=300 if loses else 10**9, seeds=2)
        wrong = (outcome.lost > 0) != loses or (outcome.unsound > 0 and not loses)
        yield Row(f"cuts.{name}", f"{outcome}{' (it has to)' if loses else ''} {outcome.examples or ''}", wrong)
    for restored in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            written(Path(folder), rounds)
            disk, rows = copied(Path(folder) / DATABASE, restored=restored)
            outcome = cut(disk, judge_copy(rows, limits.LOST_PLACES if restored else 0), extra=10**9, seeds=10)
        wrong = bool(outcome.lost or outcome.unsound)
        yield Row(f"cuts.{'restore' if restored else 'backup'}", f"{outcome} {outcome.examples or ''}", wrong)


ARMS: Final[Sequence[tuple[str, dict[str, Any], bool]]] = (
    ("as-it-is", {}, False),
    ("synchronous-normal", {"weaker": "NORMAL"}, True),
    ("synchronous-off", {"weaker": "OFF"}, True),
    ("disk-lies", {"honest": False}, True),
    ("told-too-early", {"make": TellsTooEarly}, True),
)
