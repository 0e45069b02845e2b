"""What a member does with its group: begin, send, commit, merge, look, and end."""

from __future__ import annotations

import pytest

from mls.deep import deep_hash, secrets_in
from mls.making import GROUP_ID, NOW, SUITE
from mls.party import CLOSED, OPEN, PLAIN, Party, ended, names_in, reinit
from tacit import errors
from tacit.mls import (
    Add,
    Application,
    BasicCredential,
    Group,
    LeafChanges,
    Member,
    Own,
    Policy,
    Remove,
    RequiredCapabilities,
    as_extension,
    capabilities,
    suite_of,
    to_wire,
)
from tacit.mls.commit import Commit
from tacit.mls.extensions import ApplicationId, Extension
from tacit.mls.framing import ContentType, PrivateMessage, PublicMessage, from_wire
from tacit.mls.processing import CommitChecked, ProposalTaken
from tacit.mls.suites import SUITES


@pytest.fixture
def three() -> Party:
    return Party("alice", "bob", "carol")


# --- beginning ---------------------------------------------------------------------------


def test_a_group_begins_with_one_member_in_epoch_0() -> None:
    party = Party("alice")
    alice = party["alice"]
    assert (alice.group_id, alice.epoch, alice.me, alice.suite) == (GROUP_ID, 0, 0, SUITE)
    assert names_in(alice) == ["alice"]
    assert alice.is_active
    assert alice.proposals == ()
    party.commit("alice")
    assert alice.epoch == 0, "what one has does not change"
    assert party["alice"].epoch == 1


@pytest.mark.parametrize("suite", SUITES.values(), ids=str)
def test_every_suite_makes_a_group(suite: object) -> None:
    party = Party("alice", "bob", suite=suite)  # type: ignore[arg-type]
    assert party.read(party.send("alice"), "bob").data == b"text"
    party.remove("bob", "alice")
    assert names_in(party["bob"]) == ["bob"]


def test_a_group_begins_with_extensions_that_its_creator_supports() -> None:
    odd = Extension(0xF001, b"data")
    party = Party("alice", "bob", extensions=(odd,), supports=capabilities((1,), extensions=(0xF001,)))
    assert party["bob"].context.extensions == (odd,)
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3"):
        Party("alice", extensions=(odd,))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§11\.1"):
        Party("alice", extensions=(as_extension(RequiredCapabilities(proposal_types=(0xF001,))),))
    with pytest.raises(errors.Malformed, match="two extensions of one type"):
        Party("alice", extensions=(odd, odd), supports=capabilities((1,), extensions=(0xF001,)))


def test_a_creator_whose_leaf_is_not_valid_is_refused() -> None:
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.2"):
        Party("alice", supports=capabilities((2,)))


# --- commits -----------------------------------------------------------------------------


@pytest.mark.parametrize("with_path", [False, True])
def test_a_commit_that_only_adds_has_a_path_where_one_is_asked_for(with_path: bool) -> None:
    party = Party("alice", "bob", policy=PLAIN)
    before = party["alice"].state.keys
    message = from_wire(party.add("bob", "carol", with_path=with_path).commit)
    assert isinstance(message, PublicMessage)
    assert isinstance(message.content.content, Commit)
    assert (message.content.content.path is not None) == with_path
    assert party.agree()
    assert (party["alice"].state.keys != before) == with_path, "with a path the root has a new key"
    assert party.read(party.send("carol"), "alice").sender == 2


def test_an_empty_commit_renews_the_committers_keys(three: Party) -> None:
    before = three["bob"].state
    three.commit("bob")
    after = three["bob"].state
    assert three.agree()
    assert before.epoch.tree.leaf(1) != after.epoch.tree.leaf(1)
    assert not {key.public for key in before.keys.values()} & {key.public for key in after.keys.values()}


def test_a_pending_commit_is_merged_though_messages_came_in_between(three: Party) -> None:
    pending = three.pending("alice")
    said = three.send("bob", b"in between")
    assert three.read(said, "alice").data == b"in between"
    late = three.send("alice", b"still this epoch")
    three.took("alice", pending)
    assert three.agree()
    assert three.read(late, "bob").epoch == 1
    with pytest.raises(errors.KeyConsumed):
        three.take(said, "alice")


def test_of_two_commits_at_once_the_delivery_service_takes_one(three: Party) -> None:
    lost, taken = three.pending("alice"), three.pending("bob")
    three.follow(taken.commit, "bob")
    three.groups["bob"] = three["bob"].merge(taken, NOW)
    before = deep_hash(three["alice"].state)
    with pytest.raises(errors.WrongEpoch, match="another epoch"):
        three["alice"].merge(lost, NOW)
    assert deep_hash(three["alice"].state) == before
    with pytest.raises(errors.WrongEpoch):
        three.take(lost.commit, "carol")
    assert three.agree()
    three.commit("alice")
    assert three.agree()


