from __future__ import annotations

import base64
import dataclasses
from functools import cache
from typing import Any

import pytest

from crypto.refusing import silent_failure
from rsa_pool import pooled_rsa
from signed.chains import seeded
from tacit.crypto.kdf import hkdf_sha256
from tacit.crypto.kem import XWing
from tacit.crypto.rsa import RsaKey
from tacit.crypto.rsa import generate as generate_rsa
from tacit.crypto.secret import Randomness, Secret
from tacit.crypto.sign import Ed25519Key
from tacit.identity import unlockers
from tacit.identity.account import (
    DeviceSecrets,
    Registration,
    archive_key_id,
    certificate_of,
    make_boxes,
    new_device,
    open_box,
    register,
)
from tacit.identity.unlockers import Account, Cost, KdfBounds, open_with_password, open_with_recovery_key
from tacit.identity.vault import PrivateKey, open_outer, values
from tacit.identity.words import from_words
from tacit.signed.account import (
    NO_RESET,
    AccountSignatures,
    verify_first,
)
from tacit.signed.profiles import KeyAlgorithm, Profile
from tacit.signed.vault import Box, EntryKind, Unlocker, Vault, check_vault
from tacit.signed.verify import ZERO_HASH
from tacit.wire.codec import decode, encode

SERVER = "chat.example"
PASSWORD = Secret(b"correct horse battery")
BOUNDS = KdfBounds((8, 8), (1, 1), (1, 1))


@cache
def rsa() -> RsaKey:
    """Made once: it takes a while."""
    return generate_rsa()


class Recorder:
    """Seeded randomness that remembers all that it gave."""

    def __init__(self, seed: str) -> None:
        self._random = seeded(seed)
        self.given: list[bytes] = []

    def __call__(self, count: int) -> bytes:
        self.given.append(self._random(count))
        return self.given[-1]


def registered(random: Randomness, **other: Any) -> Registration:
    given: dict[str, Any] = {"now": 1000, "random": random, "generate_rsa": rsa, "cost": Cost(8, 1, 1), **other}
    return register(SERVER, "alice", PASSWORD, **given)


RANDOM = Recorder("registration")
MADE = registered(RANDOM)
RECORD = MADE.record.value
DEVICE = MADE.device
ACCOUNT = Account(SERVER, "alice", Profile.STANDARD, RECORD.aik)
OPENED = open_with_recovery_key(ACCOUNT, MADE.vault.inner, from_words(MADE.words))


def private_keys() -> dict[KeyAlgorithm, PrivateKey]:
    entries = open_outer(RECORD, MADE.vault.outer, Secret(DEVICE.outer_key))
    keys = [decode(PrivateKey, value) for value in values(entries, EntryKind.ENCRYPTION_KEY)]
    return {key.algorithm: key for key in keys}


def secrets() -> dict[str, bytes]:
    """Everything that a registration must not show, found by opening what it made."""
    keys = private_keys()
    (archive_key,) = values(open_outer(RECORD, MADE.vault.outer, OPENED.outer_key), EntryKind.ARCHIVE_KEY)
    return {
        "password": PASSWORD.reveal(),
        "recovery key": from_words(MADE.words).reveal(),
        "amk": OPENED.amk.reveal(),
        "identity key": OPENED.aik.seed.reveal(),
        "outer key": OPENED.outer_key.reveal(),
        "archive key": archive_key,
        "request seed": DEVICE.request_seed,
        "mls seed": DEVICE.mls_seed,
        "kem seed": DEVICE.kem_private,
        "x-wing seed": keys[KeyAlgorithm.X_WING].private,
        "rsa key": keys[KeyAlgorithm.RSA].private,
    }


# --- registration ------------------------------------------------------------------------


def test_a_registration_is_a_first_record_with_a_vault_that_fits() -> None:
    assert verify_first(RECORD, MADE.signatures).value == RECORD
    assert check_vault(RECORD, MADE.vault).value == MADE.vault.outer.header
    assert (RECORD.server_name, RECORD.user_id, RECORD.version, RECORD.previous_hash) == (
        SERVER,
        "alice",
        1,
        ZERO_HASH,
    )
    assert (RECORD.profile, RECORD.revoked, RECORD.reset_by) == (Profile.STANDARD, (), NO_RESET)
    assert RECORD.devices == (certificate_of(DEVICE),)
    assert MADE.vault.outer.header.written_at == 1000
    assert MADE.vault.outer.header.device_id == DEVICE.device_id()


