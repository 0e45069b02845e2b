"""A new device in an account with a long history: from signing in to the newest 50 messages, and to all of them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks.harness import Report
from benchmarks.serving import client, new_device, password_of, serving
from benchmarks.store import file_system, on_disk, places
from tacit.api.base import convert
from tacit.api.messages import EncryptedPayload
from tacit.client import Client
from tacit.client.books import Books
from tacit.client.timing import wall_clock
from tacit.conversation.content import TextBody
from tacit.conversation.sealing import INSTANCE_BYTES, Epoch, Sender, make_content, seal
from tacit.server.store import messages
from tacit.server.store.sqlite import connect
from tacit.signed.message import to_fields

AT_MOST: Final = 1.0
"""Seconds."""
HISTORY: Final = 100_000
SHORTER: Final = 10_000
"""The history that is fetched whole, and the only one of a quick run."""
EPOCHS: Final = 10
"""A conversation of 100,000 messages has as many by the usual policy."""
SHOWN: Final = 50
BATCH: Final = 1_000
"""Messages put into the database in one transaction."""
DEVICES: Final = 5
WRITERS: Final = ("alice", "bob")


class Steps(NamedTuple):
    """Seconds that a new device took."""

    sign_in: float
    fetch: float
    show: float

    @property
    def whole(self) -> float:
        """From the beginning to the messages."""
        return sum(self)


class Writer:
    """One member's device, which seals what the conversation is filled with."""

    def __init__(self, member: Client) -> None:
        self._member = member
        self._counter = count()
        self._instance_id = os.urandom(INSTANCE_BYTES)
        self._sender: Sender | None = None

    async def begin(self) -> None:
        """Take the device's signing key."""
        me = await self._member.device.run(lambda books: books.me)
        self._sender = Sender(me.user_id, me.device_id, self._instance_id, me.request_key.sign)

    def insert(self, epoch: Epoch, number: int, seen: tuple[bytes, ...]) -> tuple[Callable[..., object], bytes]:
        """What stores the next message, and its hash."""
        assert self._sender is not None
        now = wall_clock()
        content = make_content(TextBody(f"message {number} " + "x" * 85), sent_at=now, seen=seen, random=os.urandom)
        message, signature, message_hash = seal(
            epoch,
            self._sender,
            content,
            counter=next(self._counter),
            client_message_id=os.urandom(16).hex(),
            random=os.urandom,
        )
        payload: EncryptedPayload = convert(EncryptedPayload, to_fields(message, signature))
        text = msgspec.json.encode(payload).decode()
        aad = message.aad

        def put(db: sqlite3.Connection, conversation_id: str) -> object:
            return messages.insert(
                db,
                conversation_id,
                aad.user_id,
                aad.device_id,
                aad.client_message_id,
                text,
                aad.key_id.hex(),
                payload.iv,
                now,
            )

        return put, message_hash


def run(report: Report) -> None:
    """Seconds to the first messages, and messages a second for the rest."""
    place = on_disk(places())
    report.note(f"A new device: store, server's database and both processes on {file_system(place)} and loopback;")
    report.note("the derivation of the password costs next to nothing here (8 KiB, one pass): add Argon2id alone.")
    report.note(f"The history is one conversation of two writers in {EPOCHS} epochs, sealed and signed as usual.")
    for size in (SHORTER,) if report.quick else (SHORTER, HISTORY):
        with tempfile.TemporaryDirectory(dir=place) as directory:
            asyncio.run(_measure(report, Path(directory), size))


async def _measure(report: Report, folder: Path, size: int) -> None:
    database = folder / "server.db"
    with serving(database) as url:
        async with AsyncExitStack() as stack:
            people = [await stack.enter_async_context(client(url, folder, name)) for name in WRITERS]
            for name, member in zip(WRITERS, people, strict=True):
                await member.register(name, password_of(name))
            await _fill(people, database, size)
            steps = []
            for number in range(report.rounds(DEVICES)):
                taken, device = await _arrive(url, folder, f"device {number}")
                stack.push_async_callback(device.device.close)
                steps.append(taken)
            label = f"{size:,} messages"
            asked = AT_MOST if report.quick or size == HISTORY else None
            whole = statistics.median(each.whole for each in steps)
            report.row(f"new device to its first {SHOWN} of {label}", whole, "s", at_most=asked)
            for name in Steps._fields:
                each = statistics.median(getattr(step, name) for step in steps)
                report.row(f"{label}, {name.replace('_', ' ')}", each, "s")
            if size == SHORTER:
                await _fetch_all(report, device, size)


async def _arrive(url: str, folder: Path, name: str) -> tuple[Steps, Client]:
    """A new device until it shows the newest messages."""
    started = time.perf_counter()
    device = await new_device(url, folder, WRITERS[0], name)
    signed_in = time.perf_counter()
    await device.fetch_recent(SHOWN)
    fetched = time.perf_counter()
    (team,) = await device.conversations()
    received = await team.received()
    shown = time.perf_counter()
    if len(received) != SHOWN or any(message.cause for message in received):
        raise RuntimeError(f"{len(received)} messages instead of {SHOWN} that can be read")
    return Steps(signed_in - started, fetched - signed_in, shown - fetched), device


async def _fetch_all(report: Report, device: Client, size: int) -> None:
    started = time.perf_counter()
    await device.sync()
    taken = time.perf_counter() - started
    (team,) = await device.conversations()
    texts = [message for message in await team.received() if message.kind == "text"]
    if len(texts) != size or await team.gaps():
        raise RuntimeError("not all messages came")
    report.row(f"sync of {size:,} messages", size / taken, "messages/s")


async def _fill(people: list[Client], database: Path, size: int) -> None:
    """Put so many messages into the server's database, a tenth of them in each of ten epochs."""
    alice = people[0]
    team = await alice.create_conversation("team", members=WRITERS[1:])
    writers = [Writer(member) for member in people]
    for writer in writers:
        await writer.begin()
    seen: tuple[bytes, ...] = ()
    connection = connect(database)
    try:
        for epoch in range(EPOCHS):
            if epoch:
                await team.rotate()
            key = await alice.device.run(lambda books: newest_epoch(books, team.id))
            for start in range(0, size // EPOCHS, BATCH):
                made = []
                for number in range(start, min(start + BATCH, size // EPOCHS)):
                    put, message_hash = writers[number % len(writers)].insert(key, number, seen)
                    seen = (message_hash,)
                    made.append(put)
                connection.execute("BEGIN IMMEDIATE")
                for put in made:
                    put(connection, team.id)
                connection.execute("COMMIT")
            head = connection.execute(
                "SELECT head_seq FROM conversations WHERE conversation_id = ?", (team.id,)
            ).fetchone()[0]
            await alice.device.run(lambda books, head=head: pass_over(books, team.id, head))  # type: ignore[misc]
    finally:
        connection.close()


def newest_epoch(books: Books, conversation_id: str) -> Epoch:
    """The epoch that is written in."""
    known = books.held(conversation_id).head()
    assert known is not None and known.opened is not None
    return known.opened


def pass_over(books: Books, conversation_id: str, head: int) -> None:
    """Let the founder's device open the next epoch without fetching what was put into the database."""
    held = books.held(conversation_id)
    held.cursor = held.highest = head
    books.save(held)
