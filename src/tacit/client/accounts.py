"""Other people's accounts: fetched from the server, verified on what is pinned, kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import final

from tacit import errors
from tacit.api import accounts as api
from tacit.api.base import binary
from tacit.client.accountbook import Served
from tacit.client.answers import check_version
from tacit.client.books import Books
from tacit.client.lost import is_restored
from tacit.client.store import Store
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.signed.account import AccountRecord, AccountSignatures
from tacit.wire import limits
from tacit.wire.codec import decode, encode


@final
class Directory:
    """Fetches account records into the local store.

    The first time that somebody is met, the server's word is pinned; from then on only records signed by the pinned
    identity key are taken. Whatever contradicts them is kept as evidence, and nothing is sent to that account.
    """

    def __init__(self, store: Store, api_client: EncryptionAPIClient, clock: Clock) -> None:
        self._store = store
        self._api = api_client
        self._clock = clock

    async def refresh(self, users: Iterable[str]) -> int:
        """Fetch the newest versions of these accounts; how many were new.

        Raises `NoSuchAccount` with the name in its detail, `ServerMisbehaved` where what is served contradicts what
        is pinned, and what an invalid record raises.
        """
        added = 0
        waiting = sorted(set(users))
        while waiting:
            known = await self._store.run(partial(_known, users=waiting))
            waiting = []
            for after, group in groupby(sorted(known, key=partial(_after, known)), partial(_after, known)):
                for part in batched(list(group), limits.USERS):
                    answer = await self._api.get_encryption_keys_public(part, after)
                    check_answered(part, answer)
                    for each in answer.accounts:
                        added += await self._take(each, known[each.user_id])
                    waiting += [each.user_id for each in answer.accounts if each.more]
        return added

    async def try_refresh(self, users: Iterable[str]) -> int:
        """The same for users that the server or other members name: whoever is not there is left out.

        A contradiction is kept as evidence all the same, and blocks sending to that account. Where a group is refused,
        each of it is asked for by itself.
        """
        before = await self._store.run(_count)
        for group in batched(sorted(set(users)), limits.USERS):
            try:
                await self.refresh(group)
            except errors.PeerError:
                await self._try_each(group)
        return await self._store.run(_count) - before

    async def _try_each(self, users: Iterable[str]) -> None:
        for user in users:
            with suppress(errors.PeerError):  # what needs this account stays pending and says so
                await self.refresh([user])

    async def _take(self, answer: api.AccountVersions, asked: int) -> int:
        user_id = answer.user_id
        served = read_versions(answer)
        server_name, now = self._api.server_name, self._clock()
        if asked and not served and await self._store.run(partial(is_restored, incarnation=self._api.incarnation)):
            raise errors.ServerBehind(f"{user_id}'s account record of version {asked} is not served")
        try:
            return await self._store.run(lambda books: books.take_account(server_name, user_id, served, asked, now))
        except errors.PeerError as error:
            await self._keep_evidence(user_id, served, error)
            raise

    async def _keep_evidence(self, user_id: str, served: Served, error: errors.PeerError) -> None:
        now = self._clock()
        body = b"".join(encode(record) for record, _ in served[-1:])

        def keep(books: Books) -> None:
            if books.accounts.newest(user_id) is not None:
                books.keep_evidence(now, "account", user_id, error, body)

        await self._store.run(keep)


def batched(users: list[str], size: int) -> Iterator[list[str]]:
    """The users in groups of at most `size`."""
    for start in range(0, len(users), size):
        yield users[start : start + size]


def _count(books: Books) -> int:
    (found,) = books.connection.execute("SELECT count(*) FROM accounts").fetchone()
    return int(found)


def _known(books: Books, users: Iterable[str]) -> dict[str, int]:
    """The users, each with the newest known version; 0 for strangers."""
    newest = {user: books.accounts.newest(user) for user in sorted(set(users))}
    return {user: each.value.version if each is not None else 0 for user, each in newest.items()}


def _after(known: dict[str, int], user: str) -> int:
    """The version from which on to ask: the newest known one is asked for again, to be compared."""
    return max(known[user] - 1, 0)


def check_answered(asked: list[str], answer: api.PublicKeys) -> None:
    """Raises `UnexpectedAnswer` unless the answer is about the users asked for, in their order, and goes forward.

    Of somebody who is known the newest known version is asked for once more, so that there has to be another.
    """
    if [each.user_id for each in answer.accounts] != asked:
        raise errors.UnexpectedAnswer("the accounts are not those asked for")
    first = answer.accounts[0]
    if first.more and len(first.versions) < 2:
        raise errors.UnexpectedAnswer("an account's versions do not go forward")


def read_versions(answer: api.AccountVersions) -> Served:
    """The records of an answer with their signatures.

    Raises `UnexpectedAnswer` for what cannot be read, and for fields that say something else than the record.
    """
    served = []
    try:
        for each in answer.versions:
            record = decode(AccountRecord, binary(each.record, limits.RECORD_BYTES))
            check_version(each, record)
            served.append((record, decode(AccountSignatures, binary(each.signature, limits.RECORD_BYTES))))
    except errors.PeerError as error:
        raise errors.UnexpectedAnswer(f"an account record cannot be read: {error.detail}") from None
    return served
