"""The demo's stage: a real server process, and a process and a state folder for each step of each person."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

PROGRAM = (sys.executable, "-m", "tacit")
"""How a process of the product is started."""
START_SECONDS = 20.0
STEP_SECONDS = 60.0
STOP_SECONDS = 10.0
CODE = re.compile(r"^  code: (\w+)$", re.MULTILINE)
ADDRESS = re.compile(r" at (http://\S+)\n")


class StageError(click.ClickException):
    """A process did not do its part."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody on the stage: a state folder and a password that nobody else has."""

    name: str
    home: Path
    password: str = field(repr=False)


@dataclass(slots=True)
class Stage:
    """Starts and stops the processes, and keeps copies of what the server's folder held after each step."""

    folder: Path
    program: Sequence[str] = field(default_factory=lambda: PROGRAM)
    url: str = ""
    server: subprocess.Popen[bytes] | None = None
    pids: list[int] = field(default_factory=list)
    snapshots: int = 0
    starting: bool = False
    stopped: int = 0

    @property
    def server_folder(self) -> Path:
        """Where the server keeps its database, its temporary files and its log."""
        return self.folder / "server"

    @property
    def log(self) -> Path:
        """All that the server prints."""
        return self.server_folder / "log"

    @property
    def kept(self) -> Path:
        """Where the copies are."""
        return self.folder / "copies"

    def open(self) -> None:
        """Start the server on a free loopback port with an empty database; raises `StageError`."""
        temporary = self.server_folder / "tmp"
        temporary.mkdir(parents=True)
        with self.log.open("ab") as log:
            self.starting = True
            # Without a ballast, which would be in each copy of the folder.
            options = ("--port", "0", "--ballast-mb", "0", "--database", str(self.server_folder / "chat.db"))
            self.server = subprocess.Popen(
                [*self.program, "serve", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(temporary), "SQLITE_TMPDIR": str(temporary)},
            )
        self.go_on()
        end = time.monotonic() + START_SECONDS
        while not (found := ADDRESS.search(self._said())):
            if self.server.poll() is not None:
                raise StageError(f"the server ended with {self.server.returncode} before it served:\n{self._said()}")
            if time.monotonic() > end:
                raise StageError(f"the server did not serve within {START_SECONDS} s:\n{self._said()}")
            time.sleep(0.02)
        self.url = found[1]

    def _said(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, number: int) -> None:
        """End by a signal as by an error: processes and folder go.

        Not while a process is being started: it would run on, and nobody would know of it.
        """
        self.stopped = number
        if not self.starting:
            raise SystemExit(128 + number)

    def go_on(self) -> None:
        """A process that was started is in good hands; raises `SystemExit` where a signal came meanwhile."""
        self.starting = False
        if self.stopped:
            raise SystemExit(128 + self.stopped)

    def close(self) -> None:
        """Stop the server, and what is left of its process if it does not stop by itself."""
        if self.server is not None:
            end(self.server)

    def person(self, name: str) -> Person:
        """Somebody new, with a random password."""
        return Person(name, self.folder / name, secrets.token_urlsafe(18))

    @contextmanager
    def started(
        self, person: Person, *arguments: str, pass_fds: tuple[int, ...] = ()
    ) -> Iterator[subprocess.Popen[bytes]]:
        """One command as this person, in a process of its own, for as long as the block runs."""
        reading, writing = os.pipe()
        os.write(writing, person.password.encode() + b"\n")
        os.close(writing)
        try:
            self.starting = True
            process = subprocess.Popen(
                [*self.program, *arguments, "--home", str(person.home), "--password-fd", str(reading)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(reading, *pass_fds),
            )
        finally:
            os.close(reading)
        try:
            self.pids.append(process.pid)
            self.go_on()
            yield process
        finally:
            end(process)

    def device(self, owner: Person, label: str, password: str) -> Person:
        """The same person at another device, whose folder opens with this password."""
        return Person(owner.name, self.folder / f"{owner.name}'s {label}", password)

    def run(self, person: Person, *arguments: str, typed: str = "") -> list[dict[str, Any]]:
        """One command as this person to its end, with `typed` as its input; what it printed, an object a line.

        Raises `StageError` with its error text when it fails.
        """
        (printed,) = self.run_each([person], *arguments, typed=typed)
        return printed

    def refusal(self, person: Person, *arguments: str) -> str:
        """The code of the error with which one command as this person ends; empty where it succeeds."""
        with self.started(person, *arguments, "--json") as process:
            try:
                _, said = process.communicate(timeout=STEP_SECONDS)
            except subprocess.TimeoutExpired:
                raise StageError(f"`tacit {arguments[0]}` as {person.name} did not end") from None
        self.keep()
        found = CODE.search(said.decode(errors="replace")) if process.returncode else None
        return found[1] if found else ""

    def run_each(self, people: Sequence[Person], *arguments: str, typed: str = "") -> list[list[dict[str, Any]]]:
        """The same command as each of them, at the same time; `{name}` in an argument stands for each one's own."""
        with ExitStack() as stack:
            own = [[argument.replace("{name}", person.name) for argument in arguments] for person in people]
            started = [
                stack.enter_context(self.started(person, *each, "--json"))
                for person, each in zip(people, own, strict=True)
            ]
            printed = [
                finish(process, f"`tacit {each[0]}` as {person.name}", typed)
                for process, person, each in zip(started, people, own, strict=True)
            ]
        self.keep()
        return [[json.loads(line) for line in out.splitlines()] for out in printed]

    def keep(self) -> None:
        """Copy what the server's folder holds now: database, write-ahead log, temporary files, log."""
        target = self.kept / f"{self.snapshots:02}"
        for _ in range(3):
            try:
                shutil.copytree(self.server_folder, target)
                break
            except shutil.Error:  # a temporary file went while it was copied
                shutil.rmtree(target)
        else:
            raise StageError("the server's folder could not be copied")
        self.snapshots += 1


def finish(process: subprocess.Popen[bytes], named: str, typed: str = "") -> bytes:
    """What a process printed, once it ended well; raises `StageError` with its error text otherwise."""
    try:
        out, said = process.communicate(typed.encode(), STEP_SECONDS)
    except subprocess.TimeoutExpired:
        raise StageError(f"{named} did not end within {STEP_SECONDS} s") from None
    if process.returncode:
        raise StageError(f"{named} ended with {process.returncode}:\n{said.decode(errors='replace').strip()}")
    return out


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that is still running, close its pipes and wait for it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
