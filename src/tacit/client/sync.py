"""Catching up: two kinds of cursors, pages between them, and pushes that may be lost without harm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final, final

from tacit import errors
from tacit.api.messages import Item, LostItem, Page, RecordItem
from tacit.api.sync import AccountPage, Sync
from tacit.client import granting, lost, openings
from tacit.client.accounts import Directory
from tacit.client.books import Books
from tacit.client.conversations import (
    apply_items,
    check_own,
    pending_accounts,
    reconsider,
    unknown_leavers,
    wanted_accounts,
)
from tacit.client.events import ACCOUNT_CURSOR, ACCOUNT_DUE, OWN_DUE, checked, keys_that_came, take_events
from tacit.client.lost import INCARNATION
from tacit.client.openings import Opening
from tacit.client.reconciling import Reconciler
from tacit.client.store import Store
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.crypto.secret import Randomness
from tacit.wire import limits

RESTORES: Final = 10
"""So many restores without a message between them may stand in one page."""


class Notifier:
    """Wakes everybody who waits for something new; `failure` ends their waiting."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.failure: BaseException | None = None

    def event(self) -> asyncio.Event:
        """Take it before looking, and wait for it after: then nothing that comes between is missed."""
        return self._event

    def notify(self, failure: BaseException | None = None) -> None:
        """Something is new, or nothing will be any more."""
        self.failure = failure
        self._event.set()
        self._event = asyncio.Event()


