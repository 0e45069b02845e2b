from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from tacit import errors
from tacit.crypto.secret import Secret
from tacit.crypto.server import decoy, hash_token

SECRET = Secret(bytes(32))


def test_a_token_is_kept_as_its_hash() -> None:
    assert hash_token("token") == hashlib.sha256(b"token").hexdigest()


@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 1000])
def test_a_decoy_has_the_length_asked_for_and_is_always_the_same(length: int) -> None:
    made = decoy(SECRET, "salt", "mallory", length)
    assert len(made) == length
    assert made == decoy(SECRET, "salt", "mallory", length)
    assert made == decoy(SECRET, "salt", "mallory", 1000)[:length]


def test_decoys_differ_by_secret_label_and_user() -> None:
    made = {
        decoy(secret, label, user, 32)
        for secret in (SECRET, Secret(b"s" * 32))
        for label in ("a", "a\0", "ab")
        for user in ("b", "\0b", "bb", "")
    }
    assert len(made) == 24
    assert decoy(SECRET, "a", "bc", 32) != decoy(SECRET, "ab", "c", 32)


def test_a_long_decoy_does_not_repeat() -> None:
    made = decoy(SECRET, "salt", "mallory", 3200)
    assert len({made[at : at + 32] for at in range(0, 3200, 32)}) == 100


@pytest.mark.parametrize("length", [0, -1])
def test_a_decoy_without_bytes_is_refused(length: int) -> None:
    with pytest.raises(errors.WrongLength):
        decoy(SECRET, "salt", "mallory", length)


def test_a_bare_secret_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument):
        decoy(bytes(32), "salt", "mallory", 32)  # type: ignore[arg-type]


def test_the_doors_of_the_server_open_no_other() -> None:
    asked = "import sys; from tacit.crypto import digest, secret, server, verify; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith("tacit.crypto.")}
    assert loaded == {
        f"tacit.crypto.{name}" for name in ("curves", "digest", "goldilocks", "secret", "server", "verify")
    }
