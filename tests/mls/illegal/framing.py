"""Messages that are not what they say, or not of whom they say (§6, §12.1.8)."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from adversary.bending import StandIn, bent
from mls.illegal.case import Attempt, case
from mls.illegal.members import (
    EXTERNAL,
    SUITE,
    People,
    Rules,
    client,
    committed,
    delivered,
    draws,
    parsed,
    people,
    private,
    public,
    signed,
    taken,
    three,
)
from tacit import errors
from tacit.mls import framing, protection
from tacit.mls.commit import Commit
from tacit.mls.framing import (
    ApplicationData,
    AuthenticatedContent,
    External,
    FramedContent,
    Member,
    MLSMessage,
    NewMemberCommit,
    NewMemberProposal,
    ProposalContent,
    WireFormat,
)
from tacit.mls.group import Group
from tacit.mls.group_context import GroupContext
from tacit.mls.leaf_node import LeafNode
from tacit.mls.proposals import Add, ReInit, Remove, Update
from tacit.mls.suites import CipherSuite, SignatureKey
from tacit.mls.tree import Tree
from tacit.wire.codec import encode

REMOVE = ProposalContent(Remove(1))
REMOVE_DAVE = ProposalContent(Remove(3))


@case("§6.2: the membership tag is not right")
def a_truncated_membership_tag(bend: bool) -> Attempt:
    four = people()
    message = signed(four.alice, REMOVE)
    tag = parsed(public(four.alice, message)).membership_tag
    assert tag is not None
    tag = tag[: 16 if bend else None]
    return delivered(four.carol, public(four.alice, message, membership_tag=tag))


@case("§6.2: the membership tag is not right")
def a_membership_tag_by_somebody_who_was_removed(bend: bool) -> Attempt:
    """With another's signing key, but without the epoch's."""
    left = three()
    content, context = signed(left.alice, ProposalContent(Remove(2))), left.alice.context
    key = (left.bob if bend else left.alice).state.epoch.secrets.membership_key
    return delivered(left.carol, framing.to_wire(protection.public_message(SUITE, key, content, context)))


@case("§6: an application message has to be encrypted")
def an_application_message_in_the_clear(bend: bool) -> Attempt:
    """Looked at where a public message is opened: nothing behind that knows what to do with one."""
    four = people()
    message = parsed(public(four.alice, signed(four.alice, ApplicationData(b"text") if bend else REMOVE)))
    state, leaf = four.carol.state, four.alice.state.epoch.tree.leaf(0)
    assert leaf is not None
    key, context = state.epoch.secrets.membership_key, four.carol.context

    def arrive() -> AuthenticatedContent:
        return protection.open_public(SUITE, key, message, context).verified(SUITE, leaf.signature_key, context)

    return Attempt(state, arrive)


@case("§6.1", error=errors.BadSignature)
def a_signature_of_another_member(bend: bool) -> Attempt:
    four = people()
    signer = (four.bob if bend else four.alice).state.signer
    return delivered(four.carol, public(four.alice, signed(four.alice, REMOVE, signer=signer)))


@case("§6.1", error=errors.BadSignature)
def an_encrypted_message_that_another_member_signed(bend: bool) -> Attempt:
    four = people()
    signer = (four.bob if bend else four.alice).state.signer
    content = signed(four.alice, ApplicationData(b"text"), signer=signer, wire_format=WireFormat.PRIVATE_MESSAGE)
    return delivered(four.carol, private(four.alice, content))


@case("§6.1", error=errors.BadSignature)
def a_signature_for_the_other_wire_format(bend: bool) -> Attempt:
    four = people()
    content = signed(four.alice, REMOVE, wire_format=WireFormat.PUBLIC_MESSAGE if bend else WireFormat.PRIVATE_MESSAGE)
    content = dataclasses.replace(content, wire_format=WireFormat.PRIVATE_MESSAGE)
    return delivered(four.carol, private(four.alice, content))


def _anybody(tree: Tree, leaf_index: int) -> LeafNode:
    """In place of `_member`: alice for every leaf without a member."""
    found = tree.leaf(leaf_index) or tree.leaf(0)
    assert found is not None
    return found


_MEMBER = {"tacit.mls.processing:_member": _anybody}


@case("§6.1: the sender is no member", instead=_MEMBER)
def a_sender_outside_of_the_tree(bend: bool) -> Attempt:
    four = people()
    return delivered(four.carol, public(four.alice, signed(four.alice, REMOVE, sender=Member(7 if bend else 0))))


@case("§6.1: the sender is no member", instead=_MEMBER)
def an_encrypted_message_of_a_blank_leaf(bend: bool) -> Attempt:
    left = three()
    content = signed(
        left.alice, ApplicationData(b"text"), sender=Member(1 if bend else 0), wire_format=WireFormat.PRIVATE_MESSAGE
    )
    return delivered(left.carol, private(left.alice, content))


@case("this message is of another group", error=errors.WrongEpoch)
def a_message_of_another_group(bend: bool) -> Attempt:
    four = people()
    return delivered(
        four.carol, public(four.alice, signed(four.alice, REMOVE, group_id=b"other" if bend else four.alice.group_id))
    )


@case("epoch 2, here 3", error=errors.WrongEpoch)
def a_proposal_of_the_epoch_before(bend: bool) -> Attempt:
    four = people()
    assert four.alice.epoch == 3
    return delivered(four.carol, public(four.alice, signed(four.alice, REMOVE, epoch=2 if bend else 3)))


@case("epoch 4, here 3", error=errors.WrongEpoch)
def a_commit_of_another_epoch(bend: bool) -> Attempt:
    """It is right for the present epoch in all but the number that it carries."""
    four = people()

    def numbered(group_id: bytes, epoch: int, *rest: Any) -> FramedContent:
        return FramedContent(group_id, 4 if bend else epoch, *rest)

    with bent({"tacit.mls.committing:FramedContent": numbered}, everywhere=False):
        return delivered(four.carol, committed(four.alice)[1].commit)


@case("§12.1.8: there is no such external sender", instead={"tacit.mls.processing:_key_of": lambda *_: EXTERNAL.public})
def an_external_sender_that_is_not_listed(bend: bool) -> Attempt:
    four = people(senders=True)
    content = signed(four.alice, REMOVE, sender=External(1 if bend else 0), signer=EXTERNAL)
    return delivered(four.carol, public(four.alice, content))


@case("§6.1: only members and who joins can commit", final="without a leaf there is no place for the commit's path")
def a_commit_by_an_external_sender(bend: bool) -> Attempt:
    four, honest = people(senders=True), protection.signature
    if not bend:
        return delivered(four.carol, committed(four.alice)[1].commit)

    def signature(suite: CipherSuite, _: SignatureKey, *rest: Any) -> bytes:
        return honest(suite, EXTERNAL, *rest)

    places: dict[str, StandIn] = {
        "tacit.mls.committing:Member": lambda _: External(0),
        "tacit.mls.protection:signature": signature,
    }
    with bent(places, everywhere=False):
        return delivered(four.carol, committed(four.alice)[1].commit)


@case("§12.1.8: a proposal of this type cannot come from such a sender")
def an_update_by_an_external_sender(bend: bool) -> Attempt:
    four = people(senders=True)
    leaf = four.alice.state.epoch.tree.leaf(0)
    assert leaf is not None
    proposal = Update(leaf) if bend else Remove(1)
    content = signed(four.alice, ProposalContent(proposal), sender=External(0), signer=EXTERNAL)
    return delivered(four.carol, public(four.alice, content))


@case(
    "§12.1.8: a new member proposes to be added, and nothing else",
    instead={"tacit.mls.processing:_key_of": lambda *_: client("erin").signer.public},
    also=("§12.1.8: a proposal of this type cannot come from such a sender",),
)
def a_remove_by_somebody_new(bend: bool) -> Attempt:
    four, erin = people(), client("erin")
    body = REMOVE if bend else ProposalContent(Add(erin.package))
    content = signed(four.alice, body, sender=NewMemberProposal(), signer=erin.signer)
    return delivered(four.carol, public(four.alice, content))


@case("§6.1", error=errors.BadSignature)
def somebody_new_whose_proposal_another_signed(bend: bool) -> Attempt:
    four, erin = people(), client("erin")
    signer = client("frank").signer if bend else erin.signer
    content = signed(four.alice, ProposalContent(Add(erin.package)), sender=NewMemberProposal(), signer=signer)
    return delivered(four.carol, public(four.alice, content))


@case(
    "§12.4.3.2: a new member's commit has a path",
    instead={"tacit.mls.processing:_key_of": lambda *_: client("erin").signer.public},
)
def a_proposal_by_somebody_who_joins_by_a_commit(bend: bool) -> Attempt:
    four, erin = people(), client("erin")
    content = signed(four.alice, REMOVE, sender=NewMemberCommit(), signer=erin.signer)
    return delivered(four.carol, public(four.alice, content if bend else signed(four.alice, REMOVE)))


@case(
    "§12.1.8: a new member proposes to be added, and nothing else",
    final="a commit has no leaf of somebody who only proposes",
)
def a_commit_by_somebody_who_may_only_propose(bend: bool) -> Attempt:
    four, erin = people(), client("erin")
    body = Commit((), None) if bend else ProposalContent(Add(erin.package))
    content = signed(four.alice, body, sender=NewMemberProposal(), signer=erin.signer)
    return delivered(four.carol, public(four.alice, content))


@case("§6.1", error=errors.BadSignature)
def a_proposal_that_an_external_sender_did_not_sign(bend: bool) -> Attempt:
    four = people(senders=True)
    signer = four.alice.state.signer if bend else EXTERNAL
    content = signed(four.alice, REMOVE, sender=External(0), signer=signer)
    return delivered(four.carol, public(four.alice, content))


@case("§6.1", error=errors.BadSignature)
def a_commit_that_another_signed(bend: bool) -> Attempt:
    four, honest = people(), protection.signature

    def signature(suite: CipherSuite, key: SignatureKey, *rest: Any) -> bytes:
        return honest(suite, four.bob.state.signer if bend else key, *rest)

    with bent({"tacit.mls.protection:signature": signature}, everywhere=False):
        return delivered(four.carol, committed(four.alice)[1].commit)


@case("§6.3.1: the padding is not zero")
def padding_that_is_not_zero(bend: bool) -> Attempt:
    four = people()
    content = signed(four.alice, ApplicationData(b"text"), wire_format=WireFormat.PRIVATE_MESSAGE)
    return delivered(four.carol, private(four.alice, content, lambda _: b"\0\0\1" if bend else b"\0\0\0"))


@case("MLS version 2", error=errors.UnknownVersion)
def another_version_of_the_protocol(bend: bool) -> Attempt:
    four = people()
    body = framing.from_wire(public(four.alice, signed(four.alice, REMOVE)))
    return delivered(four.carol, encode(MLSMessage(2 if bend else 1, body)))


@case("generation 0", error=errors.KeyConsumed, final="the key is gone, and with it what could decrypt")
def a_message_that_comes_again(bend: bool) -> Attempt:
    four = people()
    message = private(four.alice, signed(four.alice, ApplicationData(b"text"), wire_format=WireFormat.PRIVATE_MESSAGE))
    return delivered(four.carol, *([message] * (1 + bend)))


@functools.cache
def successor() -> People:
    """Frank is where bob was, and everybody still has the epoch in which bob was there."""
    left = three()
    frank = client("frank")
    alice, pending = committed(left.alice, Add(frank.package))
    assert pending.welcome is not None
    carol, dave = taken(left.carol, pending.commit), taken(left.dave, pending.commit)
    return People(alice, Group.join(pending.welcome, frank, Rules()), carol, dave)


def _in_the_present_tree(suite: CipherSuite, context: GroupContext, _: Tree, content: protection.Decrypted) -> LeafNode:
    """In place of `_verified`: whoever is at that leaf now."""
    leaf = successor().alice.state.epoch.tree.leaf(1)
    assert leaf is not None
    content.verify(suite, leaf.signature_key, context)
    return leaf


@case("§6.1", error=errors.BadSignature, instead={"tacit.mls.processing:_verified": _in_the_present_tree})
def a_late_message_signed_by_who_came_to_the_senders_leaf_since(bend: bool) -> Attempt:
    """Somebody of the former epoch encrypts for frank, who was not there."""
    before, since = people(), successor()
    signer = (since.bob if bend else before.bob).state.signer
    content = signed(before.bob, ApplicationData(b"text"), signer=signer, wire_format=WireFormat.PRIVATE_MESSAGE)
    return delivered(since.carol, private(before.bob, content))


@case("reinitialised", error=errors.GroupEnded)
def a_message_in_a_group_that_was_reinitialised(bend: bool) -> Attempt:
    alice, _ = committed(people().alice, *([ReInit(b"next", 1, 1, ())] if bend else []))
    return Attempt(alice.state, lambda: alice.protect(b"text", draws("late")))


@case("§12.4: proposals were received, commit them before a message is sent", error=errors.InvalidArgument)
def a_message_before_the_proposals_are_committed(bend: bool) -> Attempt:
    four = people()
    alice = taken(four.alice, public(four.bob, signed(four.bob, REMOVE_DAVE))) if bend else four.alice
    return Attempt(alice.state, lambda: alice.protect(b"text", draws("early")))
