"""Members with an accomplice: a revoked device, a lying opener, whoever edits the server's dump."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import msgspec

from adversary.attack import Attack, Reads
from adversary.bending import StandIn, bent
from adversary.craft import (
    Rows,
    account_of,
    colluding,
    forge,
    granted,
    granter_of,
    keeping,
    me,
    new_key,
    own_opener,
    place,
    serving,
    state_of,
)
from adversary.loot import plaintexts
from adversary.stage import password_of, texts, together
from client.world import yes
from tacit.api.messages import EncryptedPayload, SendMessages
from tacit.client import Client
from tacit.client.books import Books
from tacit.client.timing import wall_clock
from tacit.conversation.content import TextBody
from tacit.conversation.sealing import Epoch, Sender, make_content, seal
from tacit.crypto import hpke
from tacit.identity import keys
from tacit.server.store.rows import Epoch as EpochRow
from tacit.signed.account import account_hash
from tacit.signed.message import Message, from_fields, to_fields
from tacit.signed.profiles import KeyAlgorithm
from tacit.signed.record import Opener, Role
from tacit.signed.rights import advance


class Laundered(Reads):
    """A revoked device's record, which says that it is older, with a later one by an accomplice above it.

    Bob was not there: neither record nor revocation came to him before.
    """

    reward = "bob believed the stolen device's record, and its ghost read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, mallory, _ = await stage.people("alice", "bob", "mallory", "ghost")
            stolen = await stage.tablet("alice")
            await alice.sync()
            team, view, _ = await together(alice, "team", bob, mallory)
            thief, before = await me(stolen), await state_of(stage, team.id)
            then = await account_of(stage, "alice")
            await alice.account.revoke(thief.device_id, password=password_of("alice"), confirm=yes)
            now, ghosts = await account_of(stage, "alice"), await account_of(stage, "ghost")
            added = [place(then, Role.ADMIN), place(ghosts, Role.MEMBER)]
            opener = Opener("alice", thief.device_id, account_hash(then))
            first = forge(before, added, opener, thief.request_key.sign)
            by, signer = await own_opener(stage, mallory), (await me(mallory)).request_key.sign
            later = forge(advance(before, first.record), [place(now, Role.ADMIN)], by, signer)
            later = granted(later, granter_of(by), signer, await account_of(stage, "bob"))

            def serve(user_id: str, rows: Rows) -> Rows:
                kept = tuple(row for row in rows if not (isinstance(row, EpochRow) and row.epoch > 1))
                return (*kept, first.served_to("bob"), later.served_to("bob")) if user_id == "bob" else rows

            with bent(serving(serve) | keeping(stage)):
                await bob.sync()
                await self.write(bob, view.id)
                if not self.code:
                    await view.refresh()
                    self.code = view.blocked.partition(":")[0]
            self.read = await plaintexts(stage, keys=[later.key])


class WrongGrant(Attack):
    """The opener grants carol another key than everybody's: what is said is to be lost to her."""

    TEXT = "carol is not to read this"

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.seen: list[tuple[str, str]] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            mallory, bob, carol = await stage.people("mallory", "bob", "carol")
            own = await carol.device._run(lambda books: books.own_account().value.encryption_keys)
            hers = next(each.public_key for each in own if each.algorithm is KeyAlgorithm.X_WING)
            true = keys.wrap

            def wrap(algorithm: KeyAlgorithm, public: bytes, info: bytes, plaintext: bytes) -> bytes:
                if public == hers:
                    return hpke.seal(hpke.STANDARD, public, info, new_key().secret.reveal())
                return true(algorithm, public, info, plaintext)

            with bent({"tacit.conversation.envelope:wrap": wrap}, everywhere=False):
                team = await mallory.create_conversation("team", ["bob", "carol"])
            await bob.sync()
            await (await bob.conversation(team.id)).send(self.TEXT)
            for client in (carol, bob, carol):
                await client.sync()
            self.seen = await texts(carol, team.id)
            await self.ask(carol)
            self.code = f"{self.code}, then bob's grant"

    def succeeded(self) -> str:
        return "carol never reads what bob says" if ("bob", self.TEXT) not in self.seen else ""


