"""A disk of a size that a test says: a folder's files, the ballast among them, take no more than that."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from faults.lookalike import Connection
from tacit.server.store.room import Room

SIZE = "TACIT_TESTS_DISK"
"""In a process of its own: the variable that names a file with the disk's size in bytes."""
BLOCK = 4096


class SmallDisk:
    """The file system of this name, on which the files of one folder have `size` bytes."""

    def __init__(self, folder: Path, name: str, size: int = 1 << 40) -> None:
        self.folder = folder
        self.name = name
        self.size = size
        self._system = _System(name, self)

    def used(self) -> int:
        """Bytes that are taken, by blocks; not the shared memory, which is on a disk only by name."""
        sizes = [each.stat().st_size for each in self.folder.iterdir() if not each.name.endswith("-shm")]
        return sum(-(-size // BLOCK) * BLOCK for size in sizes)

    def has_room(self, before: int, after: int) -> bool:
        """Whether a file of `before` bytes may get `after`."""
        grows = -(-after // BLOCK) * BLOCK - -(-before // BLOCK) * BLOCK
        return grows <= 0 or self.used() + grows <= self.size

    def allocate(self, handle: int, offset: int, size: int) -> None:
        """As `os.posix_fallocate`."""
        if not self.has_room(os.fstat(handle).st_size, offset + size):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.posix_fallocate(handle, offset, size)

    def close(self) -> None:
        """No file of it may be open any more."""
        self._system.unregister()


class _System(apsw.VFS):
    def __init__(self, name: str, disk: SmallDisk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        return _File(self._disk, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: SmallDisk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:
        if not self._disk.has_room(self.xFileSize(), offset + len(data)):
            full = apsw.FullError("database or disk is full")
            full.extendedresult = apsw.SQLITE_FULL  # type: ignore[attr-defined]
            raise full
        super().xWrite(data, offset)


# --- in a process of its own -------------------------------------------------------------


class SizedByFile(SmallDisk):
    """A disk whose size stands in the file that the environment names."""

    def has_room(self, before: int, after: int) -> bool:
        self.size = int(Path(os.environ[SIZE]).read_text())
        return super().has_room(before, after)


_disks: dict[Path, SizedByFile] = {}


def _disk_of(folder: Path) -> SizedByFile:
    if folder not in _disks:
        _disks[folder] = SizedByFile(folder, f"small-{len(_disks)}")
    return _disks[folder]


def connect(address: str, *, timeout: float = 5, **_: Any) -> Connection:
    """In place of `sqlite3.connect`."""
    path = Path(address.removeprefix("file:").partition("?")[0])
    return Connection(address, _disk_of(path.parent).name, round(timeout * 1000))


def room(database: Path, size: int, told: Callable[[bool], None] = lambda _: None) -> Room:
    """In place of `Room`."""
    return Room(database, size, told, _disk_of(database.parent).allocate)


BENT = {"sqlite3:connect": "faults.quota:connect", "tacit.server.app:Room": "faults.quota:room"}


def on(disk: SmallDisk, stopwatch: Any) -> Any:
    """`Room` on this disk, in this process."""
    return partial(Room, allocate=disk.allocate, stopwatch=stopwatch)
