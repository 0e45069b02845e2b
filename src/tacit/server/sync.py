"""Everything after the cursors, in one answer."""

from __future__ import annotations

import json
import sqlite3

from litestar import post

from tacit import errors
from tacit.api import sync as api
from tacit.api.base import counter, identifier
from tacit.server.backend import Call, body, full_session, read
from tacit.server.messages import page_of, stored_page
from tacit.server.store import account_events
from tacit.server.store.grants import PAGE_BYTES
from tacit.server.store.rows import EventPage, Page, Session
from tacit.wire import limits


@post("/api/sync", status_code=200)
async def sync(request: Call) -> api.Synced:
    """A page of the account's stream, and one of each conversation asked for until the answer is large enough."""
    session = full_session(request)
    asked = await body(request, api.Sync)
    if len(asked.conversations) > limits.CONVERSATIONS:
        raise errors.TooLarge(f"more than {limits.CONVERSATIONS} conversations")
    cursor = counter("accountCursor", asked.account_cursor)
    cursors = {
        identifier("conversations", name): counter("conversations", after)
        for name, after in asked.conversations.items()
    }
    events, pages = await read(request, lambda db: stored(db, session, cursor, cursors))
    return api.Synced(
        api.AccountPage(
            events.cursor,
            events.more,
            [
                api.AccountEvent(event.seq, event.kind, json.loads(event.body), event.created_at)
                for event in events.events
            ],
        ),
        {name: page_of(page) for name, page in pages.items()},
    )


def stored(
    db: sqlite3.Connection, session: Session, cursor: int, cursors: dict[str, int]
) -> tuple[EventPage, dict[str, Page]]:
    """The pages; conversations that would make the answer too large are left out, never the first one.

    Raises `NotAMember` for a conversation that is not the session's.
    """
    events = account_events.page(db, session.user_id, cursor, limits.PAGE)
    pages: dict[str, Page] = {}
    size = 0
    for name, after in cursors.items():
        if size >= PAGE_BYTES:
            break
        pages[name] = page = stored_page(db, session, name, after, limits.PAGE)
        size += sum(map(_size, page.items))
    return events, pages


def _size(row: object) -> int:
    return sum(len(value) for value in row if isinstance(value, str)) if isinstance(row, tuple) else 0
