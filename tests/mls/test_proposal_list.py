"""The proposals of one commit: what each does, which cannot stand together, and what members have to support."""

from __future__ import annotations

import pytest

from mls.making import GROUP_ID, NOW, SUITE, client
from mls.party import OPEN, Open, Party, names_in, reinit, resumption
from tacit import errors
from tacit.mls import (
    Add,
    CustomCredential,
    CustomProposal,
    ExternalInit,
    ExternalPsk,
    GroupContextExtensions,
    LeafChanges,
    Lifetime,
    Member,
    NewMemberCommit,
    NewMemberProposal,
    Policy,
    PreSharedKey,
    PreSharedKeyID,
    Proposed,
    Remove,
    RequiredCapabilities,
    ResumptionPskUsage,
    Update,
    as_extension,
    capabilities,
    greased,
    new_key_package,
)
from tacit.mls.extensions import Extension
from tacit.mls.framing import AnySender, External
from tacit.mls.leaf_node import Updated
from tacit.mls.proposal_list import Applied, apply, check_sender, needs_path
from tacit.mls.proposals import AnyProposal
from tacit.mls.tree_math import LeafIndex

CUSTOM = 0xF001
ABLE = capabilities((1, 0xF003), extensions=(0xF002,), proposals=(CUSTOM,))


@pytest.fixture
def three() -> Party:
    return Party("alice", "bob", "carol")


def applied(party: Party, *proposals: Proposed, committer: int | None = 0, policy: Policy = OPEN) -> Applied:
    epoch = party["alice"].state.epoch
    by = None if committer is None else LeafIndex(committer)
    return apply(SUITE, epoch.context, epoch.tree, proposals, by, policy, NOW)


def by(leaf: int, proposal: AnyProposal) -> Proposed:
    return Proposed(proposal, Member(leaf))


def psk(name: bytes = b"name", nonce: bytes = bytes(32)) -> PreSharedKey:
    return PreSharedKey(PreSharedKeyID(ExternalPsk(name), nonce))


# --- who may propose what ----------------------------------------------------------------


def test_who_may_propose_what() -> None:
    package = client("dave").package()
    every: list[AnyProposal] = [
        Add(package),
        Update(package.leaf_node),
        Remove(1),
        psk(),
        reinit(b"next", SUITE),
        ExternalInit(b""),
        GroupContextExtensions(()),
        CustomProposal(CUSTOM, b""),
    ]
    allowed: dict[AnySender, list[int]] = {
        Member(0): [0, 1, 2, 3, 4, 6, 7],
        External(0): [0, 2, 3, 4, 6],
        NewMemberProposal(): [0],
        NewMemberCommit(): [2, 3, 5],
    }
    for sender, numbers in allowed.items():
        for number, proposal in enumerate(every):
            if number in numbers:
                check_sender(proposal, sender)
                continue
            with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.1\.8"):
                check_sender(proposal, sender)


def test_what_needs_a_path() -> None:
    for proposal, needed in (
        (Add(client("dave").package()), False),
        (psk(), False),
        (reinit(b"next", SUITE), False),
        (Remove(1), True),
        (GroupContextExtensions(()), True),
        (CustomProposal(CUSTOM, b""), True),
    ):
        assert needs_path([by(0, proposal)]) is needed
        assert needs_path([by(0, psk()), by(0, proposal)]) is needed
    assert needs_path([])


# --- what cannot stand together -----------------------------------------------------------


def test_what_cannot_stand_in_one_commit(three: Party) -> None:
    package = client("dave").package()
    updated = [client("dave").leaf(leaf, source=Updated()) for leaf in range(3)]
    lists: list[tuple[list[Proposed], str]] = [
        ([by(0, Update(updated[0]))], "own"),
        ([by(1, Remove(0))], "removes itself"),
        ([by(1, Remove(1)), by(2, Remove(1))], "two Updates or Removes"),
        ([by(0, GroupContextExtensions(())), by(1, GroupContextExtensions(()))], "several"),
        ([by(0, reinit(b"next", SUITE)), by(0, Add(package))], "a ReInit beside"),
        ([by(0, ExternalInit(b""))], r"§12\.1\.8"),
        ([by(0, psk()), by(1, psk())], "one pre-shared key twice"),
        ([by(0, psk(nonce=bytes(31)))], r"§12\.1\.4: a psk_nonce"),
        ([by(0, Remove(3))], r"§12\.1\.3"),
    ]
    for proposals, match in lists:
        with pytest.raises(errors.InvalidGroupMessage, match=match):
            applied(three, *proposals)


def test_an_update_and_a_remove_of_one_leaf_cannot_stand_together(three: Party) -> None:
    three.propose("bob", None)
    update = three["alice"].proposals[0]
    with pytest.raises(errors.InvalidGroupMessage, match="two Updates or Removes"):
        applied(three, update, by(0, Remove(1)))
    with pytest.raises(errors.InvalidGroupMessage, match="two Updates or Removes"):
        applied(three, update, update)
    assert applied(three, update, by(0, Remove(2))).updated == (1,)


