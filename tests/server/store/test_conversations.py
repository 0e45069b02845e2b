from __future__ import annotations

import sqlite3

import pytest

from server.store.fill import ALICE_AND_BOB, put_account, put_epoch, send
from tacit import errors
from tacit.server.store import account_events, conversations, grants
from tacit.server.store.rows import Epoch, Grant, Head, Member, MemberChange, NewGrant, Opened, Standing


def everything(db: sqlite3.Connection) -> list[str]:
    return list(db.iterdump())


def told(db: sqlite3.Connection, user_id: str) -> list[tuple[str, str]]:
    return [(event.kind, event.body) for event in account_events.page(db, user_id, 0, 100).events]


def test_the_first_epoch_makes_the_conversation(db: sqlite3.Connection) -> None:
    opened = put_epoch(db, grants=[NewGrant("bob", "alice/phone", "Z3JhbnQ=")], now=50)
    assert opened == Opened(1, 50, False, {"alice": 1, "bob": 1})
    assert conversations.head(db, "team") == Head("team", 1, "team-key-1", "team-record-1", 1, False, 50)
    assert conversations.state(db, "team") == b"state 1"
    assert conversations.members(db, "team") == (Member("alice", 2, 1, 1, None), Member("bob", 1, 1, 1, None))
    stored = Epoch(1, 50, 1, "team-key-1", "team-record-1", "envelope", "record 1", "c2ln", ())
    assert conversations.epoch(db, "team", "team-key-1") == stored
    assert grants.of_epoch(db, "team", "team-key-1") == (Grant("bob", "Z3JhbnQ=", "alice/phone"),)


def test_what_is_not_there_is_not_found(db: sqlite3.Connection) -> None:
    put_epoch(db)
    assert conversations.head(db, "other") is None
    assert conversations.state(db, "other") is None
    assert conversations.epoch(db, "other", "team-key-1") is None
    assert conversations.epoch(db, "team", "team-key-2") is None
    assert conversations.members(db, "other") == ()
    assert conversations.leaves(db, "other") == {}
    assert conversations.standings(db, "carol") == ()
    for conversation_id, user_id in (("team", "carol"), ("other", "alice")):
        with pytest.raises(errors.NotAMember):
            conversations.standing(db, conversation_id, user_id)


def test_the_next_epoch_takes_the_next_seq_and_the_head(db: sqlite3.Connection) -> None:
    put_epoch(db)
    send(db, "m1")
    send(db, "m2")
    assert put_epoch(db, 2, [], now=70) == Opened(4, 70, False, {"alice": 2, "bob": 2})
    assert conversations.head(db, "team") == Head("team", 2, "team-key-2", "team-record-2", 4, False, 1000)
    assert conversations.state(db, "team") == b"state 2"
    assert send(db, "m3", epoch=2).seq == 5
    earlier = conversations.epoch(db, "team", "team-key-1")
    assert earlier is not None and (earlier.seq, earlier.record_hash) == (1, "team-record-1")


@pytest.mark.parametrize(
    ("epoch", "previous"),
    [(2, "team-record-1"), (3, "team-record-1"), (3, ""), (3, "team-record-2'"), (4, "team-record-2"), (1, "")],
)
def test_an_epoch_that_does_not_follow_the_newest_is_refused(db: sqlite3.Connection, epoch: int, previous: str) -> None:
    put_epoch(db)
    put_epoch(db, 2, [])
    before = everything(db)
    with pytest.raises(errors.EpochConflict) as raised:
        put_epoch(db, epoch, [], variant="'", previous=previous)
    assert raised.value.facts == {"epoch": 2, "head": "team-record-2", "keyId": "team-key-2"}
    assert everything(db) == before


