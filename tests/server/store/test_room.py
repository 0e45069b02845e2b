"""The ballast: room that is kept for when there is none."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tacit import errors
from tacit.server.store import room
from tacit.server.store.room import Room
from tacit.server.store.sqlite import Store, connect

SIZE = 64 * 1024


class Disk:
    """A disk that has room or has not, and a stopwatch."""

    def __init__(self) -> None:
        self.errno = 0
        self.now = 0.0
        self.asked: list[int] = []

    def allocate(self, handle: int, offset: int, size: int) -> None:
        self.asked.append(size)
        if self.errno:
            raise OSError(self.errno, os.strerror(self.errno))
        os.posix_fallocate(handle, offset, size)

    def stopwatch(self) -> float:
        return self.now


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def told() -> list[bool]:
    return []


@pytest.fixture
def made(tmp_path: Path, disk: Disk, told: list[bool]) -> Room:
    return Room(tmp_path / "chat.db", SIZE, told.append, disk.allocate, disk.stopwatch)


def failure(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    return error


def test_the_ballast_takes_its_room_and_only_its_owner_reads_it(made: Room, told: list[bool]) -> None:
    made.look()
    assert made.path.name == "chat.db-ballast"
    found = made.path.stat()
    assert (found.st_size, found.st_mode & 0o777, found.st_blocks * 512 >= SIZE) == (SIZE, 0o600, True)
    assert (made.full, told) == (False, [])


def test_a_ballast_of_another_size_becomes_one_of_this(made: Room) -> None:
    made.path.write_bytes(bytes(3 * SIZE))
    made.look()
    assert made.path.stat().st_size == SIZE


def test_on_a_full_disk_it_is_given_up_and_made_again_when_there_is_room(
    made: Room, disk: Disk, told: list[bool]
) -> None:
    made.look()
    assert made.ran_out(failure(sqlite3.SQLITE_FULL))
    assert not made.path.exists()
    disk.errno = errno.ENOSPC
    for disk.now in (0.5, 1.5, 2.0, 3.0):
        made.look()
    assert disk.asked == [SIZE, SIZE * 5 // 4, SIZE * 5 // 4]  # once a second, and more than it gave up
    assert (made.full, told) == (True, [True])
    assert made.ran_out(failure(sqlite3.SQLITE_FULL))
    disk.errno, disk.now = 0, 9.0
    made.look()
    assert (made.full, told, made.path.stat().st_size) == (False, [True, False], SIZE)


def test_where_there_is_no_room_for_it_the_disk_is_full(made: Room, disk: Disk) -> None:
    disk.errno = errno.EDQUOT
    made.look()
    assert made.full
    assert not made.path.exists()


def test_a_disk_that_fails_is_not_full(made: Room, disk: Disk) -> None:
    made.look()
    for code in (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_BUSY):
        assert not made.ran_out(failure(code))
    assert not made.ran_out(ValueError())
    assert not made.ran_out(OSError(errno.EIO, "no"))
    assert made.path.exists()
    assert not made.full


def test_a_write_that_failed_for_want_of_room_says_so_by_a_probe(made: Room, disk: Disk) -> None:
    made.look()
    disk.errno = errno.EDQUOT
    assert made.ran_out(failure(sqlite3.SQLITE_IOERR_WRITE))
    assert disk.asked == [SIZE, room.PROBE_BYTES]
    assert list(made.path.parent.iterdir()) == []


def test_where_a_file_system_cannot_make_it_it_goes_without(made: Room, disk: Disk, told: list[bool]) -> None:
    disk.errno = errno.EOPNOTSUPP
    made.look()
    assert (made.full, told, made.path.exists()) == (False, [], False)


def test_without_a_ballast_nobody_is_refused_beforehand(tmp_path: Path) -> None:
    none = Room(tmp_path / "chat.db", 0)
    none.look()
    assert none.ran_out(failure(sqlite3.SQLITE_FULL))
    assert not none.full
    assert list(tmp_path.iterdir()) == []


def failing_once(error: Exception) -> Callable[[Path, bool], sqlite3.Connection]:
    errors_left = [error]

    def opened(path: Path, read_only: bool = False) -> sqlite3.Connection:
        if errors_left:
            raise errors_left.pop()
        return connect(path, read_only)

    return opened


async def test_a_database_opens_on_a_disk_that_is_full_by_the_ballast(made: Room, tmp_path: Path, disk: Disk) -> None:
    made.look()
    async with Store(tmp_path / "chat.db", failing_once(failure(sqlite3.SQLITE_FULL)), room=made):
        assert made.full  # the second within which it is not tried again is not over
        assert not made.path.exists()


async def test_a_ballast_that_cannot_be_removed_leaves_nobody_waiting(
    made: Room, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    def job(db: sqlite3.Connection) -> None:
        raise failure(sqlite3.SQLITE_FULL)

    async with Store(tmp_path / "chat.db", room=made) as store:
        monkeypatch.setattr(Path, "unlink", unlink)
        with pytest.raises(errors.StorageFull):
            await asyncio.wait_for(store.write(job), 10)
        disk.errno, disk.now = errno.ENOSPC, 2.0
        with pytest.raises(errors.StorageFull):
            await asyncio.wait_for(store.write(lambda _: None), 10)
        assert made.full
