"""Weaker ways: an older protocol or profile, a key that is none, a shorter tag, bytes of one thing as another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import nacl.bindings

from adversary.attack import Attack, Reads
from adversary.bending import StandIn, bent, wraps_original
from adversary.craft import (
    Forged,
    account_of,
    forge,
    granted,
    granter_of,
    key_to_wrap_to,
    lay,
    me,
    own_opener,
    send_as,
    state_of,
)
from adversary.loot import plaintexts
from adversary.puppets import FalseKey, make_puppet
from adversary.stage import Stage, password_of, texts, together
from adversary.stand_ins import CLEAR_KEY
from client.world import no_wait
from rsa_pool import pooled_rsa
from tacit import errors
from tacit.client import Client
from tacit.client.enrolment import publication
from tacit.client.transport import EncryptionAPIClient
from tacit.conversation.keys import ConversationKey
from tacit.crypto import aead, rsa, sealed
from tacit.crypto.secret import Secret
from tacit.identity.vault import PrivateKey, values
from tacit.signed import labels, verify
from tacit.signed.grant import SignedGrant
from tacit.signed.profiles import ALGORITHMS, KeyAlgorithm, Profile, signed_by
from tacit.signed.record import Protocol
from tacit.signed.vault import EntryKind
from tacit.wire.codec import decode
from tacit.wire.text import from_base64

HOST = "127.0.0.1"


class Downgrade(Reads):
    """An admin and the server open an epoch that is weaker than the one before, for somebody who can read that."""

    reward = "alice wrote in an epoch in the clear, and the server read"

    async def run(self) -> None:
        async with self.stage() as stage:
            mallory, alice = await stage.people("mallory", "alice")
            team, _ = await together(mallory, "team", alice)
            await lay(stage, await self.forged(stage, mallory, team.id))
            await alice.sync()
            await self.write(alice, team.id)
            self.read = await self.open(stage, alice)

    async def forged(self, stage: Stage, mallory: Client, conversation_id: str) -> Forged:
        """A record of the protocol plaintext, with a key that everybody knows."""
        opener, signer = await own_opener(stage, mallory), (await me(mallory)).request_key.sign
        before, key = await state_of(stage, conversation_id), ConversationKey(Secret(CLEAR_KEY))
        bare = forge(before, [], opener, signer, key, protocol=Protocol.PLAINTEXT)
        return granted(bare, granter_of(opener), signer, await account_of(stage, "alice"))

    async def open(self, stage: Stage, alice: Client) -> set[str]:
        """What the server reads without any key."""
        return await plaintexts(stage, keys=[CLEAR_KEY])


class LowerProfile(Downgrade):
    """The same with the profile compat, for somebody who can break RSA and not X-Wing."""

    reward = "the epoch's key was wrapped by RSA, and who can break that read"

    async def forged(self, stage: Stage, mallory: Client, conversation_id: str) -> Forged:
        opener, signer = await own_opener(stage, mallory), (await me(mallory)).request_key.sign
        bare = forge(await state_of(stage, conversation_id), [], opener, signer, profile=Profile.COMPAT)
        account = await account_of(stage, "alice")
        return granted(bare, granter_of(opener), signer, account, algorithm=KeyAlgorithm.RSA)

    async def open(self, stage: Stage, alice: Client) -> set[str]:
        """What is read with her RSA key alone, as if it had been broken."""
        public = key_to_wrap_to(await account_of(stage, "alice"), KeyAlgorithm.RSA)
        entries = await alice.device._run(lambda books: values(books.entries(), EntryKind.ENCRYPTION_KEY))
        private = next(
            each.private for each in (decode(PrivateKey, raw) for raw in entries) if each.public_key == public
        )
        broken = rsa.RsaKey.from_private(Secret(private))
        found = []
        for (text,) in await stage.sql("SELECT encrypted_key FROM conversation_key_members"):
            with suppress(errors.DecryptionError):
                found.append(rsa.unwrap(broken, decode(SignedGrant, from_base64(text, 1 << 20)).grant.ciphertext))
        return await plaintexts(stage, keys=found)


# --- shorter tags ----------------------------------------------------------------------------------------------


class ShortTag(Attack):
    """A member sends a message whose tag is cut to 96 bits: a shorter one is easier to forge."""

    TEXT = "a short tag"

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.taken = ""

    async def run(self) -> None:
        async with self.stage() as stage:
            alice, mallory = await stage.people("alice", "mallory")
            team, _ = await together(alice, "team", mallory)
            true = aead.aes_gcm_seal
            cut = {"tacit.conversation.sealing:aes_gcm_seal": lambda *given: true(*given)[:-4]}
            with bent(cut, everywhere=False):
                await send_as(mallory, team.id, self.TEXT)
            await alice.sync()
            seen = await texts(alice, team.id)
            self.code = seen[-1][1]
            self.taken = "alice reads a message with 96 bits of its tag" if ("mallory", self.TEXT) in seen else ""

    def succeeded(self) -> str:
        return self.taken


class ShortTagOfVault(ShortTag):
    """One device of an account writes a vault whose end is cut off; another one reads it."""

    async def run(self) -> None:
        async with self.stage() as stage:
            (alice,) = await stage.people("alice")
            tablet = await stage.tablet("alice")
            await alice.sync()
            true = sealed.seal
            await tablet.account.name_device((await me(tablet)).device_id, "another name")
            cut = {"tacit.crypto.sealed:seal": lambda *given: true(*given)[:-4]}
            with bent(cut, everywhere=False):
                await tablet.device._write_vault()
            await alice.device.check_vault()
            told = [each.kind for each in await alice.account.notices() if each.kind == "vault_unreadable"]
            self.code = told[-1] if told else ""
            names = [each.name for each in (await alice.account.view()).devices]
            self.taken = "alice took a vault with a cut end" if "another name" in names else ""


# --- keys that are none ----------------------------------------------------------------------------------------

IDENTITY: Final = (1).to_bytes(32, "little")
LOW_ORDER_U: Final = bytes(32)
NO_POINT: Final = b"\x04" + bytes(64)


def signs_for_the_identity(_: bytes) -> bytes:
    """A signature that holds under the identity key for whatever is signed: R = sB."""
    scalar = nacl.bindings.crypto_core_ed25519_scalar_reduce(os.urandom(64))
    return nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(scalar) + scalar


def signs_nothing(_: bytes) -> bytes:
    """No signature."""
    return bytes(64)


def false_key(algorithm: KeyAlgorithm) -> FalseKey:
    """The identity, a point of low order, none of the curve, or e = 1, which leaves what is wrapped as it is."""
    match algorithm:
        case KeyAlgorithm.ED25519:
            return FalseKey(IDENTITY, signs_for_the_identity)
        case KeyAlgorithm.X_WING:
            true = make_puppet(HOST, "anybody").record.encryption_keys[0].public_key
            return FalseKey(true[:1184] + LOW_ORDER_U, signs_nothing)
        case KeyAlgorithm.RSA:
            return FalseKey(
                pooled_rsa().public.replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\x00\x00\x01"), signs_nothing
            )
        case _:
            return FalseKey(NO_POINT, signs_nothing)


class FalseKeys(Attack):
    """Accounts with the identity or a point of low order in each key field in turn: anybody signs or opens for them."""

    profile = Profile.STANDARD

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.taken: list[str] = []

    async def run(self) -> None:
        has = ALGORITHMS[self.profile]
        fields = {
            "aik": has.signature,
            "request_key": has.signature,
            "mls_key": has.mls,
            "kem_key": has.kem,
            "encryption_keys": has.encryption[0],
        }
        async with self.stage() as stage:
            await self.publish(stage, "nobody", {})  # an account of this profile with true keys is taken
            self.code = ""
            for name, algorithm in fields.items():
                if algorithm is not None and await self.publish(stage, name, {name: false_key(algorithm)}):
                    self.taken.append(name)
            tried = sum(each is not None for each in fields.values())
            self.code = f"none of {tried}: {self.code}"

    async def publish(self, stage: Stage, name: str, spoil: Mapping[str, FalseKey]) -> bool:
        """Whether the server takes an account with these keys."""
        world = stage.world
        api = EncryptionAPIClient(world.url, server_name=HOST, clock=world.clock, random=os.urandom, sleep=no_wait)
        puppet = make_puppet(HOST, name, profile=self.profile, spoil=spoil)
        key: Any = spoil.get("request_key") or puppet.device.request_key()
        try:
            await api.post_auth_register(name, key)
            await api.post_encryption_keys_generate(publication(puppet.record, puppet.signatures, puppet.vault))
        except errors.TacitError as error:
            if not spoil:
                raise
            self.refused(error)
            return False
        finally:
            await api.close()
        return True

    def succeeded(self) -> str:
        return f"the server took {', '.join(self.taken)}" if self.taken else ""


class FalseKeysOfFips(FalseKeys):
    """The same in the profile fips."""

    profile = Profile.FIPS


class FalseKeysOfCompat(FalseKeys):
    """The same in the profile compat."""

    profile = Profile.COMPAT


# --- one thing for another -------------------------------------------------------------------------------------

SIGNED_LABELS: Final = (
    labels.ACCOUNT_RECORD,
    labels.ACCOUNT_RESET,
    labels.DEVICE_POSSESSION,
    labels.OUTER_HEADER,
    labels.ENTRY,
    labels.CONVERSATION_RECORD,
    labels.LEAVE,
    labels.GRANT,
    labels.MESSAGE,
    labels.SOCKET_CHALLENGE,
)


class OtherLabel(Attack):
    """All that devices and identity keys ever signed, requests with it, is offered as everything else that is."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.signed: list[tuple[bytes, bytes, bytes]] = []
        self.accepted = 0

    async def run(self) -> None:
        signed = self.signed

        @wraps_original
        def listening(original: Any) -> Any:
            def sign(key: Any, message: bytes) -> bytes:
                signature: bytes = original(key, message)
                signed.append((key.public, message, signature))
                return signature

            return sign

        async with self.stage() as stage:
            with bent({"tacit.crypto.sign:Ed25519Key.sign": listening}):
                alice, bob = await stage.people("alice", "bob")
                _, view = await together(alice, "team", bob)
                await view.send("hello")
                await stage.tablet("alice")
                await view.leave()
                await bob.account.reset("another", password=password_of("bob"))
                await alice.device._write_vault()
        found: set[str] = set()
        for public, message, signature in signed:
            label, body = unlabelled(message)
            found.add(label or "a request")
            for other in SIGNED_LABELS:
                if other != label:
                    offered = verify.labelled_bytes(other, body)
                    self.accepted += signed_by(KeyAlgorithm.ED25519, public, offered, signature)
        self.code = f"none of {len(signed)} signatures, of {len(found)} kinds"

    def succeeded(self) -> str:
        return f"{self.accepted} signatures hold for something else" if self.accepted else ""


def unlabelled(message: bytes) -> tuple[str, bytes]:
    """The label and the struct of what was signed; without a label the whole, as a request's is."""
    for label in SIGNED_LABELS:
        prefix = bytes([len(label)]) + label.encode()
        if message.startswith(prefix):
            for size in (1, 2, 4):  # of the struct's length
                body = message[len(prefix) + size :]
                if verify.labelled_bytes(label, body) == message:
                    return label, body
    return "", message
