"""A malicious server that wants an account to be another's: its own keys, its own vault, its own identity."""

from __future__ import annotations

import dataclasses

from adversary.attack import Reads
from adversary.bending import bent
from adversary.craft import (
    TRUSTING,
    account_of,
    encoded,
    forge,
    granted,
    granter_of,
    lay,
    me,
    own_opener,
    place,
    state_of,
)
from adversary.loot import plaintexts
from adversary.puppets import Puppet, make_puppet, put_in_place, store_version
from adversary.stage import Stage, password_of, together
from client.world import CHEAP, yes
from tacit import errors
from tacit.api.base import binary
from tacit.client import Client
from tacit.client.accountview import AccountView, Confirm
from tacit.crypto.secret import Secret
from tacit.identity.account import certificate_of
from tacit.identity.unlockers import Account, bounds_of, open_with_password, password_bytes
from tacit.signed.account import (
    AccountRecord,
    AccountSignatures,
    ResetBy,
    ResetNote,
    RevokedDevice,
    account_hash,
    sign_record,
)
from tacit.signed.profiles import Profile
from tacit.signed.record import Opener, Role
from tacit.signed.vault import Outer, Unlocker, UnlockerKind, Vault
from tacit.wire import limits
from tacit.wire.codec import decode
from tacit.wire.text import to_base64

HOST = "127.0.0.1"
HOUR = 60 * 60 * 1000


async def stored_vault(stage: Stage, user_id: str) -> Vault:
    """Somebody's newest vault, as the server has it."""
    newest = "SELECT encrypted_private_key FROM user_keys WHERE user_id = ? ORDER BY version DESC LIMIT 1"
    ((text,),) = await stage.sql(newest, user_id)
    return decode(Vault, binary(text, limits.VAULT_BYTES), limits.VAULT_BYTES)


class SwappedContact(Reads):
    """The server swaps the account of somebody whom alice's vault knows, when her new device meets it first."""

    reward = "alice's new device wrapped to the server's key, and the server read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, _ = await stage.people("alice", "bob")
            await self.prepare(stage, alice)
            puppet = make_puppet(HOST, "bob")
            await put_in_place(stage, puppet)
            try:
                tablet = await stage.tablet("alice", confirm=self.confirm)
                team = await tablet.create_conversation("team", ["bob"])
            except errors.TacitError as error:
                self.refused(error)
            else:
                await self.write(tablet, team.id)
            self.read = await plaintexts(stage, seeds=[puppet.seed])

    confirm: Confirm = staticmethod(yes)

    async def prepare(self, stage: Stage, alice: Client) -> None:
        """What alice's vault knows, and what of it is served."""
        await alice.create_conversation("old", ["bob"])
        await alice.device._write_vault()


class OldOuterPart(SwappedContact):
    """The server hands a new device an outer part from before bob was met, older than the account record says."""

    reward = "the new device knew nothing of bob, wrapped to the server's key, and the server read"

    async def run(self) -> None:
        with bent({"tacit.server.accounts:check_signatures": lambda *_: None}, everywhere=False):
            await super().run()

    async def prepare(self, stage: Stage, alice: Client) -> None:
        old = (await stored_vault(stage, "alice")).outer
        await super().prepare(stage, alice)
        await alice.account.new_recovery_key(password=password_of("alice"))
        await serve_outer(stage, "alice", old)


class AgedOuterPart(SwappedContact):
    """The same, no older than the account record says; but alice, who is asked, knows that her devices write daily."""

    reward = OldOuterPart.reward

    async def prepare(self, stage: Stage, alice: Client) -> None:
        old = (await stored_vault(stage, "alice")).outer
        await super().prepare(stage, alice)
        await serve_outer(stage, "alice", old)
        stage.world.clock.ahead += 49 * HOUR

    @staticmethod
    async def knows_its_age(view: AccountView) -> bool:
        """A person who looks when the vault is shown as old."""
        return not view.vault_is_old

    confirm = knows_its_age


