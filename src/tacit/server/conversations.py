"""Opening epochs, handing on their keys, listing conversations, and asking to leave."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Final

from litestar import delete, get, post
from litestar.params import FromPath
from msgspec import UnsetType

from tacit import errors
from tacit.api import conversations as api
from tacit.api.auth import Done
from tacit.api.base import binary, identifier
from tacit.server import epochs, items
from tacit.server.backend import Backend, Call, Query, backend, body, full_session, read, write
from tacit.server.config import HOUR_MS
from tacit.server.epochs import Posted
from tacit.server.known import ON_THE_LOOP, Chains
from tacit.server.store import account_events, conversations, grants
from tacit.server.store.rows import Epoch, Grant, NewGrant, Opened, Session
from tacit.signed.account import certificate
from tacit.signed.record import SignedLeave, record_hash
from tacit.signed.rights import ChainState, check_leave, check_standing
from tacit.signed.taking import check_taking
from tacit.wire import limits
from tacit.wire.codec import decode

ATTEMPTS: Final = 8
"""How often a record is judged anew because an account or a leave came meanwhile."""


class _MovedError(Exception):
    """What something was judged on has changed."""


@post("/api/encryption/conversation/keys", status_code=200)
async def post_keys(request: Call) -> api.EpochWritten:
    """Open the next epoch, or add grants to one."""
    return await post_epoch(request)


@post("/api/encryption/conversation/members", status_code=200)
async def add_members(request: Call) -> api.EpochWritten:
    """The same by its other name."""
    return await post_epoch(request)


@delete("/api/encryption/conversation/members", status_code=200)
async def remove_members(request: Call) -> api.EpochWritten:
    """The same by its other name."""
    return await post_epoch(request)


async def post_epoch(request: Call) -> api.EpochWritten:
    """One handler and one set of rules for all three."""
    session = full_session(request)
    posted = await body(request, api.ConversationKeys)
    identifier("conversationId", posted.conversation_id)
    if len(posted.encrypted_keys) > limits.GRANTS:
        raise errors.TooLarge(f"more than {limits.GRANTS} grants")
    if isinstance(posted.record, UnsetType) or isinstance(posted.signature, UnsetType):
        if posted.record is not posted.signature:
            raise errors.MalformedJson("record and signature come together")
        return await add_grants(request, session, posted)
    opening = epochs.read_posted(posted, posted.record, posted.signature, session)
    if opening.record.epoch == 1:
        backend(request).config.check_profile(opening.record.profile)
    for _ in range(ATTEMPTS):
        try:
            opened = await open_epoch(request, session, opening)
        except _MovedError:
            continue
        return api.EpochWritten(True, posted.key_id, opening.record.epoch, opened.seq)
    raise errors.RecordOutdated("its members' accounts change too fast", accounts=[], leaves=[])


async def open_epoch(request: Call, session: Session, opening: Posted) -> Opened:
    """Judge a record on what the store holds now, and take it unless that has changed meanwhile."""
    here = backend(request)
    found = await read(request, lambda db: epochs.situation(db, session, opening))
    if isinstance(found, Opened):
        return found
    chains = await here.known.load(epochs.users_concerned(found, opening.record))
    state = await judge(found.before, opening, chains)
    epochs.check_grants(opening, state, chains)

    def job(db: sqlite3.Connection) -> Opened:
        again = epochs.situation(db, session, opening)
        if isinstance(again, Opened):
            return again
        if again != found or not chains.are_newest(db):
            raise _MovedError
        check_taking(found.before, opening.record, chains.newest, found.pending)
        return epochs.put(db, opening, state, here.clock())

    opened = await write(request, job)
    if not opened.duplicate:
        push_record(here, opening, state, opened)
    return opened


async def judge(before: ChainState | None, opening: Posted, chains: Chains) -> ChainState:
    """The state after a record that meets the standing rules; many signatures are verified in a thread."""
    arguments = (before, opening.record, opening.signature, chains.named)
    if len(opening.record.requests) > ON_THE_LOOP:
        _, state = await asyncio.to_thread(check_standing, *arguments)
    else:
        _, state = check_standing(*arguments)
    return state


def push_record(here: Backend, opening: Posted, state: ChainState, opened: Opened) -> None:
    """Push the record, with each one's own grant, to the members who are connected; tell the removed."""
    row = opening.row._replace(seq=opened.seq, created_at=opened.created_at)
    granted: dict[str, NewGrant] = {each.user_id: each for each in opening.new_grants}

    def seen_by(user: str) -> Epoch:
        grant = granted.get(user)
        if grant is None:
            return row
        return row._replace(grants=(Grant(user, grant.encrypted_key, grant.granted_by),))

    conversation_id = opening.record.conversation_id
    here.hub.push_item(conversation_id, state.roster(), lambda user: items.item(seen_by(user)))
    here.hub.push_account(opened.told)


