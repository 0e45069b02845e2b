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
LONGEST_TOLD: Final = 60
"""Seconds that a client waits because a server says so, and no longer: it would else be silenced by its word."""


def wall_clock() -> int:
    """The system's time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def backoff(attempt: int, random: Randomness, first: float = FIRST_DELAY, longest: float = LONGEST_DELAY) -> float:
    """Seconds to wait after the failure numbered `attempt` (from 0): doubling, with full jitter.

    The jitter is over the whole of it, so that clients that lost one server together do not come back together.
    """
    ceiling = min(longest, first * float(2 ** min(attempt, 16)))
    return ceiling * int.from_bytes(random(4), "big") / float(1 << 32)


def told_seconds(retry_after: object) -> int:
    """How long a server asks one to wait, in a problem or a header (RFC 9110 §10.2.3); 0 for what is not understood."""
    if isinstance(retry_after, str) and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 16:
        retry_after = int(retry_after)
    return min(retry_after, LONGEST_TOLD) if type(retry_after) is int and retry_after > 0 else 0
