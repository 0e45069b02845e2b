"""Welcomes and GroupInfos that are not right (§11.2, §11.3, §12.4.3)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from adversary.bending import bent
from mls.illegal.case import Attempt, case
from mls.illegal.members import (
    CUSTOM,
    EXTERNAL,
    NOW,
    SUITE,
    Rules,
    client,
    committed,
    draws,
    joins,
    people,
    psk,
    taken,
    tree_bent,
)
from mls.illegal.proposals import IN_A_GROUP
from mls.making import put
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import group_info, state
from tacit.mls.credential import BasicCredential
from tacit.mls.extensions import Extension, ExternalSender, ExternalSenders, as_extension
from tacit.mls.group import Group
from tacit.mls.group_context import GroupContext
from tacit.mls.proposals import Add, GroupContextExtensions, PreSharedKey, ReInit, Remove
from tacit.mls.psk import ResumptionPsk, ResumptionPskUsage
from tacit.mls.suites import SUITES
from tacit.mls.welcome import GroupInfo, PathSecret

TAG = "§12.4.3.1: the confirmation tag is not right"


def welcomed(*more: Any, group: Group | None = None, **options: Any) -> Attempt:
    """Somebody whom alice adds."""
    keys = client("erin")
    _, pending = committed(group or people().alice, Add(keys.package), *more, **options)
    assert pending.welcome is not None
    return joins(pending.welcome, keys)


def informed(
    change: Callable[[GroupInfo], GroupInfo], signer: Any = None, group: Group | None = None, **options: Any
) -> Attempt:
    """Somebody whom alice adds, with a GroupInfo that was changed and signed again."""
    honest = group_info.signed

    def signed(epoch: state.Epoch, me: Any, key: Any, **parts: Any) -> GroupInfo:
        info = change(honest(epoch, me, key, **parts))
        signature = epoch.suite.sign_with_label(signer or key, "GroupInfoTBS", info.to_be_signed())
        return dataclasses.replace(info, signature=signature)

    with bent({"tacit.mls.group_info:signed": signed}):
        return welcomed(group=group, **options)


@case("§12.4.3.1: the GroupInfo's", error=errors.BadSignature)
def a_group_info_that_another_signed(bend: bool) -> Attempt:
    four = people()
    return informed(lambda info: info, (four.bob if bend else four.alice).state.signer)


@case("§12.4.3.1: the GroupInfo's", error=errors.BadSignature)
def a_group_info_in_another_members_name(bend: bool) -> Attempt:
    return informed(lambda info: dataclasses.replace(info, signer=1 if bend else 0))


@case("§12.4.3.1: the signer of the GroupInfo is no member", final="without a signer there is no key to verify with")
def a_group_info_of_a_blank_leaf(bend: bool) -> Attempt:
    alice, _ = committed(people().alice, Remove(1), Remove(3))
    return informed(lambda info: dataclasses.replace(info, signer=3 if bend else 0), group=alice)


@case("§12.4.3.1: the signer of the GroupInfo is no member", final="without a signer there is no key to verify with")
def a_group_info_of_a_leaf_outside_of_the_tree(bend: bool) -> Attempt:
    return informed(lambda info: dataclasses.replace(info, signer=99 if bend else 0))


@case(TAG)
def a_group_info_with_a_truncated_confirmation_tag(bend: bool) -> Attempt:
    return informed(
        lambda info: dataclasses.replace(info, confirmation_tag=info.confirmation_tag[: 16 if bend else 99])
    )


@case(TAG)
def a_group_info_with_another_history(bend: bool) -> Attempt:
    """Its transcript hash is not what the epoch's secrets are bound to."""

    def change(info: GroupInfo) -> GroupInfo:
        context = dataclasses.replace(info.group_context, confirmed_transcript_hash=bytes(32))
        return dataclasses.replace(info, group_context=context) if bend else info

    return informed(change)


@case("two extensions of one type", error=errors.Malformed)
def a_group_info_with_two_extensions_of_one_type(bend: bool) -> Attempt:
    return welcomed(group_info_extensions=(Extension(CUSTOM, b""),) * (1 + bend))


@case("two extensions of one type", error=errors.Malformed)
def a_group_with_two_extensions_of_one_type(bend: bool) -> Attempt:
    return welcomed(GroupContextExtensions((Extension(CUSTOM, b""),) * (1 + bend)))


@case("MLS version 2", error=errors.UnknownVersion)
def a_group_of_another_version(bend: bool) -> Attempt:
    with _context_bent(version=2 if bend else 1):
        return welcomed()


def _context_bent(**changes: Any) -> Any:
    honest = state.Base.next_context

    def next_context(self: state.Base, *rest: Any) -> GroupContext:
        return dataclasses.replace(honest(self, *rest), **changes)

    return bent({"tacit.mls.state:Base.next_context": next_context})