@pytest.mark.parametrize(("epoch", "previous"), [(2, "team-record-1"), (2, ""), (1, "something")])
def test_a_conversation_begins_with_epoch_1_and_no_predecessor(
    db: sqlite3.Connection, epoch: int, previous: str
) -> None:
    with pytest.raises(errors.EpochConflict) as raised:
        put_epoch(db, epoch, previous=previous)
    assert raised.value.facts == {"epoch": 0, "head": "", "keyId": ""}
    assert conversations.head(db, "team") is None


def test_a_key_id_of_any_other_epoch_is_refused(db: sqlite3.Connection) -> None:
    put_epoch(db)
    before = everything(db)
    for conversation_id, epoch in (("team", 2), ("other", 1)):
        with pytest.raises(errors.KeyIdMismatch):
            put_epoch(db, epoch, conversation_id=conversation_id, key_id="team-key-1")
    assert everything(db) == before


def test_the_very_record_sent_again_is_a_duplicate_at_any_time(db: sqlite3.Connection) -> None:
    put_epoch(db, now=10)
    send(db, "m")
    put_epoch(db, 2, [], now=20)
    before = everything(db)
    assert put_epoch(db, 2, [], now=99) == Opened(3, 20, True, {})
    assert put_epoch(db, now=99) == Opened(1, 10, True, {})
    assert everything(db) == before


def test_the_same_record_in_another_conversation_is_no_duplicate(db: sqlite3.Connection) -> None:
    put_epoch(db)
    with pytest.raises(sqlite3.IntegrityError):
        # Its hash holds the conversation's id, so that nobody gets here whose record was parsed.
        conversations.put_record(
            db,
            conversation_id="other",
            epoch=1,
            key_id="other-key-1",
            record_hash="team-record-1",
            previous_record_hash="",
            protocol="envelope",
            record="record 1",
            signature="c2ln",
            state=b"state",
            changes=(),
            new_grants=(),
            now=1,
        )


def test_conversations_count_apart(db: sqlite3.Connection) -> None:
    put_epoch(db)
    put_epoch(db, conversation_id="other")
    assert [send(db, "a").seq, send(db, "a", conversation_id="other").seq, send(db, "b").seq] == [2, 2, 3]
    assert put_epoch(db, 2, [], conversation_id="other").seq == 3


def test_a_removed_member_keeps_its_place_up_to_its_removal(db: sqlite3.Connection) -> None:
    put_epoch(db)
    send(db, "m")
    opened = put_epoch(db, 2, [MemberChange("bob", 0, 1)])
    assert opened.told == {"alice": 2, "bob": 2}
    assert conversations.members(db, "team") == (Member("alice", 2, 1, 1, None),)
    assert conversations.members(db, "team", with_former=True)[1] == Member("bob", 0, 1, 1, 3)
    standing = conversations.standing(db, "team", "bob")
    assert standing == Standing("team", 2, "team-key-2", "team-record-2", 3, False, 0, 1, 1, 3)
    assert conversations.standings(db, "bob") == ()
    assert conversations.standings(db, "bob", with_former=True) == (standing,)
    assert told(db, "bob")[-1] == ("removed", '{"conversationId":"team","epoch":2}')
    assert told(db, "alice")[-1] == ("conversation", '{"conversationId":"team","epoch":2}')
    put_epoch(db, 3, [])
    assert conversations.standing(db, "team", "bob").removed_seq == 3
    assert len(told(db, "bob")) == 2


def test_who_comes_back_begins_a_new_stay(db: sqlite3.Connection) -> None:
    put_epoch(db)
    put_epoch(db, 2, [MemberChange("bob", 0, 1)])
    put_epoch(db, 3, [MemberChange("bob", 2, 7)])
    assert conversations.members(db, "team")[1] == Member("bob", 2, 7, 3, None)


def test_who_stays_keeps_the_beginning_of_its_stay(db: sqlite3.Connection) -> None:
    put_epoch(db)
    put_epoch(db, 2, [MemberChange("bob", 2, 5)])
    assert conversations.members(db, "team")[1] == Member("bob", 2, 5, 1, None)


