from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from server.store.fill import put_account, put_epoch, send
from tacit import errors
from tacit.server.store import conversations, messages
from tacit.server.store.rows import Epoch, Inserted, Message, NewGrant, Page


def seqs(page: Page) -> list[int]:
    return [item.seq for item in page.items]


def test_a_message_comes_back_as_it_was_sent(db: sqlite3.Connection) -> None:
    put_epoch(db)
    assert send(db, "m", payload='{"a":1}', now=7) == Inserted(2, 7, False)
    stored = Message(2, 7, "alice", "phone", "m", "team-key-1", '{"a":1}', "aXY=")
    assert messages.page(db, "team", 1, 10) == Page((stored,), 2, False)


def test_the_table_says_that_there_is_nothing_to_read(db: sqlite3.Connection) -> None:
    put_epoch(db)
    send(db, "m", payload="{}")
    row = db.execute("SELECT text, encrypted, encryption_key_id, encrypted_payload, iv FROM messages").fetchone()
    assert row == ("[Encrypted Message]", 1, "team-key-1", "{}", "aXY=")


def test_messages_and_records_share_one_gapless_count(db: sqlite3.Connection) -> None:
    put_epoch(db)
    got = [send(db, "a").seq, send(db, "b").seq, put_epoch(db, 2, []).seq, send(db, "c", epoch=2).seq]
    assert got == [2, 3, 4, 5]
    with pytest.raises(errors.EpochClosed):
        send(db, "late")
    send(db, "c", epoch=2)  # a duplicate takes no number either
    assert send(db, "d", epoch=2).seq == 6
    head = conversations.head(db, "team")
    assert head is not None and head.head_seq == 6


def test_the_same_message_sent_again_gets_the_first_answer(db: sqlite3.Connection) -> None:
    put_epoch(db)
    send(db, "m", now=10)
    send(db, "n", now=20)
    put_epoch(db, 2, [])
    before = list(db.iterdump())
    # Also when its epoch was closed since: the lookup comes before the epoch.
    assert send(db, "m", now=99) == Inserted(2, 10, True)
    assert list(db.iterdump()) == before


def test_another_message_under_the_same_id_is_refused(db: sqlite3.Connection) -> None:
    put_epoch(db)
    send(db, "m", payload='{"a":1}')
    before = list(db.iterdump())
    with pytest.raises(errors.MessageIdConflict):
        send(db, "m", payload='{"a":2}')
    put_epoch(db, 2, [])
    with pytest.raises(errors.MessageIdConflict):
        send(db, "m", payload='{"a":2}', epoch=2)
    assert [line for line in before if 'INTO "messages"' in line] == [
        line for line in db.iterdump() if 'INTO "messages"' in line
    ]


def test_an_id_is_a_devices_own_in_one_conversation(db: sqlite3.Connection) -> None:
    put_epoch(db)
    put_epoch(db, conversation_id="other")
    first = send(db, "m", payload="1")
    assert send(db, "m", payload="2", device_id="laptop") == Inserted(first.seq + 1, 2000, False)
    assert send(db, "m", payload="3", conversation_id="other") == Inserted(2, 2000, False)
    assert db.execute("SELECT count(*) FROM messages").fetchone() == (3,)


def closed(db: sqlite3.Connection) -> None:
    put_epoch(db, 2, [])


def revoked(db: sqlite3.Connection) -> None:
    put_account(db, version=2)


@pytest.mark.parametrize(
    ("before", "conversation_id", "epoch", "error", "facts"),
    [
        (closed, "team", 1, errors.EpochClosed, {"epoch": 2}),
        (closed, "team", 3, errors.KeyIdMismatch, {}),
        (revoked, "team", 1, errors.EpochOutdated, {"epoch": 1}),
        (revoked, "other", 1, errors.NotAMember, {}),
    ],
)
def test_a_message_of_no_open_epoch_is_refused_and_nothing_is_written(
    db: sqlite3.Connection,
    before: Callable[[sqlite3.Connection], None],
    conversation_id: str,
    epoch: int,
    error: type[errors.TacitError],
    facts: dict[str, object],
) -> None:
    put_account(db, devices=("phone", "laptop"))
    put_epoch(db)
    before(db)
    stands, changes = list(db.iterdump()), db.total_changes
    with pytest.raises(error) as raised:
        send(db, "m", conversation_id=conversation_id, epoch=epoch)
    assert raised.value.facts == facts
    assert db.total_changes == changes
    assert list(db.iterdump()) == stands


def test_a_key_of_another_conversation_is_of_no_epoch_here(db: sqlite3.Connection) -> None:
    put_epoch(db)
    put_epoch(db, conversation_id="other")
    with pytest.raises(errors.KeyIdMismatch):
        messages.insert(db, "team", "alice", "phone", "m", "{}", "other-key-1", "aXY=", 1)


