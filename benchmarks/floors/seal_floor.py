"""The floor under sealing and opening one 100-byte message: its bare primitives and nothing of tacit.

Only `cryptography`, `nacl` (Ed25519), `hashlib` and `hmac`; no struct is encoded or parsed, nothing is judged or kept,
keys are made beforehand. `Floor.seal` and `Floor.open` call each primitive as often as one message of the protocol
needs it, over as many bytes; `primitives` says how often that is for n messages. Run by itself it prints those
numbers and the times.
"""

from __future__ import annotations

import hashlib
import hmac
import timeit
from typing import NamedTuple

import nacl.bindings
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Sizes(NamedTuple):
    """Bytes that each primitive works on. The defaults are those of a text of 100 bytes that names two others."""

    content: int = 232
    """The labelled content, which the franking tag is over."""
    padded: int = 224
    """The padded content, which AES-GCM encrypts."""
    aad: int = 259
    """The associated data."""
    info: int = 112
    """HKDF's info."""
    signed: int = 509
    """What the device signs: associated data, iv and ciphertext under a label."""
    hashed_by_seal: tuple[int, ...] = (514,)
    """What sealing hashes with SHA-256: the message's own hash, by which later ones name it."""
    hashed_by_open: tuple[int, ...] = ()
    """What opening hashes with SHA-256."""


STANDARD = Sizes()


def primitives(count: int, sizes: Sizes = STANDARD) -> dict[str, dict[str, int]]:
    """How often sealing and opening `count` messages call each primitive."""
    both = {"HKDF-Extract (1 HMAC-SHA256)": 1, "HKDF-Expand of 32 B (1 HMAC-SHA256)": 1}
    seal = {**both, "AES-256-GCM encrypt": 1, "franking tag (1 HMAC-SHA256)": 1, "Ed25519 sign": 1}
    opened = {**both, "AES-256-GCM decrypt": 1, "franking tag (1 HMAC-SHA256)": 1, "Ed25519 verify": 1}
    seal["SHA-256"] = len(sizes.hashed_by_seal)
    opened["SHA-256"] = len(sizes.hashed_by_open)
    return {
        "seal": {name: each * count for name, each in seal.items()},
        "open": {name: each * count for name, each in opened.items()},
    }


class Floor:
    """Keys and bytes of the right sizes, and the primitives over them."""

    def __init__(self, sizes: Sizes = STANDARD) -> None:
        self._sizes = sizes
        self._key = hashlib.sha256(b"conversation key").digest()
        self._franking_key = hashlib.sha256(b"franking key").digest()
        self._public, self._secret = nacl.bindings.crypto_sign_seed_keypair(hashlib.sha256(b"device").digest())
        self._iv = bytes(12)
        self._info = bytes(sizes.info)
        self._aad = bytes(sizes.aad)
        self._padded = bytes(sizes.padded)
        self._content = bytes(sizes.content)
        self._signed = bytes(sizes.signed)
        self._hashed_by_seal = [bytes(size) for size in sizes.hashed_by_seal]
        self._hashed_by_open = [bytes(size) for size in sizes.hashed_by_open]
        self.ciphertext, self.tag, self.signature = self.seal()

    def _message_key(self) -> bytes:
        prk = hmac.digest(b"", self._key, "sha256")
        return hmac.digest(prk, self._info + b"\x01", "sha256")

    def seal(self) -> tuple[bytes, bytes, bytes]:
        """Ciphertext, franking tag and signature of one message."""
        tag = hmac.digest(self._franking_key, self._content, "sha256")
        ciphertext = AESGCM(self._message_key()).encrypt(self._iv, self._padded, self._aad)
        signature = nacl.bindings.crypto_sign(self._signed, self._secret)[:64]
        for data in self._hashed_by_seal:
            hashlib.sha256(data).digest()
        return ciphertext, tag, signature

    def open(self) -> bytes:
        """The padded content of that message, its signature and its franking tag checked; raises where one is wrong."""
        nacl.bindings.crypto_sign_open(self.signature + self._signed, self._public)
        padded = AESGCM(self._message_key()).decrypt(self._iv, self.ciphertext, self._aad)
        tag = hmac.digest(self._franking_key, self._content, "sha256")
        if not hmac.compare_digest(tag, self.tag):
            raise ValueError("the franking tag is another one")
        for data in self._hashed_by_open:
            hashlib.sha256(data).digest()
        return padded


def main() -> None:
    """Prints the primitives of one message and the microseconds they take."""
    floor = Floor()
    calls = {"seal": floor.seal, "open": floor.open}
    for name, counted in primitives(1).items():
        taken = min(timeit.repeat(calls[name], number=1000, repeat=7)) * 1000
        print(f"{name}: {taken:.1f} us for " + ", ".join(f"{times} {what}" for what, times in counted.items() if times))


if __name__ == "__main__":
    main()
