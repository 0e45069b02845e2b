"""TLS of the server: on real connections, over loopback."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from certificates import Authority, Issued
from client.world import CHEAP, password_of
from road import Road, open_road
from server.listening import served
from server.test_connections import few
from server.test_serve import command, running, url_in
from tacit import errors
from tacit.cli import owncertificate
from tacit.client import Client
from tacit.crypto.x509 import read_der, read_pem
from tacit.server import accepting, serve
from tacit.server.app import application, open_backend
from tacit.server.config import Config, ConnectionLimits, listen
from tacit.server.connections import REFUSALS, RESERVED
from tacit.server.events import CertificateRead, ConnectionCut, Event, Events, Failed
from tacit.server.serve import settings, wall_clock
from tacit.server.tls import Certificate, is_open, keep_fresh

HOST = "127.0.0.1"
REQUEST = b"GET /api/server HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def trusting(authority: Authority, *versions: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if versions:
        context.minimum_version = context.maximum_version = versions[0]
    return context


@asynccontextmanager
async def serving(
    certificate: Certificate, database: Path, heard: list[Event], limits: ConnectionLimits | None = None
) -> AsyncIterator[int]:
    """The product's server as `tacit serve` runs it, in this process; its port."""
    config, ready = Config(HOST, 0, database, connections=limits or ConnectionLimits()), asyncio.Event()
    with listen(config) as listening:
        port = listening.getsockname()[1]
        events = Events((heard.append,))
        backend = await open_backend(config.at_port(port), wall_clock, os.urandom, events)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: events.tell(serve.unhandled(context)))
        how = uvicorn.Config(application(backend), **settings(backend.connections, 1, certificate))
        server = serve._Server(how, backend, ready.set)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await asyncio.wait_for(ready.wait(), 20)
            yield port
        finally:
            server.should_exit = True
            await running
            await backend.store.close()


async def shown(port: int, authority: Authority, *versions: ssl.TLSVersion) -> str:
    """The pin of the key that a new connection is shown, once a request was answered on it."""
    reader, writer = await asyncio.open_connection(HOST, port, ssl=trusting(authority, *versions))
    pin = await asked(reader, writer)
    await left(writer)
    return pin


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(REQUEST)
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    await reader.readuntil(b"]}")
    return read_der(writer.get_extra_info("ssl_object").getpeercert(binary_form=True)).pin


