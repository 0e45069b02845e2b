"""Malicious members, former members and their accomplice, the server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from adversary.attack import Attack, Reads
from adversary.bending import StandIn, bent
from adversary.craft import (
    Forged,
    Rows,
    account_of,
    colluding,
    encoded,
    forge,
    forge_genesis,
    granted,
    granter_of,
    keeping,
    lay,
    me,
    moved,
    newest_message,
    own_opener,
    place,
    send_as,
    serving,
    state_of,
)
from adversary.loot import plaintexts
from adversary.stage import Stage, texts, together, try_to_send
from tacit import errors
from tacit.client import Client, Conversation, openings
from tacit.client.openings import REMOVE, Intent
from tacit.client.timing import wall_clock
from tacit.conversation.content import DeleteBody, EditBody, Name
from tacit.server.store import conversations
from tacit.server.store.rows import Epoch
from tacit.signed.account import account_hash
from tacit.signed.record import Leave, Role, sign_leave

SEND = "/api/messages/encrypted"


class ReadsOn(Reads):
    """A removed member, handed every later row, tries all that it ever had."""

    reward = "bob, removed, read what was written afterwards"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, view = await together(alice, "team", bob)
            await team.send("before")
            await bob.sync()
            await team.remove("bob")
            await self.write(alice, team.id)
            with bent(serving(all_rows=True)):
                await bob.sync()
            self.code = (await texts(bob, view.id))[-1][1]
            self.read = await plaintexts(stage, bob)


class ComesBack(Reads):
    """A removed member signs a record that adds it again, and the server takes it."""

    reward = "bob is back in the roster, by his own hand, and read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, _ = await together(alice, "team", bob)
            await team.remove("bob")
            opener, signer = await own_opener(stage, bob), (await me(bob)).request_key.sign
            accounts = [await account_of(stage, name) for name in ("alice", "bob")]
            bare = forge(await state_of(stage, team.id), [place(accounts[1], Role.MEMBER)], opener, signer)
            await lay(stage, granted(bare, granter_of(opener), signer, *accounts))
            await alice.sync()
            await self.write(alice, team.id)
            self.read = await plaintexts(stage, bob)


class SpeaksOn(Attack):
    """A removed member writes under the old key, and the server serves it after the removal."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.seen: list[tuple[str, str]] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, view = await together(alice, "team", bob)
            await self.prepare(team)
            await team.remove("bob")
            await alice.sync()
            with bent(colluding()):
                await send_as(bob, view.id, "I am still here")
            with bent(serving(self.serve)):
                self.turn(stage)
                await alice.sync()
            self.seen = await texts(alice, team.id)
            self.code = next((text for sender, text in self.seen if sender == "bob"), "")
            await self.ask(alice)

    async def prepare(self, team: Conversation) -> None:
        """What happens before the removal."""

    def turn(self, stage: Stage) -> None:
        """What the server does besides."""

    def serve(self, user_id: str, rows: Rows) -> Rows:
        """What is served then: what came, in the order in which it came."""
        return rows

    def succeeded(self) -> str:
        return "bob speaks after his removal" if ("bob", "I am still here") in self.seen else ""


class SpeaksBefore(SpeaksOn):
    """The same; the server says that it was restored, and serves all anew, bob's message in an earlier record's place.

    Every other place before the removal is taken by a message already.
    """

    async def prepare(self, team: Conversation) -> None:
        await team.rotate()

    def turn(self, stage: Stage) -> None:
        object.__setattr__(stage.backend, "incarnation", "another")

    def serve(self, user_id: str, rows: Rows) -> Rows:
        return moved(rows, newest_message(rows), 2)


class SpeaksFirst(Attack):
    """The server serves what came after bob's removal first, then what bob writes still, and the removal last."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.seen: list[tuple[str, str]] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, carol = await stage.people("alice", "bob", "carol")
            team, view, hers = await together(alice, "team", bob, carol)
            await team.remove("bob")
            await team.send("bob is out")
            with bent(colluding()):
                await send_as(bob, view.id, "I am still here")
            for last in (False, True):
                with bent(serving(self.removal_last if last else self.no_removal)):
                    await carol.sync()
            self.seen = await texts(carol, hers.id)
            await self.ask(carol)

    @staticmethod
    def no_removal(_: str, rows: Rows) -> Rows:
        return tuple(row for row in rows if not (isinstance(row, Epoch) and row.epoch == 2))

    @classmethod
    def removal_last(cls, user_id: str, rows: Rows) -> Rows:
        kept = cls.no_removal(user_id, rows)
        return (*kept, *(row for row in rows if row not in kept))

    def succeeded(self) -> str:
        as_if_before = ("bob", "I am still here") in self.seen and ("alice", "bob is out") in self.seen
        return "bob speaks after his removal, as if before it" if as_if_before else ""


class SaysItWasTaken(Reads):
    """The server says that it took alice's removal of bob, and serves it to nobody: she is to write to him still."""

    reward = "bob, whom alice believes removed, read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, _ = await together(alice, "team", bob)

            def hide(_: str, rows: Rows) -> Rows:
                return tuple(row for row in rows if not (isinstance(row, Epoch) and row.epoch == 2))

            with bent(serving(hide) | keeping(stage)):
                try:
                    await team.remove("bob")
                except errors.TacitError as error:
                    self.refused(error)
                else:
                    await self.write(alice, team.id)
            self.read = await plaintexts(stage, bob)


