"""The server that is fuzzed: a process of its own, looked at from outside, and people who talk to it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from fuzz.failed import Failed as Failed
from server.people import AUTHORITY, Clock, Town

UNLIMITED: Final = ("--requests-per-device", "0", "--requests-per-address", "0")
PATIENCE: Final = 30.0
"""Seconds, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    database: Path
    log: Path

    def rows(self) -> list[tuple[Any, ...]]:
        """All that the database holds."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
            return [(table, *row) for table in tables for row in db.execute(f'SELECT * FROM "{table}"')]

    def descriptors(self) -> int:
        """Open files and sockets."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def resident(self) -> int:
        """Bytes of memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def check_log(self) -> None:
        """Raises `Failed` where anything in the log was not expected."""
        for line in self.log.read_text(encoding="utf-8").splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                raise Failed(f"the log has {line!r}") from None
            if told["level"] == "error" or told.get("status", 200) >= 500 or told.get("code") == "internal":
                raise Failed(f"the log has {line}")

    def check_well(self) -> None:
        """Raises `Failed` unless the process lives and answers."""
        if self.process.poll() is not None:
            raise Failed(f"the server ended with {self.process.returncode}")
        answer = httpx2.get(f"http://127.0.0.1:{self.port}/health/live", trust_env=False, timeout=PATIENCE)
        if answer.status_code != 200:
            raise Failed(f"the server answers {answer.status_code}")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds; raises `Failed` where it does not come to it."""
        end = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > end:
                raise Failed(what)
            time.sleep(0.01)


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Target]:
    """A server on a free port that believes itself at `AUTHORITY`; its log, JSON, is a file."""
    database, log = folder / "chat.db", folder / "log"
    command = [sys.executable, "-m", "tacit", "serve", "--port", "0", "--database", str(database)]
    command += ["--url", f"http://{AUTHORITY}", "--log-format", "json", *UNLIMITED, *options]
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise Failed(log.read_text(encoding="utf-8"))
        yield Target(process, port_of(process.pid), database, log)
    finally:
        process.terminate()
        process.communicate(timeout=120)


def port_of(pid: int) -> int:
    """The port that a process listens on."""
    inodes = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        if parts[3] == "0A" and f"socket:[{parts[9]}]" in inodes:
            return int(parts[1].partition(":")[2], 16)
    raise Failed("it listens nowhere")


class WallClock(Clock):
    """The server's own."""

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000


class _To(httpx2.AsyncHTTPTransport):
    """Requests for `AUTHORITY`, to the port where it really is."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(port=self._port)
        return await super().handle_async_request(request)


class Abroad(Town):
    """People who reach a server by its socket."""

    def __init__(self, target: Target) -> None:
        self.clock = WallClock()
        self.arrivals = 0
        self.http = httpx2.AsyncClient(
            transport=_To(target.port), base_url=f"http://{AUTHORITY}", trust_env=False, timeout=PATIENCE
        )
