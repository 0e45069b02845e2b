"""Health is for whoever watches over the server: open to all, cheap, and silent about everything else."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from server.people import Town, rows
from tacit import errors
from tacit.server import health
from tacit.server.events import LIVE, READY


class Disk:
    """A store that counts, and fails or hangs when it is told to."""

    def __init__(self) -> None:
        self.tries = 0
        self.fails = False
        self.forgets = False
        self.hangs: asyncio.Event | None = None
        self.db = sqlite3.connect(":memory:")
        self.db.execute("CREATE TABLE server_meta (name TEXT PRIMARY KEY, value BLOB)")

    async def write(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        self.tries += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.fails:
            raise errors.Internal("the database failed")
        return None if self.forgets else job(self.db)

    async def read(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        return job(self.db)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def fit(disk: Disk) -> health.Health:
    numbers = iter(range(1000))
    return health.Health(disk, lambda size: next(numbers).to_bytes(size, "big"))  # type: ignore[arg-type]


async def test_a_server_says_that_it_lives_and_is_ready_to_anybody_and_nothing_else(town: Town) -> None:
    for path in (LIVE, READY):
        answer = await town.ask("GET", path)
        assert (answer.status, answer.body) == (200, {"ok": True})
        assert answer.headers["cache-control"] == "no-store"
        assert (await town.ask("POST", path)).status != 200
    assert (await town.ask("GET", f"{READY}/x")).status == 401


async def test_a_server_that_is_about_to_stop_lives_and_is_not_ready(town: Town) -> None:
    town.backend.health.stopping = True
    assert (await town.ask("GET", LIVE)).status == 200
    answer = await town.ask("GET", READY)
    assert (answer.status, answer.body) == (503, {"ok": False})


async def test_asking_writes_one_value_that_is_about_nobody(town: Town) -> None:
    before = await rows(town)
    await town.ask("GET", LIVE)
    assert await rows(town) == before
    await town.ask("GET", READY)
    added = [row for row in await rows(town) if row not in before]
    assert [(row[0], row[1], len(row[2])) for row in added] == [("server_meta", health.STAMP, 8)]


async def test_however_often_anybody_asks_the_disk_is_tried_every_five_seconds(fit: health.Health, disk: Disk) -> None:
    assert await asyncio.gather(*(fit.ready(100.0) for _ in range(50))) == [True] * 50
    assert await fit.ready(100.0 + health.EVERY_SECONDS - 0.1)
    assert disk.tries == 1
    assert await fit.ready(100.0 + health.EVERY_SECONDS)
    assert disk.tries == 2


async def test_a_disk_that_fails_is_not_ready_until_it_works_again(fit: health.Health, disk: Disk) -> None:
    disk.fails = True
    assert not await fit.ready(0)
    disk.fails = False
    assert not await fit.ready(1)
    assert await fit.ready(health.EVERY_SECONDS)
    disk.forgets = True
    assert not await fit.ready(2 * health.EVERY_SECONDS)


async def test_a_disk_that_hangs_is_not_ready_and_is_tried_once(
    fit: health.Health, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WAIT_SECONDS", 0)
    disk.hangs = asyncio.Event()
    assert not await fit.ready(0)
    assert not await fit.ready(1000)
    assert disk.tries == 1
    monkeypatch.setattr(health, "WAIT_SECONDS", 60)
    asking = asyncio.create_task(fit.ready(2000))
    disk.hangs.set()
    assert await asking


async def test_who_waited_for_the_try_while_the_server_began_to_stop_hears_so(fit: health.Health, disk: Disk) -> None:
    disk.hangs = asyncio.Event()
    asking = asyncio.create_task(fit.ready(0))
    await asyncio.sleep(0)
    fit.stopping = True
    disk.hangs.set()
    assert not await asking