@final
class Syncer:
    """Brings the local store up to what the server has; one page at a time, each in one transaction."""

    def __init__(
        self, store: Store, api_client: EncryptionAPIClient, directory: Directory, clock: Clock, random: Randomness
    ) -> None:
        self._store = store
        self._api = api_client
        self._directory = directory
        self._clock = clock
        self._random = random
        self.granting = granting.Granting(store, api_client, directory, clock, random)
        self._reconciler = Reconciler(store, api_client, clock)
        self._lock = asyncio.Lock()
        self.news = Notifier()
        self.own_account_changed: Callable[[], Awaitable[None]] | None = None
        """Called once a later version of one's own account is known: its vault may hold keys for what comes."""
        self.caught_up: set[str] = set()
        """Conversations that were fetched to their end since this store was opened."""

    async def pull(self) -> None:
        """Fetch everything after both cursors."""
        async with self._lock:
            more = True
            while more:
                await self._pull_all()
                was_restored = await self.is_restored()
                more = await self._reconciler.run()
                if was_restored and self.own_account_changed is not None:
                    await self.own_account_changed()

    async def _pull_all(self) -> None:
        more = True
        while more:
            cursors = await self._store.run(_cursors)
            more = await self._pull_round(cursors.pop(""), cursors)
        await self._reconsider()

    async def is_restored(self) -> bool:
        """Whether the server was restored and does not have yet what this device holds."""
        return await self._store.run(partial(lost.is_restored, incarnation=self._api.incarnation))

    async def meet(self) -> None:
        """Know the server by what it is now: a device that has just come holds nothing that it could lack."""
        incarnation = self._api.incarnation.encode()
        await self._store.run(lambda books: books.set_meta(lost.INCARNATION, incarnation))

    async def _pull_round(self, account_cursor: int, cursors: dict[str, int]) -> bool:
        """One page of the account's stream and of each conversation; whether there is more.

        The server answers for some of the conversations where all would be too much.
        """
        more = False
        while True:
            asked = dict(islice(cursors.items(), limits.CONVERSATIONS))
            try:
                answer = await self._api.post_sync(Sync(account_cursor, asked))
                pages = answer.conversations
                check_answered(asked, pages)
            except errors.NotAMember:  # one of them: each by itself, so that it holds up no other
                answer = await self._api.post_sync(Sync(account_cursor, {}))
                await self._pull_each(asked)
                pages = {}
            if await self._forget_cursors():
                return True
            more |= await self._take_events(answer.account, account_cursor)
            for conversation_id, page in pages.items():
                await self._take_page(conversation_id, page, asked[conversation_id])
                more |= page.more
            account_cursor = answer.account.cursor
            for conversation_id in pages or asked:
                del cursors[conversation_id]
            if not cursors:
                return more

    async def pull_conversation(self, conversation_id: str) -> None:
        """Fetch everything of one conversation after its cursor; everything there is of a server that was restored."""
        async with self._lock:
            try:
                await self._pull_conversation(conversation_id)
            except errors.NotAMember:  # as a server says that lost all of it
                if not await self.is_restored():
                    raise
            restored = await self.is_restored()
        if restored:
            await self.pull()

    async def pull_recent(self, conversation_id: str, head: int, count: int) -> None:
        """Fetch a conversation's records and its newest messages, `count` of them, before everything in between.

        `head` is the place that the server says it has come to. The cursor stays where it is: what lies between is
        fetched later, and whatever then stands elsewhere is evidence.
        """
        async with self._lock:
            again = True
            while again:
                records = await self._records(conversation_id)
                cursor = await self._store.run(lambda books: books.add(conversation_id).cursor)
                after = max(cursor, head - count)
                page = await self._api.get_messages_encrypted(conversation_id, after, count)
                again = await self._forget_cursors()
            check_page(page, after)
            known = {item.seq for item in records}
            items = [*records, *(item for item in page.items if item.seq not in known)]
            await self._apply(conversation_id, items, cursor)

    async def _records(self, conversation_id: str) -> list[Item]:
        """The records after the newest one that counts here, with one's own grants."""
        found: list[Item] = []
        epoch = await self._store.run(lambda books: books.add(conversation_id).epoch)
        while True:
            answer = await self._api.get_encryption_conversation_keys(conversation_id, epoch)
            if not answer.epochs:
                return found
            for each in answer.epochs:
                found.append(
                    RecordItem(
                        each.seq,
                        0,
                        each.epoch,
                        each.key_id,
                        each.protocol,
                        each.record,
                        each.signature,
                        each.encrypted_keys,
                    )
                )
            if answer.epochs[-1].epoch <= epoch:
                raise errors.UnexpectedAnswer("a conversation's epochs do not go forward")
            epoch = answer.epochs[-1].epoch

    async def take_push(self, conversation_id: str, item: Item) -> None:
        """Take an item that was pushed: it counts where it is the next one, else it only says that there is more."""
        async with self._lock:
            cursor = await self._store.run(lambda books: books.add(conversation_id).cursor)
            if item.seq == cursor + 1 and not isinstance(item, LostItem):
                await self._apply(conversation_id, [item], item.seq)
            elif item.seq > cursor:
                await self._pull_conversation(conversation_id)

    async def take_own(self, made: Opening, seq: int) -> None:
        """Fetch the record that this device opened an epoch with; the server said that it has this `seq`.

        It counts where the pages have it, which leave no number out: on the server's word alone its place could be one
        that lets what comes later pass for earlier. Raises `UnexpectedAnswer` where it is not served, and
        `SendingBlocked` where it is served otherwise: then the conversation is stopped.
        """
        async with self._lock:
            await self._pull_conversation(made.conversation_id)
            now = self._clock()
            stopped = await self._store.run(partial(check_own, made=made, seq=seq, now=now))
        if stopped:
            raise errors.SendingBlocked(stopped)

    async def _pull_each(self, conversation_ids: Iterable[str]) -> None:
        for conversation_id in conversation_ids:
            with suppress(errors.NotAMember):
                await self._pull_conversation(conversation_id)

    async def _pull_conversation(self, conversation_id: str) -> None:
        more = True
        while more:
            cursor = await self._store.run(lambda books: books.add(conversation_id).cursor)
            page = await self._api.get_messages_encrypted(conversation_id, cursor)
            if await self._forget_cursors():
                continue
            await self._take_page(conversation_id, page, cursor)
            more = page.more

    async def _take_page(self, conversation_id: str, page: Page, after: int) -> None:
        check_page(page, after)
        if page.items:
            await self._apply(conversation_id, page.items, page.cursor)
        if not page.more:
            self.caught_up.add(conversation_id)

    async def _apply(self, conversation_id: str, items: Sequence[Item], cursor: int) -> None:
        wanted = await self._store.run(lambda books: wanted_accounts(books, conversation_id, items))
        if wanted:
            await self._directory.try_refresh(wanted)
        now, random = self._clock(), self._random
        if await self._store.run(lambda books: apply_items(books, conversation_id, items, cursor, now, random)):
            self.news.notify()

    async def _reconsider(self) -> None:
        """Fetch the account records that leaves name, and judge what was waiting for somebody's."""
        leavers = await self._store.run(unknown_leavers)
        if leavers:
            await self._directory.try_refresh(leavers)
        waiting = await self._store.run(pending_accounts)
        now, random = self._clock(), self._random
        for conversation_id, users in waiting.items():
            if users and not await self._directory.try_refresh(users):
                continue
            again = partial(reconsider, conversation_id=conversation_id, now=now, random=random)
            if await self._store.run(again):
                self.news.notify()

    async def _take_events(self, page: AccountPage, after: int) -> bool:
        """The account's own stream; whether something has to be asked for again."""
        known = await self._store.run(lambda books: set(books.conversation_ids()))
        check_events(page, after)
        late = await self._store.run(lambda books: keys_that_came(books, page))
        added = await self._store.run(lambda books: take_events(books, page))
        await self._check_own()
        for conversation_id, epoch in sorted(late):
            with suppress(errors.NotAMember):
                await self.granting.fetch(conversation_id, epoch)
        if page.events:
            self.news.notify()
        return page.more or bool(added - known)

    async def _check_own(self) -> None:
        """Look at one's own account and vault where an event said that they are newer, also one of an earlier sync."""
        due = await self._store.run(lambda books: books.meta(OWN_DUE))
        if due is None:
            return
        if due.startswith(ACCOUNT_DUE):
            me = await self._store.run(lambda books: books.me.user_id)
            await self._directory.try_refresh([me])
        if self.own_account_changed is not None:
            await self.own_account_changed()
        await self._store.run(partial(checked, due=due))

    async def _forget_cursors(self) -> bool:
        """After a restore the server may be behind: start again from the beginning, and compare what comes.

        The person is told, once for each restore.
        """
        incarnation, now = self._api.incarnation.encode(), self._clock()

        def compare(books: Books) -> bool:
            before = books.meta(INCARNATION)
            if before == incarnation:
                return False
            books.set_meta(INCARNATION, incarnation)
            if before is None:
                return False
            books.keep_notice(now, "server_restored", {})
            books.set_meta(lost.DUE, b"")
            books.set_meta(lost.RESTORED, b"")
            books.set_meta(ACCOUNT_CURSOR, None)
            lost.begin_again(books)
            self.caught_up.clear()
            return True

        return await self._store.run(compare)


