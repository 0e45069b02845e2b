from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from client.world import CHEAP, password_of
from server.listening import server_on
from tacit.client import Client

README = Path(__file__).resolve().parents[2] / "README.md"
URL = "https://chat.example.org"


def block() -> str:
    """The README's first block of Python."""
    found = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
async def server_url(tmp_path: Path) -> AsyncIterator[str]:
    """Where the product's own server listens."""
    async with server_on(tmp_path / "chat.db") as backend:
        yield backend.config.origin


async def test_the_readmes_lines_work_as_they_stand(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Client(server_url, store="alice.db", cost=CHEAP) as alice:
        await alice.register("alice", password_of("alice"))
    printed: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
    source = block()
    assert source.count(URL) == 1
    code = compile(source.replace(URL, server_url), str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    async with Client(server_url, store="bob.db", cost=CHEAP) as bob:
        await bob.register("bob", password_of("bob"))

        def show(*values: object) -> None:
            printed.put_nowait(values)

        lines: Coroutine[Any, Any, None] = eval(code, {"password": password_of("alice"), "print": show})
        running = asyncio.create_task(lines)
        assert await next_line(printed, running) == ("alice", "hello", "pinned")
        await bob.sync()
        team = await bob.conversation("team")
        assert [(each.sender, each.text) async for each in team.messages()] == [("alice", "hello")]
        await team.send("hello yourself")
        assert await next_line(printed, running) == ("bob", "hello yourself", "pinned")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert printed.empty()


async def next_line(printed: asyncio.Queue[tuple[object, ...]], running: asyncio.Task[None]) -> tuple[object, ...]:
    """The next line that was printed; raises what ended the program before."""
    line = asyncio.create_task(printed.get())
    await asyncio.wait((line, running), timeout=120, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    assert line.done(), "nothing was printed"
    return line.result()
