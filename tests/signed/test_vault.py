from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from signed.chains import SERVER, Person, seeded
from tacit import errors
from tacit.crypto.digest import sha256
from tacit.crypto.sign import Ed25519Key
from tacit.signed import labels
from tacit.signed.account import AccountRecord, OuterRef
from tacit.signed.vault import (
    Box,
    Boxes,
    Entry,
    EntryKind,
    Inner,
    Outer,
    OuterHeader,
    PasswordParameters,
    Unlocker,
    UnlockerKind,
    Vault,
    boxes_hash,
    check_vault,
    entries_hash,
    header_hash,
    inner_hash,
    proof_hash,
    verify_outer,
    verify_outer_next,
)
from tacit.signed.verify import ZERO_HASH, Signer, Verified, sign
from tacit.wire.codec import decode, encode

SEALED = b"sealed entries"
UNLOCKER = Unlocker("u1", UnlockerKind.RECOVERY_KEY, b"", b"p" * 32, b"amk")
UNLOCKER_BYTES = b"\x02u1\x02\x00" + b"p" * 32 + b"\x03amk"
INNER = Inner((UNLOCKER,), b"aik", b"outer key")
HEADER = OuterHeader(SERVER, "alice", 3, 4, b"p" * 32, 1000, "d" * 64, b"e" * 32)
HEADER_BYTES = (
    b"\x0cchat.example\x05alice"
    + (3).to_bytes(8, "big")
    + (4).to_bytes(8, "big")
    + b"p" * 32
    + (1000).to_bytes(8, "big")
    + b"\x40\x40"
    + b"d" * 64
    + b"e" * 32
)
STRANGER = Ed25519Key.generate(seeded("stranger"))


def vector(data: bytes) -> bytes:
    return (bytes([len(data)]) if len(data) < 64 else (0x4000 | len(data)).to_bytes(2, "big")) + data


def hashed(label: bytes, body: bytes) -> bytes:
    return sha256(vector(label) + vector(body))


def test_hashes_are_over_label_and_struct() -> None:
    box = b"\x40\x40" + b"d" * 64 + b"\x03box"
    assert inner_hash(INNER) == hashed(
        b"tacit/1 vault inner", vector(UNLOCKER_BYTES) + vector(b"aik") + vector(b"outer key")
    )
    assert boxes_hash(Boxes((Box("d" * 64, b"box"),))) == hashed(b"tacit/1 vault boxes", vector(box))
    assert header_hash(HEADER) == hashed(b"tacit/1 vault outer header", HEADER_BYTES)
    assert entries_hash(SEALED) == hashed(b"tacit/1 vault outer entries", vector(SEALED))
    assert proof_hash(b"p" * 32) == hashed(b"tacit/1 unlocker proof", b"p" * 32)


def test_kinds_have_their_numbers() -> None:
    assert [(each.name, each.value) for each in UnlockerKind] == [
        ("PASSWORD", 1),
        ("RECOVERY_KEY", 2),
        ("PASSKEY", 3),
        ("TOKEN", 4),
    ]
    assert [(each.name, each.value) for each in EntryKind] == [
        ("ENCRYPTION_KEY", 1),
        ("ARCHIVE_KEY", 2),
        ("CONTACT_PIN", 3),
        ("VERIFICATION", 4),
        ("CONVERSATION_PIN", 5),
        ("CONVERSATION_HEAD", 6),
        ("CHECKPOINT", 7),
        ("DEVICE_NAME", 8),
    ]


def test_an_entry_does_not_show_its_value() -> None:
    shown = repr(Entry(EntryKind.ARCHIVE_KEY, b"id", b"secret", 3, "d" * 64))
    assert shown == f"Entry(<EntryKind.ARCHIVE_KEY: 2>, b'id', 6 bytes, clock=3, device_id='{'d' * 64}')"


def test_a_proof_has_32_bytes() -> None:
    with pytest.raises(errors.WrongLength):
        proof_hash(b"p" * 31)


@pytest.mark.parametrize(("length", "fits"), [(15, False), (16, True), (64, True), (65, False)])
def test_a_salt_has_16_to_64_bytes(length: int, fits: bool) -> None:
    raw = b"\x01" + bytes(8) + b"\x04" + vector(bytes(length))
    if fits:
        assert decode(PasswordParameters, raw) == PasswordParameters(1, 0, 0, 4, bytes(length))
    else:
        with pytest.raises(errors.PeerError):
            decode(PasswordParameters, raw)


