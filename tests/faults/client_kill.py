"""A client's process killed at each step of a deed: what it kept is done once when it runs again.

A step is the moment before or after a transaction of its store becomes durable, and before or after a POST: not yet on
its way, or answered and the answer not kept. The deeds are done by `python -m faults.client_kill`; the store is then
opened again by another process, the caller's, and brought to an end there.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec

from adversary.bending import bend, bent, wraps_original
from client.world import CHEAP, Wire, password_of, rows, texts
from faults.crowd import Server, of_the_database, short
from faults.form import Row
from tacit.client import Client, Conversation
from tacit.client.books import Books
from tacit.client.changes import Changes
from tacit.client.queue import Queued
from tacit.client.store import Store
from tacit.client.tls import NO_TLS
from tacit.client.transport import EncryptionAPIClient

DEEDS: Final = ("send", "rotate", "add")
KEEPS: Final = {"after commit Outbox._enqueue", "after commit Changes._prepare"}
"""From these steps on a message, or an epoch, is kept."""
KEYS: Final = "/api/encryption/conversation/keys"
SECONDS: Final = 60

# --- the process that is killed ----------------------------------------------------------


@dataclass
class Steps:
    """The steps of this process: each is told on standard output, and the process ends at `last`, by name or number."""

    last: str
    armed: bool = False
    count: int = 0

    def come(self, name: str) -> None:
        """This step is reached."""
        if self.armed:
            self.count += 1
            os.write(1, f"{name}\n".encode())
            if self.last in (name, str(self.count)):
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Have every transaction that writes, and every POST, be two steps."""

        @wraps_original
        def transactions(original: Callable[..., Any]) -> Callable[..., Any]:
            def transaction(store: Store, work: Callable[[Books], Any]) -> Any:
                name = getattr(work, "func", work).__qualname__
                wrote = False

                def watched(books: Books) -> Any:
                    nonlocal wrote
                    before = books.connection.total_changes
                    result = work(books)
                    wrote = books.connection.total_changes != before
                    if wrote:
                        self.come(f"before commit {name}")
                    return result

                result = original(store, watched)
                if wrote:
                    self.come(f"after commit {name}")
                return result

            return transaction

        @wraps_original
        def requests(original: Callable[..., Any]) -> Callable[..., Any]:
            async def once(api: EncryptionAPIClient, method: str, path: str, *rest: Any) -> Any:
                if method == "POST":
                    self.come(f"before POST {path}")
                answer = await original(api, method, path, *rest)
                if method == "POST":
                    self.come(f"after POST {path}")
                return answer

            return once

        bend({"tacit.client.store:Store._transaction": transactions})
        bend({"tacit.client.transport:EncryptionAPIClient._once": requests})


async def do(steps: Steps, url: str, store: str, deed: str, what: str) -> None:
    """Alice comes back, and does a deed: its steps count, not those of coming and going."""
    async with Client(url, store=store, sleep=short, cost=CHEAP) as client:
        await client.sign_in("alice", password_of("alice"))
        team = await client.conversation("team")
        steps.armed = True
        match deed:
            case "send":
                await team.send(what)
            case "rotate":
                await team.rotate()
            case "add":
                await team.add(what)
            case _:
                await client.sync()
        steps.armed = False


def main(url: str, store: str, deed: str, what: str, last: str, *pairs: str) -> None:
    """Do a deed and end at its step `last`, empty for none; `pairs` are stand-ins."""
    bend(dict(pair.split("=", 1) for pair in pairs))
    steps = Steps(last)
    steps.watch()
    asyncio.run(do(steps, url, store, deed, what))


# --- the one who looks at what is left ---------------------------------------------------


