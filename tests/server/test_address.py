"""Whom a proxy forwards for: believed of proxies that are configured, and of nobody else."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.listening import served
from server.people import Town
from server.test_rates import limited
from server.test_serve import running, url_in
from tacit.client.tls import NO_TLS
from tacit.server.address import HOPS, address_of, network_of
from tacit.server.config import Config, RateLimits, listen

PROXIES = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32"), ip_network("2001:db8:9::/48"))
MADE_UP = "198.51.100.1"


def counted(peer: str, *forwarded: str, name: bytes = b"x-forwarded-for") -> str:
    headers = [(b"host", b"x"), *((name, each.encode("latin-1")) for each in forwarded), (b"accept", b"x")]
    return address_of({"client": (peer, 1), "headers": headers}, PROXIES)


@pytest.mark.parametrize("peer", ["192.0.2.7", "11.0.0.1", "127.0.0.2", "2001:db8:8::1", "testclient"])
def test_a_stranger_is_believed_nothing(peer: str) -> None:
    assert counted(peer, MADE_UP) == counted(peer) == network_of(peer)


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "2001:db8:9::1"])
@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        ([f"{MADE_UP}, 192.0.2.7"], "192.0.2.7"),
        ([MADE_UP, "192.0.2.7"], "192.0.2.7"),
        ([f"10.9.9.9, {MADE_UP},192.0.2.7 ,\t10.0.0.2, 127.0.0.1"], "192.0.2.7"),
        (["2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # it is in the proxies' own network
        ([f"{MADE_UP}, nonsense, 10.0.0.2"], "10.0.0.2"),
    ],
)
def test_the_last_hop_that_is_no_proxy_is_the_client(peer: str, forwarded: list[str], client: str) -> None:
    assert counted(peer, *forwarded) == client


@pytest.mark.parametrize("forwarded", [[], [""], [f"{MADE_UP},"], [f"{MADE_UP}, nonsense"], ["192.0.2.7:443"], ["ä"]])
def test_a_proxy_that_wrote_no_address_is_counted_itself(forwarded: list[str]) -> None:
    assert counted("10.1.2.3", *forwarded) == "10.1.2.3"


def test_another_header_says_nothing() -> None:
    for name in (b"forwarded", b"x-real-ip", b"x-client-ip"):
        assert counted("10.1.2.3", MADE_UP, name=name) == "10.1.2.3"


def test_where_there_is_no_proxy_nobody_is_asked() -> None:
    assert address_of({"client": ("127.0.0.1", 1), "headers": [(b"x-forwarded-for", MADE_UP.encode())]}) == "127.0.0.1"


def test_not_more_hops_are_looked_at_than_there_may_be() -> None:
    chain = ["10.0.0.2"] * HOPS
    assert counted("10.1.2.3", ",".join(["192.0.2.7", *chain])) == "192.0.2.7"
    assert counted("10.1.2.3", ",".join(["192.0.2.7", "10.0.0.2", *chain])) == "10.0.0.2"
    assert counted("10.1.2.3", "," * 60_000) == "10.1.2.3"


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=20), max_size=4))
def test_what_a_client_made_up_changes_nothing(made_up: list[str]) -> None:
    assert counted("10.1.2.3", *made_up, "192.0.2.7") == "192.0.2.7"


ADDRESSES = [f"203.0.113.{number}" for number in range(5)]


@pytest.mark.parametrize(("proxies", "statuses"), [((), [200, 200, 429, 429, 429]), (PROXIES, [200] * 5)])
async def test_a_header_counts_on_a_real_server_for_a_proxy_alone(
    town: Town, proxies: tuple[object, ...], statuses: list[int]
) -> None:
    """Everything comes from loopback, which uvicorn would believe by itself."""
    object.__setattr__(town.backend.config, "proxies", proxies)
    limited(town, RateLimits(device=0, address=2))
    with listen(Config("127.0.0.1", 0, town.backend.config.database)) as listening:
        async with served(town.backend, listening), httpx2.AsyncClient(trust_env=False, verify=NO_TLS) as client:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/api/server"
            found = [(await client.get(url, headers={"X-Forwarded-For": each})).status_code for each in ADDRESSES]
    assert found == statuses


def test_the_log_names_no_forwarded_address(tmp_path: Path) -> None:
    options = ("--trusted-proxies", "127.0.0.1", "--requests-per-address", "1")
    with running(tmp_path / "chat.db", *options) as (process, line):
        for status in (200, 429):
            headers = {"X-Forwarded-For": ADDRESSES[0], "X-Forwarded-Proto": "https"}
            answer = httpx2.get(f"{url_in(line)}/api/server", headers=headers)
            assert answer.status_code == status
        process.terminate()
        _, err = process.communicate(timeout=120)
    started, *others = err.splitlines()
    assert "too_many_requests" in err
    assert "203.0.113" not in err
    assert "127.0.0.1" not in "".join(others)
    assert " started " in started
