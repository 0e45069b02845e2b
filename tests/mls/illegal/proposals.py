"""Lists of proposals that are no commit's (§12.1, §12.2, §12.4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from adversary.bending import bent
from mls.illegal.case import Attempt, case
from mls.illegal.members import (
    CUSTOM,
    EXTERNAL,
    NOW,
    SUITE,
    UNKNOWN,
    Rules,
    capabilities,
    client,
    committed,
    content_bent,
    delivered,
    draws,
    package,
    people,
    proposed,
    psk,
    public,
    signed,
    taken,
    three,
)
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import committing, framing, key_schedule
from tacit.mls.credential import BasicCredential
from tacit.mls.extensions import Extension, ExternalSender, ExternalSenders, RequiredCapabilities, as_extension
from tacit.mls.framing import AuthenticatedContent, Member, NewMemberProposal, ProposalContent, WireFormat
from tacit.mls.group import Group
from tacit.mls.leaf_node import LeafNode
from tacit.mls.policy import Policy, Proposed
from tacit.mls.proposal_list import apply
from tacit.mls.proposals import (
    Add,
    AnyProposal,
    CustomProposal,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from tacit.mls.psk import ResumptionPsk, ResumptionPskUsage
from tacit.mls.state import base_of

TWICE = "§12.2: two Updates or Removes of one leaf"


def by_alice(*proposals: AnyProposal) -> Attempt:
    """A commit of alice's that carol gets."""
    four = people()
    return delivered(four.carol, committed(four.alice, *proposals)[1].commit)


def own_leaf(group: Group) -> LeafNode:
    """A new leaf as it stands in an Update."""
    _, message = group.propose_update(draws("own leaf"))
    found = framing.from_wire(message)
    assert isinstance(found, framing.PublicMessage)
    assert isinstance(found.content.content, ProposalContent)
    assert isinstance(found.content.content.proposal, Update)
    return found.content.content.proposal.leaf_node


@case("§12.2: an Update of the committer's own")
def an_update_of_the_committers_own(bend: bool) -> Attempt:
    return by_alice(*([Update(own_leaf(people().alice))] if bend else []))


@case("§12.2: the committer removes itself")
def a_committer_that_removes_itself(bend: bool) -> Attempt:
    four = people()
    if not bend:
        return delivered(four.carol, committed(four.alice, Remove(1))[1].commit)
    state, rules, draw = four.alice.state, four.alice.policy, draws("myself")
    base, me, leaf = base_of(state.epoch), state.me, state.epoch.tree.leaf(state.me)
    assert leaf is not None
    plan = committing.Plan((Proposed(Remove(me), Member(me)),), WireFormat.PUBLIC_MESSAGE)
    applied = apply(SUITE, base.context, base.tree, plan.proposals, me, rules, NOW)
    path = committing._new_path(base, rules, applied, applied.tree, me, None, leaf, state.signer, draw)
    maker = committing._Maker(base, rules, plan, applied, Member(me), me, state.signer, Secret(bytes(32)))
    made = maker.made(path, path.keys, state.signer, draw)
    return delivered(four.carol, public(four.alice, made.message))


@case(TWICE)
def an_update_and_a_remove_of_one_leaf(bend: bool) -> Attempt:
    four = people()
    _, update = four.bob.propose_update(draws("update"))
    alice, carol = taken(four.alice, update), taken(four.carol, update)
    return delivered(carol, committed(alice, *([Remove(1)] if bend else []))[1].commit)


@case(TWICE)
def two_removes_of_one_leaf(bend: bool) -> Attempt:
    return by_alice(Remove(1), *([Remove(1)] if bend else []))


@case(TWICE)
def one_proposal_named_twice(bend: bool) -> Attempt:
    """By the same reference."""
    four = people()
    message = proposed(four.bob, Remove(3))
    alice, carol = taken(four.alice, message), taken(four.carol, message)
    named = tuple(alice.state.proposals.values()) * (1 + bend)
    with bent({"tacit.mls.choosing:chosen": lambda *_: named}):
        return delivered(carol, committed(alice)[1].commit)


@case("ProposalMissing", error=errors.ProposalMissing, final="what a commit names and nobody has cannot be applied")
def a_proposal_of_a_former_epoch_by_reference(bend: bool) -> Attempt:
    four = people()
    message = proposed(four.bob, Remove(3))
    alice, carol = taken(four.alice, message), taken(four.carol, message)
    if bend:
        kept = alice.state.proposals
        alice, pending = committed(alice, received=False)
        carol = taken(carol, pending.commit)
        alice = Group(alice.state._replace(proposals=kept), alice.policy)
    return delivered(carol, committed(alice)[1].commit)


@case("§12.2: several GroupContextExtensions")
def two_lists_of_extensions(bend: bool) -> Attempt:
    return by_alice(*([GroupContextExtensions(())] * (1 + bend)))


@case("§12.2: a ReInit beside other proposals")
def a_reinit_beside_another_proposal(bend: bool) -> Attempt:
    return by_alice(ReInit(b"next", 1, 1, ()), *([Remove(1)] if bend else []))


