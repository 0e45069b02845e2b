from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
import uvicorn

from client.simulator import Simulator
from client.world import Clock, Wire, World
from rsa_pool import rsa_key
from rsa_pool import rsa_keys_are_read_once as rsa_keys_are_read_once
from tacit.client.tls import NO_TLS
from tacit.crypto import rsa
from tacit.server.app import application, open_backend
from tacit.server.config import Config

POOL = 12
"""More than one account makes in a test: what a revocation replaces must be another key."""


@pytest.fixture(autouse=True)
def rsa_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """RSA keys out of a pool that is made once: making one takes 60 to 250 ms."""
    given = itertools.count()
    monkeypatch.setattr(rsa, "generate", lambda bits=rsa.BITS: rsa_key(next(given) % POOL, bits))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """People on a server in memory, without a socket between them."""
    clock = Clock()
    simulator = Simulator(clock)
    async with AsyncExitStack() as stack:
        made = World("http://127.0.0.1:8080", tmp_path, stack, lambda: Wire(httpx2.ASGITransport(simulator)))
        made.clock = clock
        made.simulator = simulator
        yield made


@pytest.fixture
async def listening() -> AsyncIterator[Simulator]:
    """A server in memory on a free loopback port, with WebSockets."""
    simulator = Simulator(Clock())
    config = uvicorn.Config(simulator, "127.0.0.1", 0, log_level="warning", ws="websockets-sansio", lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.001)
    port = server.servers[0].sockets[0].getsockname()[1]
    simulator.authority = f"127.0.0.1:{port}"
    yield simulator
    server.should_exit = True
    await running


@pytest.fixture
def server_url(listening: Simulator) -> str:
    """Where it listens."""
    return f"http://{listening.authority}"


@pytest.fixture
async def live(listening: Simulator, server_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """People on that server, over real sockets."""
    async with AsyncExitStack() as stack:
        yield World(server_url, tmp_path, stack, lambda: Wire(httpx2.AsyncHTTPTransport(verify=NO_TLS)))


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    """People on the product's own server, without a socket between them."""
    clock = Clock()
    backend = await open_backend(Config("127.0.0.1", 8080, tmp_path / "server.db"), clock, os.urandom)
    server = application(backend)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(backend.store.close)
        made = World("http://127.0.0.1:8080", tmp_path, stack, lambda: Wire(httpx2.ASGITransport(server)))
        made.clock = clock
        made.backend = backend
        yield made
