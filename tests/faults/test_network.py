"""A broken network between real clients and a real server: nothing acknowledged is lost, and nothing stands twice."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path

import pytest

from faults.crowd import Crowd, Server, in_the_clients, of_the_database
from faults.proxy import FATES, network


@pytest.mark.parametrize("seed", [1, 2])
async def test_everything_arrives_once_when_the_network_is_whole(tmp_path: Path, seed: int) -> None:
    for each in ("server", "people"):
        (tmp_path / each).mkdir()
    server = Server(tmp_path / "server")
    async with network(server.port, seed) as net:
        await server.start("--url", f"http://127.0.0.1:{net.port}")
        net.whole = True
        crowd = Crowd(server, random.Random(seed), url=f"http://127.0.0.1:{net.port}")
        try:
            await crowd.gather(tmp_path / "people")
            net.whole, over = False, asyncio.Event()
            busy = crowd.begin(over)
            async with asyncio.timeout(60):
                while len(crowd.told) < 25 or len(net.fates) < len(FATES):
                    await asyncio.sleep(0.01)
            over.set()
            net.mend()
            await asyncio.gather(*busy)
            told = dict(crowd.told)
            await crowd.end()
            assert await in_the_clients(crowd, told) == []
            assert of_the_database(server.database, told) == []
            await replayed(net.requests, server)
            assert of_the_database(server.database, told) == []
        finally:
            for client in crowd.clients.values():
                await client.device.close()
            server.kill()


def sends_among(requests: list[bytes]) -> list[bytes]:
    """The sends that went by HTTP, which is where no WebSocket is open: when that is, is the network's to say."""
    return [each for each in map(first_of, requests) if each.startswith(b"POST /api/messages/encrypted ")]


async def replayed(requests: list[bytes], server: Server) -> None:
    """Every send that went by HTTP goes to the server once more, whole, on a connection of its own: it is refused."""
    sends = sends_among(requests)
    # none where every one went by WebSocket: that is the network's to say
    for each in sends:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(each)
        async with asyncio.timeout(30):
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            assert size is not None
            body = await reader.readexactly(int(size[1]))
        writer.close()
        assert b'"request_replayed"' in body, (head, body)


def first_of(sent: bytes) -> bytes:
    """The first request of a connection; nothing where it did not go through whole."""
    head, end, rest = sent.partition(b"\r\n\r\n")
    size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    whole = bool(end) and size is not None and len(rest) >= int(size[1])
    return head + end + rest[: int(size[1])] if whole and size is not None else b""