def _cursors(books: Books) -> dict[str, int]:
    cursors = {"": books.number(ACCOUNT_CURSOR)}
    for conversation_id in books.conversation_ids():
        held = books.held(conversation_id)
        if held.epoch or openings.find(books, conversation_id) is None:  # the server does not know of it yet
            cursors[conversation_id] = held.cursor
    return cursors


def check_answered(asked: Collection[str], answered: Collection[str]) -> None:
    """Raises `UnexpectedAnswer` for pages that were not asked for, or none where some were."""
    if not set(answered) <= set(asked) or bool(asked) != bool(answered):
        raise errors.UnexpectedAnswer("its conversations are not those that were asked for")


def check_events(page: AccountPage, after: int) -> None:
    """Raises `UnexpectedAnswer` for a page of events that leaves a number out or does not go forward."""
    _check_numbers([(event.seq, event.seq) for event in page.events], after, page.cursor, page.more)


def check_page(page: Page, after: int) -> None:
    """Raises `UnexpectedAnswer` for a page that leaves a number out or does not go forward.

    A conversation's numbers have no gap: else the server could keep one free and fill it long after. Those that it
    says are lost count as received, and are never filled; no page loses more of them than some restores do.
    """
    lost = sum(item.last_seq - item.seq + 1 for item in page.items if isinstance(item, LostItem))
    if lost > RESTORES * limits.LOST_PLACES:
        raise errors.UnexpectedAnswer("a page loses more places than restores do")
    places = [(item.seq, item.last_seq if isinstance(item, LostItem) else item.seq) for item in page.items]
    _check_numbers(places, after, page.cursor, page.more)


def _check_numbers(places: list[tuple[int, int]], after: int, cursor: int, more: bool) -> None:
    come_to = after
    for first, last in places:
        if first != come_to + 1 or last < first:
            break
        come_to = last
    else:
        if cursor == come_to and (places or not more):
            return
    raise errors.UnexpectedAnswer("a page leaves a number out or does not go forward")
