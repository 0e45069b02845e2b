"""Places that a restored server gave to nothing, and what this device holds at them or never saw come back.

Runs inside a transaction of the store.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, NamedTuple

from tacit import errors
from tacit.api.accounts import SignedHeader
from tacit.api.base import convert
from tacit.api.conversations import EncryptedKey
from tacit.api.messages import EncryptedPayload
from tacit.api.reconcile import Held as Item
from tacit.api.reconcile import HeldMessage, HeldRecord, HeldVault, HeldVersion, ReconcileAccount
from tacit.client.books import COUNTS, Books
from tacit.signed.grant import SignedGrant
from tacit.signed.vault import Outer
from tacit.wire import limits
from tacit.wire.codec import decode
from tacit.wire.text import from_json, to_base64

INCARNATION: Final = "incarnation"
DUE: Final = "reconcile"
"""There while the server was restored and what is held here was not all compared with what it has."""
RESTORED: Final = "restored"
"""There since this device met a server that had been restored."""
PAGE_BYTES: Final = limits.MIB
"""A page of what is posted back ends with the item with which it reaches this many bytes."""


def is_restored(books: Books, incarnation: str) -> bool:
    """Whether the server, which says that it is this `incarnation`, may lack what it had, and was not told yet."""
    return books.meta(DUE) is not None or books.text(INCARNATION) not in ("", incarnation)


def begin_again(books: Books) -> None:
    """Ask for everything anew, from the first place on: what is held stays held, whatever the server has by now."""
    for conversation_id in books.conversation_ids():
        held = books.held(conversation_id)
        held.cursor, held.leave_sent = 0, False
        books.save(held)


def keep_places(books: Books, conversation_id: str, first: int, last: int) -> None:
    """Remember places that are given to nothing; a page may begin within them."""
    within = "SELECT 1 FROM lost_places WHERE conversation_id = ? AND first <= ? AND last >= ?"
    if books.connection.execute(within, (conversation_id, first, last)).fetchone() is None:
        gone = "DELETE FROM lost_places WHERE conversation_id = ? AND first >= ? AND last <= ?"
        books.connection.execute(gone, (conversation_id, first, last))
        books.connection.execute("INSERT INTO lost_places VALUES (?, ?, ?)", (conversation_id, first, last))


def is_lost(books: Books, conversation_id: str, seq: int) -> bool:
    """Whether the server has nothing at this place any more, and what stood there may stand at a later one."""
    query = "SELECT 1 FROM lost_places WHERE conversation_id = ? AND first <= ? AND last >= ?"
    return books.connection.execute(query, (conversation_id, seq, seq)).fetchone() is not None


def number(books: Books, conversation_id: str, after: int) -> int:
    """How many places after `after` are given to nothing."""
    query = (
        "SELECT coalesce(sum(last - max(first, ? + 1) + 1), 0) FROM lost_places WHERE conversation_id = ? AND last > ?"
    )
    found: int = books.connection.execute(query, (after, conversation_id, after)).fetchone()[0]
    return found


def acknowledged(books: Books, conversation_id: str, client_message_id: str, seq: int, payload: str) -> None:
    """Keep a message that the server took until it comes back: it may have forgotten it by then."""
    row = (conversation_id, client_message_id, seq, payload)
    books.connection.execute("INSERT OR REPLACE INTO acknowledged VALUES (?, ?, ?, ?)", row)


def came_back(books: Books, conversation_id: str, client_message_id: str) -> None:
    """A message of this device came with its conversation's page."""
    gone = "DELETE FROM acknowledged WHERE conversation_id = ? AND client_message_id = ?"
    books.connection.execute(gone, (conversation_id, client_message_id))


class HeldPage(NamedTuple):
    """Things that the server may lack, in the order of `seq`; `last` is where to go on, or None after the last page."""

    items: list[Item]
    last: int | None


def held_page(books: Books, conversation_id: str, after: int, *, whole: bool) -> HeldPage:
    """What is held after a place that the server may lack: at lost places, or of the `whole` conversation."""
    counts = tuple(place.value for place in COUNTS)
    lost = """(?1 OR EXISTS (SELECT 1 FROM lost_places AS l
        WHERE l.conversation_id = h.conversation_id AND h.seq BETWEEN l.first AND l.last))"""
    query = f"""SELECT seq, record, signature, hash, NULL AS payload FROM records AS h
        WHERE conversation_id = ?2 AND seq > ?3 AND place IN (?4, ?5, ?6) AND {lost}
        UNION ALL SELECT seq, NULL, NULL, NULL, payload FROM messages AS h
        WHERE conversation_id = ?2 AND seq > ?3 AND authentic AND verdict <> 'repeated' AND {lost}
        UNION ALL SELECT seq, NULL, NULL, NULL, payload FROM acknowledged
        WHERE conversation_id = ?2 AND seq > ?3 ORDER BY seq"""
    items: list[Item] = []
    size = 0
    for seq, record, signature, own_hash, payload in books.connection.execute(
        query, (whole, conversation_id, after, *counts)
    ):
        if payload is not None:
            fields: dict[str, Any] = from_json(payload)
            item: Item = HeldMessage(convert(EncryptedPayload, fields))
            size += len(payload)
        else:
            item = HeldRecord(to_base64(record), to_base64(signature), _grants(books, conversation_id, own_hash))
            size += len(record)
        items.append(item)
        if len(items) == limits.PAGE or size >= PAGE_BYTES:
            return HeldPage(items, seq)
    return HeldPage(items, None)


def held_account(books: Books, user_id: str) -> list[ReconcileAccount]:
    """All versions of an account that are held, in pages."""
    query = "SELECT record, signatures FROM accounts WHERE user_id = ? ORDER BY version"
    pages: list[ReconcileAccount] = []
    versions: list[HeldVersion] = []
    size = 0
    for record, signatures in books.connection.execute(query, (user_id,)):
        versions.append(HeldVersion(to_base64(record), to_base64(signatures)))
        size += len(record)
        if len(versions) == limits.PAGE or size >= PAGE_BYTES:
            pages.append(ReconcileAccount(user_id, versions))
            versions, size = [], 0
    return [*pages, ReconcileAccount(user_id, versions)] if versions else pages


def held_vault(books: Books) -> ReconcileAccount | None:
    """What this device has of its account's vault, or None where it is not of the newest record."""
    me, record = books.me, books.own_account().value
    boxes, outer = books.meta("boxes"), books.meta("outer")
    if boxes is None or outer is None:
        return None
    query = "SELECT header, signature FROM outer_headers WHERE version >= ? AND version <= ? ORDER BY version"
    version = decode(Outer, outer, limits.VAULT_BYTES).header.version
    rows = books.connection.execute(query, (record.outer.version, version)).fetchall()
    headers = [SignedHeader(to_base64(header), to_base64(signature)) for header, signature in rows]
    return ReconcileAccount(me.user_id, [], HeldVault(to_base64(boxes), to_base64(outer), headers))


def _grants(books: Books, conversation_id: str, own_hash: bytes) -> list[EncryptedKey]:
    query = "SELECT grant_bytes FROM grants WHERE conversation_id = ? AND record_hash = ?"
    found: list[EncryptedKey] = []
    for (raw,) in books.connection.execute(query, (conversation_id, own_hash)).fetchall():
        with suppress(errors.PeerError):  # a later program may read it
            found.append(EncryptedKey(decode(SignedGrant, raw).grant.recipient, to_base64(raw)))
    return found[: limits.GRANTS]
