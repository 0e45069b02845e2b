"""Copies of the database: one taken while it is served, and one put in the place of a database that is gone.

Both are written beside their name, checked, and get the name only when they are whole: a name that is taken is never
written over. They are made by a process of its own beside the server's, which does not hold up its writes.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from tacit import errors
from tacit.server.store import account_events, messages, meta, putting_back, schema
from tacit.server.store.sqlite import connect
from tacit.wire import limits

PAGES: Final = 4096
"""Pages that are copied at a time; between two steps an interruption is noticed."""
BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database: of another one, it would be taken for this one's."""
PASSED: Final = ("sessions", "nonces", "pending_resets")
"""Tables of which an old state is dangerous: what ended since would be open again."""


def copy(database: Path, file: Path) -> int:
    """Copy one state of a database, which may be served meanwhile, to a new file; returns its size in bytes.

    The copy is one file without a log beside it, mode 0600. Raises `InvalidArgument` where `file` is there already, its
    folder is not, or `database` is no server's; `DatabaseDamaged` where the copy is not sound; `Internal` where the
    disk fails.
    """
    with _at_last(file) as partial, closing(open_server(database)) as source:
        _copy(source, partial, lambda _: None)
    return file.stat().st_size


def restore(file: Path, database: Path, incarnation: str, now: int) -> int:
    """Put a copy where there is no database, as a server that its clients have not met; returns its size in bytes.

    It gets the `incarnation` (hex). Sessions, nonces and resets that wait are left out; of a reset's end the account's
    devices are told. The next numbers of every conversation are lost: what had them after the copy was taken is on
    devices, where nothing else comes to the same place. Raises as `copy` does.
    """

    def renew(connection: sqlite3.Connection) -> None:
        schema.migrate(connection)
        connection.execute("BEGIN IMMEDIATE")
        waiting = connection.execute("SELECT user_id, version FROM pending_resets ORDER BY user_id").fetchall()
        for user_id, version in waiting:
            account_events.append(connection, [user_id], "reset_cancelled", {"version": version}, now)
        for table in PASSED:
            connection.execute(f"DELETE FROM {table}")
        messages.lose(connection, limits.LOST_PLACES, now)
        meta.put(connection, "incarnation", incarnation.encode())
        meta.put(connection, putting_back.RESTORED, str(now).encode())
        connection.execute("COMMIT")

    with _at_last(database) as partial, closing(open_server(file)) as source:
        _copy(source, partial, renew)
    return database.stat().st_size


def open_server(path: Path) -> sqlite3.Connection:
    """A read-only connection to a server's database, in a transaction on one state of it.

    Raises `InvalidArgument` where there is none, and `DatabaseTooNew`.
    """
    try:
        connection = connect(path, True)
    except sqlite3.Error as error:
        raise errors.InvalidArgument(f"{path}: cannot be opened ({error})") from None
    try:
        connection.execute("BEGIN")
        reached = schema.version(connection)
        if reached > schema.MIGRATIONS[-1].number:
            raise errors.DatabaseTooNew(f"it has schema version {reached}")
        if not reached or meta.get(connection, "name") is None:
            raise errors.InvalidArgument(f"{path}: it is no server's database")
    except sqlite3.Error as error:
        connection.close()
        raise errors.InvalidArgument(f"{path}: it is no database ({error})") from None
    except BaseException:
        connection.close()
        raise
    return connection


def _copy(source: sqlite3.Connection, partial: Path, work: Callable[[sqlite3.Connection], None]) -> None:
    """Copy, see that the copy is sound, and work on it; all of it is on the disk afterwards."""
    with closing(connect(partial)) as made:
        # The source is in a transaction: however long this takes, it is one state, and it never begins again.
        source.backup(made, pages=PAGES)
        faults = unsound(made)
        if faults:
            raise errors.DatabaseDamaged(faults[0])
        work(made)
        # One file that opens anywhere, also where nothing can be written beside it.
        made.execute("PRAGMA journal_mode = DELETE")


def unsound(connection: sqlite3.Connection, most: int = 100) -> list[str]:
    """What SQLite itself finds wrong with a database, at most so many lines; nothing where it is sound."""
    try:
        found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({most})")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [] if found == ["ok"] else found


@contextmanager
def _at_last(name: Path) -> Iterator[Path]:
    """A file to write, which gets its name when the block ends well, and is gone when it does not."""
    for taken in (name, *(name.with_name(name.name + end) for end in BESIDE)):
        if taken.exists() or taken.is_symlink():
            raise errors.InvalidArgument(f"{taken}: it is there already; move it away first")
    try:
        handle, made = tempfile.mkstemp(".partial", f".{name.name}.", name.parent)
    except OSError as error:
        raise errors.InvalidArgument(f"{name}: cannot be written: {error.strerror}") from None
    os.close(handle)
    partial = Path(made)
    try:
        yield partial
        # A link, unlike a renaming, does not take the place of what came there meanwhile.
        os.link(partial, name)
    except FileExistsError:
        raise errors.InvalidArgument(f"{name}: it is there already; move it away first") from None
    except (OSError, sqlite3.Error) as error:
        raise errors.Internal(f"{name}: it could not be written ({error})") from error
    finally:
        for end in ("", *BESIDE):
            with suppress(FileNotFoundError):
                partial.with_name(partial.name + end).unlink()
    _sync(name.parent)


def _sync(folder: Path) -> None:
    """See that a new name in a folder is on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
