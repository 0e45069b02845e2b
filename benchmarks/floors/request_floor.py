"""The floor under a signed request: one SHA-256 over the body and one Ed25519 signature over the signature base.

python benchmarks/floors/request_floor.py    # microseconds of each
"""

from __future__ import annotations

import hashlib
import timeit
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)


def sign_bare(base: bytes, body: bytes) -> Callable[[], object]:
    """One digest and one signature."""

    def call() -> object:
        return hashlib.sha256(body).digest(), KEY.sign(base)

    return call


def verify_bare(base: bytes, body: bytes) -> Callable[[], object]:
    """One digest and one verification, by a key that has to be read as the server reads it."""
    public, signature = KEY.public_key().public_bytes_raw(), KEY.sign(base)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    def call() -> object:
        return hashlib.sha256(body).digest(), Ed25519PublicKey.from_public_bytes(public).verify(signature, base)

    return call


if __name__ == "__main__":
    for name, made in (("sign", sign_bare), ("verify", verify_bare)):
        call = made(b"x" * 420, b"y" * 1024)
        print(f"{name}: {timeit.timeit(call, number=2000) / 2000 * 1e6:.1f} us")
