"""What comes of messages: of whom they are, of which epoch, and what of them is taken."""

from __future__ import annotations

import dataclasses

import pytest

from mls.deep import deep_hash
from mls.making import GROUP_ID, NOW, SUITE
from mls.party import CLOSED, OPEN, PLAIN, Closed, Open, Party
from tacit import errors
from tacit.mls import (
    Add,
    BasicCredential,
    ExternalSender,
    ExternalSenders,
    Group,
    Member,
    NewMemberProposal,
    Policy,
    Remove,
    as_extension,
    proposed_from_outside,
    protection,
    to_wire,
)
from tacit.mls.commit import Commit
from tacit.mls.framing import (
    AnyContent,
    AnySender,
    ApplicationData,
    AuthenticatedContent,
    External,
    FramedContent,
    NewMemberCommit,
    PublicMessage,
    WireFormat,
    from_wire,
)
from tacit.mls.processing import ProposalTaken
from tacit.mls.proposals import GroupContextExtensions
from tacit.mls.suites import SignatureKey


@pytest.fixture
def three() -> Party:
    return Party("alice", "bob", "carol")


def refused(party: Party, name: str, message: bytes, error: type[errors.TacitError], match: str | None = None) -> None:
    """A message is refused, and leaves the group as it was."""
    before = deep_hash(party[name].state)
    with pytest.raises(error, match=match):
        party.take(message, name)
    assert deep_hash(party[name].state) == before


# --- late messages -----------------------------------------------------------------------


class Brief(Open):
    past_epochs = 2
    past_seconds = 100


def test_as_many_past_epochs_are_kept_as_the_policy_says() -> None:
    party = Party("alice", "bob", policy=Brief())
    late = []
    for _ in range(3):
        late.append(party.send("alice"))
        party.commit("bob")
    assert [each.context.epoch for each in party["bob"].state.past] == [3, 2]
    refused(party, "bob", late[0], errors.WrongEpoch, "epoch 1, here 4")
    assert party.read(late[1], "bob").epoch == 2
    assert party.read(late[2], "bob").epoch == 3
    refused(party, "bob", late[1], errors.KeyConsumed)


def test_a_past_epoch_is_kept_for_so_many_seconds() -> None:
    party = Party("alice", "bob", policy=Brief())
    late, later = party.send("alice"), party.send("alice")
    party.commit("bob")
    party.now += 100
    assert party.read(late, "bob").epoch == 1
    party.now += 1
    refused(party, "bob", later, errors.WrongEpoch, "too long")
    party.commit("alice")
    assert [each.context.epoch for each in party["bob"].state.past] == [2], "the older one is forgotten"


def test_a_policy_may_keep_no_epoch_that_is_over() -> None:
    class Strict(Open):
        past_epochs = 0
        resumption_epochs = 0

    party = Party("alice", "bob", policy=Strict())
    late = party.send("alice")
    party.commit("bob")
    assert (party["bob"].state.past, party["bob"].state.resumption) == ((), ())
    refused(party, "bob", late, errors.WrongEpoch)


def test_messages_of_an_epoch_come_in_any_order_even_late(three: Party) -> None:
    said = [three.send("alice", bytes([number])) for number in range(6)]
    assert three.read(said[4], "bob").data == b"\x04"
    three.commit("carol")
    for number in (1, 5, 0, 3, 2):
        assert three.read(said[number], "bob").data == bytes([number])
    refused(three, "bob", said[4], errors.KeyConsumed)


def test_a_late_message_is_of_who_was_at_its_leaf_then(three: Party) -> None:
    late = three.send("bob", b"before I went")
    was = dict(three["alice"].members())[three["bob"].me]
    three.remove("alice", "bob")
    three.add("alice", "dave")
    assert three["dave"].me == three["bob"].me, "somebody else is at that leaf now"
    read = three.read(late, "carol")
    assert (read.sender, read.leaf, read.epoch) == (1, was, 1)
    assert read.leaf.credential == BasicCredential(b"bob")
    assert three.read(three.send("dave"), "carol").leaf.credential == BasicCredential(b"dave")


def test_late_proposals_and_commits_are_worth_nothing(three: Party) -> None:
    three.groups["alice"], proposal = three["alice"].propose(Remove(1), three.random)
    commit = three.pending("alice", received=False).commit
    three.commit("bob")
    for message in (proposal, commit):
        refused(three, "carol", message, errors.WrongEpoch, "epoch 1, here 2")


def test_a_message_of_an_epoch_that_is_still_to_come_is_refused_until_it_has_come(three: Party) -> None:
    pending = three.pending("alice")
    three.groups["alice"] = three["alice"].merge(pending, NOW)
    early = three.send("alice")
    refused(three, "bob", early, errors.WrongEpoch, "epoch 2, here 1")
    three.follow(pending.commit, "alice")
    assert three.read(early, "bob").data == b"text"


