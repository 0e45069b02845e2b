"""A client, the few-lines way."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, final

import httpx2

from tacit import errors
from tacit.client.account import Account, key_of
from tacit.client.accountview import Confirm
from tacit.client.conversation import Conversation
from tacit.client.device import Device
from tacit.client.keychain import Keychain
from tacit.client.timing import Clock, Sleep, wall_clock
from tacit.client.view import Alarm
from tacit.crypto.secret import Randomness
from tacit.identity.unlockers import Cost


@final
class Client:
    """One account on this device, for as long as an `async with` block runs.

    `store` is the path of its encrypted local store, whose key lies wrapped beside it (`.key`): under `passphrase`,
    else under the account's password; with `keychain=True` under a secret in the system's keychain, and no password is
    needed to open it (`NoKeychain` where there is none that can be used). `pins` are the keys that the server may have
    over TLS, as `sha256/…`: the one that it has, and one to go over to; without any, the system's authorities vouch for
    it. `server_name` is the server's name where it is not the URL's host. `profile` is the account's, chosen at
    registration for life: `standard`, `fips` (NIST's algorithms, but for the local store) or `compat` (what a plain
    WebCrypto client has). The rest is for tests: clock (Unix milliseconds), randomness, waiting, HTTP transport and the
    cost of passwords.
    """

    def __init__(
        self,
        url: str,
        store: str | Path,
        *,
        pins: Collection[str] = (),
        server_name: str | None = None,
        passphrase: str | None = None,
        keychain: bool | Keychain = False,
        profile: str = "standard",
        clock: Clock = wall_clock,
        random: Randomness = os.urandom,
        sleep: Sleep = asyncio.sleep,
        transport: httpx2.AsyncBaseTransport | None = None,
        cost: Cost | None = None,
    ) -> None:
        self.device = Device(
            url,
            store,
            pins=pins,
            server_name=server_name,
            passphrase=passphrase,
            keychain=keychain,
            profile=profile,
            clock=clock,
            random=random,
            sleep=sleep,
            transport=transport,
            cost=cost,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.device.close()

    async def register(self, user_id: str, password: str) -> tuple[str, ...]:
        """Make an account and its first device; the 24 recovery words, shown this once. Raises `AccountExists`."""
        return await self.device.register(user_id, password)

    async def sign_in(self, user_id: str, password: str | None = None) -> None:
        """Open the store and a session; raises `StoreLocked` for a wrong password, `SignInRefused`."""
        await self.device.sign_in(user_id, password)

    async def sign_in_new_device(
        self,
        user_id: str,
        *,
        password: str | None = None,
        words: str | Sequence[str] | None = None,
        name: str,
        confirm: Confirm,
        new_password: str | None = None,
    ) -> None:
        """Sign this device in to an account that there is, with its password or the 24 words of its recovery key.

        The store has to be new. `confirm` is shown the account's version, devices and the age of its vault, and says
        whether that is what the person knows of it. Forgotten passwords: `words` and `new_password`. Raises
        `SignInRefused`, `NotConfirmed`, `InvalidVault`, `ServerMisbehaved`, `VersionConflict` (do it again).
        """
        await self.device.sign_in_new_device(user_id, key_of(password, words), name, confirm, new_password)

    async def wipe(self) -> None:
        """Sign out and take everything from this device. Another device should revoke it besides."""
        await self.device.wipe()

    @property
    def account(self) -> Account:
        """Devices, password, recovery key, and what is known of other accounts."""
        return Account(self.device)

    async def sign_out(self) -> None:
        """End the session; the keys stay in the store."""
        await self.device.sign_out()

    async def fetch_recent(self, count: int = 50) -> None:
        """Fetch the newest messages of every conversation first, up to `count` of each; `sync` fetches the rest."""
        await self.device.fetch_recent(count)

    async def sync(self) -> None:
        """Fetch what is new, bring interrupted changes to an end, send what waits."""
        await self.device.sync()

    async def create_conversation(
        self, name: str, members: Sequence[str] = (), profile: str | None = None
    ) -> Conversation:
        """Found a conversation, oneself as its admin; raises `NoSuchAccount`, `CannotFollow`, `InvalidArgument`.

        It has one's own profile, or `compat`, which accounts of the profiles `compat` and `standard` can follow.
        """
        conversation_id = await self.device.create(name, members, profile)
        return Conversation(self.device, await self.device.snapshot(conversation_id))

    async def conversations(self) -> list[Conversation]:
        """All conversations on this device, by name."""
        return [Conversation(self.device, each) for each in await self.device.snapshots()]

    async def conversation(self, name: str) -> Conversation:
        """A conversation by its name or its id.

        Raises `ConversationNotFound`, and `InvalidArgument` where several have the name: then take the id.
        """
        every = await self.device.snapshots()
        found = [each for each in every if each.id == name] or [each for each in every if each.name == name]
        if not found:
            raise errors.ConversationNotFound()
        if len(found) > 1:
            ids = ", ".join(each.id for each in found)
            raise errors.InvalidArgument(f"several conversations have this name: {ids}")
        return Conversation(self.device, found[0])

    async def alarms(self) -> list[Alarm]:
        """What the server or a member contradicted so far; the evidence is kept."""
        return await self.device.alarms()
