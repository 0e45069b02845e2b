"""The local store: one SQLCipher file, one thread, one transaction for each change of state."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

from sqlcipher3 import dbapi2

from tacit import errors
from tacit.client.books import Books
from tacit.client.schema import MIGRATIONS
from tacit.crypto.secret import Secret, revealed_key

if TYPE_CHECKING:
    from sqlite3 import Connection

T = TypeVar("T")

BUSY_MILLISECONDS: Final = 10_000
"""How long a transaction waits for another program that has the same store open."""

SETTINGS: Final = (
    "PRAGMA cipher_memory_security = ON",
    # A wrong key is told by an error; SQLCipher would write it to standard error as well.
    "PRAGMA cipher_log = off",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = ON",
    # Not WAL: a write-ahead log keeps deleted keys until it is truncated.
    "PRAGMA journal_mode = DELETE",
    "PRAGMA synchronous = FULL",
    f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}",
    "PRAGMA trusted_schema = OFF",
)


@final
class Store:
    """An open local store. `run` does one piece of work on its `Books` in one transaction."""

    def __init__(self, path: Path, worker: ThreadPoolExecutor, connection: Connection) -> None:
        """Use `open`."""
        self.path = path
        self._worker = worker
        self._connection = connection
        self._books = Books(connection)
        self._data_version = -1
        self._closed = False

    @classmethod
    async def open(cls, path: Path, key: Secret) -> Store:
        """The store in `path`, made where there is none, with a 32-byte key.

        Raises `StoreLocked` for another key or a file that is no store, `DatabaseTooNew`, `InvalidArgument` for a path
        that cannot be used.
        """
        worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tacit-store")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(worker, _connect, path, key)
        except BaseException:
            worker.shutdown(wait=False)
            raise
        return cls(path, worker, connection)

    async def run(self, work: Callable[[Books], T]) -> T:
        """What `work` gives, once its transaction is durable; whatever it raises undoes all of it."""
        if self._closed:
            raise errors.NotSignedIn("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._transaction, work)

    async def close(self) -> None:
        """Close the file; what is under way is finished first."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._worker, self._connection.close)
            self._worker.shutdown(wait=False)

    def _transaction(self, work: Callable[[Books], T]) -> T:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._data_version:  # another program wrote: what was read before may be old
                self._data_version = version
                self._books = Books(connection)
            result = work(self._books)
            connection.execute("COMMIT")
        except BaseException as error:
            self._books = Books(connection)  # what it had in memory may belong to the undone transaction
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, dbapi2.Error):
                raise _as_service_error(error) from None
            raise
        return result


def _connect(path: Path, key: Secret) -> Connection:
    raw = revealed_key(key)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
    except OSError as error:
        raise errors.InvalidArgument(f"the store {path.name} cannot be opened: {error.strerror}") from None
    connection: Connection = dbapi2.connect(str(path), isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA key = \"x'{raw.hex()}'\"")
        for setting in SETTINGS:
            connection.execute(setting)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        migrate(connection, MIGRATIONS)
    except dbapi2.Error as error:
        connection.close()
        if isinstance(error, dbapi2.OperationalError):
            raise _as_service_error(error) from None
        raise errors.StoreLocked() from None
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: Connection, migrations: tuple[str, ...]) -> None:
    """Bring the tables up to date, each step whole or not at all; raises `DatabaseTooNew`."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > len(migrations):
        raise errors.DatabaseTooNew(f"schema {found}, this program knows {len(migrations)}")
    for number in range(found, len(migrations)):
        connection.executescript(f"BEGIN IMMEDIATE; {migrations[number]} PRAGMA user_version = {number + 1}; COMMIT;")


def _as_service_error(error: Any) -> errors.TacitError:
    text = str(error)  # SQLite's own words hold no values
    if "locked" in text:
        return errors.StoreLocked("another program is using it")
    return errors.StoreFailed(text[:100])