def test_a_commit_changes_the_own_leaf(three: Party) -> None:
    signer, wanted = SUITE.new_signature_key(three.random), as_extension(ApplicationId(b"phone"))
    supports = capabilities((1,), extensions=(0xF001,))
    three.commit("alice", changes=LeafChanges(signer, None, supports, (wanted,)))
    leaf = dict(three["carol"].members())[three["alice"].me]
    assert (leaf.signature_key, leaf.capabilities, leaf.extensions) == (signer.public, supports, (wanted,))
    assert leaf.credential == BasicCredential(b"alice")
    assert three.read(three.send("alice"), "bob").leaf == leaf


def test_a_new_credential_is_the_policys_to_allow() -> None:
    class Renaming(type(OPEN)):  # type: ignore[misc]
        def is_successor(self, before: object, after: object) -> bool:
            return True

    changes = LeafChanges(credential=BasicCredential(b"alicia"))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§5\.3\.1"):
        Party("alice", "bob").commit("alice", changes=changes)
    party = Party("alice", "bob", policy=Renaming())
    party.commit("alice", changes=changes)
    assert names_in(party["bob"]) == ["alicia", "bob"]


def test_an_update_is_an_own_proposal_that_somebody_else_commits(three: Party) -> None:
    signer = SUITE.new_signature_key(three.random)
    three.groups["alice"], message = three["alice"].propose_update(three.random, LeafChanges(signer), b"why")
    taken = three.take(message, "bob", "carol")
    assert isinstance(taken, ProposalTaken)
    assert (taken.authenticated_data, taken.proposed.sender) == (b"why", Member(0))
    effects = three.commit("bob").effects
    assert [index for index, _ in effects.updated] == [0]
    assert three.agree()
    assert three["alice"].state.signer.public == signer.public
    assert three.read(three.send("alice"), "carol").leaf.signature_key == signer.public


def test_a_message_is_not_sent_where_proposals_wait(three: Party) -> None:
    three.propose("bob", Remove(2))
    with pytest.raises(errors.InvalidArgument, match=r"§12\.4"):
        three.send("alice")
    with pytest.raises(errors.InvalidArgument, match=r"§12\.4"):
        three.send("bob")
    three.commit("alice")
    assert three.read(three.send("alice"), "bob").data == b"text"


def test_effects_say_who_did_what_to_whom(three: Party) -> None:
    package = three.keys("dave").package
    effects = three.commit("alice", Remove(1), Add(package)).effects
    assert (effects.epoch, effects.committer, effects.external, effects.reinit) == (2, 0, False, None)
    assert [leaf.credential for _, leaf in effects.removed] == [BasicCredential(b"bob")]
    assert [(index, leaf.credential) for index, leaf in effects.added] == [(1, BasicCredential(b"dave"))]
    assert effects.committer_leaf == dict(three["carol"].members())[effects.committer]
    assert [each.proposal for each in effects.proposals] == [Remove(1), Add(package)]


# --- own messages ------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [OPEN, PLAIN], ids=["private", "public"])
def test_own_messages_are_recognised(policy: Policy) -> None:
    party = Party("alice", "bob", policy=policy)
    said = party.send("alice")
    party.groups["alice"], proposed = party["alice"].propose_update(party.random)
    committed = party.pending("alice", received=False).commit
    before = deep_hash(party["alice"].state)
    for message, content_type in (
        (said, ContentType.APPLICATION),
        (proposed, ContentType.PROPOSAL),
        (committed, ContentType.COMMIT),
    ):
        assert party.take(message, "alice") == Own(content_type, 1)
    assert deep_hash(party["alice"].state) == before
    wire = PrivateMessage if policy is OPEN else PublicMessage
    assert isinstance(from_wire(committed), wire)
    party.commit("bob")
    assert party.take(said, "alice") == Own(ContentType.APPLICATION, 1)


# --- looking -----------------------------------------------------------------------------


def test_the_exporter_gives_all_members_one_secret_for_each_label_context_and_size(three: Party) -> None:
    def exported(label: str, context: bytes, size: int) -> bytes:
        found = {group.exporter(label, context, size).reveal() for group in three.groups.values()}
        assert len(found) == 1
        return found.pop()

    first = exported("label", b"context", 32)
    assert len(first) == 32
    others = [exported("other", b"context", 32), exported("label", b"", 32), exported("label", b"context", 33)[:32]]
    three.commit("bob")
    others.append(exported("label", b"context", 32))
    assert len({first, *others}) == 5


