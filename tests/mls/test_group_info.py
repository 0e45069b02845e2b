"""A GroupInfo: what is in it, and what somebody from outside makes sure of."""

from __future__ import annotations

import dataclasses

import pytest

from mls.making import NOW, SUITE
from mls.party import OPEN, Open, Party
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls import Group, LeafNode
from tacit.mls.extensions import Extension, ExtensionType
from tacit.mls.framing import from_wire, to_wire
from tacit.mls.group_info import check, welcome_key
from tacit.mls.welcome import GroupInfo


@pytest.fixture
def three() -> Party:
    return Party("alice", "bob", "carol")


def info_of(message: bytes) -> GroupInfo:
    parsed = from_wire(message)
    assert isinstance(parsed, GroupInfo)
    return parsed


def bent(party: Party, info: GroupInfo, **changes: object) -> GroupInfo:
    """Other content with alice's signature."""
    info = dataclasses.replace(info, **changes)  # type: ignore[arg-type]
    signature = SUITE.sign_with_label(party["alice"].state.signer, "GroupInfoTBS", info.to_be_signed())
    return dataclasses.replace(info, signature=signature)


def test_a_group_info_has_tree_and_key_where_they_are_asked_for(three: Party) -> None:
    alice = three["alice"]
    for with_tree in (False, True):
        for external in (False, True):
            info = info_of(alice.group_info(with_tree=with_tree, external=external, extra=(Extension(0x0A0A, b""),)))
            wanted = {0x0A0A}
            wanted |= {ExtensionType.RATCHET_TREE} if with_tree else set()
            wanted |= {ExtensionType.EXTERNAL_PUB} if external else set()
            assert {each.extension_type for each in info.extensions} == wanted
            checked = check(info, None if with_tree else alice.ratchet_tree(), OPEN)
            assert (checked.info, checked.suite, checked.signer) == (info, SUITE, dict(alice.members())[alice.me])


def test_a_tree_in_the_group_info_counts_more_than_one_beside_it(three: Party) -> None:
    info = info_of(three["alice"].group_info())
    other = Party("mallory").groups["mallory"].ratchet_tree()
    assert check(info, other, OPEN).tree.members == 3


def test_without_the_tree_or_with_another_nobody_joins(three: Party) -> None:
    keys = three.keys("dave")
    info = three["alice"].group_info(with_tree=False, external=True)
    tree = three["alice"].ratchet_tree()
    with pytest.raises(errors.InvalidGroupMessage, match="the group's tree is not there"):
        Group.join_external(info, keys, OPEN, now=NOW, random=three.random)
    three.commit("bob")
    with pytest.raises(errors.InvalidGroupMessage, match="the tree is not that of the group"):
        Group.join_external(info, keys, OPEN, now=NOW, random=three.random, tree=three["alice"].ratchet_tree())
    joined, _ = Group.join_external(info, keys, OPEN, now=NOW, random=three.random, tree=tree)
    assert joined.epoch == 2


def test_without_the_external_key_nobody_joins(three: Party) -> None:
    with pytest.raises(errors.InvalidGroupMessage, match="no key to join by"):
        Group.join_external(three["alice"].group_info(), three.keys("dave"), OPEN, now=NOW, random=three.random)


def test_a_group_info_is_signed_by_a_member(three: Party) -> None:
    info = info_of(three["alice"].group_info(external=True))
    check(bent(three, info), None, OPEN)
    with pytest.raises(errors.BadSignature):
        check(dataclasses.replace(info, confirmation_tag=bytes(32)), None, OPEN)
    with pytest.raises(errors.BadSignature):
        check(bent(three, info, signer=1), None, OPEN)
    three.remove("alice", "bob")
    info = info_of(three["alice"].group_info(external=True))
    for nobody in (1, 3, 1000):
        with pytest.raises(errors.InvalidGroupMessage, match="the signer of the GroupInfo is no member"):
            check(bent(three, info, signer=nobody), None, OPEN)


def test_a_version_and_a_suite_that_are_not_known_are_refused(three: Party) -> None:
    info = info_of(three["alice"].group_info())
    here = info.group_context
    for context in (dataclasses.replace(here, version=2), dataclasses.replace(here, cipher_suite=0xF00F)):
        with pytest.raises(errors.UnknownVersion):
            check(bent(three, info, group_context=context), None, OPEN)


def test_an_extension_is_there_once(three: Party) -> None:
    info = info_of(three["alice"].group_info())
    twice = (Extension(0x0A0A, b""), Extension(0x0A0A, b""))
    with pytest.raises(errors.Malformed, match="two extensions of one type"):
        check(bent(three, info, extensions=(*info.extensions, *twice)), None, OPEN)
    context = dataclasses.replace(info.group_context, extensions=twice)
    with pytest.raises(errors.Malformed, match="two extensions of one type"):
        check(bent(three, info, group_context=context), None, OPEN)


def test_the_policy_says_whether_the_members_are_who_they_say(three: Party) -> None:
    class Strict(Open):
        def authenticate(self, leaf: LeafNode) -> None:
            raise errors.InvalidGroupMessage("I know nobody")

    with pytest.raises(errors.InvalidGroupMessage, match="I know nobody"):
        check(info_of(three["alice"].group_info()), None, Strict())


def test_a_group_info_of_another_history_leads_nowhere(three: Party) -> None:
    """The joiner cannot tell, but the others take no commit that builds on another confirmation tag."""
    info = info_of(three["alice"].group_info(external=True))
    forged = to_wire(bent(three, info, confirmation_tag=bytes(32)))
    _, commit = Group.join_external(forged, three.keys("dave"), OPEN, now=NOW, random=three.random)
    with pytest.raises(errors.InvalidGroupMessage, match="confirmation tag"):
        three["bob"].process(commit, NOW)


def test_the_key_and_nonce_of_a_welcome_are_of_the_suites_sizes() -> None:
    key, nonce = welcome_key(SUITE, Secret(bytes(32)))
    assert (len(key), len(nonce)) == (16, 12)
    assert key.reveal()[:12] != nonce