class Borrows(Attack):
    """A member writes in another's name, with every field of a true message of hers in turn, and with all of them."""

    TEXT = "I resign"

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.as_hers: list[str] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, mallory, bob = await stage.people("alice", "mallory", "bob")
            team, _, view = await together(alice, "team", mallory, bob)
            await team.send("hello")
            ((payload,),) = await stage.sql("SELECT encrypted_payload FROM messages ORDER BY seq DESC LIMIT 1")
            true, signature = from_fields(msgspec.json.decode(payload))
            ways: dict[str, dict[str, object]] = {
                "device": {},
                "instance": {"instance_id": true.aad.instance_id, "counter": true.aad.counter + 1},
                "counter": {"instance_id": true.aad.instance_id, "counter": true.aad.counter},
                "id": {"client_message_id": true.aad.client_message_id},
                "signature": {"signature": signature},
            }
            ways["all"] = {name: value for way in ways.values() for name, value in way.items()}
            with bent(colluding()):
                for fields in ways.values():
                    await borrow(mallory, team.id, true, self.TEXT, fields)
            await bob.sync()
            shown, _ = await bob.device.history(view.id)
            self.as_hers = [each.text for each in shown if each.sender == "alice" and each.text == self.TEXT]
            self.code = shown[-1].cause

    def succeeded(self) -> str:
        return f"bob reads {len(self.as_hers)} as alice's" if self.as_hers else ""


async def borrow(client: Client, conversation_id: str, true: Message, text: str, fields: Mapping[str, object]) -> None:
    """A message of the attacker's in the name and from the device of a true one's sender."""
    given = dict(fields)
    signature = given.pop("signature", None)

    def sealed(books: Books) -> EncryptedPayload:
        head = books.held(conversation_id).head()
        assert head is not None
        assert isinstance(head.opened, Epoch)
        instance = given.get("instance_id", os.urandom(16))
        assert isinstance(instance, bytes)
        sender = Sender(true.aad.user_id, true.aad.device_id, instance, books.me.request_key.sign)
        made = seal(
            head.opened,
            sender,
            make_content(TextBody(text), sent_at=wall_clock(), random=os.urandom),
            counter=int(str(given.get("counter", 0))),
            client_message_id=str(given.get("client_message_id", os.urandom(16).hex())),
            random=os.urandom,
        )
        by = signature if isinstance(signature, bytes) else made.signature
        return msgspec.convert(to_fields(made.message, by), EncryptedPayload)

    payload = await client.device._run(sealed)
    await client.device.api.post_messages_encrypted(SendMessages(conversation_id, payload))


class EditedDump(Attack):
    """Somebody stops the server, edits its database, and starts it again: a new device reads what is there then."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.seen: list[tuple[str, str]] = []
        self.told = False

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, _ = await together(alice, "team", bob)
            for text in ("one", "two", "three"):
                await team.send(text)
            await bob.device.close()
        database = sqlite3.connect(self.folder / "server.db")
        with database:
            self.edit(database, team.id)
        database.close()
        async with self.stage() as stage:
            tablet = await stage.world.another("bob", "tablet")
            await tablet.sync()
            self.seen = await texts(tablet, team.id)
            view = await tablet.conversation(team.id)
            causes = [text for _, text in self.seen if text not in ("one", "two", "three")]
            self.told = bool(await view.gaps()) or bool(view.blocked) or bool(causes)
            self.code = causes[0] if causes else "it is told" if self.told else ""

    def edit(self, database: sqlite3.Connection, conversation_id: str) -> None:
        """The second text is taken out, and those after it move up, so that no number is missing."""
        (gone,) = database.execute(
            "SELECT seq FROM messages WHERE conversation_id = ? ORDER BY seq DESC LIMIT 1 OFFSET 1", (conversation_id,)
        ).fetchone()
        database.execute("DELETE FROM messages WHERE conversation_id = ? AND seq = ?", (conversation_id, gone))
        move = "UPDATE messages SET seq = seq - 1 WHERE conversation_id = ? AND seq > ?"
        database.execute(move, (conversation_id, gone))

    def succeeded(self) -> str:
        said = [text for _, text in self.seen]
        return f"bob's new device shows {', '.join(said)} and says nothing" if said and not self.told else ""


class CopiedInDump(EditedDump):
    """The same with a message that stands there twice: its bytes in the place of another."""

    def edit(self, database: sqlite3.Connection, conversation_id: str) -> None:
        rows = database.execute(
            "SELECT seq FROM messages WHERE conversation_id = ? ORDER BY seq DESC LIMIT 2", (conversation_id,)
        ).fetchall()
        (last,), (middle,) = rows
        copy = """UPDATE messages SET (encrypted_payload, iv) = (SELECT encrypted_payload, iv FROM messages
            WHERE conversation_id = ? AND seq = ?) WHERE conversation_id = ? AND seq = ?"""
        database.execute(copy, (conversation_id, middle, conversation_id, last))