@pytest.mark.parametrize("policy", [OPEN, PLAIN], ids=["private", "public"])
def test_a_message_of_another_group_is_refused(policy: Policy) -> None:
    party, other = (Party("alice", "bob", policy=policy, group_id=each) for each in (GROUP_ID, b"another"))
    refused(party, "bob", other.propose("alice", Remove(1)), errors.WrongEpoch, "another group")


# --- proposals and commits ---------------------------------------------------------------


def test_a_commit_names_proposals_that_came_before(three: Party) -> None:
    three.groups["bob"], proposal = three["bob"].propose(Remove(2), three.random)
    three.take(proposal, "alice")
    pending = three.pending("alice")
    refused(three, "carol", pending.commit, errors.ProposalMissing)
    three.take(proposal, "carol")
    three.took("alice", pending)
    assert three.agree()
    assert three["carol"].state.removed
    assert three["alice"].proposals == three["bob"].proposals == ()


def test_proposals_that_no_commit_takes_are_forgotten_with_their_epoch(three: Party) -> None:
    three.propose("bob", None)
    three.commit("bob", received=False)
    assert three.agree()
    assert all(group.proposals == () and not group.state.updates for group in three.groups.values())
    assert three.read(three.send("bob"), "carol").data == b"text"


def test_what_stands_in_the_clear_beside_a_message_is_authenticated(three: Party) -> None:
    message = three.send("alice", authenticated_data=b"seen by all")
    assert three.read(message, "bob").authenticated_data == b"seen by all"
    parsed = from_wire(message)
    forged = to_wire(dataclasses.replace(parsed, authenticated_data=b"seen by ALL"))  # type: ignore[arg-type]
    refused(three, "carol", forged, errors.DecryptionError)


def test_a_policy_may_refuse_what_members_send_in_the_clear() -> None:
    class Encrypted(Open):
        public_handshakes = False

    party = Party("alice", "bob", policy=PLAIN)
    message = party.pending("alice").commit
    party.groups["bob"] = Group(party["bob"].state, Encrypted())
    refused(party, "bob", message, errors.InvalidGroupMessage, "encrypted proposals and commits only")


def test_a_policy_may_refuse_a_proposal_and_a_commit(three: Party) -> None:
    class Careful(Open):
        def check_proposal(self, proposed: object) -> None:
            raise errors.InvalidGroupMessage("no proposals")

        def check_commit(self, effects: object) -> None:
            raise errors.InvalidGroupMessage("no commits")

    three.groups["alice"], proposal = three["alice"].propose(Remove(1), three.random)
    commit = three.pending("alice", received=False).commit
    three.groups["carol"] = Group(three["carol"].state, Careful())
    refused(three, "carol", proposal, errors.InvalidGroupMessage, "no proposals")
    refused(three, "carol", commit, errors.InvalidGroupMessage, "no commits")
    with pytest.raises(errors.InvalidGroupMessage, match="no commits"):
        three.commit("carol")


# --- from outside ------------------------------------------------------------------------


def outside(policy: Policy = OPEN) -> tuple[Party, SignatureKey]:
    """A group with an external sender, and its key."""
    signer = Party("service").packages["service"].signer
    sender = ExternalSender(signer.public, BasicCredential(b"service"))
    return Party("alice", "bob", policy=policy, extensions=(as_extension(ExternalSenders((sender,))),)), signer


def test_an_external_sender_proposes_what_a_member_commits() -> None:
    party, signer = outside(CLOSED)
    message = to_wire(proposed_from_outside(SUITE, GROUP_ID, 1, Remove(1), signer, 0, b"why"))
    taken = party.take(message)
    assert isinstance(taken, ProposalTaken)
    assert (taken.proposed.sender, taken.authenticated_data) == (External(0), b"why")
    party.commit("alice")
    assert party["bob"].state.removed


def test_only_an_external_sender_that_the_group_lists_may_propose() -> None:
    party, signer = outside()
    refused(
        party,
        "alice",
        to_wire(proposed_from_outside(SUITE, GROUP_ID, 1, Remove(1), signer, 1)),
        errors.InvalidGroupMessage,
        "no such external sender",
    )
    party.commit("alice", GroupContextExtensions(()))
    refused(
        party,
        "alice",
        to_wire(proposed_from_outside(SUITE, GROUP_ID, 2, Remove(1), signer, 0)),
        errors.InvalidGroupMessage,
        "no such external sender",
    )


