"""Where the client's time, waiting and jitter come from; tests put their own in place."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from tacit.crypto.secret import Randomness

Clock = Callable[[], int]
"""Unix milliseconds."""
Sleep = Callable[[float], Awaitable[None]]
"""Waits that many seconds."""

FIRST_DELAY: Final = 0.25
LONGEST_DELAY: Final = 30.0


def wall_clock() -> int:
    """The system's time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def backoff(attempt: int, random: Randomness, first: float = FIRST_DELAY, longest: float = LONGEST_DELAY) -> float:
    """Seconds to wait after the failure numbered `attempt` (from 0): doubling, with full jitter.

    The jitter is over the whole of it, so that clients that lost one server together do not come back together.
    """
    ceiling = min(longest, first * float(2 ** min(attempt, 16)))
    return ceiling * int.from_bytes(random(4), "big") / float(1 << 32)