@case("§12.1.5: the group cannot go to an older version")
def a_reinit_to_an_older_version(bend: bool) -> Attempt:
    return by_alice(ReInit(b"next", 0 if bend else 1, 1, ()))


@case("two extensions of one type", error=errors.Malformed)
def a_reinit_with_two_extensions_of_one_type(bend: bool) -> Attempt:
    return by_alice(ReInit(b"next", 1, 1, (Extension(CUSTOM, b""),) * (1 + bend)))


@case("§5.3.1: nobody knows mallory", instead={"mls.illegal.members:Rules.authenticate_external": lambda *_: None})
def an_external_sender_whom_the_application_does_not_know(bend: bool) -> Attempt:
    sender = ExternalSender(EXTERNAL.public, BasicCredential(b"mallory" if bend else b"service"))
    return by_alice(GroupContextExtensions((as_extension(ExternalSenders((sender,))),)))


class Alone(Rules):
    """The default: nobody from outside proposes."""

    authenticate_external = Policy.authenticate_external


@case("§5.3.1: the application knows no external senders")
def an_external_sender_where_the_application_expects_none(bend: bool) -> Attempt:
    four = people(Alone)
    listed = ExternalSenders((ExternalSender(EXTERNAL.public, BasicCredential(b"service")),) * bend)
    return delivered(four.carol, committed(four.alice, GroupContextExtensions((as_extension(listed),)))[1].commit)


class Discreet(Rules):
    """Nothing of members is taken in the clear."""

    public_handshakes = False


@case("the application takes encrypted proposals and commits only")
def a_proposal_in_the_clear_where_all_are_encrypted(bend: bool) -> Attempt:
    four = people()
    content = signed(four.alice, ProposalContent(Remove(1)))
    return delivered(Group(four.carol.state, Discreet() if bend else Rules()), public(four.alice, content))


@case("two extensions of one type", error=errors.Malformed)
def a_list_with_two_extensions_of_one_type(bend: bool) -> Attempt:
    return by_alice(GroupContextExtensions((Extension(CUSTOM, b""),) * (1 + bend)))


@case("§12.1.8: a proposal of this type cannot come from such a sender")
def an_external_init_by_a_member(bend: bool) -> Attempt:
    """Alice goes on from the init secret that the KEM output stands for, as everybody would."""
    if not bend:
        return by_alice()
    four = people()
    epoch = four.alice.state.epoch
    key = key_schedule.external_key(SUITE, epoch.secrets.external_secret)
    kem_output, init_secret = key_schedule.external_init(SUITE, key.public)

    def based(_: object) -> object:
        return dataclasses.replace(base_of(epoch), init_secret=init_secret)

    with bent({"tacit.mls.committing:base_of": based}, everywhere=False):
        return delivered(four.carol, committed(four.alice, ExternalInit(kem_output))[1].commit)


@case("§12.1.3: there is no member at the leaf to be removed")
def a_remove_of_a_blank_leaf(bend: bool) -> Attempt:
    left = three()
    return delivered(left.carol, committed(left.alice, Remove(1 if bend else 3))[1].commit)


@case("§12.1.3: there is no member at the leaf to be removed")
def a_remove_outside_of_the_tree(bend: bool) -> Attempt:
    return by_alice(Remove(99 if bend else 3))


@case("§12.1.4: a psk_nonce is of the wrong size")
def a_psk_nonce_that_is_too_short(bend: bool) -> Attempt:
    return by_alice(PreSharedKey(psk(nonce=bytes(16 if bend else 32))))


@case("§12.2: one pre-shared key twice")
def one_pre_shared_key_twice(bend: bool) -> Attempt:
    return by_alice(*(PreSharedKey(psk(name)) for name in (b"one", b"one" if bend else b"two")))


@case("PskMissing", error=errors.PskMissing, final="the epoch's secrets cannot be made without the key")
def a_pre_shared_key_that_is_not_known(bend: bool) -> Attempt:
    four = people()

    class Finder(Rules):
        """Alice has every key."""

        def external_psk(self, psk_id: bytes) -> Secret:
            return Secret(psk_id.rjust(32, b"\0"))

    alice = Group(four.alice.state, Finder())
    return delivered(four.carol, committed(alice, PreSharedKey(psk(b"lost" if bend else b"psk")))[1].commit)


def _resumed(usage: ResumptionPskUsage) -> PreSharedKey:
    four = people()
    name = ResumptionPsk(usage, four.alice.group_id, four.alice.epoch)
    return PreSharedKey(dataclasses.replace(psk(), psk=name))


IN_A_GROUP = "§12.1.4: a resumption key for reinit or branch in a group that exists"


@case(IN_A_GROUP)
def a_key_for_reinit_in_a_group_that_exists(bend: bool) -> Attempt:
    return by_alice(_resumed(ResumptionPskUsage.REINIT if bend else ResumptionPskUsage.APPLICATION))


