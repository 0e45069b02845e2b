"""A few RSA keys for all tests of a process: making one takes 60 to 250 ms, and reading one 40 to 400."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import count
from types import SimpleNamespace
from unittest import mock

import pytest

from tacit.crypto.rsa import RsaKey, generate
from tacit.crypto.secret import Secret, revealed

KEYS = 7
"""So many that no account meets a key of its own again within a few versions."""
_turn = count()


@cache
def rsa_key(number: int, bits: int = 3072) -> RsaKey:
    """One of the keys, made when it is asked for first."""
    return generate(bits)


def pooled_rsa() -> RsaKey:
    """The next key in turn."""
    return rsa_key(next(_turn) % KEYS)


@cache
def _read(private: bytes) -> RsaKey:
    return RsaKey.from_private(Secret(private))


@pytest.fixture(scope="session", autouse=True)
def rsa_keys_are_read_once() -> Iterator[None]:
    """For a room's conftest: an account's RSA key is read, and its primes checked, once for all tests."""
    once = SimpleNamespace(from_private=lambda private: _read(revealed(private)))
    with mock.patch("tacit.identity.keys.RsaKey", once):
        yield
