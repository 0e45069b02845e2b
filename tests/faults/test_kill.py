"""A server that is killed over and over; the long form kills it a hundred times."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import kill
from faults.crowd import START_SECONDS
from tacit.cli.needles import Needle


async def test_nothing_acknowledged_is_lost_and_nothing_stands_twice(tmp_path: Path) -> None:
    found = await kill.run(tmp_path, 10)
    assert found.faults == (), found
    assert found.told > 20
    assert found.in_batches > 5
    assert found.ambiguous > 0
    assert found.epochs > 1
    assert found.worst < START_SECONDS


async def test_a_server_that_tells_before_it_commits_is_found_out(tmp_path: Path) -> None:
    found = await kill.run(tmp_path, 2, bent=kill.TELLS_TOO_EARLY)
    assert [each for each in found.faults if each.startswith("lost")], found


@pytest.mark.parametrize("place", kill.TOLD)
def test_a_secret_or_a_name_in_what_is_told_is_found(tmp_path: Path, place: str) -> None:
    (tmp_path / place).write_text("a line with the secret, and canary canary, and bob\n")
    assert kill.found_in(tmp_path, [Needle("it", b"the secret")], "canary canary", ["alice", "bob"]) == [
        f"it (raw) is in {place}",
        f"a name is in {place}",
        f"a name is in {place}",
    ]
    assert "the search finds not even what is there" in kill.found_in(
        tmp_path, [Needle("it", b"nowhere!")], "not there"
    )
