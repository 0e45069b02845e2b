from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import pytest

from crypto.refusing import silent_failure
from signed.chains import SERVER, Device, Person, seeded
from tacit import errors
from tacit.crypto import sealed
from tacit.crypto.digest import sha256
from tacit.crypto.kem import XWing
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.identity import vault
from tacit.identity.vault import (
    ContactPin,
    ConversationHead,
    NewEntry,
    OuterContext,
    PrivateKey,
    Writer,
    archive_key_entry,
    archive_key_id,
    check_entry,
    combine,
    contact_entry,
    conversation_entry,
    counted,
    device_name_entry,
    fitted,
    key_place,
    keys_among,
    merge,
    open_outer,
    private_key_entry,
    read_outer,
    seal_outer,
    values,
    writers_of,
)
from tacit.signed import labels
from tacit.signed.account import AccountRecord, OuterRef, RevokedDevice
from tacit.signed.profiles import KeyAlgorithm
from tacit.signed.vault import (
    Entries,
    Entry,
    EntryKind,
    Outer,
    OuterHeader,
    SignedEntry,
    entries_hash,
    header_hash,
    verify_outer,
    verify_outer_next,
)
from tacit.signed.verify import ZERO_HASH, Signer, labelled, sign
from tacit.wire.codec import decode, encode

KEY = Secret(b"o" * 32)
ALICE = Person("alice")
PHONE = ALICE.device
LAPTOP = ALICE.add_device()
RECORD = dataclasses.replace(ALICE.newest, outer=OuterRef(0, ZERO_HASH))
WRITERS = writers_of([RECORD])
ONE = NewEntry(EntryKind.ARCHIVE_KEY, b"one", b"1")
TWO = NewEntry(EntryKind.ARCHIVE_KEY, b"two", b"2")
PIN = NewEntry(EntryKind.CONTACT_PIN, b"bob", b"pin")
X_WING = XWing.generate(seeded("x-wing"))
TRUE = private_key_entry(KeyAlgorithm.X_WING, X_WING.public, X_WING.seed)
ARCHIVE = archive_key_entry(Secret(b"a" * 32))


def writer(device: Device = PHONE) -> Writer:
    return Writer(device.device_id, device.sign)


def entry(new: NewEntry, clock: int = 1, device: Device = PHONE, signer: Signer | None = None) -> SignedEntry:
    made = Entry(new.kind, new.key, new.value, clock, device.device_id)
    return SignedEntry(made, sign(labels.ENTRY, made, signer or device.sign))


def id_of(device: Device) -> str:
    return device.device_id


def changed(new: NewEntry, value: bytes) -> NewEntry:
    return dataclasses.replace(new, value=value)


def seal(entries: tuple[SignedEntry, ...], before: OuterHeader | None = None, device: Device = PHONE) -> Outer:
    return seal_outer(SERVER, "alice", 2, before, entries, KEY, writer(device), 1000)


# --- two devices at once -----------------------------------------------------------------

HEAD = EntryKind.CONVERSATION_HEAD
BOTH = {PHONE.device_id, LAPTOP.device_id}


def head_of(epoch: int, talk: str) -> bytes:
    return encode(ConversationHead(talk, epoch, b"h" * 32))


def head(epoch: int, record_hash: bytes = b"h" * 32) -> NewEntry:
    return conversation_entry(HEAD, ConversationHead("talk", epoch, record_hash))


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        (entry(PIN, 1), entry(changed(PIN, b"other"), 2, LAPTOP)),
        (entry(PIN, 2), entry(changed(PIN, b""), 3)),
        (entry(PIN, 2, min(PHONE, LAPTOP, key=id_of)), entry(PIN, 2, max(PHONE, LAPTOP, key=id_of))),
        (entry(head(3), 9), entry(head(4), 2, LAPTOP)),
        (entry(head(4), 2), entry(head(4), 3)),
        (entry(NewEntry(HEAD, b"talk", b"unreadable"), 9), entry(head(1), 1)),
        (entry(NewEntry(HEAD, b"talk", head_of(9, "other")), 9), entry(head(1), 1)),
        (entry(changed(TRUE, b""), 9), entry(TRUE, 1)),
        (entry(TRUE, 9), entry(TRUE, 1, LAPTOP)),
        (entry(changed(ARCHIVE, b""), 9), entry(ARCHIVE, 1)),
        (entry(ARCHIVE, 9), entry(ARCHIVE, 1, LAPTOP)),
        (entry(changed(ONE, b"another"), 9), entry(ONE, 1)),
        (entry(ONE, 9), entry(changed(ONE, b""), 1)),
    ],
)
def test_the_stronger_entry_of_a_place_stays(weaker: SignedEntry, stronger: SignedEntry) -> None:
    assert combine([weaker], [stronger], BOTH) == combine([stronger], [weaker], BOTH) == (stronger,)


