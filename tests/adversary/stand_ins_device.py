"""What a guard of devices and their stores is when it guards nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from adversary.bending import wraps_original
from tacit.client.books import Books
from tacit.identity.account import AccountKeys
from tacit.identity.changes import Unlocked, Version


@wraps_original
def under_the_old_key(original: Any) -> Any:
    """A revocation leaves the outer key as it is."""

    def revoke(
        at: Unlocked, device: Any, gone: Collection[str], keys: AccountKeys, now: int, _: Any, **how: Any
    ) -> Version:
        made: Version = original(at, device, gone, keys, now, lambda size: at.opened.outer_key.reveal()[:size], **how)
        return made

    return revoke


@wraps_original
def the_same_keys(original: Any) -> Any:
    """All accounts have the same keys for ever: those that were made first."""
    made: dict[int, AccountKeys] = {}

    def make_keys(*arguments: Any) -> AccountKeys:
        return made.setdefault(0, original(*arguments))

    return make_keys


@wraps_original
def keeping_words(original: Any) -> Any:
    """What was made for a registration is kept afterwards."""

    def finish(books: Books, enrolment: Any) -> None:
        original(books, enrolment)
        words = b"".join(bytes([len(each.word)]) + each.word.encode() for each in enrolment.words)
        books.set_meta("words", words)

    return finish


def one_instance(_: Any) -> bytes:
    """Every opening of a store is the same."""
    return b"one for all time"


@wraps_original
def forgetting(original: Any) -> Any:
    """After a restore a device begins with nothing: it believes whatever the server has by now."""

    def begin_again(books: Books) -> None:
        original(books)
        for table in ("records", "grants", "messages", "counters"):
            books.connection.execute(f"DELETE FROM {table}")
        books.connection.execute("UPDATE conversations SET cursor = 0, highest = 0, name_seq = 0")
        books.set_meta("entries", None)
        books._conversations.clear()
        books._vault = None

    return begin_again