def test_the_clock_is_the_one_that_was_given() -> None:
    later = registered(seeded("registration"), now=2000)
    assert later.vault.outer.header.written_at == 2000


def test_password_and_words_open_the_same() -> None:
    by_password = open_with_password(ACCOUNT, MADE.vault.inner, PASSWORD, BOUNDS)
    assert by_password.amk == OPENED.amk
    assert by_password.aik.public == OPENED.aik.public == RECORD.aik
    assert by_password.outer_key == OPENED.outer_key == Secret(DEVICE.outer_key)
    with silent_failure():
        open_with_password(ACCOUNT, MADE.vault.inner, Secret(b"wrong"), BOUNDS)


def test_the_outer_part_holds_the_private_halves_of_what_the_record_names() -> None:
    keys = private_keys()
    x_wing, rsa_key = keys[KeyAlgorithm.X_WING], keys[KeyAlgorithm.RSA]
    assert [(key.algorithm, key.public_key) for key in RECORD.encryption_keys] == [
        (KeyAlgorithm.X_WING, x_wing.public_key),
        (KeyAlgorithm.RSA, rsa_key.public_key),
    ]
    assert XWing.from_seed(Secret(x_wing.private)).public == x_wing.public_key
    assert Secret(rsa_key.private) == rsa().private
    (archive_key,) = values(open_outer(RECORD, MADE.vault.outer, OPENED.outer_key), EntryKind.ARCHIVE_KEY)
    assert archive_key_id(Secret(archive_key)) == RECORD.archive_key_id


def test_the_entries_are_those_that_the_device_keeps_too() -> None:
    entries = open_outer(RECORD, MADE.vault.outer, OPENED.outer_key)
    found = {(signed.entry.kind, signed.entry.key, signed.entry.value) for signed in entries}
    assert found == {(entry.kind, entry.key, entry.value) for entry in MADE.entries}
    assert {(signed.entry.clock, signed.entry.device_id) for signed in entries} == {(1, DEVICE.device_id())}


def test_the_id_of_an_archive_key_is_derived_under_its_label() -> None:
    key = Secret(b"a" * 32)
    assert archive_key_id(key) == hkdf_sha256(key, b"\x16tacit/1 archive key id\x00").reveal()


def test_what_is_published_holds_no_secret() -> None:
    published = encode(RECORD) + encode(MADE.signatures) + encode(MADE.vault)
    canary = RECORD.archive_key_id
    assert canary in published
    hidden = secrets()
    assert len(hidden) == len(set(hidden.values())) == 11
    for name, secret in hidden.items():
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert form not in published, name
    for word_run in zip(MADE.words, MADE.words[1:], strict=False):
        assert " ".join(word_run).encode() not in published


def test_no_repr_holds_a_secret() -> None:
    entries = open_outer(RECORD, MADE.vault.outer, OPENED.outer_key)
    shown = repr((MADE, DEVICE, OPENED, MADE.record, MADE.entries, entries, private_keys())) + f"{DEVICE}{MADE}"
    for canary in ("DeviceSecrets('alice')", RECORD.aik.hex(), repr(RECORD.archive_key_id), "Entry("):
        assert canary in shown
    for name, secret in secrets().items():
        for form in (repr(secret)[2:-1], secret.hex(), base64.b64encode(secret).decode()):
            assert form not in shown, name
    assert " ".join(MADE.words) not in shown
    assert repr(MADE.words)[1:-1] not in shown


def test_all_randomness_is_the_callers() -> None:
    again = registered(seeded("registration"))
    assert again.device == DEVICE
    assert again.words == MADE.words
    assert again.entries == MADE.entries
    for field in ("aik", "encryption_keys", "archive_key_id", "devices"):
        assert getattr(again.record.value, field) == getattr(RECORD, field)
    assert [deterministic(each) for each in again.vault.inner.unlockers] == [
        deterministic(each) for each in MADE.vault.inner.unlockers
    ]
    # Sealing and encapsulation draw their own.
    assert again.vault.inner != MADE.vault.inner
    assert again.vault.boxes != MADE.vault.boxes


def deterministic(unlocker: Unlocker) -> Unlocker:
    return dataclasses.replace(unlocker, wrapped_amk=b"")


