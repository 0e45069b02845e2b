"""Who only asks: strangers who want to know who is there, what there is, and how much of it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from adversary.attack import Attack
from adversary.bending import StandIn
from adversary.craft import me
from adversary.probing import Answer, Prober
from adversary.stage import Stage, together
from tacit.client import Client
from tacit.signed.account import account_hash
from tacit.signed.record import Leave, sign_leave
from tacit.wire.codec import encode
from tacit.wire.text import from_json, to_base64

THERE: Final = ("alice", "bobby")
NOBODY: Final = ("aaron", "betty")
"""Names of the same length, of whom the server knows nothing."""
MESSAGES: Final = "/api/messages/encrypted"
KEYS: Final = "/api/encryption/conversation/keys"


class Probe(Attack):
    """Asks the same of what there is and of what there is not; it succeeded when the answers tell them apart."""

    what: str

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.there: list[Any] = []
        self.nobody: list[Any] = []

    def seen(self, answer: Answer) -> Any:
        """What of an answer is the same for all whom it does not tell apart."""
        self.code = self.code or answer.code or f"{answer.status} for everybody"
        fields = {name: len(value) if isinstance(value, str) else value for name, value in answer.body.items()}
        return answer.status, answer.code, answer.size, sorted(fields.items())

    async def run(self) -> None:
        async with self.stage() as stage:
            await stage.people(*THERE)
            for names, seen in ((THERE, self.there), (NOBODY, self.nobody)):
                for name in names:
                    async with Prober.stranger(stage) as prober:
                        seen.append(await self.look(prober, name))

    async def look(self, prober: Prober, name: str) -> Any:
        """What can be seen of somebody."""
        raise NotImplementedError

    def succeeded(self) -> str:
        return self.what if {repr(each) for each in self.there}.isdisjoint(map(repr, self.nobody)) else ""


class Unlockers(Probe):
    """A key that anybody makes asks what somebody's password and recovery key are derived with."""

    what = "the parameters tell who has an account"

    async def look(self, prober: Prober, name: str) -> Any:
        path = "/api/auth/unlocker"
        return [self.seen(await prober.wish(path, name, kind=kind)) for kind in ("password", "recovery_key")]


class Proofs(Probe):
    """A key that anybody makes tries a wrong proof, again and again."""

    what = "the limit of proofs tells who has an account"

    async def look(self, prober: Prober, name: str) -> Any:
        wrong = {"unlockerId": "0" * 32, "proof": to_base64(bytes(32))}
        return [self.seen(await prober.wish("/api/auth/unlock", name, **wrong)) for _ in range(7)]


class SignsIn(Probe):
    """A key that anybody makes signs in."""

    what = "the refusal of a sign-in tells who has an account"

    async def look(self, prober: Prober, name: str) -> Any:
        return self.seen(await prober.wish("/api/auth/session", name))


class Conversations(Probe):
    """Somebody who is signed in asks all there is to ask of a conversation of others, and of one that nobody has."""

    what = "the answers tell which conversations there are"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, mallory = await stage.people("alice", "bob", "mallory")
            team, _ = await together(alice, "team", bob)
            await team.send("among us")
            own, _ = await together(mallory, "own", bob)
            await own.send("to have one")
            async with await Prober.of(stage, mallory) as prober:
                for conversation_id, seen in ((team.id, self.there), (os.urandom(32).hex(), self.nobody)):
                    seen.append(await self.all_of(stage, mallory, prober, conversation_id))

    async def all_of(self, stage: Stage, mallory: Client, prober: Prober, conversation_id: str) -> Any:
        """The answer of each request that names a conversation."""
        heard = stage.wire("mallory").heard
        message = self.posted(heard, MESSAGES) | {"conversationId": conversation_id}
        opened = self.posted(heard, KEYS)
        grants = {
            "conversationId": conversation_id,
            "keyId": opened["keyId"],
            "encryptedKeys": opened["encryptedKeys"],
        }
        device = await me(mallory)
        account = await mallory.device._run(lambda books: books.own_account().value)
        wish = Leave(conversation_id, bytes(32), "mallory", prober.device_id, account.version, account_hash(account))
        leave = {"leave": to_base64(encode(sign_leave(dataclasses.replace(wish), device.request_key.sign)))}
        of = f"conversationId={conversation_id}"
        asked = [
            ("GET", f"{MESSAGES}?{of}", None),
            ("GET", f"{KEYS}?{of}", None),
            ("POST", MESSAGES, message),
            ("POST", KEYS, grants),
            ("POST", "/api/sync", {"accountCursor": 0, "conversations": {conversation_id: 0}}),
            ("POST", f"/api/conversations/{conversation_id}/grant-requests", {"keyId": opened["keyId"]}),
            ("POST", f"/api/conversations/{conversation_id}/leave", leave),
        ]
        answers = [await prober.ask(method, target, body) for method, target, body in asked]
        assert all(each.status != 200 for each in answers), answers
        self.code = self.code or answers[0].code
        return answers

    def posted(self, heard: Any, path: str) -> dict[str, Any]:
        """What mallory's own client posted here last."""
        found: dict[str, Any] = from_json(
            next(each.content for each in reversed(heard) if each.method == "POST" and each.url.path == path)
        )
        return found


class Receipts(Attack):
    """A stranger writes to somebody, and watches for any sign that it came: an event, an item, a frame."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.told: list[str] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            bob, mallory = await stage.people("bob", "mallory")
            made = await mallory.create_conversation("hello", ["bob"])
            await made.send("are you there?")
            async with await Prober.of(stage, mallory) as prober:
                cursors = {"accountCursor": 0, "conversations": {made.id: 0}}
                before = (await prober.ask("POST", "/api/sync", cursors)).body
                await bob.sync()
                await bob.device.history(made.id)
                after = (await prober.ask("POST", "/api/sync", cursors)).body
            self.told = [each["kind"] for each in after["account"]["events"][len(before["account"]["events"]) :]]
            pages = before["conversations"][made.id], after["conversations"][made.id]
            self.told += ["item"] if pages[0] != pages[1] else []
            self.code = "nothing comes back"

    def succeeded(self) -> str:
        return f"the stranger is told when bob's device is there: {', '.join(self.told)}" if self.told else ""


class Sizes(Attack):
    """The server compares the sizes of messages, to tell a yes from a no."""

    lengths = range(1, 65)

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.sizes: set[int] = set()

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, _ = await together(alice, "team", bob)
            for length in self.lengths:
                await team.send("y" * length)
            rows = await stage.sql("SELECT encrypted_payload FROM messages")
            self.sizes = {len(from_json(row[0])["encryptedText"]) for row in rows}
            self.code = f"{len(self.sizes)} sizes of {len(self.lengths)} lengths"

    def succeeded(self) -> str:
        told = len(self.sizes)  # base64 itself rounds up to three bytes
        return f"the server tells {told} sizes apart" if told >= len(self.lengths) // 3 else ""
