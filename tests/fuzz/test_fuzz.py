"""Short forms of `./dev fuzz`, and that they notice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from fuzz import described_api, frame_bytes, http_bytes, sockets
from fuzz.http_bytes import Sent
from fuzz.target import Failed, running


def test_the_api_is_as_it_is_described(tmp_path: Path) -> None:
    assert "answered 200" in described_api.run(tmp_path, examples=5, number=1)


def test_bytes_that_no_client_sends_do_no_harm(tmp_path: Path) -> None:
    assert "descriptors as before" in sockets.run(tmp_path, seed=1, rounds=1, mutations=40, step=16)


def test_the_same_seed_sends_the_same() -> None:
    first, second = ([*http_bytes.mutated(Random(1), 9), *frame_bytes.mutated(Random(1), 9)] for _ in range(2))
    assert first == second
    assert first != [*http_bytes.mutated(Random(2), 9), *frame_bytes.mutated(Random(2), 9)]


def test_an_error_of_the_servers_is_noticed() -> None:
    problem = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\r\n"
    sockets.check_answer(Sent("", ()), b"HTTP/1.1 200 OK\r\n\r\n{}" + problem)
    with pytest.raises(Failed):
        sockets.check_answer(Sent("", ()), b"HTTP/1.1 200 OK\r\n\r\n{}HTTP/1.1 400 Bad Request\r\na: b\r\n\r\n")
    with pytest.raises(Failed):
        sockets.check_answer(Sent("", ()), b"HTTP/1.1 200 OK\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 Oh\r\n\r\n")


def test_what_is_left_behind_is_noticed(tmp_path: Path) -> None:
    with running(tmp_path) as target:
        target.check_well()  # first: with its first connection the event loop opens a spare descriptor, once
        before = target.rows(), target.descriptors()
        target.check_log()

        async def leave_open() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", target.port)
            writer.write(http_bytes.SOCKET[:-2])
            await asyncio.to_thread(target.until, lambda: target.descriptors() > before[1], "nobody came")
            writer.close()

        asyncio.run(leave_open())
        target.until(lambda: target.descriptors() <= before[1], "it stayed open")
        assert target.rows() == before[0]
        with target.log.open("a") as log:
            log.write('{"level": "error", "event": "message"}\n')
        with pytest.raises(Failed):
            target.check_log()
        target.log.write_text("Traceback (most recent call last):\n")
        with pytest.raises(Failed):
            target.check_log()
    with pytest.raises(Failed):
        target.check_well()
