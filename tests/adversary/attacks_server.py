"""A malicious server that wants to read: the project's own, with a hook bent or a hand on its database."""

from __future__ import annotations

import dataclasses
import os

from adversary.attack import Reads
from adversary.bending import bent
from adversary.craft import (
    TRUSTING,
    Rows,
    account_of,
    encoded,
    forge,
    forge_genesis,
    granted,
    granter_of,
    keeping,
    lay,
    me,
    new_key,
    own_opener,
    place,
    serving,
    state_of,
    without_records,
    wrapped,
    x_wing_key,
)
from adversary.loot import plaintexts
from adversary.stage import Stage, together
from adversary.stand_ins import CLEAR_KEY
from tacit import errors
from tacit.server.store import grants
from tacit.server.store.rows import NewGrant
from tacit.signed.account import (
    AccountRecord,
    DeviceCertificate,
    EncryptionKey,
    EncryptionKeys,
    account_hash,
    device_id_of,
    sign_record,
)
from tacit.signed.profiles import KeyAlgorithm
from tacit.signed.record import Role


def random_signature(_: bytes) -> bytes:
    """The best that can be done without a key."""
    return os.urandom(64)


class GhostMember(Reads):
    """The server adds a member: a record in the admin's name, signed by a key of the server's."""

    reward = "the ghost opened its grant and read the next message"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, ghost = await stage.people("alice", "bob", "ghost")
            team, _ = await together(alice, "team", bob)
            opener = await own_opener(stage, alice)
            change = place(await account_of(stage, "ghost"), Role.MEMBER)
            signer = (await me(ghost)).request_key.sign
            await lay(stage, forge(await state_of(stage, team.id), [change], opener, signer))
            await alice.sync()
            try:
                await team.rotate()
            except errors.TacitError as error:
                self.refused(error)
            await self.write(alice, team.id)
            self.read = await plaintexts(stage, ghost)


class GhostDevice(Reads):
    """The server adds a device and its key to a member's account, in a record that the member never signed."""

    reward = "the ghost's device opened the next epoch as bob and read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, ghost = await stage.people("alice", "bob", "ghost")
            team, _ = await together(alice, "team", bob)
            before, puppet = await account_of(stage, "bob"), await account_of(stage, "ghost")
            await store_account(stage, with_device_of(before, puppet))
            with bent(TRUSTING, everywhere=False):
                try:
                    await team.rotate()
                except errors.TacitError as error:
                    self.refused(error)
                await self.write(alice, team.id)
                self.read = await plaintexts(stage, ghost)


def with_device_of(account: AccountRecord, puppet: AccountRecord) -> AccountRecord:
    """The account's next record: another's device is one of it, and another's key is the one to wrap to."""
    device = puppet.devices[0]
    device_id = device_id_of(account.user_id, device.request_key)
    own = DeviceCertificate(
        account.user_id, device_id, device.request_key, device.mls_key, device.kem_key, device.suites
    )
    return dataclasses.replace(
        with_key_of(account, puppet),
        version=account.version + 1,
        previous_hash=account_hash(account),
        devices=tuple(sorted((*account.devices, own), key=lambda each: each.device_id)),
    )


def with_key_of(account: AccountRecord, puppet: AccountRecord) -> AccountRecord:
    """The account record with another's key as the one to wrap to."""
    keys = tuple(
        EncryptionKey(KeyAlgorithm.X_WING, x_wing_key(puppet)) if key.algorithm is KeyAlgorithm.X_WING else key
        for key in account.encryption_keys
    )
    return dataclasses.replace(account, encryption_keys=keys)


async def store_account(stage: Stage, record: AccountRecord) -> None:
    """A forged next version in the server's database, with a signature that is none."""
    signatures = sign_record(record, random_signature)
    await stage.sql(
        "INSERT INTO user_keys (id, user_id, version, record, signature, outer_version, public_key, "
        "encrypted_private_key, key_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, 0)",
        "forged",
        record.user_id,
        record.version,
        encoded(record),
        encoded(signatures),
        record.outer.version,
        encoded(EncryptionKeys(record.encryption_keys)),
        account_hash(record).hex(),
    )


class SubstitutedGrant(Reads):
    """The server puts a grant of its own, with a key that it knows, in the place of the opener's."""

    reward = "bob sealed under the server's key, and the server read it"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team = await alice.create_conversation("team", ["bob"])
            key, state = new_key().secret.reveal(), await state_of(stage, team.id)
            granter = granter_of(await own_opener(stage, alice))
            false = wrapped(state.head_hash, key, granter, random_signature, await account_of(stage, "bob"))
            row = NewGrant("bob", f"alice/{granter.device_id}", encoded(false))
            key_id = (await stage.head(team.id)).key_id
            await stage.backend.store.write(lambda db: grants.add(db, team.id, key_id, [row], 0))
            await bob.sync()
            await self.write(bob, team.id)
            self.read = await plaintexts(stage, keys=[key])


class SwappedKey(Reads):
    """The server swaps the encryption key of an account that the victim has never met."""

    reward = "alice wrapped to the server's key, and the server read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, _, ghost = await stage.people("alice", "bob", "ghost")
            forged = with_key_of(await account_of(stage, "bob"), await account_of(stage, "ghost"))
            stage.backend.known._kept.clear()
            await stage.sql(
                "UPDATE user_keys SET record = ?, public_key = ?, key_id = ? WHERE user_id = 'bob'",
                encoded(forged),
                encoded(EncryptionKeys(forged.encryption_keys)),
                account_hash(forged).hex(),
            )
            with bent(TRUSTING, everywhere=False):
                try:
                    team = await alice.create_conversation("team", ["bob"])
                except errors.TacitError as error:
                    self.refused(error)
                else:
                    await self.write(alice, team.id)
                self.read = await plaintexts(stage, ghost)


class HiddenRecords(Reads):
    """The server hides a conversation's records: its client is to believe that nothing is encrypted."""

    reward = "the text left under a key that everybody knows"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team = await alice.create_conversation("team", ["bob"])
            await team.send("hello")

            def hide(user_id: str, rows: Rows) -> Rows:
                return without_records(rows) if user_id == "bob" else rows

            with bent(serving(hide) | keeping(stage)):
                await bob.sync()
                await self.write(bob, team.id)
            self.read = await plaintexts(stage, keys=[CLEAR_KEY])


class HiddenRoster(Reads):
    """The server hides a conversation's records and serves a first one of its own, with the roster that it likes."""

    reward = "bob sent to the server's roster, in which the ghost read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, ghost = await stage.people("alice", "bob", "ghost")
            team = await alice.create_conversation("team", ["bob"])
            changes = [
                place(await account_of(stage, "ghost"), Role.ADMIN),
                place(await account_of(stage, "bob"), Role.MEMBER),
            ]
            opener, signer = await own_opener(stage, ghost), (await me(ghost)).request_key.sign
            bare = forge_genesis(team.id, changes, opener, signer)
            forged = granted(bare, granter_of(opener), signer, await account_of(stage, "bob"))

            def serve(user_id: str, rows: Rows) -> Rows:
                return (forged.served_to("bob"),) if user_id == "bob" else rows

            with bent(serving(serve) | keeping(stage)):
                await bob.sync()
                await self.write(bob, team.id)
            self.read = await plaintexts(stage, ghost, keys=[forged.key])
