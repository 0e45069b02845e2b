"""Each account's own stream: what happened to it elsewhere, numbered from 1 without a gap."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from tacit.server.store.rows import Event, EventPage


def append(
    connection: sqlite3.Connection, user_ids: Iterable[str], kind: str, body: Mapping[str, object], now: int
) -> dict[str, int]:
    """Add one event to the streams of several accounts; returns its number in each."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    told: dict[str, int] = {}
    for user_id in user_ids:
        seq = told[user_id] = head(connection, user_id) + 1
        connection.execute(
            "INSERT INTO account_events (user_id, seq, kind, body, created_at) VALUES (?, ?, ?, ?, ?)",
            (user_id, seq, kind, text, now),
        )
    return told


def take_back(connection: sqlite3.Connection, user_id: str, seq: int) -> None:
    """Undo an `append` of the same transaction."""
    connection.execute("DELETE FROM account_events WHERE user_id = ? AND seq = ?", (user_id, seq))


def head(connection: sqlite3.Connection, user_id: str) -> int:
    """The number of the newest event in an account's stream, 0 for none."""
    newest: int = connection.execute(
        "SELECT coalesce(max(seq), 0) FROM account_events WHERE user_id = ?", (user_id,)
    ).fetchone()[0]
    return newest


def page(connection: sqlite3.Connection, user_id: str, after_seq: int, limit: int) -> EventPage:
    """Up to `limit` events after `after_seq`, oldest first."""
    found = connection.execute(
        "SELECT seq, kind, body, created_at FROM account_events WHERE user_id = ? AND seq > ? ORDER BY seq LIMIT ?",
        (user_id, after_seq, limit + 1),
    ).fetchall()
    events = tuple(Event._make(row) for row in found[:limit])
    return EventPage(events, events[-1].seq if events else after_seq, len(found) > limit)
