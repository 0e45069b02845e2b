from __future__ import annotations

import dataclasses

import pytest

from conversation.world import Chat, Device, Opened, World, sender
from tacit import errors
from tacit.conversation.content import Name, TextBody
from tacit.conversation.judging import (
    Counted,
    Known,
    Repeated,
    Shown,
    Trust,
    Undecryptable,
    Verdict,
    counted,
    judge_message,
    name_of,
)
from tacit.conversation.sealing import Sealed, make_content, seal
from tacit.signed.message import message_hash, sign_message
from tacit.signed.record import Role


@pytest.fixture
def world() -> World:
    return World("alice", "bob", "carol", "mallory")


@pytest.fixture
def chat(world: World) -> Chat:
    """Alice founded it with bob and carol: epoch 1 at seq 10."""
    return Chat(world, "alice", "bob", "carol")


def sealed(
    chat: Chat, by: Device, epoch: Opened | None = None, *, counter: int = 0, client_id: str = "m", text: str = "hi"
) -> Sealed:
    content = make_content(TextBody(text), sent_at=5, random=chat.random)
    place = (epoch or chat.epochs[0]).epoch
    return seal(place, sender(by), content, counter=counter, client_message_id=client_id, random=chat.random)


def judged(chat: Chat, made: Sealed, seq: int, known: Known | None = None) -> Verdict:
    return judge_message(seq, made.message, made.signature, known or chat.known())


def cause(verdict: Verdict) -> tuple[type[errors.PeerError], bool]:
    assert isinstance(verdict, Undecryptable), verdict
    return verdict.cause, verdict.authentic


def trust(verdict: Verdict) -> Trust:
    assert isinstance(verdict, Shown), verdict
    return verdict.trust


def test_a_members_message_is_shown_with_its_authenticated_name(world: World, chat: Chat) -> None:
    bob = world["bob"].device
    made = sealed(chat, bob, text="hello", client_id="m-1")
    verdict = judged(chat, made, 11)
    assert isinstance(verdict, Shown)
    assert verdict.name == Name("bob", bob.device_id, "m-1") == name_of(made.message.aad)
    assert (verdict.epoch, verdict.body, verdict.trust) == (1, TextBody("hello"), Trust())
    assert verdict.message_hash == message_hash(made.message)
    assert verdict.content.sent_at == 5


def test_the_same_knowledge_gives_the_same_verdict(world: World, chat: Chat) -> None:
    made = sealed(chat, world["bob"].device)
    assert judged(chat, made, 11) == judged(chat, made, 11)


# --- which epoch ------------------------------------------------------------------------


def test_a_message_of_an_epoch_that_was_not_served(world: World, chat: Chat) -> None:
    chat.open("alice")
    made = sealed(chat, world["bob"].device, chat.epochs[1])
    assert cause(judged(chat, made, 21, chat.known(without=[2]))) == (errors.RecordMissing, False)


def test_a_message_of_an_epoch_that_is_not_judged_yet(world: World, chat: Chat) -> None:
    chat.open("alice")
    made = sealed(chat, world["bob"].device, chat.epochs[1])
    known = chat.known(without=[2], pending=[2])
    assert cause(judged(chat, made, 21, known)) == (errors.RecordPending, False)


def test_a_message_of_another_conversation_is_a_splice(world: World, chat: Chat) -> None:
    other = Chat(world, "alice", "bob", "carol", seed="other")
    made = sealed(other, world["bob"].device)
    assert isinstance(judged(other, made, 11), Shown)
    assert cause(judged(chat, made, 11)) == (errors.MessageTampered, False)


def test_a_message_of_a_fork_is_a_splice(world: World, chat: Chat) -> None:
    fork = chat.open("alice", keep=False)
    chat.open("alice")
    assert cause(judged(chat, sealed(chat, world["bob"].device, fork), 21)) == (errors.MessageTampered, False)


def test_a_message_with_another_key_id_is_a_splice(world: World, chat: Chat) -> None:
    made = sealed(chat, world["bob"].device)
    aad = dataclasses.replace(made.message.aad, key_id=b"?" * 32)
    message = dataclasses.replace(made.message, aad=aad)
    forged = Sealed(message, sign_message(message, world["bob"].device.request.sign), b"")
    assert cause(judged(chat, forged, 11)) == (errors.MessageTampered, False)


