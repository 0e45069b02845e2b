"""Storing messages with group commit against plain sqlite3, in batches and a transaction a message."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import uvloop

from benchmarks.floors.store_floor import Floor, Message, some_message
from benchmarks.harness import Report, interleave
from tacit.server.store import conversations, messages
from tacit.server.store.rows import MemberChange
from tacit.server.store.sqlite import Store

NAME = "store"

SENDERS = (1, 16, 64)
ASKED = 64
"""The number of senders for which figures were asked for."""
PEOPLE = 256
"""Members of the conversation: so many senders at most."""
OF_BATCHES = 0.6
OVER_EACH = 3.0
TRANSACTIONS = 40
"""How often one timed call waits for the disk, whichever the rival; at 64 senders SQLite merges its log meanwhile."""
IN_MEMORY = {"tmpfs", "ramfs"}


def file_system(path: Path) -> str:
    """The type of the file system that `path` is on, such as ext4."""
    found = {"": "unknown"}
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mounted_on, kind, *_ = line.split()
        if path.resolve().is_relative_to(mounted_on):
            found[mounted_on] = kind
    return found[max(found, key=len)]


def on_disk(places: Sequence[Path]) -> Path:
    """The first of these directories whose files are on a disk: in memory COMMIT costs nothing."""
    for place in places:
        if file_system(place) not in IN_MEMORY:
            return place
    raise SystemExit("none of " + ", ".join(map(str, places)) + " is on a disk; set TMPDIR to one that is")


def places() -> list[Path]:
    """Where databases may be made, best first."""
    return [Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()]


def open_conversation(db: sqlite3.Connection) -> None:
    """The conversation to which `some_message` belongs."""
    first = some_message(0, 1)
    conversations.put_record(
        db,
        conversation_id=first.conversation_id,
        epoch=1,
        key_id=first.key_id,
        record_hash="r" * 64,
        previous_record_hash="",
        protocol="envelope",
        record="record",
        signature="signature",
        state=b"state",
        changes=[MemberChange(some_message(number, PEOPLE).sender, 2, 1) for number in range(PEOPLE)],
        new_grants=(),
        now=0,
    )


class Product:
    """The store with one conversation, and senders who each wait for an answer before they send again."""

    def __init__(self, path: Path, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._store = Store(path)
        runner.run(self._store.write(open_conversation))

    async def _sender(self, own: Iterator[Message]) -> None:
        for message in own:
            await self._store.write(lambda db, message=message: messages.insert(db, *message), checks_first=True)  # type: ignore[misc]

    async def _all(self, given: Sequence[Message], senders: int) -> None:
        await asyncio.gather(*(self._sender(iter(given[first::senders])) for first in range(senders)))

    def send(self, given: Sequence[Message], senders: int) -> None:
        """Store these, each sender one after the other."""
        self._runner.run(self._all(given, senders))

    def count(self) -> int:
        """How many messages are stored."""
        found: int = self._runner.run(
            self._store.read(lambda db: db.execute("SELECT count(*) FROM messages").fetchone()[0])
        )
        return found

    def close(self) -> None:
        """Closes the database."""
        self._runner.run(self._store.close())


def run(report: Report) -> None:
    """Rows a second at 1, 16 and 64 concurrent senders."""
    place = on_disk(places())
    report.note(f"On {file_system(place)}, synchronous=FULL, write-ahead log; rows of about 1.3 KB with two indexes.")
    report.note("A batch is one executemany in one transaction of as many rows as there are senders, without lookups.")
    report.note("The ratio of processor times is what the ratio to batches tends to on ever faster disks.")
    report.note("The store runs under uvloop; each sender waits for its answer before it sends again.")
    for senders in SENDERS:
        with (
            tempfile.TemporaryDirectory(dir=place) as directory,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            _compare(report, senders, Path(directory), runner)


def _compare(report: Report, senders: int, directory: Path, runner: asyncio.Runner) -> None:
    product = Product(directory / "product", runner)
    batches, single = Floor(directory / "batches"), Floor(directory / "each")
    rounds = report.rounds(15)
    transactions = TRANSACTIONS // 4 if report.quick else TRANSACTIONS
    sizes = {"store": transactions * senders, "batches": transactions * senders, "each": transactions}
    # Made beforehand; none is sent twice.
    made = [some_message(number, senders) for number in range(rounds * transactions * senders)]
    starts = {name: count(0, size) for name, size in sizes.items()}

    def given(name: str) -> Sequence[Message]:
        start = next(starts[name])
        return made[start : start + sizes[name]]

    def in_batches() -> None:
        messages = given("batches")
        for start in range(0, len(messages), senders):
            batches.batch(messages[start : start + senders])

    cpu = dict.fromkeys(sizes, 0.0)

    def counted(name: str, call: Callable[[], object]) -> Callable[[], object]:
        def counting() -> None:
            before = time.process_time()
            call()
            cpu[name] += time.process_time() - before

        return counting

    cases = {
        "store": counted("store", lambda: product.send(given("store"), senders)),
        "batches": counted("batches", in_batches),
        "each": counted("each", lambda: single.each(given("each"))),
    }
    try:
        seconds = interleave(cases, rounds, batch=1)
        stored = {"store": product.count(), "batches": batches.count(), "each": single.count()}
        if stored != {name: rounds * size for name, size in sizes.items()}:
            raise RuntimeError(f"not all is stored that was sent: {stored}")
    finally:
        product.close()
        batches.close()
        single.close()
    rows = {name: sizes[name] / taken for name, taken in seconds.items()}
    asked = senders == ASKED
    label = f"{senders} sender{'s' if senders > 1 else ''}"
    report.row(f"sqlite3 in batches, {label}", rows["batches"], "rows/s")
    report.row(f"sqlite3, a transaction each, {label}", rows["each"], "rows/s")
    report.row(
        f"store, {label}",
        rows["store"],
        "rows/s",
        ratio=rows["store"] / rows["batches"],
        against="batches",
        at_least=OF_BATCHES if asked else None,
    )
    report.row(
        f"store, {label}",
        rows["store"],
        "rows/s",
        ratio=rows["store"] / rows["each"],
        against="a transaction each",
        at_least=OVER_EACH if asked else None,
    )
    if asked:
        micros = {name: spent / rounds / sizes[name] * 1e6 for name, spent in cpu.items()}
        report.row(f"processor of batches, {label}", micros["batches"], "us/row")
        share = micros["batches"] / micros["store"]
        report.row(f"processor of the store, {label}", micros["store"], "us/row", ratio=share, against="batches")
