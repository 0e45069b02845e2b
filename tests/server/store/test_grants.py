from __future__ import annotations

import sqlite3

import pytest

from server.store.fill import put_epoch
from tacit import errors
from tacit.server.store import grants
from tacit.server.store.rows import Grant, NewGrant


def add(db: sqlite3.Connection, *new: NewGrant, key_id: str = "team-key-1", now: int = 5) -> tuple[str, ...]:
    return grants.add(db, "team", key_id, new, now)


def test_grants_come_back_in_the_order_in_which_they_were_first_added(db: sqlite3.Connection) -> None:
    put_epoch(db, grants=[NewGrant("bob", "alice/phone", "b"), NewGrant("alice", "alice/phone", "a")])
    assert add(db, NewGrant("carol", "bob/phone", "c")) == ("carol",)
    assert add(db, NewGrant("bob", "alice/phone", "again")) == ("bob",)
    assert grants.of_epoch(db, "team", "team-key-1") == (
        Grant("bob", "again", "alice/phone"),
        Grant("alice", "a", "alice/phone"),
        Grant("carol", "c", "bob/phone"),
    )


def test_one_granter_has_one_grant_to_a_recipient_and_another_has_its_own(db: sqlite3.Connection) -> None:
    put_epoch(db)
    add(db, NewGrant("bob", "alice/phone", "first"))
    add(db, NewGrant("bob", "alice/phone", "second"), NewGrant("bob", "alice/laptop", "third"), now=9)
    assert grants.of_epoch(db, "team", "team-key-1", "bob") == (
        Grant("bob", "second", "alice/phone"),
        Grant("bob", "third", "alice/laptop"),
    )
    assert db.execute("SELECT DISTINCT created_at FROM conversation_key_members").fetchall() == [(9,)]


def test_only_recipients_for_whom_something_changed_are_told(db: sqlite3.Connection) -> None:
    put_epoch(db)
    new = [NewGrant("carol", "alice/phone", "c"), NewGrant("bob", "alice/phone", "b")]
    assert add(db, *new) == ("bob", "carol")
    before = list(db.iterdump())
    assert add(db, *new, now=99) == ()
    assert list(db.iterdump()) == before
    assert add(db, new[0], NewGrant("bob", "alice/phone", "new")) == ("bob",)
    assert add(db) == ()


def test_a_grant_needs_an_epoch_of_this_conversation(db: sqlite3.Connection) -> None:
    put_epoch(db)
    put_epoch(db, conversation_id="other")
    for key_id in ("team-key-2", "other-key-1"):
        with pytest.raises(errors.KeyIdMismatch):
            add(db, NewGrant("bob", "alice/phone", "b"), key_id=key_id)
    assert db.execute("SELECT count(*) FROM conversation_key_members").fetchone() == (0,)


def test_grants_are_asked_for_by_epoch_and_recipient(db: sqlite3.Connection) -> None:
    put_epoch(db, grants=[NewGrant("alice", "alice/phone", "a1"), NewGrant("bob", "alice/phone", "b1")])
    put_epoch(db, 2, [], [NewGrant("bob", "alice/phone", "b2")])
    assert grants.of_epoch(db, "team", "team-key-2") == (Grant("bob", "b2", "alice/phone"),)
    assert grants.of_epoch(db, "team", "team-key-1", "bob") == (Grant("bob", "b1", "alice/phone"),)
    assert grants.of_epoch(db, "team", "team-key-2", "alice") == ()
    assert grants.of_epoch(db, "team", "team-key-3") == grants.of_epoch(db, "other", "team-key-1") == ()


def test_epochs_come_oldest_first_with_the_grants_of_who_asks(db: sqlite3.Connection) -> None:
    for epoch in (1, 2, 3):
        put_epoch(db, epoch, grants=[NewGrant(name, "alice/phone", f"{name}{epoch}") for name in ("alice", "bob")])
    put_epoch(db, conversation_id="other", grants=[NewGrant("bob", "alice/phone", "elsewhere")])
    found = list(grants.each_epoch(db, "team", user_id="bob"))
    assert [(epoch.epoch, epoch.grants) for epoch in found] == [
        (number, (Grant("bob", f"bob{number}", "alice/phone"),)) for number in (1, 2, 3)
    ]
    assert (found[1].seq, found[1].record, found[1].record_hash) == (2, "record 2", "team-record-2")
    assert all(epoch.grants == () for epoch in grants.each_epoch(db, "team"))
    assert all(epoch.grants == () for epoch in grants.each_epoch(db, "team", user_id="carol"))


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"after_epoch": 2}, [3, 4]),
        ({"after_seq": 3}, [4]),
        ({"up_to_seq": 3}, [1, 2, 3]),
        ({"after_epoch": 1, "up_to_seq": 3}, [2, 3]),
        ({"after_epoch": 4}, []),
    ],
)
def test_epochs_are_bounded(db: sqlite3.Connection, bounds: dict[str, int], expected: list[int]) -> None:
    for epoch in (1, 2, 3, 4):
        put_epoch(db, epoch, [])
    after_epoch, after_seq = bounds.get("after_epoch", 0), bounds.get("after_seq", 0)
    up_to_seq = bounds.get("up_to_seq", 100)
    found = grants.each_epoch(db, "team", after_epoch=after_epoch, after_seq=after_seq, up_to_seq=up_to_seq)
    assert [epoch.epoch for epoch in found] == expected


@pytest.mark.parametrize(("limit", "max_bytes", "expected"), [(2, 1000, [2, 3]), (9, 1, [2]), (9, 10, [2, 3])])
def test_a_page_of_epochs_ends_at_a_number_or_a_size(
    db: sqlite3.Connection, limit: int, max_bytes: int, expected: list[int]
) -> None:
    for epoch in (1, 2, 3, 4):
        put_epoch(db, epoch, [], [NewGrant("bob", "alice/phone", "b")])
    found = grants.page(db, "team", after_epoch=1, up_to_seq=100, user_id="bob", limit=limit, max_bytes=max_bytes)
    assert [epoch.epoch for epoch in found] == expected
