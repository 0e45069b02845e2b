from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from conversation.world import Chat, World
from tacit import errors
from tacit.conversation.judging_records import Judgement, Place, Received, judge_records
from tacit.signed.account import account_hash
from tacit.signed.record import (
    DEFAULT_POLICY,
    Leave,
    Protocol,
    Request,
    RequestKind,
    Role,
    sign_leave,
    sign_record,
)
from tacit.wire.codec import encode

OTHER_POLICY = dataclasses.replace(DEFAULT_POLICY, retention=1000)


@pytest.fixture
def world() -> World:
    return World("alice", "bob", "carol", "dave", "mallory")


@pytest.fixture
def chat(world: World) -> Chat:
    """Alice founded it with bob, who became an admin in epoch 2, and carol."""
    chat = Chat(world, "alice", "bob", "carol")
    chat.open("alice", [world["bob"].change(Role.ADMIN)])
    return chat


def judged(chat: Chat, user_id: str, held: int, *, accepted: Iterable[bytes] = ()) -> list[Judgement]:
    received = [each.received for each in chat.epochs]
    return judge_records(received, chat.standpoint(user_id, held, accepted))


def places(judgements: list[Judgement]) -> list[Place]:
    return [each.place for each in judgements]


A, F, P, R = Place.ACCEPTED, Place.FOUNDATION, Place.PENDING, Place.READING


# --- the chain ------------------------------------------------------------------------------


def test_a_member_from_the_first_judges_every_record(chat: Chat) -> None:
    judgements = judged(chat, "carol", 0)
    assert places(judgements) == [A, A]
    assert [each.state for each in judgements] == [each.state for each in chat.epochs]


def test_the_vault_vouches_for_the_chain_up_to_its_record_and_for_no_other(world: World, chat: Chat) -> None:
    chat.open("bob", [world["dave"].change()])
    world["bob"].revoke(world["bob"].device)
    received, by = [each.received for each in chat.epochs], chat.standpoint("carol")

    def with_pin(pinned: bytes | None) -> list[Place]:
        return places(judge_records(received, dataclasses.replace(by, pinned=pinned)))

    genesis, second, third = (each.state.head_hash for each in chat.epochs)
    assert with_pin(third) == [F, F, F]
    assert with_pin(second) == [F, F, P]
    assert with_pin(genesis) == [F, A, P]
    for other in (None, b"", b"?" * 32):
        assert with_pin(other) == [A, A, P]


def test_what_is_held_already_is_not_judged_again(world: World, chat: Chat) -> None:
    world["alice"].revoke(world["alice"].device)
    assert judged(chat, "carol", 2) == []


def test_order_is_that_of_seq(chat: Chat) -> None:
    received = [each.received for each in reversed(chat.epochs)]
    assert [each.received.seq for each in judge_records(received, chat.standpoint("carol"))] == [10, 20]


def test_a_record_without_the_one_before_it_waits(chat: Chat) -> None:
    chat.open("bob")
    received = [each.received for each in (chat.epochs[0], chat.epochs[2])]
    judgements = judge_records(received, chat.standpoint("carol"))
    assert places(judgements) == [A, P]
    assert judgements[1].cause is errors.RecordMissing
    assert not judgements[1].ask


def test_a_record_whose_account_record_is_not_known_waits_and_says_whose(world: World, chat: Chat) -> None:
    chat.open("bob", [world["dave"].change()])
    chat.open("bob")
    del world.people["dave"]
    judgements = judged(chat, "carol", 2)
    assert places(judgements) == [P, P]
    assert judgements[0].cause is errors.RecordPending
    assert (judgements[0].accounts, judgements[0].ask) == (("dave",), False)
    assert judgements[1].detail == "it waits for an earlier record"


def test_a_record_that_cannot_be_judged_keeps_none_of_its_epoch_out(chat: Chat) -> None:
    genuine = chat.open("bob").received
    after = chat.open("bob").received
    invented = dataclasses.replace(genuine.record, protocol=Protocol.MLS)
    fake = Received(invented, bytes(64), genuine.seq - 1)
    judgements = judge_records([fake, genuine, after], chat.standpoint("carol", 2))
    assert [(each.received, each.place) for each in judgements] == [(fake, P), (genuine, A), (after, A)]


def test_a_valid_record_beside_what_cannot_be_judged_and_another_is_still_an_alarm(chat: Chat) -> None:
    standpoint = chat.standpoint("carol", 2)
    first = chat.open("bob").received
    del chat.epochs[2]
    second = dataclasses.replace(chat.open("alice").received, seq=31)
    fake = Received(dataclasses.replace(first.record, protocol=Protocol.MLS), bytes(64), 29)
    judgements = judge_records([fake, first, second], standpoint)
    assert places(judgements) == [P, A, Place.FORK]