class RemovedAdmin(Reads):
    """A removed admin removes who removed it, on the record before; the server serves that one too."""

    reward = "bob follows the removed admin's record, and she read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, mallory, bob = await stage.people("alice", "mallory", "bob")
            team, _, view = await together(alice, "team", mallory, bob)
            await team.set_role("mallory", "admin")
            await mallory.sync()
            undoing = await prepared(mallory, view.id, Intent(REMOVE, ("alice",)))
            await team.remove("mallory")
            await bob.sync()

            def serve(user_id: str, rows: Rows) -> Rows:
                return (*rows, undoing.served_to("bob")) if user_id == "bob" else rows

            with bent(serving(serve) | keeping(stage)):
                await bob.sync()
                await self.write(bob, view.id)
            self.read = await plaintexts(stage, mallory)


async def prepared(client: Client, conversation_id: str, intent: Intent) -> Forged:
    """An epoch as the client's own code makes and keeps it, before it is sent."""
    made = await client.device._run(
        lambda books: openings.prepare(books, conversation_id, intent, wall_clock(), os.urandom)
    )
    assert made is not None
    return Forged(None, made.record, made.signature, b"", made.grants)


class InventedChain(Reads):
    """A plain member and the server invent a conversation's beginning for somebody who joins."""

    reward = "carol believed mallory's chain, and its ghost read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, mallory, carol, ghost = await stage.people("alice", "mallory", "carol", "ghost")
            team, _ = await together(alice, "team", mallory)
            await team.add("carol")
            accounts = {name: await account_of(stage, name) for name in ("alice", "mallory", "carol", "ghost")}
            roles = {name: Role.ADMIN if name == "mallory" else Role.MEMBER for name in accounts}
            changes = [place(accounts[name], role) for name, role in roles.items()]
            opener, signer = await own_opener(stage, mallory), (await me(mallory)).request_key.sign
            bare = forge_genesis(team.id, changes, opener, signer)
            forged = granted(bare, granter_of(opener), signer, *accounts.values())

            def serve(user_id: str, rows: Rows) -> Rows:
                return (forged.served_to("carol"),) if user_id == "carol" else rows

            with bent(serving(serve) | keeping(stage)):
                await carol.sync()
                await self.write(carol, team.id)
            self.read = await plaintexts(stage, ghost, keys=[forged.key])


class PlainMember(Reads):
    """A member who is no admin signs a record that adds a ghost, and the server takes it."""

    reward = "a plain member's ghost is in the roster and read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, mallory, ghost = await stage.people("alice", "mallory", "ghost")
            team, _ = await together(alice, "team", mallory)
            accounts = [await account_of(stage, name) for name in ("alice", "mallory", "ghost")]
            opener, signer = await own_opener(stage, mallory), (await me(mallory)).request_key.sign
            bare = forge(await state_of(stage, team.id), [place(accounts[2], Role.MEMBER)], opener, signer)
            await lay(stage, granted(bare, granter_of(opener), signer, *accounts))
            await alice.sync()
            await self.write(alice, team.id)
            self.read = await plaintexts(stage, ghost)