def test_an_update_is_of_its_sender_with_a_new_key(three: Party) -> None:
    state = three["bob"].state
    leaf = state.epoch.tree.leaf(1)
    assert leaf is not None
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3: the leaf's encryption key"):
        applied(three, by(1, Update(leaf)))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.1\.2: the leaf of an Update has another source"):
        applied(three, by(1, Update(three.keys("bob").package.leaf_node)))


def test_an_external_commit_has_one_external_init_and_one_remove_at_most(three: Party) -> None:
    new, init = NewMemberCommit(), ExternalInit(b"")
    assert applied(three, Proposed(init, new), Proposed(Remove(1), new), committer=None).external_init == init
    for proposals, match in (
        ([], "one ExternalInit"),
        ([Proposed(init, new)] * 2, "one ExternalInit"),
        ([Proposed(init, new), Proposed(Remove(1), new), Proposed(Remove(2), new)], "one leaf at most"),
        ([Proposed(init, new, b"reference")], "by value only"),
    ):
        with pytest.raises(errors.InvalidGroupMessage, match=match):
            applied(three, *proposals, committer=None)


def test_a_group_goes_to_no_older_version(three: Party) -> None:
    proposal = reinit(b"next", SUITE)
    assert applied(three, by(0, proposal)).reinit == proposal
    older = type(proposal)(b"next", 0, SUITE.id, ())
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.1\.5"):
        applied(three, by(0, older))


# --- who is added ------------------------------------------------------------------------


def test_removed_leaves_are_free_for_who_is_added_in_the_same_commit(three: Party) -> None:
    found = applied(three, by(0, Add(client("dave").package())), by(0, Remove(1)))
    assert [index for index, _ in found.added] == [1]
    assert [index for index, _ in found.removed] == [1]


def test_who_is_added_has_a_key_package_that_is_in_time(three: Party) -> None:
    late = three.keys("dave")
    three.now = NOW + 3600
    three.commit("alice", Add(late.package))
    three.now += 1
    erin = three.keys("erin")
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3: the key package is not valid at this time"):
        three.commit("alice", Add(erin.package))


def test_clients_are_told_apart_by_their_keys_and_where_the_policy_wants_it_by_more(three: Party) -> None:
    class Once(Open):
        tells_clients = True

    again = three.keys("bob").package
    assert len(applied(three, by(0, Add(again))).added) == 1
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.2: the client to be added"):
        applied(three, by(0, Add(again)), policy=Once())
    dave = client("dave").package()
    other = three.keys("dave").package
    assert len(applied(three, by(0, Add(dave)), policy=Once()).added) == 1
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.2: the client to be added"):
        applied(three, by(0, Add(dave)), by(0, Add(other)), policy=Once())
    assert len(applied(three, by(0, Remove(1)), by(0, Add(again)), policy=Once()).added) == 1


def test_a_signature_key_is_in_a_group_once(three: Party) -> None:
    keys = three.packages["bob"]
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3"):
        three.commit("alice", Add(keys.package), received=False)


# --- what members support -----------------------------------------------------------------


def test_new_extensions_of_a_group_are_supported_by_everybody() -> None:
    odd = Extension(0xF002, b"data")
    party = Party("alice", "bob", supports=ABLE)
    party.commit("alice", GroupContextExtensions((odd,)))
    assert party.agree()
    assert party["bob"].context.extensions == (odd,)
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3"):
        party.commit("alice", Add(client("carol").package()))
    party.commit("alice", GroupContextExtensions(()))
    party.commit("alice", Add(client("carol").package()))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§7\.3"):
        party.commit("alice", GroupContextExtensions((odd,)))
    with pytest.raises(errors.Malformed, match="two extensions of one type"):
        party.commit("alice", GroupContextExtensions((odd, odd)))


def test_required_capabilities_bind_members_newcomers_and_updates() -> None:
    required = as_extension(RequiredCapabilities((0xF002,), (CUSTOM,), (0xF003,)))
    party = Party("alice", "bob", supports=ABLE)
    plain = client("carol").package()
    party.add("alice", "dave")
    party.commit("alice", GroupContextExtensions((required,)))
    assert party.agree()
    less = LeafChanges(capabilities=capabilities((1,)))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§11\.1: the leaf lacks a required capability"):
        party.commit("alice", Add(plain))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§11\.1: the leaf lacks a required capability"):
        party.commit("bob", changes=less)
    party.groups["bob"], message = party["bob"].propose_update(party.random, less)
    party.take(message, "alice", "dave")
    assert party.commit("alice").effects.updated == (), "an Update that is not valid is left"
    other = Party("alice", "bob")
    with pytest.raises(errors.InvalidGroupMessage, match=r"§11\.1"):
        other.commit("alice", GroupContextExtensions((required,)))