def test_an_invalid_record_stops_the_conversation(world: World, chat: Chat) -> None:
    chat.open("carol", [world["mallory"].change()])  # carol is no admin
    chat.open("bob")
    judgements = judged(chat, "alice", 2)
    assert places(judgements) == [Place.INVALID, P]
    assert judgements[0].cause is errors.InvalidRecord
    assert judgements[0].state is None


def test_a_record_with_a_wrong_signature_is_invalid(chat: Chat) -> None:
    forged = dataclasses.replace(chat.open("bob").received, signature=bytes(64))
    (judgement,) = judge_records([forged], chat.standpoint("carol", 2))
    assert (judgement.place, judgement.cause) == (Place.INVALID, errors.BadSignature)


def test_a_genesis_of_another_conversation_is_invalid(world: World, chat: Chat) -> None:
    other = Chat(world, "alice", "bob", "carol", seed="other")
    (judgement,) = judge_records([other.epochs[0].received], chat.standpoint("carol"))
    assert (judgement.place, judgement.cause) == (Place.INVALID, errors.InvalidRecord)


# --- forks ----------------------------------------------------------------------------------


def test_a_second_valid_record_on_one_parent_is_an_alarm_and_the_first_stays(chat: Chat) -> None:
    first = chat.open("bob")
    second = chat.open("alice", on=chat.epochs[1], seq=31, keep=False)
    third = chat.open("bob", seq=40)
    received = [each.received for each in (first, second, third)]
    for held, expected in ((2, [A, Place.FORK, A]), (3, [Place.FORK, A])):
        judgements = judge_records(received, chat.standpoint("carol", held))
        assert places(judgements) == expected
        fork = next(each for each in judgements if each.place is Place.FORK)
        assert (fork.cause, fork.state, fork.received) == (errors.ServerMisbehaved, None, second.received)


def test_a_second_genesis_is_an_alarm(world: World, chat: Chat) -> None:
    genesis = chat.epochs[0].record
    second = dataclasses.replace(genesis, created_at=genesis.created_at + 1)
    served = Received(second, sign_record(second, world["alice"].device.request.sign), 30)
    assert places(judge_records([served], chat.standpoint("carol", 2))) == [Place.FORK]


def test_a_second_record_that_is_not_valid_is_evidence_and_no_fork(world: World, chat: Chat) -> None:
    second = chat.open("carol", [world["mallory"].change()], on=chat.epochs[0], keep=False)
    assert places(judge_records([second.received], chat.standpoint("carol", 2))) == [Place.INVALID]


def test_a_fork_stops_nothing_that_builds_on_the_first(chat: Chat) -> None:
    second = chat.open("alice", on=chat.epochs[0], seq=21, keep=False)
    chat.open("bob")
    received = [chat.epochs[0].received, chat.epochs[1].received, second.received, chat.epochs[2].received]
    assert places(judge_records(received, chat.standpoint("carol"))) == [A, A, Place.FORK, A]


# --- joiners --------------------------------------------------------------------------------


def test_a_joiner_judges_from_the_record_that_added_it(world: World, chat: Chat) -> None:
    chat.open("alice", [world["dave"].change()])
    chat.open("alice")
    world["bob"].revoke(world["bob"].device)
    assert places(judged(chat, "dave", 0)) == [F, F, A, A]


def test_what_was_before_a_joiner_needs_no_voucher(world: World, chat: Chat) -> None:
    chat.open("bob", policy=OTHER_POLICY)
    chat.open("alice", [world["dave"].change()])
    world["bob"].add_device()
    world["bob"].revoke(world["bob"].device)
    assert places(judged(chat, "dave", 0)) == [F, F, F, A]


def test_the_record_that_adds_a_joiner_needs_a_voucher_where_its_signer_is_revoked(world: World, chat: Chat) -> None:
    chat.open("alice", [world["dave"].change()])
    world["alice"].add_device()
    world["alice"].revoke(world["alice"].device)
    assert places(judged(chat, "dave", 0)) == [F, F, P]
    chat.open("bob")
    assert places(judged(chat, "dave", 0)) == [F, F, A, A]


def test_a_joiner_judges_from_its_present_stay(world: World, chat: Chat) -> None:
    chat.open("alice", [world["dave"].change()])
    chat.remove("alice", "dave")
    chat.open("alice", [world["dave"].change()])
    assert places(judged(chat, "dave", 0)) == [F, F, F, F, A]


