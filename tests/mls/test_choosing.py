"""Which proposals a commit takes of those that were received."""

from __future__ import annotations

import pytest

from mls.making import NOW, SUITE
from mls.party import OPEN, Open, Party, reinit
from tacit import errors
from tacit.mls import (
    Add,
    ExternalPsk,
    Group,
    LeafNode,
    Member,
    PendingCommit,
    PreSharedKey,
    PreSharedKeyID,
    Proposed,
    ReInit,
    Remove,
    Update,
    capabilities,
    suite_of,
)
from tacit.mls.choosing import chosen, preferred
from tacit.mls.proposals import AnyProposal, CustomProposal


@pytest.fixture
def four() -> Party:
    return Party("alice", "bob", "carol", "dave")


def taken(pending: PendingCommit) -> list[AnyProposal]:
    return [each.proposal for each in pending.effects.proposals]


def test_a_remove_counts_more_than_an_update_whichever_comes_first(four: Party) -> None:
    four.propose("bob", None)
    four.propose("carol", Remove(1))
    four.propose("carol", None)
    four.propose("dave", Remove(2))
    four.propose("bob", None)
    pending = four.commit("alice")
    assert taken(pending) == [Remove(1), Remove(2)]
    assert four["bob"].state.removed
    assert four.agree()


def test_of_two_removes_of_one_leaf_one_is_taken(four: Party) -> None:
    four.propose("bob", Remove(3))
    four.propose("carol", Remove(3))
    pending = four.commit("alice")
    assert taken(pending) == [Remove(3)]
    assert pending.effects.proposals[0].sender == Member(1)


def test_of_several_updates_of_one_leaf_the_latest_is_taken(four: Party) -> None:
    for _ in range(3):
        four.propose("bob", None)
    latest = four["alice"].proposals[-1].proposal
    pending = four.commit("alice")
    assert taken(pending) == [latest]
    assert isinstance(latest, Update)
    assert dict(four["bob"].members())[four["bob"].me] == latest.leaf_node
    assert four.agree(), "bob kept the key of each until one was committed"
    assert four.read(four.send("carol"), "bob").data == b"text"


def test_a_committer_takes_neither_its_own_update_nor_its_own_removal(four: Party) -> None:
    four.propose("alice", None)
    four.propose("bob", Remove(0))
    four.propose("bob", Remove(3))
    pending = four.commit("alice")
    assert taken(pending) == [Remove(3)]
    assert four.agree()
    four.propose("bob", Remove(0))
    four.commit("carol")
    assert four["alice"].state.removed


def test_an_update_of_the_committers_own_keeps_no_reinit_back(four: Party) -> None:
    four.propose("alice", None)
    four.propose("bob", reinit(b"next", SUITE))
    assert taken(four.pending("carol"))[0] == four["alice"].proposals[0].proposal, "anything else goes before it"
    assert taken(four.pending("alice")) == [reinit(b"next", SUITE)], "and for alice there is nothing else"


def test_the_committers_own_proposals_come_last_and_by_value(four: Party) -> None:
    four.propose("bob", Remove(3))
    package = four.keys("erin").package
    pending = four.commit("alice", Add(package))
    assert taken(pending) == [Remove(3), Add(package)]
    assert [each.reference is None for each in pending.effects.proposals] == [False, True]


def test_what_cannot_stand_beside_the_committers_own_is_left(four: Party) -> None:
    four.propose("bob", Remove(3))
    four.propose("carol", Remove(1))
    pending = four.commit("alice", Remove(3))
    assert taken(pending) == [Remove(1), Remove(3)]
    assert pending.effects.proposals[1].reference is None
    assert four.agree()


def test_what_is_not_valid_with_the_others_is_left(four: Party) -> None:
    """Two Adds of one key, and a proposal that not everybody supports: the first valid ones are taken."""
    package = four.keys("erin").package
    other = four.keys("erin", supports=capabilities((1,), proposals=(0xF001,))).package
    four.propose("bob", Add(package))
    four.propose("carol", Add(package))
    four.propose("carol", CustomProposal(0xF001, b"data"))
    four.propose("carol", Add(other))
    assert taken(four.commit("alice")) == [Add(package), Add(other)]
    assert four.agree()


