"""A client that is killed between keeping, sending and hearing of it; the long form kills it at every step."""

from __future__ import annotations

from pathlib import Path

from faults import client_kill
from faults.client_kill import KEYS

MESSAGES = "/api/messages/encrypted"
STEPS = [
    ("send", f"before POST {MESSAGES}"),
    ("send", f"after POST {MESSAGES}"),
    ("rotate", f"before POST {KEYS}"),
    ("add", "before commit Changes._prepare"),
    ("add", f"after POST {KEYS}"),
]


async def test_what_a_killed_client_kept_is_done_once_and_nothing_else_is(tmp_path: Path) -> None:
    async with client_kill.street(tmp_path) as street:
        for deed, step in STEPS:
            steps, faults = await street.deed(deed, step)
            assert (steps[-1], faults) == (step, [])
        assert street.kills == len(STEPS)


async def test_clients_that_forget_what_they_keep_are_found_out(tmp_path: Path) -> None:
    results = await client_kill.found_out(tmp_path)
    assert [name for name, _, right in results if right] == [*client_kill.BENT], results
