"""Records of the first format are read for ever: a file of them goes on where its group stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from mls.fixtures.make_snapshot import LABEL, POLICY
from tacit import errors
from tacit.mls import Application, CommitChecked, Group, Own, ProposalTaken, load_keys, load_pending, save_pending
from tacit.mls.framing import ContentType

FILE: Final = json.loads((Path(__file__).parent / "fixtures" / "snapshot-1.json").read_text(encoding="utf-8"))
RECORDS: Final = {name: bytes.fromhex(record) for name, record in FILE["records"].items()}
NOW: Final[int] = FILE["now"]


@pytest.fixture
def alice() -> Group:
    return Group.load(RECORDS, POLICY)


def read(group: Group, expected: dict[str, Any]) -> Group:
    """The group reads a message once, and no second time."""
    message = bytes.fromhex(expected["message"])
    group, found = group.process(message, NOW)
    assert isinstance(found, Application)
    assert (found.data.decode(), found.sender, found.epoch) == tuple(
        expected[name] for name in ("data", "sender", "epoch")
    )
    with pytest.raises(errors.KeyConsumed):
        group.process(message, NOW)
    return group


def test_there_is_something_of_everything(alice: Group) -> None:
    state = alice.state
    assert (alice.epoch, alice.me, len(state.past), len(state.resumption)) == (4, 0, 3, 4)
    assert (len(state.proposals), len(state.updates)) == (2, 1)
    chains = [
        chain for chunk in state.secret_tree.chunks.values() for each in chunk.ratchets.values() for chain in each
    ]
    assert any(chain.skipped for chain in chains)


def test_the_records_are_written_as_they_were(alice: Group) -> None:
    assert FILE["version"] == 1
    assert alice.records() == RECORDS
    assert save_pending(load_pending(bytes.fromhex(FILE["pending"]))).hex() == FILE["pending"]


def test_it_reads_what_was_under_way(alice: Group) -> None:
    assert alice.exporter(*LABEL).reveal().hex() == FILE["exported"]
    for expected in (*FILE["present"], *FILE["late"][::-1]):
        alice = read(alice, expected)
    alice, own = alice.process(bytes.fromhex(FILE["own"]), NOW)
    assert own == Own(ContentType.APPLICATION, 4)


def test_it_takes_a_commit_of_its_own_update(alice: Group) -> None:
    alice, checked = alice.process(bytes.fromhex(FILE["their_commit"]), NOW)
    assert isinstance(checked, CommitChecked)
    assert [index for index, _ in checked.transition.effects.updated] == [alice.me]
    alice = alice.merge(checked, NOW)
    assert alice.epoch_authenticator.reveal().hex() == FILE["after_theirs"]["epoch_authenticator"]
    alice = read(alice, FILE["after_theirs"])
    with pytest.raises(errors.WrongEpoch):
        alice.merge(load_pending(bytes.fromhex(FILE["pending"])), NOW)
    read(alice, FILE["late"][3])


def test_it_takes_its_own_commit_and_who_is_added_joins(alice: Group) -> None:
    alice = alice.merge(load_pending(bytes.fromhex(FILE["pending"])), NOW)
    assert alice.epoch_authenticator.reveal().hex() == FILE["after_pending"]["epoch_authenticator"]
    read(alice, FILE["after_pending"])
    erin = Group.join(
        bytes.fromhex(FILE["joiner"]["welcome"]), load_keys(bytes.fromhex(FILE["joiner"]["keys"])), POLICY
    )
    assert erin.epoch_authenticator == alice.epoch_authenticator
    read(erin, FILE["after_pending"])


def test_it_goes_on(alice: Group) -> None:
    def random(size: int) -> bytes:
        return bytes(range(100, 100 + size))

    alice = alice.merge(load_pending(bytes.fromhex(FILE["pending"])), NOW)
    erin = Group.join(
        bytes.fromhex(FILE["joiner"]["welcome"]), load_keys(bytes.fromhex(FILE["joiner"]["keys"])), POLICY
    )
    alice, pending = alice.commit(now=NOW, random=random)
    alice = alice.merge(pending, NOW)
    erin, checked = erin.process(pending.commit, NOW)
    assert isinstance(checked, CommitChecked)
    erin = erin.merge(checked, NOW)
    _, proposal = erin.propose_update(random)
    assert isinstance(alice.process(proposal, NOW)[1], ProposalTaken)
    assert Group.load(alice.records(), POLICY).epoch == 6
