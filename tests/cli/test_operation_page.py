"""The commands of docs/operation.md, run by a shell as they stand: only the ports are others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest

from tacit.server import logs
from tacit.server.events import (
    Event,
    Failed,
    FrameAnswered,
    RequestAnswered,
    SocketEnded,
    Started,
    Stopped,
    Stopping,
)
from tacit.server.settings import PREFIX, SETTINGS

EVENTS: tuple[Event, ...] = (
    Started("", "", ""),
    RequestAnswered("", "", "", 0, "", 0),
    FrameAnswered("too_large", 0),
    SocketEnded("", 0),
    Failed(""),
    Stopping(),
    Stopped(),
)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "operation.md"
SECONDS = 60


def commands() -> list[str]:
    """Each line of the page's blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


class Operator:
    """Somebody who types what the page says, in a folder where `tacit` is on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        shim = programs / "tacit"
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tacit "$@"\n')
        shim.chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        self.env = {**os.environ, "PATH": path, f"{PREFIX}PORT": "0"}

    def type(self, line: str) -> str:
        """One line to its end; what it printed."""
        done = subprocess.run(
            ["sh", "-ec", line], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def serving(self, line: str) -> Iterator[str]:
        """A line that starts a server, until the block ends; the first line that it printed."""
        process = subprocess.Popen(
            ["sh", "-ec", f"exec {line}"], cwd=self.folder, env=self.env, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            yield process.stdout.readline()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    served = printed = 0
    for line in commands():
        if re.search(r"\btacit serve\b", line) and "--print-config" not in line:
            with operator.serving(line) as said:
                assert said.startswith("tacit serves 127.0.0.1 at http://127.0.0.1:")
            served += 1
        else:
            printed += "reset_hours = 96" in operator.type(line)
    assert (served, printed) == (2, 1)
    events = [json.loads(line)["event"] for line in (tmp_path / "tacit.log").read_text().splitlines()]
    assert events == ["started", "stopping", "stopped"]
    assert (tmp_path / "chat.db").exists()
    assert "reset_hours = 72" in (tmp_path / "tacit.toml").read_text()


def test_the_page_has_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)` )?\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [
        (
            each.name,
            ",".join(each.default)
            if isinstance(each.default, list)
            else ""
            if each.default is None
            else str(each.default),
        )
        for each in SETTINGS
    ]


def test_the_page_has_every_line_of_the_log_with_its_fields() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:info|error|) *\|([^|\n]*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {event: set(re.findall(r"`(\w+)`", fields.partition(":")[0])) for event, fields in rows}
    logged = [logs.line_of(each) for each in EVENTS]
    assert told.pop("message") == {"logger", "message", "error", "where"}
    assert told == {line[1]: set(line[2]) for line in logged if line is not None}
    assert {type(each) for each in EVENTS} == set(get_args(Event))


def test_a_command_that_fails_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no such option"):
        Operator(tmp_path).type("tacit serve --no-such-option 2>&1 | tr A-Z a-z; exit 1")
