"""Sending a version of one's own account until its outcome is known."""

from __future__ import annotations

from functools import partial
from typing import Final

from tacit import errors
from tacit.client import accountchange
from tacit.client.accountchange import AccountChange
from tacit.client.accounts import Directory
from tacit.client.answers import is_about_the_session
from tacit.client.books import Books
from tacit.client.store import Store
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.signed.account import ResetBy

LONGEST_WAIT: Final = 366 * 24 * 60 * 60 * 1000
"""Milliseconds that a server may let a reset wait."""


async def publish(store: Store, api_client: EncryptionAPIClient, change: AccountChange, clock: Clock) -> int:
    """Send a change that is kept; until when it waits, or 0 once it counts.

    What another device's change overtook is forgotten, and told as a notice; raises its refusal. `Unreachable` leaves
    the outcome open, and so do a chain that cannot be looked into and `UnexpectedAnswer`: only a reset that a device
    alone asks for is let wait.
    """
    try:
        answer = await api_client.post_encryption_keys_generate(accountchange.request_of(change))
    except (errors.PeerError, errors.UsageError) as refusal:
        if is_about_the_session(refusal):
            raise
        # Its answer may have been lost before another version came: then it is in the chain, and no refusal.
        await Directory(store, api_client, clock).refresh([change.record.user_id])
        if await store.run(partial(accountchange.counts_already, change=change)):
            return 0
        facts, now = {"kind": change.kind, "code": refusal.code}, clock()

        def forget(books: Books) -> None:
            accountchange.drop(books)
            books.keep_notice(now, "change_refused", facts)

        await store.run(forget)
        raise
    until = answer.waits_until
    if isinstance(until, int):
        if change.record.reset_by.by is not ResetBy.DEVICE or until > clock() + LONGEST_WAIT:
            raise errors.UnexpectedAnswer("it lets an account version wait that does not, or for more than a year")
        await store.run(partial(accountchange.wait, until=until))
        return until
    await store.run(lambda books: accountchange.finish(books, api_client.server_name, change))
    return 0
