"""Sending a version of one's own account until its outcome is known; an outer part in its way is overtaken."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tacit import errors
from tacit.client import accountchange
from tacit.client.accountchange import AccountChange
from tacit.client.accounts import Directory
from tacit.client.books import Books
from tacit.client.changes import is_about_the_session
from tacit.client.store import Store
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.identity.changes import AHEAD

Make = Callable[[Books, int], AccountChange]
"""Makes a change and keeps it; the number says how far ahead its outer part is to run (`identity.changes.AHEAD`)."""


async def make_and_publish(store: Store, api_client: EncryptionAPIClient, make: Make, clock: Clock) -> int:
    """Make a change, keep it and send it; until when it waits, or 0 once it counts.

    Where nothing but the vault's outer part was written meanwhile, it is signed once more, ahead of that: a device in
    a thief's hands writes as often as it likes, and must not be able to prevent its own revocation.
    """
    change = await store.run(lambda books: make(books, 0))
    try:
        return await _send(store, api_client, change, clock)
    except (errors.PeerError, errors.UsageError) as refusal:
        if is_about_the_session(refusal):
            raise
        overtaken = isinstance(refusal, errors.VersionConflict)
        again = await store.run(partial(_made_again, change=change, make=make)) if overtaken else None
        if again is None:
            await _give_up(store, change, refusal, clock)
            raise
    return await publish(store, api_client, again, clock)


async def publish(store: Store, api_client: EncryptionAPIClient, change: AccountChange, clock: Clock) -> int:
    """Send a change that is kept; until when it waits, or 0 once it counts.

    What another device's change overtook is forgotten, and told as a notice; raises its refusal. `Unreachable` leaves
    the outcome open.
    """
    try:
        return await _send(store, api_client, change, clock)
    except (errors.PeerError, errors.UsageError) as refusal:
        if is_about_the_session(refusal):
            raise
        await _give_up(store, change, refusal, clock)
        raise


async def _send(store: Store, api_client: EncryptionAPIClient, change: AccountChange, clock: Clock) -> int:
    try:
        answer = await api_client.post_encryption_keys_generate(accountchange.request_of(change))
    except (errors.PeerError, errors.UsageError) as refusal:
        if is_about_the_session(refusal):
            raise
        # Its answer may have been lost before another version came: then it is in the chain, and no refusal.
        await Directory(store, api_client, clock).try_refresh([change.record.user_id])
        if await store.run(partial(accountchange.counts_already, change=change)):
            return 0
        raise
    if isinstance(answer.waits_until, int):
        await store.run(partial(accountchange.wait, until=answer.waits_until))
        return answer.waits_until
    await store.run(lambda books: accountchange.finish(books, api_client.server_name, change))
    return 0


def _made_again(books: Books, change: AccountChange, make: Make) -> AccountChange | None:
    """The change once more, ahead of the outer part in its way; None where another account version came first."""
    newest = books.accounts.newest(change.record.user_id)
    if newest is None or newest.value.version >= change.record.version:
        return None
    accountchange.drop(books)
    return make(books, AHEAD)


async def _give_up(store: Store, change: AccountChange, refusal: errors.TacitError, clock: Clock) -> None:
    facts, now = {"kind": change.kind, "code": refusal.code}, clock()

    def forget(books: Books) -> None:
        accountchange.drop(books)
        books.keep_notice(now, "change_refused", facts)

    await store.run(forget)