async def serve_outer(stage: Stage, user_id: str, outer: Outer) -> None:
    """Put an outer part in the place of the stored one."""
    vault = dataclasses.replace(await stored_vault(stage, user_id), outer=outer)
    version, header = outer.header.version, encoded(outer.header)
    await stage.sql(
        "UPDATE user_keys SET encrypted_private_key = ?, outer_version = ? WHERE user_id = ? AND "
        "encrypted_private_key <> ''",
        encoded(vault),
        version,
        user_id,
    )
    await stage.sql("DELETE FROM outer_headers WHERE user_id = ?", user_id)
    row = (user_id, version, outer.header.account_version, header, to_base64(outer.signature))
    await stage.sql("INSERT INTO outer_headers VALUES (?, ?, ?, ?, ?)", *row)


class SwappedAtRotation(Reads):
    """The server serves a next version of bob's account with its own key in it, when alice opens the next epoch."""

    reward = "alice wrapped the next epoch's key to the server, and the server read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob = await stage.people("alice", "bob")
            team, _ = await together(alice, "team", bob)
            before, puppet = await account_of(stage, "bob"), make_puppet(HOST, "bob")
            record = dataclasses.replace(
                before,
                version=before.version + 1,
                previous_hash=account_hash(before),
                encryption_keys=puppet.record.encryption_keys,
            )
            await store_version(stage, record, sign_record(record, puppet.aik.sign))
            with bent(TRUSTING, everywhere=False):
                try:
                    await team.rotate()
                except errors.TacitError as error:
                    self.refused(error)
                await self.write(alice, team.id)
                self.read = await plaintexts(stage, seeds=[puppet.seed])


# --- a vault of the server's own -------------------------------------------------------------------------------


class OwnVault(Reads):
    """The server makes an account in alice's name, with a vault that her new device is to open with her password."""

    reward = "alice's new device is the server's account's, and the server read"

    async def run(self) -> None:
        async with self.stage() as stage:
            (alice,) = await stage.people("alice")
            puppet = await self.make(stage, alice)
            await put_in_place(stage, puppet)
            try:
                tablet = await stage.tablet("alice")
                diary = await tablet.create_conversation("diary")
            except errors.TacitError as error:
                self.refused(error)
            else:
                await self.write(tablet, diary.id)
            self.read = await plaintexts(stage, seeds=[puppet.seed])

    async def make(self, stage: Stage, alice: Client) -> Puppet:
        """With what her unlockers show of themselves, and an AMK of the server's in the place of the wrapped one."""
        true = (await stored_vault(stage, "alice")).inner.unlockers

        def held(_: Account, amk: Secret) -> tuple[Unlocker, ...]:
            own = amk.reveal() + bytes(72)
            return tuple(dataclasses.replace(each, wrapped_amk=own) for each in true)

        return make_puppet(HOST, "alice", held)


class StolenAmk(OwnVault):
    """Who got hold of the AMK before a reset makes an account with it: the unlockers from before it are to open it."""

    async def make(self, stage: Stage, alice: Client) -> Puppet:
        record, old = await account_of(stage, "alice"), (await stored_vault(stage, "alice")).inner
        account = Account(HOST, "alice", record.profile, record.aik)
        bounds = bounds_of(Profile.STANDARD, CHEAP)
        amk = open_with_password(account, old, password_bytes(password_of("alice")), bounds).amk
        await alice.account.reset(password_of("alice"), password=password_of("alice"))
        await serve_unlockers(stage, "alice", old.unlockers)
        return make_puppet(HOST, "alice", lambda *_: old.unlockers, amk)