def test_a_message_moved_to_another_epochs_number_is_a_splice(world: World, chat: Chat) -> None:
    chat.open("alice")
    made = sealed(chat, world["bob"].device)
    message = dataclasses.replace(made.message, aad=dataclasses.replace(made.message.aad, epoch=2))
    assert cause(judged(chat, made._replace(message=message), 21)) == (errors.MessageTampered, False)


def test_a_message_of_a_later_program(world: World, chat: Chat) -> None:
    made = sealed(chat, world["bob"].device)
    message = dataclasses.replace(made.message, aad=dataclasses.replace(made.message.aad, content_type=2))
    assert cause(judged(chat, made._replace(message=message), 11)) == (errors.UnsupportedSuite, False)


def test_without_a_grant_the_message_waits_but_its_counter_counts(world: World, chat: Chat) -> None:
    made = sealed(chat, world["bob"].device)
    assert cause(judged(chat, made, 11, chat.known(keyless=[1]))) == (errors.NoGrant, True)
    chat.seen[counted(made.message.aad)] = 11
    assert isinstance(judged(chat, made, 11), Shown)


# --- whose it is ------------------------------------------------------------------------


def test_a_stranger_is_not_shown_though_it_has_the_key(world: World, chat: Chat) -> None:
    assert cause(judged(chat, sealed(chat, world["mallory"].device), 11)) == (errors.SenderNotCertified, False)


def test_a_device_that_its_account_never_certified(world: World, chat: Chat) -> None:
    stranger = dataclasses.replace(world["mallory"].device, user_id="bob")
    assert cause(judged(chat, sealed(chat, stranger), 11)) == (errors.SenderNotCertified, False)


def test_a_members_device_under_another_members_name(world: World, chat: Chat) -> None:
    bob_as_carol = dataclasses.replace(world["bob"].device, user_id="carol")
    assert cause(judged(chat, sealed(chat, bob_as_carol), 11)) == (errors.SenderNotCertified, False)


def test_another_members_device_id_with_ones_own_signature(world: World, chat: Chat) -> None:
    carol, bob = world["carol"].device, world["bob"].device
    posing = dataclasses.replace(carol, request=bob.request)
    assert cause(judged(chat, sealed(chat, posing), 11)) == (errors.MessageTampered, False)


def test_a_new_device_counts_at_the_head_before_the_next_epoch_names_it(world: World, chat: Chat) -> None:
    added = world["bob"].add_device()
    assert trust(judged(chat, sealed(chat, added), 11)) == Trust()


def test_a_new_device_does_not_count_in_an_epoch_that_was_closed_before_it_came(world: World, chat: Chat) -> None:
    chat.open("alice")  # names bob's first version still
    added = world["bob"].add_device()
    assert cause(judged(chat, sealed(chat, added), 11)) == (errors.SenderNotCertified, False)
    assert trust(judged(chat, sealed(chat, added, chat.epochs[1]), 21)) == Trust()


def test_a_new_device_counts_up_to_the_version_that_the_next_epoch_names(world: World, chat: Chat) -> None:
    added = world["bob"].add_device()
    chat.open("alice", [world["bob"].change()])
    later = world["bob"].add_device()
    assert trust(judged(chat, sealed(chat, added), 11)) == Trust()
    assert cause(judged(chat, sealed(chat, later), 11)) == (errors.SenderNotCertified, False)


def test_a_device_revoked_before_the_epoch_named_its_account_does_not_count(world: World, chat: Chat) -> None:
    old = world["bob"].device
    world["bob"].add_device()
    world["bob"].revoke(old)
    chat.open("alice", [world["bob"].change()])
    assert cause(judged(chat, sealed(chat, old, chat.epochs[1]), 21)) == (errors.SenderNotCertified, False)


def test_where_the_next_epoch_removes_the_sender_the_newest_known_version_counts(world: World, chat: Chat) -> None:
    added = world["bob"].add_device()
    chat.remove("alice", "bob")
    assert trust(judged(chat, sealed(chat, added), 11)) == Trust()


def test_a_device_of_an_account_that_was_reset_does_not_count_under_the_new_key(world: World, chat: Chat) -> None:
    world["bob"].reset()
    added = world["bob"].add_device()
    assert cause(judged(chat, sealed(chat, added), 11)) == (errors.SenderNotCertified, False)
    # Of the time before the reset it is shown, and marked.
    assert trust(judged(chat, sealed(chat, world["bob"].device), 11)) == Trust(revoked=True)


