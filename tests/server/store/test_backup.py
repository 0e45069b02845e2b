from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from server.store.fill import put_epoch, send
from tacit import errors
from tacit.server.store import backup, messages, meta, nonces, resets, sessions
from tacit.server.store.rows import Lost, PendingReset, Session
from tacit.server.store.sqlite import Store, connect
from tacit.wire import limits


@pytest.fixture
async def served(tmp_path: Path) -> Path:
    """The database of a server that was stopped."""
    async with Store(tmp_path / "chat.db") as store:
        await store.write(lambda db: meta.put(db, "name", b"chat.example"))
    return tmp_path / "chat.db"


@pytest.fixture
async def running(served: Path) -> AsyncIterator[Store]:
    async with Store(served) as store:
        yield store


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    with closing(connect(database, True)) as db:
        return db.execute(query).fetchall()


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def test_a_copy_of_a_database_that_is_written_is_one_state_of_it(
    running: Store, served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transaction adds one row to two tables: where it was cut in two, the copy has one more in one of them."""
    monkeypatch.setattr(backup, "PAGES", 1)

    def both(db: sqlite3.Connection, number: int) -> None:
        nonces.take(db, "key", str(number), 1)
        meta.put(db, f"{number}", os.urandom(2000))

    async def write() -> None:
        for number in range(10_000):
            if copying.done():
                return
            await running.write(lambda db, number=number: both(db, number))  # type: ignore[misc]

    await running.write(lambda db: meta.put(db, "last", b"in the log only"))
    folder = tmp_path / "copies"
    folder.mkdir()
    copying = asyncio.ensure_future(asyncio.to_thread(backup.copy, served, folder / "one.db"))
    await write()
    assert await copying == (folder / "one.db").stat().st_size
    assert rows(folder / "one.db", "SELECT value FROM server_meta WHERE name = 'last'") == [(b"in the log only",)]
    ((single, double),) = rows(
        folder / "one.db", "SELECT (SELECT count(*) FROM nonces), (SELECT count(*) - 2 FROM server_meta)"
    )
    assert single == double
    assert names(folder) == {"one.db"}


async def test_a_copy_is_one_file_for_its_owner_alone(served: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        backup.copy(served, tmp_path / "copy.db")
    finally:
        os.umask(before)
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert rows(tmp_path / "copy.db", "PRAGMA journal_mode") == [("delete",)]
    assert names(tmp_path) >= {"chat.db", "copy.db"}
    assert not [each for each in names(tmp_path) if each.startswith((".", "copy.db-"))]


@pytest.mark.parametrize("taken", ["copy.db", "copy.db-wal", "copy.db-shm", "copy.db-journal"])
async def test_nothing_is_written_over(served: Path, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_bytes(b"something else")
    before = names(tmp_path)
    with pytest.raises(errors.InvalidArgument, match="it is there already"):
        backup.copy(served, tmp_path / "copy.db")
    assert (tmp_path / taken).read_bytes() == b"something else"
    assert names(tmp_path) == before


async def test_a_link_that_leads_nowhere_is_there_too(served: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(errors.InvalidArgument, match="it is there already"):
        backup.copy(served, tmp_path / "copy.db")
    assert not (tmp_path / "elsewhere.db").exists()


async def test_what_came_there_meanwhile_stays(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsound(_: sqlite3.Connection) -> list[str]:
        (tmp_path / "copy.db").write_bytes(b"something else")
        return []

    monkeypatch.setattr(backup, "unsound", unsound)
    with pytest.raises(errors.InvalidArgument, match="it is there already"):
        backup.copy(served, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_bytes() == b"something else"
    assert not [each for each in names(tmp_path) if each.startswith(".")]


async def test_a_damaged_database_makes_no_copy(served: Path, tmp_path: Path) -> None:
    with closing(connect(served)) as db:
        db.executemany("INSERT INTO nonces VALUES (?, 'x', 1)", [(str(number),) for number in range(3000)])
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((root,),) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'nonces_by_expiry'").fetchall()
        ((size,),) = db.execute("PRAGMA page_size").fetchall()
    with served.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(bytes(size))
    before = names(tmp_path)
    with pytest.raises(errors.DatabaseDamaged):
        backup.copy(served, tmp_path / "copy.db")
    assert names(tmp_path) - {"chat.db-wal", "chat.db-shm"} == before


def test_what_is_no_servers_database_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but longer than a header of one hundred bytes" * 3)
    connect(tmp_path / "empty").close()
    for name in ("text", "empty", "missing"):
        with pytest.raises(errors.InvalidArgument):
            backup.copy(tmp_path / name, tmp_path / "copy.db")
    assert not (tmp_path / "missing").exists()
    assert not (tmp_path / "copy.db").exists()


async def test_a_database_of_a_later_version_is_not_copied(served: Path, tmp_path: Path) -> None:
    with closing(connect(served)) as db:
        db.execute("INSERT INTO schema_version VALUES (99, 'to come')")
    with pytest.raises(errors.DatabaseTooNew):
        backup.copy(served, tmp_path / "copy.db")


async def test_without_a_folder_there_is_no_copy(served: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument, match="cannot be written: No such file"):
        backup.copy(served, tmp_path / "missing" / "copy.db")


async def test_a_disk_that_fails_leaves_nothing(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(backup, "_copy", full)
    with pytest.raises(errors.Internal, match="disk is full"):
        backup.copy(served, tmp_path / "copy.db")
    assert not [each for each in names(tmp_path) if each.startswith((".", "copy.db"))]


# --- restoring -------------------------------------------------------------------------


def fill(db: sqlite3.Connection) -> None:
    """Rows of each kind that is dangerous when it is old, and a conversation with one record and two messages."""
    meta.put(db, "incarnation", b"the first")
    nonces.take(db, "key", "nonce", 5)
    for kind in ("full", "provisional", "registration"):
        sessions.open_session(db, Session(kind, "alice", "device", b"key", kind, 1, 1 << 50))
    resets.put(db, "alice", PendingReset(3, "key id", "device", 9))
    put_epoch(db)
    for number in ("a", "b"):
        send(db, number)


@pytest.fixture
async def file(served: Path, tmp_path: Path) -> Path:
    async with Store(served) as store:
        await store.write(fill)
    backup.copy(served, tmp_path / "copy.db")
    return tmp_path / "copy.db"


async def test_what_is_dangerous_when_it_is_old_is_left_out(file: Path, tmp_path: Path) -> None:
    database = tmp_path / "restored.db"
    size = backup.restore(file, database, "ab" * 16, 1234)
    assert (size, database.stat().st_mode & 0o777) == (database.stat().st_size, 0o600)
    for table in ("sessions", "nonces", "pending_resets"):
        assert rows(database, f"SELECT count(*) FROM {table}") == [(0,)]
        assert rows(file, f"SELECT count(*) > 0 FROM {table}") == [(1,)]
    assert rows(database, "SELECT value FROM server_meta WHERE name = 'incarnation'") == [(b"ab" * 16,)]
    told = rows(database, "SELECT kind, body, created_at FROM account_events WHERE user_id = 'alice' ORDER BY seq DESC")
    assert told[0] == ("reset_cancelled", '{"version":3}', 1234)


async def test_no_row_that_was_left_out_stays_in_the_file(file: Path, tmp_path: Path) -> None:
    database = tmp_path / "restored.db"
    assert b"provisional" in file.read_bytes().replace(b"'provisional'", b"")
    backup.restore(file, database, "ab" * 16, 1234)
    assert b"provisional" not in database.read_bytes().replace(b"'provisional'", b"")


async def test_the_next_numbers_are_lost_and_those_after_them_go_on(file: Path, tmp_path: Path) -> None:
    database = tmp_path / "restored.db"
    backup.restore(file, database, "ab" * 16, 1234)
    end = 3 + limits.LOST_PLACES
    async with Store(database) as store:
        sent = await store.write(lambda db: send(db, "c"))
        assert sent.seq == end + 1
        for after, expected in (
            (0, [1, 2, 3, Lost(4, end, 1234), end + 1]),
            (3, [Lost(4, end, 1234), end + 1]),
            (10, [Lost(11, end, 1234), end + 1]),
            (end, [end + 1]),
            (end + 1, []),
        ):
            page = await store.read(lambda db, after=after: messages.page(db, "team", after, 10))  # type: ignore[misc]
            assert [each if isinstance(each, Lost) else each.seq for each in page.items] == expected
            assert (page.cursor, page.more) == (end + 1, False)
        page = await store.read(lambda db: messages.page(db, "team", 2, 2))
        assert (page.cursor, page.more) == (end, True)
        page = await store.read(lambda db: messages.page(db, "team", 0, 10, up_to_seq=3))
        assert [each.seq for each in page.items] == [1, 2, 3]


async def test_nothing_is_restored_over_a_database_or_what_is_left_of_one(file: Path, tmp_path: Path) -> None:
    for taken in ("restored.db", "restored.db-wal"):
        (tmp_path / taken).write_bytes(b"something else")
        with pytest.raises(errors.InvalidArgument, match=f"{taken}: it is there already"):
            backup.restore(file, tmp_path / "restored.db", "ab" * 16, 1234)
        assert (tmp_path / taken).read_bytes() == b"something else"
        (tmp_path / taken).unlink()
