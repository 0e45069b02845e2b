"""A server that was restored from an old backup, and those whom what was decided since shut out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from adversary.attack import Attack, Reads
from adversary.bending import StandIn
from adversary.craft import account_of, me
from adversary.stage import Stage, texts, together
from server.recording import restored
from tacit import errors
from tacit.api.reconcile import HeldVersion, ReconcileAccount
from tacit.client import accountchange
from tacit.client.lost import held_account
from tacit.server.store import backup
from tacit.wire.codec import encode
from tacit.wire.text import to_base64


class OldBackup(Reads):
    """Mallory was removed since the backup; on the restored server she is a member again, and bob writes."""

    reward = "bob went back to the epoch in which mallory is"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, mallory = await stage.people("alice", "bob", "mallory")
            team, *_ = await together(alice, "team", bob, mallory)
            backup.copy(self.folder / "server.db", self.folder / "backup.db")
            await team.remove("mallory")
            for each in (bob, mallory):
                await each.sync()
            conversation_id, now = team.id, stage.world.clock()
        gone = self.folder / "gone"
        gone.mkdir()
        for file in self.folder.glob("server.db*"):
            shutil.move(file, gone)
        backup.restore(self.folder / "backup.db", self.folder / "server.db", os.urandom(16).hex(), now)
        async with self.stage() as stage:
            bob = await stage.world.come_back("bob")
            await bob.sync()
            await self.write(bob, conversation_id)
            told = [each.kind for each in await bob.account.notices()]
            self.code = self.code or next((each for each in told if each == "server_behind"), "")
            await self.listen(stage, conversation_id)

    async def listen(self, stage: Stage, conversation_id: str) -> None:
        """What mallory reads of what the restored server has for her."""
        mallory = await stage.world.come_back("mallory")
        await mallory.sync()
        self.read = {text for _, text in await texts(mallory, conversation_id)}


class ResetAtOnce(Attack):
    """The thief of an unlocked device says that its reset, which nobody was told of, was there before the restore."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.devices: set[str] = set()
        self.thief = ""

    async def run(self) -> None:
        async with self.stage() as stage:
            await stage.people("alice")
            stolen = await stage.tablet("alice")
            self.thief = (await me(stolen)).device_id
            await restored(stage.backend)
            await stolen.account.reset("the thief's")
            change = await stolen.device.run(accountchange.find)
            assert change is not None
            (known,) = await stolen.device.run(lambda books: held_account(books, "alice"))
            made = HeldVersion(to_base64(encode(change.record)), to_base64(encode(change.signatures)))
            try:
                await stolen.device.api.post_reconcile_account(ReconcileAccount("alice", [*known.versions, made]))
            except errors.PeerError as error:
                self.refused(error)
            self.devices = {each.device_id for each in (await account_of(stage, "alice")).devices}

    def succeeded(self) -> str:
        return "the account is the thief's alone, at once" if self.devices == {self.thief} else ""
