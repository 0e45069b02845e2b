"""The server processes of the benchmark `server`, and one turn of its load."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.harness import Report
from benchmarks.server_load import Run, Sender, Socket, greet
from benchmarks.server_seed import Pair

HOST: Final = "127.0.0.1"
CORES: Final = os.sched_getaffinity(0)


class Process:
    """A server process on the first core."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        self.port = int(line.strip().rpartition(":")[2])
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {first_core()})

    def seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kib(self) -> float:
        """Resident memory of its own."""
        for line in Path(f"/proc/{self._process.pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Private_Dirty:"):
                return float(line.split()[1])
        raise RuntimeError("no memory is told")

    def files(self) -> int:
        """Open file descriptors."""
        return sum(1 for _ in Path(f"/proc/{self._process.pid}/fd").iterdir())

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(60)


def first_core() -> int:
    """Where servers run."""
    return min(CORES)


@contextmanager
def product(database: Path) -> Iterator[Process]:
    """`tacit serve` without a limit of requests."""
    command = ["-m", "tacit", "serve", "--port", "0", "--database", str(database), "--log-level", "warning"]
    command += ["--requests-per-device", "0", "--requests-per-address", "0", "--connections-per-address", "0"]
    command += ["--handshakes", "0", "--handshakes-per-address", "0"]
    yield from running(command)


@contextmanager
def control(kind: str) -> Iterator[Process]:
    """uvicorn alone."""
    yield from running(["benchmarks/floors/echo_floor.py", "0", kind])


def running(command: Sequence[str]) -> Iterator[Process]:
    """A process until its turn is over."""
    process = Process(command)
    try:
        yield process
    finally:
        process.stop()


def load_core() -> None:
    """Keep this process off the servers' core, where there is another."""
    os.sched_setaffinity(0, CORES - {first_core()} or CORES)


def turns(report: Report) -> int:
    """How often each is measured."""
    return 3 if report.quick else 5


def per_turn(senders: int) -> int:
    """Messages of one sender in one turn."""
    return max(8, min(400, 4_000 // senders))


async def by_socket(process: Process, pairs: Sequence[Pair], messages: Sequence[Sequence[bytes]]) -> tuple[Run, float]:
    """One turn over WebSockets, and the server's processor time for a message."""
    done, senders, open_ = Run(), [], list[Socket]()
    for pair, frames in zip(pairs, messages, strict=True):
        hers, his = [await greet(HOST, process.port, person) for person in pair.people]
        sender = Sender(done, hers.send, frames)
        hers.got, his.got = sender.frame, sender.delivered
        senders.append(sender)
        open_ += (hers, his)
    spent = await go(process, done, senders)
    for socket in open_:
        socket.transport.close()
    return done, spent


async def go(process: Process, done: Run, senders: Sequence[Sender]) -> float:
    """Let them all send until they are done."""
    before, own, started = process.seconds(), time.process_time(), time.perf_counter()
    for sender in senders:
        sender.go()
    await asyncio.gather(*(sender.done for sender in senders))
    done.seconds = time.perf_counter() - started
    done.own = (time.process_time() - own) / done.acknowledged
    while done.delivered < done.acknowledged:
        await asyncio.sleep(0)
    return (process.seconds() - before) / done.acknowledged
