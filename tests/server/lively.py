"""A town in whose database there is something of everything that a server keeps."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2

from client.test_account import id_of
from client.test_granting import spoiling
from client.world import Clock, Wire, World, password_of, yes
from tacit.server.app import application, open_backend
from tacit.server.config import Config


def make(folder: Path) -> Path:
    """The database of a lively town's server, which was stopped; beside it what its people keep."""
    return asyncio.run(_make(folder))


async def _make(folder: Path) -> Path:
    clock = Clock()
    backend = await open_backend(Config("127.0.0.1", 8080, folder / "server.db"), clock, os.urandom)
    server = application(backend)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(backend.store.close)
        town = World("http://127.0.0.1:8080", folder, stack, lambda: Wire(httpx2.ASGITransport(server)))
        town.clock = clock
        await live(town)
    return folder / "server.db"


async def live(town: World) -> None:
    """Five people talk, come, go, change devices and passwords; two of another profile talk beside them."""
    alice, bob, carol, dave, erin = await town.register("alice", "bob", "carol", "dave", "erin")
    spoiling(town, "bob", leave_out=True)
    team = await alice.create_conversation("team", members=["bob", "carol", "dave"])
    first = await team.send("one")
    for each in (carol, bob, carol, bob):  # bob asks for the key, and carol hands it on
        await each.sync()
    town.wires["bob"].rewrite = None
    await (await bob.conversation("team")).send("two")
    await team.edit(first, "one and a half")
    await team.delete(first)
    await team.remove("carol")
    await team.send("without carol")
    await dave.sync()
    await (await dave.conversation("team")).leave()
    await alice.sync()
    await team.send("without dave")
    await team.add("carol", "erin")
    await team.set_role("erin", "admin")

    tablet = await town.another("alice", "tablet")
    await tablet.sync()
    await (await tablet.conversation("team")).send("from the tablet")
    lost = await id_of(alice)
    await tablet.account.name_device(lost, "phone")
    await bob.account.change_password("another password", password=password_of("bob"))

    others = [await town.open(name, profile="fips") for name in ("fay", "gus")]
    for name, client in zip(("fay", "gus"), others, strict=True):
        await client.register(name, password_of(name))
    await (await others[0].create_conversation("theirs", members=["gus"])).send("hello")

    pair = await erin.create_conversation("pair", members=["bob", "dave"])
    await pair.send("stay")
    await dave.sync()
    await (await dave.conversation("pair")).leave()  # nobody carries it out
    await tablet.sync()
    await tablet.account.revoke(lost, password=password_of("alice"), confirm=yes)
    await bob.account.reset("a third password", password="another password")  # nobody adds bob again
