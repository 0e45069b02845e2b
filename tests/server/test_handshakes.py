"""Which WebSockets may begin, and how many at a time before they say whose they are."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server.people import AUTHORITY, Town
from server.test_connections import until
from server.test_rates import limited
from server.test_socket import PATH, frame, line
from tacit import errors
from tacit.server.config import HandshakeLimits, RateLimits
from tacit.server.handshakes import Handshakes, check_page

OWN = f"http://{AUTHORITY}"


async def refusal(port: int, origin: str | None = None) -> tuple[int, str, str]:
    """The status, code and Retry-After with which an upgrade is refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None, origin=origin):  # type: ignore[arg-type]
            pass
    response = caught.value.response
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, json.loads(response.body)["code"], response.headers.get("retry-after", "")


@pytest.mark.parametrize("page", ["https://evil.example", "null", "http://127.0.0.1:8081", f"{OWN}/x", ""])
async def test_a_foreign_page_is_refused_before_the_upgrade(
    town: Town, port: int, page: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await refusal(port, page) == (403, "origin_refused", "")
    await until(lambda: len(town.backend.connections) == 0)
    assert [each.name for each in caplog.records if each.levelname == "ERROR"] == []
    assert len(town.backend.handshakes) == 0


async def test_the_servers_own_pages_and_programs_are_not(port: int) -> None:
    for page in (OWN, None):
        async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None, origin=page) as connection:  # type: ignore[arg-type]
            assert (await frame(connection))["type"] == "challenge"


def test_a_page_of_a_configured_origin_is_one_of_its_own() -> None:
    origins = ("https://chat.example.org", "https://other.example:8443")
    for page in (b"https://chat.example.org", b"HTTPS://chat.example.org:443", b"https://other.example:8443"):
        check_page([(b"origin", page)], origins)
    for pages in ([b"https://other.example"], [b"https://chat.example.org"] * 2, [b"\xff"]):
        with pytest.raises(errors.OriginRefused):
            check_page([(b"origin", page) for page in pages], origins)


def test_so_many_wait_in_all_and_of_an_address() -> None:
    waiting = Handshakes(HandshakeLimits(most=3, of_address=2))
    first, _ = waiting.begin("a"), waiting.begin("a")
    with pytest.raises(errors.TooManyHandshakes):
        waiting.begin("a")
    waiting.begin("b")
    with pytest.raises(errors.TooManyHandshakes):
        waiting.begin("c")
    first.done()
    first.done()
    assert len(waiting) == 2
    waiting.begin("a")
    with pytest.raises(errors.TooManyHandshakes):
        waiting.begin("a")


def test_no_limit_is_none() -> None:
    waiting = Handshakes(HandshakeLimits(0, 0))
    begun = [waiting.begin("a") for _ in range(2000)]
    for each in begun:
        each.done()
    assert len(waiting) == 0


async def test_who_said_whose_it_is_or_left_waits_no_more(town: Town, port: int) -> None:
    (alice,) = await town.people("alice")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(line(alice, port))
        assert len(town.backend.handshakes) == 0
        for _ in range(100):
            silent = await stack.enter_async_context(connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None))
            await frame(silent)
        assert await refusal(port) == (503, "too_many_handshakes", "1")
        assert town.backend.hub.sockets == 101
        await silent.close()
        await until(lambda: len(town.backend.handshakes) == 99)
        async with line(alice, port):
            pass
    await until(lambda: len(town.backend.handshakes) == 0)


async def test_upgrades_count_for_their_address(town: Town, port: int) -> None:
    limited(town, RateLimits(device=0, address=1))
    async with connect(f"ws://127.0.0.1:{port}{PATH}", proxy=None):
        pass
    assert await refusal(port) == (429, "too_many_requests", "60")