def test_one_who_came_back_under_a_new_key_has_the_old_time_under_the_old_key(world: World, chat: Chat) -> None:
    added = world["bob"].add_device()
    world["bob"].reset()
    later = world["bob"].add_device()
    chat.open("alice", [world["bob"].change()])
    assert trust(judged(chat, sealed(chat, added), 11)) == Trust(revoked=True)
    assert cause(judged(chat, sealed(chat, later), 11)) == (errors.SenderNotCertified, False)
    assert trust(judged(chat, sealed(chat, later, chat.epochs[1]), 21)) == Trust()


def test_a_message_whose_signature_is_changed(world: World, chat: Chat) -> None:
    made = sealed(chat, world["bob"].device)
    for signature in (b"", made.signature[:-1], made.signature[:-1] + bytes([made.signature[-1] ^ 1])):
        assert cause(judged(chat, made._replace(signature=signature), 11)) == (errors.MessageTampered, False)


# --- once ---------------------------------------------------------------------------------


def test_a_message_served_twice_is_refused_the_second_time(world: World, chat: Chat) -> None:
    made = sealed(chat, world["bob"].device)
    chat.seen[counted(made.message.aad)] = 12
    assert cause(judged(chat, made, 13)) == (errors.Replayed, True)
    assert cause(judged(chat, made, 11)) == (errors.Replayed, True)
    assert isinstance(judged(chat, made, 12), Shown)


def test_a_counter_is_used_once_by_each_opening_of_each_device(world: World, chat: Chat) -> None:
    bob = world["bob"].device
    made = sealed(chat, bob, counter=3)
    assert counted(made.message.aad) == Counted(
        made.message.aad.record_hash, "bob", bob.device_id, b"instance-of-16-b", 3
    )
    chat.seen[counted(made.message.aad)] = 11
    assert cause(judged(chat, sealed(chat, bob, counter=3, client_id="other"), 12)) == (errors.Replayed, True)
    assert isinstance(judged(chat, sealed(chat, bob, counter=4, client_id="other"), 12), Shown)
    assert isinstance(judged(chat, sealed(chat, world["carol"].device, counter=3), 12), Shown)


def test_a_message_that_was_refused_uses_up_no_counter_of_the_next_epoch(world: World, chat: Chat) -> None:
    """The server hands out what it refused, before the same message sealed anew."""
    bob = world["bob"].device
    chat.open("alice", seq=20)
    chat.seen[counted(sealed(chat, bob, counter=3).message.aad)] = 21
    assert isinstance(judged(chat, sealed(chat, bob, chat.epochs[1], counter=3), 22), Shown)


def test_a_forged_message_uses_up_no_counter(world: World, chat: Chat) -> None:
    made = sealed(chat, world["bob"].device)
    forged = judged(chat, made._replace(signature=bytes(64)), 11)
    assert isinstance(forged, Undecryptable)
    assert not forged.authentic


@pytest.mark.parametrize("seq", [9, 10])
def test_a_message_before_the_record_of_its_epoch_is_refused_also_where_it_is_served_again(
    world: World, chat: Chat, seq: int
) -> None:
    made = sealed(chat, world["bob"].device)
    assert cause(judged(chat, made, seq)) == (errors.MessageTampered, True)
    chat.seen[counted(made.message.aad)] = 12
    assert cause(judged(chat, made, seq)) == (errors.MessageTampered, True)


def test_a_retry_under_the_same_name_is_not_shown_again(world: World, chat: Chat) -> None:
    bob = world["bob"].device
    first, retry = sealed(chat, bob, client_id="m"), sealed(chat, bob, client_id="m", counter=1)
    chat.shown[name_of(first.message.aad)] = 11
    assert judged(chat, retry, 12) == Repeated(name_of(first.message.aad), 11)
    assert isinstance(judged(chat, first, 11), Shown)


def test_another_users_client_message_id_suppresses_nothing(world: World, chat: Chat) -> None:
    made = sealed(chat, world["bob"].device, client_id="m")
    chat.shown[name_of(made.message.aad)] = 11
    assert isinstance(judged(chat, sealed(chat, world["carol"].device, client_id="m"), 12), Shown)


# --- in time ------------------------------------------------------------------------------


