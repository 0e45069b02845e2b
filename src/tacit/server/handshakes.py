"""Which WebSockets may begin: those of no foreign page, and no more at a time than the server waits for.

A WebSocket that has not said yet whose it is costs its sender nothing. A browser lets every page open one to every
server, and says in `Origin` which page it was (RFC 6455 §10.2); programs send none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import final

from tacit import errors
from tacit.server.config import HandshakeLimits
from tacit.signed.origin import parse_origin


@final
class Handshake:
    """A WebSocket that has not said yet whose it is."""

    def __init__(self, all_of_them: Handshakes, address: str) -> None:
        self._open: Handshakes | None = all_of_them
        self._address = address

    def done(self) -> None:
        """It has said so, or ended; more than once is like once."""
        if self._open is not None:
            self._open.end(self._address)
            self._open = None


@final
class Handshakes:
    """All of those that are open."""

    def __init__(self, limits: HandshakeLimits) -> None:
        self._limits = limits
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._of_address.total()

    def begin(self, address: str) -> Handshake:
        """One more of this address; raises `TooManyHandshakes`."""
        limits = self._limits
        for limit, number in ((limits.most, len(self)), (limits.of_address, self._of_address[address])):
            if limit and number >= limit:
                raise errors.TooManyHandshakes(retryAfter=1)
        self._of_address[address] += 1
        return Handshake(self, address)

    def end(self, address: str) -> None:
        """One less of it."""
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]


def check_page(headers: Iterable[tuple[bytes, bytes]], origins: Iterable[str]) -> None:
    """Refuse a WebSocket of a page that comes from none of these origins; raises `OriginRefused`."""
    named = [value for name, value in headers if name == b"origin"]
    if not named:
        return
    try:
        (page,) = named
        if str(parse_origin(page.decode("latin-1"))) in origins:
            return
    except (errors.InvalidArgument, ValueError):
        pass
    raise errors.OriginRefused
