"""Vouching: an epoch opened for a record that this device accepted from a device which was revoked since.

Whoever comes later cannot know that the record was there before the revocation, and takes it only below a voucher: a
later record by somebody who had the right to do the same. The revoking device opens one in each conversation; where it
did not get to it, any other device that accepted the record does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Final, final

from tacit import errors
from tacit.client import standing
from tacit.client.answers import is_about_the_session
from tacit.client.books import Books, Held
from tacit.client.changes import Changes
from tacit.client.openings import ROTATE, Intent
from tacit.client.store import Store
from tacit.client.sync import Syncer
from tacit.conversation.judging_records import Place, Received, is_revoked, vouches
from tacit.signed.record import ConversationRecord
from tacit.signed.rights import could_open
from tacit.wire.text import from_json, to_json

_LOOKED_AT: Final = "vouching_looked_at"
_WAITING: Final = "vouching_waiting"
AT_ONCE: Final = 16
"""So many of the conversations that wait for their epoch are tried at once."""


@final
class Vouching:
    """Looks through the conversations whenever account records came, and opens the epochs that are wanted."""

    def __init__(self, store: Store, syncer: Syncer, changes: Changes) -> None:
        self._store = store
        self._syncer = syncer
        self._changes = changes

    async def settle(self) -> None:
        """Open an epoch wherever this device's word is wanted; where it is blocked or refused that waits."""
        wanted, mark = await self._store.run(look)
        if not wanted and not mark:
            return
        now = await self._store.run(partial(may_open, conversation_ids=wanted))
        refused = [conversation_id for conversation_id in now if not await self._vouched(conversation_id)]
        waiting = [each for each in wanted if each not in now] + refused

        def keep(books: Books) -> None:
            books.set_meta(_WAITING, to_json(waiting).encode())
            if mark:
                books.set_meta(_LOOKED_AT, mark)

        await self._store.run(keep)

    async def _vouched(self, conversation_id: str) -> bool:
        """Open the epoch that is wanted of this device; whether none is wanted any more."""
        try:
            await self._syncer.pull_conversation(conversation_id)  # somebody else may have been faster
            if await self._store.run(partial(still_wants, conversation_id=conversation_id)):
                await self._changes.change(conversation_id, Intent(ROTATE))
        except (errors.PeerError, errors.UsageError) as refusal:
            if is_about_the_session(refusal):
                raise
            return False
        return True


def look(books: Books) -> tuple[list[str], bytes]:
    """The conversations that want a voucher, and the mark of what was looked at, empty where nothing came since.

    Then only those are looked at that waited.
    """
    (count,) = books.connection.execute("SELECT count(*) FROM accounts").fetchone()
    (epochs,) = books.connection.execute("SELECT count(*) FROM records").fetchone()
    mark = f"{count} {epochs}".encode()
    if mark != books.meta(_LOOKED_AT):
        return [each for each in books.conversation_ids() if still_wants(books, each)], mark
    return [each for each in from_json(books.meta(_WAITING) or b"[]") if still_wants(books, each)], b""


def may_open(books: Books, conversation_ids: Sequence[str]) -> list[str]:
    """Those of the conversations in which an epoch may be opened, as many as are tried at once."""
    free = (each for each in conversation_ids if not standing.why_blocked(books, books.held(each)))
    return list(islice(free, AT_ONCE))


def still_wants(books: Books, conversation_id: str) -> bool:
    """Whether a record that this device accepted has no voucher, and this device could be one."""
    held = books.held(conversation_id)
    return bool(held.epoch and not held.stopped) and any(is_unvouched(books, held, number) for number in held.known)


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
