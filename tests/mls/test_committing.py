"""What a commit, its Welcome and its path are made of."""

from __future__ import annotations

import dataclasses

import pytest

from mls.making import NOW, SUITE
from mls.party import OPEN, PLAIN, Open, Party, resumption
from tacit import errors
from tacit.mls import (
    Add,
    BasicCredential,
    CustomProposal,
    Group,
    GroupContextExtensions,
    LeafChanges,
    Remove,
    ResumptionPskUsage,
    as_extension,
    capabilities,
)
from tacit.mls.commit import Commit
from tacit.mls.committing import reference
from tacit.mls.extensions import ApplicationId, Extension
from tacit.mls.framing import PublicMessage, from_wire
from tacit.mls.leaf_node import Committed
from tacit.mls.proposals import ByReference, ByValue
from tacit.mls.welcome import Welcome


def commit_in(message: bytes) -> Commit:
    parsed = from_wire(message)
    assert isinstance(parsed, PublicMessage)
    assert isinstance(parsed.content.content, Commit)
    return parsed.content.content


def test_changes_leave_what_they_do_not_name() -> None:
    leaf = Party("alice").packages["alice"].package.leaf_node
    assert LeafChanges().of(leaf) == leaf
    signer = SUITE.new_signature_key(Party("bob").random)
    extensions = (as_extension(ApplicationId(b"id")),)
    changed = LeafChanges(signer, BasicCredential(b"other"), capabilities((1, 9)), extensions).of(leaf)
    assert changed.signature_key == signer.public
    assert changed.credential == BasicCredential(b"other")
    assert changed.capabilities == capabilities((1, 9))
    assert changed.extensions == extensions
    assert LeafChanges(extensions=()).of(changed).extensions == ()
    assert (changed.encryption_key, changed.source) == (leaf.encryption_key, leaf.source)


def test_a_leaf_is_signed_by_its_own_key_only() -> None:
    party = Party("alice", "bob")
    alice, info, keys = party["alice"], party["alice"].group_info(external=True), party.keys("carol")
    other = SUITE.new_signature_key(party.random)
    bent = Group(alice.state._replace(signer=other), OPEN)
    with pytest.raises(errors.InvalidArgument, match="not that of the leaf"):
        bent.commit(now=NOW, random=party.random)
    wrong = dataclasses.replace(keys, signer=other)
    with pytest.raises(errors.InvalidArgument, match="not that of the leaf"):
        Group.join_external(info, wrong, OPEN, now=NOW, random=party.random)
    assert Group.join_external(info, keys, OPEN, now=NOW, random=party.random)


def test_proposals_stand_in_a_commit_by_reference_or_by_value() -> None:
    party = Party("alice", "bob", "carol", policy=PLAIN)
    party.propose("bob", Remove(2))
    package = party.keys("dave").package
    commit = commit_in(party.pending("alice", Add(package)).commit)
    first, second = commit.proposals
    assert isinstance(first, ByReference)
    assert first.reference == party["alice"].proposals[0].reference
    assert second == ByValue(Add(package))
    assert commit.path is not None, "a Remove needs one"
    assert isinstance(commit.path.leaf_node.source, Committed)


def test_a_path_goes_past_whom_the_same_commit_adds() -> None:
    party = Party("alice", "bob", policy=PLAIN)
    keys = [party.keys(name) for name in ("carol", "dave")]
    pending = party.commit("alice", *(Add(each.package) for each in keys), with_path=True)
    path = commit_in(pending.commit).path
    assert path is not None
    assert [len(node.encrypted_path_secret) for node in path.nodes] == [1, 0], "bob; and carol, dave by the Welcome"
    for name, each in zip(("carol", "dave"), keys, strict=True):
        party.groups[name] = party.welcomed(pending, each)
    assert party.agree()
    assert set(party["dave"].state.keys) == {6, 3}, "the own leaf and the root"