@case(IN_A_GROUP)
def a_key_for_branch_in_a_group_that_exists(bend: bool) -> Attempt:
    return by_alice(_resumed(ResumptionPskUsage.BRANCH if bend else ResumptionPskUsage.APPLICATION))


@case("§12.4: the commit needs a path and has none")
def a_remove_without_a_path(bend: bool) -> Attempt:
    four = people()
    if not bend:
        return by_alice(Remove(1))
    with bent({"tacit.mls.committing:needs_path": lambda _: False}, everywhere=False):
        return delivered(four.carol, committed(four.alice, Remove(1))[1].commit)


@case("§12.4: the commit needs a path and has none")
def an_empty_commit_without_a_path(bend: bool) -> Attempt:
    four = people()
    if not bend:
        return by_alice()
    with bent({"tacit.mls.committing:needs_path": lambda _: False}, everywhere=False):
        return delivered(four.carol, committed(four.alice)[1].commit)


@case("§12.2: a proposal's type is not supported by every member")
def a_proposal_that_not_everybody_knows(bend: bool) -> Attempt:
    return by_alice(CustomProposal(UNKNOWN if bend else CUSTOM, b""))


@case("§7.3: the leaf does not support an extension of the group")
def an_extension_of_the_group_that_not_everybody_knows(bend: bool) -> Attempt:
    return by_alice(GroupContextExtensions((Extension(UNKNOWN if bend else CUSTOM, b""),)))


@case("§11.1: the leaf lacks a required capability")
def a_required_capability_that_members_lack(bend: bool) -> Attempt:
    required = RequiredCapabilities((UNKNOWN if bend else CUSTOM,), (), (1,))
    return by_alice(GroupContextExtensions((as_extension(required),)))


@case("§11.1: the leaf lacks a required capability")
def a_required_capability_that_somebody_added_beside_it_lacks(bend: bool) -> Attempt:
    """The list's new extensions count for its other proposals (§12.3)."""
    required = GroupContextExtensions((as_extension(RequiredCapabilities((), (CUSTOM,), ())),))
    supports = capabilities(proposals=() if bend else (CUSTOM,))
    return by_alice(Add(package(supports=supports)), required)


@case("§7.3: a signature key is there twice")
def two_adds_of_one_client(bend: bool) -> Attempt:
    same = client("erin")
    second = client("erin", "again", signer=same.signer if bend else None)
    return by_alice(Add(same.package), Add(second.package))


@case("§7.3: a signature key is there twice")
def an_add_of_a_member(bend: bool) -> Attempt:
    four = people()
    return by_alice(Add(package("bob", seed="again", signer=four.bob.state.signer if bend else None)))


class Named(Rules):
    """Whoever has one credential is one client."""

    tells_clients = True


@case("§12.2: the client to be added is a member already")
def an_add_of_a_member_by_what_the_application_knows(bend: bool) -> Attempt:
    four = people(Named)
    return delivered(four.carol, committed(four.alice, Add(package("bob" if bend else "erin", seed="again")))[1].commit)


class Closed(Rules):
    """Nobody adds itself."""

    new_member_proposals = False
    external_joins = False


@case("§12.1.8: the application allows no proposals by new members")
def somebody_new_who_may_not_propose(bend: bool) -> Attempt:
    four, erin = people(Closed), client("erin")
    add = ProposalContent(Add(erin.package))
    asked = signed(four.alice, add, sender=NewMemberProposal(), signer=erin.signer)
    return delivered(four.carol, public(four.alice, asked if bend else signed(four.alice, add)))


@case("§12.4.2: the confirmation tag is not right")
def a_truncated_confirmation_tag(bend: bool) -> Attempt:
    return _tagged(lambda tag: tag[: 16 if bend else None])


@case("§12.4.2: the confirmation tag is not right")
def an_empty_confirmation_tag(bend: bool) -> Attempt:
    return _tagged(lambda tag: b"" if bend else tag)


class Encrypted(Rules):
    """Commits are encrypted."""

    private_handshakes = True


@case("§12.4.2: the confirmation tag is not right")
def an_encrypted_commit_with_a_truncated_confirmation_tag(bend: bool) -> Attempt:
    return _tagged(lambda tag: tag[: 16 if bend else None], Encrypted)


@case("epoch 3, here 4", error=errors.WrongEpoch, final="of an epoch that is over only messages are read")
def an_encrypted_commit_of_the_epoch_before(bend: bool) -> Attempt:
    four = people(Encrypted)
    _, late = committed(four.alice, seed="late")
    _, other = committed(four.bob)
    return delivered(four.carol, *([other.commit] if bend else []), late.commit)


def _tagged(change: Callable[[bytes], bytes], policy: type[Rules] = Rules) -> Attempt:
    four = people(policy)

    def changed(sent: AuthenticatedContent) -> AuthenticatedContent:
        assert sent.confirmation_tag is not None
        return dataclasses.replace(sent, confirmation_tag=change(sent.confirmation_tag))

    with content_bent(changed):
        return delivered(four.carol, committed(four.alice)[1].commit)