@case("§12.4.3.1: the group has another cipher suite than the key package")
def a_group_of_another_suite_than_its_welcome(bend: bool) -> Attempt:
    """Of one that differs in the AEAD only, so that all else fits."""
    with _context_bent(cipher_suite=3 if bend else 1):
        return welcomed()


@case(
    "§12.4.3.1: the Welcome is for another cipher suite",
    also=("§10.1: the key package is for another version or cipher suite",),
)
def a_welcome_of_another_suite_than_the_key_package(bend: bool) -> Attempt:
    """Of one that has the same KEM and hash."""
    other = SUITES[3]
    alice = Group.create(b"third", client("alice", suite=other), Rules(), draws("third"))
    keys = client("erin", suite=SUITE if bend else other)
    _, pending = committed(alice, Add(keys.package))
    assert pending.welcome is not None
    return joins(pending.welcome, keys)


@case("§12.4.3.1: the Welcome has nothing for this key package", final="nothing in it can be decrypted")
def a_welcome_for_somebody_else(bend: bool) -> Attempt:
    keys = client("erin")
    _, pending = committed(people().alice, Add(keys.package))
    assert pending.welcome is not None
    return joins(pending.welcome, client("frank") if bend else keys)


@case("§12.4.3.1: the key package's leaf is not in the tree", final="whoever is not in the tree has no place in it")
def a_welcome_to_a_group_without_the_joiner(bend: bool) -> Attempt:
    """Somebody else is in the joiner's place."""
    frank = client("frank").package.leaf_node
    with tree_bent(lambda tree: put(tree, 8, frank) if bend else tree):
        return welcomed()


@case("§7.5: a path secret does not give the node's public key")
def a_welcome_with_another_path_secret(bend: bool) -> Attempt:
    def changed(path_secret: bytes) -> PathSecret:
        return PathSecret(bytes(32) if bend else path_secret)

    with bent({"tacit.mls.committing:PathSecret": changed}, everywhere=False):
        return welcomed(with_path=True)


@case("§12.4.3.1: a path secret from the joiner itself", final="a leaf has no node that it shares with itself")
def a_welcome_with_a_path_secret_from_the_joiner(bend: bool) -> Attempt:
    """By somebody who has the joiner's signing key."""

    def change(info: GroupInfo) -> GroupInfo:
        return dataclasses.replace(info, signer=4) if bend else info

    return informed(change, client("erin").signer if bend else None, with_path=True)


@case("§7.4: a path secret is of the wrong size", also=("§7.5: a path secret does not give the node's public key",))
def a_welcome_with_a_truncated_path_secret(bend: bool) -> Attempt:
    def changed(path_secret: bytes) -> PathSecret:
        return PathSecret(path_secret[: 16 if bend else 32])

    with bent({"tacit.mls.committing:PathSecret": changed}, everywhere=False):
        return welcomed(with_path=True)


@case("§5.3.1: nobody knows mallory", instead={"mls.illegal.members:Rules.authenticate_external": lambda *_: None})
def a_group_with_an_external_sender_whom_the_joiner_does_not_know(bend: bool) -> Attempt:
    sender = ExternalSender(EXTERNAL.public, BasicCredential(b"mallory" if bend else b"service"))
    return welcomed(GroupContextExtensions((as_extension(ExternalSenders((sender,))),)))


@case("§12.4.3.2: the GroupInfo has no key to join by", final="without the key there is no secret to join with")
def a_group_info_without_a_key_to_join_by(bend: bool) -> Attempt:
    info = people().alice.group_info(external=not bend)
    erin = client("erin")
    return Attempt(erin, lambda: Group.join_external(info, erin, Rules(), now=NOW, random=draws("outside")))


@case("PskMissing", error=errors.PskMissing, final="the epoch's secrets cannot be made without the key")
def a_welcome_with_a_key_that_is_not_known(bend: bool) -> Attempt:
    class Finder(Rules):
        """Alice has every key."""

        def external_psk(self, psk_id: bytes) -> Secret:
            return Secret(bytes(32))

    alice = Group(people().alice.state, Finder() if bend else Rules())
    return welcomed(PreSharedKey(psk(b"lost" if bend else b"psk")), group=alice)


# --- groups that come from others --------------------------------------------------------

NEXT = ReInit(b"next", 1, 1, ())


class Remembering(Rules):
    """Whoever has the resumption keys of the former group."""

    def resumption_psk(self, group_id: bytes, epoch: int) -> Secret | None:
        return Secret(group_id.rjust(32, b"\0"))


class Knowing(Remembering):
    """Whoever has those of one group as its members have them."""

    def __init__(self, former: Group) -> None:
        self.former = former

    def resumption_psk(self, group_id: bytes, epoch: int) -> Secret | None:
        former = self.former
        kept = {**dict(former.state.resumption), former.epoch: former.resumption_psk}
        known = kept.get(epoch) if group_id == former.group_id else None
        return known or super().resumption_psk(group_id, epoch)


