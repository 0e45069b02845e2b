"""A new device of an account: opened with password or recovery key, certified by the account's next version."""

from __future__ import annotations

import asyncio
from typing import final

from tacit import errors
from tacit.client import accountchange
from tacit.client.accountchange import CERTIFY, AccountChange
from tacit.client.accounts import Directory
from tacit.client.accountview import AccountView, Confirm, ask, check_name, view_of
from tacit.client.books import Books
from tacit.client.enrolment import check_profile
from tacit.client.publishing import publish
from tacit.client.store import Store
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.client.unlocking import Key, prove, read_vault
from tacit.crypto import rsa
from tacit.crypto.secret import Randomness, Secret
from tacit.identity import changes as identity
from tacit.identity.account import new_device
from tacit.identity.changes import Unlocked
from tacit.identity.unlockers import Cost, bounds_of
from tacit.identity.vault import device_name_entry
from tacit.signed.profiles import Profile
from tacit.signed.vault import Unlocker

NOTHING_YET = Secret(bytes(32))
"""Stands for the outer key in a device's secrets until the vault was opened."""


@final
class Arrival:
    """Signs a new device in, in an empty store."""

    def __init__(
        self,
        store: Store,
        api_client: EncryptionAPIClient,
        clock: Clock,
        random: Randomness,
        cost: Cost | None,
        profile: Profile,
    ) -> None:
        self._store = store
        self._api = api_client
        self._directory = Directory(store, api_client, clock)
        self._clock = clock
        self._random = random
        self._cost = cost or Cost()
        self._profile = profile
        self._bounds = bounds_of(profile, cost)

    async def sign_in(
        self, user_id: str, key: Key, name: str, confirm: Confirm, new_password: Secret | None = None
    ) -> None:
        """Certify this device by the account's next version, with another password if one is given.

        The person confirms version, devices and the vault's age before the identity key signs. Raises `SignInRefused`
        for a wrong password or words, `InvalidVault`, `ProfileMismatch`, `ServerMisbehaved`, `NotConfirmed`,
        `StoreLocked` where the store holds an account already, and `VersionConflict` where another device was faster:
        then it is done again.
        """
        name = check_name(name)
        await self._store.run(check_empty)
        if await self._arrived(user_id):
            return
        device = await asyncio.to_thread(new_device, self._profile, user_id, NOTHING_YET, self._random, rsa.generate)
        proven = await prove(self._api, user_id, device, key, self._bounds)
        answer = await self._api.get_encryption_keys_private()
        await self._directory.refresh([user_id])
        now = self._clock()

        def read(books: Books) -> tuple[Unlocked, AccountView]:
            versions = books.accounts.versions(user_id)
            check_profile(self._profile, versions[-1].value.profile)
            at = read_vault(answer, versions, proven)
            records, header = [each.value for each in versions], at.vault.outer.header
            return at, view_of(records, at.entries, header, device.device_id(), now, is_readable=at.is_readable)

        at, view = await self._store.run(read)
        await ask(view, 0, confirm)
        held = await asyncio.to_thread(self._unlockers, at, new_password)

        def make(books: Books) -> AccountChange:
            accountchange.drop(books)  # of an attempt that was refused
            entry = device_name_entry(device.device_id(), name)
            version = identity.certify(at, device, [entry], self._clock(), held=held)
            return accountchange.keep(books, CERTIFY, version, device)

        await publish(self._store, self._api, await self._store.run(make), self._clock)

    def _unlockers(self, at: Unlocked, new_password: Secret | None) -> tuple[Unlocker, ...] | None:
        return None if new_password is None else identity.with_password(at, new_password, self._cost, self._random)

    async def _arrived(self, user_id: str) -> bool:
        """Whether an earlier attempt reached the server although its answer was lost."""
        change = await self._store.run(accountchange.find)
        if change is None:
            return False
        if change.record.user_id != user_id:
            raise errors.StoreLocked("another account is being opened in it")
        check_profile(self._profile, change.record.profile)
        try:
            await self._api.post_auth_session(user_id, change.device.request_key())
        except errors.SignInRefused:
            return False
        await self._store.run(lambda books: accountchange.finish(books, self._api.server_name, change))
        return True


def check_empty(books: Books) -> None:
    """Raises `StoreLocked` where a store holds an account, or one is being registered in it."""
    if books.find_me() is not None or books.meta("enrolment") is not None:
        raise errors.StoreLocked("it holds an account already: take another one for a new device")
