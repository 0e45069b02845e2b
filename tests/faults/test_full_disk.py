"""A full disk: what would take room is refused, what was acknowledged stays, and all goes on when there is room."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from adversary.bending import command as bent_command
from client.world import CHEAP, no_wait, password_of
from faults.cuts import faults_of
from faults.lookalike import opening_through
from faults.quota import BENT, SIZE, SmallDisk, on
from server.people import MESSAGES, Clock, Person, Talk, Town, seeded
from server.test_serve import url_in
from server.test_socket import frame, line, sending
from tacit import errors
from tacit.client import Client
from tacit.server.app import open_backend
from tacit.server.config import Config
from tacit.server.events import BatchWritten, Event, Events, StorageChanged
from tacit.server.health import EVERY_SECONDS
from tacit.server.metrics import Metrics
from tacit.server.store import meta, nonces
from tacit.server.store.sqlite import BATCH
from tacit.wire.limits import MIB

READY = "/health/ready"
BALLAST = MIB
SENDS = 400
"""More than the disk has room for."""


@dataclass
class Scene:
    """A town on a small disk, and what was acknowledged in it."""

    town: Town
    disk: SmallDisk
    alice: Person
    talk: Talk
    events: list[Event]
    now: list[float]
    metrics: Metrics
    told: list[tuple[str, int, str]] = field(default_factory=list)
    number: int = 0

    async def send(self) -> str:
        """One message more; the code of its refusal, or the empty text."""
        self.number += 1
        payload = self.talk.payload(self.alice, "x" * 3000, id=f"m{self.number}", counter=self.number)
        body = {"conversationId": self.talk.id, "encryptedPayload": payload}
        answer = await self.alice.ask("POST", MESSAGES, body)
        if not answer.code:
            self.told.append((f"m{self.number}", answer.body["seq"], json.dumps(payload, separators=(",", ":"))))
        return answer.code

    async def fill(self) -> None:
        """Send until the disk is full."""
        for _ in range(SENDS):
            if code := await self.send():
                assert code == "storage_full"
                return
        raise AssertionError("it was never full")

    def counted(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)


@asynccontextmanager
async def scene_on(folder: Path, ballast: int) -> AsyncIterator[Scene]:
    (folder / "disk").mkdir()
    disk = SmallDisk(folder / "disk", f"small-{folder.name}")
    events: list[Event] = []
    now = [0.0]
    metrics = Metrics()
    config = Config("127.0.0.1", 8080, folder / "disk" / "chat.db", ballast_bytes=ballast)
    clock = Clock()
    with opening_through(disk.name), mock.patch("tacit.server.app.Room", on(disk, lambda: now[0])):
        hears = Events((events.append, metrics.count), stopwatch=lambda: now[0])
        backend = await open_backend(config, clock, seeded("server"), hears)
    metrics.watch(backend)
    town = Town(backend, clock)
    alice, bob = await town.people("alice", "bob")
    scene = Scene(town, disk, alice, await Talk.opened(alice, bob), events, now, metrics)
    for _ in range(5):
        assert await scene.send() == ""
    disk.size = disk.used() + 512 * 1024
    yield scene
    await town.http.aclose()
    await backend.store.close()
    disk.close()
    assert [each for each in faults_of(config.database, scene.told) if "numbers" not in each] == []


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_on(tmp_path, BALLAST) as made:
        yield made


async def test_sends_are_refused_until_there_is_room_and_nothing_is_lost(scene: Scene) -> None:
    ballast = scene.town.backend.store.room.path
    assert ballast.stat().st_size == BALLAST
    await scene.fill()
    assert not ballast.exists()
    before = len(scene.told)
    assert before > 10
    scene.now[0] += 10
    refused = [await scene.send() for _ in range(5)]
    assert refused == ["storage_full"] * 5  # although there is the ballast's room
    answer = await scene.town.ask("GET", READY)
    assert (answer.status, answer.body) == (503, {"ok": False, "code": "storage_full"})
    assert [each for each in scene.events if isinstance(each, StorageChanged)] == [StorageChanged(True)]
    assert scene.counted("tacit_storage_full") == scene.counted("tacit_storage_ran_out_total") == 1

    scene.disk.size += 2 * BALLAST
    assert await scene.send() == "storage_full"  # a second is not over since it was tried
    scene.now[0] += max(EVERY_SECONDS, 10)
    assert (await scene.town.ask("GET", READY)).status == 200
    assert await scene.send() == ""
    assert ballast.stat().st_size == BALLAST
    assert [each for each in scene.events if isinstance(each, StorageChanged)][1:] == [StorageChanged(False)]
    assert scene.counted("tacit_storage_full") == 0
    seqs = [seq for _, seq, _ in scene.told]
    assert seqs == list(range(2, 2 + len(seqs)))


async def test_a_full_disk_is_read_and_left_and_forgotten_on(scene: Scene) -> None:
    await scene.fill()
    answer = await scene.alice.ask("GET", f"{MESSAGES}?conversationId={scene.talk.id}&after=0&limit=500")
    assert answer.status == 200
    assert len([each for each in answer.body["items"] if each["kind"] == "message"]) == len(scene.told)
    store = scene.town.backend.store
    forgotten = await store.write(lambda db: nonces.purge(db, now=1 << 60), housekeeping=True)
    assert forgotten > 20
    assert (await scene.alice.ask("DELETE", "/api/auth/session")).status == 200
    assert store.room.full


async def test_whoever_waits_when_the_ballast_goes_does_not_take_its_room(scene: Scene) -> None:
    """The first transaction takes as many as it may, and fails; the others would fit into what that leaves."""
    codes = await asyncio.gather(*(scene.send() for _ in range(BATCH + 20)))
    assert set(codes) == {"storage_full"}
    undone = [each for each in scene.events if isinstance(each, BatchWritten) and not each.durable]
    assert len(undone) == 1


async def test_a_frame_is_refused_by_its_code_and_taken_later(scene: Scene) -> None:
    from server.listening import served
    from tacit.server.config import listen

    await scene.fill()
    with listen(Config("127.0.0.1", 0, scene.disk.folder / "x")) as listening:
        async with (
            served(scene.town.backend, listening),
            line(scene.alice, listening.getsockname()[1]) as connection,
        ):
            payload = scene.talk.payload(scene.alice, id="by socket", counter=9000)
            await connection.send(sending(scene.talk, payload))
            assert (await frame(connection))["problem"]["code"] == "storage_full"
            scene.disk.size += 2 * BALLAST
            scene.now[0] += 10
            await connection.send(sending(scene.talk, payload))
            assert (await frame(connection))["type"] == "sent"


async def test_without_a_ballast_not_even_forgetting_goes_on(tmp_path: Path) -> None:
    """What the ballast is for: SQLite writes before it deletes."""
    async with scene_on(tmp_path, 0) as scene:
        await scene.fill()
        store = scene.town.backend.store
        with pytest.raises(errors.StorageFull):
            for number in range(SENDS):  # the smallest that there are
                await store.write(lambda db, number=number: meta.put(db, "x", bytes([number % 256])))  # type: ignore[misc]
        with pytest.raises(errors.StorageFull):
            await store.write(lambda db: nonces.purge(db, now=1 << 60), housekeeping=True)
        scene.disk.size += BALLAST
        assert await scene.send() == ""


# --- as a process ------------------------------------------------------------------------


@asynccontextmanager
async def process(command: list[str], **more: Any) -> AsyncIterator[tuple[subprocess.Popen[bytes], str]]:
    """A server process and its URL."""
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **more)
    try:
        assert started.stdout is not None
        yield started, url_in(started.stdout.readline().decode().strip())
    finally:
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=60)


async def pair(folder: Path, url: str) -> tuple[Client, Client]:
    made = []
    for name in ("alice", "bob"):
        client = Client(url, store=folder / f"{name}.db", sleep=no_wait, cost=CHEAP)
        await client.register(name, password_of(name))
        made.append(client)
    return made[0], made[1]


async def sent_until(client: Client, kind: type[errors.TacitError]) -> int:
    """Messages until one is refused; how many were taken."""
    team = await client.conversation("team")
    for number in range(SENDS):
        try:
            await team.send(f"{number} {'x' * 2000}")
        except kind:
            return number
    raise AssertionError("none was refused")


async def texts_of(client: Client) -> list[int]:
    team = await client.conversation("team")
    return [int(each.text.partition(" ")[0]) async for each in team.messages()]


async def test_a_process_goes_on_by_itself_and_clients_send_what_waited(tmp_path: Path) -> None:
    size, folder = tmp_path / "size", tmp_path / "disk"
    folder.mkdir()
    size.write_text(str(1 << 40))
    options = ["serve", "--port", "0", "--database", str(folder / "chat.db"), "--ballast-mb", "1"]
    environment = {**os.environ, SIZE: str(size), "PYTHONPATH": os.pathsep.join(sys.path)}
    async with process([*bent_command(BENT), *options], env=environment) as (_, url):
        alice, bob = await pair(tmp_path, url)
        await alice.create_conversation("team", members=["bob"])
        await bob.sync()
        size.write_text(str(sum(each.stat().st_size for each in folder.iterdir()) + 256 * 1024))
        taken = await sent_until(alice, errors.Unreachable)
        assert taken > 5
        assert await texts_of(bob) == list(range(taken))
        assert len((await alice.conversation("team")).unsent) == 1
        size.write_text(str(1 << 40))
        while (await alice.conversation("team")).unsent:  # once a second it looks
            with suppress(errors.StorageFull, errors.Unreachable):
                await alice.sync()
        assert await texts_of(bob) == list(range(taken + 1))
        await alice.device.close()
        await bob.device.close()


async def test_a_process_whose_files_may_grow_no_more_fails_and_goes_on(tmp_path: Path) -> None:
    """RLIMIT_FSIZE is no full disk, and not told as one; nothing is lost by it either."""
    options = [sys.executable, "-m", "tacit", "serve", "--port", "0", "--database", str(tmp_path / "chat.db")]
    async with process(options) as (server, url):
        alice, bob = await pair(tmp_path, url)
        await alice.create_conversation("team", members=["bob"])
        await bob.sync()
        sizes = [(tmp_path / name).stat().st_size for name in ("chat.db", "chat.db-wal")]
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (max(sizes) + 200 * 1024, resource.RLIM_INFINITY))
        taken = await sent_until(alice, errors.Unreachable)
        assert taken > 2
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await alice.sync()
        assert await texts_of(bob) == list(range(taken + 1))
        await alice.device.close()
        await bob.device.close()