@dataclass
class Street:
    """Alice's store, and bob and carol who see what comes of what she does; carol is in only while she is added."""

    server: Server
    store: Path
    bob: Client
    carol: Client
    bent: Mapping[str, str] = field(default_factory=dict)
    """Stand-ins in the process that is killed."""
    texts: list[str] = field(default_factory=list)
    kills: int = 0

    async def process(self, deed: str, what: str, last: str) -> list[str]:
        """Alice's process does a deed until it is killed at this step, or to its end; the steps that it came to."""
        arguments = (self.server.url, str(self.store), deed, what, last)
        pairs = [f"{target}={stand_in}" for target, stand_in in self.bent.items()]
        made = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "faults.client_kill", *arguments, *pairs),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await made.communicate()
        finally:
            if made.returncode is None:
                made.kill()
        steps = out.decode().splitlines()
        killed = last in (*steps[-1:], str(len(steps)))
        assert made.returncode == (-signal.SIGKILL if killed else 0), (made.returncode, steps, err.decode())
        self.kills += killed
        return steps

    async def deed(self, deed: str, last: str = "", again: str = "") -> tuple[list[str], list[str]]:
        """The steps of a deed that is killed at `last`, and what is wrong once alice came back and synced.

        With `again` a process that brings it to an end is killed too, at that step of its own.
        """
        before = epochs_of(self.server.database)
        what = "carol" if deed == "add" else f"{deed} {len(self.texts)}"
        steps = await self.process(deed, what, last)
        if again:
            await self.process("sync", "", again)
        wire = Wire(httpx2.AsyncHTTPTransport(verify=NO_TLS))
        async with Client(self.server.url, store=self.store, sleep=short, cost=CHEAP, transport=wire) as alice:
            await alice.sign_in("alice", password_of("alice"))
            kept = [bytes(row[0]) for row in await rows(alice, "SELECT record_hash FROM openings")]
            await alice.sync()
            is_kept = not KEEPS.isdisjoint(steps)
            self.texts += [what] * (deed == "send" and is_kept)
            opened = epochs_of(self.server.database)[len(before) :]
            faults = [f"opened {len(opened)} epochs"] * (len(opened) != (deed != "send" and is_kept))
            faults += ["another epoch than the one that was kept"] * (kept not in ([], opened))
            faults += ["sent more than one record"] * (len(records_in(wire)) > 1)
            faults += await self.talk(alice, carol=deed == "add" and is_kept)
        faults += of_the_database(self.server.database, {})
        return steps, [f"{deed}, {', '.join(steps[-1:])}, {again}: {each}" for each in faults]

    async def talk(self, alice: Client, *, carol: bool) -> list[str]:
        """Who is in talks and reads the same, each message once; carol goes again."""
        hers = await alice.conversation("team")
        faults = [f"unsent: {each}" for each in hers.unsent]
        members = {"alice": alice, "bob": self.bob} | ({"carol": self.carol} if carol else {})
        for name, client in members.items():
            await client.sync()
            team = await client.conversation("team")
            if {each.user_id for each in team.members()} != members.keys():
                faults.append(f"for {name} these are in: {[each.user_id for each in team.members()]}")
            self.texts.append(f"{name} {len(self.texts)}")
            await team.send(self.texts[-1])
        for name, client in members.items():
            faults += await wrong_for(name, client, self.texts[-len(members) :] if name == "carol" else self.texts)
        if any(each.user_id == "carol" for each in hers.members()):
            await hers.remove("carol")
        return faults


async def wrong_for(name: str, client: Client, written: list[str]) -> list[str]:
    """What somebody lacks, sees twice, or is told that they should not be."""
    team: Conversation = await client.conversation("team")
    unread = {"no_grant"} if name == "carol" else set()  # what was written before she came
    seen = Counter([text for _, text in await texts(team) if text not in unread])
    faults = [f"{name} lacks {text}" for text in written if not seen[text]]
    faults += [f"{name} sees {count} times: {text}" for text, count in seen.items() if count > 1]
    if name != "carol":
        faults += [f"{name} sees what was not kept: {text}" for text in seen if text not in written]
    faults += [f"{name} misses something: {gaps}" for gaps in [await team.gaps()] if gaps]
    return faults + [f"{name} is alarmed: {each.code}" for each in await client.alarms()]


def records_in(wire: Wire) -> set[str]:
    """The conversation records that went out this way."""
    sent = zip(wire.requests, wire.bodies, strict=True)
    return {msgspec.json.decode(body)["record"] for request, body in sent if request == ("POST", KEYS)}


