"""Stand-ins that make one claim of the demo false each: servers, clients and searches that do not do what they should.

The demo's own process starts as `python -m adversary.bending`; `PROGRAM` then takes the place of the program that it
starts, so that its server and clients come from a nursery that is bent as well.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Any

from adversary.bending import wraps_original
from cli.nursery import ADDRESS, command
from tacit.client.books import Books
from tacit.conversation.keys import ConversationKey
from tacit.crypto.digest import sha256
from tacit.crypto.secret import Randomness, Secret

PROGRAM = command(os.environ.get(ADDRESS, ""))
"""A bent server or client."""

SILENT = (sys.executable, "-c", "import time; time.sleep(600)")
"""A program that does nothing and does not end."""
FAILING = (sys.executable, "-c", "import sys; sys.exit('there is no room on the disk')")
"""A program that ends at once."""
MOMENT = 0.5
"""Seconds."""


# --- servers -----------------------------------------------------------------------------


@wraps_original
def withhold_until_bob_writes(original: Callable[..., Any]) -> Callable[..., Any]:
    """Bob gets three messages and no more, until he writes something himself."""

    def stored_page(db: sqlite3.Connection, session: Any, *place: Any) -> Any:
        page = original(db, session, *place)
        (written,) = db.execute("SELECT count(*) FROM messages WHERE sender_id = 'bob'").fetchone()
        if session.user_id != "bob" or written:
            return page
        items = tuple(item for item in page.items if item.seq <= 4)
        return page._replace(items=items, cursor=min(page.cursor, 4))

    return stored_page


@wraps_original
def serve_the_removed(original: Callable[..., Any]) -> Callable[..., Any]:
    """Who was removed gets everything."""

    def page(*place: Any, **options: Any) -> Any:
        return original(*place, **{**options, "up_to_seq": None})

    return page


@wraps_original
def let_the_revoked_in(original: Callable[..., Any]) -> Callable[..., Any]:
    """A device that was revoked is certified all the same."""

    def device(*place: Any) -> Any:
        found = original(*place)
        return found and found._replace(revoked_in=None)

    return device


@wraps_original
def say_something_else(original: Callable[..., Any]) -> Callable[..., Any]:
    """The column for clients without encryption says who wrote."""

    def insert(db: sqlite3.Connection, conversation_id: str, sender: str, *rest: Any) -> Any:
        inserted = original(db, conversation_id, sender, *rest)
        db.execute("UPDATE messages SET text = ? WHERE sender_id = ?", (f"by {sender}", sender))
        return inserted

    return insert


# --- clients -----------------------------------------------------------------------------


@wraps_original
def forget_when_removed(original: Callable[..., Any]) -> Callable[..., Any]:
    """Who was removed is shown nothing, not even what they had read."""

    def history(books: Books, conversation_id: str) -> Any:
        found, revision = original(books, conversation_id)
        return (found if books.me.user_id in books.held(conversation_id).roster() else []), revision

    return history


@wraps_original
def hide_bob_from_the_phone(original: Callable[..., Any]) -> Callable[..., Any]:
    """Alice is shown nothing of what bob writes, for as long as she has only her phone."""

    def history(books: Books, conversation_id: str) -> Any:
        found, revision = original(books, conversation_id)
        account = books.own_account().value
        hides = (account.user_id, account.version) == ("alice", 1)
        return [each for each in found if not (hides and each.sender == "bob")], revision

    return history


def hide_from_alice_at(version: int) -> Callable[..., Any]:
    """Alice is shown nothing on the device that she has at this version of her account."""

    @wraps_original
    def hide(original: Callable[..., Any]) -> Callable[..., Any]:
        def history(books: Books, conversation_id: str) -> Any:
            found, revision = original(books, conversation_id)
            account = books.own_account().value
            return ([] if (account.user_id, account.version) == ("alice", version) else found), revision

        return history

    hidden: Callable[..., Any] = hide
    return hidden


hide_from_the_laptop = hide_from_alice_at(3)
hide_from_the_tablet = hide_from_alice_at(4)


@wraps_original
def keep_the_outer_key(original: Callable[..., Any]) -> Callable[..., Any]:
    """A revocation seals the new vault under the outer key that the revoked device has."""

    def revoke(at: Any, *others: Any, **how: Any) -> Any:
        return original(at, *others[:-1], lambda _: at.opened.outer_key.reveal(), **how)

    return revoke


def one_key_until_a_revocation(_: Randomness) -> ConversationKey:
    """Every epoch has the same key, also the one after a removal; only a revocation changes it."""
    revoking = b"revoke" in (word.encode() for word in sys.argv)
    return ConversationKey(Secret(sha256(b"a key that is not changed" + bytes([revoking]))))


@wraps_original
def text_for_name(original: Callable[..., Any]) -> Callable[..., Any]:
    """A message's client id begins with its text."""

    def enqueue(books: Books, conversation_id: str, body: Any, at: int, random: Randomness, **options: Any) -> Any:
        text = getattr(body, "text", "").encode()
        return original(books, conversation_id, body, at, lambda count: text + random(count), **options)

    return enqueue


@wraps_original
def password_for_salt(original: Callable[..., Any]) -> Callable[..., Any]:
    """The password itself is the salt that the server keeps."""

    def new_password(account: Any, password: Secret, cost: Any, amk: Secret, random: Randomness) -> Any:
        drawn = iter([password.reveal()])
        return original(account, password, cost, amk, lambda count: next(drawn, b"") or random(count))

    return new_password


@wraps_original
def key_for_name(original: Callable[..., Any]) -> Callable[..., Any]:
    """A message's client id begins with the epoch's key."""

    def enqueue(books: Books, conversation_id: str, body: Any, at: int, random: Randomness, **options: Any) -> Any:
        head = books.held(conversation_id).head()
        assert head is not None
        assert head.opened is not None
        key = head.opened.key.secret.reveal()
        return original(books, conversation_id, body, at, lambda count: key + random(count), **options)

    return enqueue


@wraps_original
def key_beside_the_store(original: Callable[..., Any]) -> Callable[..., Any]:
    """The store's key lies beside it, for convenience."""

    def write(self: Any, key: Secret, passphrase: Secret) -> None:
        original(self, key, passphrase)
        self.path.with_suffix(".backup").write_text(key.reveal().hex())

    return write


# --- the search --------------------------------------------------------------------------


def raw_only(value: bytes) -> Iterator[tuple[str, bytes]]:
    """A search that knows neither hex nor base64."""
    yield "raw", value
