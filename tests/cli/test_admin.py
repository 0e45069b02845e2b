"""`tacit admin`: what an operator types and sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tacit.cli.main import tacit
from tacit.server.store import meta
from tacit.server.store.sqlite import Store


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