async def serve_unlockers(stage: Stage, user_id: str, held: tuple[Unlocker, ...]) -> None:
    """Put these unlockers in the place of the account's."""
    await stage.sql("DELETE FROM unlockers WHERE user_id = ?", user_id)
    for each in held:
        row = (user_id, each.id, UnlockerKind(each.kind).value, each.proof_hash, each.parameters)
        await stage.sql("INSERT INTO unlockers VALUES (?, ?, ?, ?, ?)", *row)


# --- resets ----------------------------------------------------------------------------------------------------


class FakeReset(Reads):
    """The server publishes a reset of an admin's account, and lets its new identity add a ghost."""

    reward = "bob followed the server's identity for alice, and the ghost read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, ghost = await stage.people("alice", "bob", "ghost")
            team, _ = await together(alice, "team", bob)
            puppet = make_puppet(HOST, "alice")
            record, signatures = reset_to(await account_of(stage, "alice"), puppet)
            await store_version(stage, record, signatures)
            device = puppet.device
            opener = Opener("alice", device.device_id(), account_hash(record))
            with bent(TRUSTING, everywhere=False):
                added = [place(record, Role.ADMIN), place(await account_of(stage, "ghost"), Role.MEMBER)]
                signer = device.request_key().sign
                bare = forge(await state_of(stage, team.id), added, opener, signer)
                accounts = [await account_of(stage, name) for name in ("bob", "ghost")]
                await lay(stage, granted(bare, granter_of(opener), signer, *accounts))
                await bob.sync()
                await self.write(bob, team.id)
            self.read = await plaintexts(stage, ghost)


def reset_to(before: AccountRecord, puppet: Puppet) -> tuple[AccountRecord, AccountSignatures]:
    """A reset to the puppet's identity, keys and device; the old identity key's signature is by the new one."""
    own = certificate_of(puppet.device)
    version = before.version + 1
    record = dataclasses.replace(
        puppet.record,
        version=version,
        previous_hash=account_hash(before),
        devices=(own,),
        revoked=tuple(RevokedDevice(each.device_id, version) for each in before.devices),
        reset_by=ResetNote(ResetBy.OLD_AIK_AND_DEVICE, own.device_id),
    )
    return record, sign_record(record, puppet.aik.sign, puppet.device.request_key().sign, puppet.aik.sign)


class CarriesRole(Reads):
    """Who took over an admin's account by a true reset adds a ghost as if the role were still there."""

    reward = "the reset account is still an admin, and its ghost read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, ghost = await stage.people("alice", "bob", "ghost")
            team, _ = await together(alice, "team", bob)
            await alice.account.reset("the thief's", password=password_of("alice"))
            accounts = {name: await account_of(stage, name) for name in ("alice", "bob", "ghost")}
            opener, signer = await own_opener(stage, alice), (await me(alice)).request_key.sign
            added = [place(accounts["alice"], Role.ADMIN), place(accounts["ghost"], Role.MEMBER)]
            bare = forge(await state_of(stage, team.id), added, opener, signer)
            await lay(stage, granted(bare, granter_of(opener), signer, accounts["bob"], accounts["ghost"]))
            await bob.sync()
            await self.write(bob, team.id)
            self.read = await plaintexts(stage, ghost)


class RoleByAnother(Reads):
    """A plain member brings an admin whose account was reset back in, as an admin under the new identity."""

    reward = "the reset account is an admin again, and who took it over read"

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, bob, mallory = await stage.people("alice", "bob", "mallory")
            team, _, _ = await together(alice, "team", bob, mallory)
            await alice.account.reset("the thief's", password=password_of("alice"))
            accounts = {name: await account_of(stage, name) for name in ("alice", "bob", "mallory")}
            opener, signer = await own_opener(stage, mallory), (await me(mallory)).request_key.sign
            bare = forge(await state_of(stage, team.id), [place(accounts["alice"], Role.ADMIN)], opener, signer)
            await lay(stage, granted(bare, granter_of(opener), signer, *accounts.values()))
            await bob.sync()
            await self.write(bob, team.id)
            self.read = await plaintexts(stage, alice)
