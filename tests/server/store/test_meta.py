from __future__ import annotations

import sqlite3

from tacit.server.store import meta


def test_a_value_is_kept_under_its_name_until_another_takes_its_place(db: sqlite3.Connection) -> None:
    assert meta.get(db, "incarnation") is None
    meta.put(db, "incarnation", b"\x00one")
    meta.put(db, "name", b"chat.example")
    assert meta.get(db, "incarnation") == b"\x00one"
    meta.put(db, "incarnation", b"two")
    assert (meta.get(db, "incarnation"), meta.get(db, "name")) == (b"two", b"chat.example")


def test_a_value_is_made_only_where_there_is_none(db: sqlite3.Connection) -> None:
    made: list[bytes] = []

    def make() -> bytes:
        made.append(b"secret %d" % len(made))
        return made[-1]

    assert meta.ensure(db, "decoys", make) == meta.ensure(db, "decoys", make) == b"secret 0"
    assert meta.get(db, "decoys") == b"secret 0"
    assert meta.ensure(db, "other", make) == b"secret 1"


def test_an_empty_value_is_a_value(db: sqlite3.Connection) -> None:
    meta.put(db, "name", b"")
    assert meta.ensure(db, "name", lambda: b"made") == b""