def test_what_members_have_in_common(three: Party) -> None:
    alice, bob = three["alice"], three["bob"]
    assert alice.resumption_psk == bob.resumption_psk
    assert alice.ratchet_tree() == bob.ratchet_tree()
    three.commit("alice")
    assert alice.resumption_psk != three["alice"].resumption_psk


# --- what is no message of a group --------------------------------------------------------


def test_what_is_of_another_kind_is_refused() -> None:
    party = Party("alice")
    keys = party.keys("bob")
    package, info = to_wire(keys.package), party["alice"].group_info(external=True)
    with pytest.raises(errors.Malformed, match="no Welcome"):
        Group.join(info, keys, OPEN)
    with pytest.raises(errors.Malformed, match="no GroupInfo"):
        Group.join_external(package, keys, OPEN, now=NOW, random=party.random)
    for message in (package, info):
        with pytest.raises(errors.Malformed, match="no message of a group"):
            party["alice"].process(message, NOW)


# --- the end -----------------------------------------------------------------------------


def everything(party: Party, name: str) -> dict[str, bool]:
    """What a member might do, and whether it is refused because the group ended."""
    group, random = party[name], party.random
    message = party.send(next(iter(party.active()))) if party.active() else b""
    calls = {
        "protect": lambda: group.protect(b"", random),
        "propose": lambda: group.propose(Remove(0), random),
        "propose_update": lambda: group.propose_update(random),
        "commit": lambda: group.commit(now=NOW, random=random),
        "group_info": group.group_info,
        "exporter": lambda: group.exporter("label", b"", 32),
        "process": lambda: group.process(message or to_wire(_public(party)), NOW),
    }
    return {what: ended(call) for what, call in calls.items()}


def _public(party: Party) -> PublicMessage:
    message = from_wire(Party("alice", "bob", policy=PLAIN).propose("alice", Remove(1)))
    assert isinstance(message, PublicMessage)
    return message


def test_who_was_removed_can_do_nothing_and_has_nothing_of_the_new_epoch(three: Party) -> None:
    pending = three.pending("alice", Remove(three["carol"].me))
    carol, checked = three["carol"].process(pending.commit, NOW)
    assert isinstance(checked, CommitChecked)
    assert checked.transition.effects.removed[0][0] == three["carol"].me
    three.took("alice", pending)
    carol = three["carol"]
    assert not carol.is_active
    assert carol.state.removed
    assert carol.epoch == 1, "she never saw the next one"
    assert carol.state.keys == {}
    after = three["alice"].state
    fresh = secrets_in((after.epoch, after.keys, after.secret_tree)) - {b""}
    assert fresh
    assert not fresh & secrets_in(carol.state)
    refused = everything(three, "carol")
    assert refused == dict.fromkeys(refused, True)


def test_who_was_removed_goes_on_with_no_commit_of_its_last_epoch(three: Party) -> None:
    own = three.pending("carol")
    pending = three.pending("alice", Remove(three["carol"].me))
    _, checked = three["carol"].process(pending.commit, NOW)
    assert isinstance(checked, CommitChecked)
    three.took("alice", pending)
    for late in (own, checked):
        with pytest.raises(errors.GroupEnded, match="removed"):
            three["carol"].merge(late, NOW)


def test_who_was_removed_reads_nothing_more_of_the_epoch_that_ended_for_it(three: Party) -> None:
    late = three.send("bob")
    three.remove("alice", "carol")
    with pytest.raises(errors.GroupEnded, match="removed"):
        three.take(late, "carol")


def test_a_group_that_was_reinitialised_goes_nowhere(three: Party) -> None:
    late = three.send("bob")
    three.commit("alice", reinit(b"next", suite_of(3)))
    for name in ("alice", "bob"):
        assert not three[name].is_active
        assert not three[name].state.removed
        refused = everything(three, name)
        assert refused.pop("exporter") is False, "the epoch can still be named"
        assert refused == dict.fromkeys(refused, True)
    with pytest.raises(errors.GroupEnded, match="reinitialised"):
        three["alice"].process(to_wire(_public(three)), NOW)
    last = three["carol"].state
    assert last.reinit is not None
    assert isinstance(three.take(late, "carol"), Application), "what was under way is still read"


def test_the_defaults_let_members_send_both_forms() -> None:
    party = Party("alice", "bob", policy=CLOSED)
    party.propose("alice", Remove(1))
    assert [each.proposal for each in party["bob"].proposals] == [Remove(1)]