class Safe:
    """Alice's account with two devices, and vaults that fit it unless a case says otherwise."""

    def __init__(self) -> None:
        self.person = Person("alice")
        self.person.add_device()
        self.person.publish()
        boxes = Boxes(tuple(Box(each.device_id, b"box") for each in self.person.newest.devices))
        self.named = self.outer(version=4)
        self.record = self.recorded(self.named)
        self.vault = Vault(INNER, boxes, self.named)

    def recorded(self, outer: Outer) -> AccountRecord:
        """The newest account record, naming this outer part."""
        boxes = Boxes(tuple(Box(each.device_id, b"box") for each in self.person.newest.devices))
        return dataclasses.replace(
            self.person.newest,
            inner_hash=inner_hash(INNER),
            boxes_hash=boxes_hash(boxes),
            outer=OuterRef(outer.header.version, header_hash(outer.header)),
        )

    def outer(self, signer: Signer | None = None, label: str = labels.OUTER_HEADER, **other: Any) -> Outer:
        """An outer part by the second device, signed whatever stands in it."""
        device = self.person.devices[1]
        header = OuterHeader(SERVER, "alice", 3, 5, b"p" * 32, 1000, device.device_id, entries_hash(SEALED))
        header = dataclasses.replace(header, **other)
        return Outer(header, sign(label, header, signer or device.sign), SEALED)

    def follower(self, before: OuterHeader, **other: Any) -> Outer:
        fields = {"version": before.version + 1, "previous_hash": header_hash(before), **other}
        return self.outer(**fields)

    def with_vault(self, **other: Any) -> tuple[AccountRecord, Vault]:
        """A vault that the record names, whatever stands in it."""
        vault = dataclasses.replace(self.vault, **other)
        named = dataclasses.replace(self.record, inner_hash=inner_hash(vault.inner), boxes_hash=boxes_hash(vault.boxes))
        return named, vault


@pytest.fixture(scope="module")
def safe() -> Safe:
    return Safe()


def refuses(rule: str, check: Callable[..., Verified[OuterHeader]], *arguments: object) -> None:
    with pytest.raises(errors.InvalidVault) as refusal:
        check(*arguments)
    assert refusal.value.detail == rule


# --- an outer part under an account record -----------------------------------------------


LATEST = 4 + (1 << 20) - 1


@pytest.mark.parametrize("other", [{}, {"version": 6}, {"version": LATEST}, {"account_version": 1}, {"written_at": 0}])
def test_an_outer_part_by_a_device_of_the_account(safe: Safe, other: dict[str, Any]) -> None:
    outer = safe.outer(**other)
    found = verify_outer(safe.record, outer)
    assert (found.value, found.key) == (outer.header, safe.person.devices[1].key.public)


def test_the_outer_part_that_the_record_names(safe: Safe) -> None:
    assert verify_outer(safe.record, safe.named).value == safe.named.header


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        ({"server_name": "other.example"}, "it is another account's"),
        ({"user_id": "bob"}, "it is another account's"),
        ({"account_version": 4}, "it names an account version to come"),
        ({"version": 3}, "it is older than the account record says"),
        ({"version": 1 << 52}, "its version is too high"),
        ({"version": 4 + (1 << 20)}, "its version is too high"),
        ({"version": 4, "written_at": 1001}, "it differs from the one that the account record names"),
        ({"entries_hash": b"e" * 32}, "the entries are not those that were signed"),
        ({"device_id": "d" * 64}, "its device is not certified"),
    ],
)
def test_an_outer_part_is_refused(safe: Safe, other: dict[str, Any], rule: str) -> None:
    refuses(rule, verify_outer, safe.record, safe.outer(**other))


def test_other_entries_are_refused(safe: Safe) -> None:
    outer = dataclasses.replace(safe.outer(), sealed_entries=SEALED + b"!")
    refuses("the entries are not those that were signed", verify_outer, safe.record, outer)


def test_a_revoked_device_writes_no_outer_part() -> None:
    safe = Safe()
    gone = safe.person.devices[1]
    outer = safe.outer()
    safe.person.revoke(gone)
    refuses("its device is not certified", verify_outer, safe.recorded(safe.named), outer)


