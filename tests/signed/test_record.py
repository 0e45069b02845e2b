from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signed.chains import Chain, World
from tacit import errors
from tacit.crypto.digest import sha256
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.crypto.verify import verify_ed25519
from tacit.signed.profiles import Profile
from tacit.signed.record import (
    DEFAULT_POLICY,
    Change,
    ConversationRecord,
    History,
    Leave,
    Opener,
    Policy,
    Protocol,
    Request,
    RequestKind,
    Role,
    Roster,
    Rotation,
    SignedLeave,
    conversation_id_of,
    fold,
    in_order,
    record_hash,
    roster_hash,
    sign_leave,
    sign_record,
)
from tacit.wire.codec import decode, encode

KEY = Ed25519Key.from_seed(Secret(b"k" * 32))
ALICE = Change("alice", b"a" * 32, Role.ADMIN, 3, b"A" * 32)
BOB = Change("bob", b"b" * 32, Role.MEMBER, 1, b"B" * 32)
ALICE_BYTES = b"\x05alice" + b"a" * 32 + b"\x02" + (3).to_bytes(8, "big") + b"A" * 32
BOB_BYTES = b"\x03bob" + b"b" * 32 + b"\x01" + (1).to_bytes(8, "big") + b"B" * 32
LEAVE = Leave("chat", b"h" * 32, "bob", "d" * 64, 1, b"B" * 32)
LEAVE_BYTES = b"\x04chat" + b"h" * 32 + b"\x03bob" + b"\x40\x40" + b"d" * 64 + (1).to_bytes(8, "big") + b"B" * 32
RECORD = ConversationRecord(
    "chat",
    2,
    b"p" * 32,
    Protocol.MLS,
    Profile.STANDARD,
    0x0053,
    b"group",
    7,
    b"k" * 32,
    b"r" * 32,
    (ALICE, BOB),
    (Request(RequestKind.LEAVE, b"body"),),
    Policy(History.FORWARD_SECRET, Rotation(5, 6), 9, True),
    b"g" * 32,
    b"q" * 32,
    "why",
    1000,
    Opener("alice", "d" * 64, b"A" * 32),
)
RECORD_BYTES = (
    b"\x04chat"
    + (2).to_bytes(8, "big")
    + b"p" * 32
    + b"\x02"
    + b"\x02"
    + b"\x00\x53"
    + b"\x05group"
    + (7).to_bytes(8, "big")
    + b"\x20"
    + b"k" * 32
    + b"r" * 32
    + (0x4000 | len(ALICE_BYTES + BOB_BYTES)).to_bytes(2, "big")
    + ALICE_BYTES
    + BOB_BYTES
    + b"\x06\x01\x04body"
    + b"\x02"
    + (5).to_bytes(8, "big")
    + (6).to_bytes(8, "big")
    + (9).to_bytes(8, "big")
    + b"\x01"
    + b"\x20"
    + b"g" * 32
    + b"\x20"
    + b"q" * 32
    + b"\x03why"
    + (1000).to_bytes(8, "big")
    + b"\x05alice"
    + b"\x40\x40"
    + b"d" * 64
    + b"A" * 32
)


def varint(length: int) -> bytes:
    return bytes([length]) if length < 64 else (0x4000 | length).to_bytes(2, "big")


def labelled(label: bytes, body: bytes) -> bytes:
    return bytes([len(label)]) + label + varint(len(body)) + body


def roster(*changes: Change) -> Roster:
    return {change.user_id: change for change in changes}


def moved(change: Change, **other: Any) -> Change:
    return dataclasses.replace(change, **other)


def test_a_record_has_the_fields_in_the_specifications_order() -> None:
    assert encode(RECORD) == RECORD_BYTES
    assert decode(ConversationRecord, RECORD_BYTES) == RECORD


def test_a_leave_has_the_fields_in_the_specifications_order() -> None:
    assert encode(SignedLeave(LEAVE, b"s")) == LEAVE_BYTES + b"\x01s"
    assert decode(SignedLeave, LEAVE_BYTES + b"\x01s") == SignedLeave(LEAVE, b"s")


def test_hashes_are_over_label_and_struct() -> None:
    assert record_hash(RECORD) == sha256(labelled(b"tacit/1 conversation record", RECORD_BYTES))
    members = ALICE_BYTES + BOB_BYTES
    assert roster_hash(roster(BOB, ALICE)) == sha256(labelled(b"tacit/1 roster", varint(len(members)) + members))
    founding = b"\x05alice" + b"g" * 32
    assert conversation_id_of("alice", b"g" * 32) == sha256(labelled(b"tacit/1 conversation id", founding)).hex()


def test_a_record_is_signed_under_its_own_label() -> None:
    signed = labelled(b"tacit/1 conversation record", RECORD_BYTES)
    assert verify_ed25519(KEY.public, signed, sign_record(RECORD, KEY.sign))


def test_a_leave_is_signed_under_its_own_label() -> None:
    made = sign_leave(LEAVE, KEY.sign)
    assert made.leave == LEAVE
    assert verify_ed25519(KEY.public, labelled(b"tacit/1 leave", LEAVE_BYTES), made.signature)


def test_a_founder_cannot_be_given_another_random() -> None:
    with pytest.raises(errors.WrongLength):
        conversation_id_of("alice", b"short")
    assert conversation_id_of("alice", b"g" * 32) != conversation_id_of("alice", b"h" * 32)
    assert conversation_id_of("alice", b"g" * 32) != conversation_id_of("bob", b"g" * 32)


