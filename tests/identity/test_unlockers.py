from __future__ import annotations

import dataclasses
import hashlib
from functools import cache
from typing import Any

import pytest

from crypto.refusing import silent_failure
from signed.chains import seeded
from tacit import errors
from tacit.crypto import sealed
from tacit.crypto.kdf import argon2id, hkdf_sha256
from tacit.crypto.secret import Secret
from tacit.identity import unlockers
from tacit.identity.keys import new_signing_key
from tacit.identity.unlockers import Account, Cost, KdfBounds, Opened
from tacit.signed import labels
from tacit.signed.account import aik_fingerprint
from tacit.signed.profiles import Profile
from tacit.signed.vault import (
    AccountContext,
    AuthContext,
    Inner,
    PasswordParameters,
    UnlockContext,
    Unlocker,
    UnlockerKind,
    proof_hash,
)
from tacit.signed.verify import labelled
from tacit.wire.codec import decode, encode

CHEAP = Cost(8, 1, 1, 1000)
BOUNDS = KdfBounds((8, 16), (1, 2), (1, 1))
PBKDF2_BOUNDS = KdfBounds((0, 0), (1000, 2000), (0, 0), unlockers.PBKDF2)
AMK = Secret(b"m" * 32)
OUTER_KEY = Secret(b"o" * 32)
PASSWORD = Secret(b"correct horse")
PARAMETERS = PasswordParameters(1, 8, 1, 1, b"s" * 16)
BY_PBKDF2 = PasswordParameters(2, 0, 1000, 0, b"s" * 16)


class Held:
    """An account of a profile, and the unlockers that it has."""

    def __init__(self, profile: Profile) -> None:
        self.bounds = BOUNDS if profile is Profile.STANDARD else PBKDF2_BOUNDS
        self.aik, self.other_aik = (new_signing_key(profile, seeded(name)) for name in ("aik", "other aik"))
        self.account = Account("chat.example", "alice", profile, self.aik.public)
        self.by_password = unlockers.new_password(self.account, PASSWORD, CHEAP, AMK, seeded("unlockers"))
        self.by_words, self.recovery_key = unlockers.new_recovery_key(self.account, AMK, seeded("recovery"))
        self.inner = unlockers.wrap_inner(self.account, (self.by_words, self.by_password), AMK, self.aik, OUTER_KEY)

    def secret(self, password: Secret = PASSWORD) -> Secret:
        parameters = decode(PasswordParameters, self.by_password.parameters)
        return unlockers.password_secret("chat.example", "alice", password, parameters, self.bounds)

    def others(self) -> list[Account]:
        """The account with one thing about it that is another's."""
        profiles = [each for each in Profile if each is not self.account.profile]
        return [
            dataclasses.replace(self.account, server_name="other.example"),
            dataclasses.replace(self.account, user_id="bob"),
            *(dataclasses.replace(self.account, profile=each) for each in profiles),
            dataclasses.replace(self.account, aik=self.other_aik.public),
        ]

    def is_open(self, found: Opened) -> bool:
        held = (AMK, self.aik.seed, self.aik.public, OUTER_KEY)
        return (found.amk, found.aik.seed, found.aik.public, found.outer_key) == held


held_by = cache(Held)
every_profile = pytest.mark.parametrize("profile", Profile, ids=lambda each: each.name.lower())


@pytest.fixture
def held(profile: Profile) -> Held:
    return held_by(profile)


STANDARD = held_by(Profile.STANDARD)
ACCOUNT, AIK, OTHER_AIK, INNER = STANDARD.account, STANDARD.aik, STANDARD.other_aik, STANDARD.inner
BY_PASSWORD, BY_WORDS, RECOVERY_KEY = STANDARD.by_password, STANDARD.by_words, STANDARD.recovery_key