OTHER = XWing.generate(seeded("other"))
FALSE_KEYS = [
    changed(ARCHIVE, b"b" * 32),
    changed(ARCHIVE, b"a" * 31),
    changed(TRUE, b"no struct"),
    changed(TRUE, encode(PrivateKey(KeyAlgorithm.X_WING, X_WING.public, OTHER.seed.reveal()))),
    changed(TRUE, encode(PrivateKey(KeyAlgorithm.X_WING, X_WING.public, b"no seed"))),
    changed(TRUE, private_key_entry(KeyAlgorithm.X_WING, OTHER.public, OTHER.seed).value),
]
"""What a device in a thief's hands may put in the place of a key."""


@pytest.mark.parametrize("certified", [BOTH, {LAPTOP.device_id}])
@pytest.mark.parametrize("false", FALSE_KEYS)
def test_a_key_that_is_none_displaces_none(false: NewEntry, certified: set[str]) -> None:
    true = TRUE if false.kind is TRUE.kind else ARCHIVE
    for clock in (1, 9):
        weaker, stronger = entry(false, clock, LAPTOP), entry(true, 5)
        assert combine([weaker], [stronger], certified) == combine([stronger], [weaker], certified) == (stronger,)
        assert merge([stronger], [false], 9, writer(LAPTOP), certified) == (stronger,)
        assert merge([weaker], [true], 5, writer(), certified) == (stronger,)


def test_a_key_is_tried_only_where_two_values_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Entry] = []

    def judge(each: Entry) -> bool:
        tried.append(each)
        return bool(each.value)

    monkeypatch.setattr(vault, "is_true_key", judge)
    held = [entry(TRUE), entry(ARCHIVE)]
    assert len(combine(held, [*held, entry(TRUE, 2, LAPTOP)], BOTH)) == 2
    assert tried == []
    combine(held, [entry(changed(TRUE, b""), 2)], BOTH)
    assert [each.value for each in tried] == [TRUE.value, b""]


@pytest.mark.parametrize("new", [PIN, head(9), ARCHIVE])
def test_an_entry_of_a_device_that_is_gone_loses_to_any_other(new: NewEntry) -> None:
    gone, stays = entry(new, 9, LAPTOP), entry(changed(new, b"") if new is PIN else new, 1)
    if new.kind is HEAD:
        stays = entry(head(1), 1)
    certified = {PHONE.device_id}
    assert combine([gone], [stays], certified) == combine([stays], [gone], certified) == (stays,)
    assert combine([gone], [], certified) == (gone,)
    assert values([gone], new.kind, certified) == []
    assert values([gone], new.kind) == [new.value]


def test_its_word_is_taken_over_by_who_says_the_same() -> None:
    gone = entry(PIN, 1, LAPTOP)
    assert merge([gone], [PIN], 2, writer(), BOTH) == (gone,)
    assert merge([gone], [PIN], 2, writer(), {PHONE.device_id}) == (entry(PIN, 2),)


# --- merging -----------------------------------------------------------------------------


def test_new_entries_are_signed_in_at_the_clock_and_sorted() -> None:
    assert merge((), (PIN, TWO, ONE), 7, writer()) == (entry(ONE, 7), entry(TWO, 7), entry(PIN, 7))
    assert merge((), (), 7, writer()) == ()


def test_what_stays_the_same_keeps_its_signature() -> None:
    held = (entry(ONE, 1), entry(TWO, 2))
    assert merge(held, (), 9, writer(LAPTOP)) == held
    assert merge(held, (ONE, TWO), 9, writer(LAPTOP)) == held
    assert merge(reversed(held), (TWO,), 9, writer(LAPTOP)) == held


def test_another_value_takes_the_place() -> None:
    held = (entry(ONE, 1), entry(PIN, 2))
    new = changed(PIN, b"another")
    assert merge(held, (new,), 9, writer(LAPTOP)) == (held[0], entry(new, 9, LAPTOP))


def test_a_place_is_kind_and_key() -> None:
    same_key = NewEntry(EntryKind.CONTACT_PIN, b"one", b"1")
    assert merge((entry(ONE),), (same_key,), 2, writer()) == (entry(ONE), entry(same_key, 2))