async def add_grants(request: Call, session: Session, posted: api.ConversationKeys) -> api.EpochWritten:
    """Add grants to the epoch named by `keyId`, by a member who was in its roster.

    The recipients were in it too; to others that are members now the epoch's policy may let its history be handed on.
    Raises `NotAMember`, `KeyIdMismatch`, `InvalidGrant`. The recipients verify signatures and keys.
    """
    here = backend(request)
    conversation_id, key_id = posted.conversation_id, posted.key_id
    if not posted.encrypted_keys:
        raise errors.InvalidGrant("there is none")

    def chain(db: sqlite3.Connection) -> tuple[tuple[Epoch, ...], set[str]]:
        present = epochs.present_members(db, conversation_id, session)
        epoch = conversations.epoch(db, conversation_id, key_id)
        if epoch is None:
            raise errors.KeyIdMismatch("no epoch of this conversation has this key id")
        return tuple(grants.each_epoch(db, conversation_id, up_to_seq=epoch.seq)), present

    rows, present = await read(request, chain)
    record, roster = epochs.roster_of(rows)
    if session.user_id not in roster:
        raise errors.InvalidGrant("who grants it was not in the epoch")
    made = [epochs.read_grant(each, session, record_hash(record), record.profile) for each in posted.encrypted_keys]
    for grant in made:
        epochs.check_recipient(grant.recipient, record, roster, present)
    chains = await here.known.load({session.user_id, *(grant.recipient for grant in made)})
    for grant in made:
        account = chains.named(session.user_id, grant.granter.account_hash)
        if account is None or certificate(account.value, session.device_id) is None:
            raise errors.InvalidGrant("the granter's account record does not certify its device")
        if not epochs.has_device(chains, grant.recipient, grant.account_hash):
            raise errors.InvalidGrant("the recipient's account record is not known or has no device")
    new = epochs.new_grants(posted.encrypted_keys, session)

    def job(db: sqlite3.Connection) -> dict[str, int]:
        present = epochs.present_members(db, conversation_id, session)
        epochs.check_not_replaced(db, conversation_id, key_id, new)
        changed = grants.add(db, conversation_id, key_id, new, here.clock())
        told = {"conversationId": conversation_id, "epoch": record.epoch}
        return account_events.append(db, sorted(present.intersection(changed)), "conversation", told, here.clock())

    here.hub.push_account(await write(request, job))
    return api.EpochWritten(True, key_id, record.epoch, rows[-1].seq)


@get("/api/encryption/conversation/keys")
async def get_keys(request: Call) -> api.Epochs:
    """The epochs of a conversation with the grants to the session's user; to a former member up to its removal.

    As many as fit into one answer: who wants all goes on after the last one until there is none.
    """
    session = full_session(request)
    query = Query(request, ["conversationId", "after"])
    conversation_id, after = query.identifier("conversationId"), query.number("after", 0)

    def job(db: sqlite3.Connection) -> tuple[Epoch, ...]:
        place = conversations.standing(db, conversation_id, session.user_id)
        return grants.page(
            db,
            conversation_id,
            after_epoch=after,
            up_to_seq=place.removed_seq or place.head_seq,
            user_id=session.user_id,
            limit=limits.PAGE,
        )

    return api.Epochs([items.epoch(row) for row in await read(request, job)])


@get("/api/conversations")
async def list_conversations(request: Call) -> api.Conversations:
    """The conversations that the session's user is or was in."""
    session = full_session(request)
    Query(request, [])
    places = await read(request, lambda db: conversations.standings(db, session.user_id, with_former=True))
    return api.Conversations(
        [
            api.Conversation(
                place.conversation_id,
                place.epoch if place.removed_seq is None else 0,
                place.role,
                place.head_seq if place.removed_seq is None else place.removed_seq,
            )
            for place in places
        ]
    )


@post("/api/conversations/{conversation_id:str}/grant-requests", status_code=200)
async def request_grant(request: Call, conversation_id: FromPath[str]) -> Done:
    """Tell the other members that one who was in an epoch lacks its key, at most once an hour.

    Raises `NotAMember`, and `KeyIdMismatch` for an epoch that one was not in. Whether to grant is the members' to say.
    """
    here, session = backend(request), full_session(request)
    posted = await body(request, api.GrantRequest)

    def job(db: sqlite3.Connection) -> dict[str, int]:
        present = epochs.present_members(db, conversation_id, session)
        epoch = conversations.epoch(db, conversation_id, posted.key_id)
        if epoch is None:
            raise errors.KeyIdMismatch("no epoch of this conversation has this key id")
        _, roster = epochs.roster_of(grants.each_epoch(db, conversation_id, up_to_seq=epoch.seq))
        if session.user_id not in roster:
            raise errors.KeyIdMismatch("you were not in this epoch")
        now = here.clock()
        if not grants.ask(db, conversation_id, posted.key_id, session.user_id, now, now - HOUR_MS):
            return {}
        told = {"conversationId": conversation_id, "epoch": epoch.epoch, "userId": session.user_id}
        asked = sorted(present.intersection(roster) - {session.user_id})
        return account_events.append(db, asked, "grant_request", told, now)

    here.hub.push_account(await write(request, job))
    return Done(True)


@post("/api/conversations/{conversation_id:str}/leave", status_code=200)
async def leave(request: Call, conversation_id: FromPath[str]) -> Done:
    """Keep the session's wish to leave until a record carries it out; a record that could and does not is refused."""
    here, session = backend(request), full_session(request)
    posted = await body(request, api.LeaveConversation)
    signed = decode(SignedLeave, binary(posted.leave, limits.RECORD_BYTES))
    if (signed.leave.user_id, signed.leave.device_id) != (session.user_id, session.device_id):
        raise errors.UserMismatch("the leave is not by the session's device")

    chains = await here.known.load([session.user_id])

    def job(db: sqlite3.Connection) -> dict[str, int]:
        if conversations.standing(db, conversation_id, session.user_id).removed_seq is not None:
            raise errors.NotAMember
        check_leave(epochs.chain_state(db, conversation_id), signed, chains.named)
        stored = conversations.leaves(db, conversation_id).get(session.user_id)
        if stored is not None and decode(SignedLeave, binary(stored)).leave == signed.leave:
            return {}  # whoever signs once more tells nobody once more
        return conversations.put_leave(db, conversation_id, session.user_id, posted.leave, here.clock())

    here.hub.push_account(await write(request, job))
    return Done(True)
