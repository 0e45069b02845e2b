"""A thief of a device, and a device that was restored from a copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from adversary.attack import SECRET, Attack, Reads
from adversary.attacks_account import stored_vault
from adversary.attacks_storage import opened_vault
from adversary.bending import StandIn, bent
from adversary.craft import account_of, colluding, me, serving
from adversary.loot import plaintexts
from adversary.stage import Stage, password_of, together, try_to_send
from client.world import CHEAP, yes
from tacit import errors
from tacit.cli.needles import Needle, search
from tacit.client import Client
from tacit.client.keystore import BOUNDS as KEY_BOUNDS
from tacit.client.keystore import SecureKeyStore
from tacit.crypto.secret import Secret
from tacit.identity.account import open_box
from tacit.identity.unlockers import password_bytes
from tacit.identity.vault import PrivateKey, open_outer, values, writers_of
from tacit.identity.words import from_words
from tacit.signed.message import from_fields
from tacit.signed.profiles import KeyAlgorithm
from tacit.signed.vault import EntryKind
from tacit.wire.codec import decode

HOUR = 60 * 60 * 1000


class RevokedDevice(Reads):
    """A revoked device, handed every later row of the server, the new vault included, tries all that it ever had."""

    reward = "the revoked device read what was written afterwards"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            await together(alice, "team", bob)
            stolen = await stage.tablet("alice")
            await stolen.sync()
            lost = (await me(stolen)).device_id
            await alice.sync()
            try:
                await alice.account.revoke(lost, password=password_of("alice"), confirm=yes)
            except errors.TacitError as error:
                self.refused(error)
            await bob.sync()
            await self.write(bob, (await bob.conversation("team")).id)
            with bent(serving(all_rows=True)):
                refusal = await synced(stolen)
            if refusal is not None:
                self.refused(refusal)
            self.read = await plaintexts(stage, stolen, seeds=await from_vault(stage, stolen))


async def synced(client: Client) -> errors.TacitError | None:
    """A device catches up; the error that it gets, if it gets one."""
    try:
        await client.sync()
    except errors.TacitError as error:
        return error
    return None


async def from_vault(stage: Stage, thief: Client) -> list[Secret]:
    """The account's keys in the newest vault, by every key that a device has: its outer key, and each box."""
    record, vault = await account_of(stage, "alice"), await stored_vault(stage, "alice")
    secrets = (await me(thief)).secrets
    tried = [Secret(secrets.outer_key)]
    for box in vault.boxes.boxes:
        try:
            tried.append(open_box(record, box, Secret(secrets.kem_private)))
        except errors.DecryptionError:
            continue
    versions = [each.value for each in await thief.device._run(lambda books: books.accounts.versions("alice"))]
    writers = writers_of([*versions, record])
    found: list[Secret] = []
    for key in tried:
        try:
            entries = open_outer(record, vault.outer, key, writers)
        except errors.PeerError:
            continue
        private = [decode(PrivateKey, each) for each in values(entries, EntryKind.ENCRYPTION_KEY)]
        found += [Secret(each.private) for each in private if each.algorithm is KeyAlgorithm.X_WING]
    return found


class StolenState(RevokedDevice):
    """The same by the account's keys that the device had before it was revoked: new grants are wrapped to new ones."""

    reward = "the keys of before open the grants of after, and the thief read"


