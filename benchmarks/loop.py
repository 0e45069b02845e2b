"""Where SQLite's statements run: on the event loop, as the store has them, or in a thread of their own.

No figure is asked for; docs/decisions/statements-on-the-loop.md rests on these. *Busy* is an event loop that always
has something else to do, in turns of about 0.1 or 1 ms, as a server's has under load.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import uvloop

from benchmarks.floors.store_floor import Message, some_message
from benchmarks.harness import Report
from benchmarks.store import file_system, on_disk, open_conversation, places
from tacit.server.store import conversations, messages, schema
from tacit.server.store.sqlite import Store, connect

NAME = "loop"

SENDERS = 64
READS = 100
OTHER_WORK = {"loop idle": 0.0, "loop busy, 0.1 ms": 0.0001, "loop busy, 1 ms": 0.001}
"""Seconds that one turn of the loop takes with other things."""
Job = Callable[[sqlite3.Connection], object]


class Writes(Protocol):
    """What both stores can do."""

    async def write(self, job: Job, *, checks_first: bool = False) -> object: ...


class Threaded:
    """The rival: the same group commit, but a thread runs the statements too."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        schema.migrate(self._connection)
        self._jobs: queue.SimpleQueue[tuple[Job, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def write(self, job: Job, *, checks_first: bool = False) -> object:
        """Run `job` in the thread, in a transaction with what else waits."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put((job, future))
        return await future

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            batch = [first]
            while not self._jobs.empty() and (more := self._jobs.get()) is not None:
                batch.append(more)
            self._connection.execute("BEGIN IMMEDIATE")
            results = [job(self._connection) for job, _ in batch]
            self._connection.execute("COMMIT")
            loop = batch[0][1].get_loop()
            loop.call_soon_threadsafe(self._settle, [future for _, future in batch], results)

    @staticmethod
    def _settle(futures: list[asyncio.Future[Any]], results: list[object]) -> None:
        for future, result in zip(futures, results, strict=True):
            future.set_result(result)

    def close(self) -> None:
        """Ends the thread and closes the database."""
        self._jobs.put(None)
        self._thread.join()
        self._connection.close()


async def beside(work: Coroutine[Any, Any, float], turn: float) -> float:
    """The result of `work`, on a loop that has other things to do for so many seconds a turn."""
    stopped = False

    async def other() -> None:
        while not stopped:
            until = time.perf_counter() + turn
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    others = asyncio.create_task(other()) if turn else None
    try:
        return await work
    finally:
        stopped = True
        if others is not None:
            await others


async def sending(store: Writes, given: list[Message]) -> float:
    """Seconds for these messages by concurrent senders."""

    async def sender(own: list[Message]) -> None:
        for message in own:
            await store.write(lambda db, message=message: messages.insert(db, *message), checks_first=True)  # type: ignore[misc]

    started = time.perf_counter()
    await asyncio.gather(*(sender(given[first::SENDERS]) for first in range(SENDERS)))
    return time.perf_counter() - started


async def reading(read: Callable[[], Awaitable[object]]) -> float:
    """Seconds of one of many reads, one after the other."""
    started = time.perf_counter()
    for _ in range(READS):
        await read()
    return (time.perf_counter() - started) / READS


def run(report: Report) -> None:
    """Writes and point queries, on the loop and in a thread, with the loop idle and busy."""
    place = on_disk(places())
    report.note(
        f"On {file_system(place)}; {SENDERS} senders; the thread commits as many messages together as the loop."
    )
    with (
        tempfile.TemporaryDirectory(dir=place) as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ThreadPoolExecutor(1) as pool,
    ):
        runner.run(_compare(report, Path(directory), pool))


async def _compare(report: Report, directory: Path, pool: ThreadPoolExecutor) -> None:
    store, threaded = Store(directory / "loop"), Threaded(directory / "thread")
    await store.write(open_conversation)
    await threaded.write(open_conversation)
    number = 0
    try:
        for label, turn in OTHER_WORK.items():
            taken: dict[str, list[float]] = {"loop": [], "thread": []}
            for _ in range(report.rounds(9)):
                given = [some_message(each, SENDERS) for each in range(number, number + 2 * SENDERS)]
                number += len(given)
                taken["loop"].append(await beside(sending(store, given), turn))
                taken["thread"].append(await beside(sending(threaded, given), turn))
            per_second = {name: 2 * SENDERS / statistics.median(times) for name, times in taken.items()}
            ratio = per_second["loop"] / per_second["thread"]
            report.row(f"writes in a thread, {label}", per_second["thread"], "rows/s")
            report.row(f"writes on the loop, {label}", per_second["loop"], "rows/s", ratio=ratio, against="in a thread")
            await _compare_reads(report, directory, pool, store, turn, label)
    finally:
        await store.close()
        threaded.close()


async def _compare_reads(
    report: Report, directory: Path, pool: ThreadPoolExecutor, store: Store, turn: float, label: str
) -> None:
    connection = connect(directory / "loop", True)
    conversation_id = some_message(0, 1).conversation_id

    def query(db: sqlite3.Connection) -> object:
        return conversations.head(db, conversation_id)

    async def on_the_loop() -> object:
        return await store.read(query)

    async def in_a_thread() -> object:
        return await asyncio.get_running_loop().run_in_executor(pool, query, connection)

    taken: dict[str, list[float]] = {"loop": [], "thread": []}
    for _ in range(report.rounds(9)):
        taken["loop"].append(await beside(reading(on_the_loop), turn))
        taken["thread"].append(await beside(reading(in_a_thread), turn))
    micros = {name: statistics.median(times) * 1e6 for name, times in taken.items()}
    report.row(f"point query in a thread, {label}", micros["thread"], "us")
    ratio = micros["loop"] / micros["thread"]
    report.row(f"point query on the loop, {label}", micros["loop"], "us", ratio=ratio, against="in a thread")
    connection.close()
