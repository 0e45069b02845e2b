"""`--keychain`: the folder's key is in the system's keychain, or nothing is made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from client.keyrings import InMemory
from tacit import errors
from tacit.cli import account, talk
from tacit.cli.stage import Stage
from tacit.client import lockbox
from tacit.client.keychain import Keychain

COMMANDS = {"register": account.register, "login": account.login, "conversations": talk.conversations}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path / "stage")
    (tmp_path / "stage").mkdir()
    stage.open()
    yield stage
    stage.close()


def typed(text: str) -> str:
    """A file descriptor that gives a line."""
    here, there = os.pipe()
    os.write(there, text.encode() + b"\n")
    os.close(there)
    return str(here)


def say(home: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(COMMANDS[command], [*arguments, "--home", str(home), "--json"])


def test_a_folder_in_the_keychain_is_opened_without_a_password(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = InMemory()
    monkeypatch.setattr(lockbox, "system_keychain", lambda: Keychain(backend))
    home = tmp_path / "home"
    server = ("alice", "--server", stage.url, "--keychain")
    made = say(home, "register", *server, "--password-fd", typed("a password"))
    assert made.exit_code == 0, made.output
    assert len(backend.kept) == 1
    assert json.loads((home / "state.db.key").read_text())["kdf"] == "keychain"
    for arguments in (("conversations",), ("login", *server)):
        assert say(home, *arguments).exit_code == 0
    backend.kept.clear()
    assert isinstance(say(home, "conversations").exception, errors.StoreLocked)


def test_where_there_is_no_keychain_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Keychain:
        raise errors.NoKeychain

    monkeypatch.setattr(lockbox, "system_keychain", none)
    home = tmp_path / "home"
    server = ("alice", "--server", "http://127.0.0.1:1", "--keychain")
    made = say(home, "register", *server, "--password-fd", typed("a password"))
    assert isinstance(made.exception, errors.NoKeychain)
    assert list(home.iterdir()) == []
