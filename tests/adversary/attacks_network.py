"""Who listens on the way to the server, or has a session token, and no device's key."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection, connect

from adversary.attack import Attack
from adversary.bending import StandIn
from adversary.craft import me
from adversary.stage import Stage, opened_stage, password_of, together
from certificates import Authority
from road import open_road
from tacit import errors
from tacit.api.accounts import PrivateKeys
from tacit.api.base import read
from tacit.api.problems import from_problem, read_problem
from tacit.api.sync import Challenge, Hello, ItemPush, ProblemFrame, Synced
from tacit.cli.owncertificate import make
from tacit.client.socket import PATH, read_frame
from tacit.client.tls import NO_TLS
from tacit.client.transport import EncryptionAPIClient
from tacit.crypto.digest import sha256
from tacit.crypto.x509 import read_pem
from tacit.identity.keys import SigningKey
from tacit.signed.request import SocketChallenge, sign_challenge
from tacit.wire.text import from_base64, to_base64


class StolenToken(Attack):
    """Alice's session token, used by another device with a key of its own: in its own name, and in her device's."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.vaults: list[PrivateKeys] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, mallory = await stage.people("alice", "mallory")
            thief = mallory.device.api
            own_device, own_token = thief.device_id, thief.token
            thief.token = alice.device.api.token
            for device_id in (own_device, alice.device.api.device_id):
                thief.device_id = device_id
                try:
                    self.vaults.append(await thief.get_encryption_keys_private())
                except errors.TacitError as error:
                    self.refused(error)
            thief.device_id, thief.token = own_device, own_token

    def succeeded(self) -> str:
        return "the thief has alice's vault" if any(each.user_id == "alice" for each in self.vaults) else ""


class StolenTokenOnSocket(Attack):
    """Alice's session token opens a WebSocket, and what is pushed to her comes to the thief."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.pushed: list[ItemPush] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, mallory = await stage.people("alice", "bob", "mallory")
            _, view = await together(alice, "team", bob)
            victim, key = alice.device.api, (await me(mallory)).request_key
            url = victim.origin.replace("http", "ws", 1) + PATH
            async with connect(url, proxy=None) as own, connect(url, proxy=None) as thief:
                own_nonce, nonce = await challenged(own), await challenged(thief)
                hello = self.hello(victim, own_nonce, nonce, key)
                await thief.send(msgspec.json.encode(hello).decode())
                frame = read_frame(await thief.recv())
                if isinstance(frame, ProblemFrame):
                    self.refused(from_problem(frame.problem))
                    return
                await view.send("only for alice")
                async with asyncio.timeout(10):
                    while not self.pushed:
                        frame = read_frame(await thief.recv())
                        if isinstance(frame, ItemPush):
                            self.pushed.append(frame)

    def hello(self, victim: EncryptionAPIClient, own_nonce: bytes, nonce: bytes, key: SigningKey) -> Hello:
        """The answer to the thief's challenge, signed by the key that the thief has."""
        token = sha256(victim.token.encode())
        answer = SocketChallenge(victim.origin, token, victim.device_id, nonce)
        return Hello(victim.token, victim.device_id, to_base64(sign_challenge(answer, key.sign)))

    def succeeded(self) -> str:
        return "the thief's socket is pushed what alice's is" if self.pushed else ""


class ReplayedHello(StolenTokenOnSocket):
    """Alice's own answer, heard on a connection of hers, sent on another."""

    def hello(self, victim: EncryptionAPIClient, own_nonce: bytes, nonce: bytes, key: SigningKey) -> Hello:
        return victim.answer_challenge(own_nonce)


async def challenged(connection: ClientConnection) -> bytes:
    """The nonce that a connection begins with."""
    challenge = read_frame(await connection.recv())
    assert isinstance(challenge, Challenge)
    return from_base64(challenge.nonce, 32)


async def again(stage: Stage, name: str, path: str) -> tuple[int, bytes]:
    """The newest request of somebody to this path, byte for byte as it was heard, sent by who listened."""
    heard = next(each for each in reversed(stage.wire(name).heard) if each.url.path == path)
    async with httpx2.AsyncClient(trust_env=False, verify=NO_TLS) as thief:
        answer = await thief.request(heard.method, heard.url, headers=heard.headers, content=heard.content)
    return answer.status_code, answer.content


class ReplayedWrite(Attack):
    """A request that wrote something is sent again: alice's sign-in, which opens another session."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.sessions = 0

    async def run(self) -> None:
        async with self.stage() as stage:
            (alice,) = await stage.people("alice")
            await alice.device.api.renew()
            count = "SELECT count(*) FROM sessions WHERE user_id = 'alice'"
            ((before,),) = await stage.sql(count)
            status, raw = await again(stage, "alice", "/api/auth/session")
            if status != 200:
                self.refused(read_problem(raw))
            ((after,),) = await stage.sql(count)
            self.sessions = after - before

    def succeeded(self) -> str:
        return "a second session of alice was opened" if self.sessions > 0 else ""


class ReplayedRead(Attack):
    """A request that only reads is sent again: who listened gets the answer."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.items = 0

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, _ = await together(alice, "team", bob)
            await alice.sync()
            await team.send("hello")
            await alice.sync()
            status, raw = await again(stage, "alice", "/api/sync")
            if status != 200:
                self.refused(read_problem(raw))
                return
            answer = read(Synced, raw)
            self.items = sum(len(page.items) for page in answer.conversations.values())

    def succeeded(self) -> str:
        return f"the listener was served {self.items} items of alice's" if self.items else ""


class AnotherKey(Attack):
    """Who is in between ends TLS by a certificate for the server's host that an authority of the system signed."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.heard = b""
        self.token = b""

    def honest(self, authority: Authority) -> tuple[Path, list[str]]:
        """The server's certificate, and the pins that alice has of it."""
        own = self.folder / "own.pem"
        make(own, "127.0.0.1")
        return own, [read_pem(own.read_bytes()).pin]

    def attackers(self, authority: Authority) -> Path:
        """The certificate of who is in between."""
        return authority.issue("127.0.0.1").file

    async def run(self) -> None:
        authority = Authority(self.folder)
        certificate, pins = self.honest(authority)
        async with open_road(certificate) as road, opened_stage(self.folder, url=road.url) as stage:
            road.target = stage.port
            with patch.dict(os.environ, {"SSL_CERT_FILE": str(authority.file)}):
                alice = await stage.world.open("alice", transport=None, pins=pins)
            await alice.register("alice", password_of("alice"))
            self.token = alice.device.api.token.encode()
            assert self.token in road.heard  # it would be found
            road.lead_by(self.attackers(authority))
            road.heard.clear()
            try:
                await alice.sync()
            except errors.TacitError as error:
                self.refused(error)
            self.heard = bytes(road.heard)

    def succeeded(self) -> str:
        return "who is in between has alice's session token" if self.token in self.heard else ""


class NobodysCertificate(AnotherKey):
    """Alice has no pin, and who is in between a certificate for the server's host that it signed itself."""

    def honest(self, authority: Authority) -> tuple[Path, list[str]]:
        return authority.issue("127.0.0.1").file, []

    def attackers(self, authority: Authority) -> Path:
        own = self.folder / "own.pem"
        make(own, "127.0.0.1")
        return own
