from __future__ import annotations

import sqlite3

from tacit.server.store import account_events
from tacit.server.store.rows import Event, EventPage


def test_each_stream_is_numbered_from_1_without_a_gap(db: sqlite3.Connection) -> None:
    assert account_events.head(db, "alice") == 0
    assert account_events.append(db, ["alice", "bob"], "leave", {}, 10) == {"alice": 1, "bob": 1}
    assert account_events.append(db, ["alice"], "leave", {}, 10) == {"alice": 2}
    assert account_events.append(db, ["bob", "carol"], "leave", {}, 10) == {"bob": 2, "carol": 1}
    assert account_events.append(db, [], "leave", {}, 10) == {}
    assert [account_events.head(db, name) for name in ("alice", "bob", "carol", "dave")] == [2, 2, 1, 0]


def test_an_event_comes_back_with_its_body_as_compact_json(db: sqlite3.Connection) -> None:
    account_events.append(db, ["alice"], "conversation", {"conversationId": "caf\u00e9", "epoch": 3}, 10)
    event = Event(1, "conversation", '{"conversationId":"caf\u00e9","epoch":3}', 10)
    assert account_events.page(db, "alice", 0, 10) == EventPage((event,), 1, False)


def test_pages_follow_one_another(db: sqlite3.Connection) -> None:
    for number in range(5):
        account_events.append(db, ["alice", "bob"], str(number), {}, number)
    seen: list[str] = []
    cursor, more = 0, True
    while more:
        page = account_events.page(db, "alice", cursor, 2)
        assert 1 <= len(page.events) <= 2
        seen += [event.kind for event in page.events]
        cursor, more = page.cursor, page.more
    assert seen == ["0", "1", "2", "3", "4"]
    assert account_events.page(db, "alice", 3, 2) == account_events.page(db, "alice", 3, 100)


def test_a_page_after_the_end_is_empty_and_keeps_the_cursor(db: sqlite3.Connection) -> None:
    account_events.append(db, ["alice"], "leave", {}, 1)
    assert account_events.page(db, "alice", 1, 10) == EventPage((), 1, False)
    assert account_events.page(db, "bob", 0, 10) == EventPage((), 0, False)
