"""`tacit admin`: what an operator types and sees."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from architecture.test_server_process import forbidden
from tacit.cli.main import tacit
from tacit.server.admin.findings import NAMES
from tacit.server.store import account_events, meta
from tacit.server.store.sqlite import Store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operation.md"


@pytest.fixture
async def served(tmp_path: Path) -> Path:
    async with Store(tmp_path / "chat.db") as store:
        await store.write(lambda db: meta.put(db, "name", b"chat.example"))
    return tmp_path / "chat.db"


def typed(*arguments: object) -> Result:
    return CliRunner().invoke(tacit, ["admin", *map(str, arguments)])


async def test_a_backup_is_told_with_its_size(served: Path, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    done = typed("backup", served, file)
    assert (done.exit_code, done.output) == (0, f"{file}: a sound copy of {file.stat().st_size} bytes\n")
    again = typed("backup", served, tmp_path / "second.db", "--json")
    assert json.loads(again.output) == {"file": str(tmp_path / "second.db"), "bytes": file.stat().st_size}


async def test_a_check_prints_a_line_for_each_finding_and_ends_with_1(served: Path) -> None:
    clean = typed("check", served)
    assert (clean.exit_code, clean.output) == (0, f"{served}: no findings\n")
    async with Store(served) as store:
        await store.write(lambda db: account_events.append(db, ["alice", "b\x1bob"], "one", {}, 1))
        await store.write(lambda db: account_events.append(db, ["alice", "b\x1bob"], "two", {}, 1))
        await store.write(lambda db: db.execute("DELETE FROM account_events WHERE seq = 1"))
    damaged = typed("check", served)
    assert damaged.exit_code == 1
    assert damaged.output.splitlines() == [
        "account_event user=alice events=1 last=2 a number is left out",
        "account_event user=b�ob events=1 last=2 a number is left out",
        f"{served}: 2 findings",
    ]
    first, second = typed("check", served, "--json").output.splitlines()
    assert json.loads(first) == {
        "finding": "account_event",
        "user": "alice",
        "events": 1,
        "last": 2,
        "rule": "a number is left out",
    }
    assert json.loads(second)["user"] == "b\x1bob"


def test_the_page_names_every_kind_of_finding() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8").partition("\n## Check\n")[2], re.MULTILINE
    )
    assert dict(rows) == NAMES


def test_it_loads_nothing_of_the_client_and_no_secret_door(tmp_path: Path) -> None:
    program = "import sys; from tacit.cli.main import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program, "admin", "check", str(tmp_path / "missing")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    loaded = set(done.stderr.split())
    assert {"tacit.server.admin.conversations", "tacit.signed.rights"} <= loaded
    assert forbidden(loaded) == set()


async def test_a_restored_database_is_told_with_its_incarnation(served: Path, tmp_path: Path) -> None:
    restored = tmp_path / "restored.db"
    done = typed("restore", served, restored)
    async with Store(restored) as store:
        incarnation = await store.read(lambda db: meta.get(db, "incarnation"))
    assert incarnation is not None
    assert done.output == f"{restored}: restored from {served}, as incarnation {incarnation.decode()}\n"
    again = json.loads(typed("restore", served, tmp_path / "again.db", "--json").output)
    assert again["database"] == str(tmp_path / "again.db")
    assert re.fullmatch("[0-9a-f]{32}", again["incarnation"])
    assert again["incarnation"] != incarnation.decode()
