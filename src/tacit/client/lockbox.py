"""The local store with what opens it: a passphrase, the account's password, or the system's keychain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

from tacit import errors
from tacit.client import accountchange, enrolment
from tacit.client.accountchange import OFFERED_FOR
from tacit.client.books import Books
from tacit.client.keychain import Keychain, system_keychain
from tacit.client.keystore import BOUNDS, FLOOR, SecureKeyStore
from tacit.client.store import Store
from tacit.crypto.secret import Randomness, Secret
from tacit.identity.unlockers import Cost, password_bytes
from tacit.signed.account import account_hash


@final
class Lockbox:
    """One store in `path`; its key lies wrapped in a file beside it (`.key`)."""

    def __init__(
        self, path: Path, passphrase: str | None, keychain: bool | Keychain, random: Randomness, cost: Cost | None
    ) -> None:
        if keychain and passphrase is not None:
            raise errors.InvalidArgument("a passphrase or a keychain, not both")
        self.path = path
        self.store: Store | None = None
        self._offering = False
        self._key: Secret | None = None
        self._passphrase = password_bytes(passphrase) if passphrase is not None else None
        self._keys = SecureKeyStore(
            path.with_name(path.name + ".key"),
            random,
            cost,
            floor=FLOOR if cost is None else BOUNDS,  # a cost is given by tests alone
            keychain=system_keychain() if keychain is True else keychain or None,
        )

    async def open(self, password: Secret | None, *, create: bool) -> Store:
        """The open store, made where there is none if `create`.

        Raises `StoreLocked`, `NotSignedIn` where there is none, `InvalidArgument` where nothing is given to open it.
        """
        if self.store is not None:
            return self.store
        needed = self._keys.needs_passphrase()
        secret = (self._passphrase or password) if needed else None
        if needed and secret is None:
            raise errors.InvalidArgument("a password or a passphrase is needed to open the store")
        if create and not self._keys.exists() and not self.path.exists():
            key = await asyncio.to_thread(self._keys.create, secret)
        elif not self.path.exists() and not self._keys.exists():
            raise errors.NotSignedIn(f"there is no store {self.path.name}: register first")
        else:
            key = await asyncio.to_thread(self._keys.open, secret)
        self.store = await Store.open(self.path, key)
        self._key = key
        return self.store

    @asynccontextmanager
    async def following(self, password: Secret) -> AsyncIterator[None]:
        """Open the store by the account's new password from now on, if it counts at the end, and the old one did.

        Where its outcome is not known, or the process ends before it is, either of the two opens the store, until
        `settle` learns it. Raises `InvalidArgument` while that of an earlier one is not known: its offer stays.
        """
        store = self.store
        if self._passphrase is not None or not self._keys.needs_passphrase() or self._key is None or store is None:
            yield
            return
        if await store.run(lambda books: books.meta(OFFERED_FOR)) is not None:
            raise errors.InvalidArgument("an earlier change of the password is under way: sync first")
        await store.run(lambda books: books.set_meta(OFFERED_FOR, b""))
        await asyncio.to_thread(self._keys.offer, self._key, password)
        self._offering = True
        try:
            yield
        finally:
            self._offering = False
            await self.settle()

    async def settle(self) -> None:
        """Take or drop the password that was offered for a change of the account whose outcome is known by now."""
        if self.store is None or self._offering:
            return
        counts = await self.store.run(offered_for_what_counts)
        if counts is None:
            return
        if counts:
            self._keys.take_offer()
        else:
            self._keys.drop_offer()
        await self.store.run(lambda books: books.set_meta(OFFERED_FOR, None))

    async def remove_empty(self) -> None:
        """Take away a store in which no account came to be, so that another name and password can be chosen."""
        if self.store is not None and await self.store.run(enrolment.is_empty):
            await self.remove()

    async def remove(self) -> None:
        """Take away the store and its key."""
        await self.close()
        self.path.unlink(missing_ok=True)
        await asyncio.to_thread(self._keys.remove)

    async def close(self) -> None:
        """Close the store."""
        if self.store is not None:
            await self.store.close()
            self.store = None


def offered_for_what_counts(books: Books) -> bool | None:
    """Whether the change counts with which a password was offered; None without one, and while that is not known.

    One that was never kept does not count.
    """
    offered_for, change = books.meta(OFFERED_FOR), accountchange.find(books)
    if offered_for is None or (change is not None and account_hash(change.record) == offered_for):
        return None
    return books.accounts.named(books.me.user_id, offered_for) is not None
