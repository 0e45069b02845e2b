"""A `sqlite3.Connection` as far as the store needs one, over apsw, whose file system is Python's to play with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

import apsw

Values = Sequence[Any]


@contextmanager
def as_sqlite3() -> Iterator[None]:
    """apsw's errors as those of sqlite3, with their codes."""
    try:
        yield
    except apsw.Error as error:
        code = int(getattr(error, "extendedresult", sqlite3.SQLITE_ERROR))
        kind = sqlite3.IntegrityError if code & 0xFF == sqlite3.SQLITE_CONSTRAINT else sqlite3.OperationalError
        raised = kind(str(error))
        raised.sqlite_errorcode = code
        raise raised from error


class Cursor:
    """What a statement found."""

    def __init__(self, rows: apsw.Cursor, rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def fetchone(self) -> tuple[Any, ...] | None:
        with as_sqlite3():
            row: tuple[Any, ...] | None = next(self._rows, None)
            return row

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self)


class Connection:
    """A database, opened through the file system of this name."""

    def __init__(self, uri: str, vfs: str, busy_ms: int) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
        with as_sqlite3():
            self.inner = apsw.Connection(uri, flags, vfs)
            self.inner.set_busy_timeout(busy_ms)

    @property
    def total_changes(self) -> int:
        return self.inner.total_changes()

    @property
    def in_transaction(self) -> bool:
        return self.inner.in_transaction

    def execute(self, statement: str, values: Values = ()) -> Cursor:
        before = self.total_changes
        with as_sqlite3():
            rows = self.inner.execute(statement, tuple(values))
        return Cursor(rows, self.total_changes - before)

    def executemany(self, statement: str, each: Iterable[Values]) -> Cursor:
        before = self.total_changes
        with as_sqlite3():
            rows = self.inner.executemany(statement, (tuple(values) for values in each))
        return Cursor(rows, self.total_changes - before)

    def backup(self, target: Connection, *, pages: int = -1) -> None:
        with as_sqlite3(), target.inner.backup("main", self.inner, "main") as copying:
            while not copying.done:
                copying.step(pages)

    def close(self) -> None:
        """Close it. The last one tries to merge the log; that a read-only one may not is no error to SQLite."""
        with as_sqlite3(), suppress(*([apsw.IOError] if self.inner.readonly("main") else [])):
            self.inner.close()


@contextmanager
def opening_through(vfs: str) -> Iterator[None]:
    """While this lasts `sqlite3.connect`, and so the product's own `connect`, opens through the file system `vfs`."""

    def connect(address: str, *, timeout: float = 5, **_: Any) -> Connection:
        return Connection(address, vfs, round(timeout * 1000))

    with mock.patch.object(sqlite3, "connect", connect):
        yield
