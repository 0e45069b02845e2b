"""The README's terminals, followed as they stand: only the port is another, and the passwords come by a descriptor."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tacit.cli.stage import PROGRAM, end

README = Path(__file__).resolve().parents[2] / "README.md"
URL = "http://127.0.0.1:8080"
SECONDS = 60


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the block with the terminal in which it is typed, comments left out."""
    section = README.read_text(encoding="utf-8").partition("## Three terminals")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    found: list[tuple[str, list[str]]] = []
    terminal = ""
    for line in block[1].splitlines():
        if named := re.match(r"# (terminal \d)", line):
            terminal = named[1]
        elif words := shlex.split(line, comments=True):
            found.append((terminal, words))
    return found


@contextmanager
def typed(words: list[str], folder: Path, env: dict[str, str], password: str = "") -> Iterator[subprocess.Popen[str]]:
    """A command in a terminal of its own; a password where one is asked for."""
    reading, writing = os.pipe()
    os.write(writing, f"{password}\n".encode())
    os.close(writing)
    given = ["--password-fd", str(reading)] if password else []
    process = subprocess.Popen(
        [*PROGRAM, *words[1:], *given],
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=(reading,),
    )
    os.close(reading)
    try:
        yield process
    finally:
        end(process)  # type: ignore[arg-type]


def until(process: subprocess.Popen[str], wanted: str) -> str:
    """What a process prints up to the line that holds this."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if wanted in line:
            return said
    raise AssertionError(f"{wanted!r} never came:\n{said}")


def write(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def test_a_newcomer_comes_from_nothing_to_two_terminals_talking(tmp_path: Path) -> None:
    envs: dict[str, dict[str, str]] = {}
    url = ""
    chats: list[subprocess.Popen[str]] = []
    with ExitStack() as stack:
        for terminal, words in commands():
            env = envs.setdefault(terminal, {**os.environ, "HOME": str(tmp_path)})
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                if name == "TACIT_HOME":
                    env[name] = value.replace("$HOME", str(tmp_path))
                continue
            assert words[0] == "tacit"
            words = [word.replace("8080", "0") if words[1] == "serve" else word.replace(URL, url) for word in words]
            password = "" if words[1] == "serve" else f"the password in {terminal}"
            process = stack.enter_context(typed(words, tmp_path, env, password))
            if words[1] == "serve":
                url = until(process, "http://").rpartition(" ")[2].strip()
            elif words[1] == "chat":
                until(process, "/quit ends")
                chats.append(process)
            else:
                out, _ = process.communicate(timeout=SECONDS)
                assert process.returncode == 0, out
        alice, bob = chats
        write(alice, "hello from the second terminal")
        until(bob, "alice: hello from the second terminal")
        write(bob, "and from the third")
        until(alice, "bob: and from the third")
        for each in chats:
            write(each, "/quit")
            each.wait(SECONDS)
            assert each.returncode == 0
    assert (tmp_path / "chat.db").exists()
    assert (tmp_path / "tacit-alice" / "state.db").exists()