def test_one_that_is_not_valid_costs_little_among_many() -> None:
    """What a committer looks at grows with n log n: whoever sends nonsense should not keep it busy."""

    class Counting(Open):
        looks = 0

        def authenticate(self, leaf: LeafNode) -> None:
            self.looks += 1

    party, policy = Party("alice", "bob"), Counting()
    packages = [party.keys(f"member {number}").package for number in range(40)]
    for number, package in enumerate((*packages[:20], packages[5], *packages[20:])):
        party.groups["bob"], message = party["bob"].propose(Add(package), party.random, bytes([number]))
        party.take(message, "alice")
    alice = Group(party["alice"].state, policy)
    assert len(alice.proposals) == 41
    _, pending = alice.commit(now=NOW, random=party.random)
    assert taken(pending) == [Add(package) for package in packages]
    assert policy.looks < 41 * 2 * 6, "one by one they would be over 800"


def test_nothing_is_left_of_what_was_received_where_none_of_it_is_valid(four: Party) -> None:
    four.propose("bob", CustomProposal(0xF001, b"data"))
    pending = four.commit("alice")
    assert taken(pending) == []
    assert four["alice"].proposals == ()


def test_own_proposals_that_are_not_valid_are_refused(four: Party) -> None:
    four.propose("bob", Remove(3))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.1\.3"):
        four.commit("alice", Remove(9))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.1\.3"):
        four.commit("alice", Remove(9), received=False)


def test_a_reinit_stands_alone(four: Party) -> None:
    next_group = reinit(b"next", suite_of(3))
    four.propose("bob", next_group)
    four.propose("carol", Remove(3))
    assert taken(four.pending("alice")) == [Remove(3)], "anything else goes before it"
    assert taken(four.pending("alice", Remove(1), received=True))[-1] == Remove(1)
    fresh = Party("alice", "bob")
    for name in ("alice", "bob"):
        fresh.propose(name, next_group)
    pending = fresh.commit("alice")
    assert taken(pending) == [next_group]
    assert pending.effects.reinit == next_group
    assert not fresh["bob"].is_active


def test_a_reinit_is_left_where_the_committer_has_something_of_its_own(four: Party) -> None:
    four.propose("bob", reinit(b"next", suite_of(3)))
    pending = four.commit("alice", Remove(3))
    assert taken(pending) == [Remove(3)]
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.2: a ReInit beside"):
        four.commit("alice", reinit(b"next", SUITE), Remove(1), received=False)


def test_what_was_received_may_be_left_out_altogether(four: Party) -> None:
    four.propose("bob", Remove(3))
    assert taken(four.commit("alice", received=False)) == []
    assert four["dave"].is_active


def test_of_one_pre_shared_key_that_two_propose_one_is_taken() -> None:
    party = Party("alice", "bob", "carol", policy=Open({b"name": b"key"}))
    psk = PreSharedKey(PreSharedKeyID(ExternalPsk(b"name"), bytes(32)))
    party.propose("bob", psk)
    party.propose("carol", psk)
    assert taken(party.commit("alice")) == [psk]
    assert party.agree()


def test_a_pre_shared_key_that_the_committer_does_not_know_is_left(four: Party) -> None:
    """Else whoever proposes one nobody has would keep everybody from committing."""
    psk = PreSharedKey(PreSharedKeyID(ExternalPsk(b"unknown"), bytes(32)))
    four.propose("bob", psk)
    four.propose("carol", Remove(3))
    assert taken(four.commit("alice")) == [Remove(3)]
    assert four.agree()
    with pytest.raises(errors.PskMissing):
        four.commit("alice", psk)


def test_the_choice_itself() -> None:
    """`preferred` and `chosen` by themselves: the first ReInit when there is nothing else, nothing for nothing."""
    party = Party("alice")
    state = party["alice"].state
    first, second = (Proposed(ReInit(each, 1, 1, ()), Member(1), each) for each in (b"a", b"b"))
    assert preferred([first, second], 0) == [first]
    assert preferred([], 0) == []
    assert chosen(state, OPEN, (), NOW) == ()
