"""A few RSA keys for all tests of a process: making one takes 60 to 250 ms."""

from __future__ import annotations

from functools import cache
from itertools import count

from tacit.crypto.rsa import RsaKey, generate

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
