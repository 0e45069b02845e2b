"""The terminals of docs/keys.md, followed as they stand: secrets come by descriptors, each question gets a yes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from cli.nursery import CHEAP, Nursery
from cli.test_readme import URL, typed, until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "keys.md"
SECONDS = 60
WORD = re.compile(r"\b\d+\. ([a-z]+)")


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the page's blocks with the terminal in which it is typed."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        terminal = ""
        for line in block.splitlines():
            if named := re.match(r"# (terminal \d)", line):
                terminal = named[1]
            elif words := shlex.split(line, comments=True):
                assert terminal, line
                found.append((terminal, words))
    return found


class Reader:
    """Somebody who does what the page says."""

    def __init__(self, folder: Path, program: Sequence[str]) -> None:
        self.folder = folder
        self.program = program
        self.account = "the first password"
        self.passwords: dict[str, str] = {}
        self.words = ""

    def follow(self, terminal: str, words: list[str], env: dict[str, str]) -> str:
        """One command to its end; what it said."""
        secrets: dict[str, str] = {}
        if words[1:3] == ["devices", "add"] and "--words" in words:
            self.account += ", then another"
            secrets |= {"--words-fd": self.words, "--new-password-fd": self.account}
        elif words[1] in ("password", "reset"):
            secrets |= {"--password-fd": self.passwords[terminal], "--new-password-fd": self.account + ", changed"}
            self.account += ", changed"
        else:
            secrets |= {"--password-fd": self.passwords.get(terminal, self.account)}
        if words[1] in ("register", "password", "reset") or words[1:3] == ["devices", "add"]:
            self.passwords[terminal] = self.account
        said = run([*self.program, *words[1:]], secrets, self.folder, env)
        if len(shown := WORD.findall(said)) == 24:
            self.words = " ".join(shown)
        return said


def run(command: list[str], secrets: dict[str, str], folder: Path, env: dict[str, str]) -> str:
    """A command with its secrets by descriptors, and yes to every question."""
    descriptors: list[int] = []
    for option, secret in secrets.items():
        reading, writing = os.pipe()
        os.write(writing, f"{secret}\n".encode())
        os.close(writing)
        descriptors.append(reading)
        command += [option, str(reading)]
    try:
        done = subprocess.run(
            command,
            input="y\ny\n",
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            pass_fds=descriptors,
            timeout=SECONDS,
        )
    finally:
        for each in descriptors:
            os.close(each)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_page_leads_through_every_loss(tmp_path: Path) -> None:
    envs: dict[str, dict[str, str]] = {}
    said: dict[str, str] = {}
    url = ""
    with ExitStack() as stack:
        reader = Reader(tmp_path, stack.enter_context(Nursery(CHEAP)).command)
        for terminal, words in commands():
            env = envs.setdefault(terminal, {**os.environ, "HOME": str(tmp_path)})
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                env[name] = value.replace("$HOME", str(tmp_path))
                continue
            assert words[0] == "tacit"
            if words[1] == "serve":
                served = [word.replace("8080", "0") for word in words]
                url = until(stack.enter_context(typed(served, tmp_path, env)), "http://").rpartition(" ")[2].strip()
                continue
            words = [word.replace(URL, url) for word in words]
            said[f"{terminal} {words[1]}"] = reader.follow(terminal, words, env)
    assert "the first page" in said["terminal 3 read"]
    assert "the first page" in said["terminal 4 read"]
    assert ") revoked" in said["terminal 3 devices"]
    assert "the recovery key was used by tablet (" in said["terminal 4 notices"]
    assert ", this device)" in said["terminal 4 notices"]
    assert "The account is reset." in said["terminal 4 reset"]
    assert "alice (you)" in said["terminal 4 contacts"]
