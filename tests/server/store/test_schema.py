from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from server.store.fill import put_account
from tacit import errors
from tacit.server.store import schema, sqlite
from tacit.server.store.schema import MIGRATIONS, Migration
from tacit.server.store.sqlite import Store, connect

NEXT = Migration(2, "next", ("CREATE TABLE later (name TEXT)", "INSERT INTO later VALUES ('row')"))


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(tmp_path / "tacit.db")
    yield connection
    connection.close()


def tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def columns(connection: sqlite3.Connection, table: str) -> dict[str, tuple[str, bool, str | None]]:
    """Type, whether NULL is refused, and default of each column."""
    found = connection.execute('SELECT name, type, "notnull", dflt_value FROM pragma_table_info(?)', (table,))
    return {name: (kind, bool(needed), default) for name, kind, needed, default in found}


def unique(connection: sqlite3.Connection, table: str) -> set[tuple[str, ...]]:
    indexes = connection.execute('SELECT name FROM pragma_index_list(?) WHERE "unique"', (table,)).fetchall()
    return {
        tuple(row[0] for row in connection.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", index))
        for index in indexes
    }


NEEDED_TEXT = ("TEXT", True, None)
NEEDED_INTEGER = ("INTEGER", True, None)
NEEDED_KEY_ID = ("VARCHAR(255)", True, None)


def test_messages_have_the_columns_of_the_specification(db: sqlite3.Connection) -> None:
    found = columns(db, "messages")
    assert found["encrypted"] == ("BOOLEAN", False, "FALSE")
    assert found["encryption_key_id"] == ("VARCHAR(255)", False, None)
    assert found["encrypted_payload"] == found["iv"] == ("TEXT", False, None)
    assert found["text"] == ("TEXT", True, "'[Encrypted Message]'")
    assert {"conversation_id", "seq", "sender_id", "device_id", "client_message_id", "created_at"} <= found.keys()
    assert unique(db, "messages") == {
        ("conversation_id", "seq"),
        ("conversation_id", "device_id", "client_message_id"),
    }


def test_user_keys_have_the_columns_of_the_specification(db: sqlite3.Connection) -> None:
    assert columns(db, "user_keys") == {
        "id": NEEDED_TEXT,
        "user_id": NEEDED_TEXT,
        "version": NEEDED_INTEGER,
        "record": NEEDED_TEXT,
        "signature": NEEDED_TEXT,
        "outer_version": NEEDED_INTEGER,
        "public_key": NEEDED_TEXT,
        "encrypted_private_key": NEEDED_TEXT,
        "key_id": NEEDED_KEY_ID,
        "created_at": NEEDED_INTEGER,
    }
    assert unique(db, "user_keys") == {("id",), ("key_id",), ("user_id", "version")}


def test_conversation_keys_have_the_columns_of_the_specification(db: sqlite3.Connection) -> None:
    found = columns(db, "conversation_keys")
    assert {name: found.pop(name) for name in ("id", "conversation_id", "key_id", "created_at")} == {
        "id": NEEDED_TEXT,
        "conversation_id": NEEDED_TEXT,
        "key_id": NEEDED_KEY_ID,
        "created_at": NEEDED_INTEGER,
    }
    assert found == {
        "epoch": NEEDED_INTEGER,
        "protocol": NEEDED_TEXT,
        "record": NEEDED_TEXT,
        "signature": NEEDED_TEXT,
        "seq": NEEDED_INTEGER,
        "record_hash": NEEDED_TEXT,
    }
    assert unique(db, "conversation_keys") == {
        ("id",),
        ("key_id",),
        ("record_hash",),
        ("conversation_id", "epoch"),
        ("conversation_id", "seq"),
    }


def test_conversation_key_members_have_the_columns_of_the_specification(db: sqlite3.Connection) -> None:
    assert columns(db, "conversation_key_members") == {
        "id": NEEDED_TEXT,
        "conversation_key_id": NEEDED_TEXT,
        "user_id": NEEDED_TEXT,
        "encrypted_key": NEEDED_TEXT,
        "created_at": NEEDED_INTEGER,
        "granted_by": NEEDED_TEXT,
    }
    assert unique(db, "conversation_key_members") == {("id",), ("conversation_key_id", "user_id", "granted_by")}
    keys = db.execute('SELECT "table", "from", "to" FROM pragma_foreign_key_list(?)', ("conversation_key_members",))
    assert keys.fetchall() == [("conversation_keys", "conversation_key_id", "id")]


def test_migrations_are_numbered_from_1_without_a_gap() -> None:
    assert [each.number for each in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_an_empty_database_gets_all_tables_once(empty: sqlite3.Connection) -> None:
    assert schema.version(empty) == 0
    assert schema.migrate(empty) == schema.version(empty) == len(MIGRATIONS)
    before = list(empty.iterdump())
    assert schema.migrate(empty) == len(MIGRATIONS)
    assert list(empty.iterdump()) == before
    assert empty.execute("SELECT * FROM schema_version").fetchall() == [(1, "first tables")]


def test_versions_are_counted_where_the_table_of_them_is_empty(empty: sqlite3.Connection) -> None:
    empty.execute("CREATE TABLE schema_version (number INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    assert schema.version(empty) == 0
    assert schema.migrate(empty) == len(MIGRATIONS)


def test_a_later_migration_goes_on_where_the_database_stands(empty: sqlite3.Connection) -> None:
    schema.migrate(empty)
    put_account(empty)
    assert schema.migrate(empty, (*MIGRATIONS, NEXT)) == 2
    assert empty.execute("SELECT name FROM later").fetchall() == [("row",)]
    assert empty.execute("SELECT count(*) FROM user_keys").fetchone() == (1,)
    assert empty.execute("SELECT number, name FROM schema_version").fetchall()[1] == (2, "next")


def test_a_database_made_by_a_newer_version_is_left_alone(tmp_path: Path, empty: sqlite3.Connection) -> None:
    schema.migrate(empty, (*MIGRATIONS, NEXT))
    before = list(empty.iterdump())
    with pytest.raises(errors.DatabaseTooNew, match="schema version 2; this program knows 1"):
        schema.migrate(empty)
    assert not empty.in_transaction
    with pytest.raises(errors.DatabaseTooNew):
        Store(tmp_path / "tacit.db")
    assert list(empty.iterdump()) == before


def test_a_migration_that_fails_leaves_nothing_of_itself(empty: sqlite3.Connection) -> None:
    broken = Migration(2, "broken", ("CREATE TABLE half (name TEXT)", "CREATE TABLE user_keys (name TEXT)"))
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(empty, (*MIGRATIONS, broken))
    assert not empty.in_transaction
    assert schema.version(empty) == 1
    assert "user_keys" in tables(empty) and "half" not in tables(empty)
    assert schema.migrate(empty, (*MIGRATIONS, NEXT)) == 2


def test_tables_of_others_in_the_same_database_stay(empty: sqlite3.Connection) -> None:
    empty.execute("PRAGMA user_version = 77")
    empty.execute("CREATE TABLE users (name TEXT)")
    empty.execute("INSERT INTO users VALUES ('alice')")
    schema.migrate(empty)
    assert empty.execute("PRAGMA user_version").fetchone() == (77,)
    assert empty.execute("SELECT name FROM users").fetchall() == [("alice",)]


def test_who_waits_for_another_that_migrates_does_not_migrate_again(tmp_path: Path, empty: sqlite3.Connection) -> None:
    class Late:
        """Gets its transaction only after somebody else has brought the database up to date."""

        def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
            if statement == "BEGIN IMMEDIATE":
                schema.migrate(empty, (*MIGRATIONS, NEXT))
            return second.execute(statement, parameters)

        @property
        def in_transaction(self) -> bool:
            return second.in_transaction

    second = connect(tmp_path / "tacit.db")
    assert schema.version(second) == 0
    assert schema.migrate(cast(sqlite3.Connection, Late()), (*MIGRATIONS, NEXT)) == 2
    assert second.execute("SELECT name FROM later").fetchall() == [("row",)]
    second.close()


OPENS = """
import asyncio, sys
from tacit.server.store.sqlite import Store
print("ready", flush=True)
sys.stdin.readline()
store = Store(sys.argv[1])
asyncio.run(store.close())
print("opened", flush=True)
"""


def test_processes_that_start_together_all_get_in(tmp_path: Path) -> None:
    path = tmp_path / "tacit.db"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for each in running:
        assert each.stdout is not None and each.stdout.readline() == "ready\n"
    for each in running:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    assert [each.communicate(timeout=60)[0] for each in running] == ["opened\n"] * 3
    connection = connect(path)
    assert schema.version(connection) == len(MIGRATIONS)
    connection.close()


def test_a_process_waits_for_another_that_makes_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tacit.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE first (name TEXT)")
    other.execute("BEGIN IMMEDIATE")
    waits = 0

    def sleep(seconds: float) -> None:
        nonlocal waits
        waits += 1
        other.execute("COMMIT")

    monkeypatch.setattr("time.sleep", sleep)
    connection = connect(path)
    assert waits == 1
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    other.close()


def test_a_process_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(tmp_path / "tacit.db", isolation_level=None)
    other.execute("CREATE TABLE first (name TEXT)")
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(sqlite, "BUSY_MS", 0)
    with pytest.raises(errors.Internal, match="locked"):
        Store(tmp_path / "tacit.db")
    other.close()


@pytest.mark.parametrize("deleting", ["ON", "OFF"])
def test_an_overwritten_vault_does_not_stay_in_the_file(tmp_path: Path, deleting: str) -> None:
    path = tmp_path / "tacit.db"
    connection = connect(path)
    connection.execute(f"PRAGMA secure_delete = {deleting}")
    schema.migrate(connection)
    for version in (1, 2):
        # Long, so that it is not overwritten by chance.
        put_account(connection, version=version, variant="", devices=())
        connection.execute(
            "UPDATE user_keys SET encrypted_private_key = ? WHERE version = ?", (f"<{version}>" * 1000, version)
        )
    put_account(connection, version=3)
    connection.close()  # the last one: the log is merged into the file and taken away
    assert not path.with_name("tacit.db-wal").exists()
    kept = path.read_bytes()
    assert b"vault alice 3" in kept
    assert (b"<1>" * 100 in kept or b"<2>" * 100 in kept) is (deleting == "OFF")
