from __future__ import annotations

import sqlite3

import pytest

from tacit import errors
from tacit.server.store import sessions
from tacit.server.store.rows import Session


def opened(
    db: sqlite3.Connection,
    token_hash: str = "token",
    *,
    user_id: str = "alice",
    device_id: str = "phone",
    kind: str = "full",
    expires_at: int = 5000,
) -> Session:
    session = Session(token_hash, user_id, device_id, b"request key", kind, 1000, expires_at)
    sessions.open_session(db, session)
    return session


def left(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT token_hash FROM sessions ORDER BY token_hash")]


@pytest.mark.parametrize("kind", ["full", "provisional", "registration"])
def test_a_session_is_found_by_the_hash_of_its_token(db: sqlite3.Connection, kind: str) -> None:
    session = opened(db, kind=kind)
    opened(db, "another")
    assert sessions.find(db, "token", 4999) == session


def test_a_session_of_another_kind_cannot_be_stored(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        opened(db, kind="admin")


def test_a_token_opens_one_session(db: sqlite3.Connection) -> None:
    opened(db)
    with pytest.raises(sqlite3.IntegrityError):
        opened(db, user_id="mallory")


@pytest.mark.parametrize(("token_hash", "now"), [("token", 5000), ("token", 5001), ("other", 1000)])
def test_what_has_ended_or_never_was_is_expired(db: sqlite3.Connection, token_hash: str, now: int) -> None:
    opened(db)
    with pytest.raises(errors.SessionExpired):
        sessions.find(db, token_hash, now)


@pytest.mark.parametrize("kind", ["provisional", "registration"])
def test_a_session_becomes_a_full_one(db: sqlite3.Connection, kind: str) -> None:
    before = opened(db, kind=kind)
    other = opened(db, "another", kind=kind)
    sessions.promote(db, "token", 9000)
    assert sessions.find(db, "token", 8999) == before._replace(kind="full", expires_at=9000)
    assert sessions.find(db, "another", 0) == other


def test_no_session_becomes_no_full_one(db: sqlite3.Connection) -> None:
    opened(db, "another")
    with pytest.raises(errors.SessionExpired):
        sessions.promote(db, "token", 9000)


def test_a_session_ends_once(db: sqlite3.Connection) -> None:
    opened(db)
    opened(db, "another")
    assert [sessions.end(db, "token"), sessions.end(db, "token")] == [True, False]
    assert left(db) == ["another"]


def test_all_sessions_of_a_device_end_together(db: sqlite3.Connection) -> None:
    for token in ("1", "2"):
        opened(db, token)
    opened(db, "3", device_id="laptop")
    opened(db, "4", user_id="bob")
    assert sessions.end_device(db, "alice", "phone") == 2
    assert sessions.end_device(db, "alice", "phone") == 0
    assert left(db) == ["3", "4"]


def test_ended_sessions_are_forgotten_oldest_first(db: sqlite3.Connection) -> None:
    for expires_at in (3000, 1000, 4000, 2000):
        opened(db, str(expires_at), expires_at=expires_at)
    assert sessions.purge(db, 4000, limit=2) == 2
    assert left(db) == ["3000", "4000"]
    assert sessions.purge(db, 4000) == 1
    assert sessions.purge(db, 4000) == 0
    assert left(db) == ["4000"]