def test_of_two_new_ones_in_one_place_the_last_stays() -> None:
    assert merge((), (PIN, changed(PIN, b"last")), 1, writer()) == (entry(changed(PIN, b"last")),)


def test_a_tombstone_takes_the_place_and_can_be_written_over() -> None:
    held = merge((entry(PIN),), (changed(PIN, b""),), 2, writer())
    assert held == (entry(changed(PIN, b""), 2),)
    assert merge(held, (changed(PIN, b""),), 3, writer()) == held
    assert merge(held, (PIN,), 3, writer()) == (entry(PIN, 3),)


def test_tombstones_and_other_kinds_are_no_values() -> None:
    entries = (entry(ONE), entry(changed(TWO, b"")), entry(PIN))
    assert values(entries, EntryKind.ARCHIVE_KEY) == [b"1"]
    assert values(entries, EntryKind.CONTACT_PIN) == [b"pin"]
    assert values(entries, EntryKind.VERIFICATION) == []


# --- what entries hold -------------------------------------------------------------------


def test_an_encryption_key_stands_under_the_hash_of_its_public_half() -> None:
    made = private_key_entry(KeyAlgorithm.X_WING, b"public", Secret(b"private"))
    body = b"\x00\x02\x06public"
    assert made.kind is EntryKind.ENCRYPTION_KEY
    assert made.key == sha256(b"\x16tacit/1 encryption key" + bytes([len(body)]) + body)
    assert decode(PrivateKey, made.value) == PrivateKey(KeyAlgorithm.X_WING, b"public", b"private")
    assert private_key_entry(KeyAlgorithm.RSA, b"public", Secret(b"private")).key != made.key


def test_an_archive_key_stands_under_its_id() -> None:
    made = archive_key_entry(Secret(b"a" * 32))
    assert made == NewEntry(EntryKind.ARCHIVE_KEY, archive_key_id(Secret(b"a" * 32)), b"a" * 32)


def test_a_contact_stands_under_its_user_id() -> None:
    pin = ContactPin("bøb", 3, b"h" * 32, b"f" * 32)
    assert contact_entry(pin) == NewEntry(EntryKind.CONTACT_PIN, "bøb".encode(), encode(pin))


def test_a_conversation_stands_under_its_id() -> None:
    head = ConversationHead("team", 3, b"h" * 32)
    for kind in (EntryKind.CONVERSATION_PIN, EntryKind.CONVERSATION_HEAD):
        assert conversation_entry(kind, head) == NewEntry(kind, b"team", encode(head))


def test_a_device_name_stands_under_the_devices_id() -> None:
    assert device_name_entry("d" * 64, "phøne") == NewEntry(EntryKind.DEVICE_NAME, b"d" * 64, "phøne".encode())


def test_keys_are_the_entries_that_hold_one() -> None:
    name = device_name_entry(PHONE.device_id, "phone")
    x_wing = private_key_entry(KeyAlgorithm.X_WING, b"public", Secret(b"private"))
    gone = private_key_entry(KeyAlgorithm.RSA, b"public", Secret(b"private"))
    entries = (entry(ONE), entry(x_wing), entry(PIN), entry(name), entry(changed(TWO, b"")), entry(changed(gone, b"")))
    assert keys_among(entries) == [entry(ONE), entry(x_wing)]
    assert keys_among(()) == []


# --- sealing and opening -----------------------------------------------------------------


def test_a_sealed_outer_part_comes_back() -> None:
    entries = (entry(ONE), entry(TWO, device=LAPTOP), entry(PIN))
    outer = seal(entries)
    assert open_outer(RECORD, outer, KEY) == entries
    assert outer.header == OuterHeader(
        SERVER, "alice", 2, 1, ZERO_HASH, 1000, PHONE.device_id, entries_hash(outer.sealed_entries)
    )
    assert verify_outer(RECORD, outer).value == outer.header


def test_an_outer_part_follows_the_one_before() -> None:
    first = seal((entry(ONE),))
    second = seal(merge((entry(ONE),), (TWO,), 2, writer(LAPTOP)), first.header, LAPTOP)
    assert (second.header.version, second.header.previous_hash) == (2, header_hash(first.header))
    assert verify_outer_next(RECORD, first.header, second).value == second.header
    assert open_outer(RECORD, second, KEY) == (entry(ONE), entry(TWO, 2, LAPTOP))


def test_an_outer_part_may_be_empty() -> None:
    assert open_outer(RECORD, seal(()), KEY) == ()