class SearchedStore(Attack):
    """The thief of an unlocked device searches its store, page by page, for what no device keeps: AMK, AIK, words."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.hits: set[str] = set()

    async def run(self) -> None:
        async with self.stage() as stage:
            alice = await stage.world.open("alice")
            words = await alice.register("alice", password_of("alice"))
            again = await alice.account.new_recovery_key(password=password_of("alice"))
            await alice.account.words_seen()
            await alice.create_conversation("diary")
            own = (await me(alice)).secrets
            vault = opened_vault(self.folder / "server.db", "alice", password_of("alice"))
            await alice.device.close()
            store = self.folder / "alice.db"
            opener = SecureKeyStore(store.with_name("alice.db.key"), os.urandom, CHEAP, floor=KEY_BOUNDS)
            key = opener.open(password_bytes(password_of("alice")))
            found = [("the store", page) for page in pages(store, key)]
            found += [(path.name, path.read_bytes()) for path in self.folder.glob("alice.db*")]
            if not search(found, [Needle("the device's own key", own.request_seed)]):
                raise AssertionError("the device's own key was not found: the search says nothing")
            needles = [Needle(name, value) for name, value in vault]
            for name, each in (("the first words", words), ("the second words", again)):
                needles += [Needle(name, " ".join(each).encode()), Needle(name, as_struct(each))]
                needles.append(Needle(name, from_words(each).reveal()))
            self.hits = {hit.name for hit in search(found, needles)}
            self.code = f"none of {len(needles)} secrets"

    def succeeded(self) -> str:
        return f"the thief has {' and '.join(sorted(self.hits))}" if self.hits else ""


def as_struct(words: tuple[str, ...]) -> bytes:
    """Words as they stand in a struct."""
    return b"".join(bytes([len(word)]) + word.encode() for word in words)


def pages(path: Path, key: Secret) -> Iterator[bytes]:
    """The pages of a SQLCipher file as they are under a raw key, those that are free too; authenticity is not asked."""
    raw = path.read_bytes()
    size, reserve = 4096, 80
    for start in range(0, len(raw), size):
        page = raw[start + (16 if start == 0 else 0) : start + size]
        body, iv = page[:-reserve], page[-reserve : -reserve + 16]
        opened = Cipher(algorithms.AES(key.reveal()), modes.CBC(iv)).decryptor()
        yield opened.update(body) + opened.finalize()


# --- a copy of the store ---------------------------------------------------------------------------------------


def copy_store(folder: Path) -> None:
    """Copy alice's store as it is on the disk."""
    for suffix in (".db", ".db.key"):
        shutil.copy(folder / f"alice{suffix}", folder / f"restored{suffix}")


async def restored(stage: Stage) -> Client:
    """Alice on that copy."""
    client = await stage.world.open("restored")
    await client.sign_in("alice", password_of("alice"))
    return client


class KeyTwice(Attack):
    """A device is restored from a copy and goes on: a key that it used already would seal a second message."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.uses: list[Any] = []

    async def run(self) -> None:
        async with self.stage() as stage:
            (alice,) = await stage.people("alice")
            team = await alice.create_conversation("team")
            copy_store(self.folder)
            await team.send("one")
            again = await restored(stage)
            await (await again.conversation("team")).send("another")
            for (payload,) in await stage.sql("SELECT encrypted_payload FROM messages"):
                aad = from_fields(msgspec.json.decode(payload))[0].aad
                self.uses.append((aad.record_hash, aad.device_id, aad.instance_id, aad.counter))
            self.code = f"{len(self.uses)} messages, {len(set(self.uses))} keys"

    def succeeded(self) -> str:
        return "one key sealed two messages" if len(set(self.uses)) < len(self.uses) else ""


class SendsBeforeSync(Reads):
    """A device is restored from a copy of before bob's removal; the server takes messages of the old epoch."""

    reward = "the restored device wrote under the old key, and bob, who is removed, read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, _ = await together(alice, "team", bob)
            copy_store(self.folder)
            await team.remove("bob")
            again = await restored(stage)
            with bent(colluding()):
                error = await try_to_send(again, team.id, SECRET)
            self.code = error.code if error is not None else "it caught up first"
            self.read = await plaintexts(stage, bob)


class AsksForReset(Attack):
    """The thief of an unlocked device asks for a reset, and waits."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.devices: set[str] = set()
        self.thief = ""

    async def run(self) -> None:
        async with self.stage() as stage:
            (alice,) = await stage.people("alice")
            stolen = await stage.tablet("alice")
            self.thief = (await me(stolen)).device_id
            await stolen.account.reset("the thief's")
            stage.world.clock.ahead += 71 * HOUR
            await stolen.sync()
            if await synced(alice) is None:
                await self.look(alice)
            stage.world.clock.ahead += 80 * HOUR
            await synced(stolen)
            self.devices = {each.device_id for each in (await account_of(stage, "alice")).devices}

    async def look(self, alice: Client) -> None:
        """She is told, and cancels it."""
        told = [each for each in await alice.account.notices() if each.kind == "reset"]
        if told:
            self.code = f"she was told {len(told)} time and cancelled it"
            await alice.account.cancel_reset(password=password_of("alice"))

    def succeeded(self) -> str:
        return "the account is the thief's alone" if self.devices == {self.thief} else ""
