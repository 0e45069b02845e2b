"""The search finds a needle in each form, in each place, and refuses to search for nothing."""

from __future__ import annotations

import base64
import random
import sqlite3
from pathlib import Path

import pytest

from tacit.cli.needles import Needle, forms, frames, haystack, search

SECRET = random.Random(7).randbytes(32)


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("after", range(4))
def test_base64_is_found_in_every_alignment(before: int, after: int) -> None:
    text = base64.b64encode(b"x" * before + SECRET + b"y" * after)
    assert {hit.form for hit in search([("file", text)], [Needle("key", SECRET)])} == {"base64"}
    url_text = base64.urlsafe_b64encode(b"x" * before + SECRET + b"y" * after)
    assert search([("file", url_text)], [Needle("key", SECRET)])


def test_raw_and_hex_are_found() -> None:
    places = [("raw", b"a" + SECRET), ("lower", SECRET.hex().encode()), ("upper", SECRET.hex().upper().encode())]
    assert {hit.place for hit in search(places, [Needle("key", SECRET)])} == {"raw", "lower", "upper"}


def test_what_is_not_there_is_not_found() -> None:
    assert search([("file", bytes(1000))], [Needle("key", SECRET)]) == []


def test_a_search_for_nothing_or_next_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        search([("file", b"")], [])
    with pytest.raises(ValueError, match="shorter"):
        search([("file", b"")], [Needle("short", b"abc")])


def test_no_form_is_short() -> None:
    assert all(len(form) >= 10 for _, form in forms(b"eightbyt") if form != b"eightbyt")


def test_write_ahead_log_and_values_across_pages_are_searched(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE t (v BLOB)")
    filler = bytes(4061)  # the secret then crosses an overflow page's edge
    connection.execute("INSERT INTO t VALUES (?)", (filler + SECRET + filler,))
    other = random.Random(8).randbytes(32)
    connection.execute("INSERT INTO t VALUES (?)", (other,))
    connection.execute("DELETE FROM t WHERE v = ?", (other,))
    places = haystack(tmp_path)
    assert any("frame" in hit.place for hit in search(places, [Needle("deleted", other)]))
    assert any("table t" in hit.place for hit in search(places, [Needle("key", SECRET)]))
    connection.close()


def test_copies_of_a_file_that_grew_are_searched_once_and_others_each(tmp_path: Path) -> None:
    for number, text in enumerate([b"first", b"first and more", b"another", b"another"]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "log").write_bytes(text)
    assert sorted(data for _, data in haystack(tmp_path)) == [b"another", b"first and more"]


def test_a_torn_write_ahead_log_has_no_frames() -> None:
    assert list(frames(b"short")) == []
