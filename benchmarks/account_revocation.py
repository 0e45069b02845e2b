"""Revoking a device: the account's next version, and the next epoch of each of its conversations, on a real server."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.floors.account_floor import STANDARD, Opening, primitives, x_wing_keys
from benchmarks.harness import Report
from benchmarks.serving import client, new_device, password_of, serving, yes
from benchmarks.store import file_system, on_disk, places
from tacit.client import Client

CONVERSATIONS: Final = 200
FEWER: Final = 20
"""Conversations in a quick run."""
MEMBERS: Final = 10
ROUNDS: Final = 3
OWNER: Final = "user-0"


class Taken(NamedTuple):
    """Seconds, and the revoking process's own processor time of them."""

    seconds: float
    processor: float


def run(report: Report) -> None:
    """Seconds of a revocation with 200 conversations of 10 members."""
    count = FEWER if report.quick else CONVERSATIONS
    place = on_disk(places())
    with tempfile.TemporaryDirectory(dir=place) as directory, serving(Path(directory, "server.db")) as url:
        taken, floor = asyncio.run(_measure(url, Path(directory), count))
    seconds = statistics.median(each.seconds for each in taken)
    processor = statistics.median(each.processor for each in taken)
    bare = statistics.median(floor)
    label = f"revocation, {count} conversations of {MEMBERS}"
    report.row(label, seconds, "s")
    report.row(f"{label}, each", seconds / count * 1e3, "ms")
    report.row("the client's own processor time of that", processor / count * 1e3, "ms")
    report.row(
        "primitives of one epoch alone", bare * 1e3, "ms", ratio=bare * count / seconds, against="the revocation"
    )
    counted = ", ".join(f"{times} {what}" for what, times in primitives(STANDARD, MEMBERS).items())
    report.note(f"An epoch of a revocation: {counted}.")
    report.note(
        f"Client and server are processes on loopback, both stores on {file_system(place)} with synchronous=FULL;"
    )
    report.note("the password's derivation costs next to nothing here: add one unlocking.")


async def _measure(url: str, folder: Path, count: int) -> tuple[list[Taken], list[float]]:
    floor = Opening(STANDARD, x_wing_keys(MEMBERS))
    taken: list[Taken] = []
    bare: list[float] = []
    async with AsyncExitStack() as stack:
        people = []
        for number in range(MEMBERS):
            made = await stack.enter_async_context(client(url, folder, f"user-{number}"))
            await made.register(f"user-{number}", password_of(f"user-{number}"))
            people.append(made)
        owner = people[0]
        others = [f"user-{number}" for number in range(1, MEMBERS)]
        for number in range(count):
            await owner.create_conversation(f"conversation {number}", members=others)
        for number in range(ROUNDS):
            lost = await stack.enter_async_context(await new_device(url, folder, OWNER, f"lost {number}"))
            lost_id = await lost.device.run(lambda books: books.me.device_id)
            bare.extend(_timed(floor) for _ in range(10))
            taken.append(await _revoke(owner, lost_id))
            bare.extend(_timed(floor) for _ in range(10))
            await _check(owner, count, number + 2)
    return taken, bare


def _timed(floor: Opening) -> float:
    started = time.perf_counter()
    floor.open()
    return time.perf_counter() - started


async def _revoke(owner: Client, device_id: str) -> Taken:
    started, processor = time.perf_counter(), time.process_time()
    await owner.account.revoke(device_id, password=password_of(OWNER), confirm=yes)
    return Taken(time.perf_counter() - started, time.process_time() - processor)


async def _check(owner: Client, count: int, epoch: int) -> None:
    waiting = (await owner.account.rotations()).waiting
    epochs = [each.epoch for each in await owner.conversations()]
    if waiting or epochs != [epoch] * count:
        raise RuntimeError("not every conversation has its next epoch")