def test_a_message_after_the_next_record_is_shown_as_late(world: World, chat: Chat) -> None:
    chat.open("alice", seq=20)
    made = sealed(chat, world["bob"].device)
    assert trust(judged(chat, made, 19)) == Trust()
    assert trust(judged(chat, made, 21)) == Trust(late=True)


def test_a_message_at_the_place_of_a_record_is_not_before_it(world: World, chat: Chat) -> None:
    chat.remove("alice", "bob")
    assert trust(judged(chat, sealed(chat, world["carol"].device), 20)) == Trust(late=True)
    assert cause(judged(chat, sealed(chat, world["bob"].device), 20)) == (errors.LateAfterRemoval, True)


def test_a_removed_members_message_above_its_removal_is_refused(world: World, chat: Chat) -> None:
    chat.remove("alice", "bob")
    made = sealed(chat, world["bob"].device)
    assert trust(judged(chat, made, 19)) == Trust()
    assert cause(judged(chat, made, 21)) == (errors.LateAfterRemoval, True)


def test_a_removal_in_any_later_epoch_counts(world: World, chat: Chat) -> None:
    chat.open("alice")
    chat.remove("alice", "bob")
    chat.open("alice", [world["bob"].change()])
    made = sealed(chat, world["bob"].device)
    assert trust(judged(chat, made, 29)) == Trust(late=True)
    assert cause(judged(chat, made, 31)) == (errors.LateAfterRemoval, True)
    assert cause(judged(chat, made, 41)) == (errors.LateAfterRemoval, True)
    assert trust(judged(chat, sealed(chat, world["bob"].device, chat.epochs[3]), 41)) == Trust()


def test_a_revoked_devices_message_above_the_record_without_it_is_refused(world: World, chat: Chat) -> None:
    old = world["bob"].device
    other = world["bob"].add_device()
    world["bob"].revoke(old)
    chat.open("alice", [world["bob"].change()])
    assert trust(judged(chat, sealed(chat, old), 11)) == Trust(revoked=True)
    assert cause(judged(chat, sealed(chat, old), 21)) == (errors.LateAfterRemoval, True)
    assert trust(judged(chat, sealed(chat, other), 21)) == Trust(late=True)


def test_a_message_above_a_record_with_another_identity_key_of_its_sender_is_refused(world: World, chat: Chat) -> None:
    world["bob"].reset()
    chat.open("alice", [world["bob"].change()])
    assert cause(judged(chat, sealed(chat, world["bob"].device), 21)) == (errors.LateAfterRemoval, True)


def test_a_later_record_whose_account_version_is_not_known_refuses(world: World, chat: Chat) -> None:
    world["bob"].add_device()
    chat.open("alice", [world["bob"].change()])
    made = sealed(chat, world["bob"].device)
    assert trust(judged(chat, made, 21)) == Trust(late=True)
    world["bob"].versions.pop()
    assert cause(judged(chat, made, 21)) == (errors.LateAfterRemoval, True)


def test_a_device_revoked_since_is_marked(world: World, chat: Chat) -> None:
    made = sealed(chat, world["bob"].device)
    assert trust(judged(chat, made, 11)) == Trust()
    world["bob"].revoke(world["bob"].device)
    assert trust(judged(chat, made, 11)) == Trust(revoked=True)


# --- what is inside -----------------------------------------------------------------------


def test_what_does_not_decrypt_says_only_that(world: World, chat: Chat) -> None:
    made = sealed(chat, world["bob"].device)
    message = dataclasses.replace(made.message, ciphertext=bytes(len(made.message.ciphertext)))
    broken = Sealed(message, sign_message(message, world["bob"].device.request.sign), b"")
    verdict = judged(chat, broken, 11)
    assert verdict == Undecryptable(errors.DecryptionError, "", True)


def test_a_wrong_franking_tag_is_never_shown(world: World, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tacit.conversation.sealing.franking_tag", lambda content, key: b"r" * 32)
    made = sealed(chat, world["bob"].device)
    monkeypatch.undo()
    assert cause(judged(chat, made, 11)) == (errors.MessageTampered, True)


def test_a_role_makes_no_difference_to_messages(world: World, chat: Chat) -> None:
    chat.open("alice", [world["bob"].change(Role.ADMIN)])
    assert trust(judged(chat, sealed(chat, world["bob"].device, chat.epochs[1]), 21)) == Trust()
