from __future__ import annotations

from typing import Any

import nacl.pwhash.argon2id
import pytest
from cryptography.hazmat.primitives.hashes import SHA256, SHAKE128, SHAKE256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from hypothesis import given
from hypothesis import strategies as st

from tacit import errors
from tacit.crypto import kdf
from tacit.crypto.secret import Secret

KEY = Secret(b"k" * 32)


@given(st.binary(max_size=100), st.binary(max_size=300), st.integers(1, 8160))
def test_hkdf_is_that_of_another_library(key: bytes, info: bytes, length: int) -> None:
    assert kdf.hkdf_sha256(Secret(key), info, length).reveal() == HKDF(SHA256(), length, None, info).derive(key)


@pytest.mark.parametrize("length", [-1, 0, 8161, 65536])
def test_a_length_that_hkdf_cannot_give_is_refused(length: int) -> None:
    with pytest.raises(errors.WrongLength):
        kdf.hkdf_sha256(KEY, b"", length)
    with pytest.raises(errors.WrongLength):
        kdf.labeled_expand(b"suite", b"k" * 32, b"label", b"", length)


# The reference implementation's own tests (phc-winner-argon2, test.c), version 0x13.
ARGON2 = [
    (2, 65536, 1, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"),
    (2, 256, 1, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"),
    (2, 256, 2, "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"),
]


@pytest.mark.parametrize(("iterations", "memory", "lanes", "made"), ARGON2)
def test_argon2id_of_the_reference(iterations: int, memory: int, lanes: int, made: str) -> None:
    found = kdf.argon2id(Secret(b"password"), b"somesalt", memory_kib=memory, iterations=iterations, lanes=lanes)
    assert found.reveal().hex() == made


def test_argon2id_is_that_of_another_library() -> None:
    salt = bytes(range(16))
    other = nacl.pwhash.argon2id.kdf(40, b"correct horse", salt, opslimit=3, memlimit=64 * 1024)
    found = kdf.argon2id(Secret(b"correct horse"), salt, memory_kib=64, iterations=3, lanes=1, length=40)
    assert found.reveal() == other


def test_the_defaults_are_those_of_the_standard_profile() -> None:
    salt = bytes(32)
    named = kdf.argon2id(Secret(b"pw"), salt, memory_kib=64 * 1024, iterations=3, lanes=4, length=32)
    assert kdf.argon2id(Secret(b"pw"), salt) == named


@pytest.mark.parametrize(
    "wrong",
    [
        {"salt": b"short"},
        {"memory_kib": 7},
        {"memory_kib": 2**40},
        {"memory_kib": "64"},
        {"iterations": 0},
        {"iterations": -1},
        {"lanes": 0},
        {"lanes": 2**31},
        {"length": 3},
        {"length": -1},
    ],
)
def test_parameters_that_argon2id_has_not_are_refused(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"salt": bytes(16), "memory_kib": 64, "iterations": 1, "lanes": 1, **wrong}
    with pytest.raises(errors.InvalidArgument):
        kdf.argon2id(Secret(b"pw"), arguments.pop("salt"), **arguments)


def test_what_is_no_secret_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument):
        kdf.hkdf_sha256(b"k" * 32, b"")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument):
        kdf.hkdf_sha256(KEY, "info")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument):
        kdf.argon2id("password", bytes(16), memory_kib=64)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument):
        kdf.argon2id(Secret(b"pw"), "saltsaltsalt", memory_kib=64)  # type: ignore[arg-type]


def test_pbkdf2_is_that_of_another_library() -> None:
    other = PBKDF2HMAC(SHA256(), 40, b"salt", 1000).derive(b"correct horse")
    assert kdf.pbkdf2_sha256(Secret(b"correct horse"), b"salt", 1000, 40).reveal() == other
    assert kdf.pbkdf2_sha256(Secret(b"correct horse"), b"salt", 1000).reveal() == other[:32]


@pytest.mark.parametrize(
    ("iterations", "length"), [(0, 32), (-1, 32), (2**64, 32), ("1", 32), (1, 0), (1, -1), (1, 2**64)]
)
def test_parameters_that_pbkdf2_has_not_are_refused(iterations: Any, length: int) -> None:
    with pytest.raises(errors.InvalidArgument):
        kdf.pbkdf2_sha256(Secret(b"pw"), b"salt", iterations, length)


def test_pbkdf2_takes_a_secret_and_bytes() -> None:
    with pytest.raises(errors.InvalidArgument):
        kdf.pbkdf2_sha256(b"pw", b"salt", 1)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument):
        kdf.pbkdf2_sha256(Secret(b"pw"), "salt", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("shake", ["shake_128", "shake_256"])
def test_a_labelled_derivation_is_one_hash(shake: str) -> None:
    """LabeledDerive of draft-ietf-hpke-hpke §4 by another library."""
    algorithm = (SHAKE128 if shake == "shake_128" else SHAKE256)(40)
    hashed = Hash(algorithm)
    hashed.update(b"key" + b"HPKE-v1" + b"suite" + b"\x00\x05label" + b"\x00\x28" + b"info")
    assert kdf.labeled_derive(b"suite", b"key", b"label", b"info", 40, shake) == hashed.finalize()


@pytest.mark.parametrize("length", [-1, 0, 65536])
def test_a_length_that_a_labelled_derivation_cannot_give_is_refused(length: int) -> None:
    with pytest.raises(errors.WrongLength):
        kdf.labeled_derive(b"suite", b"key", b"label", b"", length)
