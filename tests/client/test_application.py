"""The lines of the page for applications, as they stand."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from client.world import CHEAP, password_of
from server.listening import server_on
from tacit.cli.owncertificate import make
from tacit.client import Client, EncryptionService
from tacit.crypto.x509 import read_pem

PAGE = Path(__file__).resolve().parents[2] / "docs" / "application.md"
TEXT = PAGE.read_text(encoding="utf-8")
URL = "https://chat.example.org"
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
async def server_url(tmp_path: Path) -> AsyncIterator[str]:
    """Where the product's own server listens."""
    async with server_on(tmp_path / "chat.db") as backend:
        yield backend.config.origin


async def run(source: str, url: str, names: dict[str, Any]) -> None:
    """A block of the page, with cheap passwords."""
    assert source.count(URL) == 1
    code = compile(source.replace(URL, url), str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, names)


def test_the_page_names_every_method() -> None:
    named = set(re.findall(r"^\| `(\w+)\(", TEXT, re.MULTILINE))
    assert named == {name for name in vars(EncryptionService) if not name.startswith("_")}


async def test_the_pages_lines_work_as_they_stand(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make: Callable[..., None] = Client.__init__

    def cheaply(self: Client, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **{"cost": CHEAP} | options)

    monkeypatch.setattr(Client, "__init__", cheaply)
    async with Client(server_url, store="bob.db") as bob:
        await bob.register("bob", password_of("bob"))
    kept: dict[str, str] = {}
    words: list[tuple[str, ...]] = []
    alices, bobs, _ = BLOCKS
    names = {"password": password_of("alice"), "show_once": words.append, "remember": kept.__setitem__}
    await run(alices, server_url, dict(names))
    assert [len(each) for each in words] == [24]
    (conversation_id,) = kept.values()
    async with Client(server_url, store="bob.db") as bob:
        await bob.sign_in("bob", password_of("bob"))
        page = await bob.device.api.get_messages_encrypted(conversation_id, 0)
    shown: list[tuple[str, ...]] = []
    names = {"password": password_of("bob"), "show": lambda *values: shown.append(values)}
    for item in (msgspec.to_builtins(page.items[-1]), msgspec.to_builtins(page.items[-1]) | {"seq": 1000}):
        await run(bobs, server_url, names | {"conversation_id": conversation_id, "item": item})
    (first, second) = shown
    assert first == ("alice", "hello", "pinned")
    assert second[0] == ""
    assert second[2]
    names = {"password": password_of("alice"), "show_once": words.append, "remember": kept.__setitem__}
    await run(alices, server_url, dict(names))  # by now there is an account
    assert len(words) == 1


async def test_the_pages_pins_are_those_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("next.pem", "server.pem"):
        make(tmp_path / name, "127.0.0.1")
    pin, next_pin = (read_pem((tmp_path / each).read_bytes()).pin for each in ("server.pem", "next.pem"))
    *_, block = BLOCKS
    for key in ("server.pem", "next.pem"):  # the server goes over to the next one
        async with server_on(tmp_path / "chat.db", tmp_path / key) as backend:
            url = backend.config.origin
            assert url.startswith("https://")
            if key == "server.pem":
                async with Client(url, store="alice.db", pins=[pin], cost=CHEAP) as alice:
                    await alice.register("alice", password_of("alice"))
            names = {"PIN": pin, "NEXT_PIN": next_pin, "password": password_of("alice")}
            await run(block, url, names)
            await names["client"].device.close()  # type: ignore[attr-defined]
