"""Room on the disk: a file that takes some while there is plenty, and gives it back when there is none.

SQLite writes before it deletes, so that on a full disk nothing can be forgotten either, and no log merged. The file of
this size beside the database goes then: what it leaves is for housekeeping, and for the operator. All else is refused
until the file can be made again, because there is room.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

log = logging.getLogger("tacit.store")

ENDING: Final = "-ballast"
AGAIN_SECONDS: Final = 1.0
"""How often it is tried at most to make the file again."""
PROBE_BYTES: Final = 64 * 1024
"""What a disk has no room for on which a write failed: SQLite does not say of each whether that was why."""
SHORTAGES: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

Allocate = Callable[[int, int, int], object]
"""As `os.posix_fallocate`: gives a file so many bytes from an offset on, or raises `OSError`."""


@final
class Room:
    """The ballast of one database; `full` from when the disk was until there is room for the ballast again.

    Without a ballast, of 0 bytes, each write finds out by itself.
    """

    def __init__(
        self,
        database: Path,
        size: int,
        told: Callable[[bool], None] = lambda _: None,
        allocate: Allocate = os.posix_fallocate,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        """`size` in bytes. `told` hears of every change of `full`."""
        self.full = False
        self.path = database.with_name(database.name + ENDING)
        self._size = size
        self._told = told
        self._allocate = allocate
        self._stopwatch = stopwatch
        self._tried = 0.0

    def look(self) -> None:
        """Take the room of the ballast where there is enough; of a full disk that is tried once a second at most.

        It takes a quarter more to end that than the ballast has: what it gave up itself is not enough.
        """
        now = self._stopwatch()
        if self.full and now - self._tried < AGAIN_SECONDS:
            return
        self._tried = now
        self._tell(not self._take(self._size, self._size // 4 if self.full else 0, keep=True))

    def ran_out(self, error: Exception) -> bool:
        """Whether a write failed because the disk is full; then the ballast is gone."""
        if isinstance(error, OSError):
            short = error.errno in SHORTAGES
        else:
            code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
            short = code == sqlite3.SQLITE_FULL or (
                code == sqlite3.SQLITE_IOERR and not self._take(PROBE_BYTES, 0, keep=False)
            )
        if short and self._size:
            self._tried = self._stopwatch()
            _remove(self.path)
            self._tell(True)
        return short

    def _tell(self, full: bool) -> None:
        if full != self.full:
            self.full = full
            self._told(full)

    def _take(self, size: int, spare: int, *, keep: bool) -> bool:
        """Make a file of this size, if it is to be kept for good; False where there is no room for it and `spare`."""
        if not size:
            return True
        path = self.path if keep else self.path.with_name(f"{self.path.name}.probe")
        done = False
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(handle, min(size, os.fstat(handle).st_size))
                self._allocate(handle, 0, size + spare)
                os.ftruncate(handle, size)
                done = True
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno not in SHORTAGES:
                log.warning("%s cannot be made: %s", path.name, error.strerror)
                return True  # nothing is known of the room
        finally:
            if not (done and keep):
                _remove(path)
        return done


def _remove(path: Path) -> None:
    """Remove a file, if that can be: those whose writes failed wait to be told, whatever becomes of it."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed: %s", path.name, error.strerror)
