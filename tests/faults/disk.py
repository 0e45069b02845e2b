"""A disk that loses its power: what was written since the last sync is there afterwards, or not, or in part.

The files are real and written at once; `Disk` keeps beside them, in one order, everything that was asked for: writes,
syncs, deletions, and what somebody was told meanwhile. From that `after_cut` makes, for any moment of it, what a disk
could hold that lost its power then. Each write since the file's last sync is kept whole, dropped, or torn at the edge
of a sector, by itself: a later one may be there without an earlier one, as with a disk that writes in another order.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import apsw

SECTOR = 512
"""Bytes that are written whole or not at all."""
JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL


@dataclass(frozen=True, slots=True)
class Write:
    file: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    file: str


@dataclass(frozen=True, slots=True)
class Delete:
    """A name goes; `lasting` where the folder was synced with it."""

    file: str
    lasting: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A file gets a second name."""

    file: str
    name: str


@dataclass(frozen=True, slots=True)
class SyncFolder:
    """The names are on the disk from here on."""


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody was told something."""

    what: Any


Step = Write | Truncate | Sync | Delete | Link | SyncFolder | Told


@dataclass(slots=True)
class Disk:
    """A file system by the name `vfs`, and what was asked of it. A disk that is not `honest` syncs nothing."""

    honest: bool = True
    steps: list[Step] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: ClassVar[Iterator[int]] = count()

    def note(self, step: Step) -> None:
        """One step more."""
        with self._lock:
            self.steps.append(step)

    def tell(self, what: Any) -> None:
        """Somebody is told this now."""
        self.note(Told(what))

    @contextmanager
    def mounted(self) -> Iterator[str]:
        """The file system, by its name."""
        name = f"cut-{next(self._numbers)}"
        system = _System(name, self)
        try:
            yield name
        finally:
            system.unregister()

    @contextmanager
    def names_watched(self) -> Iterator[None]:
        """Links and deletions of this process are steps too, and so is the sync of a folder."""
        link, unlink, sync = os.link, Path.unlink, os.fsync

        def linked(old: Any, new: Any) -> None:
            link(old, new)
            self.note(Link(Path(old).name, Path(new).name))

        def unlinked(path: Path) -> None:
            unlink(path)
            self.note(Delete(path.name, False))

        def synced(handle: int) -> None:
            sync(handle)
            self.note(SyncFolder())

        with (
            mock.patch.object(os, "link", linked),
            mock.patch.object(Path, "unlink", unlinked),
            mock.patch.object(os, "fsync", synced),
        ):
            yield


class _System(apsw.VFS):
    """The usual file system, and a disk that hears of it."""

    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        return _File(self._disk, name, flags)

    def xDelete(self, name: str, sync_folder: bool) -> None:
        super().xDelete(name, sync_folder)
        self._disk.note(Delete(Path(name).name, sync_folder))


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        given = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._disk = disk
        self._name = Path(given).name if given else ""
        # Of a journal or log that it made SQLite syncs the folder too, with the file's first sync.
        self._new = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & JOURNALS)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._disk.note(Write(self._name, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._disk.note(Truncate(self._name, size))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        if self._disk.honest:
            self._disk.note(Sync(self._name))
            if self._new:
                self._disk.note(SyncFolder())
            self._new = False


# --- what is there afterwards ------------------------------------------------------------


@dataclass(slots=True)
class Inode:
    """A file: what is on the disk for good, and what was asked for since."""

    lasting: bytes = b""
    since: list[Write | Truncate] = field(default_factory=list)

    def sync(self) -> None:
        self.lasting = applied(self.lasting, self.since)
        self.since = []


@dataclass(slots=True)
class Held:
    """A folder at one moment: its names, those that are on the disk for good, and what was told so far."""

    names: dict[str, Inode] = field(default_factory=dict)
    lasting: dict[str, Inode] = field(default_factory=dict)
    told: list[Any] = field(default_factory=list)

    def take(self, step: Step) -> None:
        """One step on."""
        match step:
            case Write() | Truncate():
                self.names.setdefault(step.file, Inode()).since.append(step)
            case Sync(file):
                self.names.setdefault(file, Inode()).sync()
            case Delete(file, lasting):
                self.names.pop(file, None)
                if lasting:
                    self.lasting.pop(file, None)
            case Link(file, name):
                self.names[name] = self.names[file]
            case SyncFolder():
                self.lasting = dict(self.names)
            case Told(what):
                self.told.append(what)


Luck = Callable[[Write | Truncate], list[Write | Truncate]]
"""What is left of one thing that was asked for and not synced."""


def nothing(_: Write | Truncate) -> list[Write | Truncate]:
    """The disk had written nothing that it did not have to."""
    return []


def everything(step: Write | Truncate) -> list[Write | Truncate]:
    """The disk had written all of it: as if only the process had ended."""
    return [step]


def by_chance(chance: random.Random) -> Luck:
    """Some is there, some is not, some is torn; how much differs from cut to cut."""
    kept, torn = chance.random(), chance.random()

    def luck(step: Write | Truncate) -> list[Write | Truncate]:
        if chance.random() >= torn or isinstance(step, Truncate):
            return [step] if chance.random() < kept else []
        return [each for each in sectors(step) if chance.random() < kept]

    return luck


def sectors(write: Write) -> Iterator[Write]:
    """A write by sectors, each a write of its own."""
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        after = min(end, (at // SECTOR + 1) * SECTOR)
        yield Write(write.file, at, write.data[at - write.offset : after - write.offset])
        at = after


def applied(data: bytes, steps: list[Write | Truncate]) -> bytes:
    """A file's bytes once these steps are done; what nobody wrote between is zero."""
    found = bytearray(data)
    for step in steps:
        size = step.size if isinstance(step, Truncate) else step.offset + len(step.data)
        if isinstance(step, Truncate):
            del found[size:]
        if len(found) < size:
            found.extend(bytes(size - len(found)))
        if isinstance(step, Write):
            found[step.offset : size] = step.data
    return bytes(found)


def after_cut(held: Held, luck: Luck, name_kept: Callable[[str], bool]) -> dict[str, bytes]:
    """The files that a disk holds which lost its power now; of names that are not synced `name_kept` decides."""
    names = dict(held.lasting)
    for name in {*held.names, *held.lasting}:
        if held.names.get(name) is not held.lasting.get(name) and name_kept(name):
            names.pop(name, None)
            if name in held.names:
                names[name] = held.names[name]
    return {
        name: applied(inode.lasting, [left for step in inode.since for left in luck(step)])
        for name, inode in sorted(names.items())
    }
