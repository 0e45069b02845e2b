"""How many connections there are, and which of them take too long.

File descriptors must not run out: nobody could be accepted and answered. So connections stay below the process's limit,
one address may not have them all, and none lasts that gets nowhere. One sweep a second looks at all of them, instead of
a timer for each.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from typing import Final, Protocol, final

from tacit import errors
from tacit.server.address import Network, is_among, network_of
from tacit.server.config import ConnectionLimits

SWEEP_SECONDS: Final = 1.0
REFUSALS: Final = 64
"""So many connections beyond the limit are told so at a time; all others are hung up on without a word."""
RESERVED: Final = 128 + REFUSALS
"""File descriptors that are for no connection: the database's, listeners, logs."""
MOST_DESCRIPTORS: Final = 1 << 20


class Connection(Protocol):
    """One connection of a server."""

    def check(self, now: float) -> None:
        """Hang up where it took too long; `now` as the clock of its `Connections`."""


@final
class Connections:
    """The connections of one server. `clock` counts seconds, `told` hears the code of each that was cut or refused."""

    def __init__(
        self,
        limits: ConnectionLimits,
        clock: Callable[[], float],
        told: Callable[[str], None] = lambda _: None,
        proxies: tuple[Network, ...] = (),
    ) -> None:
        """Those of a proxy are many people's, and have no limit of their own."""
        self.limits = limits
        self.clock = clock
        self.told = told
        self._proxies = proxies
        self.most = most_connections() if limits.most is None else limits.most
        self._open: dict[Connection, str | None] = {}  # and the address that it counts for; None for one refused
        self._of_address: dict[str, int] = {}
        self._refused = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Those that were not refused."""
        return len(self._open) - self._refused

    def admit(self, connection: Connection, host: str) -> bool:
        """Whether there is room for a new one of this address, which is watched from now on.

        Raises `TooManyConnections` where there is none; that is watched too, so that it can be told. False where even
        of those there are too many.
        """
        address, limits = network_of(host), self.limits
        alone = bool(limits.of_address) and self._of_address.get(address, 0) >= limits.of_address
        crowded = bool(self.most) and len(self) >= self.most
        if not crowded and not (alone and not is_among(host, self._proxies)):
            self.join(connection, host)
            return True
        if self._refused >= REFUSALS:
            return False
        self._refused += 1
        self._watch(connection, None)
        raise errors.TooManyConnections("on this server" if crowded else "from this address")

    def join(self, connection: Connection, host: str) -> None:
        """Count one more, whatever the limits: a WebSocket takes the place of the request that it began as."""
        address = network_of(host)
        self._of_address[address] = self._of_address.get(address, 0) + 1
        self._watch(connection, address)

    def leave(self, connection: Connection) -> None:
        """A connection ended, or never counted."""
        if connection not in self._open:
            return
        address = self._open.pop(connection)
        if address is None:
            self._refused -= 1
        elif self._of_address[address] > 1:
            self._of_address[address] -= 1
        else:
            del self._of_address[address]

    def sweep(self) -> None:
        """Hang up on those that took too long."""
        now = self.clock()
        for connection in tuple(self._open):
            connection.check(now)

    def _watch(self, connection: Connection, address: str | None) -> None:
        self._open[connection] = address
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._tick)

    def _tick(self) -> None:
        self.sweep()
        going = bool(self._open)
        self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._tick) if going else None


def raise_descriptors() -> None:
    """Let this process have as many file descriptors as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def most_connections() -> int:
    """As many as there are file descriptors for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, MOST_DESCRIPTORS)
    return max(descriptors - RESERVED, descriptors // 4)
