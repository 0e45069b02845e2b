from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tacit import errors
from tacit.server.config import Config, listen

PEM = Path("unused.pem")


def config(host: str = "127.0.0.1", port: int = 0, **more: Any) -> Config:
    return Config(host, port, Path("unused.db"), **more)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost"])
def test_loopback_is_listened_on(host: str) -> None:
    with listen(config(host)) as listening:
        assert listening.getsockname()[1] > 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "10.0.0.1"])
def test_nothing_but_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(errors.NotLoopback):
        listen(config(host))


def test_with_tls_any_address_is_listened_on() -> None:
    with listen(config("0.0.0.0", tls_certificate=PEM)) as listening:
        assert listening.getsockname()[0] == "0.0.0.0"


def test_a_host_that_is_none_and_a_port_that_is_taken_are_said() -> None:
    with pytest.raises(errors.InvalidArgument, match="not known"):
        listen(config("no such host"))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(errors.InvalidArgument, match="port"):
        listen(config(port=taken.getsockname()[1]))


@pytest.mark.parametrize(
    ("given", "name", "origin"),
    [
        (config(port=8080), "127.0.0.1", "http://127.0.0.1:8080"),
        (config("LocalHost", 80), "localhost", "http://localhost"),
        (config("::1", 8080), "::1", "http://[::1]:8080"),
        (config(port=8080, name="chat"), "chat", "http://127.0.0.1:8080"),
        (config(port=8080, url="https://Chat.Example:443/"), "chat.example", "https://chat.example"),
        (config(port=8080, url="https://a.example:8443", name="b.example"), "b.example", "https://a.example:8443"),
        (config(port=8080, url="http://localhost:80"), "localhost", "http://localhost"),
        (config("chat.example", 443, tls_certificate=PEM), "chat.example", "https://chat.example"),
        (config("::1", 80, tls_certificate=PEM), "::1", "https://[::1]:80"),
        (config("::", 1, tls_certificate=PEM, url="https://chat.example"), "chat.example", "https://chat.example"),
        (config(port=0).at_port(9), "127.0.0.1", "http://127.0.0.1:9"),
    ],
)
def test_name_and_origin_are_those_of_the_host_unless_said(given: Config, name: str, origin: str) -> None:
    given.check_url()
    assert (given.server_name, given.origin) == (name, origin)
    assert given.authority == origin.partition("://")[2]


def test_a_url_that_no_client_would_take_is_refused() -> None:
    with pytest.raises(errors.NotLoopback):
        config(url="http://chat.example").check_url()
    with pytest.raises(errors.InvalidArgument):
        config(url="https://chat.example/path").check_url()
    with pytest.raises(errors.InvalidArgument, match="http://"):
        config(url="http://localhost", tls_certificate=PEM).check_url()
    for everywhere in ("0.0.0.0", "::"):
        with pytest.raises(errors.InvalidArgument, match="set url"):
            config(everywhere, tls_certificate=PEM).check_url()
