"""A server that is killed over and over; the long form kills it a hundred times."""

from __future__ import annotations

from pathlib import Path

from faults import kill
from tacit.cli.needles import Needle


async def test_nothing_acknowledged_is_lost_and_nothing_stands_twice(tmp_path: Path) -> None:
    found = await kill.run(tmp_path, 10)
    assert found.faults == (), found
    assert found.told > 20
    assert found.ambiguous > 0
    assert found.epochs > 1
    assert found.worst < kill.START_SECONDS


async def test_a_server_that_tells_before_it_commits_is_found_out(tmp_path: Path) -> None:
    found = await kill.run(tmp_path, 2, bent=kill.TELLS_TOO_EARLY)
    assert [each for each in found.faults if each.startswith("lost")], found


def test_a_secret_in_the_log_is_found(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a line with the secret, and canary canary\n")
    assert kill.found_in(tmp_path, [Needle("it", b"the secret")], "canary canary") == [
        "it (raw) is in log",
        "a name in the log",
    ]
    assert "the search finds not even what is there" in kill.found_in(
        tmp_path, [Needle("it", b"nowhere!")], "not there"
    )
