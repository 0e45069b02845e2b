"""What a client asks of a server's certificate, on real connections: who listens records every byte after TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from certificates import Authority, Issued
from tacit import errors
from tacit.api.auth import ServerInfo
from tacit.api.base import to_json_bytes
from tacit.client import Client
from tacit.client.socket import Socket
from tacit.client.sync import Notifier
from tacit.client.tls import NO_TLS, Pinned, context_for
from tacit.client.transport import EncryptionAPIClient
from tacit.crypto.certificate import self_signed
from tacit.crypto.x509 import read_pem
from tacit.signed.origin import parse_origin

NOW = 1_800_000_000_000
OTHER_PIN = "sha256/" + "A" * 43 + "="
BODY = to_json_bytes(ServerInfo("127.0.0.1", "a", "1", "i", NOW, {}, ["standard"]))
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(BODY), BODY)


@dataclass
class Listener:
    """A raw TLS listener. `heard` is what came on each connection whose handshake succeeded on its side."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    connections: int = 0
    answer: bytes = ANSWER

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        got = b""
        try:
            while b"\r\n\r\n" not in got and (more := await reader.read(4096)):
                got += more
            if got:
                writer.write(self.answer)
                await writer.drain()
        except OSError:
            pass
        self.heard.append(got)
        writer.close()


