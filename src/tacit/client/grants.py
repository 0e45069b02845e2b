"""Grants as this device holds them: kept as they were served, opened, and missed.

Runs inside a transaction of the store.
"""

from __future__ import annotations

from collections.abc import Sequence

from tacit import errors
from tacit.api.base import binary
from tacit.api.conversations import Grant
from tacit.client import later
from tacit.client.answers import check_grant
from tacit.client.books import Books, Held
from tacit.conversation.envelope import open_grant
from tacit.conversation.keys import ConversationKey
from tacit.signed.grant import SignedGrant
from tacit.wire import limits
from tacit.wire.codec import decode


def keep_grants(books: Books, held: Held, served: Sequence[Grant]) -> None:
    """Keep the grants that were served with a record, as they are; a later program may read what this one cannot.

    Raises `UnexpectedAnswer` for one whose fields say something else than the grant.
    """
    for each in served:
        try:
            raw = binary(each.encrypted_key, limits.RECORD_BYTES)
            named = later.granted_record(raw)
            check_grant(each, decode(SignedGrant, raw).grant)
        except errors.UnknownVersion:
            pass
        except errors.PeerError:
            continue  # without a readable grant there is no key, which is said where the key is missed
        books.connection.execute("INSERT OR IGNORE INTO grants VALUES (?, ?, ?)", (held.id, named, raw))


def open_keys(books: Books, held: Held, now: int) -> bool:
    """Try the grants of every epoch that has no key yet; whether one was opened.

    A grant that is refused is kept as evidence: its epoch stays without a key, and nothing is sent in it.
    """
    query = """SELECT record_hash, grant_bytes FROM grants WHERE conversation_id = ?1 AND record_hash NOT IN
        (SELECT record_hash FROM epoch_keys WHERE conversation_id = ?1)"""
    numbers = {known.record_hash: number for number, known in held.known.items() if known.opened is None}
    opened = False
    for own_hash, raw in books.connection.execute(query, (held.id,)).fetchall():
        number = numbers.get(bytes(own_hash))
        if number is None or held.known[number].opened is not None:
            continue
        key = _open(books, held, number, bytes(raw), now)
        if key is not None:
            books.keep_key(held, number, key)
            opened = True
    return opened


def _open(books: Books, held: Held, number: int, raw: bytes, now: int) -> ConversationKey | None:
    known = held.known[number]
    try:
        return open_grant(
            decode(SignedGrant, raw),
            record=known.record,
            roster=known.roster,
            user_id=books.me.user_id,
            private_keys=books.private_key,
            accounts=books.accounts.named,
        )
    except (errors.RecordPending, errors.UnknownVersion, errors.UnsupportedSuite):
        return None
    except errors.PeerError as error:
        books.keep_evidence(now, "grant", held.id, error, raw)
        return None


def grant_failure(books: Books, held: Held, number: int) -> str:
    """Why an epoch's grants were refused, or the empty text."""
    query = "SELECT code, detail, body FROM evidence WHERE about = 'grant' AND subject = ? ORDER BY id DESC"
    for code, detail, body in books.connection.execute(query, (held.id,)).fetchall():
        try:
            named = decode(SignedGrant, body).grant.record_hash
        except errors.PeerError:
            continue
        if named == held.known[number].record_hash:
            return f"{code}: {detail}"
    return ""
