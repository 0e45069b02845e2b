"""The six import contracts hold, and each of them can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tacit"
SERVERS_DOORS = {"secret", "digest", "verify", "curves", "goldilocks", "x509", "server"}
SANS_IO = {"wire", "crypto", "signed", "identity", "mls", "transparency", "conversation"}


def contracts() -> dict[str, dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract for contract in settings["tool"]["importlinter"]["contracts"]}


def lint(tree: Path, *contract: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    command += ["--config", str(tree / "pyproject.toml"), *(f"--contract={name}" for name in contract)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "COLUMNS": "200"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(SOURCE, tmp_path / "src" / "tacit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_all_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert f"{len(contracts())} kept, 0 broken" in done.stdout


OFFENCES = {
    "layers: upwards": ("layers", {"wire/offence.py": "import tacit.signed.verify"}),
    "layers: rivals": ("layers", {"client/offence.py": "import tacit.server"}),
    "layers: unplaced room": ("layers", {"newroom/__init__.py": ""}),
    "zero-knowledge: a secret room": ("zero-knowledge", {"server/offence.py": "import tacit.identity"}),
    "zero-knowledge: a secret door": ("zero-knowledge", {"server/offence.py": "from tacit.crypto import sealed"}),
    "zero-knowledge: indirectly": (
        "zero-knowledge",
        {"server/offence.py": "import tacit.signed.offence", "signed/offence.py": "import tacit.crypto.kdf"},
    ),
    "zero-knowledge: a room that is built later": (
        "zero-knowledge",
        {"mls/__init__.py": "", "server/offence.py": "import tacit.mls"},
    ),
    "sans-io: clock": ("sans-io", {"signed/offence.py": "import time"}),
    "sans-io: socket": ("sans-io", {"conversation/offence.py": "import socket"}),
    "sans-io: database": ("sans-io", {"identity/offence.py": "import sqlite3"}),
    "sans-io: asyncio": ("sans-io", {"crypto/offence.py": "import asyncio"}),
    "sans-io: logging": ("sans-io", {"wire/offence.py": "def late() -> None:\n    import logging"}),
    "sans-io: random": ("sans-io", {"wire/offence.py": "from random import randbytes"}),
    "one-door: cryptography": ("one-door", {"signed/offence.py": "from cryptography.hazmat.primitives import hashes"}),
    "one-door: nacl": ("one-door", {"client/offence.py": "import nacl.signing"}),
    "acyclic": ("acyclic", {"wire/one.py": "import tacit.wire.two", "wire/two.py": "import tacit.wire.one"}),
    "api-imports": ("api-imports", {"api/offence.py": "import tacit.crypto.digest"}),
    "mls-imports": ("mls-imports", {"mls/__init__.py": "", "mls/offence.py": "import tacit.signed.verify"}),
    "api-importers": ("api-importers", {"conversation/offence.py": "import tacit.api"}),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_an_offending_import_breaks_its_contract(tree: Path, offence: str) -> None:
    contract, files = OFFENCES[offence]
    for name, text in files.items():
        path = tree / "src" / "tacit" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    done = lint(tree, contract)
    assert done.returncode == 1, done.stdout
    assert "0 kept, 1 broken" in done.stdout


def test_every_contract_has_an_offence() -> None:
    assert {contract for contract, _ in OFFENCES.values()} == set(contracts())


def test_every_sans_io_room_that_exists_is_under_its_contract() -> None:
    here = {f"tacit.{path.name}" for path in SOURCE.iterdir() if path.is_dir() and path.name in SANS_IO}
    assert set(contracts()["sans-io"]["source_modules"]) == here


def test_every_crypto_door_but_the_servers_is_secret_to_it() -> None:
    doors = {path.stem for path in (SOURCE / "crypto").glob("*.py")} - {"__init__"}
    assert doors, "no doors found"
    secret = contracts()["zero-knowledge"]["layers"][0]
    listed = {name.strip(" ()") for name in secret.split(":")}
    assert {f"tacit.crypto.{door}" for door in doors - SERVERS_DOORS} <= listed
    assert not {f"tacit.crypto.{door}" for door in SERVERS_DOORS} & listed


def test_packages_load_nothing_by_themselves() -> None:
    facades = {SOURCE / "mls" / "__init__.py", SOURCE / "client" / "__init__.py"}
    loud = [path for path in SOURCE.rglob("__init__.py") if path not in facades and path.read_text(encoding="utf-8")]
    assert not loud, f"these import-time files should be empty: {loud}"