def test_a_returning_member_goes_on_from_its_pin(world: World, chat: Chat) -> None:
    chat.open("alice", [world["dave"].change()])
    chat.remove("alice", "dave")
    chat.open("bob", policy=OTHER_POLICY)
    chat.open("alice", [world["dave"].change()])
    world["bob"].add_device()
    world["bob"].revoke(world["bob"].device)
    assert places(judged(chat, "dave", 4)) == [A, A]  # alice's own record vouches
    world["alice"].reset()
    assert places(judged(chat, "dave", 4)) == [P, P]


def test_somebody_who_is_not_in_it_only_checks_the_standing_rules(chat: Chat) -> None:
    assert places(judged(chat, "dave", 0)) == [F, F]
    assert places(judged(chat, "dave", 1)) == [F]


def test_an_invented_chain_is_refused_from_the_genesis_on(world: World, chat: Chat) -> None:
    """A plain member and the server invent a chain for a joiner: without the founder there is no genesis."""
    invented = Chat(world, "mallory", "dave", seed="invented")
    record = dataclasses.replace(invented.epochs[0].record, conversation_id=chat.conversation_id)
    served = Received(record, sign_record(record, world["mallory"].device.request.sign), 10)
    assert places(judge_records([served], chat.standpoint("dave"))) == [Place.INVALID]


# --- revoked signers ------------------------------------------------------------------------


def revoke(world: World, name: str) -> None:
    """The device that signed everything so far is revoked; another one stays."""
    world[name].add_device()
    world[name].revoke(world[name].device)


def test_a_record_by_a_device_revoked_since_waits_for_a_person(world: World, chat: Chat) -> None:
    opened = chat.open("bob", [world["mallory"].change()])
    chat.open("carol")
    revoke(world, "bob")
    judgements = judged(chat, "alice", 2)
    assert places(judgements) == [P, P]
    assert (judgements[0].ask, judgements[0].cause) == (True, errors.RecordPending)
    assert (judgements[1].ask, judgements[1].state) == (False, None)
    assert places(judged(chat, "alice", 2, accepted=[opened.state.head_hash])) == [A, A]


def test_what_was_accepted_before_the_revocation_stays_accepted(world: World, chat: Chat) -> None:
    chat.open("bob", [world["mallory"].change()])
    revoke(world, "bob")
    chat.open("alice", [world["bob"].change(Role.ADMIN)])
    assert places(judged(chat, "carol", 3)) == [A]


def test_a_rotation_by_a_device_revoked_since_is_read_and_nothing_is_sent_in_it(world: World, chat: Chat) -> None:
    chat.open("bob")
    revoke(world, "bob")
    judgements = judged(chat, "carol", 2)
    assert places(judgements) == [R]
    assert judgements[0].state == chat.epochs[2].state


def test_naming_newer_versions_is_like_a_rotation(world: World, chat: Chat) -> None:
    world["carol"].add_device()
    chat.open("bob", [world["carol"].change()])
    revoke(world, "bob")
    assert places(judged(chat, "carol", 2)) == [R]


@pytest.mark.parametrize("change", ["role", "member", "policy", "removal", "identity", "leave"])
def test_anything_more_than_newer_versions_needs_a_voucher(world: World, chat: Chat, change: str) -> None:
    carol = world["carol"]
    if change == "identity":
        carol.reset()
    changes = {
        "role": [carol.change(Role.ADMIN)],
        "member": [world["dave"].change()],
        "identity": [carol.change()],
        "removal": [dataclasses.replace(carol.change(), role=Role.REMOVED)],
        "leave": [dataclasses.replace(carol.change(), role=Role.REMOVED)],
    }.get(change, [])
    requests = (leave_of(world, chat, "carol"),) if change == "leave" else ()
    chat.open("bob", changes, policy=OTHER_POLICY if change == "policy" else None, requests=requests)
    assert places(judged(chat, "alice", 2)) == [A]
    revoke(world, "bob")
    assert places(judged(chat, "alice", 2)) == [P]


def leave_of(world: World, chat: Chat, name: str) -> Request:
    person = world[name]
    leave = Leave(
        chat.conversation_id,
        chat.epochs[-1].state.added()[name],
        name,
        person.device.device_id,
        person.newest.version,
        account_hash(person.newest),
    )
    return Request(RequestKind.LEAVE, encode(sign_leave(leave, person.device.request.sign)))


def test_an_account_that_was_reset_is_revoked_with_all_its_devices(world: World, chat: Chat) -> None:
    chat.open("bob", policy=OTHER_POLICY)
    world["bob"].reset()
    assert places(judged(chat, "alice", 2)) == [P]


def test_a_signer_whose_account_is_not_known_any_more_is_revoked(world: World, chat: Chat) -> None:
    opened = chat.open("bob")
    by = dataclasses.replace(chat.standpoint("alice", 2), newest=lambda user_id: None)
    assert places(judge_records([opened.received], by)) == [R]


