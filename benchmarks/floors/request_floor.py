"""The floor under a signed request: one SHA-256 over the body and one Ed25519 signature over the signature base.

    python benchmarks/floors/request_floor.py    # microseconds of each

Ed25519 by libsodium, which the product uses too: it is the faster of the two libraries.
"""

from __future__ import annotations

import hashlib
import timeit
from collections.abc import Callable

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair

PUBLIC, SECRET = crypto_sign_seed_keypair(b"\x07" * 32)


def sign_bare(base: bytes, body: bytes) -> Callable[[], object]:
    """One digest and one signature."""

    def call() -> object:
        return hashlib.sha256(body).digest(), crypto_sign(base, SECRET)

    return call


def verify_bare(base: bytes, body: bytes) -> Callable[[], object]:
    """One digest and one verification."""
    signed = crypto_sign(base, SECRET)

    def call() -> object:
        return hashlib.sha256(body).digest(), crypto_sign_open(signed, PUBLIC)

    return call


if __name__ == "__main__":
    for name, made in (("sign", sign_bare), ("verify", verify_bare)):
        call = made(b"x" * 420, b"y" * 1024)
        print(f"{name}: {timeit.timeit(call, number=2000) / 2000 * 1e6:.1f} us")
