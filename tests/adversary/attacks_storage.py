"""A thief of the server's files: everything that a real `tacit serve` keeps, searched for what it must not have."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2

from adversary.attack import Attack
from adversary.bending import StandIn, bent, command
from adversary.stage import FEW_RSA_KEYS, Tap
from client.world import CHEAP, World
from tacit.api.base import binary
from tacit.cli.needles import Hit, Needle, haystack, search
from tacit.client import Client
from tacit.client.books import Books
from tacit.client.tls import NO_TLS
from tacit.conversation.keys import KEY_BYTES
from tacit.identity import unlockers
from tacit.identity.unlockers import KdfBounds, open_with_password, password_bytes
from tacit.identity.vault import PrivateKey, values
from tacit.identity.words import from_words
from tacit.server.store.sqlite import connect
from tacit.signed.account import AccountRecord
from tacit.signed.vault import EntryKind, Vault
from tacit.wire import limits
from tacit.wire.codec import decode

TESTS = Path(__file__).parents[1]
BOUNDS = KdfBounds((CHEAP.memory_kib, 1 << 20), (CHEAP.iterations, 16), (CHEAP.lanes, 16))
CANARIES = ("canary in a database", "canary in a log", "canary in a temporary file")


class Dump(Attack):
    """Real people use a real server process; then its folder is searched, while it runs and when it has stopped."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.hits: list[Hit] = []
        self.needles: list[Needle] = []

    async def run(self) -> None:
        served = self.folder / "server"
        with bent(FEW_RSA_KEYS):
            async with served_by_process(served, self.removed) as url, AsyncExitStack() as stack:
                world = World(url, self.folder, stack, lambda: Tap(httpx2.AsyncHTTPTransport(verify=NO_TLS)))
                await self.live(world, served)
                copied = self.folder / "copy"
                shutil.copytree(served, copied)
            places = haystack(copied) + haystack(served)
        for canary in CANARIES:
            if not search(places, [Needle(canary, canary.encode())]):
                raise AssertionError(f"the {canary} was not found: the search says nothing")
        if not any("-wal frame" in place for place, _ in places):
            raise AssertionError("no frame of the write-ahead log was searched")
        self.hits = search(places, self.needles)
        self.code = f"none of {len(self.needles)} secrets"

    async def live(self, world: World, served: Path) -> None:
        """What people do, and everything of it that has to stay theirs."""
        secret = {name: secrets.token_urlsafe(18) for name in ("alice's text", "bob's text", "the edit", "the name")}
        passwords = {name: secrets.token_urlsafe(18) for name in ("alice", CANARIES[0])}
        people: dict[str, Client] = {}
        for name, password in passwords.items():
            client = people[name] = await world.open(name)
            words = await client.register(name, password)
            self.need(f"{name}'s words", " ".join(words).encode())
            self.need(f"{name}'s recovery key", from_words(words).reveal())
            self.need(f"{name}'s password", password.encode())
        alice, bob = people.values()
        team = await alice.create_conversation(secret["the name"], [CANARIES[0]])
        await team.edit(await team.send(secret["alice's text"]), secret["the edit"])
        await bob.sync()
        view = await bob.conversation(team.id)
        await view.send(secret["bob's text"])
        await team.rotate()
        await bob.sync()
        for name, text in secret.items():
            self.need(name, text.encode())
        for name, client in people.items():
            self.need(f"{name}'s session token", client.device.api.token.encode())
            for what, value in await client.device._run(secrets_of):
                self.need(f"{name}'s {what}", value)
            for what, value in opened_vault(served / "chat.db", name, passwords[name]):
                self.need(f"{name}'s {what}", value)
        (served / "tmp" / "left").write_text(CANARIES[2])
        with (served / "log").open("a") as log:
            log.write(CANARIES[1])

    def need(self, name: str, value: bytes) -> None:
        """Something that must not be found."""
        self.needles.append(Needle(name, value))

    def succeeded(self) -> str:
        names = sorted({hit.name for hit in self.hits})
        return f"{names[0]} and {len(names) - 1} more were found" if len(names) > 1 else "".join(names)


def secrets_of(books: Books) -> list[tuple[str, bytes]]:
    """Every secret in a client's store."""
    device = books.me.secrets
    found = [
        ("request seed", device.request_seed),
        ("mls seed", device.mls_seed),
        ("kem seed", device.kem_private),
        ("outer key", device.outer_key),
    ]
    keys = [decode(PrivateKey, value) for value in values(books.entries(), EntryKind.ENCRYPTION_KEY)]
    found += [(f"{key.algorithm.name} key", key.private) for key in keys]
    found += [("archive key", value[-KEY_BYTES:]) for value in values(books.entries(), EntryKind.ARCHIVE_KEY)]
    rows = books.connection.execute("SELECT key FROM epoch_keys").fetchall()
    found += [("conversation key", bytes(row[0])) for row in rows]
    assert len(found) > 8
    return found


def opened_vault(database: Path, user_id: str, password: str) -> list[tuple[str, bytes]]:
    """What no device keeps: the vault on the server, opened with the password."""
    connection = connect(database, read_only=True)
    query = "SELECT record, encrypted_private_key FROM user_keys WHERE user_id = ? ORDER BY version DESC LIMIT 1"
    record_text, vault_text = connection.execute(query, (user_id,)).fetchone()
    connection.close()
    record = decode(AccountRecord, binary(record_text, limits.RECORD_BYTES))
    vault = decode(Vault, binary(vault_text, limits.VAULT_BYTES), limits.VAULT_BYTES)
    account = unlockers.Account(record.server_name, user_id, record.profile, record.aik)
    opened = open_with_password(account, vault.inner, password_bytes(password), BOUNDS)
    return [("AMK", opened.amk.reveal()), ("AIK", opened.aik.seed.reveal())]


@asynccontextmanager
async def served_by_process(folder: Path, removed: Mapping[str, StandIn]) -> AsyncIterator[str]:
    """A `tacit serve` of its own, without these guards; its database, temporary files and log lie in `folder`."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    named = {guard: stand_in for guard, stand_in in removed.items() if isinstance(stand_in, str)}
    environment = {**os.environ, "TMPDIR": str(temporary), "SQLITE_TMPDIR": str(temporary), "PYTHONPATH": str(TESTS)}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*command(named), "serve", "--port", "0", "--database", str(folder / "chat.db")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if "http://" not in line:
            raise AssertionError("the server did not start: " + (folder / "log").read_text())
        yield "http://" + line.split("http://", 1)[1].split()[0]
    finally:
        server.terminate()
        server.wait(20)
        if server.stdout is not None:
            server.stdout.close()
