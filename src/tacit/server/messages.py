"""Taking sealed messages, by HTTP and by WebSocket, and paging through a conversation."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from litestar import get, post
from msgspec import UnsetType

from tacit import errors
from tacit.api import messages as api
from tacit.api.base import identifier
from tacit.api.conversations import EncryptedKey
from tacit.api.problems import to_problem
from tacit.server import items, keyfields
from tacit.server.backend import Backend, Call, Query, backend, body, full_session, read, write
from tacit.server.rosters import Rosters
from tacit.server.store import conversations, grants, messages
from tacit.server.store.rows import Inserted, Page, Session
from tacit.signed.message import MessageAad, from_fields
from tacit.wire import limits


@dataclass(frozen=True, slots=True)
class Sealed:
    """A message whose form and sender were checked; its content is nobody's business here."""

    payload: api.EncryptedPayload
    text: str
    aad: MessageAad


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message in the store, and who is to be told of it."""

    sealed: Sealed
    inserted: Inserted
    members: tuple[str, ...]


def check_sealed(session: Session, payload: api.EncryptedPayload) -> Sealed:
    """A payload of the session's own device, in its one spelling.

    Raises what `from_fields` and `check_sender` raise.
    """
    message, _ = from_fields(msgspec.to_builtins(payload))
    check_sender(session, message.aad)
    return Sealed(payload, msgspec.json.encode(payload).decode(), message.aad)


def check_sender(session: Session, aad: MessageAad) -> None:
    """Raises `UserMismatch` for another sender than the session's, `InvalidMessage` for another device."""
    if aad.user_id != session.user_id:
        raise errors.UserMismatch
    if aad.device_id != session.device_id:
        raise errors.InvalidMessage("its device is not the session's")


def insert(
    db: sqlite3.Connection,
    rosters: Rosters,
    conversation_id: str,
    sealed: Sealed,
    posted: Iterable[EncryptedKey],
    now: int,
) -> Delivered:
    """Store a message of the newest epoch by one of its members; what was stored before gets the first answer.

    Raises, before anything is written, `NotAMember`, `InvalidMessage` for another record or epoch than the key's,
    `FieldMismatch` for other grants than the stored ones, and what `store.messages.insert` raises.
    """
    aad, key_id, record_hash = sealed.aad, sealed.payload.key_id, sealed.payload.record_hash
    place = messages.place(db, conversation_id, aad.user_id, aad.device_id, aad.client_message_id)
    if not place.known and place.removed_seq is None:
        if key_id == place.key_id and (aad.epoch, record_hash) != (place.epoch, place.record_hash):
            raise errors.InvalidMessage("its epoch or record is not that of its key")
        check_grants(db, conversation_id, key_id, posted)
    inserted = messages.insert(
        db,
        conversation_id,
        aad.user_id,
        aad.device_id,
        aad.client_message_id,
        sealed.text,
        key_id,
        sealed.payload.iv,
        now,
        place,
    )
    if inserted.duplicate:
        return Delivered(sealed, inserted, ())
    return Delivered(sealed, inserted, rosters.of(db, conversation_id, record_hash))


def check_grants(db: sqlite3.Connection, conversation_id: str, key_id: str, posted: Iterable[EncryptedKey]) -> None:
    """`encryptedKeys` beside a message are empty, or the stored grants of its epoch; raises `FieldMismatch`."""
    wanted = {(each.user_id, each.encrypted_key) for each in posted}
    if wanted:
        stored = grants.of_epoch(db, conversation_id, key_id)
        if wanted != {(each.user_id, each.encrypted_key) for each in stored}:
            raise errors.FieldMismatch("encryptedKeys")


def push(here: Backend, conversation_id: str, delivered: Delivered) -> None:
    """Push a message to the members who are connected; one that was stored before is not pushed again."""
    inserted = delivered.inserted
    item = api.MessageItem(inserted.seq, inserted.created_at, delivered.sealed.payload)
    here.hub.push_same(conversation_id, delivered.members, item)


