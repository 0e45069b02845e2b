from __future__ import annotations

import base64
import dataclasses
from functools import cache
from itertools import count
from typing import Any

import pytest

from crypto.refusing import silent_failure
from rsa_pool import pooled_rsa, rsa_key
from signed.chains import seeded
from tacit import errors
from tacit.crypto.kdf import hkdf_sha256
from tacit.crypto.secret import Randomness, Secret
from tacit.crypto.sign import Ed25519Key, P256Key
from tacit.identity import unlockers
from tacit.identity.account import (
    DeviceSecrets,
    Registration,
    certificate_of,
    make_boxes,
    new_device,
    open_box,
    register,
)
from tacit.identity.keys import GenerateRsa, private_key, signing_key
from tacit.identity.unlockers import Account, Cost, bounds_of, open_with_password, open_with_recovery_key
from tacit.identity.vault import PrivateKey, archive_key_id, open_outer, values
from tacit.identity.words import from_words
from tacit.signed.account import (
    NO_RESET,
    AccountRecord,
    AccountSignatures,
    verify_first,
)
from tacit.signed.profiles import ALGORITHMS, KeyAlgorithm, Profile
from tacit.signed.vault import Box, Boxes, EntryKind, PasswordParameters, Unlocker, UnlockerKind, Vault, check_vault
from tacit.signed.verify import ZERO_HASH
from tacit.wire.codec import decode, encode

SERVER = "chat.example"
COST = Cost(8, 1, 1, 1)
PASSWORD = Secret(b"correct horse battery")
BOUNDS = {profile: bounds_of(profile, COST) for profile in Profile}


class Recorder:
    """Seeded randomness that remembers all that it gave."""

    def __init__(self, seed: str) -> None:
        self._random = seeded(seed)
        self.given: list[bytes] = []

    def __call__(self, count: int) -> bytes:
        self.given.append(self._random(count))
        return self.given[-1]


def fresh_rsa() -> GenerateRsa:
    """The same keys in the same order each time, no key twice in one account: making one takes a while."""
    turn = count()
    return lambda: rsa_key(next(turn))


def registered(random: Randomness, **other: Any) -> Registration:
    given: dict[str, Any] = {"now": 1000, "random": random, "generate_rsa": fresh_rsa(), "cost": COST, **other}
    return register(SERVER, "alice", PASSWORD, **given)