def test_a_custom_proposal_is_supported_by_everybody_who_stays() -> None:
    party = Party("alice", "bob", supports=ABLE)
    custom = CustomProposal(CUSTOM, b"whatever")
    effects = party.commit("alice", custom).effects
    assert [each.proposal for each in effects.proposals] == [custom]
    assert party.agree()
    party.commit("alice", Add(client("carol").package()))
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.2: a proposal's type"):
        party.commit("alice", custom)
    pending = party.commit("alice", custom, Remove(2))
    assert len(pending.effects.proposals) == 2
    assert party.agree()


def test_custom_credentials_and_extensions_travel() -> None:
    party = Party("alice", supports=capabilities((1, 0xF003)))
    odd, credential = Extension(0xF002, b"data"), CustomCredential(0xF003, b"who")
    keys = new_key_package(
        SUITE,
        SUITE.new_signature_key(party.random),
        credential,
        Lifetime(NOW, NOW),
        party.random,
        supports=ABLE,
        leaf_extensions=(odd,),
        extensions=(Extension(0xF002, b"of the package"),),
    )
    party.groups["bob"] = party.welcomed(party.commit("alice", Add(keys.package)), keys)
    leaf = dict(party["alice"].members())[party["bob"].me]
    assert (leaf.credential, leaf.extensions) == (credential, (odd,))
    party.commit("bob")
    assert party.agree()


def test_grease_is_accepted_everywhere() -> None:
    """Numbers that mean nothing in capabilities, in the extensions of leaf, key package, GroupInfo and Welcome."""
    party = Party("alice", "bob")
    for name in ("alice", "bob"):
        leaf = dict(party["alice"].members())[party[name].me]
        party.commit(name, changes=LeafChanges(capabilities=greased(leaf.capabilities, party.random)))
    assert party.agree()
    grease = Extension(0x0A0A, b"\x17\x17")
    package = party.keys("carol", supports=greased(capabilities((1,), extensions=(0x0A0A,)), party.random))
    greasy = client("dave").package(extensions=(grease,), leaf_node=package.package.leaf_node)
    assert greasy.extensions == (grease,)
    pending = party.commit("alice", Add(package.package), group_info_extensions=(grease,))
    party.groups["carol"] = party.welcomed(pending, package)
    assert party.agree()
    dave = client("dave")
    party.commit("bob", Add(dave.package(extensions=(grease,))))
    leaf_grease = (Extension(0x0A0A, b""),)
    party.commit("carol", changes=LeafChanges(extensions=leaf_grease))
    assert party.agree()
    assert dict(party["bob"].members())[party["carol"].me].extensions == leaf_grease


# --- pre-shared keys ---------------------------------------------------------------------


def test_external_keys_are_asked_of_the_policy() -> None:
    party = Party("alice", "bob", policy=Open({b"name": b"key", b"other": b"key"}))
    party.commit("alice", psk(), psk(b"other"))
    assert party.agree()
    with pytest.raises(errors.PskMissing):
        party.commit("alice", psk(b"unknown"))
    pending = party.pending("alice", psk())
    bob = party["bob"]
    with pytest.raises(errors.PskMissing):
        type(bob)(bob.state, OPEN).process(pending.commit, NOW)
    wrong = type(bob)(bob.state, Open({b"name": b"another key"}))
    with pytest.raises(errors.InvalidGroupMessage, match="confirmation tag"):
        wrong.process(pending.commit, NOW)
    party.took("alice", pending)
    assert party.agree()


def test_one_key_under_two_nonces_is_two_names() -> None:
    """RFC 9420 §12.2 speaks of one PreSharedKeyID, and the nonce is a part of that (§8.4)."""
    party = Party("alice", "bob", policy=Open({b"name": b"key"}))
    party.commit("alice", psk(), psk(nonce=b"1" * 32))
    assert party.agree()


def test_a_member_has_the_resumption_keys_of_its_own_epochs(three: Party) -> None:
    application = ResumptionPskUsage.APPLICATION
    now = resumption(three["alice"], application)
    three.commit("alice", now)
    three.commit("bob", now)
    assert three.agree()
    three.add("alice", "dave")
    with pytest.raises(errors.PskMissing):
        three["dave"].commit(now, now=NOW, random=three.random)
    three.commit("alice", resumption(three["dave"], application))
    assert three.agree()


def test_resumption_keys_of_own_epochs_are_kept_as_long_as_the_policy_says() -> None:
    class Short(Open):
        resumption_epochs = 1

    party = Party("alice", "bob", policy=Short())
    first = resumption(party["alice"], ResumptionPskUsage.APPLICATION)
    party.commit("bob")
    party.commit("alice", first)
    with pytest.raises(errors.PskMissing):
        party.commit("alice", first)


def test_a_group_that_exists_takes_no_key_for_a_beginning(three: Party) -> None:
    for usage in (ResumptionPskUsage.REINIT, ResumptionPskUsage.BRANCH):
        with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.1\.4"):
            three.commit("alice", resumption(three["alice"], usage))
    assert names_in(three["bob"]) == ["alice", "bob", "carol"]
    assert three["bob"].group_id == GROUP_ID
