from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import errors
from tacit.signed.origin import Origin, parse_origin


@pytest.mark.parametrize(
    ("url", "origin", "text"),
    [
        ("https://chat.example.org", Origin("https", "chat.example.org", 443), "https://chat.example.org"),
        ("HTTPS://Chat.Example.org:443/", Origin("https", "chat.example.org", 443), "https://chat.example.org"),
        ("https://chat.example.org:80", Origin("https", "chat.example.org", 80), "https://chat.example.org:80"),
        ("http://chat.example.org:80", Origin("http", "chat.example.org", 80), "http://chat.example.org"),
        ("http://LOCALHOST:443", Origin("http", "localhost", 443), "http://localhost:443"),
        ("http://127.0.0.1:8080/", Origin("http", "127.0.0.1", 8080), "http://127.0.0.1:8080"),
        ("https://[0:0::1]:8443", Origin("https", "::1", 8443), "https://[::1]:8443"),
        ("https://[2001:DB8::1]", Origin("https", "2001:db8::1", 443), "https://[2001:db8::1]"),
        ("https://xn--exmple-cua.org", Origin("https", "xn--exmple-cua.org", 443), "https://xn--exmple-cua.org"),
    ],
)
def test_a_url_has_one_origin_however_it_is_written(url: str, origin: Origin, text: str) -> None:
    found = parse_origin(url)
    assert (found, str(found)) == (origin, text)
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "chat.example.org",
        "ftp://chat.example.org",
        "https://",
        "https://chat.example.org/path",
        "https://chat.example.org?a=b",
        "https://chat.example.org#a",
        "https://me@chat.example.org",
        "https://chat.exämple.org",
        "https://\N{KELVIN SIGN}chat.example.org",
        "https://chat.example.org:0",
        "https://chat.example.org:0443",
        "https://chat.example.org:65536",
        "https://chat.example.org:",
        "https://chat.example.org\n",
        "https://-chat",
        "https://chat.",
        "https://[::g]",
        "https://[1:2]",
        "https://[127.0.0.1]",
        "https://::1",
    ],
)
def test_what_is_more_or_less_than_an_origin_is_refused(url: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        parse_origin(url)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("127.1", False),
        ("localhost.example", False),
        ("192.0.2.1", False),
    ],
)
def test_loopback_is_told_by_the_name_alone(host: str, loopback: bool) -> None:
    assert parse_origin(f"http://{host}").is_loopback is loopback


LABELS = st.text("abcxyzABC019", min_size=1, max_size=6)


@given(
    st.sampled_from(["http", "https", "HTTP", "Https"]),
    st.lists(LABELS, min_size=1, max_size=4).map(".".join),
    st.none() | st.integers(1, 65535) | st.sampled_from([80, 443]),
)
def test_an_http_library_reads_the_same(scheme: str, host: str, port: int | None) -> None:
    url = f"{scheme}://{host}" + (f":{port}" if port else "")
    found = parse_origin(url)
    read = httpx2.URL(str(found))
    assert (read.scheme, read.host, read.netloc.decode()) == (found.scheme, found.host, found.authority)
