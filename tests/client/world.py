"""People with a client each on one server, and what can go wrong between them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from client.simulator import Simulator
from tacit import errors
from tacit.api.problems import to_problem
from tacit.client import Client, Conversation
from tacit.client.accountview import AccountView
from tacit.client.books import Books
from tacit.client.timing import wall_clock
from tacit.client.transport import ATTEMPTS
from tacit.identity.unlockers import Cost
from tacit.server.backend import Backend

CHEAP = Cost(8, 1, 1, 1)
"""Passwords are not what these tests are about."""


class Clock:
    """The system's clock, ahead by what a test says."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return wall_clock() + self.ahead


async def no_wait(seconds: float) -> None:
    """Waits not at all."""


class Crash(Exception):
    """The process ends here."""


Rewrite = Callable[[httpx2.Request, Any], Any]


class Wire(httpx2.AsyncBaseTransport):
    """The way to the server, with what goes wrong on it.

    `lose_request` and `lose_answer` are counted down by requests of `path`; `crash_before` and `crash_after` raise
    `Crash` there. `refuse` answers in the server's place. `rewrite` changes answers: it gets the request and its
    answer's JSON, and gives another one or a problem.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.faults: list[tuple[str, str]] = []
        self.refusals: list[tuple[errors.TacitError, str]] = []
        self.rewrite: Rewrite | None = None
        self.down = False

    def fail(self, fault: str, path: str) -> None:
        """The next request of this path fails: `lose request`, `lose answer`, `crash before` or `crash after`."""
        self.faults.append((fault, path))

    def lose(self, what: str, path: str) -> None:
        """The next request of this path is lost, or its answer, however often it is repeated."""
        self.faults.extend([(f"lose {what}", path)] * ATTEMPTS)

    def refuse(self, error: errors.TacitError, path: str, times: int = 1) -> None:
        """The next POST requests of this path are refused with a problem, and do not reach the server."""
        self.refusals.extend([(error, path)] * times)

    def _fault(self, path: str) -> str:
        for each in self.faults:
            if path.endswith(each[1]):
                self.faults.remove(each)
                return each[0]
        return ""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        fault = self._fault(path)
        if self.down or fault == "lose request":
            raise httpx2.ConnectError("the request was lost")
        if fault == "crash before":
            raise Crash
        self.requests.append((request.method, path))
        self.bodies.append(await request.aread())
        for each in self.refusals:
            if not fault and request.method == "POST" and path.endswith(each[1]):
                self.refusals.remove(each)
                return httpx2.Response(each[0].status, stream=_Once(to_problem(each[0])))
        response = await self._inner.handle_async_request(request)
        if fault == "lose answer":
            await response.aread()
            raise httpx2.ReadError("the answer was lost")
        if fault == "crash after":
            await response.aread()
            raise Crash
        if self.rewrite is not None:
            changed = self.rewrite(request, msgspec.json.decode(await response.aread()))
            if isinstance(changed, errors.TacitError):
                return httpx2.Response(changed.status, stream=_Once(to_problem(changed)))
            return httpx2.Response(response.status_code, headers=_kept(response), stream=_Once(changed))
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def _kept(response: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("tacit")}


class _Once(httpx2.AsyncByteStream):
    def __init__(self, value: object) -> None:
        self._body = json.dumps(value).encode() if isinstance(value, dict) else msgspec.json.encode(value)

    async def __aiter__(self) -> Any:
        yield self._body


class World:
    """A server and the people on it."""

    def __init__(self, url: str, folder: Path, stack: AsyncExitStack, make_wire: Callable[[], Wire]) -> None:
        self.url = url
        self.folder = folder
        self.clock = Clock()
        self._stack = stack
        self._make_wire = make_wire
        self.wires: dict[str, Wire] = {}
        self.simulator: Simulator | None = None
        self.backend: Backend | None = None

    async def open(self, name: str, **options: Any) -> Client:
        """A client on this person's store; the wire to it is in `wires`."""
        wire = self.wires[name] = self._make_wire()
        settings: dict[str, Any] = {"clock": self.clock, "sleep": no_wait, "cost": CHEAP, "transport": wire} | options
        client = Client(self.url, store=self.folder / f"{name}.db", **settings)
        return await self._stack.enter_async_context(client)

    async def register(self, *names: str) -> list[Client]:
        """New people."""
        clients = []
        for name in names:
            client = await self.open(name)
            await client.register(name, password_of(name))
            clients.append(client)
        return clients

    async def another(self, name: str, device: str, **how: Any) -> Client:
        """The person's next device, in a store of its own; signed in with the password unless `how` says otherwise."""
        client = await self.open(f"{name}-{device}", **how.pop("options", {}))
        given: dict[str, Any] = {"name": device, "confirm": yes} | how
        if not {"password", "words"} & given.keys():
            given["password"] = password_of(name)
        await client.sign_in_new_device(name, **given)
        return client

    async def come_back(self, name: str) -> Client:
        """The person's next process, after the last one ended in whatever way."""
        client = await self.open(name)
        await client.sign_in(name, password_of(name))
        return client


async def yes(_: AccountView) -> bool:
    """A person who knows the account as it is shown."""
    return True


def password_of(name: str) -> str:
    """Somebody's password."""
    return f"the password of {name}"


async def texts(conversation: Conversation) -> list[tuple[str, str]]:
    """Who said what, and the cause of what cannot be read."""
    return [(each.sender, each.cause or each.text) async for each in conversation.messages()]


async def rows(client: Client, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of a client's own store."""

    def work(books: Books) -> list[tuple[Any, ...]]:
        return books.connection.execute(query, values).fetchall()

    return await client.device._run(work)


async def abandon(client: Client) -> None:
    """The process of this client ends without a word: nothing of it is written or sent any more."""
    device = client.device
    if device._parts is not None:
        await device._parts.socket.stop()
    device._parts = None
    if device._box.store is not None:
        await device._box.store.close()