def epochs_of(database: Path) -> list[bytes]:
    """The hashes of the epochs' records that the server has, in their order."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        found = db.execute("SELECT record_hash FROM conversation_keys ORDER BY epoch").fetchall()
    return [bytes.fromhex(row[0]) for row in found]


@asynccontextmanager
async def street(folder: Path, bent: Mapping[str, str] | None = None) -> AsyncIterator[Street]:
    """A server and three people on it; alice and bob have a conversation."""
    server = Server(folder)
    await server.start()
    try:
        people = {
            name: Client(server.url, store=folder / f"{name}.db", sleep=short, cost=CHEAP)
            for name in ("alice", "bob", "carol")
        }
        async with people["bob"] as bob, people["carol"] as carol:
            async with people["alice"] as alice:
                for name, client in people.items():
                    await client.register(name, password_of(name))
                await alice.create_conversation("team", members=["bob"])
            await bob.sync()
            yield Street(server, folder / "alice.db", bob, carol, bent or {})
    finally:
        server.kill(signal.SIGTERM)


def long(share: float) -> Iterator[Row]:
    """Every step of each deed, and again with a second kill on the way back; then clients that have to be caught."""
    with tempfile.TemporaryDirectory() as folder:
        kills, faults = asyncio.run(every_step(Path(folder), share))
        yield Row("client_kill.as-it-is", f"{kills} kills {faults[:3] or ''}", bool(faults))
    with tempfile.TemporaryDirectory() as folder:
        for name, found, right in asyncio.run(found_out(Path(folder))):
            yield Row(f"client_kill.{name}", f"{found[:2]} (it has to be found)", not right)


async def every_step(folder: Path, share: float) -> tuple[int, list[str]]:
    """Kill at each step, or at this share of them; the kills, and what is wrong."""
    chance = random.Random(1)
    async with street(folder) as made:
        faults: list[str] = []
        for deed in DEEDS:
            steps, found = await made.deed(deed)
            faults += found
            for last in range(1, len(steps) + 1):
                for again in ("", str(chance.randint(1, 8))):
                    if chance.random() < share:
                        faults += (await made.deed(deed, str(last), again))[1]
        return made.kills, faults


# --- clients that have to be found out ---------------------------------------------------


@dataclass(frozen=True)
class Bending:
    """A deed, the step that it is killed at, what is bent then or on the way back, and what has to be found."""

    deed: str
    step: str
    fault: str
    killed: Mapping[str, str] = field(default_factory=dict)
    back: Mapping[str, str] = field(default_factory=dict)


@wraps_original
def keep_nothing(original: Callable[..., Any]) -> Callable[..., Any]:
    """What is kept is in memory alone: its transaction goes on, and would be made durable at the very end."""

    def transaction(self: Store, work: Callable[[Books], Any]) -> Any:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        return work(self._books)

    return transaction


@wraps_original
def forget_the_name(original: Callable[..., Any]) -> Callable[..., Any]:
    """What was sealed already goes out as another message."""

    def next_queued(books: Books, conversation_id: str) -> Queued | None:
        if (found := original(books, conversation_id)) is not None and found.payload is not None:
            name = os.urandom(16).hex()
            books.connection.execute(
                "UPDATE outbox SET client_message_id = ?, sealed = NULL WHERE id = ?", (name, found.id)
            )
            return next_queued(books, conversation_id)
        found_now: Queued | None = found
        return found_now

    return next_queued


async def open_anew(self: Changes, conversation_id: str) -> None:
    """The epoch whose outcome is not known is not sent again: another one is made in its place."""
    from tacit.client import openings

    made = await self._store.run(lambda books: openings.find(books, conversation_id))
    if made is not None:
        await self._attempt(conversation_id, made.intent)


BENT: Final = {
    "another-epoch": Bending(
        "rotate",
        f"before POST {KEYS}",
        "another epoch than",
        back={"tacit.client.changes:Changes.finish_earlier": "faults.client_kill:open_anew"},
    ),
    "kept-in-memory": Bending(
        "send",
        "before POST /api/messages/encrypted",
        "lacks",
        killed={"tacit.client.store:Store._transaction": "faults.client_kill:keep_nothing"},
    ),
    "another-name": Bending(
        "send",
        "after POST /api/messages/encrypted",
        "sees 2 times",
        back={"tacit.client.queue:next_queued": "faults.client_kill:forget_the_name"},
    ),
}
"""The one whose traces stay is the last."""


async def found_out(folder: Path) -> list[tuple[str, list[str], bool]]:
    """Of each bent client what is found, and whether it is what has to be."""
    results: list[tuple[str, list[str], bool]] = []
    async with street(folder) as made:
        for name, bending in BENT.items():
            made.bent = bending.killed
            with bent(bending.back):
                steps, found = await made.deed(bending.deed, bending.step)
            assert steps[-1] == bending.step, steps
            results.append((name, found, any(bending.fault in each for each in found)))
            made.texts = [each for each in made.texts if not any(f"lacks {each}" in fault for fault in found)]
    return results


if __name__ == "__main__":
    main(*sys.argv[1:])
