"""Where a request comes from, as far as limits ask: an IPv4 address, or an IPv6 network of 64 bits."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NETWORK_BITS: Final = 64
"""Whoever has one IPv6 address has at least so large a network of them."""
FORWARDED_FOR: Final = b"x-forwarded-for"
HOPS: Final = 16
"""So many proxies, one behind the other, are looked through; what is written before them was not theirs to write."""


def address_of(scope: Any, proxies: tuple[Network, ...] = ()) -> str:
    """The address that a request or WebSocket is counted for; empty where the server does not know it.

    Only what connects from one of `proxies` is believed about whom it forwards for. Each of them writes at the end of
    X-Forwarded-For who connected to it, so that the last one there who is no proxy is the client; what stands before
    that, the client made up. Where a proxy wrote no address, it is counted itself.
    """
    client = scope.get("client")
    if not client:
        return ""
    host: str = client[0]
    if proxies and is_among(host, proxies):
        host = _forwarded_for(scope["headers"], host, proxies)
    return network_of(host)


def _forwarded_for(headers: Iterable[tuple[bytes, bytes]], peer: str, proxies: tuple[Network, ...]) -> str:
    written = b",".join(value for name, value in headers if name == FORWARDED_FOR).decode("latin-1")
    nearest = peer
    for hop in reversed(written.rsplit(",", HOPS)):
        host = hop.strip(" \t")
        if parsed(host) is None:
            break
        nearest = host
        if not is_among(host, proxies):
            break
    return nearest


@lru_cache(4096)
def is_among(host: str, proxies: tuple[Network, ...]) -> bool:
    """Whether an address is one of a proxy."""
    found = parsed(host)
    return found is not None and any(found in each for each in proxies)


def parsed(host: str) -> Address | None:
    """An address without its interface, and one of IPv4 as such where IPv6 maps it; None for what is no address."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


@lru_cache(4096)
def network_of(host: str) -> str:
    """An address as it is counted; what is none is one of its own, such as a test's name."""
    found = parsed(host)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((found, NETWORK_BITS), strict=False))
    return host if found is None else str(found)
