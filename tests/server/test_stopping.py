"""How `tacit serve` stops: what it accepted is answered, its clients are told, and it does not take forever."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from server.people import Talk, Town
from server.test_serve import running, url_in
from server.test_socket import PATH, frame, line, line_of, sending
from tacit.server import push

HEAD = "{} {} HTTP/1.1\r\nHost: x\r\n{}\r\n"
REQUEST = HEAD.format("GET", "/api/server", "").encode()
HALF = HEAD.format("POST", "/api/auth/session", "Content-Length: 10\r\n").encode() + b"{"


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as connection:
        yield connection


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """A process's exit status, and the events that it logged."""
    _, err = process.communicate(timeout=30)
    return process.returncode, [each.split()[2] for each in err.splitlines()]


def log_line(process: subprocess.Popen[str], event: str) -> None:
    """Reads the log up to this event."""
    assert process.stderr is not None
    for each in process.stderr:
        if each.split()[2] == event:
            return
    raise AssertionError(f"{event} never came")


def test_a_socket_is_closed_as_going_away_before_it_said_whose_it_is(tmp_path: Path) -> None:
    with running(tmp_path / "chat.db") as (process, started):
        with connect(f"ws{url_in(started).removeprefix('http')}{PATH}", proxy=None) as connection:
            assert json.loads(connection.recv(30))["type"] == "challenge"
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert ended(process) == (0, ["started", "stopping", "socket", "stopped"])


def test_a_request_that_was_begun_is_answered_and_no_other_is_taken(tmp_path: Path) -> None:
    with running(tmp_path / "chat.db", "--grace-seconds", "300") as (process, started):
        url = url_in(started)
        with connected(url) as idle, connected(url) as begun:
            idle.sendall(REQUEST)
            answer = b""
            while not answer.endswith(b"]}"):
                answer += idle.recv(4096)
            begun.sendall(HALF)
            httpx2.get(f"{url}/api/server")  # after this the server has read the half
            process.send_signal(signal.SIGTERM)
            assert idle.recv(4096) == b""
            with pytest.raises(ConnectionRefusedError), connected(url):
                pass
            begun.sendall(b'"a":"bcd"')  # ten bytes in all: not JSON, but a whole request
            assert begun.recv(4096).startswith(b"HTTP/1.1 4")
            status, events = ended(process)
    assert status == 0
    assert events[-3:] == ["stopping", "request", "stopped"]


def test_a_client_that_never_finishes_is_hung_up_on(tmp_path: Path) -> None:
    with running(tmp_path / "chat.db", "--grace-seconds", "1") as (process, started):
        url = url_in(started)
        with connected(url) as slow:
            slow.sendall(HALF)
            httpx2.get(f"{url}/api/server")
            process.send_signal(signal.SIGTERM)
            assert ended(process)[0] == 0


def test_while_it_drains_it_takes_everything_and_says_that_it_is_not_ready(tmp_path: Path) -> None:
    with running(tmp_path / "chat.db", "--drain-seconds", "300") as (process, started):
        url = url_in(started)
        assert httpx2.get(f"{url}/health/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        log_line(process, "stopping")
        assert httpx2.get(f"{url}/health/ready").status_code == 503
        assert httpx2.get(f"{url}/health/live").status_code == 200
        assert httpx2.get(f"{url}/api/server").status_code == 200
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        status, events = ended(process)
        assert time.monotonic() - began < 30
    assert status == 1
    assert events[-2:] == ["stopping", "stopped"]


def test_a_second_signal_ends_it_though_a_client_holds_it_up(tmp_path: Path) -> None:
    with running(tmp_path / "chat.db", "--grace-seconds", "300") as (process, started):
        url = url_in(started)
        with connected(url) as slow, connect(f"ws{url.removeprefix('http')}{PATH}", proxy=None) as connection:
            connection.recv(30)
            slow.sendall(HALF)
            httpx2.get(f"{url}/api/server")
            process.send_signal(signal.SIGTERM)
            log_line(process, "stopping")
            with pytest.raises(ConnectionClosed):
                connection.recv(30)
            process.send_signal(signal.SIGINT)
            assert ended(process)[0] == 1


async def test_a_line_that_leaves_answers_what_it_took_and_takes_no_more(
    town: Town,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, bob = await town.people("alice", "bob")
    talk = await Talk.opened(alice, bob)
    submit, held = town.backend.store.submit, list[Callable[[], None]]()

    def slow(*given: Any, **more: Any) -> None:
        held.append(partial(submit, *given, **more))

    monkeypatch.setattr(town.backend.store, "submit", slow)
    async with line(alice, port) as hers:
        for number in range(3):
            await hers.send(sending(talk, talk.payload(alice, id=str(number)), str(number)))
        while len(held) < 3:
            await asyncio.sleep(0)
        town.backend.hub.close_all()
        await hers.send(sending(talk, talk.payload(alice, id="late"), "late"))
        assert await hers.ping()
        assert len(held) == 3
        for each in held:
            each()
        said = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                said.append(await frame(hers))
        assert [each["id"] for each in said if each["type"] == "sent"] == ["0", "1", "2"]
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    await asyncio.wait_for(town.backend.hub.empty(), 10)
    assert town.backend.hub.sockets == 0


async def test_a_socket_that_comes_while_the_server_leaves_is_closed(town: Town, port: int) -> None:
    (alice,) = await town.people("alice")
    town.backend.hub.close_all()
    with pytest.raises(ConnectionClosed) as closed:
        async with line(alice, port):
            pass
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


async def test_a_line_that_is_added_while_the_hub_leaves_leaves() -> None:
    hub = push.Hub()
    hub.close_all()
    late, paper = line_of()
    hub.add(late)
    assert paper.ended