def test_a_welcome_has_one_part_for_each_who_is_added_and_the_group_info_once() -> None:
    party = Party("alice")
    keys = [party.keys(name) for name in ("bob", "carol", "dave")]
    pending = party.pending("alice", *(Add(each.package) for each in keys))
    assert pending.welcome is not None
    welcome = from_wire(pending.welcome)
    assert isinstance(welcome, Welcome)
    assert welcome.cipher_suite == SUITE.id
    assert [each.new_member for each in welcome.secrets] == [reference(SUITE, each.package) for each in keys]
    assert party.pending("alice").welcome is None


def test_a_new_signature_key_signs_the_welcome_and_the_old_one_the_commit() -> None:
    party = Party("alice", "bob")
    signer, keys = SUITE.new_signature_key(party.random), party.keys("carol")
    pending = party.commit("alice", Add(keys.package), changes=LeafChanges(signer))
    party.groups["carol"] = party.welcomed(pending, keys)
    assert party.agree()
    assert party.read(party.send("alice"), "carol").leaf.signature_key == signer.public


def test_a_commit_that_the_policy_refuses_is_not_made() -> None:
    class Fixed(Open):
        def check_commit(self, effects: object) -> None:
            raise errors.InvalidGroupMessage("nobody commits here")

    with pytest.raises(errors.InvalidGroupMessage, match="nobody commits here"):
        Party("alice", policy=Fixed()).commit("alice")


def test_a_key_that_is_in_the_tree_already_cannot_be_in_a_path() -> None:
    """Randomness that repeats itself gives the leaf a key that it had, and that is refused before it is sent."""
    party = Party("alice", "bob")
    same = bytes(range(64))
    group, pending = party["alice"].commit(now=NOW, random=lambda size: same[:size])
    party.groups["alice"] = group
    party.took("alice", pending)
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3|§12\.4\.2"):
        party["alice"].commit(now=NOW, random=lambda size: same[:size])
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.4\.2: a key of the path is in the tree already"):
        party["bob"].commit(now=NOW, random=lambda size: same[:size])


def test_a_commit_carries_what_everybody_may_see_and_extensions_for_joiners() -> None:
    party = Party("alice", "bob")
    pending = party.pending("alice", authenticated_data=b"seen", group_info_extensions=(Extension(0x0A0A, b""),))
    _, checked = party["bob"].process(pending.commit, NOW)
    assert getattr(checked, "authenticated_data", None) == b"seen"
    keys = party.keys("carol")
    with pytest.raises(errors.Malformed, match="two extensions of one type"):
        twice = (Extension(0x0A0A, b""), Extension(0x0A0A, b""))
        party.welcomed(party.pending("alice", Add(keys.package), group_info_extensions=twice), keys)


def test_the_groups_extensions_after_a_commit_bind_whom_it_adds() -> None:
    supports = capabilities((1,), extensions=(0xF002,))
    party = Party("alice", "bob", supports=supports)
    change = GroupContextExtensions((Extension(0xF002, b""),))
    plain = party.keys("carol", supports=capabilities((1,)))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3"):
        party.commit("alice", change, Add(plain.package))
    keys = party.keys("carol")
    party.groups["carol"] = party.welcomed(party.commit("alice", change, Add(keys.package)), keys)
    assert party.agree()
    assert party["carol"].context.extensions == change.extensions


def test_keys_and_membership_change_in_one_commit() -> None:
    party = Party("alice", "bob", "carol", supports=capabilities((1,), proposals=(0xF001,)))
    party.propose("bob", None)
    keys = party.keys("dave")
    psk = resumption(party["alice"], ResumptionPskUsage.APPLICATION)
    removal = Remove(party["carol"].me)
    pending = party.commit("alice", removal, Add(keys.package), psk, CustomProposal(0xF001, b""))
    assert pending.welcome is not None
    with pytest.raises(errors.PskMissing):
        type(party["bob"]).join(pending.welcome, keys, OPEN)
    assert party.agree()
    assert party["carol"].state.removed
