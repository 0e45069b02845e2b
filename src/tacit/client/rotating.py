"""The epochs that follow a revocation: where one is still wanted, and which conversations are tried now.

A conversation is ticked off where there is one, or where none can ever be opened from here. What is refused for any
other reason waits: the key that the revoked device had is still in use there.
"""

from __future__ import annotations

from typing import Final

from tacit import errors
from tacit.client import standing
from tacit.client.books import Books

AGAIN: Final = 16
"""So many of the conversations that were refused before are tried again at once."""


def due(books: Books) -> tuple[str, ...]:
    """The conversations to try now: all that were not tried since the revocation, and some of those that were."""
    query = "SELECT conversation_id, tried FROM rotations WHERE NOT done ORDER BY tried, conversation_id"
    rows = books.connection.execute(query).fetchall()
    fresh = sum(not tried for _, tried in rows)
    return tuple(conversation_id for conversation_id, _ in rows[: fresh + AGAIN])


def tried(books: Books, conversation_id: str) -> None:
    """A conversation was tried in vain: the others that wait come before it now."""
    last = "SELECT max(tried) + 1 FROM rotations"
    books.connection.execute(f"UPDATE rotations SET tried = ({last}) WHERE conversation_id = ?", (conversation_id,))


def may_try(books: Books, conversation_id: str) -> bool:
    """Whether nothing that is known here stands in the way of the next epoch."""
    try:
        standing.check_may_open(books, books.held(conversation_id))
    except errors.SendingBlocked:
        return False
    return True


def is_settled(books: Books, conversation_id: str) -> bool:
    """Whether there is an epoch after the account's newest revocation, or none is ever opened from here."""
    held = books.held(conversation_id)
    if held.stopped:
        return True
    own = held.roster().get(books.me.user_id)
    if own is None or standing.is_another_identity(books, own):
        return True
    return own.account_version >= revoked_in(books)


def revoked_in(books: Books) -> int:
    """The version of one's own account that last revoked a device; 0 for none."""
    return max((each.version for each in books.own_account().value.revoked), default=0)
