from __future__ import annotations

import pytest

from tacit.client.timing import backoff, wall_clock


@pytest.mark.parametrize("attempt", [0, 1, 5, 60, 5000])
def test_a_wait_is_somewhere_between_nothing_and_its_ceiling(attempt: int) -> None:
    ceiling = min(30.0, 0.25 * 2 ** min(attempt, 16))
    assert backoff(attempt, lambda size: bytes(size)) == 0.0
    assert backoff(attempt, lambda size: b"\xff" * size) == pytest.approx(ceiling)
    assert backoff(attempt, lambda size: b"\x80" + bytes(size - 1)) == ceiling / 2


def test_the_wall_clock_counts_milliseconds() -> None:
    assert 1_600_000_000_000 < wall_clock() < 100_000_000_000_000
