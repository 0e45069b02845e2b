from __future__ import annotations

import random
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.conversation.content import Body, Content, DeleteBody, EditBody, Name, NameNotice, TextBody, Unknown
from tacit.conversation.judging import Counted, Shown, Trust
from tacit.conversation.timeline import MOST_GAPS, Entry, Gaps, Opened, Seen, find_gaps, find_misplaced, fold_timeline

ALICE, BOB = "alice", "bob"


def name(user_id: str, client_id: str, device: str = "d") -> Name:
    return Name(user_id, device * 64, client_id)


def opened(seq: int, by: Name, body: Body, trust: Trust | None = None) -> Opened:
    content = Content(1, 1000 + seq, (), b"", b"k" * 32, b"")
    return Opened(seq, Shown(by, 1, content, body, trust or Trust(), seq.to_bytes(32, "big")))


def entry(messages: list[Opened], by: Name) -> Entry:
    return next(each for each in fold_timeline(messages).entries if each.name == by)


M1, M2, M3 = name(ALICE, "1"), name(ALICE, "2"), name(ALICE, "3")
B1 = name(BOB, "1")
HELLO = opened(1, M1, TextBody("hello"))


def test_texts_stand_in_the_order_of_seq() -> None:
    timeline = fold_timeline([opened(2, B1, TextBody("b")), HELLO])
    assert [(each.seq, each.text, each.sent_at) for each in timeline.entries] == [(1, "hello", 1001), (2, "b", 1002)]
    assert timeline.ignored == ()
    assert timeline.name is None


def test_an_edit_by_the_same_user_counts_from_any_device() -> None:
    edit = opened(2, name(ALICE, "9", "e"), EditBody(M1, "hello!"))
    assert entry([HELLO, edit], M1) == Entry(M1, 1, 1, 1001, "hello!", None, Trust(), edited=True)


def test_the_last_edit_in_seq_counts() -> None:
    edits = [opened(3, M3, EditBody(M1, "third")), opened(2, M2, EditBody(M1, "second"))]
    assert entry([*edits, HELLO], M1).text == "third"


def test_a_deletion_leaves_a_tombstone() -> None:
    assert entry([HELLO, opened(2, M2, DeleteBody(M1))], M1) == Entry(M1, 1, 1, 1001, None, None, Trust(), deleted=True)


def test_what_is_deleted_stays_deleted() -> None:
    messages = [HELLO, opened(2, M2, DeleteBody(M1)), opened(3, M3, EditBody(M1, "again"))]
    assert entry(messages, M1).deleted
    assert [each.reason for each in fold_timeline(messages).ignored] == ["the message was deleted"]


@pytest.mark.parametrize("body", [EditBody(M1, "changed"), DeleteBody(M1)])
def test_what_another_user_does_to_a_message_is_kept_and_does_not_count(body: EditBody | DeleteBody) -> None:
    timeline = fold_timeline([HELLO, opened(2, B1, body)])
    assert timeline.entries == fold_timeline([HELLO]).entries
    (ignored,) = timeline.ignored
    assert (ignored.name, ignored.seq, ignored.target, ignored.reason) == (B1, 2, M1, "it is another's message")


def test_another_users_message_id_and_device_id_reach_only_ones_own_messages() -> None:
    """Bob names a target like alice's, but under his own user id: it is no message of hers."""
    posing = Name(BOB, M1.device_id, M1.client_message_id)
    timeline = fold_timeline([HELLO, opened(2, B1, DeleteBody(posing))])
    assert timeline.entries == fold_timeline([HELLO]).entries
    assert timeline.ignored[0].reason == "there is no such message"


def test_an_edit_of_what_is_no_text_does_not_count_but_a_deletion_does() -> None:
    picture = opened(1, M1, Unknown(7, b"attachment"))
    assert entry([picture], M1).unknown == Unknown(7, b"attachment")
    messages = [picture, opened(2, M2, EditBody(M1, "text"))]
    assert entry(messages, M1).text is None
    assert fold_timeline(messages).ignored[0].reason == "the message is not a text"
    assert entry([picture, opened(2, M2, DeleteBody(M1))], M1) == Entry(
        M1, 1, 1, 1001, None, None, Trust(), deleted=True
    )


def test_an_edit_before_its_message_counts_all_the_same() -> None:
    assert entry([opened(0, M2, EditBody(M1, "early")), HELLO], M1).text == "early"


def test_of_one_name_the_first_in_seq_is_shown() -> None:
    again = opened(5, M1, TextBody("another text"))
    assert fold_timeline([again, HELLO]) == fold_timeline([HELLO])


def test_two_users_may_use_one_client_message_id() -> None:
    assert len(fold_timeline([HELLO, opened(2, B1, TextBody("hi"))]).entries) == 2


def test_the_marks_of_an_edit_or_deletion_stay_with_the_message() -> None:
    late = opened(2, M2, EditBody(M1, "x"), Trust(late=True))
    revoked = opened(3, M3, EditBody(M1, "y"), Trust(revoked=True))
    assert entry([HELLO, late], M1).trust == Trust(late=True)
    assert entry([HELLO, late, revoked], M1).trust == Trust(late=True, revoked=True)
    gone = opened(2, M2, DeleteBody(M1), Trust(revoked=True))
    assert entry([HELLO, gone], M1).trust == Trust(revoked=True)
    marked = opened(1, M1, TextBody("hello"), Trust(late=True, revoked=True))
    assert entry([marked, opened(2, M2, EditBody(M1, "x"))], M1).trust == Trust(late=True, revoked=True)