def test_members_are_sorted_by_their_utf8_bytes(db: sqlite3.Connection) -> None:
    names = ["Zoe", "a", "b", "\u00e9", "\uffee", "\U0001f600"]
    put_epoch(db, changes=[MemberChange(name, 1, 1) for name in reversed(names)])
    assert [member.user_id for member in conversations.members(db, "team")] == names
    assert names == sorted(names, key=str.encode)


def test_standings_are_a_users_own_sorted_by_conversation(db: sqlite3.Connection) -> None:
    for name in ("zebra", "apple"):
        put_epoch(db, conversation_id=name)
    put_epoch(db, changes=[MemberChange("bob", 2, 1)], conversation_id="bobs")
    assert [standing.conversation_id for standing in conversations.standings(db, "alice")] == ["apple", "zebra"]
    assert conversations.standings(db, "alice")[1] == conversations.standing(db, "zebra", "alice")
    bobs = [standing.conversation_id for standing in conversations.standings(db, "bob", with_former=True)]
    assert bobs == ["apple", "bobs", "zebra"]


def test_the_next_epoch_is_not_outdated_any_more(db: sqlite3.Connection) -> None:
    put_account(db, devices=("phone", "laptop"))
    put_epoch(db)
    put_account(db, version=2)
    assert conversations.standing(db, "team", "bob").outdated
    put_epoch(db, 2, [MemberChange("alice", 2, 2)])
    assert not conversations.standing(db, "team", "bob").outdated
    head = conversations.head(db, "team")
    assert head is not None and not head.outdated


def test_a_leave_waits_until_a_record_carries_it_out(db: sqlite3.Connection) -> None:
    put_epoch(db, changes=[*ALICE_AND_BOB, MemberChange("carol", 1, 1)])
    assert conversations.put_leave(db, "team", "bob", "bGVhdmU=", 10) == {"alice": 2, "carol": 2}
    assert told(db, "carol")[-1] == ("leave", '{"conversationId":"team","leave":"bGVhdmU="}')
    assert len(told(db, "bob")) == 1
    conversations.put_leave(db, "team", "carol", "Y2Fyb2w=", 11)
    put_epoch(db, 2, [])
    assert conversations.leaves(db, "team") == {"bob": "bGVhdmU=", "carol": "Y2Fyb2w="}
    put_epoch(db, 3, [MemberChange("bob", 0, 1)])
    assert conversations.leaves(db, "team") == {"carol": "Y2Fyb2w="}


def test_a_newer_leave_takes_the_place_of_an_earlier_one(db: sqlite3.Connection) -> None:
    put_epoch(db)
    conversations.put_leave(db, "team", "bob", "Zmlyc3Q=", 10)
    conversations.put_leave(db, "team", "bob", "c2Vjb25k", 20)
    assert db.execute("SELECT leave, created_at FROM pending_leaves").fetchall() == [("c2Vjb25k", 20)]


def test_the_very_leave_sent_again_tells_nobody(db: sqlite3.Connection) -> None:
    put_epoch(db)
    conversations.put_leave(db, "team", "bob", "bGVhdmU=", 10)
    before = everything(db)
    assert conversations.put_leave(db, "team", "bob", "bGVhdmU=", 20) == {}
    assert everything(db) == before


def test_a_leave_is_dropped_by_itself(db: sqlite3.Connection) -> None:
    for name in ("team", "other"):
        put_epoch(db, conversation_id=name)
        for user_id in ("alice", "bob"):
            conversations.put_leave(db, name, user_id, user_id, 10)
    conversations.drop_leave(db, "team", "bob")
    assert conversations.leaves(db, "team") == {"alice": "alice"}
    assert conversations.leaves(db, "other") == {"alice": "alice", "bob": "bob"}


def test_a_leave_needs_a_conversation(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        conversations.put_leave(db, "nowhere", "bob", "bGVhdmU=", 10)
