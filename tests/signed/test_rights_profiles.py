"""Which accounts a conversation of a profile takes, and how its profile is raised."""

from __future__ import annotations

import pytest

from signed.chains import Chain, World
from tacit import errors
from tacit.signed.profiles import Profile
from tacit.signed.record import Role
from tacit.signed.rights import could_open

COMPAT, STANDARD, FIPS = Profile.COMPAT, Profile.STANDARD, Profile.FIPS
FOLLOW = {(COMPAT, COMPAT), (STANDARD, COMPAT), (STANDARD, STANDARD), (FIPS, FIPS)}
"""(the account's, the conversation's)"""
CANNOT = "a member's account cannot follow the conversation's profile"


def world_of(founder: Profile, member: Profile) -> World:
    return World(alice=founder, bob=member)


@pytest.fixture
def mixed() -> World:
    return World("alice", "carol", "dave", bob=COMPAT)


@pytest.mark.parametrize("account", Profile)
@pytest.mark.parametrize("conversation", Profile)
def test_who_can_found_a_conversation_of_a_profile(account: Profile, conversation: Profile) -> None:
    world = world_of(account, account)
    chain = Chain(world, "alice", ["bob"])
    built = chain.genesis(profile=conversation)
    if (account, conversation) in FOLLOW:
        assert chain.take(built).head.profile is conversation
    else:
        with pytest.raises(errors.InvalidRecord, match=CANNOT):
            chain.take(built)


@pytest.mark.parametrize("account", Profile)
@pytest.mark.parametrize("conversation", Profile)
def test_who_can_be_added_to_a_conversation_of_a_profile(account: Profile, conversation: Profile) -> None:
    world = world_of(conversation, account)
    chain = Chain(world, "alice")
    chain.take(chain.genesis(profile=conversation))
    built = chain.next("alice", world["bob"].change())
    if (account, conversation) in FOLLOW:
        assert set(chain.take(built).roster()) == {"alice", "bob"}
    else:
        with pytest.raises(errors.InvalidRecord, match=CANNOT):
            chain.take(built)


@pytest.mark.parametrize("before", Profile)
@pytest.mark.parametrize("after", Profile)
def test_a_profile_is_raised_from_compat_to_standard_alone(before: Profile, after: Profile) -> None:
    """Of accounts that can follow where any can: else the members refuse it first."""
    world = World(alice=FIPS if before is FIPS else STANDARD, bob=FIPS if before is FIPS else STANDARD)
    chain = Chain(world, "alice", ["bob"])
    chain.take(chain.genesis(profile=before))
    built = chain.next("alice", profile=after)
    if before is after or (before, after) == (COMPAT, STANDARD):
        assert chain.take(built).head.profile is after
    else:
        with pytest.raises(errors.InvalidRecord, match="the profile went down"):
            chain.take(built)


def test_only_an_admin_raises_the_profile(mixed: World) -> None:
    chain = Chain(mixed, "alice", ["carol"])
    chain.take(chain.genesis(profile=COMPAT))
    with pytest.raises(errors.InvalidRecord, match="only an admin raises protocol, profile or suite"):
        chain.take(chain.next("carol", profile=STANDARD))
    raised = chain.next("alice", profile=STANDARD)
    assert not could_open(chain.head, raised[0], "carol", mixed.accounts)
    assert chain.take(raised).head.profile is STANDARD


def test_a_profile_is_not_raised_above_what_a_member_has(mixed: World) -> None:
    chain = Chain(mixed, "alice", ["bob", "carol"])
    chain.take(chain.genesis(profile=COMPAT))
    with pytest.raises(errors.InvalidRecord, match="the profile was raised above what a member has"):
        chain.take(chain.next("alice", profile=STANDARD))
    with pytest.raises(errors.InvalidRecord, match=CANNOT):
        chain.take(chain.next("alice", mixed["bob"].change(Role.ADMIN), profile=STANDARD))


def test_whoever_cannot_follow_is_removed_with_the_record_that_raises(mixed: World) -> None:
    chain = Chain(mixed, "alice", ["bob", "carol"])
    chain.take(chain.genesis(profile=COMPAT))
    state = chain.open("alice", chain.removal("bob"), profile=STANDARD)
    assert (state.head.profile, set(state.roster())) == (STANDARD, {"alice", "carol"})
    with pytest.raises(errors.InvalidRecord, match=CANNOT):
        chain.take(chain.next("alice", mixed["bob"].change()))


def test_a_raised_profile_waits_for_all_accounts_that_it_is_judged_by(mixed: World) -> None:
    chain = Chain(mixed, "alice", ["carol", "dave"])
    chain.take(chain.genesis(profile=COMPAT))
    built = chain.next("alice", profile=STANDARD)
    mixed.unknown |= {"carol": 0, "dave": 0}
    with pytest.raises(errors.RecordPending) as waiting:
        chain.take(built)
    assert waiting.value.facts == {"accounts": ["carol", "dave"]}
    mixed.unknown.clear()
    chain.take(built)


@pytest.mark.parametrize("profile", Profile)
def test_records_and_leaves_are_signed_as_their_signers_profile_has_it(profile: Profile) -> None:
    world = world_of(profile, profile)
    chain = Chain(world, "alice", ["bob"])
    chain.take(chain.genesis(profile=profile))
    forged = chain.next("bob", signer=lambda data: world["alice"].device.sign(data))
    with pytest.raises(errors.BadSignature):
        chain.take(forged)
    leave = chain.leave("bob")
    with pytest.raises(errors.InvalidRecord, match="a leave's signature does not verify"):
        chain.take(chain.next("alice", chain.removal("bob"), leaves=[chain.leave("bob", signer=lambda _: b"s" * 64)]))
    assert set(chain.open("alice", chain.removal("bob"), leaves=[leave]).roster()) == {"alice"}
