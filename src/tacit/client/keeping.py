"""Changing one's own account: its devices, its unlockers, all of it anew. Each change outlives a crash."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Collection
from functools import partial
from typing import Final, final

from tacit import errors
from tacit.api.accounts import PrivateKeys
from tacit.client import accountchange, lost, rotating
from tacit.client.accountchange import RESET, REVOKE, UNLOCKERS, AccountChange, Rotations
from tacit.client.accounts import Directory
from tacit.client.accountview import AccountView, Confirm, ask, check_name, view_of
from tacit.client.answers import is_about_the_session
from tacit.client.books import OWN_RESET, UNREADABLE_BY, Books
from tacit.client.changes import Changes
from tacit.client.openings import ROTATE, Intent
from tacit.client.ownwords import DEVICE_NAME, own_words
from tacit.client.publishing import publish
from tacit.client.store import Store
from tacit.client.sync import Syncer
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.client.unlocking import Key, Proven, prove, read_vault
from tacit.client.vaults import VaultKeeper, held_header
from tacit.crypto import rsa
from tacit.crypto.secret import Randomness, Secret
from tacit.identity import changes as identity
from tacit.identity.account import AccountKeys, make_keys
from tacit.identity.changes import Reset, Unlocked
from tacit.identity.unlockers import Cost, bounds_of
from tacit.identity.vault import KEYS, NewEntry, device_name_entry
from tacit.signed.account import AccountRecord
from tacit.signed.vault import SignedEntry, Unlocker

Progress = Callable[[int, int], None]
"""Told how many of how many conversations are done."""
AT_ONCE: Final = 4
"""Conversations in which an epoch is opened at the same time after a revocation."""


@final
class AccountKeeper:
    """Makes the next versions of the account that is signed in here.

    What the identity key signs needs an unlocker (`Key`), and a person who confirms the account as it is shown: by
    `confirm`, or by having known this very version before.
    """

    def __init__(
        self,
        store: Store,
        api_client: EncryptionAPIClient,
        directory: Directory,
        syncer: Syncer,
        changes: Changes,
        vault: VaultKeeper,
        clock: Clock,
        random: Randomness,
        cost: Cost | None,
    ) -> None:
        self._store = store
        self._api = api_client
        self._directory = directory
        self._syncer = syncer
        self._changes = changes
        self._vault = vault
        self._clock = clock
        self._random = random
        self._given, self._cost = cost, cost or Cost()

    # --- what there is -----------------------------------------------------------------

    async def view(self) -> AccountView:
        """The account as this device knows it."""
        now = self._clock()
        return await self._store.run(lambda books: own_view(books, now))

    async def rotations(self) -> Rotations:
        """The conversations that still wait for an epoch after a revocation."""
        return await self._store.run(accountchange.rotations)

    # --- changes -------------------------------------------------------------------------

    async def name_device(self, device_id: str, name: str) -> None:
        """Give a device a name, which only the account's devices see; it goes out with the next vault."""
        entry = device_name_entry(device_id, check_name(name))

        def keep(books: Books) -> None:
            if device_id not in books.certified():
                raise errors.InvalidArgument("no such device is signed in to this account")
            books.set_meta(DEVICE_NAME + device_id, entry.value)

        await self._store.run(keep)

    async def change_password(self, key: Key, password: Secret, confirm: Confirm | None) -> None:
        """Another password in the place of the present one; raises `SignInRefused` for a wrong `key`."""
        at = await self._unlock(key, confirm)
        held = await asyncio.to_thread(identity.with_password, at, password, self._cost, self._random)
        await self._change_unlockers(at, held)

    async def new_recovery_key(self, key: Key, confirm: Confirm | None) -> tuple[str, ...]:
        """Another recovery key in the place of the present one: its 24 words.

        They are kept until the application says that the person has them: it may end before it has shown them.
        """
        at = await self._unlock(key, confirm)
        held, words = identity.with_recovery_key(at, self._random)
        await self._change_unlockers(at, held, words)
        return words

    async def revoke(
        self, gone: Collection[str], key: Key, confirm: Confirm | None, progress: Progress | None = None
    ) -> None:
        """Revoke devices: replace all keys that they had, and open an epoch in every conversation.

        Everything is fetched and judged first. Once the account version counts, a crash or a lost connection loses
        nothing: `resume` goes on. Raises `SignInRefused`, `NotConfirmed`, `InvalidArgument` for a device that is not
        there or is this one.
        """
        await self._syncer.pull()
        at = await self._unlock(key, confirm)
        keys = await self._new_keys()
        now, random = self._clock(), self._random

        def make(books: Books) -> AccountChange:
            device = books.me.secrets
            version = identity.revoke(at_of(books, at), device, set(gone), keys, now, random)
            return accountchange.keep(books, REVOKE, version, device)

        await self._publish(await self._store.run(make))
        await self.rotate_all(progress)

    async def reset(
        self, key: Key | None, password: Secret, keep: Collection[str], confirm: Confirm | None
    ) -> tuple[tuple[str, ...], int]:
        """Put another identity key in the place of the present one; its 24 words, and until when it waits.

        That is until a time in Unix milliseconds, or 0 where it counts at once, which it does with an unlocker.
        It keeps this device and those in `keep`. Contacts are warned, roles in conversations end, an admin of each has
        to add the account again. The words are kept as a new recovery key's are. Raises `ResetPending` while another
        device's reset waits.
        """
        await self._finish_earlier()
        await self._syncer.pull()
        at = await self._unlock(key, confirm) if key is not None else None
        keys, now = await self._new_keys(), self._clock()
        old_aik = at.opened.aik if at is not None else None

        def make(before: AccountRecord, known: list[NewEntry], books: Books) -> Reset:
            device, cost, random = books.me.secrets, self._cost, self._random
            return identity.reset(before, device, keep, known, password, keys, cost, now, random, old_aik)

        def prepare(books: Books) -> tuple[Reset, AccountChange]:
            before = at.record if at is not None else books.own_account().value
            entries = at_of(books, at).entries if at is not None else books.entries()
            known = kept_entries(entries, {books.me.device_id, *keep}, own_words(books))
            made = make(before, known, books)
            return made, accountchange.keep(books, RESET, made.version, books.me.secrets, made.words)

        made, change = await self._store.run(prepare)
        return made.words, await self._publish(change)

    async def cancel_reset(self, key: Key, confirm: Confirm | None) -> None:
        """Cancel a reset that waits, by a version of the identity key that there is; it changes nothing else."""
        at = await self._unlock(key, confirm)
        await self._change_unlockers(at, at.vault.inner.unlockers)

    # --- bringing it to an end -------------------------------------------------------------

    async def resume(self) -> None:
        """Bring to an end what a crash, a lost connection or a wait interrupted.

        A change that was overtaken by another device's is forgotten, and told as a notice.
        """
        change = await self._store.run(accountchange.find)
        if change is not None and change.waits_until <= self._clock():
            try:
                await self._publish(change)
            except (errors.PeerError, errors.UsageError) as refusal:
                if is_about_the_session(refusal):
                    raise
        await self.rotate_all(None)

    async def _finish_earlier(self) -> None:
        """No second change before the outcome of the first is known, unless that one only waits."""
        change = await self._store.run(accountchange.find)
        if change is not None and not change.waits_until:
            await self._publish(change)

    async def rotate_all(self, progress: Progress | None) -> None:
        """Open an epoch in the conversations that wait for one after a revocation; where it is refused it waits on.

        Not all that were refused before are tried at once.
        """
        before = await self._store.run(accountchange.rotations)
        total, done = before.done + len(before.waiting), before.done
        limit = asyncio.Semaphore(AT_ONCE)  # each by itself would wait for the disk each time

        async def rotate(conversation_id: str) -> None:
            nonlocal done
            async with limit:
                if not await self._rotated(conversation_id):
                    await self._store.run(partial(rotating.tried, conversation_id=conversation_id))
                    return
                await self._store.run(partial(accountchange.rotated, conversation_id=conversation_id))
                done += 1
                if progress is not None:
                    progress(done, total)

        now = await self._store.run(rotating.due)
        for outcome in await asyncio.gather(*map(rotate, now), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome  # the others were finished; what is left goes on at the next `resume`

    async def _rotated(self, conversation_id: str) -> bool:
        """Open an epoch after a revocation; whether there is one then, or never can be."""
        try:
            if await self._store.run(partial(rotating.may_try, conversation_id=conversation_id)):
                await self._changes.change(conversation_id, Intent(ROTATE))
                return True
        except (errors.PeerError, errors.UsageError) as refusal:
            if is_about_the_session(refusal):
                raise
        return await self._store.run(partial(rotating.is_settled, conversation_id=conversation_id))

    async def _change_unlockers(self, at: Unlocked, held: tuple[Unlocker, ...], words: tuple[str, ...] = ()) -> None:
        now = self._clock()

        def make(books: Books) -> AccountChange:
            version = identity.change_unlockers(at_of(books, at), books.me.secrets, held, now)
            return accountchange.keep(books, UNLOCKERS, version, books.me.secrets, words)

        await self._publish(await self._store.run(make))

    async def _publish(self, change: AccountChange) -> int:
        """Send a change that is kept; until when it waits, or 0 once it counts."""
        return await publish(self._store, self._api, change, self._clock)

    # --- unlocking ---------------------------------------------------------------------------

    async def _unlock(self, key: Key, confirm: Confirm | None) -> Unlocked:
        """The account as the unlocker opens it, in its newest version, once the person confirmed that."""
        await self._finish_earlier()
        me = await self._store.run(lambda books: books.me)
        known = await self._store.run(lambda books: books.own_account().value.version)
        session = self._api.aside()
        bounds = bounds_of(me.secrets.profile, self._given)
        proven = await prove(session, me.user_id, me.secrets, key, bounds)
        asked = await self._store.run(held_header)
        answer = await session.get_encryption_keys_private()
        await self._directory.refresh([me.user_id])
        at = await self._store.run(lambda books: opened(books, answer, proven))
        await self._vault.take(answer, asked)  # it follows what this device holds, or nothing is signed on it
        await ask(await self.view(), known, confirm)
        return at

    async def _new_keys(self) -> AccountKeys:
        profile = await self._store.run(lambda books: books.me.secrets.profile)
        return await asyncio.to_thread(make_keys, profile, self._random, rsa.generate)


def opened(books: Books, answer: PrivateKeys, proven: Proven) -> Unlocked:
    """The account as the unlocker opens it; on a server that was restored perhaps by an earlier inner part."""
    me = books.me
    own = Secret(me.secrets.outer_key) if books.meta(lost.RESTORED) is not None else None
    return read_vault(answer, books.accounts.versions(me.user_id), proven, own)


def at_of(books: Books, at: Unlocked) -> Unlocked:
    """The same with all entries that this device holds: it took those of the part that was unlocked, and has more."""
    return dataclasses.replace(at, entries=books.entries())


def kept_entries(entries: Collection[SignedEntry], kept: Collection[str], own: Collection[NewEntry]) -> list[NewEntry]:
    """What a reset carries over: keys that open what is old, and what the devices that stay know of others.

    What stands there on another device's word is not carried over in this one's name: `own` is what it knows itself.
    """
    stays = [
        NewEntry(each.entry.kind, each.entry.key, each.entry.value)
        for each in entries
        if each.entry.value and (each.entry.kind in KEYS or each.entry.device_id in kept)
    ]
    places = {(each.kind, each.key) for each in stays}
    return [*stays, *(each for each in own if (each.kind, each.key) not in places)]


def own_view(books: Books, now: int) -> AccountView:
    """The account as this device knows it."""
    me = books.me
    header = held_header(books)
    assert header is not None
    records = [each.value for each in books.accounts.versions(me.user_id)]
    readable, reset_by = not books.text(UNREADABLE_BY), books.text(OWN_RESET)
    return view_of(records, books.entries(), header, me.device_id, now, is_readable=readable, reset_by=reset_by)
