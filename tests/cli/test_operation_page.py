"""The commands of docs/operation.md, run by a shell as they stand: only the ports are others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, get_args

import pytest

from tacit.server import logs
from tacit.server.events import (
    BatchWritten,
    CertificateRead,
    ConnectionCut,
    Event,
    Failed,
    FrameAnswered,
    RequestAnswered,
    SocketEnded,
    Started,
    Stopped,
    Stopping,
    StorageChanged,
)
from tacit.server.metrics import Metrics
from tacit.server.push import Hub
from tacit.server.settings import PREFIX, SETTINGS

EVENTS: tuple[Event, ...] = (
    Started("", "", ""),
    RequestAnswered("", "", "", 0, "", 0),
    FrameAnswered("too_large", 0),
    SocketEnded("", 0),
    ConnectionCut(""),
    BatchWritten(0, 0, True),
    StorageChanged(True),
    Failed(""),
    Stopping(),
    Stopped(),
    CertificateRead("sha256/...", "..."),
)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "operation.md"
SECONDS = 60


def commands() -> list[str]:
    """Each line of the page's blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


CURL = """
import sys, httpx2
*options, url = sys.argv[1:]
assert set(options) <= {"--fail", "--silent"}, options
answer = httpx2.get(url)
print(answer.text)
sys.exit(22 if answer.status_code >= 400 else 0)
"""
"""What the page uses of curl: not every machine that runs the tests has it."""


class Operator:
    """Somebody who types what the page says, in a folder where `tacit` is on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        for name, command in (("tacit", "-m tacit"), ("curl", "curl.py")):
            shim = programs / name
            shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command.replace("curl", f"{programs}/curl")} "$@"\n')
            shim.chmod(0o755)
        (programs / "curl.py").write_text(CURL)
        path = f"{programs}:{os.environ['PATH']}"
        self.env = {**os.environ, "PATH": path, f"{PREFIX}PORT": "0"}
        self.ports: dict[str, str] = {}

    def type(self, line: str) -> str:
        """One line to its end; what it printed."""
        for port, found in self.ports.items():
            line = line.replace(f":{port}/", f":{found}/")
        done = subprocess.run(
            ["sh", "-ec", line], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def serving(self, line: str) -> Iterator[IO[str]]:
        """A line that starts a server, in the background or not, until the block ends; what it prints."""
        line = line.replace("--metrics-port 9464", "--metrics-port 0")
        shell = line if "&" in line else f"exec {line}"
        process = subprocess.Popen(
            ["sh", "-ec", shell], cwd=self.folder, env=self.env, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            assert said.startswith(f"tacit serves 127.0.0.1 at http{'s' * ('--tls' in line)}://127.0.0.1:")
            self.ports["8080"] = said.strip().rpartition(":")[2]
            if "--metrics-port" in line:
                place = re.search(r"metrics=127\.0\.0\.1:(\d+)", (self.folder / "tacit.log").read_text())
                assert place is not None
                self.ports["9464"] = place[1]
            yield process.stdout
        finally:
            if "&" not in line:
                process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
            process.stdout.close()


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    said: list[str] = []
    logs_in_json: list[str] = []
    with ExitStack() as background:
        for line in commands():
            if not re.search(r"\btacit serve\b", line) or "--print" in line:
                said.append(operator.type(line))
            elif "&" in line:
                printed = background.enter_context(operator.serving(line))
            else:
                with operator.serving(line) as printed:
                    if "--tls" in line:
                        assert printed.readline() == f"pin: {said[-1]}"
                if "json" in line:
                    logs_in_json += (tmp_path / "tacit.log").read_text().splitlines()
        assert printed.read() == ""  # to its end, which the page brought about
    assert [json.loads(each)["event"] for each in logs_in_json] == ["started", "stopping", "stopped"]
    assert "reset_hours = 96" in said[1]
    assert [each.strip() for each in said if '"ok"' in each] == ['{"ok":true}', '{"ok":true}']
    assert len([each for each in said if "tacit_requests_total" in each]) == 1
    log = (tmp_path / "tacit.log").read_text().splitlines()
    assert [each.split()[2] for each in log] == ["started", "stopping", "stopped"]
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


def test_the_page_has_every_metric() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    metrics = Metrics()
    store = SimpleNamespace(waiting=0, room=SimpleNamespace(full=False))
    certificate = SimpleNamespace(leaf=SimpleNamespace(not_after=0))
    backend = SimpleNamespace(hub=Hub(), store=store, connections=())
    metrics.watch(backend, certificate)  # type: ignore[arg-type]
    found = {
        each.name + ("_total" if each.type == "counter" else ""): each.type
        for each in metrics.registry.collect()
        if each.name.startswith("tacit_")
    }
    assert dict(rows) == found


def test_a_command_that_fails_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"(?i)no such option"):
        Operator(tmp_path).type("tacit serve --no-such-option 2>&1; exit 1")
