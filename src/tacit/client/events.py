"""The account's own stream: what its events change here. Runs inside a transaction of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tacit import errors
from tacit.api.base import binary
from tacit.api.sync import AccountEvent, AccountPage
from tacit.client import granting, openings
from tacit.client.books import Books
from tacit.client.vaults import held_header
from tacit.wire import limits

ACCOUNT_CURSOR: Final = "account_cursor"
OWN_DUE: Final = "own_account_due"
"""Under this the store keeps that one's own account or vault has to be looked at: what is newer, and since when."""
ACCOUNT_DUE, VAULT_DUE = b"account ", b"vault "
TOLD: Final[Mapping[str, Mapping[str, type]]] = {
    "unlocker": {"kind": str, "deviceId": str, "succeeded": bool, "failed": int},
    "reset": {"version": int, "deviceId": str, "dueAt": int},
    "reset_cancelled": {"version": int},
}
"""The events that a person is told of, with their facts."""
FACT_LENGTH: Final = 64


def take_events(books: Books, page: AccountPage) -> set[str]:
    """Take a page of the account's stream, and move its cursor; the conversations that it names.

    That one's own account or vault has to be looked at is kept with the cursor: no later page says it again.
    """
    keep_due(books, page)
    named: set[str] = set()
    for event in page.events:
        if event.kind in TOLD:
            books.keep_notice(event.created_at, event.kind, facts_of(event))
        conversation_id = event.body.get("conversationId")
        if not isinstance(conversation_id, str) or not 1 <= len(conversation_id.encode()) <= limits.ID_BYTES:
            continue
        if event.kind == "conversation":
            books.add(conversation_id)
            named.add(conversation_id)
        elif event.kind == "leave":
            _take_leave(books, conversation_id, event)
        elif event.kind == "grant_request":
            _take_wish(books, conversation_id, event)
    books.set_meta(ACCOUNT_CURSOR, str(page.cursor).encode())
    return named


def _take_wish(books: Books, conversation_id: str, event: AccountEvent) -> None:
    epoch, user_id = event.body.get("epoch"), event.body.get("userId")
    if type(epoch) is int and isinstance(user_id, str) and books.find(conversation_id) is not None:
        granting.want(books, granting.Wanted(conversation_id, epoch, user_id))


def keep_due(books: Books, page: AccountPage) -> None:
    """Remember that one's own account or vault has to be looked at, where a page says so."""
    if any(event.kind == "account" for event in page.events):
        kind = ACCOUNT_DUE
    elif is_vault_newer(books, page):
        earlier = books.meta(OWN_DUE) or b""
        kind = ACCOUNT_DUE if earlier.startswith(ACCOUNT_DUE) else VAULT_DUE
    else:
        return
    books.set_meta(OWN_DUE, kind + str(page.cursor).encode())


def checked(books: Books, due: bytes) -> None:
    """One's own account was looked at; what came meanwhile is looked at next."""
    if books.meta(OWN_DUE) == due:
        books.set_meta(OWN_DUE, None)


def is_vault_newer(books: Books, page: AccountPage) -> bool:
    """Whether a page says that another device wrote the vault since, under the account version that is known here."""
    held = held_header(books)
    newest = books.own_account().value.version
    if held is None or any(event.kind == "account" for event in page.events):
        return False
    written = [
        event.body for event in page.events if event.kind == "vault" and event.body.get("accountVersion") == newest
    ]
    return any(type(body.get("version")) is int and body["version"] > held.version for body in written)


def keys_that_came(books: Books, page: AccountPage) -> set[tuple[str, int]]:
    """The epochs that a page names, of which the record was received before and the key was not."""
    came: set[tuple[str, int]] = set()
    for event in page.events:
        conversation_id, epoch = event.body.get("conversationId"), event.body.get("epoch")
        if event.kind == "conversation" and isinstance(conversation_id, str) and type(epoch) is int:
            held = books.find(conversation_id)
            known = held.known.get(epoch) if held is not None else None
            if known is not None and known.opened is None:
                came.add((conversation_id, epoch))
    return came


def facts_of(event: AccountEvent) -> dict[str, object]:
    """What a notice keeps of an event: the facts that are known, each of its kind and no longer than it can be."""
    expected = TOLD[event.kind]
    return {
        name: value
        for name, kind in expected.items()
        if type(value := event.body.get(name)) is kind and len(str(value)) <= FACT_LENGTH
    }


def _take_leave(books: Books, conversation_id: str, event: AccountEvent) -> None:
    leave = event.body.get("leave")
    if not isinstance(leave, str) or books.find(conversation_id) is None:
        return
    try:
        openings.keep_leave(books, conversation_id, binary(leave, limits.RECORD_BYTES))
    except errors.PeerError:
        return  # it is not a leave: nobody is bound to carry it out