def test_another_key_opens_nothing() -> None:
    with silent_failure():
        open_outer(RECORD, seal((entry(ONE),)), Secret(b"x" * 32))


@pytest.mark.parametrize(
    ("field", "value"), [("server_name", "other.example"), ("user_id", "bob"), ("account_version", 3), ("version", 2)]
)
def test_sealed_entries_are_bound_to_their_place(field: str, value: Any) -> None:
    outer = seal((entry(ONE),))
    moved = dataclasses.replace(outer, header=dataclasses.replace(outer.header, **{field: value}))
    with silent_failure():
        open_outer(RECORD, moved, KEY)


def test_sealed_entries_are_bound_to_their_label() -> None:
    context = OuterContext(SERVER, "alice", 2, 1)
    plain = encode(Entries((entry(ONE),)))
    outer = seal((entry(ONE),))
    assert sealed.open(KEY, labelled(labels.OUTER, context), outer.sealed_entries) == plain
    other = dataclasses.replace(outer, sealed_entries=sealed.seal(KEY, labelled(labels.BOX, context), plain))
    with silent_failure():
        open_outer(RECORD, other, KEY)


def test_nothing_of_the_entries_is_seen_from_outside() -> None:
    outer = seal((entry(NewEntry(EntryKind.ARCHIVE_KEY, b"needle in the key", b"needle in the value")),))
    assert b"needle" not in encode(outer)


def opens(entries: Iterable[SignedEntry], record: AccountRecord = RECORD) -> tuple[SignedEntry, ...]:
    return open_outer(record, seal(tuple(entries)), KEY)


@pytest.mark.parametrize(
    "entries",
    [
        (entry(TWO), entry(ONE)),
        (entry(PIN), entry(ONE)),
        (entry(ONE), entry(ONE)),
        (entry(ONE), entry(changed(ONE, b"other"), 1, LAPTOP)),
    ],
    ids=["by key", "by kind", "twice", "two values"],
)
def test_entries_out_of_order_are_refused(entries: tuple[SignedEntry, ...]) -> None:
    with pytest.raises(errors.InvalidVault) as refusal:
        opens(entries)
    assert refusal.value.detail == "its entries are not sorted, or one stands twice"


def test_a_clock_is_not_ahead_of_the_outer_part() -> None:
    first = seal((entry(ONE),))
    for clock in (1, 2):
        assert open_outer(RECORD, seal((entry(ONE, clock),), first.header), KEY)[0].entry.clock == clock
    with pytest.raises(errors.InvalidVault) as refusal:
        open_outer(RECORD, seal((entry(ONE, 3),), first.header), KEY)
    assert refusal.value.detail == "an entry's clock is ahead of the outer part"


def test_clocks_begin_at_one() -> None:
    with pytest.raises(errors.InvalidVault) as refusal:
        opens((entry(ONE, 0),))
    assert refusal.value.detail == "an entry's clock is before the first outer part"


@pytest.mark.parametrize("certified", [None, BOTH])
@pytest.mark.parametrize("value", [b"", b"another"])
def test_who_writes_neither_changes_nor_takes_away_a_key(value: bytes, certified: set[str] | None) -> None:
    for key in (TRUE, ARCHIVE):
        assert merge([entry(key)], [changed(key, value)], 2, writer(LAPTOP), certified) == (entry(key),)
        assert merge([entry(changed(key, value))], [key], 2, writer(), certified) == (entry(key, 2),)


def test_an_entry_is_by_a_device_that_the_record_certifies() -> None:
    other = ALICE.make_device()
    with pytest.raises(errors.InvalidVault) as refusal:
        opens((entry(ONE), entry(TWO, device=other)))
    assert refusal.value.detail == "an entry's device was never certified"
    without = dataclasses.replace(RECORD, devices=(PHONE.certificate,))
    assert opens((entry(TWO, device=LAPTOP),))
    with pytest.raises(errors.InvalidVault):
        opens((entry(TWO, device=LAPTOP),), without)


def test_an_entry_is_signed_by_its_device() -> None:
    stranger = Ed25519Key.generate(seeded("stranger"))
    good = entry(ONE)
    bad = [
        entry(ONE, signer=LAPTOP.sign),
        entry(ONE, signer=stranger.sign),
        dataclasses.replace(good, signature=sign(labels.OUTER_HEADER, good.entry, PHONE.sign)),
        dataclasses.replace(good, signature=entry(TWO).signature),
        dataclasses.replace(good, signature=b""),
    ]
    for signed in bad:
        with pytest.raises(errors.BadSignature) as refusal:
            opens((signed,))
        assert refusal.value.detail == "vault entry"


