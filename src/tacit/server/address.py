"""Where a request comes from, as far as limits ask: an IPv4 address, or an IPv6 network of 64 bits."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any, Final

NETWORK_BITS: Final = 64
"""Whoever has one IPv6 address has at least so large a network of them."""


def address_of(scope: Any) -> str:
    """The address that a request or WebSocket is counted for; empty where the server does not know it."""
    client = scope.get("client")
    return network_of(client[0]) if client else ""


@lru_cache(4096)
def network_of(host: str) -> str:
    """An address as it is counted; what is none is one of its own, such as a test's name."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((found, NETWORK_BITS), strict=False))
        found = found.ipv4_mapped
    return str(found)