def check_key_id(sent: api.SendMessages) -> None:
    """`keyId` beside messages is each one's own; raises `FieldMismatch`."""
    one = [] if isinstance(sent.encrypted_payload, UnsetType) else [sent.encrypted_payload]
    batch = [] if isinstance(sent.messages, UnsetType) else [each.encrypted_payload for each in sent.messages]
    if not isinstance(sent.key_id, UnsetType) and any(each.key_id != sent.key_id for each in one + batch):
        raise errors.FieldMismatch("keyId")


@post("/api/messages/encrypted", status_code=200)
async def send(request: Call) -> api.Sent | api.Results:
    """Take one message, or a batch of which each is taken or refused by itself."""
    here, session = backend(request), full_session(request)
    sent = await body(request, api.SendMessages)
    conversation_id = identifier("conversationId", sent.conversation_id)
    posted = [] if isinstance(sent.encrypted_keys, UnsetType) else sent.encrypted_keys
    for each in posted:
        keyfields.read_grant(each.encrypted_key)
    if isinstance(sent.messages, UnsetType) == isinstance(sent.encrypted_payload, UnsetType):
        raise errors.MalformedJson("either encryptedPayload or messages is needed")
    check_key_id(sent)
    if isinstance(sent.encrypted_payload, UnsetType):
        assert not isinstance(sent.messages, UnsetType)
        return await send_batch(request, session, conversation_id, sent.messages, posted)
    sealed = check_sealed(session, sent.encrypted_payload)
    now = here.clock()
    delivered = await write(
        request, lambda db: insert(db, here.rosters, conversation_id, sealed, posted, now), checks_first=True
    )
    push(here, conversation_id, delivered)
    return api.Sent(True, sealed.payload.key_id, delivered.inserted.seq, delivered.inserted.created_at)


async def send_batch(
    request: Call,
    session: Session,
    conversation_id: str,
    batch: list[api.OneMessage],
    posted: list[EncryptedKey],
) -> api.Results:
    """Take the messages of a batch in their order, in one transaction; what is refused says why in its place."""
    if len(batch) > limits.MESSAGES:
        raise errors.TooLarge(f"more than {limits.MESSAGES} messages")
    here = backend(request)
    here.rates.device.take(session.device_id, max(0, len(batch) - 1))  # the first was counted as a request
    now = here.clock()

    def job(db: sqlite3.Connection) -> list[Delivered | errors.TacitError]:
        conversations.standing(db, conversation_id, session.user_id)
        outcomes: list[Delivered | errors.TacitError] = []
        for each in batch:
            try:
                sealed = check_sealed(session, each.encrypted_payload)
                outcomes.append(insert(db, here.rosters, conversation_id, sealed, posted, now))
            except errors.TacitError as error:  # `insert` raises only before it writes
                outcomes.append(error)
        return outcomes

    results: list[api.Result] = []
    for outcome in await write(request, job):
        if isinstance(outcome, errors.TacitError):
            results.append(api.Result(problem=to_problem(outcome)))
        else:
            push(here, conversation_id, outcome)
            results.append(api.Result(outcome.inserted.seq, outcome.inserted.created_at))
    return api.Results(all(isinstance(each.problem, UnsetType) for each in results), results)


@get("/api/messages/encrypted")
async def page(request: Call) -> api.Page:
    """Messages and records after a cursor, in the order of `seq`; to a former member up to its removal."""
    session = full_session(request)
    query = Query(request, ["conversationId", "after", "limit"])
    conversation_id = query.identifier("conversationId")
    after, limit = query.number("after", 0), query.number("limit", limits.PAGE)
    if not 1 <= limit <= limits.PAGE:
        raise errors.Malformed(f"limit is 1 to {limits.PAGE}")
    return page_of(await read(request, lambda db: stored_page(db, session, conversation_id, after, limit)))


def stored_page(db: sqlite3.Connection, session: Session, conversation_id: str, after: int, limit: int) -> Page:
    """A page as the session's user may see it; raises `NotAMember`."""
    place = conversations.standing(db, conversation_id, session.user_id)
    return messages.page(db, conversation_id, after, limit, up_to_seq=place.removed_seq, user_id=session.user_id)


def page_of(found: Page) -> api.Page:
    """A page as it travels."""
    return api.Page([items.item(row) for row in found.items], found.cursor, found.more)