@pytest.mark.parametrize("field", ["kind", "key", "value", "clock"])
def test_nothing_of_an_entry_changes_under_its_signature(field: str) -> None:
    good = entry(ONE, 2)
    other: dict[str, Any] = {"kind": EntryKind.CHECKPOINT, "key": b"two", "value": b"", "clock": 1}
    check_entry(RECORD, 2, good, WRITERS)
    bent = dataclasses.replace(good.entry, **{field: other[field]})
    with pytest.raises(errors.BadSignature):
        check_entry(RECORD, 2, dataclasses.replace(good, entry=bent), WRITERS)


@pytest.mark.parametrize("plain", [b"", b"\x01", encode(Entries((entry(ONE),))) + b"\0"])
def test_entries_that_cannot_be_read_are_refused(plain: bytes) -> None:
    raw = sealed.seal(KEY, labelled(labels.OUTER, OuterContext(SERVER, "alice", 2, 1)), plain)
    with pytest.raises(errors.Malformed):
        open_outer(RECORD, dataclasses.replace(seal(()), sealed_entries=raw), KEY)


def test_what_a_device_made_unusable_is_none() -> None:
    """The header may be good for all that: whoever holds the device signs what they like."""
    entries = (entry(ONE), entry(TWO))
    assert read_outer(RECORD, seal(entries), KEY, WRITERS) == entries
    for unusable in (seal(entries[::-1]), seal((entry(ONE, 2),))):
        assert read_outer(RECORD, unusable, KEY, WRITERS) is None
    assert read_outer(RECORD, seal(entries), Secret(b"x" * 32), WRITERS) is None


def test_an_outer_part_may_run_ahead_of_the_one_before_it() -> None:
    first = seal(())
    account = (RECORD.server_name, RECORD.user_id, RECORD.version)
    ahead = seal_outer(*account, first.header, (entry(ONE, 7),), KEY, Writer(PHONE.device_id, PHONE.sign), 5, 9)
    assert (ahead.header.version, ahead.header.previous_hash) == (9, header_hash(first.header))
    assert open_outer(RECORD, ahead, KEY) == (entry(ONE, 7),)


def test_a_key_counts_that_a_version_names_and_no_word_of_a_revoked_device() -> None:
    revoked = dataclasses.replace(RECORD, revoked=(RevokedDevice(PHONE.device_id, 2),))
    named = NewEntry(EntryKind.ARCHIVE_KEY, RECORD.archive_key_id, b"a" * 32)
    wrapping = NewEntry(EntryKind.ENCRYPTION_KEY, key_place(RECORD.encryption_keys[0]), b"k")
    junk = NewEntry(EntryKind.ARCHIVE_KEY, b"j" * 32, b"a" * 32)
    name = device_name_entry(PHONE.device_id, "phone")
    entries = merge((), [named, wrapping, junk, name], 1, writer(PHONE))
    assert {each.entry.key for each in counted(entries, [RECORD])} == {named.key, wrapping.key, name.key}
    assert {each.entry.key for each in counted(entries, [RECORD, revoked])} == {named.key, wrapping.key}
    later = dataclasses.replace(revoked, encryption_keys=(), archive_key_id=b"l" * 32)
    assert {each.entry.key for each in counted(entries, [RECORD, later])} == {named.key, wrapping.key}


def test_what_is_too_much_is_left_out_of_who_said_most(monkeypatch: pytest.MonkeyPatch) -> None:
    key = NewEntry(EntryKind.ARCHIVE_KEY, b"k" * 32, b"a" * 32)
    brief = device_name_entry("z" * 64, "z")
    much = [device_name_entry(f"{number:064}", "x" * 100) for number in range(9)]
    entries = merge(merge((), [key, *much], 1, writer(LAPTOP)), [brief], 1, writer(PHONE))
    assert fitted(entries) == entries
    size = max(len(encode(each)) for each in entries)
    kept = fitted(entries, 4 * size)
    assert list(kept) == sorted(kept, key=lambda each: (each.entry.kind, each.entry.key))
    assert {each.entry.key for each in kept} >= {key.key, brief.key}
    assert 3 <= len(kept) < len(entries)
    assert sum(len(encode(each)) for each in kept) <= 4 * size
    monkeypatch.setattr(vault, "MOST_ENTRIES", 2)
    assert {each.entry.key for each in fitted(entries)} == {key.key, brief.key}