def test_an_outdated_epoch_still_knows_its_earlier_messages(db: sqlite3.Connection) -> None:
    put_account(db, devices=("phone", "laptop"))
    put_epoch(db)
    send(db, "m")
    put_account(db, version=2)
    assert send(db, "m").duplicate
    put_epoch(db, 2, [])
    assert send(db, "n", epoch=2).seq == 4


def test_a_page_has_messages_and_records_in_the_order_of_seq(db: sqlite3.Connection) -> None:
    put_epoch(db)
    send(db, "a")
    put_epoch(db, 2, [])
    put_epoch(db, 3, [])
    send(db, "b", epoch=3)
    page = messages.page(db, "team", 0, 10)
    assert seqs(page) == [1, 2, 3, 4, 5]
    assert [type(item) for item in page.items] == [Epoch, Message, Epoch, Epoch, Message]
    assert (page.cursor, page.more) == (5, False)
    put_epoch(db, 4, [])
    assert seqs(messages.page(db, "team", 3, 10)) == [4, 5, 6]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 6, 7])
def test_pages_follow_one_another_without_a_gap(db: sqlite3.Connection, limit: int) -> None:
    put_epoch(db)
    for number in range(2):
        send(db, f"a{number}")
    put_epoch(db, 2, [])
    for number in range(2):
        send(db, f"b{number}", epoch=2)
    got: list[int] = []
    cursor, more = 0, True
    while more:
        page = messages.page(db, "team", cursor, limit)
        assert 1 <= len(page.items) <= limit
        assert page.cursor == page.items[-1].seq
        got += seqs(page)
        cursor, more = page.cursor, page.more
    assert got == [1, 2, 3, 4, 5, 6]


def test_a_page_after_the_end_is_empty_and_keeps_the_cursor(db: sqlite3.Connection) -> None:
    put_epoch(db)
    assert messages.page(db, "team", 1, 10) == Page((), 1, False)
    assert messages.page(db, "other", 0, 10) == Page((), 0, False)


def test_a_page_ends_at_the_last_seq_that_its_reader_may_see(db: sqlite3.Connection) -> None:
    put_epoch(db)
    send(db, "a")
    put_epoch(db, 2, [])
    send(db, "b", epoch=2)
    put_epoch(db, 3, [])
    for last in range(6):
        page = messages.page(db, "team", 0, 10, up_to_seq=last)
        assert seqs(page) == list(range(1, last + 1))
        assert not page.more
    assert messages.page(db, "team", 0, 2, up_to_seq=3).more
    assert not messages.page(db, "team", 0, 2, up_to_seq=2).more


def test_records_come_with_the_grants_to_who_reads(db: sqlite3.Connection) -> None:
    put_epoch(db, grants=[NewGrant("alice", "alice/phone", "a"), NewGrant("bob", "alice/phone", "b")])

    def granted(user_id: str | None) -> list[str]:
        (record,) = messages.page(db, "team", 0, 10, user_id=user_id).items
        assert isinstance(record, Epoch)
        return [grant.encrypted_key for grant in record.grants]

    assert (granted("bob"), granted("carol"), granted(None)) == (["b"], [], [])


def test_a_page_ends_after_the_item_that_fills_it(db: sqlite3.Connection) -> None:
    put_epoch(db)
    for number in range(5):
        send(db, str(number), payload="x" * 100)
    first = messages.page(db, "team", 1, 10, max_bytes=200)
    assert (seqs(first), first.cursor, first.more) == ([2, 3], 3, True)
    assert seqs(messages.page(db, "team", 1, 10, max_bytes=201)) == [2, 3, 4]
    assert seqs(messages.page(db, "team", 3, 10, max_bytes=1)) == [4]  # one at the least
    last = messages.page(db, "team", 5, 10, max_bytes=1)
    assert (seqs(last), last.more) == ([6], False)


def test_records_and_their_grants_fill_a_page_too(db: sqlite3.Connection) -> None:
    put_epoch(db, grants=[NewGrant("alice", "alice/phone", "g" * 92)])  # and "record 1": 100 in all
    put_epoch(db, 2, [])
    assert seqs(messages.page(db, "team", 0, 10, user_id="alice", max_bytes=100)) == [1]
    assert seqs(messages.page(db, "team", 0, 10, user_id="alice", max_bytes=101)) == [1, 2]
    assert seqs(messages.page(db, "team", 0, 10, max_bytes=8)) == [1]
    assert seqs(messages.page(db, "team", 0, 10, max_bytes=9)) == [1, 2]


def test_without_other_words_a_page_ends_at_four_mebibytes(db: sqlite3.Connection) -> None:
    put_epoch(db)
    for number in range(5):
        send(db, str(number), payload="x" * (1024 * 1024))
    page = messages.page(db, "team", 1, 10)
    assert (seqs(page), page.more) == ([2, 3, 4, 5], True)
