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
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
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
    """All that a folder holds: each file whole, each frame of each write-ahead log, each value of each database.

    The same bytes are there once, and an earlier copy of a file that only grew is in the later one.
    """
    files = [(path, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()]
    newest: dict[str, bytes] = {}
    found: dict[bytes, str] = {}
    for path, data in reversed(files):
        name = str(path.relative_to(folder))
        if not newest.get(path.name, b"").startswith(data):
            found.setdefault(data, name)
            newest[path.name] = data
        if path.name.endswith("-wal"):
            for number, page in frames(data):
                found.setdefault(page, f"{name} frame {number}")
    for path, data in files:
        if data.startswith(b"SQLite format 3\0"):
            for table, value in rows(path):
                found.setdefault(value, f"{path.relative_to(folder)} table {table}")
    return [(place, data) for data, place in found.items()]


def search(places: Iterable[tuple[str, bytes]], needles: Iterable[Needle]) -> list[Hit]:
    """Every needle in every place; raises `ValueError` for no needles, or one so short that it says nothing."""
    wanted = [(needle, list(forms(needle.value))) for needle in needles]
    if not wanted:
        raise ValueError("a search for nothing finds nothing")
    for needle, _ in wanted:
        if len(needle.value) < 8:
            raise ValueError(f"the needle {needle.name} is shorter than 8 bytes")
    places = list(places)
    everything = b"\0".join(data for _, data in places)
    hits: list[Hit] = []
    for needle, shapes in wanted:
        for form, shape in shapes:
            if shape in everything:
                hits.extend(Hit(needle.name, form, place) for place, data in places if shape in data)
    return hits
