from __future__ import annotations

import pytest

from tacit.client.timing import LONGEST_TOLD, backoff, told_seconds, wall_clock


@pytest.mark.parametrize("attempt", [0, 1, 5, 60, 5000])
def test_a_wait_is_somewhere_between_nothing_and_its_ceiling(attempt: int) -> None:
    ceiling = min(30.0, 0.25 * 2 ** min(attempt, 16))
    assert backoff(attempt, lambda size: bytes(size)) == 0.0
    assert backoff(attempt, lambda size: b"\xff" * size) == pytest.approx(ceiling)
    assert backoff(attempt, lambda size: b"\x80" + bytes(size - 1)) == ceiling / 2


def test_the_wall_clock_counts_milliseconds() -> None:
    assert 1_600_000_000_000 < wall_clock() < 100_000_000_000_000


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (3, 3),
        ("7", 7),
        (10**9, LONGEST_TOLD),
        ("9" * 15, LONGEST_TOLD),
        ("9" * 5000, 0),
        (0, 0),
        (-1, 0),
        (True, 0),
        (None, 0),
        ("-1", 0),
        ("\u0663", 0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
    ],
)
def test_a_server_is_waited_for_as_it_says_and_a_minute_at_most(told: object, seconds: int) -> None:
    assert told_seconds(told) == seconds