def test_an_outer_part_is_signed_by_the_device_that_it_names(safe: Safe) -> None:
    bad = [
        safe.outer(signer=safe.person.devices[0].sign),
        safe.outer(signer=safe.person.aik.sign),
        safe.outer(signer=STRANGER.sign),
        safe.outer(label=labels.ENTRY),
        dataclasses.replace(safe.outer(), signature=b""),
        dataclasses.replace(safe.outer(version=6), signature=safe.outer().signature),
    ]
    for outer in bad:
        with pytest.raises(errors.BadSignature) as refusal:
            verify_outer(safe.record, outer)
        assert refusal.value.detail == "vault outer header"


# --- an outer part after another ---------------------------------------------------------


def test_an_outer_part_follows_another(safe: Safe) -> None:
    before = safe.named.header
    for _ in range(3):
        outer = safe.follower(before)
        assert verify_outer_next(safe.record, before, outer).value == outer.header
        before = outer.header


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        ({"account_version": 2}, "it names another account version"),
        ({"account_version": 4}, "it names another account version"),
        ({"version": 4}, "its version is not one more"),
        ({"version": 6}, "its version is not one more"),
        ({"previous_hash": ZERO_HASH}, "the part before it is another"),
        ({"server_name": "other.example"}, "it is another account's"),
        ({"device_id": "d" * 64}, "its device is not certified"),
    ],
)
def test_an_outer_part_does_not_follow(safe: Safe, other: dict[str, Any], rule: str) -> None:
    before = safe.named.header
    refuses(rule, verify_outer_next, safe.record, before, safe.follower(before, **other))


def test_an_outer_part_that_follows_is_signed(safe: Safe) -> None:
    before = safe.named.header
    with pytest.raises(errors.BadSignature):
        verify_outer_next(safe.record, before, safe.follower(before, signer=STRANGER.sign))


# --- a whole vault -----------------------------------------------------------------------


def test_a_vault_beside_its_record(safe: Safe) -> None:
    assert check_vault(safe.record, safe.vault).value == safe.named.header
    assert check_vault(*safe.with_vault()).value == safe.named.header
    assert decode(Vault, encode(safe.vault)) == safe.vault


def test_another_inner_part_is_refused(safe: Safe) -> None:
    for inner in (dataclasses.replace(INNER, wrapped_aik=b"x"), dataclasses.replace(INNER, wrapped_outer_key=b"x")):
        vault = dataclasses.replace(safe.vault, inner=inner)
        refuses("the inner part is not the one that the record names", check_vault, safe.record, vault)
        refuses("the inner part is not the one that the record names", check_vault, safe.record, vault, {bytes(32)})
        assert check_vault(safe.record, vault, {inner_hash(inner)}).value == safe.named.header


def test_other_boxes_are_refused(safe: Safe) -> None:
    boxes = tuple(dataclasses.replace(each, wrapped_outer_key=b"x") for each in safe.vault.boxes.boxes)
    vault = dataclasses.replace(safe.vault, boxes=Boxes(boxes))
    refuses("the boxes are not those that the record names", check_vault, safe.record, vault)


def test_there_is_one_box_for_each_device(safe: Safe) -> None:
    boxes = safe.vault.boxes.boxes
    rule = "the boxes are not for exactly the devices"
    for wrong in ((), boxes[:1], (*boxes, Box("f" * 64, b"box")), boxes[::-1], (boxes[0], boxes[0])):
        record, vault = safe.with_vault(boxes=Boxes(wrong))
        refuses(rule, check_vault, record, vault)


def test_a_vault_has_an_unlocker_and_each_id_once(safe: Safe) -> None:
    rule = "there is no unlocker, or one id stands twice"
    same_id = dataclasses.replace(UNLOCKER, kind=UnlockerKind.PASSWORD)
    for wrong in ((), (UNLOCKER, same_id)):
        record, vault = safe.with_vault(inner=dataclasses.replace(INNER, unlockers=wrong))
        refuses(rule, check_vault, record, vault)
    two = (UNLOCKER, dataclasses.replace(UNLOCKER, id="u2"))
    check_vault(*safe.with_vault(inner=dataclasses.replace(INNER, unlockers=two)))


def test_the_outer_part_of_a_vault_is_checked_too(safe: Safe) -> None:
    record, vault = safe.with_vault(outer=safe.outer(version=3))
    refuses("it is older than the account record says", check_vault, record, vault)
    record, vault = safe.with_vault(outer=safe.outer(signer=STRANGER.sign))
    with pytest.raises(errors.BadSignature):
        check_vault(record, vault)