@pytest.fixture
def no_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A derivation fails the test that reaches it; the accounts of the tests are made before."""
    for profile in Profile:
        held_by(profile)

    def derive(*_: object, **__: object) -> Secret:
        raise AssertionError("it was derived before it was checked")

    for name in ("argon2id", "pbkdf2_sha256"):
        monkeypatch.setattr(unlockers, name, derive)


# --- opening -----------------------------------------------------------------------------


@every_profile
def test_each_unlocker_opens_everything(held: Held) -> None:
    account, inner = held.account, held.inner
    assert held.is_open(unlockers.open_with_password(account, inner, PASSWORD, held.bounds))
    assert held.is_open(unlockers.open_with_recovery_key(account, inner, held.recovery_key))
    assert held.is_open(unlockers.open_inner(account, inner, held.by_password.id, held.secret()))
    assert unlockers.open_amk(account, held.by_words, held.recovery_key) == AMK


@every_profile
def test_a_wrong_password_opens_nothing(held: Held) -> None:
    for wrong in (Secret(b"correct horsf"), Secret(b""), held.recovery_key):
        with silent_failure():
            unlockers.open_with_password(held.account, held.inner, wrong, held.bounds)


@every_profile
def test_a_wrong_recovery_key_opens_nothing(held: Held) -> None:
    for wrong in (Secret(b"w" * 32), held.secret(), AMK):
        with silent_failure():
            unlockers.open_with_recovery_key(held.account, held.inner, wrong)


@every_profile
def test_an_unlocker_opens_for_its_own_account_only(held: Held) -> None:
    assert len(held.others()) == 5
    for other in held.others():
        with silent_failure():
            unlockers.open_with_password(other, held.inner, PASSWORD, held.bounds)
        with silent_failure():
            unlockers.open_with_recovery_key(other, held.inner, held.recovery_key)
        with silent_failure():
            unlockers.open_amk(other, held.by_words, held.recovery_key)


def test_an_unlocker_is_bound_to_its_id() -> None:
    moved = dataclasses.replace(BY_WORDS, id="another")
    with silent_failure():
        unlockers.open_amk(ACCOUNT, moved, RECOVERY_KEY)


@pytest.mark.parametrize("field", ["server_name", "user_id", "aik"])
def test_what_the_amk_wraps_is_bound_to_the_account_too(field: str) -> None:
    values: dict[str, Any] = {"server_name": "other.example", "user_id": "bob", "aik": OTHER_AIK.public}
    other = dataclasses.replace(ACCOUNT, **{field: values[field]})
    for part in ("wrapped_aik", "wrapped_outer_key"):
        foreign = unlockers.wrap_inner(other, (), AMK, AIK, OUTER_KEY)
        parts: dict[str, Any] = {part: getattr(foreign, part)}
        with silent_failure():
            unlockers.open_with_recovery_key(ACCOUNT, dataclasses.replace(INNER, **parts), RECOVERY_KEY)


def test_identity_key_and_outer_key_do_not_change_places() -> None:
    swapped = dataclasses.replace(INNER, wrapped_aik=INNER.wrapped_outer_key, wrapped_outer_key=INNER.wrapped_aik)
    with silent_failure():
        unlockers.open_with_recovery_key(ACCOUNT, swapped, RECOVERY_KEY)


@every_profile
def test_another_identity_key_inside_opens_nothing(held: Held) -> None:
    foreign = unlockers.wrap_inner(held.account, (held.by_words,), AMK, held.other_aik, OUTER_KEY)
    with silent_failure():
        unlockers.open_with_recovery_key(held.account, foreign, held.recovery_key)


def test_an_unlocker_that_is_not_there_is_named() -> None:
    for unlocker_id, rule in (("another", "it has no such unlocker"), ("", "it has no such unlocker")):
        with pytest.raises(errors.InvalidVault) as refusal:
            unlockers.open_inner(ACCOUNT, INNER, unlocker_id, RECOVERY_KEY)
        assert refusal.value.detail == rule


def test_a_kind_that_is_not_there_is_named() -> None:
    with pytest.raises(errors.InvalidVault) as refusal:
        unlockers.open_with_password(ACCOUNT, dataclasses.replace(INNER, unlockers=(BY_WORDS,)), PASSWORD, BOUNDS)
    assert refusal.value.detail == "it has no unlocker of the kind password"
    with pytest.raises(errors.InvalidVault) as refusal:
        unlockers.open_with_recovery_key(ACCOUNT, dataclasses.replace(INNER, unlockers=(BY_PASSWORD,)), RECOVERY_KEY)
    assert refusal.value.detail == "it has no unlocker of the kind recovery_key"


# --- the password's derivation -----------------------------------------------------------


def with_parameters(raw: bytes) -> Inner:
    return dataclasses.replace(INNER, unlockers=(dataclasses.replace(BY_PASSWORD, parameters=raw),))


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        ({"kdf": 0}, "the password's derivation is not Argon2id"),
        ({"kdf": 2}, "the password's derivation is not Argon2id"),
        ({"memory_kib": 7}, "the password's derivation has 7 for memory, not 8 to 16"),
        ({"memory_kib": 17}, "the password's derivation has 17 for memory, not 8 to 16"),
        ({"iterations": 0}, "the password's derivation has 0 for iterations, not 1 to 2"),
        ({"iterations": 3}, "the password's derivation has 3 for iterations, not 1 to 2"),
        ({"lanes": 0}, "the password's derivation has 0 for lanes, not 1 to 1"),
        ({"lanes": 2}, "the password's derivation has 2 for lanes, not 1 to 1"),
    ],
)
def test_a_cost_outside_the_bounds_is_refused_before_anything_is_derived(
    other: dict[str, Any], rule: str, no_derivation: None
) -> None:
    parameters = dataclasses.replace(PARAMETERS, **other)
    with pytest.raises(errors.InvalidVault) as refusal:
        unlockers.password_secret("chat.example", "alice", PASSWORD, parameters, BOUNDS)
    assert refusal.value.detail == rule
    with pytest.raises(errors.InvalidVault) as refusal:
        unlockers.open_with_password(ACCOUNT, with_parameters(encode(parameters)), PASSWORD, BOUNDS)
    assert refusal.value.detail == rule


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        ({"kdf": 0}, "the password's derivation is not PBKDF2"),
        ({"kdf": 1, "memory_kib": 65535, "iterations": 3, "lanes": 4}, "the password's derivation is not PBKDF2"),
        ({"kdf": 3}, "the password's derivation is not PBKDF2"),
        ({"memory_kib": 1}, "the password's derivation has 1 for memory, not 0 to 0"),
        ({"lanes": 1}, "the password's derivation has 1 for lanes, not 0 to 0"),
        ({"iterations": 0}, "the password's derivation has 0 for iterations, not 600000 to 10000000"),
        ({"iterations": 599_999}, "the password's derivation has 599999 for iterations, not 600000 to 10000000"),
        ({"iterations": 10_000_001}, "the password's derivation has 10000001 for iterations, not 600000 to 10000000"),
    ],
)
@pytest.mark.parametrize("profile", [Profile.FIPS, Profile.COMPAT])
def test_pbkdf2_outside_the_bounds_is_refused_before_anything_is_derived(
    profile: Profile, other: dict[str, Any], rule: str, no_derivation: None
) -> None:
    bounds = unlockers.bounds_of(profile)
    parameters = dataclasses.replace(BY_PBKDF2, **({"iterations": 600_000} | other))
    with pytest.raises(errors.InvalidVault) as refusal:
        unlockers.password_secret("chat.example", "alice", PASSWORD, parameters, bounds)
    assert refusal.value.detail == rule
    account = held_by(profile).account
    with pytest.raises(errors.InvalidVault) as refusal:
        unlockers.open_with_password(account, with_parameters(encode(parameters)), PASSWORD, bounds)
    assert refusal.value.detail == rule


@pytest.mark.parametrize(
    ("configured", "kdf", "cost", "named"),
    [
        (Profile.STANDARD, 2, (0, 600_000, 0), "PBKDF2 for the password, as in the profile compat or fips; "),
        (Profile.FIPS, 1, (65536, 3, 4), "Argon2id for the password, as in the profile standard; "),
        (Profile.COMPAT, 1, (1048576, 16, 16), "Argon2id for the password, as in the profile standard; "),
    ],
)
def test_what_another_profile_derives_by_is_told_from_what_none_does(
    configured: Profile, kdf: int, cost: tuple[int, int, int], named: str, no_derivation: None
) -> None:
    parameters, bounds = dataclasses.replace(PARAMETERS, kdf=kdf), unlockers.bounds_of(configured)
    memory, iterations, lanes = cost
    usual = dataclasses.replace(parameters, memory_kib=memory, iterations=iterations, lanes=lanes)
    with pytest.raises(errors.ProfileMismatch) as refusal:
        unlockers.password_secret("chat.example", "alice", PASSWORD, usual, bounds)
    assert named in refusal.value.detail
    for bent in (
        dataclasses.replace(usual, memory_kib=2**21),
        dataclasses.replace(usual, iterations=2),
        dataclasses.replace(usual, lanes=17),
    ):
        with pytest.raises(errors.InvalidVault):
            bounds.check(bent)


def test_the_bounds_themselves_are_allowed() -> None:
    for memory, iterations in ((8, 1), (16, 2)):
        BOUNDS.check(dataclasses.replace(PARAMETERS, memory_kib=memory, iterations=iterations))
    for profile in (Profile.FIPS, Profile.COMPAT):
        for iterations in (600_000, 10_000_000):
            unlockers.bounds_of(profile).check(dataclasses.replace(BY_PBKDF2, iterations=iterations))


def test_the_bounds_without_configuration_are_the_specifications(no_derivation: None) -> None:
    assert KdfBounds() == KdfBounds((65536, 1048576), (3, 16), (1, 16), 1)
    assert Cost() == Cost(65536, 3, 4, 600_000)
    assert unlockers.bounds_of(Profile.STANDARD) == KdfBounds()
    for profile in (Profile.FIPS, Profile.COMPAT):
        assert unlockers.bounds_of(profile) == KdfBounds((0, 0), (600_000, 10_000_000), (0, 0), 2)
    with pytest.raises(errors.InvalidVault, match="not 65536 to 1048576"):
        unlockers.open_with_password(ACCOUNT, INNER, PASSWORD, KdfBounds())


@every_profile
def test_what_a_new_password_costs_is_within_the_bounds(profile: Profile) -> None:
    for cost in (Cost(), Cost(70_000, 4, 2, 700_000)):
        unlockers.bounds_of(profile).check(cost.parameters(profile, b"s" * 16))


@every_profile
def test_a_configured_cost_lowers_the_floor_and_nothing_else(profile: Profile) -> None:
    usual = unlockers.bounds_of(profile)
    assert unlockers.bounds_of(profile, Cost()) == usual
    assert unlockers.bounds_of(profile, Cost(70_000, 4, 8, 700_000)) == usual
    lowered = unlockers.bounds_of(profile, CHEAP)
    least = ((8, 1048576), (1, 16), (1, 16)) if profile is Profile.STANDARD else ((0, 0), (1000, 10_000_000), (0, 0))
    assert lowered == KdfBounds(*least, usual.kdf)
    lowered.check(CHEAP.parameters(profile, b"s" * 16))
    with pytest.raises(errors.InvalidVault):
        usual.check(CHEAP.parameters(profile, b"s" * 16))


@pytest.mark.parametrize("raw", [b"", b"\1", BY_PASSWORD.parameters[:-1], BY_PASSWORD.parameters + b"\0"])
def test_parameters_that_cannot_be_read_are_the_vaults_fault(raw: bytes, no_derivation: None) -> None:
    with pytest.raises(errors.InvalidVault) as refusal:
        unlockers.open_with_password(ACCOUNT, with_parameters(raw), PASSWORD, BOUNDS)
    assert refusal.value.detail == "the password's parameters cannot be read"


def test_the_secret_is_argon2id_over_a_salt_bound_to_server_and_user() -> None:
    body = b"\x0cchat.example\x05alice\x10" + b"s" * 16
    salt = hashlib.sha256(b"\x15tacit/1 password salt" + bytes([len(body)]) + body).digest()
    expected = argon2id(PASSWORD, salt, memory_kib=8, iterations=1, lanes=1)
    assert unlockers.password_secret("chat.example", "alice", PASSWORD, PARAMETERS, BOUNDS) == expected


def test_the_secret_of_fips_and_compat_is_pbkdf2_over_the_same_salt() -> None:
    body = b"\x0cchat.example\x05alice\x10" + b"s" * 16
    salt = hashlib.sha256(b"\x15tacit/1 password salt" + bytes([len(body)]) + body).digest()
    expected = hashlib.pbkdf2_hmac("sha256", PASSWORD.reveal(), salt, 1000)
    found = unlockers.password_secret("chat.example", "alice", PASSWORD, BY_PBKDF2, PBKDF2_BOUNDS)
    assert found == Secret(expected)


def test_one_salt_serves_no_two_users_and_no_two_servers() -> None:
    secrets = [
        unlockers.password_secret(server_name, user_id, PASSWORD, parameters, BOUNDS).reveal()
        for server_name in ("chat.example", "other.example")
        for user_id in ("alice", "bob")
        for parameters in (PARAMETERS, dataclasses.replace(PARAMETERS, salt=b"t" * 16))
    ]
    secrets += [
        unlockers.password_secret(server_name, user_id, PASSWORD, BY_PBKDF2, PBKDF2_BOUNDS).reveal()
        for server_name in ("chat.example", "other.example")
        for user_id in ("alice", "bob")
    ]
    assert len(set(secrets)) == 12


def test_the_cost_is_what_it_says() -> None:
    secrets = [
        unlockers.password_secret("s", "u", PASSWORD, PasswordParameters(1, *cost, b"s" * 16), KdfBounds(*bounds))
        for cost, bounds in (
            ((8, 1, 1), ((8, 8), (1, 1), (1, 1))),
            ((16, 1, 1), ((16, 16), (1, 1), (1, 1))),
            ((16, 2, 1), ((16, 16), (2, 2), (1, 1))),
            ((16, 2, 2), ((16, 16), (2, 2), (2, 2))),
        )
    ]
    for iterations in (1000, 1001):
        parameters = dataclasses.replace(BY_PBKDF2, iterations=iterations)
        secrets.append(unlockers.password_secret("s", "u", PASSWORD, parameters, PBKDF2_BOUNDS))
    assert len({secret.reveal() for secret in secrets}) == 6


# --- a typed password --------------------------------------------------------------------


def test_a_password_is_the_same_from_every_keyboard() -> None:
    composed, decomposed = unlockers.password_bytes("pa\u00dfw\u00f6rt"), unlockers.password_bytes("pa\u00dfwo\u0308rt")
    assert composed == decomposed == Secret("pa\u00dfw\u00f6rt".encode())
    assert unlockers.password_bytes("\uff11\u2075\ufb01") == Secret(b"15fi")  # compatibility forms too
    assert unlockers.password_bytes(" Aa ") == Secret(b" Aa ")


def test_a_password_is_not_empty() -> None:
    with pytest.raises(errors.InvalidArgument) as refusal:
        unlockers.password_bytes("")
    assert refusal.value.detail == "the password is empty"


def test_a_password_is_unicode() -> None:
    with pytest.raises(errors.InvalidArgument) as refusal:
        unlockers.password_bytes("hunter\ud800")
    assert refusal.value.detail == "the password is not Unicode"
    assert refusal.value.__suppress_context__  # the codec's own error quotes the password
    assert "hunter" not in str(refusal.value)


# --- new unlockers -----------------------------------------------------------------------


def test_a_new_password_says_what_it_costs() -> None:
    random = seeded("unlockers")
    salt, unlocker_id = random(16), random(16).hex()
    assert decode(PasswordParameters, BY_PASSWORD.parameters) == PasswordParameters(1, 8, 1, 1, salt)
    assert (BY_PASSWORD.id, BY_PASSWORD.kind) == (unlocker_id, UnlockerKind.PASSWORD)
    for profile in (Profile.FIPS, Profile.COMPAT):
        found = decode(PasswordParameters, held_by(profile).by_password.parameters)
        assert found == PasswordParameters(2, 0, 1000, 0, salt)


def test_a_new_recovery_key_is_32_random_bytes() -> None:
    random = seeded("recovery")
    assert Secret(random(32)) == RECOVERY_KEY
    assert (BY_WORDS.id, BY_WORDS.kind, BY_WORDS.parameters) == (random(16).hex(), UnlockerKind.RECOVERY_KEY, b"")


def test_the_proof_is_derived_from_the_secret_and_bound() -> None:
    context = labelled(labels.AUTH, AuthContext("chat.example", "alice", BY_WORDS.id))
    proof = unlockers.proof_of("chat.example", "alice", BY_WORDS.id, RECOVERY_KEY)
    assert proof == hkdf_sha256(RECOVERY_KEY, context)
    assert len(proof) == 32
    others = [
        unlockers.proof_of("other.example", "alice", BY_WORDS.id, RECOVERY_KEY),
        unlockers.proof_of("chat.example", "bob", BY_WORDS.id, RECOVERY_KEY),
        unlockers.proof_of("chat.example", "alice", BY_PASSWORD.id, RECOVERY_KEY),
        unlockers.proof_of("chat.example", "alice", BY_WORDS.id, AMK),
    ]
    assert proof not in others


@pytest.mark.parametrize("kind", ["password", "recovery key"])
@every_profile
def test_an_unlocker_shows_the_hash_of_its_proof_only(held: Held, kind: str) -> None:
    password = (held.by_password, held.secret())
    unlocker, secret = password if kind == "password" else (held.by_words, held.recovery_key)
    proof = unlockers.proof_of("chat.example", "alice", unlocker.id, secret)
    assert unlocker.proof_hash == proof_hash(proof.reveal())
    raw = encode(held.inner)
    assert unlocker.proof_hash in raw
    for hidden in (proof, secret, AMK, held.aik.seed, OUTER_KEY):
        assert hidden.reveal() not in raw


def test_the_proof_opens_nothing() -> None:
    proof = unlockers.proof_of("chat.example", "alice", BY_WORDS.id, RECOVERY_KEY)
    with silent_failure():
        unlockers.open_amk(ACCOUNT, BY_WORDS, proof)


def test_everything_is_wrapped_under_its_own_label_and_context() -> None:
    fingerprint = aik_fingerprint(Profile.STANDARD, AIK.public)
    unlock = UnlockContext("chat.example", "alice", Profile.STANDARD, BY_WORDS.id, fingerprint)
    own = AccountContext("chat.example", "alice", fingerprint)
    key = hkdf_sha256(RECOVERY_KEY, labelled(labels.UNLOCK, unlock))
    assert sealed.open(key, labelled(labels.WRAPPED_AMK, unlock), BY_WORDS.wrapped_amk) == AMK.reveal()
    assert sealed.open(AMK, labelled(labels.WRAPPED_AIK, own), INNER.wrapped_aik) == AIK.seed.reveal()
    assert sealed.open(AMK, labelled(labels.WRAPPED_OUTER_KEY, own), INNER.wrapped_outer_key) == OUTER_KEY.reveal()


def test_what_is_open_does_not_show_itself() -> None:
    found = unlockers.open_with_recovery_key(ACCOUNT, INNER, RECOVERY_KEY)
    for hidden in (AMK, AIK.seed, OUTER_KEY):
        assert hidden.reveal().hex() not in repr(found)
        assert repr(hidden.reveal()) not in repr(found)


def test_the_first_unlocker_of_a_kind_is_taken() -> None:
    second: Unlocker = unlockers.new_password(ACCOUNT, Secret(b"second"), CHEAP, AMK, seeded("second"))
    inner = dataclasses.replace(INNER, unlockers=(BY_WORDS, second, BY_PASSWORD))
    assert STANDARD.is_open(unlockers.open_with_password(ACCOUNT, inner, Secret(b"second"), BOUNDS))
    with silent_failure():
        unlockers.open_with_password(ACCOUNT, inner, PASSWORD, BOUNDS)