def test_who_is_outside_proposes_for_the_present_epoch() -> None:
    party, signer = outside()
    message = to_wire(proposed_from_outside(SUITE, GROUP_ID, 1, Remove(1), signer, 0))
    party.commit("alice")
    refused(party, "alice", message, errors.WrongEpoch, "epoch 1, here 2")
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.1\.8"):
        proposed_from_outside(SUITE, GROUP_ID, 1, Remove(1), signer)


def test_who_is_no_member_asks_to_be_added_where_the_policy_allows_it() -> None:
    party = Party("alice", "bob")
    keys = party.keys("carol")
    message = to_wire(proposed_from_outside(SUITE, GROUP_ID, 1, Add(keys.package), keys.signer))
    taken = party.take(message)
    assert isinstance(taken, ProposalTaken)
    assert taken.proposed.sender == NewMemberProposal()
    pending = party.commit("alice")
    party.groups["carol"] = party.welcomed(pending, keys)
    assert party.agree()
    assert party.read(party.send("carol"), "bob").leaf == keys.package.leaf_node
    closed = Party("alice", policy=Closed())
    message = to_wire(proposed_from_outside(SUITE, GROUP_ID, 0, Add(keys.package), keys.signer))
    refused(closed, "alice", message, errors.InvalidGroupMessage, "no proposals by new members")


def signed(party: Party, sender: AnySender, body: AnyContent, signer: SignatureKey, tag: bytes | None) -> PublicMessage:
    """A message in the clear by whoever."""
    content = FramedContent(GROUP_ID, party["alice"].epoch, sender, b"", body)
    signature = protection.signature(SUITE, signer, WireFormat.PUBLIC_MESSAGE, content, party["alice"].context)
    return PublicMessage(content, signature, tag, None)


def test_a_commit_comes_from_a_member_or_from_who_joins_by_it() -> None:
    party, signer = outside()
    empty = Commit((), None)
    message = to_wire(signed(party, External(0), empty, signer, bytes(32)))
    refused(party, "alice", message, errors.InvalidGroupMessage, r"§6\.1")
    message = to_wire(signed(party, NewMemberCommit(), empty, signer, bytes(32)))
    refused(party, "alice", message, errors.InvalidGroupMessage, r"§12\.4\.3\.2: a new member's commit has a path")
    message = to_wire(signed(party, NewMemberProposal(), empty, signer, bytes(32)))
    refused(party, "alice", message, errors.InvalidGroupMessage, r"§12\.1\.8: a new member")


def test_a_message_of_a_leaf_without_a_member_is_refused(three: Party) -> None:
    """Any member has the keys of a blank leaf too, but no leaf says whose signature that would be."""
    three.remove("alice", "bob")
    state = three["alice"].state
    content = FramedContent(GROUP_ID, 2, Member(1), b"", ApplicationData(b"boo"))
    signature = protection.signature(SUITE, state.signer, WireFormat.PRIVATE_MESSAGE, content, state.epoch.context)
    _, message = protection.private_message(
        SUITE,
        state.secret_tree,
        state.epoch.secrets.sender_data_secret,
        AuthenticatedContent(WireFormat.PRIVATE_MESSAGE, content, signature, None),
        lambda length: 0,
        three.random,
    )
    refused(three, "carol", to_wire(message), errors.InvalidGroupMessage, r"§6\.1: the sender is no member")


# --- what a member cannot make, and another implementation might ---------------------------


def bent(party: Party, pending_commit: bytes, commit: Commit, tag: bytes | None = None) -> bytes:
    """Alice's commit with other content or another tag, signed and MACed again."""
    state, message = party["alice"].state, from_wire(pending_commit)
    assert isinstance(message, PublicMessage)
    content = dataclasses.replace(message.content, content=commit)
    signature = protection.signature(SUITE, state.signer, WireFormat.PUBLIC_MESSAGE, content, state.epoch.context)
    again = AuthenticatedContent(
        WireFormat.PUBLIC_MESSAGE, content, signature, message.confirmation_tag if tag is None else tag
    )
    return to_wire(protection.public_message(SUITE, state.epoch.secrets.membership_key, again, state.epoch.context))


def test_a_commit_that_lacks_its_path_and_one_with_a_wrong_tag_are_refused() -> None:
    party = Party("alice", "bob", "carol", policy=PLAIN)
    pending = party.pending("alice", Remove(1))
    message = from_wire(pending.commit)
    assert isinstance(message, PublicMessage)
    commit = message.content.content
    assert isinstance(commit, Commit)
    pathless = bent(party, pending.commit, dataclasses.replace(commit, path=None))
    refused(party, "carol", pathless, errors.InvalidGroupMessage, r"§12\.4: the commit needs a path")
    for tag in (bytes(32), b""):
        refused(party, "carol", bent(party, pending.commit, commit, tag), errors.InvalidGroupMessage, "tag")
    party.took("alice", pending)
    assert party.agree()
