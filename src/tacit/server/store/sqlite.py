"""The embedded store: SQLite with group commit, for one server process.

    store = Store("tacit.db")                       # creates or migrates the file, mode 0600
    row = await store.read(lambda db: accounts.get(db, "alice"))
    sent = await store.write(lambda db: messages.insert(db, ...), checks_first=True)
    await store.close()                             # what was accepted is finished

A *job* is a plain function over a connection that composes the functions of the modules beside this one. `write` runs
it inside a transaction shared with other jobs and returns its result only after that transaction is durable. A job
that raises is undone alone and its exception goes to its caller. When the disk fails, every job of the transaction
gets `Internal`, when it is full `StorageFull`, and the writer goes on with the next. Jobs are short: they run on the
event loop. Verify signatures before, off the loop where they are many, and compare in the job what was verified with
what is stored.

The modules beside this one work over a connection and have no policy of their own.

Statements run on the event loop and only COMMIT, which waits for the disk, in a thread. `sqlite3` lets go of the
interpreter at every statement, and a thread has to get it back from the loop each time: a point query, 7 microseconds
here, takes 33 through a thread of an idle process and milliseconds through one whose loop is busy. Writes gain nothing
from a thread that runs the statements too (docs/decisions/statements-on-the-loop.md).
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from tacit import errors
from tacit.server.store import schema
from tacit.server.store.room import Room

T = TypeVar("T")
Done = Callable[[Any, Exception | None], None]
"""Hears of a job once it is durable: its result and None, or None and why there is none."""
Connect = Callable[[Path, bool], sqlite3.Connection]
Told = Callable[[int, float, bool], None]

log = logging.getLogger("tacit.store")

BATCH: Final = 256
"""Jobs in one transaction at most: how long the loop is kept from other work."""
BUSY_MS: Final = 1000
"""Milliseconds that another process may hold the database before a transaction fails."""
_PAUSE: Final = 0.005

# Errors of a job's own statement; after any other the transaction itself is in doubt.
_OF_THE_STATEMENT: Final = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISUSE,
}


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """A connection with every setting that the store relies on; makes the file with mode 0600.

    Raises `Internal` when the file system cannot keep a write-ahead log, `sqlite3.Error` when there is no database.
    """
    if not read_only:
        # SQLite gives the -wal and -shm files the mode of the database.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={'ro' if read_only else 'rw'}",
        uri=True,
        timeout=BUSY_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    try:
        if not read_only:
            mode = _use_log(connection)
            if mode != "wal":
                raise errors.Internal(f"the database cannot use a write-ahead log here (journal mode {mode})")
            connection.execute("PRAGMA synchronous = FULL")
            # What is overwritten (former vaults, ended sessions) does not stay behind in free space.
            connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_log(connection: sqlite3.Connection) -> str:
    """Switch to a write-ahead log; returns the journal mode that the database has then."""
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            mode: str = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            return mode
        except sqlite3.OperationalError as error:
            # This statement, other than all others, does not wait for a process that makes the same switch.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        time.sleep(_PAUSE)


class _Job:
    """One accepted write."""

    __slots__ = ("before", "checks_first", "done", "error", "housekeeping", "job", "result")

    def __init__(
        self,
        job: Callable[[sqlite3.Connection], Any],
        before: Callable[[sqlite3.Connection], object] | None,
        checks_first: bool,
        housekeeping: bool,
        done: Done,
    ) -> None:
        self.job = job
        self.before = before
        self.checks_first = checks_first
        self.housekeeping = housekeeping
        self.done = done
        self.result: Any = None
        self.error: Exception | None = None

    def settle(self, lost: Exception | None, full: bool = False) -> None:
        """Tell the caller; `lost` is why the transaction is not durable, if it is not: the disk was `full`, or else."""
        error = self.error
        if full:
            error = errors.StorageFull()
        elif lost is not None:
            error = errors.Internal("the database failed")
        if lost is not None and error is not None:
            error.__cause__ = lost
        try:
            self.done(None if error is not None else self.result, error)
        except Exception as raised:  # of whoever asked for this job: the others of its transaction have to be told
            context = {"message": "who waited for a job failed", "exception": raised}
            asyncio.get_running_loop().call_exception_handler(context)


class _BrokenPromiseError(Exception):
    """A job with `checks_first` raised after it had written."""


class Store:
    """The database of one server; all methods are called on one event loop."""

    def __init__(
        self, path: str | Path, connect: Connect = connect, told: Told = lambda *_: None, room: Room | None = None
    ) -> None:
        """Open, and create or migrate, the database at `path`; raises `DatabaseTooNew` or `Internal`.

        `told` hears of every transaction: its jobs, its seconds, and whether it is durable. `room` is what is done
        about a full disk; without it nothing is.
        """
        self._path = Path(path)
        self.room = room or Room(self._path, 0)
        self._connect = connect
        self._told = told
        self._began = 0.0
        self._waiting: deque[_Job] = deque()
        self._committing = False
        self._scheduled = False
        self._closing = False
        self._drained: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._batches: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        try:
            self._writer, self._reader = self._open()
        except (OSError, sqlite3.Error) as error:
            raise errors.Internal(f"the database {self._path} cannot be opened ({error})") from error
        self.room.look()
        self._thread = threading.Thread(target=self._commit_batches, name="tacit-commit", daemon=True)
        self._thread.start()

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        """The connections to write and to read by; once more where the disk was full and its ballast was there."""
        again = self.room.path.exists()
        try:
            writer = self._connect(self._path, False)
            try:
                schema.migrate(writer)
                return writer, self._connect(self._path, True)
            except BaseException:
                writer.close()
                raise
        except (OSError, sqlite3.Error) as error:
            if not (self.room.ran_out(error) and again):
                raise
        return self._open()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def waiting(self) -> int:
        """Jobs that wait for a transaction."""
        return len(self._waiting)

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` on a read-only connection, all of it on one state of the database."""
        return self.look(job)

    def look(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """`read`, for who does not wait: nothing in it does."""
        reader = self._reader
        try:
            reader.execute("BEGIN")
            try:
                return job(reader)
            finally:
                reader.execute("COMMIT")
        except sqlite3.Error as error:
            log.error("reading the database failed: %s", error)
            raise errors.Internal("the database failed") from error

    async def write(
        self,
        job: Callable[[sqlite3.Connection], T],
        *,
        before: Callable[[sqlite3.Connection], object] | None = None,
        checks_first: bool = False,
        housekeeping: bool = False,
    ) -> T:
        """Run `job` in a transaction and return its result once that is durable.

        Raises what `job` raises, after undoing it; `StorageFull` when the disk is full, which is at once while no
        `housekeeping` (it forgets, or keeps for a minute); `Internal` when it failed or the store is closed. A caller
        that is cancelled meanwhile does not undo it. `before` runs ahead of the job and stays even if the job raises
        (a nonce is used up by a refused request too); it raises only before it writes. With `checks_first` the job
        promises the same of itself, which saves it a savepoint; one that breaks the promise fails its transaction.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: Any, error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self.submit(job, done, before=before, checks_first=checks_first, housekeeping=housekeeping)
        return await future

    def submit(
        self,
        job: Callable[[sqlite3.Connection], T],
        done: Done,
        *,
        before: Callable[[sqlite3.Connection], object] | None = None,
        checks_first: bool = False,
        housekeeping: bool = False,
    ) -> None:
        """`write`, for who is called back; what `done` raises is the event loop's to tell.

        Raises `Internal` when the store is closed.
        """
        if self._closing:
            raise errors.Internal("the store is closed")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._waiting or self._committing:
                raise errors.Internal("the store is used from two event loops")
            self._loop = loop
        self._waiting.append(_Job(job, before, checks_first, housekeeping, done))
        if not self._committing and not self._scheduled:
            # Not at once: what else is ready to write in this turn of the loop shares the transaction.
            self._scheduled = True
            loop.call_soon(self._next_batch)

    async def close(self) -> None:
        """Finish what was accepted, refuse more, and close; the log is merged into the database file."""
        self._closing = True
        if self._waiting or self._committing:
            self._drained = self._drained or asyncio.Event()
            await self._drained.wait()
        if self._thread.is_alive():
            self._batches.put(None)
            self._thread.join()
        self._reader.close()
        self._writer.close()

    # --- the loop's side -----------------------------------------------------------------

    def _next_batch(self) -> None:
        """Run waiting jobs in a new transaction and hand it over to be committed."""
        self._scheduled = False
        if self._committing:
            return
        while self._waiting:
            batch = self._take_batch()
            if not batch:
                continue
            self._began = time.perf_counter()
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                for job in batch:
                    self._run(job)
            except (sqlite3.Error, _BrokenPromiseError) as error:
                self._undo(error)
                full = self.room.ran_out(error)
                seconds = time.perf_counter() - self._began
                asyncio.get_running_loop().call_soon(self._told, len(batch), seconds, False)  # it may fail: others wait
                for job in batch:
                    job.settle(error, full)
                continue
            self._committing = True
            self._batches.put(batch)
            return
        if self._drained is not None:
            self._drained.set()

    def _take_batch(self) -> list[_Job]:
        """The jobs that wait longest; of a full disk those that do housekeeping, and the others are told."""
        if not self.room.full:
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        self.room.look()
        batch: list[_Job] = []
        while self._waiting and len(batch) < BATCH:
            job = self._waiting.popleft()
            if job.housekeeping or not self.room.full:
                batch.append(job)
            else:
                job.settle(None, full=True)
        return batch

    def _run(self, job: _Job) -> None:
        """Run one job and keep its outcome; raises only what spoils the whole transaction."""
        connection = self._writer
        changes = connection.total_changes
        promised = True
        try:
            if job.before is not None:
                job.before(connection)
            if job.checks_first:
                changes = connection.total_changes
                job.result = job.job(connection)
                return
            connection.execute("SAVEPOINT job")
            promised = False
            job.result = job.job(connection)
        except Exception as error:  # a job is a task of its own: whatever it raises is its caller's
            if isinstance(error, sqlite3.Error) and not _of_the_statement(error):
                raise
            if not connection.in_transaction:
                raise sqlite3.OperationalError("the transaction ended inside a job") from error
            job.error = error
            if promised:
                if connection.total_changes != changes:
                    raise _BrokenPromiseError("a job wrote before it raised") from error
                return
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")

    def _committed(self, batch: list[_Job], lost: Exception | None) -> None:
        """Back on the loop after COMMIT: start the next transaction first, so that the disk does not wait."""
        self._committing = False
        seconds = time.perf_counter() - self._began
        full = lost is not None and self.room.ran_out(lost)
        self._next_batch()
        for job in batch:
            job.settle(lost, full)
        self._told(len(batch), seconds, lost is None)  # after those who wait: whoever listens may fail

    def _undo(self, error: Exception) -> None:
        """Leave no transaction open; a connection that cannot even do that is replaced."""
        log.error("a transaction failed and was undone: %s", error)
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            try:
                self._writer.close()
                self._writer = self._connect(self._path, False)
            except (OSError, sqlite3.Error, errors.Internal) as again:
                # The next transaction fails on the closed connection and tries this once more.
                log.error("the database cannot be opened again: %s", again)

    # --- the thread's side ---------------------------------------------------------------

    def _commit_batches(self) -> None:
        while (batch := self._batches.get()) is not None:
            lost: Exception | None = None
            try:
                self._writer.execute("COMMIT")
            except sqlite3.Error as error:
                lost = error
                self._undo(error)
            assert self._loop is not None
            try:
                self._loop.call_soon_threadsafe(self._committed, batch, lost)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                self._waiting.clear()
                self._committing = False
                return


def _of_the_statement(error: sqlite3.Error) -> bool:
    """Whether only the statement failed, so that undoing its job is enough."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is None or (code & 0xFF) in _OF_THE_STATEMENT
