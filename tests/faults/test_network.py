"""A broken network between real clients and a real server: nothing acknowledged is lost, and nothing stands twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import network


@pytest.mark.parametrize("name", network.ARMS)
async def test_the_conversation_goes_on_after(tmp_path: Path, name: str) -> None:
    assert await network.arm(tmp_path, name) == []


@pytest.mark.parametrize("seed", [1, 2])
async def test_everything_arrives_once_when_the_network_is_whole(tmp_path: Path, seed: int) -> None:
    found = await network.storm(tmp_path, seed)
    assert found.faults == (), found
    assert found.replays > 0
