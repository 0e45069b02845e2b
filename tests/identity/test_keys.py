"""Signing keys and wrapping keys behind one face."""

from __future__ import annotations

import pytest

from crypto.refusing import silent_failure
from rsa_pool import rsa_key
from signed.chains import seeded
from tacit import errors
from tacit.crypto.kem import XWing
from tacit.crypto.rsa import RsaKey
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key, P256Key
from tacit.identity import keys
from tacit.identity.keys import WrappingKey
from tacit.signed.profiles import ALGORITHMS, KeyAlgorithm, Profile, signed_by

WRAPPING = (KeyAlgorithm.X_WING, KeyAlgorithm.RSA)
wrapping = pytest.mark.parametrize("algorithm", WRAPPING, ids=lambda each: each.name)


def no_rsa() -> RsaKey:
    raise AssertionError("no RSA key is wanted here")


def made(algorithm: KeyAlgorithm, number: int = 0) -> WrappingKey:
    return keys.new_wrapping_key(algorithm, seeded(f"key {number}"), lambda: rsa_key(number))


@pytest.mark.parametrize(
    ("profile", "kind"), [(Profile.STANDARD, Ed25519Key), (Profile.FIPS, P256Key), (Profile.COMPAT, P256Key)]
)
def test_a_signing_key_is_of_the_profiles_algorithm(profile: Profile, kind: type) -> None:
    key = keys.new_signing_key(profile, seeded("signer"))
    again = keys.signing_key(profile, key.seed)
    assert type(key) is type(again) is kind
    assert (again.public, len(key.seed)) == (key.public, 32)
    algorithm = ALGORITHMS[profile].signature
    assert signed_by(algorithm, key.public, b"message", again.sign(b"message"))
    assert not signed_by(algorithm, key.public, b"another", again.sign(b"message"))


@pytest.mark.parametrize("profile", Profile)
def test_a_seed_has_32_bytes(profile: Profile) -> None:
    for length in (0, 31, 33):
        with pytest.raises(errors.WrongLength):
            keys.signing_key(profile, Secret(b"s" * length))


def test_a_seed_of_zeros_is_no_scalar_of_p256() -> None:
    with pytest.raises(errors.TacitError):
        keys.signing_key(Profile.FIPS, Secret(bytes(32)))
    assert len(keys.signing_key(Profile.STANDARD, Secret(bytes(32))).public) == 32


def test_an_x_wing_key_is_a_seed_of_the_randomness_given() -> None:
    key = keys.new_wrapping_key(KeyAlgorithm.X_WING, seeded("x-wing"), no_rsa)
    assert key.private == Secret(seeded("x-wing")(32))
    assert key == (KeyAlgorithm.X_WING, XWing(key.private).public, key.private)


def test_an_rsa_key_is_what_was_generated() -> None:
    key = keys.new_wrapping_key(KeyAlgorithm.RSA, seeded("unused"), lambda: rsa_key(0))
    assert key == (KeyAlgorithm.RSA, rsa_key(0).public, rsa_key(0).private)


@wrapping
def test_a_private_key_shows_its_public_half_only(algorithm: KeyAlgorithm) -> None:
    key = made(algorithm)
    assert repr(key) == f"WrappingKey({algorithm.name}, {key.public[:8].hex()}...)"


@wrapping
def test_what_is_wrapped_comes_back_by_its_key_alone(algorithm: KeyAlgorithm) -> None:
    mine, other = made(algorithm), made(algorithm, 1)
    wrapped = keys.wrap(algorithm, mine.public, b"info", b"k" * 32)
    assert keys.unwrap(keys.private_key(algorithm, mine.private), b"info", wrapped) == Secret(b"k" * 32)
    for key, text in (
        (other, wrapped),
        (mine, wrapped[:-1]),
        (mine, wrapped + b"\0"),
        (mine, b""),
        (mine, wrapped[:-1] + bytes([wrapped[-1] ^ 1])),
    ):
        with silent_failure():
            keys.unwrap(keys.private_key(algorithm, key.private), b"info", text)


@wrapping
def test_a_secret_is_never_wrapped_alike_twice(algorithm: KeyAlgorithm) -> None:
    public = made(algorithm).public
    assert keys.wrap(algorithm, public, b"info", b"k") != keys.wrap(algorithm, public, b"info", b"k")


def test_x_wing_binds_the_info_and_rsa_does_not() -> None:
    x_wing, rsa = (made(algorithm) for algorithm in WRAPPING)
    wrapped = keys.wrap(KeyAlgorithm.X_WING, x_wing.public, b"info", b"k")
    with silent_failure():
        keys.unwrap(keys.private_key(KeyAlgorithm.X_WING, x_wing.private), b"another", wrapped)
    wrapped = keys.wrap(KeyAlgorithm.RSA, rsa.public, b"info", b"k")
    assert keys.unwrap(keys.private_key(KeyAlgorithm.RSA, rsa.private), b"another", wrapped) == Secret(b"k")


@wrapping
def test_the_private_key_of_a_public_one_is_that_ones(algorithm: KeyAlgorithm) -> None:
    mine, other = made(algorithm), made(algorithm, 1)
    found = keys.private_key_of(algorithm, mine.public, mine.private)
    assert found is not None
    assert found.public == mine.public
    assert keys.private_key_of(algorithm, mine.public, other.private) is None
    assert keys.private_key_of(algorithm, mine.public[:-1], mine.private) is None


@wrapping
@pytest.mark.parametrize("private", [b"", b"k", b"k" * 31, b"k" * 33, b"k" * 1000])
def test_what_is_no_private_key_belongs_to_no_public_one(algorithm: KeyAlgorithm, private: bytes) -> None:
    assert keys.private_key_of(algorithm, made(algorithm).public, Secret(private)) is None


def test_a_key_of_the_other_algorithm_belongs_to_no_public_one() -> None:
    x_wing, rsa = (made(algorithm) for algorithm in WRAPPING)
    assert keys.private_key_of(KeyAlgorithm.RSA, rsa.public, x_wing.private) is None
    assert keys.private_key_of(KeyAlgorithm.X_WING, x_wing.public, rsa.private) is None