@functools.cache
def going() -> tuple[Group, Group]:
    """Alice's and bob's group of two."""
    bob = client("bob")
    alice, first = committed(Group.create(b"former", client("alice"), Remembering(), draws("former")), Add(bob.package))
    assert first.welcome is not None
    return alice, Group.join(first.welcome, bob, Remembering())


@functools.cache
def ended() -> tuple[Group, Group]:
    """The same, once it was reinitialised."""
    alice, bob = going()
    alice, last = committed(alice, NEXT)
    return alice, taken(bob, last.commit)


def followed(
    former: Group,
    *,
    usage: ResumptionPskUsage = ResumptionPskUsage.REINIT,
    names: tuple[PreSharedKey, ...] | None = None,
    group_id: bytes = b"next",
    number: int = 1,
    creator: str = "alice",
    empty: int = 0,
    extensions: tuple[Extension, ...] = (),
    more: tuple[Any, ...] = (),
) -> Attempt:
    """Bob joins a group that says that it follows the one that he had.

    `empty` commits are made before the one that adds him.
    """
    suite = SUITES[number]
    alice, bob = client(creator, "again", suite=suite), client("bob", "again", suite=suite)
    group = Group.create(group_id, alice, Knowing(former), draws("next"), extensions)
    for _ in range(empty):
        group, _ = committed(group)
    if names is None:
        names = (resumed(former, usage, suite.hash_bytes),)
    _, pending = committed(group, Add(bob.package), *names, *more)
    assert pending.welcome is not None
    return joins(pending.welcome, bob, Remembering(), former=former)


def resumed(former: Group, usage: ResumptionPskUsage, size: int = 32, epoch: int | None = None) -> PreSharedKey:
    """The name of a former group's key."""
    name = ResumptionPsk(usage, former.group_id, former.epoch if epoch is None else epoch)
    return PreSharedKey(dataclasses.replace(psk(nonce=bytes(size)), psk=name))


@case("§12.4.3.1: several resumption keys for reinit or branch")
def two_keys_of_former_groups(bend: bool) -> Attempt:
    _, former = going()
    first = resumed(former, ResumptionPskUsage.BRANCH)
    second = resumed(former, ResumptionPskUsage.BRANCH, epoch=0)
    return followed(former, names=(first, second) if bend else (first,))


@case("§12.4.3.1: the group that this one comes from is not at hand")
def a_key_of_another_group_than_the_former_one(bend: bool) -> Attempt:
    _, former = going()
    name = ResumptionPsk(ResumptionPskUsage.BRANCH, b"another" if bend else b"former", former.epoch)
    return followed(former, names=(PreSharedKey(dataclasses.replace(psk(), psk=name)),))


@case("§12.4.3.1: a group that comes from another begins with epoch 1", also=(IN_A_GROUP,))
def a_group_that_follows_and_is_older(bend: bool) -> Attempt:
    _, former = going()
    return followed(former, usage=ResumptionPskUsage.BRANCH, empty=1 if bend else 0)


@case(
    "§11.2: the former group was not reinitialised in that epoch",
    also=("§11.2: the new group is not what the ReInit says",),
)
def a_reinit_of_a_group_that_goes_on(bend: bool) -> Attempt:
    return followed((going() if bend else ended())[1])


@case("§11.2: the former group was not reinitialised in that epoch")
def a_reinit_of_another_epoch(bend: bool) -> Attempt:
    _, former = ended()
    return followed(former, names=(resumed(former, ResumptionPskUsage.REINIT, epoch=former.epoch - bend),))


WANTED = "§11.2: the new group is not what the ReInit says"


@case(WANTED)
def a_reinit_with_another_group_id(bend: bool) -> Attempt:
    return followed(ended()[1], group_id=b"other" if bend else b"next")


@case(WANTED)
def a_reinit_with_another_suite(bend: bool) -> Attempt:
    return followed(ended()[1], number=3 if bend else 1)


@case(WANTED)
def a_reinit_with_other_extensions(bend: bool) -> Attempt:
    return followed(ended()[1], extensions=(Extension(CUSTOM, b""),) if bend else ())


@case("§11.2: the Welcome names no key of the group that was reinitialised")
def a_reinit_without_the_former_groups_key(bend: bool) -> Attempt:
    _, former = ended()
    return followed(former, names=() if bend else None)


MEMBERS = "§12.4.3.1: the members are not those of the former group"


@case(MEMBERS)
def a_reinit_without_a_former_member(bend: bool) -> Attempt:
    """Another one is there in alice's place."""
    return followed(ended()[1], creator="mallory's friend" if bend else "alice")


@case(MEMBERS)
def a_branch_with_somebody_new(bend: bool) -> Attempt:
    _, former = going()
    more = (Add(client("erin").package),) if bend else ()
    return followed(former, usage=ResumptionPskUsage.BRANCH, more=more)


@case("§11.3: the new group has another version or cipher suite")
def a_branch_with_another_suite(bend: bool) -> Attempt:
    _, former = going()
    return followed(former, usage=ResumptionPskUsage.BRANCH, number=3 if bend else 1)
