"""Vouching: an epoch opened for a record that this device accepted from a device which was revoked since.

Whoever comes later cannot know that the record was there before the revocation, and takes it only below a voucher: a
later record by somebody who had the right to do the same. The revoking device opens one in each conversation; where it
did not get to it, any other device that accepted the record does.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import final

from tacit import errors
from tacit.client import standing
from tacit.client.books import Books, Held
from tacit.client.changes import Changes
from tacit.client.openings import ROTATE, Intent
from tacit.client.store import Store
from tacit.client.sync import Syncer
from tacit.conversation.judging_records import Place, Received, is_revoked, vouches
from tacit.signed.record import ConversationRecord
from tacit.signed.rights import could_open

_LOOKED_AT = "vouching_looked_at"


@final
class Vouching:
    """Looks through the conversations whenever account records came, and opens the epochs that are wanted."""

    def __init__(self, store: Store, syncer: Syncer, changes: Changes) -> None:
        self._store = store
        self._syncer = syncer
        self._changes = changes

    async def settle(self) -> None:
        """Open an epoch wherever this device's word is wanted; a blocked conversation is passed over."""
        wanted, mark = await self._store.run(look)
        for conversation_id in wanted:
            with suppress(errors.PeerError, errors.UsageError):
                await self._syncer.pull_conversation(conversation_id)  # somebody else may have been faster
                if await self._store.run(partial(still_wants, conversation_id=conversation_id)):
                    await self._changes.change(conversation_id, Intent(ROTATE))
        if wanted or mark:
            await self._store.run(lambda books: books.set_meta(_LOOKED_AT, mark))


def look(books: Books) -> tuple[list[str], bytes]:
    """The conversations that want a voucher, and the mark of what was looked at; none while no account record came."""
    (count,) = books.connection.execute("SELECT count(*) FROM accounts").fetchone()
    (epochs,) = books.connection.execute("SELECT count(*) FROM records").fetchone()
    mark = f"{count} {epochs}".encode()
    if mark == books.meta(_LOOKED_AT):
        return [], b""
    held = [books.held(conversation_id) for conversation_id in books.conversation_ids()]
    return [each.id for each in held if wants_voucher(books, each)], mark


def still_wants(books: Books, conversation_id: str) -> bool:
    """Whether a conversation wants a voucher."""
    return wants_voucher(books, books.held(conversation_id))


def wants_voucher(books: Books, held: Held) -> bool:
    """Whether a record that this device accepted has no voucher, and this device may be one."""
    if not held.epoch or standing.why_blocked(books, held):
        return False
    return any(is_unvouched(books, held, number) for number in held.known)


def is_unvouched(books: Books, held: Held, number: int) -> bool:
    """Whether an accepted record's signer was revoked since, nobody vouches for it, and this account could."""
    record, state = held.known[number].record, held.states[number]
    if held.places[number] is Place.READING or not is_revoked(record, state, books.accounts.newest):
        return False
    before = held.states.get(number - 1)
    by = books.standpoint(held)
    later = [
        (Received(held.known[each].record, b"", 0), held.states[each]) for each in range(number + 1, held.epoch + 1)
    ]
    if any(vouches(link, before, record, by) for link in later):
        return False
    return could_vouch(books, held, number, record)


def could_vouch(books: Books, held: Held, number: int, record: ConversationRecord) -> bool:
    """Whether an epoch that this account opens now vouches for a record: it had the right to do the same."""
    before = held.states.get(number - 1)
    if not could_open(before, record, books.me.user_id, books.accounts.named):
        return False
    earlier = held.states[number].roster() if before is None else before.roster()
    now = held.roster().get(books.me.user_id)
    return now is not None and earlier[books.me.user_id].aik_fingerprint == now.aik_fingerprint
