"""Joining: by a Welcome, from outside, and into a group that follows or is a part of another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import pytest

from mls.making import GROUP_ID, LIFETIME, NOW, SUITE, client
from mls.party import CLOSED, OPEN, Open, Party, knowing, names_in, reinit, resumption
from tacit import errors
from tacit.mls import (
    Add,
    BasicCredential,
    CommitChecked,
    ExternalPsk,
    Group,
    KeyPackageKeys,
    LeafNode,
    Own,
    PendingCommit,
    PreSharedKey,
    PreSharedKeyID,
    Remove,
    ResumptionPskUsage,
    capabilities,
    greased,
    new_key_package,
    suite_of,
)
from tacit.mls.framing import ContentType
from tacit.mls.suites import SUITES
from tacit.mls.tree_math import LeafIndex

REINIT, BRANCH = ResumptionPskUsage.REINIT, ResumptionPskUsage.BRANCH


# --- key packages ------------------------------------------------------------------------


def test_a_client_supports_every_suite_unless_it_says_which() -> None:
    assert capabilities((1,)).cipher_suites == tuple(SUITES)
    assert capabilities((1, 2), suites=(1,), extensions=(9,), proposals=(8,)).cipher_suites == (1,)
    package = Party("alice").packages["alice"].package
    assert package.leaf_node.capabilities == capabilities((1,))
    assert not package.is_last_resort


def test_grease_adds_one_number_to_each_list_that_may_have_one() -> None:
    plain = capabilities((1,), suites=(1,))
    values = set()
    for byte in range(256):
        found = greased(plain, lambda size, byte=byte: bytes([byte]) * size)  # type: ignore[misc]
        value = found.extensions[-1]
        assert value & 0x0F0F == 0x0A0A
        assert value >> 8 == value & 0xFF
        assert found.versions == plain.versions
        assert (found.cipher_suites, found.proposals, found.credentials) == ((1, value), (value,), (1, value))
        values.add(value)
    assert values == {0x1010 * number + 0x0A0A for number in range(15)}, "and never 0xFAFA, which is reserved"


def test_a_key_package_of_last_resort_may_be_used_again() -> None:
    party, other = Party("alice"), Party("bob", group_id=b"another group")
    keys = party.keys("carol", last_resort=True)
    assert keys.package.is_last_resort
    for each in (party, other):
        adder = next(iter(each.groups))
        each.groups["carol"] = each.welcomed(each.commit(adder, Add(keys.package)), keys)
        assert each.agree()


def test_the_keys_show_in_no_repr() -> None:
    keys = Party("alice").packages["alice"]
    for secret in (keys.init_key.seed, keys.leaf_key.seed, keys.signer.seed):
        assert secret.reveal().hex() not in repr(keys)
        assert repr(secret.reveal()) not in repr(keys)


# --- by a Welcome ------------------------------------------------------------------------


@pytest.mark.parametrize("with_path", [False, True])
def test_everybody_whom_one_commit_adds_joins_by_one_welcome(with_path: bool) -> None:
    party = Party("alice", "bob", "carol", "dave", "erin")
    party.remove("alice", "bob", "dave")
    party.add("erin", "frank", "grace", "heidi", with_path=with_path)
    assert party.agree()
    assert names_in(party["heidi"]) == ["alice", "frank", "carol", "grace", "erin", "heidi"]
    for name in ("frank", "heidi", "alice"):
        party.commit(name)
        assert party.agree()


def test_the_tree_travels_in_the_welcome_or_apart_from_it() -> None:
    party = Party("alice", "bob")
    keys = party.keys("carol")
    pending = party.commit("alice", Add(keys.package), with_tree=False)
    tree = party["alice"].ratchet_tree()
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.4\.3\.1: the group's tree is not there"):
        party.welcomed(pending, keys)
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.4\.3\.1: the tree is not that of the group"):
        party.commit("bob")
        party.welcomed(pending, keys, tree=party["alice"].ratchet_tree())
    joined = party.welcomed(pending, keys, tree=tree)
    assert joined.epoch == 2
    assert joined.ratchet_tree() == tree


def test_a_policy_may_check_the_members_with_a_map_of_its_own() -> None:
    seen: list[str] = []

    class Counting(Open):
        def mapped(
            self, function: Callable[[tuple[int, LeafNode]], None], members: Iterable[tuple[int, LeafNode]]
        ) -> Iterable[None]:
            seen.append("mapped")
            return super().mapped(function, members)

        def authenticate(self, leaf: LeafNode) -> None:
            assert isinstance(leaf.credential, BasicCredential)
            seen.append(leaf.credential.identity.decode())

    party = Party("alice", "bob")
    keys = party.keys("carol")
    pending = party.commit("bob", Add(keys.package))
    assert pending.welcome is not None
    Group.join(pending.welcome, keys, Counting())
    assert seen == ["mapped", "alice", "bob", "carol"]


def test_a_joiner_refuses_members_whom_its_policy_does_not_know() -> None:
    class Strict(Open):
        def authenticate(self, leaf: LeafNode) -> None:
            if leaf.credential == BasicCredential(b"bob"):
                raise errors.InvalidGroupMessage("who is bob?")

    party = Party("alice", "bob")
    keys = party.keys("carol")
    pending = party.commit("alice", Add(keys.package))
    assert pending.welcome is not None
    with pytest.raises(errors.InvalidGroupMessage, match="who is bob"):
        Group.join(pending.welcome, keys, Strict())


def test_pre_shared_keys_of_a_commit_are_needed_to_join() -> None:
    psk = PreSharedKey(PreSharedKeyID(ExternalPsk(b"name"), bytes(32)))
    party = Party("alice", policy=Open({b"name": b"key"}))
    keys = party.keys("bob")
    pending = party.commit("alice", Add(keys.package), psk)
    party.groups["bob"] = party.welcomed(pending, keys)
    assert party.agree()
    assert pending.welcome is not None
    with pytest.raises(errors.PskMissing):
        Group.join(pending.welcome, keys, OPEN)
    with pytest.raises(errors.DecryptionError):
        Group.join(pending.welcome, keys, Open({b"name": b"another key"}))


def test_a_joiner_needs_the_keys_of_its_key_package() -> None:
    party = Party("alice")
    keys, others = party.keys("bob"), party.keys("carol")
    pending = party.commit("alice", Add(keys.package))
    with pytest.raises(errors.InvalidGroupMessage, match="nothing for this key package"):
        party.welcomed(pending, others)
    with pytest.raises(errors.DecryptionError):
        party.welcomed(pending, dataclasses.replace(keys, init_key=others.init_key))


# --- from outside ------------------------------------------------------------------------


def outside(party: Party, name: str, **options: object) -> bytes:
    """Somebody joins from outside; the commit that the others take."""
    info = party["alice"].group_info(external=True)
    party.groups[name], commit = Group.join_external(
        info,
        party.keys(name),
        party.policy,
        now=NOW,
        random=party.random,
        **options,  # type: ignore[arg-type]
    )
    return commit


def test_somebody_joins_from_outside() -> None:
    party = Party("alice", "bob")
    commit = outside(party, "carol", authenticated_data=b"let me in")
    _, checked = party["bob"].process(commit, NOW)
    assert isinstance(checked, CommitChecked)
    assert checked.authenticated_data == b"let me in"
    effects = checked.transition.effects
    assert (effects.external, effects.committer, effects.added) == (True, 2, ())
    assert effects.committer_leaf.credential == BasicCredential(b"carol")
    party.follow(commit, "carol")
    assert party.agree()
    assert party.take(party.send("carol"), "carol") == Own(ContentType.APPLICATION, 2)
    party.commit("carol")
    party.commit("bob")
    assert party.agree()


def test_a_member_that_lost_its_state_takes_its_own_place_again() -> None:
    party = Party("alice", "bob", "carol")
    lost = party["carol"]
    commit = outside(party, "carol", resync=lost.me)
    party.follow(commit, "carol")
    assert party.agree()
    assert names_in(party["alice"]) == ["alice", "bob", "carol"]
    group, checked = lost.process(commit, NOW)
    assert isinstance(checked, CommitChecked)
    assert not group.merge(checked, NOW).is_active, "the old state ends"


def test_nobody_takes_the_place_of_another_member() -> None:
    party = Party("alice", "bob", "carol")
    info, keys = party["alice"].group_info(external=True), party.keys("mallory")
    with pytest.raises(errors.InvalidGroupMessage, match=r"§5\.3\.1"):
        Group.join_external(info, keys, OPEN, now=NOW, random=party.random, resync=LeafIndex(1))


def test_who_joins_from_outside_may_bring_a_pre_shared_key() -> None:
    psk = PreSharedKey(PreSharedKeyID(ExternalPsk(b"name"), bytes(32)))
    party = Party("alice", "bob", policy=Open({b"name": b"key"}))
    party.follow(outside(party, "carol", proposals=(psk,)), "carol")
    assert party.agree()


def test_external_joins_are_refused_unless_the_policy_allows_them() -> None:
    party = Party("alice", "bob")
    before = party["alice"].epoch
    commit = outside(party, "carol")
    with pytest.raises(errors.InvalidGroupMessage, match=r"§12\.4\.3\.2: the application allows no external joins"):
        Group(party["alice"].state, CLOSED).process(commit, NOW)
    assert party["alice"].epoch == before
    info = party["alice"].group_info(external=True)
    with pytest.raises(errors.InvalidGroupMessage, match="no external joins"):
        Group.join_external(info, party.keys("dave"), CLOSED, now=NOW, random=party.random)


# --- a group that comes from another -------------------------------------------------------


def founded(
    former: Party, creator: str, *others: str, usage: ResumptionPskUsage, suite_id: int = 1, group_id: bytes = b"next"
) -> tuple[Party, PendingCommit, dict[str, KeyPackageKeys]]:
    """A group that says that it comes from another one, its first commit, and the keys of whom that adds."""
    suite = suite_of(suite_id)
    party = Party(creator, suite=suite, group_id=group_id, policy=knowing(former[creator]))
    keys = {name: party.keys(name) for name in others}
    adds = [Add(each.package) for each in keys.values()]
    return party, party.commit(creator, *adds, resumption(former[creator], usage, suite)), keys


def test_a_group_goes_on_in_another_suite() -> None:
    former = Party("alice", "bob", "carol")
    former.commit("bob", reinit(b"next", suite_of(3)))
    party, pending, keys = founded(former, "alice", "bob", "carol", usage=REINIT, suite_id=3)
    for name, each in keys.items():
        assert pending.welcome is not None
        party.groups[name] = Group.join(pending.welcome, each, OPEN, former=former[name])
    assert party.agree()
    assert party["bob"].suite is suite_of(3)
    assert party.read(party.send("carol"), "bob").data == b"text"


def test_a_part_of_a_group_branches_off() -> None:
    former = Party("alice", "bob", "carol", "dave")
    party, pending, keys = founded(former, "dave", "bob", usage=BRANCH, group_id=b"a part")
    assert pending.welcome is not None
    party.groups["bob"] = Group.join(pending.welcome, keys["bob"], OPEN, former=former["bob"])
    assert party.agree()
    assert names_in(party["bob"]) == ["dave", "bob"]
    former.commit("carol")
    assert former.agree(), "the group itself goes on"


def test_a_branch_of_an_epoch_that_is_over_for_the_joiner_is_taken_while_its_key_is_kept() -> None:
    former = Party("alice", "bob", "carol")
    _, pending, keys = founded(former, "alice", "bob", usage=BRANCH, group_id=b"a part")
    former.commit("bob")
    assert pending.welcome is not None
    assert Group.join(pending.welcome, keys["bob"], OPEN, former=former["bob"]).epoch == 1


def test_the_former_group_is_needed_to_join_what_comes_from_it() -> None:
    former, other = Party("alice", "bob"), Party("alice", "bob", group_id=b"other")
    _, pending, keys = founded(former, "alice", "bob", usage=BRANCH)
    assert pending.welcome is not None
    with pytest.raises(errors.PskMissing):
        Group.join(pending.welcome, keys["bob"], OPEN)
    for at_hand in (None, other["bob"]):
        with pytest.raises(errors.InvalidGroupMessage, match="comes from is not at hand"):
            Group.join(pending.welcome, keys["bob"], knowing(former["bob"]), former=at_hand)


def test_a_group_that_does_not_keep_what_was_agreed_is_refused() -> None:
    former = Party("alice", "bob", "carol")
    former.commit("alice", reinit(b"next", suite_of(3)))
    for others, suite_id, group_id, match in (
        (("bob", "carol"), 1, b"next", r"§11\.2: the new group is not what the ReInit says"),
        (("bob", "carol"), 3, b"next one", r"§11\.2: the new group is not what the ReInit says"),
        (("bob",), 3, b"next", r"§12\.4\.3\.1: the members"),
    ):
        _, pending, keys = founded(former, "alice", *others, usage=REINIT, suite_id=suite_id, group_id=group_id)
        assert pending.welcome is not None
        with pytest.raises(errors.InvalidGroupMessage, match=match):
            Group.join(pending.welcome, keys["bob"], OPEN, former=former["bob"])
    going_on = Party("alice", "bob")
    for usage, others, suite_id, match in (
        (REINIT, ("bob",), 1, r"§11\.2: the former group was not reinitialised"),
        (BRANCH, ("bob",), 3, r"§11\.3"),
        (BRANCH, ("bob", "mallory"), 1, r"§12\.4\.3\.1: the members"),
    ):
        _, pending, keys = founded(going_on, "alice", *others, usage=usage, suite_id=suite_id)
        assert pending.welcome is not None
        with pytest.raises(errors.InvalidGroupMessage, match=match):
            Group.join(pending.welcome, keys["bob"], OPEN, former=going_on["bob"])


def test_who_joins_a_group_of_its_own_is_the_same_as_any_other() -> None:
    """What `create` makes and what `join` makes are told apart by nothing but the leaf."""
    party = Party("alice", "bob")
    party.commit("bob", Remove(0))
    assert names_in(party["bob"]) == ["bob"]
    keys = new_key_package(SUITE, client("carol").signer, BasicCredential(b"carol"), LIFETIME, party.random)
    party.groups["carol"] = party.welcomed(party.commit("bob", Add(keys.package)), keys)
    assert party["carol"].me == 0
    assert party["carol"].group_id == GROUP_ID
    assert party.agree()
