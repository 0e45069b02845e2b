"""`tacit serve` as a process."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from server.people import Clock, Person, Talk, Town, seeded
from tacit import errors
from tacit.server.app import open_backend
from tacit.server.config import Config
from tacit.server.serve import purge
from tacit.server.store import nonces
from tacit.wire.text import to_base64


def command(database: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tacit", "serve", "--port", "0", "--database", str(database), *options]


@contextmanager
def running(database: Path, *options: str, under: tuple[str, ...] = ()) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, behind another command if need be, and the line that it printed when it listened."""
    line = [*under, *command(database, *options)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=120)


def url_in(line: str) -> str:
    return line.split(" at ")[1]


def test_it_says_where_it_listens_and_ends_when_it_is_told(tmp_path: Path) -> None:
    with running(tmp_path / "chat.db") as (process, line):
        assert line.startswith("tacit serves 127.0.0.1 at http://127.0.0.1:")
        answer = httpx2.get(f"{url_in(line)}/api/server").json()
        assert answer["name"] == "127.0.0.1"
        assert url_in(line).endswith(answer["authority"])
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, "")
        assert [each.split()[2] for each in err.splitlines()] == ["started", "request", "stopping", "stopped"]
    assert (tmp_path / "chat.db").stat().st_mode & 0o777 == 0o600


def test_name_and_url_are_what_it_is_told(tmp_path: Path) -> None:
    with running(tmp_path / "chat.db", "--name", "chat", "--url", "https://chat.example:443/") as (_, line):
        assert line == "tacit serves chat at https://chat.example"


def test_the_file_it_writes_is_the_file_it_takes(tmp_path: Path) -> None:
    file = tmp_path / "tacit.toml"
    serve = [sys.executable, "-m", "tacit", "serve"]
    done = subprocess.run([*serve, "--name", "chat", "--print-config"], capture_output=True, timeout=120, check=True)
    file.write_bytes(done.stdout)
    with running(tmp_path / "chat.db", "--config", str(file)) as (_, line):
        assert line.startswith("tacit serves chat at http://127.0.0.1:")
    file.write_text("prot = 8080\n")
    refused = subprocess.run([*serve, "--config", str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 1
    assert f"{file}: 'prot' is no setting; there are host, port," in refused.stderr


def test_a_database_that_was_made_under_another_name_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "chat.db"):
        pass
    done = subprocess.run(
        command(tmp_path / "chat.db", "--name", "chat"), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "server_name_mismatch" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--host", "0.0.0.0"), "not_loopback"),
        (("--host", "no such host"), "invalid_argument"),
        (("--url", "http://chat.example"), "not_loopback"),
        (("--url", "chat.example"), "invalid_argument"),
        (("--database", "/nonexistent/chat.db"), "internal"),
    ],
)
def test_what_it_cannot_do_it_says(tmp_path: Path, options: tuple[str, ...], code: str) -> None:
    done = subprocess.run(
        command(tmp_path / "chat.db", *options), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert f"code: {code}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_of_a_later_version_is_left_as_it_is(tmp_path: Path) -> None:
    database = tmp_path / "chat.db"
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE schema_version (number INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        db.execute("INSERT INTO schema_version VALUES (99, 'to come')")
    db.close()
    done = subprocess.run(command(database), capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "database_too_new" in done.stderr) == (1, True)


async def test_what_was_written_is_there_when_it_starts_again(tmp_path: Path) -> None:
    clock, told = Clock(), []
    for start in range(2):
        config = Config("127.0.0.1", 8080, tmp_path / "chat.db")
        backend = await open_backend(config, clock, seeded(f"server {start}"))
        told.append(backend.incarnation)
        town = Town(backend, clock)
        if start:
            alice = Person(town, "alice")
            alice.random = seeded("later")
            assert (await alice.open("/api/auth/session")).status == 200
            places = (await alice.ask("GET", "/api/conversations")).body["conversations"]
            assert [each["role"] for each in places] == [2]
        else:
            alice, bob = await town.people("alice", "bob")
            await Talk.opened(alice, bob)
        await town.http.aclose()
        await backend.store.close()
    assert told[0] == told[1]


async def test_what_has_its_time_is_forgotten_when_that_is_over(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    await town.people("alice")
    many = [("device", f"{number}", 1) for number in range(2500)]
    await town.backend.store.write(lambda db: db.executemany("INSERT INTO nonces VALUES (?, ?, ?)", many).rowcount)
    for _ in range(3):
        await Person(town, "alice").unlock(proof=to_base64(bytes(32)))
    town.clock.now += town.backend.config.session_ms + 1

    async def left() -> list[int]:
        tables = ("nonces", "sessions", "failed_proofs", "proofs_told")
        query = f"SELECT {', '.join(f'(SELECT count(*) FROM {table})' for table in tables)}"
        return list(await town.backend.store.read(lambda db: db.execute(query).fetchone()))

    async def told() -> list[int]:
        query = "SELECT json_extract(body, '$.failed') FROM account_events WHERE kind = 'unlocker' ORDER BY seq"
        return [each for (each,) in await town.backend.store.read(lambda db: db.execute(query).fetchall())]

    assert await left() == [2505, 1, 3, 1]
    assert await told() == [1]
    paused = 0

    async def pause(_: float) -> None:
        nonlocal paused
        paused += 1
        if paused > 1:
            raise asyncio.CancelledError

    monkeypatch.setattr("tacit.server.serve.asyncio.sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        await purge(town.backend)
    assert await told() == [1, 2]
    assert await left() == [0, 0, 0, 1]
    town.clock.now += town.backend.config.proofs.told_each_ms
    paused = 0
    with pytest.raises(asyncio.CancelledError):
        await purge(town.backend)
    assert await left() == [0, 0, 0, 0]


async def test_purging_survives_a_database_that_fails_for_a_while(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = 0

    def fail(*_: object, **__: object) -> int:
        nonlocal failures
        failures += 1
        raise errors.Internal("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(nonces, "purge", fail)
        task = asyncio.create_task(purge(town.backend, 0))
        while failures < 2:
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()


def test_the_log_holds_nothing_of_what_a_client_sent(tmp_path: Path) -> None:
    upgrade = (
        b"GET /api/sync/socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with running(tmp_path / "chat.db") as (process, line):
        with socket.create_connection(("127.0.0.1", int(url_in(line).rpartition(":")[2]))) as connection:
            connection.sendall(upgrade)
            assert b"101" in connection.recv(4096)
            connection.sendall(b"\x81\x86\0\0\0\0secre\xff")  # a text frame that is not UTF-8
            while connection.recv(4096):
                pass
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert "socket outcome=closed" in err
    assert "secre" not in err
    assert "Traceback" not in err
    assert "0xff" not in err