@pytest.mark.parametrize(
    ("ids", "ordered"),
    [
        (["b", "a"], ["a", "b"]),
        (["a\u00e9", "az"], ["az", "a\u00e9"]),
        (["\U00010000", "\uffff"], ["\uffff", "\U00010000"]),  # UTF-16 code units would order these the other way
        (["a", "A"], ["A", "a"]),
        (["ab", "a"], ["a", "ab"]),
    ],
)
def test_the_order_is_that_of_the_bytes(ids: list[str], ordered: list[str]) -> None:
    assert [change.user_id for change in in_order(moved(BOB, user_id=each) for each in ids)] == ordered
    assert roster_hash(roster(*(moved(BOB, user_id=each) for each in ids))) == roster_hash(
        roster(*(moved(BOB, user_id=each) for each in ordered))
    )


def test_the_fold_adds_replaces_and_removes() -> None:
    assert fold({}, (ALICE, BOB)) == roster(ALICE, BOB)
    promoted = moved(BOB, role=Role.ADMIN)
    assert fold(roster(ALICE, BOB), (promoted,)) == roster(ALICE, promoted)
    assert fold(roster(ALICE, BOB), (moved(BOB, role=Role.REMOVED),)) == roster(ALICE)
    assert fold(roster(ALICE, BOB), ()) == roster(ALICE, BOB)


def test_the_fold_leaves_the_roster_before_as_it_was() -> None:
    before = roster(ALICE, BOB)
    after = fold(before, (moved(BOB, role=Role.REMOVED),))
    assert before == roster(ALICE, BOB)
    with pytest.raises(TypeError):
        after["eve"] = BOB  # type: ignore[index]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ((BOB, BOB), "two changes of one user"),
        ((BOB, moved(BOB, role=Role.REMOVED)), "two changes of one user"),
        ((moved(ALICE, role=Role.REMOVED), ALICE), "two changes of one user"),
        ((moved(BOB, role=Role.REMOVED),), "a removal of somebody who is not a member"),
    ],
)
def test_the_fold_refuses(changes: tuple[Change, ...], rule: str) -> None:
    with pytest.raises(errors.InvalidRecord) as refusal:
        fold(roster(ALICE), changes)
    assert refusal.value.detail == rule


def test_ids_that_look_alike_are_different_members() -> None:
    composed, decomposed, spaced = (moved(BOB, user_id=each) for each in ("\u00e9", "e\u0301", "\u00e9 "))
    assert len(fold({}, (decomposed, composed, spaced))) == 3


@pytest.mark.parametrize("history", [0, 3, 255])
def test_unknown_values_are_named_unknown(history: int) -> None:
    place = RECORD_BYTES.index(b"\x06\x01\x04body") + 7
    raw = RECORD_BYTES[:place] + bytes([history]) + RECORD_BYTES[place + 1 :]
    with pytest.raises(errors.UnknownVersion):
        decode(ConversationRecord, raw)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("conversation_id", "", errors.WrongLength),
        ("conversation_id", "c" * 256, errors.TooLarge),
        ("previous_record_hash", b"p" * 31, errors.WrongLength),
        ("key_id", b"k" * 33, errors.TooLarge),
        ("group_id", b"g" * 256, errors.TooLarge),
        ("genesis_random", b"g" * 33, errors.TooLarge),
        ("predecessor", b"p" * 33, errors.TooLarge),
        ("reason", "r" * 256, errors.TooLarge),
        ("requests", (Request(RequestKind.LEAVE, b"x" * 2049),), errors.TooLarge),
        ("requests", (Request(RequestKind.LEAVE, b""),) * 1001, errors.TooLarge),
        ("changes", (BOB,) * 10_001, errors.TooLarge),
        ("opener", Opener("alice", "d" * 63, b"A" * 32), errors.WrongLength),
        ("opener", Opener("\ud800", "d" * 64, b"A" * 32), errors.Malformed),
        ("epoch", 1 << 64, errors.InvalidArgument),
    ],
)
def test_a_record_outside_the_limits_is_not_encoded(field: str, value: object, error: type[errors.TacitError]) -> None:
    with pytest.raises(error):
        encode(dataclasses.replace(RECORD, **{field: value}))  # type: ignore[arg-type]


def test_a_leave_fits_into_a_request_at_its_largest() -> None:
    largest = SignedLeave(Leave("c" * 255, b"h" * 32, "u" * 255, "d" * 64, 1, b"B" * 32), b"s" * 512)
    assert decode(Request, encode(Request(RequestKind.LEAVE, encode(largest)))).body == encode(largest)


@given(st.integers(0, len(RECORD_BYTES) - 1), st.integers(1, 255), st.binary(max_size=4))
def test_other_bytes_are_another_record_or_none(place: int, difference: int, tail: bytes) -> None:
    raw = bytearray(RECORD_BYTES)
    raw[place] ^= difference
    for data in (bytes(raw), RECORD_BYTES[:place], RECORD_BYTES + tail + b"x"):
        try:
            found = decode(ConversationRecord, data)
        except errors.PeerError:
            continue
        assert encode(found) == data
        assert record_hash(found) != record_hash(RECORD)


def test_the_default_policy_rotates_after_a_week_or_ten_thousand_messages() -> None:
    week = 7 * 24 * 60 * 60 * 1000
    assert Policy(History.RECOVERABLE, Rotation(week, 10_000), 0, False) == DEFAULT_POLICY


def test_the_head_hash_is_the_records() -> None:
    chain = Chain(World("alice"), "alice")
    record, signature = chain.genesis()
    assert chain.take((record, signature)).head_hash == record_hash(record)
