"""How often a device and an address may ask, in the memory of this process.

Each key has a bucket that holds one minute's requests and fills steadily, kept as one number: the moment at which it
will be full again (the generic cell rate algorithm, ATM Forum TM 4.0). `docs/decisions/rates.md` says why it is ours.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from tacit import errors
from tacit.server.config import RateLimits

MINUTE: Final = 60.0
KEYS: Final = 65_536
"""So many keys have a bucket of their own, some 10 MB; while all of them are in use, further ones share one."""
OTHERS: Final = ""
LOOKED_AT: Final = 2
"""So many of the buckets that were looked at longest ago are looked at for each new one, and go if they are full."""


@final
class Rate:
    """So many requests a minute for each key, all at once if they like; 0 for no limit."""

    def __init__(self, a_minute: int, clock: Callable[[], float], keys: int = KEYS) -> None:
        """`clock` counts seconds from any moment on."""
        self._between = MINUTE / a_minute if a_minute else 0.0
        self._clock = clock
        self._most = keys
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str, number: int = 1) -> None:
        """Count so many requests, of which a minute's worth is the most; none is none.

        Raises `TooManyRequests`, with `retryAfter` in whole seconds, and then counts nothing.
        """
        if not self._between or not number:
            return
        now = self._clock()
        if key not in self._full_at:
            self._forget(now)
            if len(self._full_at) >= self._most:
                key = OTHERS
        full_at = max(self._full_at.get(key, now), now) + min(number * self._between, MINUTE)
        if full_at - now > MINUTE + 1e-6:  # of rounding
            seconds = math.ceil(full_at - now - MINUTE)
            raise errors.TooManyRequests(f"The next one is taken in {seconds} s.", retryAfter=seconds)
        self._full_at[key] = full_at

    def _forget(self, now: float) -> None:
        for _ in range(min(LOOKED_AT, len(self._full_at))):
            key, full_at = self._full_at.popitem(last=False)
            if full_at > now:
                self._full_at[key] = full_at


@final
@dataclass(slots=True)
class Rates:
    """The server's: of a device that is known, and of an address, for whatever comes from it."""

    device: Rate
    address: Rate


def rates_of(limits: RateLimits, clock: Callable[[], float]) -> Rates:
    """Nothing was counted yet."""
    return Rates(Rate(limits.device, clock), Rate(limits.address, clock))
