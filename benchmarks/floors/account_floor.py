"""The floors under an account and its conversations: bare primitives, and nothing of tacit.

Only `cryptography` and `hashlib`; no struct is encoded, nothing is judged or kept. `argon2id` and `pbkdf2` derive a
password's secret, once for an unlocking. `Opening` wraps an epoch's key to n members and signs each grant and the
record: HPKE in base mode with X-Wing, HKDF-SHA256 and AES-256-GCM by pyca's own HPKE, and Ed25519 (`STANDARD`); or
RSA-OAEP with SHA-256 and deterministic ECDSA with P-256 and SHA-256 (`NIST`). Public keys come as bytes and are read
for each wrap, as they are by whoever takes them out of account records. Run by itself it prints the numbers and the
times.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

STANDARD: Final = "standard"
NIST: Final = "fips, compat"
KEY: Final = bytes(32)
"""What is wrapped: an epoch's key."""
MLKEM_BYTES: Final = 1184
"""Of an X-Wing public key; X25519's 32 follow."""


class Sizes(NamedTuple):
    """Bytes that the primitives work on. The defaults are about those of user ids of 9 bytes."""

    info: int = 100
    """HPKE's info; RSA-OAEP has none."""
    grant: int = 1400
    """What is signed of each grant, the wrapped key in it."""
    record: int = 400
    """What is signed of the record, without its changes."""
    change: int = 84
    """What each member adds to that."""


class Argon(NamedTuple):
    """Argon2id's costs: the memory in KiB, passes, lanes."""

    memory_kib: int = 65536
    iterations: int = 3
    lanes: int = 4


USUAL: Final = Sizes()
COST: Final = Argon()
PBKDF2_ITERATIONS: Final = 600_000


def primitives(kind: str, members: int) -> dict[str, int]:
    """How often opening one epoch for so many members calls each primitive."""
    if kind == STANDARD:
        return {
            "X-Wing public key read": members,
            "HPKE seal of 32 B (X-Wing, HKDF-SHA256, AES-256-GCM)": members,
            "Ed25519 sign": members + 1,
        }
    return {
        "RSA SubjectPublicKeyInfo read": members,
        "RSA-OAEP-SHA256 encrypt of 32 B": members,
        "ECDSA P-256 sign, deterministic": members + 1,
    }


def argon2id(password: bytes, salt: bytes, cost: Argon = COST) -> bytes:
    """Argon2id alone, 32 bytes."""
    made = Argon2id(salt=salt, length=32, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib)
    return made.derive(password)


def pbkdf2(password: bytes, salt: bytes, iterations: int = PBKDF2_ITERATIONS) -> bytes:
    """PBKDF2 with HMAC-SHA256 alone, 32 bytes."""
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations, 32)


def x_wing_keys(count: int) -> list[bytes]:
    """So many X-Wing public keys of 1216 bytes, all different."""
    return [
        MLKEM768PrivateKey.generate().public_key().public_bytes_raw()
        + X25519PrivateKey.generate().public_key().public_bytes_raw()
        for _ in range(count)
    ]


def rsa_keys(count: int, bits: int = 3072) -> list[bytes]:
    """So many RSA public keys as SubjectPublicKeyInfo."""
    return [
        rsa.generate_private_key(65537, bits).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for _ in range(count)
    ]


class Opening:
    """The members' public keys, one device's signing key, and the primitives over them."""

    def __init__(self, kind: str, public_keys: Sequence[bytes], sizes: Sizes = USUAL) -> None:
        self._kind = kind
        self._keys = public_keys
        self._info = bytes(sizes.info)
        self._grant = bytes(sizes.grant)
        self._record = bytes(sizes.record + sizes.change * len(public_keys))
        self._suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
        self._oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
        self._ed25519 = Ed25519PrivateKey.generate()
        self._p256 = ec.generate_private_key(ec.SECP256R1())
        self._ecdsa = ec.ECDSA(SHA256(), deterministic_signing=True)

    def wrap(self, public: bytes) -> bytes:
        """The key for one member."""
        if self._kind == STANDARD:
            mlkem = MLKEM768PublicKey.from_public_bytes(public[:MLKEM_BYTES])
            key = MLKEM768X25519PublicKey(mlkem, X25519PublicKey.from_public_bytes(public[MLKEM_BYTES:]))
            return self._suite.encrypt(KEY, key, self._info)
        found = load_der_public_key(public)
        assert isinstance(found, rsa.RSAPublicKey)
        return found.encrypt(KEY, self._oaep)

    def sign(self, message: bytes) -> bytes:
        """A signature by the device."""
        return self._ed25519.sign(message) if self._kind == STANDARD else self._p256.sign(message, self._ecdsa)

    def open(self) -> list[tuple[bytes, bytes]]:
        """A wrap and a signature for each member, and one signature for the record."""
        self.sign(self._record)
        return [(self.wrap(public), self.sign(self._grant)) for public in self._keys]


def main() -> None:
    """Prints the primitives of 100 members and the milliseconds they take."""
    for kind, keys in ((STANDARD, x_wing_keys(100)), (NIST, rsa_keys(1) * 100)):
        floor = Opening(kind, keys)
        floor.open()
        started = time.perf_counter()
        floor.open()
        taken = (time.perf_counter() - started) * 1000
        counted = ", ".join(f"{times} {what}" for what, times in primitives(kind, 100).items())
        print(f"{kind}: {taken:.1f} ms for {counted}")


if __name__ == "__main__":
    main()