@asynccontextmanager
async def listening(file: Path, **how: Any) -> AsyncIterator[Listener]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    for name, value in how.items():
        setattr(context, name, value)
    made = Listener()
    server = await asyncio.start_server(made.take, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


def api(url: str, *pins: str) -> EncryptionAPIClient:
    return EncryptionAPIClient(
        url, pins=pins, server_name="127.0.0.1", clock=lambda: NOW, random=os.urandom, sleep=no_wait
    )


async def ask(url: str, *pins: str) -> ServerInfo:
    client = api(url, *pins)
    try:
        return await client.get_server()
    finally:
        await client.close()


class News:
    """As much of a syncer as a socket needs that never gets to talk."""

    def __init__(self) -> None:
        self.news = Notifier()


async def refused_socket(url: str, *pins: str) -> BaseException | None:
    """What whoever follows is told by a socket that gave up."""
    client, news = api(url, *pins), News()
    made = Socket(client, cast("Any", news), no_wait_at_all, os.urandom, no_wait)
    made.start()
    assert made._task is not None
    try:
        await asyncio.wait_for(made._task, 20)
    finally:
        await client.close()
    return news.news.failure


async def no_wait_at_all() -> None: ...


@pytest.fixture(params=[None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def event_loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Both event loops that an application may have: each has a TLS of its own."""
    return cast("Callable[[], asyncio.AbstractEventLoop] | None", request.param)


def on(loop: Callable[[], asyncio.AbstractEventLoop] | None, work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this machine trusts."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A server's key and the certificate that it signed itself, for another host."""
    path = tmp_path / "own.pem"
    path.write_bytes(self_signed("elsewhere.example", NOW // 1000 - 10**8, os.urandom).reveal())
    return path


def pin_of(file: Path) -> str:
    return read_pem(file.read_bytes()).pin


def test_a_pinned_key_is_enough_whoever_signed_it(own: Path, event_loop_factory: Any) -> None:
    async def main() -> None:
        async with listening(own) as server:
            for pins in ((pin_of(own),), (OTHER_PIN, pin_of(own))):  # the second is there to go over to
                assert (await ask(server.url, *pins)).name == "127.0.0.1"
            assert [each.startswith(b"GET /api/server HTTP/1.1\r\n") for each in server.heard] == [True, True]

    on(event_loop_factory, main())


def test_a_pin_holds_however_old_the_certificate_is(authority: Authority) -> None:
    async def main() -> None:
        async with listening(authority.issue("elsewhere.example", first=-9, last=-3).file) as server:
            assert (await ask(server.url, pin_of(authority.folder / "server.pem"))).name == "127.0.0.1"

    on(None, main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_another_key_gets_no_byte_of_http_though_an_authority_vouches_for_it(
    authority: Authority, version: ssl.TLSVersion, event_loop_factory: Any
) -> None:
    async def main() -> None:
        file = authority.issue("127.0.0.1").file
        async with listening(file, minimum_version=version, maximum_version=version) as server:
            assert (await ask(server.url)).name == "127.0.0.1"
            with pytest.raises(errors.PinMismatch) as caught:
                await ask(server.url, OTHER_PIN)
            assert f"127.0.0.1:{server.port}" in str(caught.value)
            assert isinstance(await refused_socket(server.url, OTHER_PIN), errors.PinMismatch)
            await asyncio.wait_for(settled(server, 3), 20)
            assert server.heard[1:] == [b""] * (len(server.heard) - 1)

    on(event_loop_factory, main())


async def settled(server: Listener, most: int) -> None:
    """Every connection that was made has ended."""
    while len(server.heard) < server.connections:
        await asyncio.sleep(0.01)
    assert server.connections <= most


CASES: dict[str, Callable[[Authority], Issued]] = {
    "expired": lambda authority: authority.issue("127.0.0.1", first=-9, last=-1),
    "not yet": lambda authority: authority.issue("127.0.0.1", first=1, last=5),
    "another host": lambda authority: authority.issue("elsewhere.example", "127.0.0.2"),
}


@pytest.mark.parametrize("case", CASES)
def test_without_a_pin_the_certificate_has_to_hold(authority: Authority, case: str, event_loop_factory: Any) -> None:
    async def main() -> None:
        async with listening(CASES[case](authority).file) as server:
            with pytest.raises(errors.CertificateRefused):
                await ask(server.url)
            assert isinstance(await refused_socket(server.url), errors.CertificateRefused)
            await settled(server, 2)
            assert not any(server.heard)

    on(event_loop_factory, main())


def test_without_a_pin_what_a_server_signed_itself_is_refused(authority: Authority, own: Path) -> None:
    async def main() -> None:
        async with listening(own) as server:
            with pytest.raises(errors.CertificateRefused) as caught:
                await ask(server.url)
            assert "self-signed certificate" in str(caught.value)
            assert "pin" in caught.value.remedy
            assert not any(server.heard)

    on(None, main())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_what_is_older_than_tls_1_2_is_not_spoken(own: Path) -> None:
    async def main() -> None:
        old = {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1}
        async with listening(own, **old) as server:
            with pytest.raises(errors.Unreachable):
                await ask(server.url, pin_of(own))
            assert server.heard == []

    on(None, main())


def test_a_server_that_speaks_no_tls_is_sent_nothing_of_http() -> None:
    async def main() -> None:
        heard: list[bytes] = []

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read(4096))
            writer.write(ANSWER)
            writer.close()

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        async with server:
            with pytest.raises(errors.Unreachable):
                await ask(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", OTHER_PIN)
        assert heard
        assert all(each[:2] == b"\x16\x03" and b"HTTP" not in each for each in heard)

    on(None, main())


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost"])
def test_a_pin_and_plain_http_do_not_go_together(url: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="https"):
        api(url, OTHER_PIN)


def test_a_pin_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    for pins in (["sha256/abc"], [OTHER_PIN, ""], OTHER_PIN):
        with pytest.raises(errors.InvalidArgument, match="--print-pin"):
            Client("https://chat.example.org", tmp_path / "a.db", pins=pins)


async def test_a_redirect_from_tls_is_not_followed(own: Path) -> None:
    async with listening(own) as server:
        server.answer = b"HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        with pytest.raises(errors.UnexpectedAnswer):
            await ask(server.url, pin_of(own))


def test_there_is_no_way_past_the_pins() -> None:
    context = context_for(parse_origin("https://chat.example"), [OTHER_PIN])
    assert isinstance(context, Pinned)
    with socket.socket() as plain, pytest.raises(NotImplementedError):
        context.wrap_socket(plain)


def test_the_systems_authorities_are_asked_as_tls_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = context_for(parse_origin("https://chat.example"), ())
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert not context.keylog_filename
    assert context_for(parse_origin("http://localhost"), ()) is None
    assert NO_TLS.get_ca_certs() == []