class Case:
    """A registration of a profile, and what its words open."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.random = Recorder("registration")
        self.made = registered(self.random, profile=profile)
        self.record = self.made.record.value
        self.device = self.made.device
        self.kem = Secret(self.device.kem_private)
        self.account = Account(SERVER, "alice", profile, self.record.aik)
        self.opened = open_with_recovery_key(self.account, self.made.vault.inner, from_words(self.made.words))
        self.entries = open_outer(self.record, self.made.vault.outer, self.opened.outer_key)

    def private_keys(self) -> dict[KeyAlgorithm, PrivateKey]:
        keys = [decode(PrivateKey, value) for value in values(self.entries, EntryKind.ENCRYPTION_KEY)]
        return {key.algorithm: key for key in keys}

    def archive_key(self) -> bytes:
        (archive_key,) = values(self.entries, EntryKind.ARCHIVE_KEY)
        return archive_key

    def secrets(self) -> dict[str, bytes]:
        """Everything that a registration must not show, found by opening what it made."""
        found = {
            "password": PASSWORD.reveal(),
            "recovery key": from_words(self.made.words).reveal(),
            "amk": self.opened.amk.reveal(),
            "identity key": self.opened.aik.seed.reveal(),
            "outer key": self.opened.outer_key.reveal(),
            "archive key": self.archive_key(),
            "request seed": self.device.request_seed,
            "mls seed": self.device.mls_seed,
            "kem key": self.device.kem_private,
        }
        found |= {key.algorithm.name: key.private for key in self.private_keys().values()}
        return {name: secret for name, secret in found.items() if secret}


case_of = cache(Case)
every_profile = pytest.mark.parametrize("profile", Profile, ids=lambda each: each.name.lower())


@pytest.fixture
def case(profile: Profile) -> Case:
    return case_of(profile)


# --- registration ------------------------------------------------------------------------


@every_profile
def test_a_registration_is_a_first_record_with_a_vault_that_fits(case: Case) -> None:
    record, vault = case.record, case.made.vault
    assert verify_first(record, case.made.signatures).value == record
    assert check_vault(record, vault).value == vault.outer.header
    assert (record.server_name, record.user_id, record.version, record.previous_hash) == (
        SERVER,
        "alice",
        1,
        ZERO_HASH,
    )
    assert (record.profile, record.revoked, record.reset_by) == (case.profile, (), NO_RESET)
    assert record.devices == (certificate_of(case.device),)
    assert vault.outer.header.written_at == 1000
    assert vault.outer.header.device_id == case.device.device_id()


def test_the_clock_is_the_one_that_was_given() -> None:
    later = registered(seeded("registration"), now=2000)
    assert later.vault.outer.header.written_at == 2000


@every_profile
def test_password_and_words_open_the_same(case: Case) -> None:
    inner, bounds = case.made.vault.inner, BOUNDS[case.profile]
    by_password = open_with_password(case.account, inner, PASSWORD, bounds)
    assert by_password.amk == case.opened.amk
    assert by_password.aik.public == case.opened.aik.public == case.record.aik
    assert by_password.outer_key == case.opened.outer_key == Secret(case.device.outer_key)
    with silent_failure():
        open_with_password(case.account, inner, Secret(b"wrong"), bounds)


@every_profile
def test_the_identity_key_is_of_the_profiles_algorithm(case: Case) -> None:
    kind = Ed25519Key if case.profile is Profile.STANDARD else P256Key
    assert type(case.opened.aik) is type(case.device.request_key()) is kind
    assert len(case.record.aik) == (32 if kind is Ed25519Key else 65)


@pytest.mark.parametrize(
    ("profile", "sizes"),
    [
        (Profile.STANDARD, {KeyAlgorithm.X_WING: 1216, KeyAlgorithm.RSA: 422}),
        (Profile.FIPS, {KeyAlgorithm.RSA: 422}),
        (Profile.COMPAT, {KeyAlgorithm.RSA: 422}),
    ],
)
def test_a_record_names_the_keys_of_its_profile(profile: Profile, sizes: dict[KeyAlgorithm, int]) -> None:
    record = case_of(profile).record
    assert {key.algorithm: len(key.public_key) for key in record.encryption_keys} == sizes
    assert [key.algorithm for key in record.encryption_keys] == list(sizes)


@every_profile
def test_the_outer_part_holds_the_private_halves_of_what_the_record_names(case: Case) -> None:
    keys = case.private_keys()
    assert {(key.algorithm, key.public_key) for key in case.record.encryption_keys} == {
        (key.algorithm, key.public_key) for key in keys.values()
    }
    for key in keys.values():
        assert private_key(key.algorithm, Secret(key.private)).public == key.public_key
    assert archive_key_id(Secret(case.archive_key())) == case.record.archive_key_id


@every_profile
def test_the_device_and_the_account_have_no_key_in_common(case: Case) -> None:
    publics = [key.public_key for key in case.record.encryption_keys]
    (device,) = case.record.devices
    publics += [case.record.aik, device.request_key, device.kem_key, *([device.mls_key] if device.mls_key else [])]
    assert len(publics) == len(set(publics))


@every_profile
def test_the_entries_are_those_that_the_device_keeps_too(case: Case) -> None:
    found = {(signed.entry.kind, signed.entry.key, signed.entry.value) for signed in case.entries}
    assert found == {(entry.kind, entry.key, entry.value) for entry in case.made.entries}
    assert {(signed.entry.clock, signed.entry.device_id) for signed in case.entries} == {(1, case.device.device_id())}


def test_the_id_of_an_archive_key_is_derived_under_its_label() -> None:
    key = Secret(b"a" * 32)
    assert archive_key_id(key) == hkdf_sha256(key, b"\x16tacit/1 archive key id\x00").reveal()


@every_profile
def test_what_is_published_holds_no_secret(case: Case) -> None:
    made = case.made
    published = encode(case.record) + encode(made.signatures) + encode(made.vault)
    assert case.record.archive_key_id in published  # a canary
    hidden = case.secrets()
    assert len(hidden) == len(set(hidden.values())) == {1: 9, 2: 11, 3: 10}[case.profile]
    for name, secret in hidden.items():
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert form not in published, name
    for word_run in zip(made.words, made.words[1:], strict=False):
        assert " ".join(word_run).encode() not in published


@every_profile
def test_no_repr_holds_a_secret(case: Case) -> None:
    made, device = case.made, case.device
    shown = repr((made, device, case.opened, made.record, made.entries, case.entries, case.private_keys()))
    shown += f"{device}{made}"
    record = case.record
    for canary in ("DeviceSecrets('alice')", record.aik.hex(), repr(record.archive_key_id), "Entry("):
        assert canary in shown
    for name, secret in case.secrets().items():
        for form in (repr(secret)[2:-1], secret.hex(), base64.b64encode(secret).decode()):
            assert form not in shown, name
    assert " ".join(made.words) not in shown
    assert repr(made.words)[1:-1] not in shown


@every_profile
def test_all_randomness_is_the_callers(case: Case) -> None:
    again, made = registered(seeded("registration"), profile=case.profile), case.made
    assert again.device == made.device
    assert again.words == made.words
    assert again.entries == made.entries
    for field in ("aik", "encryption_keys", "archive_key_id", "devices"):
        assert getattr(again.record.value, field) == getattr(case.record, field)
    assert [deterministic(each) for each in again.vault.inner.unlockers] == [
        deterministic(each) for each in made.vault.inner.unlockers
    ]
    # Sealing and encapsulation draw their own.
    assert again.vault.inner != made.vault.inner
    assert again.vault.boxes != made.vault.boxes


def deterministic(unlocker: Unlocker) -> Unlocker:
    return dataclasses.replace(unlocker, wrapped_amk=b"")


@every_profile
def test_no_draw_serves_twice(case: Case) -> None:
    given = case.random.given
    long_draws = [draw for draw in given if len(draw) == 32]
    assert [len(draw) for draw in given if draw not in long_draws] == [16, 16, 16]
    assert len(set(given)) == len(given)
    rsa_keys = {rsa_key(number).private.reveal() for number in range(2)}
    assert set(case.secrets().values()) - {PASSWORD.reveal()} - rsa_keys == set(long_draws)


def test_another_randomness_makes_another_account() -> None:
    other = registered(seeded("another"))
    case = case_of(Profile.STANDARD)
    assert other.record.value.aik != case.record.aik
    assert other.device.device_id() != case.device.device_id()
    assert set(other.words) != set(case.made.words)


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


@every_profile
def test_a_password_of_fips_and_compat_is_derived_by_pbkdf2(case: Case) -> None:
    unlocker = unlockers.find_unlocker(case.made.vault.inner, UnlockerKind.PASSWORD)
    parameters = decode(PasswordParameters, unlocker.parameters)
    cost = (parameters.kdf, parameters.memory_kib, parameters.iterations, parameters.lanes)
    assert cost == ((1, 8, 1, 1) if case.profile is Profile.STANDARD else (2, 0, 1, 0))


@every_profile
def test_a_registration_travels_and_comes_back(case: Case) -> None:
    made = case.made
    assert decode(Vault, encode(made.vault)) == made.vault
    assert decode(AccountSignatures, encode(made.signatures)) == made.signatures
    assert decode(DeviceSecrets, encode(made.device)) == made.device


# --- a device ----------------------------------------------------------------------------


def test_a_device_is_four_secrets_of_its_own() -> None:
    random = seeded("device")
    device = new_device(Profile.STANDARD, "alice", Secret(b"o" * 32), random, pooled_rsa)
    again = seeded("device")
    assert device == DeviceSecrets("alice", Profile.STANDARD, again(32), again(32), again(32), b"o" * 32)


@every_profile
def test_a_certificate_is_the_public_half(profile: Profile) -> None:
    device = new_device(profile, "alice", Secret(b"o" * 32), seeded("device"), pooled_rsa)
    made = certificate_of(device)
    algorithms = ALGORITHMS[profile]
    assert (made.user_id, made.suites) == ("alice", algorithms.suites)
    assert (made.device_id, len(made.device_id)) == (device.device_id(), 64)
    assert made.request_key == signing_key(profile, Secret(device.request_seed)).public
    assert made.kem_key == private_key(algorithms.kem, Secret(device.kem_private)).public
    assert device.request_key().public == made.request_key
    if profile is Profile.COMPAT:
        assert (device.mls_seed, made.mls_key) == (b"", b"")
    else:
        assert made.mls_key == signing_key(profile, Secret(device.mls_seed)).public
        assert device.mls_seed != device.request_seed


# --- boxes -------------------------------------------------------------------------------


@every_profile
def test_a_devices_box_holds_the_outer_key(case: Case) -> None:
    (box,) = case.made.vault.boxes.boxes
    assert box.device_id == case.device.device_id()
    assert open_box(case.record, box, case.kem) == case.opened.outer_key


@every_profile
def test_each_device_has_its_own_box(case: Case) -> None:
    outer_key = case.opened.outer_key
    second = new_device(case.profile, "alice", outer_key, seeded("second"), lambda: rsa_key(2))
    devices = [case.device, second]
    certificates = tuple(certificate_of(each) for each in devices)
    boxes = make_boxes(case.profile, SERVER, "alice", 1, certificates, outer_key)
    assert [box.device_id for box in boxes.boxes] == [each.device_id() for each in devices]
    for device, other, box in zip(devices, devices[::-1], boxes.boxes, strict=True):
        assert open_box(case.record, box, Secret(device.kem_private)) == outer_key
        with silent_failure():
            open_box(case.record, box, Secret(other.kem_private))


def moved_boxes(case: Case) -> list[tuple[AccountRecord, Box]]:
    """A box with another account, version or device than it was made for."""
    (box,) = case.made.vault.boxes.boxes
    others: list[dict[str, Any]] = [{"server_name": "other.example"}, {"user_id": "bob"}, {"version": 2}]
    records = [dataclasses.replace(case.record, **other) for other in others]
    return [*((record, box) for record in records), (case.record, Box("d" * 64, box.wrapped_outer_key))]


def test_a_box_is_bound_to_account_version_and_device() -> None:
    case = case_of(Profile.STANDARD)
    for record, box in moved_boxes(case):
        with silent_failure():
            open_box(record, box, case.kem)


@pytest.mark.parametrize("profile", [Profile.FIPS, Profile.COMPAT])
def test_a_box_wrapped_by_rsa_is_bound_by_the_records_hash_alone(case: Case) -> None:
    for record, box in moved_boxes(case):
        assert open_box(record, box, case.kem) == case.opened.outer_key
    (box,) = case.made.vault.boxes.boxes
    again = make_boxes(case.profile, SERVER, "alice", 1, case.record.devices, case.opened.outer_key)
    for boxes in (again, Boxes((Box("d" * 64, box.wrapped_outer_key),)), Boxes(())):
        with pytest.raises(errors.InvalidVault):
            check_vault(case.record, dataclasses.replace(case.made.vault, boxes=boxes))
