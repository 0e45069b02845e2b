"""Where a server is for its clients. Requests are signed for its authority, challenges for its origin.

Client and server read their own configuration by this, so that both sign the same text for the same place.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from tacit import errors

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?/?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port (RFC 6454 §4): the host lowercase and without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as they are signed: without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the host is `localhost` or an address of this machine alone; what a name leads to is not asked."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_origin(url: str) -> Origin:
    """The origin of a server's URL; raises `InvalidArgument` for anything beside scheme, host and port.

    A name is ASCII: other letters stand in their `xn--` form (RFC 5891 §5).
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise errors.InvalidArgument("a server's URL is http:// or https:// with a host, and a port if need be, alone")
    scheme, name = found["scheme"].lower(), found["name"]
    port = int(found["port"]) if found["port"] else DEFAULT_PORTS[scheme]
    if port > 0xFFFF:
        raise errors.InvalidArgument("a URL's port is at most 65535")
    if name is not None:
        return Origin(scheme, name.lower(), port)
    try:
        return Origin(scheme, str(ipaddress.IPv6Address(found["address"])), port)
    except ValueError:
        raise errors.InvalidArgument("what stands in brackets in a URL is an IPv6 address") from None