def test_a_revoked_founders_genesis_is_pending(world: World, chat: Chat) -> None:
    revoke(world, "alice")
    assert places(judged(chat, "carol", 0)) == [P, P]


# --- vouchers -------------------------------------------------------------------------------


def test_an_admin_of_before_vouches_for_what_an_admin_did(world: World, chat: Chat) -> None:
    chat.open("bob", [world["dave"].change()])
    chat.open("alice")
    revoke(world, "bob")
    assert places(judged(chat, "carol", 2)) == [A, A]


def test_a_plain_member_vouches_only_for_what_a_member_may_do(world: World, chat: Chat) -> None:
    chat.open("bob", [world["dave"].change()])
    chat.open("carol")
    revoke(world, "bob")
    assert places(judged(chat, "alice", 2)) == [P, P]


def test_a_plain_member_vouches_for_a_rotation_and_for_a_leave(world: World, chat: Chat) -> None:
    chat.open("alice", [world["dave"].change()])
    chat.open("bob")
    removal = dataclasses.replace(world["dave"].change(), role=Role.REMOVED)
    chat.open("bob", [removal], requests=(leave_of(world, chat, "dave"),))
    chat.open("carol")
    revoke(world, "bob")
    assert places(judged(chat, "alice", 3)) == [A, A, A]


def test_who_came_in_through_the_record_cannot_vouch_for_it(world: World, chat: Chat) -> None:
    """A revoked device's record is laundered by an accomplice's later one."""
    chat.open("bob", [world["mallory"].change(Role.ADMIN)])
    chat.open("mallory")
    revoke(world, "bob")
    assert places(judged(chat, "alice", 2)) == [P, P]


def test_who_was_raised_by_the_record_cannot_vouch_for_it(world: World, chat: Chat) -> None:
    chat.open("bob", [world["carol"].change(Role.ADMIN)])
    chat.open("carol")
    revoke(world, "bob")
    assert places(judged(chat, "alice", 2)) == [P, P]


def test_who_came_in_under_a_new_identity_key_cannot_vouch_for_it(world: World, chat: Chat) -> None:
    """The server publishes a new identity key for alice and a thief of bob's device lets "her" in."""
    world["alice"].reset()
    chat.open("bob", [world["alice"].change(Role.ADMIN)])
    chat.open("alice")
    assert places(judged(chat, "carol", 2)) == [A, A]
    revoke(world, "bob")
    assert places(judged(chat, "carol", 2)) == [P, P]


def test_a_revoked_device_cannot_vouch(world: World, chat: Chat) -> None:
    chat.open("bob", policy=OTHER_POLICY)
    chat.open("alice")
    revoke(world, "bob")
    revoke(world, "alice")
    assert places(judged(chat, "carol", 2)) == [P, P]


def test_the_other_device_of_the_revoked_ones_account_vouches(world: World, chat: Chat) -> None:
    other = world["bob"].add_device()
    chat.open("bob", policy=OTHER_POLICY)
    world["bob"].revoke(world["bob"].device)
    chat.open("bob", [world["bob"].change(Role.ADMIN)], device=other)
    assert places(judged(chat, "carol", 2)) == [A, A]


def test_ones_own_record_vouches(world: World, chat: Chat) -> None:
    chat.open("bob", policy=OTHER_POLICY)
    chat.open("alice")
    revoke(world, "bob")
    assert places(judged(chat, "alice", 2)) == [A, A]


def test_one_voucher_covers_all_that_is_below_it(world: World, chat: Chat) -> None:
    chat.open("bob", policy=OTHER_POLICY)
    chat.open("bob", [world["dave"].change()])
    chat.open("alice")
    revoke(world, "bob")
    assert places(judged(chat, "carol", 2)) == [A, A, A]


def test_a_genesis_is_vouched_for_by_its_founders_account_alone(world: World) -> None:
    chat = Chat(world, "alice", "bob")
    chat.open("bob")
    other = world["alice"].add_device()
    world["alice"].revoke(world["alice"].device)
    assert places(judged(chat, "bob", 0)) == [P, P]
    chat.open("alice", [world["alice"].change(Role.ADMIN)], device=other)
    assert places(judged(chat, "bob", 0)) == [A, A, A]


def test_a_founder_who_was_reset_and_let_in_again_does_not_vouch_for_its_genesis(world: World) -> None:
    chat = Chat(world, "alice", "bob")
    chat.open("alice", [world["bob"].change(Role.ADMIN)])
    world["alice"].reset()
    chat.open("bob", [world["alice"].change()])
    chat.open("alice")
    assert places(judged(chat, "bob", 0)) == [P, P, P, P]