def test_no_draw_serves_twice() -> None:
    assert sorted(len(draw) for draw in RANDOM.given) == [16, 16, 16] + [32] * 9
    assert len(set(RANDOM.given)) == len(RANDOM.given)
    long_draws = [draw for draw in RANDOM.given if len(draw) == 32]
    shown = set(secrets().values()) - {PASSWORD.reveal(), rsa().private.reveal()}
    assert shown == set(long_draws)


def test_another_randomness_makes_another_account() -> None:
    other = registered(seeded("another"))
    assert other.record.value.aik != RECORD.aik
    assert other.device.device_id() != DEVICE.device_id()
    assert set(other.words) != set(MADE.words)


def test_a_password_costs_the_usual_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Cost] = []
    cheap = unlockers.new_password

    def new_password(account: Account, password: Secret, cost: Cost, amk: Secret, random: Randomness) -> Unlocker:
        asked.append(cost)
        return cheap(account, password, Cost(8, 1, 1), amk, random)

    monkeypatch.setattr(unlockers, "new_password", new_password)
    registered(seeded("registration"), cost=None)
    registered(seeded("registration"), cost=Cost(9, 2, 1))
    assert asked == [Cost(64 * 1024, 3, 4), Cost(9, 2, 1)]


def test_a_registration_travels_and_comes_back() -> None:
    assert decode(Vault, encode(MADE.vault)) == MADE.vault
    assert decode(AccountSignatures, encode(MADE.signatures)) == MADE.signatures
    assert decode(DeviceSecrets, encode(DEVICE)) == DEVICE


# --- a device ----------------------------------------------------------------------------


def test_a_device_is_four_secrets_of_its_own() -> None:
    random = seeded("device")
    device = new_device(Profile.STANDARD, "alice", Secret(b"o" * 32), random, pooled_rsa)
    again = seeded("device")
    assert device == DeviceSecrets("alice", Profile.STANDARD, again(32), again(32), again(32), b"o" * 32)


def test_a_certificate_is_the_public_half() -> None:
    device = new_device(Profile.STANDARD, "alice", Secret(b"o" * 32), seeded("device"), pooled_rsa)
    made = certificate_of(device)
    assert (made.user_id, made.suites) == ("alice", (1, 0x0053))
    assert (made.device_id, len(made.device_id)) == (device.device_id(), 64)
    assert made.request_key == Ed25519Key.from_seed(Secret(device.request_seed)).public
    assert made.mls_key == Ed25519Key.from_seed(Secret(device.mls_seed)).public
    assert made.kem_key == XWing.from_seed(Secret(device.kem_private)).public
    assert device.request_key().public == made.request_key


# --- boxes -------------------------------------------------------------------------------


def test_a_devices_box_holds_the_outer_key() -> None:
    (box,) = MADE.vault.boxes.boxes
    assert box.device_id == DEVICE.device_id()
    assert open_box(RECORD, box, Secret(DEVICE.kem_private)) == OPENED.outer_key


def test_each_device_has_its_own_box() -> None:
    devices = [DEVICE, new_device(Profile.STANDARD, "alice", OPENED.outer_key, seeded("second"), pooled_rsa)]
    boxes = make_boxes(
        Profile.STANDARD, SERVER, "alice", 1, tuple(certificate_of(each) for each in devices), OPENED.outer_key
    )
    assert [box.device_id for box in boxes.boxes] == [each.device_id() for each in devices]
    for device, other, box in zip(devices, devices[::-1], boxes.boxes, strict=True):
        assert open_box(RECORD, box, Secret(device.kem_private)) == OPENED.outer_key
        with silent_failure():
            open_box(RECORD, box, Secret(other.kem_private))


@pytest.mark.parametrize(("field", "value"), [("server_name", "other.example"), ("user_id", "bob"), ("version", 2)])
def test_a_box_is_bound_to_account_and_version(field: str, value: Any) -> None:
    (box,) = MADE.vault.boxes.boxes
    with silent_failure():
        open_box(dataclasses.replace(RECORD, **{field: value}), box, Secret(DEVICE.kem_private))


def test_a_box_is_bound_to_its_device() -> None:
    (box,) = MADE.vault.boxes.boxes
    with silent_failure():
        open_box(RECORD, Box("d" * 64, box.wrapped_outer_key), Secret(DEVICE.kem_private))
