"""A malicious server that serves true messages at false places: again, elsewhere, later, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from adversary.attack import Attack
from adversary.bending import StandIn, bent
from adversary.craft import Rows, moved, new_key, serving, without_records
from adversary.stage import Stage, texts, together
from tacit.client.view import PINNED
from tacit.server.store import messages
from tacit.server.store.rows import Message

ORDER = "pay the bill"


class Replay(Attack):
    """The server serves the bytes of one message a second time, at a later place."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.shown = 0

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, view = await together(alice, "team", bob)
            await team.send(ORDER)
            await bob.sync()
            before, revision = await bob.device.history(view.id)
            await store_again(stage, team.id, team.id, ORDER)
            await bob.sync()
            news, _ = await bob.device.news(view.id, revision)
            self.shown = [each.text for each in [*before, *news]].count(ORDER)
            self.code = next((each.cause for each in news), "")

    def succeeded(self) -> str:
        return f"bob was shown it {self.shown} times" if self.shown > 1 else ""


async def store_again(stage: Stage, conversation_id: str, other: str, name: str) -> None:
    """The newest message of one conversation once more in a conversation's rows, as one that just came."""
    columns = "sender_id, device_id, encrypted_payload, iv"
    newest = f"SELECT {columns} FROM messages WHERE conversation_id = ? ORDER BY seq DESC"
    sender, device, payload, iv = (await stage.sql(newest, conversation_id))[0]
    key_id = (await stage.head(other)).key_id
    await stage.backend.store.write(lambda db: messages.insert(db, other, sender, device, name, payload, key_id, iv, 0))


class Splice(Attack):
    """The server serves alice's message in another conversation; its founder gave both the same key."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.seen: list[tuple[str, str]] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            mallory, alice, bob = await stage.people("mallory", "alice", "bob")
            key = new_key()
            with bent({"tacit.conversation.keys:ConversationKey.generate": lambda _: key}):
                red, alices, _ = await together(mallory, "red", alice, bob)
                blue, *_ = await together(mallory, "blue", alice, bob)
            await alices.send(ORDER)
            await store_again(stage, red.id, blue.id, ORDER)
            await bob.sync()
            self.seen = await texts(bob, blue.id)
            self.code = self.seen[-1][1]

    def succeeded(self) -> str:
        return "bob reads in blue what alice wrote in red" if ("alice", ORDER) in self.seen else ""


class Late(Attack):
    """The server holds a message back until the next epoch was opened, and serves it as if it were new."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.trust = ""

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, view = await together(alice, "team", bob)
            sent = await team.send(ORDER)
            await team.rotate()
            await team.send("never mind")

            def hold_back(_: str, rows: Rows) -> Rows:
                return moved(rows, message_at(rows, sent.seq), len(rows))

            with bent(serving(hold_back)):
                await bob.sync()
            shown, _ = await bob.device.history(view.id)
            assert [each.text for each in shown] == ["never mind", ORDER]
            self.trust = self.code = shown[-1].trust

    def succeeded(self) -> str:
        return "what was held back is shown as new" if self.trust == PINNED else ""


class Reorder(Attack):
    """The server serves two messages in the other order."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.seen: list[tuple[str, str]] = []
        self.told = False

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, view = await together(alice, "team", bob)
            first, second = await team.send(ORDER), await team.send("on friday")

            def swap(_: str, rows: Rows) -> Rows:
                return moved(rows, message_at(rows, second.seq), first.seq - 1)

            with bent(serving(swap)):
                await bob.sync()
            self.seen = await texts(bob, view.id)
            self.told = bool(await view.gaps())
            self.code = "the order is told" if self.told else ""

    def succeeded(self) -> str:
        other = self.seen == [("alice", "on friday"), ("alice", ORDER)]
        return "bob reads them in the other order and is told nothing" if other and not self.told else ""


class Gap(Attack):
    """The server keeps one message to itself."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.seen: list[tuple[str, str]] = []
        self.told = False

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, view = await together(alice, "team", bob)
            sent = await team.send(ORDER)
            await team.send("on friday")

            def withhold(_: str, rows: Rows) -> Rows:
                return tuple(row for row in rows if row.seq != sent.seq)

            with bent(serving(withhold)):
                await bob.sync()
            self.seen = await texts(bob, view.id)
            self.told = bool(await view.gaps())
            self.code = "a gap is told" if self.told else ""

    def succeeded(self) -> str:
        missing = ("alice", "on friday") in self.seen and ("alice", ORDER) not in self.seen
        return "bob misses a message and is told nothing" if missing and not self.told else ""


def message_at(rows: Rows, seq: int) -> Message:
    """The message that the server put there when it came."""
    return next(row for row in without_records(rows) if row.seq == seq)
