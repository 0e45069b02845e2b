"""Search what a server keeps for what it must not have: raw, as hex and as base64, page by page and row by row."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

WAL_HEADER = 32
FRAME_HEADER = 24


@dataclass(frozen=True, slots=True)
class Needle:
    """Something that must not (or, for a canary, must) be found; its value is never printed."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a needle was found and in which form."""

    name: str
    form: str
    place: str


def forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    """The value as it may stand in a file: raw, hex, and base64 in each of the three alignments of a longer text."""
    yield "raw", value
    yield "hex", value.hex().encode()
    yield "hex", value.hex().upper().encode()
    for skip in range(3):
        whole = base64.b64encode(bytes(skip) + value)
        start = (skip * 8 + 5) // 6  # the first digit that holds bits of the value alone
        end = ((skip + len(value)) * 8) // 6  # and the last one
        text = whole[start:end]
        yield "base64", text
        yield "base64", text.replace(b"+", b"-").replace(b"/", b"_")


def frames(wal: bytes) -> Iterator[tuple[int, bytes]]:
    """The pages of a write-ahead log, also those that a checkpoint left behind."""
    if len(wal) < WAL_HEADER:
        return
    page = int.from_bytes(wal[8:12], "big")
    position = WAL_HEADER
    while page and position + FRAME_HEADER + page <= len(wal):
        yield (position - WAL_HEADER) // (FRAME_HEADER + page), wal[position + FRAME_HEADER :][:page]
        position += FRAME_HEADER + page


def rows(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of every table; a value that spans pages is whole here."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, str):
                        yield table, value.encode()
                    elif isinstance(value, bytes):
                        yield table, value
    finally:
        connection.close()


def haystack(folder: Path) -> list[tuple[str, bytes]]:
    """All that a folder holds: each file whole, each frame of each write-ahead log, each value of each database."""
    found: list[tuple[str, bytes]] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        name = str(path.relative_to(folder))
        found.append((name, data))
        if path.name.endswith("-wal"):
            found.extend((f"{name} frame {number}", page) for number, page in frames(data))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.read_bytes()[:16] == b"SQLite format 3\0":
            found.extend((f"{path.relative_to(folder)} table {table}", value) for table, value in rows(path))
    return found


def search(places: Iterable[tuple[str, bytes]], needles: Iterable[Needle]) -> list[Hit]:
    """Every needle in every place; raises `ValueError` for no needles, or one so short that it says nothing."""
    wanted = [(needle, list(forms(needle.value))) for needle in needles]
    if not wanted:
        raise ValueError("a search for nothing finds nothing")
    for needle, _ in wanted:
        if len(needle.value) < 8:
            raise ValueError(f"the needle {needle.name} is shorter than 8 bytes")
    hits: list[Hit] = []
    for place, data in places:
        for needle, shapes in wanted:
            hits.extend(Hit(needle.name, form, place) for form, shape in shapes if shape in data)
    return hits
