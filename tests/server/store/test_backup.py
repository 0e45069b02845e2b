from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tacit import errors
from tacit.server.store import backup, meta, nonces
from tacit.server.store.sqlite import Store, connect


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
