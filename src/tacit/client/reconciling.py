"""A server that was restored from a backup: telling it what it lacks, so that what was agreed on stays agreed on.

A lower version is never taken in the place of a higher one that is held: the higher one is posted back, byte for byte.
"""

from __future__ import annotations

from functools import partial
from typing import final

from tacit import errors
from tacit.api.reconcile import HeldRecord, ReconcileConversation
from tacit.client import lost
from tacit.client.accounts import batched
from tacit.client.answers import is_about_the_session
from tacit.client.books import Books
from tacit.client.store import Store
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.wire import limits


@final
class Reconciler:
    """Compares what is held with what a restored server has, and posts back what it lacks."""

    def __init__(self, store: Store, api_client: EncryptionAPIClient, clock: Clock) -> None:
        self._store = store
        self._api = api_client
        self._clock = clock

    async def run(self) -> bool:
        """Post back what the server lacks, once for each restore; whether it took anything.

        Everything that it still has was fetched before. Raises `Unreachable`: then all of it is done again. The person
        is told how much was missing.
        """
        if await self._store.run(lambda books: books.meta(lost.DUE)) is None:
            return False
        taken = {"accounts": 0, "records": 0, "messages": 0}
        await self._accounts(taken)
        there = await self._there()
        for conversation_id in await self._store.run(partial(_to_compare, there=there)):
            await self._post(conversation_id, taken, whole=conversation_id not in there)
        now = self._clock()

        def done(books: Books) -> None:
            books.set_meta(lost.DUE, None)
            if any(taken.values()):
                books.keep_notice(now, "server_behind", taken)

        await self._store.run(done)
        return any(taken.values())

    async def _accounts(self, taken: dict[str, int]) -> None:
        """Post back the versions of accounts that the server lacks, one's own with its vault.

        Everybody's: without the version that a conversation's record names the server cannot take the record, and who
        has the account may come late.
        """
        for version, users in (await self._store.run(_known_accounts)).items():
            for group in batched(users, limits.USERS):
                for user_id in await self._behind(group, version):
                    await self._post_account(user_id, taken)
        vault = await self._store.run(lost.held_vault)
        if vault is not None:
            try:
                await self._api.post_reconcile_account(vault)
            except errors.PeerError as refusal:
                if is_about_the_session(refusal):
                    raise

    async def _behind(self, users: list[str], version: int) -> list[str]:
        """Those of these users whose account the server has not in this version."""
        try:
            answer = await self._api.get_encryption_keys_public(users, version - 1)
        except errors.NoSuchAccount:
            if len(users) == 1:
                return users
            return [each for user in users for each in await self._behind([user], version)]
        return [each.user_id for each in answer.accounts if not each.versions and not each.more]

    async def _post_account(self, user_id: str, taken: dict[str, int]) -> None:
        for page in await self._store.run(partial(lost.held_account, user_id=user_id)):
            try:
                taken["accounts"] += (await self._api.post_reconcile_account(page)).versions
            except errors.PeerError as refusal:
                if is_about_the_session(refusal):
                    raise
                return  # another branch is there, or nothing of it: it is told where the account is looked at next

    async def _there(self) -> set[str]:
        """The conversations that the server has, with this account in them; none where it does not say."""
        try:
            listed = await self._api.get_conversations()
        except errors.PeerError as refusal:
            if is_about_the_session(refusal):
                raise
            return set()
        return {each.conversation_id for each in listed.conversations if each.epoch}

    async def _post(self, conversation_id: str, taken: dict[str, int], *, whole: bool) -> None:
        after: int | None = 0
        while after is not None:
            page = await self._store.run(
                partial(lost.held_page, conversation_id=conversation_id, after=after, whole=whole)
            )
            if page.items:
                try:
                    answer = await self._api.post_reconcile_conversation(
                        ReconcileConversation(conversation_id, page.items)
                    )
                except errors.PeerError as refusal:
                    if is_about_the_session(refusal):
                        raise
                    return  # it lacks nothing, or this account is not in the conversation that it has
                for item, result in zip(page.items, answer.results, strict=False):
                    if result.taken:
                        taken["records" if isinstance(item, HeldRecord) else "messages"] += 1
            after = page.last


def _known_accounts(books: Books) -> dict[int, list[str]]:
    """The users whose account is held, by its newest version."""
    found: dict[int, list[str]] = {}
    query = "SELECT max(version), user_id FROM accounts GROUP BY user_id ORDER BY 1, 2"
    for version, user_id in books.connection.execute(query):
        found.setdefault(version, []).append(user_id)
    return found


def _to_compare(books: Books, there: set[str]) -> list[str]:
    """The conversations of which something may be lacking: those that the server has, and those that it should."""
    me = books.me.user_id
    found = []
    for conversation_id in books.conversation_ids():
        held = books.held(conversation_id)
        if held.epoch and (conversation_id in there or me in held.roster()):
            found.append(conversation_id)
    return found