def test_the_latest_notice_names_the_conversation() -> None:
    notices = [opened(3, M2, NameNotice("new")), opened(1, M1, NameNotice("old"))]
    timeline = fold_timeline(notices)
    assert (timeline.name, timeline.entries) == ("new", ())


@given(st.permutations(range(8)))
def test_the_order_of_opening_makes_no_difference(order: list[int]) -> None:
    messages = [
        HELLO,
        opened(2, B1, EditBody(M1, "no")),
        opened(3, M2, EditBody(M1, "yes")),
        opened(4, M3, NameNotice("team")),
        opened(5, M1, TextBody("again")),
        opened(6, name(BOB, "2"), TextBody("mine")),
        opened(7, name(BOB, "3"), DeleteBody(name(BOB, "2"))),
        opened(8, name(BOB, "4"), Unknown(99, b"")),
    ]
    assert fold_timeline([messages[index] for index in order]) == fold_timeline(messages)


# --- gaps -----------------------------------------------------------------------------------


class Place(NamedTuple):
    user_id: str
    device_id: str
    instance_id: bytes


HERE = Place(ALICE, "d" * 64, b"i" * 16)


def hash_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def seen(counter: int, *, epoch: int = 1, saw: tuple[int, ...] = (), place: Place = HERE) -> Seen:
    use = Counted(bytes(32), place.user_id, place.device_id, place.instance_id, counter)
    return Seen(use, epoch, hash_of(counter), tuple(hash_of(each) for each in saw))


def test_nothing_is_missing_where_all_counters_came() -> None:
    gaps = find_gaps([seen(counter) for counter in (2, 0, 1)])
    assert not gaps
    assert (gaps.counters, gaps.hashes) == ({}, frozenset())
    assert not find_gaps([])


def test_missing_counters_are_told_by_device_and_opening() -> None:
    other = Place(ALICE, "d" * 64, b"j" * 16)
    gaps = find_gaps([seen(1), seen(4), seen(0, place=other), seen(2, place=other)])
    assert gaps
    assert gaps.counters == {HERE: (0, 2, 3), other: (1,)}


def test_a_message_that_another_saw_is_missing() -> None:
    gaps = find_gaps([seen(0), seen(1, saw=(0, 77))])
    assert gaps
    assert gaps.hashes == {hash_of(77)}


def test_a_joiner_misses_nothing_from_before_its_time() -> None:
    messages = [seen(5, epoch=3, saw=(77,)), seen(6, epoch=4, saw=(77, 78))]
    assert find_gaps(messages, joined=3).counters == {}
    assert find_gaps(messages, joined=3).hashes == {hash_of(78)}
    assert find_gaps(messages).counters == {HERE: (0, 1, 2, 3, 4)}
    assert find_gaps(messages).hashes == {hash_of(77), hash_of(78)}


def test_what_is_held_besides_is_not_missing() -> None:
    messages = [seen(5, epoch=3), seen(6, epoch=4, saw=(77, 78))]
    assert find_gaps(messages, 3, {hash_of(77)}).hashes == {hash_of(78)}
    assert not find_gaps(messages, 3, {hash_of(77), hash_of(78)})


def test_a_member_from_the_first_epoch_on_misses_what_that_epoch_saw() -> None:
    assert find_gaps([seen(0, epoch=1, saw=(77,))], joined=1).hashes == {hash_of(77)}


def test_an_absurd_counter_costs_little() -> None:
    gaps = find_gaps([seen(1), seen((1 << 64) - 1)])
    assert gaps.counters[HERE] == (0, *range(2, MOST_GAPS + 1))


@given(st.sets(st.integers(0, 200), min_size=1), st.randoms(use_true_random=False))
def test_counters_and_gaps_together_are_all_up_to_the_highest(numbers: set[int], shuffler: random.Random) -> None:
    messages = [seen(number) for number in numbers]
    shuffler.shuffle(messages)
    missing = find_gaps(messages).counters.get(HERE, ())
    assert sorted([*missing, *numbers]) == list(range(max(numbers) + 1))


# --- misplaced ------------------------------------------------------------------------------


def sent(counter: int, **settings: Any) -> Seen:
    return seen(counter, **settings)._replace(ordered=True)


def test_messages_in_the_order_of_their_senders_are_in_place() -> None:
    other = HERE._replace(instance_id=b"j" * 16)
    assert not find_misplaced([sent(0), sent(0, place=other), sent(3, saw=(0,)), sent(1, place=other), sent(3)])


def test_a_counter_that_goes_back_is_misplaced() -> None:
    found = find_misplaced([sent(0), sent(2), sent(1), sent(3)])
    assert found == {hash_of(1)}
    assert Gaps({}, frozenset(), found)


def test_a_message_behind_one_that_saw_it_is_misplaced() -> None:
    other = HERE._replace(user_id=BOB)
    assert find_misplaced([sent(5, saw=(0, 4), place=other), sent(0), sent(4)]) == {hash_of(0), hash_of(4)}
    assert not find_misplaced([sent(0), sent(5, saw=(0, 4), place=other)])


def test_a_message_that_comes_twice_is_misplaced_at_neither_place() -> None:
    assert not find_misplaced([sent(0), sent(1, saw=(0,)), sent(0)])


def test_a_notice_overtakes_what_waits() -> None:
    assert not find_misplaced([sent(0), seen(2), sent(1)])
    assert not find_misplaced([sent(0), sent(2), seen(1)])
