"""What an operator sets."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from tacit import errors
from tacit.server.address import Network
from tacit.signed.origin import Origin, parse_origin
from tacit.signed.profiles import Profile, name_of

MINUTE_MS = 60 * 1000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
EVERYWHERE = ("0.0.0.0", "::")
"""Listened on, these are all addresses of this machine."""


@dataclass(frozen=True, slots=True)
class ProofLimits:
    """How fast an account's password and recovery key can be tried, and how often failures are told. Milliseconds.

    A device of the account waits for its own failures only. Everybody else's keys, which cost nothing to make, also
    wait for each other: they are slowed, to one attempt at a time, and never refused for good.
    """

    within_ms: int = HOUR_MS
    """How far back failures count."""
    key_failures: int = 5
    """So many of one key are free; after each further one it waits twice as long, from `key_wait_ms` on."""
    key_wait_ms: int = 10_000
    key_wait_most_ms: int = 15 * MINUTE_MS
    account_failures: int = 50
    """So many of keys that are not the account's are free; then one is admitted each `account_wait_ms`."""
    account_wait_ms: int = 30_000
    told_each_ms: int = HOUR_MS
    """Failures are told to the account's devices at most so often for each kind of unlocker, with their number."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How many requests a minute are taken, all at once if they like; 0 for no limit."""

    device: int = 3_000
    """Of a device: its requests, each further message of a batch, and what it sends by WebSocket."""
    address: int = 12_000
    """Of an IPv4 address or an IPv6 network of 64 bits: all requests and WebSockets, before anything is verified."""


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """How many WebSockets wait at a time that have not said yet whose they are; 0 for no limit."""

    most: int = 1_000
    of_address: int = 100


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may hold of the server, and for how long. 0 for no limit where it says so."""

    most: int | None = None
    """In all; None: as many as there are file descriptors for, 0 for no limit."""
    of_address: int = 1_000
    """Of an address, see `RateLimits`; 0 for no limit."""
    header_bytes: int = 16 * 1024
    """A request's line and headers."""
    headers: int = 100
    pipelined: int = 16
    """Requests of a connection that wait for the answer to an earlier one."""
    header_seconds: float = 15
    """From the connection's beginning, or a further request's, to the end of its headers."""
    body_seconds: float = 120
    idle_seconds: float = 75
    """Between two requests: longer than proxies keep an idle connection, so that they close it first."""
    stalled_seconds: float = 30
    """For a client that reads nothing of what waits for it; for each 32 KiB of that one more."""
    ping_seconds: float = 20
    """Between the pings of a WebSocket."""
    pong_seconds: float = 20
    """Until a ping has to be answered."""


@dataclass(frozen=True, slots=True)
class Config:
    """A server's settings; `url` is by default that of where it listens, `name` the URL's host.

    Port 0 takes a free one. Times are milliseconds.
    """

    host: str
    port: int
    database: Path
    name: str | None = None
    url: str | None = None
    """Where clients find it, if that is elsewhere: before a proxy, or under a name."""
    tls_certificate: Path | None = None
    """The certificate and its chain in PEM; None for plain HTTP."""
    tls_key: Path | None = None
    """Its key; None where that is in the same file."""
    proxies: tuple[Network, ...] = ()
    """What connects from there is believed about the address that it forwards for; nobody else is."""
    session_ms: int = 30 * DAY_MS
    registration_ms: int = 10 * MINUTE_MS
    """How long a session lasts that may do nothing but publish an account version: at registration, or unlocked."""
    reset_wait_ms: int = 3 * DAY_MS
    """How long a reset waits that a device alone asked for; until then it can be cancelled."""
    reset_lapse_ms: int = 3 * DAY_MS
    """How long it may be posted again once it has waited; then it is forgotten, and any device may ask."""
    proofs: ProofLimits = ProofLimits()
    rates: RateLimits = RateLimits()
    connections: ConnectionLimits = ConnectionLimits()
    handshakes: HandshakeLimits = HandshakeLimits()
    origins: tuple[str, ...] = ()
    """Of pages elsewhere that may open a WebSocket here, as `parse_origin` writes them."""
    profiles: tuple[Profile, ...] = (Profile.STANDARD, Profile.FIPS, Profile.COMPAT)
    """The profiles of which accounts and conversations may begin here; what is there already goes on."""
    ballast_bytes: int = 0
    """How much of the disk is kept for when it is full; see `store.room`."""
    log_format: str = "text"
    log_level: str = "info"
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """None: there are no metrics."""
    drain_seconds: int = 0
    """How long, once it is told to stop, the server still takes all requests and only says that it is not ready."""
    grace_seconds: int = 10
    """How long it then waits for what it accepted and for its clients, before it hangs up."""

    def check_profile(self, profile: Profile) -> None:
        """Refuses an account or conversation of a profile that is not among `profiles`: `UnsupportedSuite`."""
        if profile not in self.profiles:
            raise errors.UnsupportedSuite(f"nothing of the profile {name_of(profile)} begins on this server")

    @property
    def server_name(self) -> str:
        """The name that account records and unlockers are bound to."""
        return self.name or self.url_host

    @property
    def url_host(self) -> str:
        """The host in the URL that clients use."""
        return self._origin.host

    @property
    def _origin(self) -> Origin:
        if self.url:
            return parse_origin(self.url)
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "http" if self.tls_certificate is None else "https"
        return replace(parse_origin(f"{scheme}://{host}"), port=self.port)

    @property
    def authority(self) -> str:
        """The authority that requests are signed for: lowercase, without the scheme's default port."""
        return self._origin.authority

    @property
    def origin(self) -> str:
        """What a WebSocket's challenge is bound to: the URL that clients use."""
        return str(self._origin)

    def check_url(self) -> None:
        """Refuses a URL that no client could use: `InvalidArgument`, or `NotLoopback` for plain HTTP elsewhere."""
        if self.url is None:
            if self.tls_certificate is not None and self.host in EVERYWHERE:
                raise errors.InvalidArgument(f"host is {self.host}, which is no address for clients: set url too")
            return
        if self._origin.scheme == "http":
            if self.tls_certificate is not None:
                raise errors.InvalidArgument("url begins with http://, but there is a certificate")
            if not self._origin.is_loopback:
                raise errors.NotLoopback(f"url is {self.origin}")

    def at_port(self, port: int) -> Config:
        """The same with the port that is really listened on."""
        return replace(self, port=port)


def listen(config: Config) -> socket.socket:
    """A socket listening where the configuration says; raises as `listen_on` does."""
    return listen_on(config.host, config.port, loopback=config.tls_certificate is None)


def listen_on(host: str, port: int, *, loopback: bool = True) -> socket.socket:
    """A listening socket of this machine; raises `InvalidArgument` for a bad host or a taken port.

    Raises `NotLoopback` for an address that can be reached from elsewhere, where it has to be `loopback`.
    The address that is bound is the one that was judged: a name is looked up once.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise errors.InvalidArgument(f"the host {host!r} is not known") from None
    family, kind, protocol, _, address = found[0]
    if loopback and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise errors.NotLoopback(f"{host} is {address[0]}")
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise errors.InvalidArgument(f"port {port} cannot be listened on: {error.strerror}") from None
    return listening