class Leaves(Attack):
    """A leave that does not count is to take bob out: the server hands it to alice, who carries leaves out."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.roster: set[str] = set()

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, view = await together(alice, "team", bob)
            leave = await self.leave(stage, team, view)
            await stage.backend.store.write(lambda db: conversations.put_leave(db, team.id, "bob", leave, 0))
            await alice.sync()
            await team.send("is everybody here?")
            self.roster = {member.user_id for member in team.members()}
            self.code = "the leave is ignored"

    async def leave(self, stage: Stage, team: Conversation, view: Conversation) -> str:
        """One that bob signed when he left, before he was added again."""
        await view.leave()
        await team.rotate()
        ((kept,),) = await stage.sql("SELECT body FROM account_events WHERE user_id = 'alice' AND kind = 'leave'")
        await team.add("bob")
        leave: str = msgspec.json.decode(kept)["leave"]
        return leave

    def succeeded(self) -> str:
        return "alice took bob out" if "bob" not in self.roster else ""


class ForgedLeave(Leaves):
    """One that bob never signed."""

    async def leave(self, stage: Stage, team: Conversation, view: Conversation) -> str:
        account = await account_of(stage, "bob")
        added = (await state_of(stage, team.id)).added()["bob"]
        device = account.devices[0].device_id
        leave = Leave(team.id, added, "bob", device, account.version, account_hash(account))
        return encoded(sign_leave(leave, lambda _: os.urandom(64)))


class CannotBeReported(Attack):
    """A member sends a message with a random franking tag: it could deny it to the operator."""

    TEXT = "nobody will believe you"

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.seen: list[tuple[str, str]] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, mallory = await stage.people("alice", "mallory")
            team, _ = await together(alice, "team", mallory)
            random_tag = {"tacit.conversation.sealing:franking_tag": lambda *_: os.urandom(32)}
            with bent(random_tag, everywhere=False):
                await send_as(mallory, team.id, self.TEXT)
            await alice.sync()
            self.seen = await texts(alice, team.id)
            self.code = self.seen[-1][1]

    def succeeded(self) -> str:
        return "alice reads what cannot be reported" if ("mallory", self.TEXT) in self.seen else ""


class ChangesOthers(Attack):
    """A member edits one message of another's and deletes a second one."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.edited = self.deleted = False

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, mallory, bob = await stage.people("alice", "mallory", "bob")
            team, _, view = await together(alice, "team", mallory, bob)
            first, second = await team.send("I owe you 5"), await team.send("and you owe me 9")
            await mallory.sync()
            targets = [Name(each.sender, each.device_id, each.client_message_id) for each in (first, second)]
            await send_as(mallory, team.id, "", body=EditBody(targets[0], "I owe you 500"))
            await send_as(mallory, team.id, "", body=DeleteBody(targets[1]))
            await bob.sync()
            shown, _ = await bob.device.history(view.id)
            by_id = {each.client_message_id: each for each in shown if each.sender == "alice"}
            self.edited = by_id[first.client_message_id].text != "I owe you 5"
            self.deleted = by_id[second.client_message_id].deleted
            self.code = "both are ignored"

    def succeeded(self) -> str:
        done = [word for word, holds in (("edited", self.edited), ("deleted", self.deleted)) if holds]
        return f"what alice wrote is {' and '.join(done)}" if done else ""


class Suppresses(Attack):
    """Who knows the id of a message that is still on its way uses it first, so that it is lost."""

    TEXT = "I resign"

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.seen: list[tuple[str, str]] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, mallory, bob = await stage.people("alice", "mallory", "bob")
            team, _, view = await together(alice, "team", mallory, bob)
            stage.wire("alice").lose("request", SEND)
            assert isinstance(await try_to_send(alice, team.id, self.TEXT), errors.Unreachable)
            await team.refresh()
            ((client_message_id, _),) = team.unsent
            await self.take_first(stage, alice, mallory, team, client_message_id)
            await alice.sync()
            await bob.sync()
            self.seen = await texts(bob, view.id)

    async def take_first(
        self, stage: Stage, alice: Client, mallory: Client, team: Conversation, client_message_id: str
    ) -> None:
        """Under one's own name and device."""
        await send_as(mallory, team.id, "spam", client_message_id=client_message_id)
        self.code = "both are shown"

    def succeeded(self) -> str:
        return "alice's message is lost to bob" if ("alice", self.TEXT) not in self.seen else ""


class SuppressesAtServer(Suppresses):
    """The same under one's own account and the other's device, which is what the server knows messages by."""

    async def take_first(
        self, stage: Stage, alice: Client, mallory: Client, team: Conversation, client_message_id: str
    ) -> None:
        device_id = (await me(alice)).device_id
        try:
            await send_as(mallory, team.id, "spam", device_id=device_id, client_message_id=client_message_id)
        except errors.TacitError as error:
            self.refused(error)


class Impersonates(Attack):
    """A member writes in another's name; the server lets it through."""

    TEXT = "I resign"
    user_id: str | None = "alice"
    """The account that the message names; None: the attacker's own."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.shown_as: list[tuple[str, str]] = []
        self.device_id = ""

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, mallory, bob = await stage.people("alice", "mallory", "bob")
            team, _, view = await together(alice, "team", mallory, bob)
            self.device_id = (await me(alice)).device_id
            with bent(colluding()):
                await send_as(mallory, team.id, self.TEXT, user_id=self.user_id, device_id=self.device_id)
            await bob.sync()
            shown, _ = await bob.device.history(view.id)
            self.shown_as = [(each.sender, each.device_id) for each in shown if each.text == self.TEXT]
            self.code = shown[-1].cause

    def succeeded(self) -> str:
        if any(device == self.device_id for _, device in self.shown_as):
            return f"bob reads it as {self.shown_as[0][0]}'s, from alice's device"
        return ""


class BorrowsDevice(Impersonates):
    """A member names another's device as one of its own account's."""

    user_id = None