async def left(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


# --- files -------------------------------------------------------------------------------


def without_key(authority: Authority) -> tuple[Path, Path | None]:
    return authority.file, None


def of_another_key(authority: Authority) -> tuple[Path, Path | None]:
    return authority.issue(HOST).file, authority.issue(HOST, file="other.pem").file


def under_a_password(authority: Authority) -> tuple[Path, Path | None]:
    made = authority.issue(HOST)
    key = authority.folder / "key.pem"
    key.write_bytes(made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    return made.file, key


def text(authority: Authority) -> tuple[Path, Path | None]:
    (authority.folder / "text.pem").write_text("nothing")
    return authority.folder / "text.pem", None


CASES: dict[str, Callable[[Authority], tuple[Path, Path | None]]] = {
    "server.pem: cannot be read: No such file": lambda authority: (authority.folder / "server.pem", None),
    "key.pem: cannot be read: No such file": lambda authority: (
        authority.issue(HOST).file,
        authority.folder / "key.pem",
    ),
    "cannot be read: Is a directory": lambda authority: (authority.folder, None),
    "text.pem: there is no certificate in PEM": text,
    "authority.pem: there is no key in PEM": without_key,
    "key.pem: there is no key in PEM without a password": under_a_password,
    "other.pem: the key is not the certificate's": of_another_key,
    "server.pem: the certificate has expired": lambda authority: (authority.issue(HOST, first=-9, last=-1).file, None),
    "server.pem: the certificate does not hold yet": lambda authority: (authority.issue(HOST, first=1).file, None),
}


@pytest.mark.parametrize("told", CASES)
def test_files_that_cannot_be_used_are_told_by_name_and_fault(authority: Authority, told: str) -> None:
    certificate, key = CASES[told](authority)
    with pytest.raises(errors.InvalidArgument, match=re.escape(told)):
        Certificate(certificate, key, wall_clock)


@pytest.mark.parametrize("more", [(), ("--print-pin",)])
def test_the_command_ends_with_one_line_for_it_and_asks_for_no_password(
    authority: Authority, more: tuple[str, ...]
) -> None:
    certificate, key = under_a_password(authority)
    options = ("--tls-certificate", str(certificate), "--tls-key", str(key), *more)
    done = subprocess.run(
        command(authority.folder / "chat.db", *options),
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    first, _, last = done.stderr.splitlines()
    assert (done.returncode, done.stdout, last) == (1, "", "  code: invalid_argument")
    assert f"{key}: there is no key in PEM without a password" in first
    assert not (authority.folder / "chat.db").exists()


def test_a_key_of_its_own_is_made_once_and_kept(tmp_path: Path) -> None:
    database, file = tmp_path / "chat.db", tmp_path / "chat.tls.pem"
    with running(database, "--tls", "self-signed") as (process, line):
        assert line.startswith("tacit serves 127.0.0.1 at https://127.0.0.1:")
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        made = file.read_bytes()
        assert said == f"pin: {read_pem(made).pin}"
        assert file.stat().st_mode & 0o777 == 0o600
        assert sorted(each.name for each in tmp_path.iterdir() if ".tls" in each.name) == ["chat.tls.pem"]
    done = subprocess.run(
        command(database, "--tls", "self-signed", "--print-pin"),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert f"pin: {done.stdout.strip()}" == said
    assert file.read_bytes() == made


def test_of_two_servers_that_make_a_key_at_once_one_comes_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "chat.tls.pem"
    link = os.link

    def late(source: str, target: Path) -> None:
        target.write_text("the other's")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    owncertificate.make(file, HOST)
    assert [each.name for each in tmp_path.iterdir()] == ["chat.tls.pem"]
    assert file.read_text() == "the other's"


def test_a_key_that_cannot_be_written_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.InvalidArgument, match="No such file"):
        owncertificate.make(tmp_path / "gone" / "chat.tls.pem", HOST)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.InvalidArgument, match="No space"):
        owncertificate.make(tmp_path / "chat.tls.pem", HOST)
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_tls_there_is_no_pin(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path / "chat.db", "--print-pin"), capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no TLS" in done.stderr


# --- connections -------------------------------------------------------------------------


async def test_people_talk_over_tls_by_http_and_websocket(tmp_path: Path) -> None:
    """The server is a process of its own; its key is pinned, and the host that its certificate names another."""
    options = ("--tls", "self-signed", "--host", "0.0.0.0", "--url", "https://chat.example", "--name", HOST)
    subprocess.run(command(tmp_path / "chat.db", *options, "--print-pin"), timeout=120, check=True)
    pin = read_pem((tmp_path / "chat.tls.pem").read_bytes()).pin
    with running(tmp_path / "chat.db", "--tls", "self-signed") as (process, line):
        url = url_in(line)
        async with (
            Client(url, tmp_path / "alice.db", pins=[pin], cost=CHEAP) as alice,
            Client(url, tmp_path / "bob.db", pins=[pin], cost=CHEAP) as bob,
        ):
            await talk(alice, bob)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0
    events = [each.split()[2] for each in err.splitlines()]
    assert "socket" in events  # the WebSocket, which ended when its client left
    assert "failed" not in events


async def talk(alice: Client, bob: Client) -> None:
    """Two new people; what the one sends is pushed to the other by WebSocket."""
    for client, name in ((alice, "alice"), (bob, "bob")):
        await client.register(name, password_of(name))
    team = await alice.create_conversation("team", members=["bob"])
    await bob.sync()
    followed = (await bob.conversation("team")).messages(follow=True)
    bob.device.listen()
    async with asyncio.timeout(60):
        while not bob.device._parts_now().socket.connected:
            await asyncio.sleep(0.01)
        await team.send("hello")
        async for message in followed:
            if message.text == "hello":
                break


async def test_behind_a_proxy_that_ends_tls_the_url_is_the_proxys(authority: Authority) -> None:
    issued, folder = authority.issue(HOST), authority.folder
    async with open_road(issued.file) as road:
        config = Config(HOST, 0, folder / "chat.db", url=road.url)
        with listen(config) as listening:
            road.target = listening.getsockname()[1]
            backend = await open_backend(config.at_port(road.target), wall_clock, os.urandom)
            async with (
                served(backend, listening),
                Client(road.url, folder / "alice.db", pins=[issued.pin], cost=CHEAP) as alice,
                Client(road.url, folder / "bob.db", pins=[issued.pin], cost=CHEAP) as bob,
            ):
                await talk(alice, bob)
                await waits_out_another_key(road, issued, authority.issue(HOST, file="other.pem"), alice, bob)
                direct = Client(f"http://{HOST}:{road.target}", folder / "eve.db", cost=CHEAP)
                with pytest.raises(errors.RequestSignatureInvalid):  # it signs for another origin
                    await direct.register("eve", password_of("eve"))
                await direct.device.close()
            await backend.store.close()


async def waits_out_another_key(road: Road, own: Issued, other: Issued, alice: Client, bob: Client) -> None:
    """What is sent while somebody else answers is not lost, and arrives once."""
    team = await alice.conversation("team")
    road.lead_by(other.file)
    with pytest.raises(errors.PinMismatch):
        await team.send("it waits")
    with pytest.raises(errors.PinMismatch):
        await alice.sync()
    road.lead_by(own.file)
    await alice.sync()
    await bob.sync()
    found = [each.text async for each in (await bob.conversation("team")).messages()]
    assert found == ["hello", "it waits"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_are_spoken(authority: Authority, version: ssl.TLSVersion) -> None:
    issued = authority.issue(HOST)
    certificate = Certificate(issued.file, None, wall_clock)
    assert certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2
    async with serving(certificate, authority.folder / "a.db", []) as port:
        assert await shown(port, authority, version) == issued.pin


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
async def test_what_is_no_handshake_of_ours_gets_nothing_and_is_no_failure(authority: Authority) -> None:
    issued = authority.issue(HOST)
    heard: list[Event] = []
    old = trusting(authority)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with serving(Certificate(issued.file, None, wall_clock), authority.folder / "a.db", heard) as port:
        with pytest.raises(OSError):
            await asyncio.open_connection(HOST, port, ssl=old)
        for garbage in (REQUEST, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x00" * 100):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(garbage)
            writer.write_eof()
            with suppress(ConnectionResetError):
                assert b"HTTP/" not in await asyncio.wait_for(reader.read(), 20)
            await left(writer)
        with pytest.raises(ssl.SSLCertVerificationError):  # a client that hangs up because it does not trust
            await asyncio.open_connection(HOST, port, ssl=ssl.create_default_context())
        assert await shown(port, authority) == issued.pin
    assert not any(isinstance(each, Failed) for each in heard)


async def test_a_handshake_that_is_not_finished_ends(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "HANDSHAKE_SECONDS", 0.2)
    issued = authority.issue(HOST)
    heard: list[Event] = []
    async with serving(Certificate(issued.file, None, wall_clock), authority.folder / "a.db", heard) as port:
        for begun in (b"", b"\x16\x03\x01\x02\x00\x01"):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(begun)
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 20) == b""
            await left(writer)
        assert await shown(port, authority) == issued.pin
    assert not any(isinstance(each, Failed) for each in heard)


async def test_what_has_not_begun_its_handshake_counts_too(authority: Authority) -> None:
    certificate, heard = Certificate(authority.issue(HOST).file, None, wall_clock), list[Event]()
    limits = ConnectionLimits(of_address=2)
    async with serving(certificate, authority.folder / "a.db", heard, limits) as port:
        bare = [await asyncio.open_connection(HOST, port) for _ in range(2)]
        reader, writer = await asyncio.open_connection(HOST, port, ssl=trusting(authority))
        assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 503 ")
        await left(writer)
        more = [await asyncio.open_connection(HOST, port) for _ in range(REFUSALS + 1)]
        with suppress(ConnectionResetError):  # all the others may still finish a handshake, to be told
            assert await asyncio.wait_for(more[-1][0].read(), 5) == b""
        assert {each for each in heard if isinstance(each, ConnectionCut)} == {ConnectionCut("too_many_connections")}
        for _, each in bare + more:
            await left(each)
        async with asyncio.timeout(20):
            while True:
                reader, writer = await asyncio.open_connection(HOST, port, ssl=trusting(authority))
                writer.write(REQUEST)
                found = await reader.readuntil(b"\r\n")
                await left(writer)
                if found.startswith(b"HTTP/1.1 200"):  # their places are free again
                    break


def test_handshakes_that_nobody_finishes_do_not_use_up_file_descriptors(authority: Authority) -> None:
    issued, most, tls = authority.issue(HOST), 300, "--tls-certificate"
    with ExitStack() as stack:
        database = authority.folder / "chat.db"
        process, line = stack.enter_context(running(database, tls, str(issued.file), under=few(most)))
        port, soon = int(url_in(line).rpartition(":")[2]), 8  # and not when the time for a handshake is over
        dialled = [stack.enter_context(socket.create_connection((HOST, port), timeout=soon)) for _ in range(400)]
        kept = most - RESERVED + REFUSALS  # counted, and those that would be told
        for each in dialled[kept:]:
            with suppress(ConnectionResetError):
                assert each.recv(1) == b""
        assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < kept + 64
        assert process.poll() is None


async def test_where_the_system_has_no_room_for_a_connection_it_is_taken_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "AGAIN_SECONDS", 0.05)
    tried: list[int] = []

    class Full(socket.socket):
        def accept(self) -> Any:
            tried.append(1)
            if len(tried) < 3:
                raise OSError(errno.EMFILE, "")
            return super().accept()

    class Taken:
        def accepted(self, host: str) -> bool:
            assert host == HOST
            return False

    with Full() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        door = accepting.Listener(listening, Taken, None)  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection(HOST, listening.getsockname()[1])
        assert await asyncio.wait_for(reader.read(), 20) == b""
        assert 3 <= len(tried) <= 4  # and not as fast as it could be tried
        await left(writer)
        tried.clear()
        reader, writer = await asyncio.open_connection(HOST, listening.getsockname()[1])
        async with asyncio.timeout(20):
            while not tried:
                await asyncio.sleep(0)
        door.close()  # while it waits
        await door.wait_closed()
        await left(writer)


def test_the_times_of_a_handshake_are_given_to_the_event_loop() -> None:
    assert (accepting.HANDSHAKE_SECONDS, accepting.GOODBYE_SECONDS) == (10, 5)


def test_it_stops_in_time_though_a_client_says_no_goodbye(authority: Authority) -> None:
    issued = authority.issue(HOST)
    with running(authority.folder / "chat.db", "--tls-certificate", str(issued.file)) as (process, line):
        port = int(url_in(line).rpartition(":")[2])
        with (
            socket.create_connection((HOST, port), timeout=30) as half_open,
            socket.create_connection((HOST, port), timeout=30) as plain,
            trusting(authority).wrap_socket(plain, server_hostname=HOST) as idle,
        ):
            idle.sendall(REQUEST)
            assert idle.recv(4096).startswith(b"HTTP/1.1 200")
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)  # the handshake's ten seconds, and the grace's
            assert half_open.fileno() >= 0
    assert process.returncode == 0
    assert [each.split()[2] for each in err.splitlines()] == ["started", "request", "stopping", "stopped"]


# --- renewal -----------------------------------------------------------------------------


async def test_a_renewed_certificate_is_taken_and_what_is_open_goes_on(authority: Authority) -> None:
    first = authority.issue(HOST)
    certificate = Certificate(first.file, None, wall_clock)
    assert certificate.look() is None
    async with serving(certificate, authority.folder / "a.db", []) as port:
        reader, writer = await asyncio.open_connection(HOST, port, ssl=trusting(authority))
        assert await asked(reader, writer) == first.pin
        second = authority.issue(HOST)
        assert certificate.look() == CertificateRead(second.pin)
        assert certificate.look() is None
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            assert await shown(port, authority, version) == second.pin
        assert await asked(reader, writer) == first.pin
        await left(writer)
        third = authority.issue(HOST)
        assert certificate.look() == CertificateRead(third.pin)
        assert await shown(port, authority) == third.pin
    assert len({first.pin, second.pin, third.pin}) == 3


async def test_while_files_cannot_be_used_the_earlier_certificate_goes_on(authority: Authority) -> None:
    first = authority.issue(HOST)
    key = authority.folder / "key.pem"
    key.touch(0o600)
    key.write_bytes(secret_of(first))
    certificate = Certificate(first.file, key, wall_clock)
    async with serving(certificate, authority.folder / "a.db", []) as port:
        second = authority.issue(HOST)  # its key is not written yet
        assert certificate.look() == CertificateRead(first.pin, f"{key}: the key is not the certificate's")
        assert certificate.look() is None
        assert await shown(port, authority) == first.pin
        key.write_bytes(secret_of(second))
        assert certificate.look() == CertificateRead(second.pin)
        key.unlink()
        assert certificate.look() == CertificateRead(second.pin, f"{key}: cannot be read: No such file or directory")
        assert await shown(port, authority) == second.pin
        key.write_bytes(secret_of(second))
        authority.issue(HOST, key=second.key, first=-9, last=-1)
        assert certificate.look() == CertificateRead(second.pin, f"{second.file}: the certificate has expired")
        assert await shown(port, authority) == second.pin


def secret_of(issued: Issued) -> bytes:
    return issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_a_certificate_that_nobody_renews_is_told_each_day(authority: Authority) -> None:
    issued, now = authority.issue(HOST, last=20.5), wall_clock()
    certificate = Certificate(issued.file, None, lambda: now)
    told: list[str] = []
    for _ in range(22 * 4):
        found = certificate.look()
        assert certificate.look() is None
        if found is not None:
            assert found.pin == issued.pin
            told.append(found.problem.removeprefix(f"{issued.file}: the certificate "))
        now += 6 * 3600 * 1000
    assert told[:2] == ["expires in 13 days", "expires in 12 days"]
    assert told[-4:] == ["expires in 1 day", "expires today", "has expired", "has expired"]
    assert len(told) == 16
    now = wall_clock()
    renewed = authority.issue(HOST, last=2.5)
    assert certificate.look() == CertificateRead(renewed.pin)
    assert certificate.look() == CertificateRead(renewed.pin, f"{renewed.file}: the certificate expires in 2 days")


def test_a_key_that_others_can_read_is_told_once(authority: Authority) -> None:
    issued = authority.issue(HOST)
    key = authority.folder / "key.pem"
    key.touch(0o644)
    key.write_bytes(secret_of(issued))
    certificate = Certificate(issued.file, key, wall_clock)
    told = CertificateRead(issued.pin, f"{key}: others on this machine can read the key")
    assert [certificate.look() for _ in range(3)] == [told, None, None]
    key.chmod(0o600)
    assert certificate.look() is None
    key.chmod(0o604)
    assert [certificate.look() for _ in range(2)] == [told, None]
    issued.file.chmod(0o644)  # the certificate is anybody's to see
    key.chmod(0o600)
    assert certificate.look() is None


def test_a_group_may_read_a_key_where_root_says_so() -> None:
    assert {mode for mode in (0o600, 0o640, 0o604, 0o660) if is_open(mode, 1000)} == {0o640, 0o604, 0o660}
    assert {mode for mode in (0o600, 0o640, 0o604, 0o660) if is_open(mode, 0)} == {0o604}


def test_a_file_that_goes_while_it_is_read_is_no_failure(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    first = authority.issue(HOST)
    certificate = Certificate(first.file, None, wall_clock)

    def gone(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    authority.issue(HOST)
    with monkeypatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_cert_chain", gone)
        found = certificate.look()
    assert found is not None
    assert (found.pin, found.problem != "") == (first.pin, True)


async def test_the_files_are_looked_at_all_the_time(authority: Authority) -> None:
    first = authority.issue(HOST)
    certificate = Certificate(first.file, None, wall_clock)
    told: asyncio.Queue[Event] = asyncio.Queue()
    task = asyncio.create_task(keep_fresh(certificate, told.put_nowait, 0))
    try:
        for _ in range(2):
            renewed = authority.issue(HOST, file="new.pem")
            renewed.file.replace(first.file)
            assert await asyncio.wait_for(told.get(), 20) == CertificateRead(renewed.pin)
        assert told.empty()
    finally:
        task.cancel()


def test_a_running_server_takes_a_renewed_certificate(authority: Authority) -> None:
    """The process, with the real minute made short."""
    first = authority.issue(HOST)
    quick = "import tacit.server.tls as t; t.keep_fresh.__defaults__ = (0.01,); from tacit.cli.main import main; main()"
    arguments = command(authority.folder / "chat.db", "--tls-certificate", str(first.file))
    process: Any = subprocess.Popen(
        [arguments[0], "-c", quick, *arguments[3:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        port = int(url_in(process.stdout.readline().strip()).rpartition(":")[2])
        assert process.stdout.readline().strip() == f"pin: {first.pin}"
        renewed = authority.issue(HOST, file="new.pem")
        renewed.file.replace(first.file)
        lines = iter(process.stderr.readline, "")
        assert f'certificate pin="{renewed.pin}"' in next(each for each in lines if "certificate" in each)
        der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((HOST, port), timeout=30))
        assert read_der(der).pin == renewed.pin
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
