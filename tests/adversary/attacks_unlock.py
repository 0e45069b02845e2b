"""A malicious server at sign-in: it says how the password is to be derived, and waits for the proof."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from adversary.attack import Attack
from adversary.bending import StandIn
from adversary.stage import Stage, opened_stage
from client.world import CHEAP, no_wait, yes
from tacit import errors
from tacit.api.auth import Unlock
from tacit.client.transport import EncryptionAPIClient
from tacit.crypto.secret import Secret
from tacit.identity import unlockers
from tacit.identity.keys import new_signing_key
from tacit.identity.unlockers import ARGON2ID, PBKDF2, Cost, KdfBounds, password_bytes
from tacit.signed.profiles import Profile
from tacit.signed.vault import PasswordParameters, UnlockerKind
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64

HOST = "127.0.0.1"
UNLOCK = "/api/auth/unlock"
PASSWORD = "swordfish"
GUESSES: Final = ("123456", "password", "qwertz", "letmein", PASSWORD)
"""What everybody tries first."""


async def parameters_of(stage: Stage, user_id: str) -> PasswordParameters:
    """How the server says that somebody's password is derived."""
    query = "SELECT parameters FROM unlockers WHERE user_id = ? AND kind = ?"
    ((raw,),) = await stage.sql(query, user_id, UnlockerKind.PASSWORD.value)
    return decode(PasswordParameters, raw)


async def say(stage: Stage, user_id: str, parameters: PasswordParameters) -> None:
    """Say from now on that it is derived so."""
    change = "UPDATE unlockers SET parameters = ? WHERE user_id = ? AND kind = ?"
    await stage.sql(change, encode(parameters), user_id, UnlockerKind.PASSWORD.value)


def proof_sent(stage: Stage, name: str) -> Unlock | None:
    """What somebody's device proved to the server, as it was heard there."""
    heard = [each for each in stage.wire(name).heard if each.url.path == UNLOCK]
    return msgspec.json.decode(heard[-1].content, type=Unlock) if heard else None


def any_bounds(parameters: PasswordParameters) -> KdfBounds:
    """Bounds that exactly these parameters meet: the attacker derives by whatever it likes."""
    memory, passes, lanes = parameters.memory_kib, parameters.iterations, parameters.lanes
    return KdfBounds((memory, memory), (passes, passes), (lanes, lanes), parameters.kdf)


def guessed(sent: Unlock, parameters: PasswordParameters, user_id: str) -> list[str]:
    """The guesses that a proof belongs to, derived for this user."""
    return [
        guess
        for guess in GUESSES
        if unlockers.proof_of(
            HOST,
            sent.user_id,
            sent.unlocker_id,
            unlockers.password_secret(HOST, user_id, password_bytes(guess), parameters, any_bounds(parameters)),
        ).reveal()
        == from_base64(sent.proof, 32)
    ]


class Unlocking(Attack):
    """The server says something of its own about a password's derivation, and tries guesses on the proof."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.found: Sequence[str] = ()

    async def sign_in(self, stage: Stage, name: str = "alice") -> None:
        """Somebody's new device signs in, on the product's own settings or the test's cheap ones."""
        try:
            await stage.world.another(name, "tablet", password=PASSWORD, options={"cost": self.cost})
        except errors.TacitError as error:
            self.refused(error)

    cost: Cost | None = None


class CheapDerivation(Unlocking):
    """The server names the least that Argon2id costs: then it tries guesses by the thousand."""

    said = PasswordParameters(ARGON2ID, 8, 1, 1, b"a chosen salt...")

    async def run(self) -> None:
        async with self.stage() as stage:
            alice = await stage.world.open("alice", cost=None)
            await alice.register("alice", PASSWORD)
            await say(stage, "alice", self.said)
            await self.sign_in(stage)
            sent = proof_sent(stage, "alice-tablet")
            self.found = guessed(sent, self.said, "alice") if sent is not None else ()

    def succeeded(self) -> str:
        return f"her password was guessed at a thousandth of its cost: {self.found[0]}" if self.found else ""


class WeakerProfile(CheapDerivation):
    """The server answers for a standard account as for one of the profile compat: PBKDF2, which a card guesses at."""

    said = PasswordParameters(PBKDF2, 0, 1_000, 0, b"a chosen salt...")


class SharedSalt(Unlocking):
    """The server hands alice bob's salt: one table of guesses is to serve for both."""

    cost = CHEAP

    async def run(self) -> None:
        async with self.stage() as stage:
            for name in ("alice", "bob"):
                client = await stage.world.open(name)
                await client.register(name, PASSWORD)
            parameters = await parameters_of(stage, "bob")
            await say(stage, "alice", parameters)
            await self.sign_in(stage)
            sent = proof_sent(stage, "alice-tablet")
            assert sent is not None  # a salt of the right length is as good as another: nothing is refused before
            self.found = guessed(sent, parameters, "bob")

    def succeeded(self) -> str:
        return "what was derived for bob is alice's too" if self.found else ""


class BorrowedSalt(Attack):
    """A second server hands out the first one's salt and unlocker, to get a proof that opens the vault there."""

    called = "second.example"
    """What the second server says that its name is."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.inner = ""

    async def run(self) -> None:
        for name in ("first", "second"):
            (self.folder / name).mkdir()
        async with (
            opened_stage(self.folder / "first", "first.example") as first,
            opened_stage(self.folder / "second", self.called) as second,
        ):
            alice = await first.world.open("alice", server_name="first.example")
            await alice.register("alice", PASSWORD)
            for row in await first.sql("SELECT * FROM unlockers WHERE user_id = 'alice'"):
                await second.sql("INSERT INTO unlockers VALUES (?, ?, ?, ?, ?)", *row)
            tablet = await second.world.open("alice", server_name="second.example")
            try:
                await tablet.sign_in_new_device("alice", password=PASSWORD, name="tablet", confirm=yes)
            except errors.TacitError as error:
                self.refused(error)
            sent = proof_sent(second, "alice")
            if sent is not None:
                await self.use(first, sent)

    async def use(self, first: Stage, sent: Unlock) -> None:
        """The proof, with a key of the attacker's, at the first server."""
        api = EncryptionAPIClient(
            first.world.url, server_name="first.example", clock=first.world.clock, random=os.urandom, sleep=no_wait
        )
        key = new_signing_key(Profile.STANDARD, os.urandom)
        try:
            await api.post_auth_unlock("alice", key, sent.unlocker_id, Secret(from_base64(sent.proof, 32)))
            answer = await api.get_encryption_keys_private()
            self.inner = answer.inner if isinstance(answer.inner, str) else ""
        except errors.TacitError as error:
            self.code = error.code
        finally:
            await api.close()

    def succeeded(self) -> str:
        return "the second server opened alice's session at the first, with the inner part" if self.inner else ""


class BorrowedName(BorrowedSalt):
    """The same, and the second server says that it has the first one's name."""

    called = "first.example"
