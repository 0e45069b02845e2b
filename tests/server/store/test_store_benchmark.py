"""The benchmark `store` and the plain sqlite3 that it is held against."""

from __future__ import annotations

import ast
import sqlite3
import subprocess
import sys
from pathlib import Path

import benchmarks.__main__ as command
import pytest
from benchmarks import loop, store
from benchmarks.floors import store_floor
from benchmarks.floors.store_floor import Floor, Message, some_message
from benchmarks.harness import Report

from tacit.server.store import messages, schema
from tacit.server.store.sqlite import connect

SOURCE = Path(store_floor.__file__)
LIMITS = {"batches": ">= 0.6", "a transaction each": ">= 3"}


def test_the_floor_imports_nothing_of_ours() -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names == {"__future__", "collections", "pathlib", "sqlite3", "sys", "tempfile", "time", "typing"}


def test_the_floor_has_the_products_table_and_settings(tmp_path: Path) -> None:
    assert store_floor.MESSAGES in schema.TABLES
    product, floor = connect(tmp_path / "product"), Floor(tmp_path / "floor")
    schema.migrate(product)
    wanted = "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name = 'messages' ORDER BY name"
    assert floor.connection.execute(wanted).fetchall() == product.execute(wanted).fetchall()
    for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys", "page_size", "wal_autocheckpoint"):
        values = [each.execute(f"PRAGMA {name}").fetchone()[0] for each in (floor.connection, product)]
        assert values[0] == values[1] == store_floor.SETTINGS.get(name, values[0]), name
    product.close()
    floor.close()


def test_the_floor_stores_the_rows_that_the_product_stores(tmp_path: Path) -> None:
    given = [some_message(number, 2) for number in range(4)]
    product = connect(tmp_path / "product")
    schema.migrate(product)
    store.open_conversation(product)
    for message in given:
        messages.insert(product, *message)
    batches, each = Floor(tmp_path / "batches"), Floor(tmp_path / "each")
    batches.batch(given)
    each.each(given)
    wanted = "SELECT * FROM messages ORDER BY seq"
    stored = [dict(zip(("id", "c", "seq"), row, strict=False)) | {"rest": row[3:]} for row in product.execute(wanted)]
    for floor in (batches, each):
        assert floor.count() == 4
        rows = floor.connection.execute(wanted).fetchall()
        # The record that opens the conversation has seq 1 there.
        assert [(row[1], row[2] + 1, row[3:]) for row in rows] == [
            (row["c"], row["seq"], row["rest"]) for row in stored
        ]
        floor.close()
    product.close()


def test_the_floor_waits_for_the_disk_as_often_as_it_says(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "floor")
    statements: list[str] = []
    floor.connection.set_trace_callback(statements.append)
    given = [some_message(number, 3) for number in range(3)]
    floor.batch(given)
    assert statements.count("COMMIT") == 1
    floor.each([some_message(number, 3) for number in range(3, 6)])
    assert statements.count("COMMIT") == 4
    floor.close()


def test_messages_are_as_long_as_real_ones_and_never_the_same() -> None:
    made = [some_message(number, 64) for number in range(1000)]
    assert len({(each.device_id, each.client_message_id) for each in made}) == 1000
    assert len({each.sender for each in made}) == 64
    assert all(len(each.payload) == 845 for each in made)


def test_the_floor_runs_by_itself(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(SOURCE), str(tmp_path)], capture_output=True, text=True, check=True)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        f"{size} a transaction" for size in (1, 16, 64)
    ]


def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wherever the tests' own directory is: they ask for no figure."""
    monkeypatch.setattr(store, "places", lambda: [tmp_path])
    monkeypatch.setattr(store, "IN_MEMORY", frozenset())
    monkeypatch.setattr(store, "TRANSACTIONS", 8)
    monkeypatch.setattr(loop, "places", lambda: [tmp_path])
    monkeypatch.setattr(loop, "READS", 5)


def test_it_measures_all_rivals_at_each_number_of_senders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here(monkeypatch, tmp_path)
    report = Report(quick=True)
    store.run(report)
    asked = {row.against: row.reach for row in report.rows if row.reach is not None}
    assert asked == LIMITS
    for count in ("1 sender", "16 senders", "64 senders"):
        against = [row.against for row in report.rows if row.name == f"store, {count}"]
        assert against == ["batches", "a transaction each"]
        assert f"sqlite3 in batches, {count}" in {row.name for row in report.rows}
    assert all(row.value > 0 for row in report.rows)
    assert report.notes[0].startswith(f"On {store.file_system(tmp_path)}")
    assert list(tmp_path.iterdir()) == []


def test_a_missed_figure_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here(monkeypatch, tmp_path)
    monkeypatch.setattr(store, "SENDERS", (2,))
    monkeypatch.setattr(store, "ASKED", 2)
    monkeypatch.setattr(store, "OF_BATCHES", 0.0)
    monkeypatch.setattr(store, "OVER_EACH", 0.0)
    assert command.main(["store", "--quick"]) == 0
    monkeypatch.setattr(store, "OF_BATCHES", 1000.0)
    assert command.main(["store", "--quick"]) == 1
    assert "store: store, 2 senders should reach >= 1000" in capsys.readouterr().err


def test_rows_that_are_not_stored_fail_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here(monkeypatch, tmp_path)
    monkeypatch.setattr(store, "SENDERS", (2,))

    def forgetful(connection: sqlite3.Connection, *message: object) -> None:
        """Takes a message and keeps nothing."""

    monkeypatch.setattr(messages, "insert", forgetful)
    with pytest.raises(RuntimeError, match="not all is stored"):
        store.run(Report(quick=True))


def test_a_file_system_in_memory_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {Path("/memory"): "tmpfs", Path("/disk"): "ext4"}
    monkeypatch.setattr(store, "file_system", kinds.__getitem__)
    assert store.on_disk([Path("/memory"), Path("/disk")]) == Path("/disk")
    with pytest.raises(SystemExit, match="TMPDIR"):
        store.on_disk([Path("/memory")])


def test_the_loop_is_compared_with_a_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here(monkeypatch, tmp_path)
    monkeypatch.setattr(loop, "OTHER_WORK", {"loop idle": 0.0, "loop busy": 0.00001})
    report = Report(quick=True)
    loop.run(report)
    assert {row.name for row in report.rows if row.against} == {
        f"{what} on the loop, loop {how}" for what in ("writes", "point query") for how in ("idle", "busy")
    }
    assert not report.failed


def test_a_message_is_what_the_store_takes() -> None:
    assert Message._fields == (
        "conversation_id",
        "sender",
        "device_id",
        "client_message_id",
        "payload",
        "key_id",
        "iv",
        "now",
    )
