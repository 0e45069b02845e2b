"""Stand-ins that make one claim of the demo false each: servers, clients and searches that do not do what they should.

The demo's own process starts as `python -m adversary.bending`; `PROGRAM` then takes the place of the program that it
starts, so that its server and clients are bent as well, by the pairs in the environment.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Any

from adversary.bending import command, wraps_original
from tacit.client.books import Books
from tacit.conversation.keys import ConversationKey
from tacit.crypto.digest import sha256
from tacit.crypto.secret import Randomness, Secret

PAIRS = "TACIT_TESTS_BENT"
PROGRAM = command(dict(pair.split("=", 1) for pair in os.environ.get(PAIRS, "").split()))
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
def hide_bob_from_alice(original: Callable[..., Any]) -> Callable[..., Any]:
    """Alice is shown nothing of what bob writes."""

    def history(books: Books, conversation_id: str) -> Any:
        found, revision = original(books, conversation_id)
        return [each for each in found if (books.me.user_id, each.sender) != ("alice", "bob")], revision

    return history


def one_key_for_ever(_: Randomness) -> ConversationKey:
    """Every epoch has the same key, also the one after a removal."""
    return ConversationKey(Secret(sha256(b"a key that is not changed")))


def do_not_encrypt(_: Secret, __: bytes, plaintext: bytes, ___: bytes) -> bytes:
    """A cipher that does nothing."""
    return plaintext + bytes(16)


def do_not_decrypt(_: Secret, __: bytes, ciphertext: bytes, ___: bytes) -> bytes:
    """Its other direction."""
    return ciphertext[:-16]


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
