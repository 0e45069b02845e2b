"""The floor under an MLS group: the primitives that RFC 9420 asks for, and nothing of tacit.

Only `cryptography`, `nacl` (Ed25519), `hashlib` and `hmac`; no struct is encoded or parsed, nothing is judged or kept.
`work` says how often an operation in a group of n calls each primitive, and over how many bytes; `Floor.run` does that.
HPKE is pyca's own, written in Rust; public keys are read from their bytes for each use, AEAD keys too, since each
message and its sender data have others (§6.3). Blank nodes are hashed too, since the RFC hashes them. Left out
is what a member can put off until a message needs it: the secret tree, and the secrets of an epoch that the next commit
does not use. Run by itself it prints counts and times.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import nacl.bindings
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SIGN, VERIFY, SEAL, OPEN, KEY = "signature", "verification", "HPKE seal", "HPKE open", "key pair"
HASH, HMAC, ENCRYPT, DECRYPT = "hash", "HMAC", "AEAD seal", "AEAD open"
SUITES: Final = (1, 2, 0x53)
_MLKEM_BYTES: Final = 1184
_P256: Final = ec.SECP256R1()


class Sizes(NamedTuple):
    """Bytes that the primitives work on; the defaults are those of suite 1 at 1,000 members."""

    key: int = 32
    """A public key for encryption."""
    leaf: int = 230
    """A leaf node."""
    commit: int = 2000
    """The content of the commit."""
    info: int = 200
    """The GroupInfo, with the tree; 0 where nobody joins."""
    text: int = 100
    """A message of the application."""


class Step(NamedTuple):
    """One primitive, called so often over so many bytes each."""

    primitive: str
    times: int
    size: int = 0


class Shape(NamedTuple):
    """A group of n members without a gap, seen from its first one: `levels` of its tree, all of its nodes' hashes."""

    levels: int
    nodes: int

    @classmethod
    def of(cls, members: int) -> Shape:
        """The tree of so many members: the next power of 2 has that many leaves."""
        levels = (members - 1).bit_length()
        return cls(levels, (2 << levels) - 1)


def _tree(path: int, sizes: Sizes) -> list[Step]:
    """The tree hash once a leaf and the nodes above it changed."""
    return [Step(HASH, 1, sizes.leaf), Step(HASH, path, sizes.key + 120)]


def _epoch(sizes: Sizes) -> list[Step]:
    """The key schedule from a commit secret to the next init secret, transcript hashes and confirmation tag."""
    return [Step(HMAC, 2 + 2 + 8, 60), Step(HASH, 1, sizes.commit), Step(HASH, 1, 64), Step(HMAC, 1, 32)]


def _framed(way: str, size: int, levels: int) -> list[Step]:
    """A private message: the secret tree down to a leaf, its two chains, the next key, sender data, twice the AEAD."""
    first = [Step(HMAC, 2 * levels + 2, 40)] if levels else []
    return [*first, Step(HMAC, 5, 40), Step(way, 1, size), Step(way, 1, 12)]


def _path_made(path: int, seals: int, sizes: Sizes) -> list[Step]:
    """New keys for a path of that length, each path secret sealed: path secrets, node secrets, keys, parent hashes."""
    return [
        Step(KEY, path + 1),
        Step(HMAC, 2 * path + 2 * path, 40),
        Step(HASH, path, sizes.key + 70),
        Step(SIGN, 1, sizes.leaf),
        Step(SEAL, seals, 64),
    ]


def _path_taken(path: int, sizes: Sizes) -> list[Step]:
    """Somebody else's path, seen from the other half of the tree: its own path secret is the root's."""
    return [
        Step(VERIFY, 1, sizes.leaf),
        Step(HASH, path, sizes.key + 70),
        Step(OPEN, 1, 64),
        Step(KEY, 1),
        Step(HMAC, 4, 40),
    ]


def _welcome(joiners: int, sizes: Sizes) -> list[Step]:
    """The signed GroupInfo, encrypted once and hashed once as HPKE's info, and its key for each joiner."""
    return [
        Step(SIGN, 1, sizes.info),
        Step(HMAC, 3, 40),
        Step(ENCRYPT, 1, sizes.info),
        Step(HASH, 1, sizes.info),
        Step(HASH, joiners, sizes.leaf + 150),
        Step(SEAL, joiners, 64),
    ]


def _made(levels: int, sizes: Sizes) -> list[Step]:
    return [Step(SIGN, 1, sizes.commit), *_epoch(sizes), *_framed(ENCRYPT, sizes.commit, levels)]


def _taken(levels: int, sizes: Sizes) -> list[Step]:
    return [*_framed(DECRYPT, sizes.commit, levels), Step(VERIFY, 1, sizes.commit), *_epoch(sizes)]


def work(operation: str, members: int, sizes: Sizes = Sizes()) -> list[Step]:  # noqa: B008
    """The primitives of an operation by the first of so many members.

    Cold, nobody has committed but the founder; warm, every node above the members has a key. One member is added as
    the next leaf; the last one is removed in a warm group, so that all nodes above it are blank.
    """
    levels, nodes = Shape.of(members)
    cold, warm = members - 1, levels
    match operation:
        case "create":
            return [Step(HMAC, 9 + 1, 60), Step(HASH, 1, sizes.leaf), Step(HASH, 1, 64)]
        case "add all":
            tree = [Step(HASH, members, sizes.leaf), Step(HASH, nodes - members, 75)]
            return [Step(VERIFY, 2 * cold, sizes.leaf), *tree, *_welcome(cold, sizes), *_made(0, sizes)]
        case "join cold" | "join warm":
            parents = members - 1 if operation == "join warm" else 0
            blank = nodes - members - parents
            tree = [Step(HASH, members, sizes.leaf), Step(HASH, parents, sizes.key + 120), Step(HASH, blank, 75)]
            opened = [Step(OPEN, 1, 64), Step(HASH, 1, sizes.info), Step(HMAC, 4, 40), Step(DECRYPT, 1, sizes.info)]
            checks = [
                Step(VERIFY, members, sizes.leaf),
                Step(VERIFY, 1, sizes.info),
                Step(HASH, parents, sizes.key + 70),
            ]
            return [Step(HASH, 1, sizes.leaf + 150), *opened, *checks, *tree, *_epoch(sizes)[:1], Step(HMAC, 1, 32)]
        case "add 1 made":
            path = Shape.of(members + 1).levels
            checks = [Step(VERIFY, 2, sizes.leaf), *_tree(path, sizes)]
            return [*checks, *_welcome(1, sizes), *_made(levels, sizes)]
        case "add 1 processed":
            path = Shape.of(members + 1).levels
            return [Step(VERIFY, 2, sizes.leaf), *_tree(path, sizes), *_taken(levels, sizes)]
        case "update made, cold" | "update made, warm":
            seals = cold if operation.endswith("cold") else warm
            return [*_path_made(levels, seals, sizes), *_tree(levels, sizes), *_made(levels, sizes)]
        case "update processed, cold" | "update processed, warm":
            return [*_path_taken(levels, sizes), *_tree(levels, sizes), *_taken(levels, sizes)]
        case "remove made":
            path = Shape.of(members - 1).levels
            return [*_path_made(path, removing(members), sizes), *_removed(members, sizes), *_made(levels, sizes)]
        case "remove processed":
            return [*_path_taken(levels, sizes), *_removed(members, sizes), *_taken(levels, sizes)]
        case "protect":
            return [Step(SIGN, 1, sizes.text + 200), *_framed(ENCRYPT, sizes.text + 70, 0)]
        case "unprotect":
            return [*_framed(DECRYPT, sizes.text + 70, 0), Step(VERIFY, 1, sizes.text + 200)]
    raise ValueError(f"no operation {operation}")


def beside(leaf: int, members: int) -> int:
    """How many subtrees beside the path of a leaf have members."""
    return sum((leaf >> level ^ 1) << level < members for level in range(Shape.of(members).levels))


def removing(members: int) -> int:
    """HPKE seals of a commit that removes the last member of a warm group."""
    # The half that it was in is a subtree no longer, but one for each level below; the path may be one node shorter.
    return Shape.of(members).levels - 1 + beside(members - 1, members) - 1


def _removed(members: int, sizes: Sizes) -> list[Step]:
    levels = Shape.of(members).levels
    return [*_tree(levels, sizes), Step(HASH, 1, 6), Step(HASH, levels - 1, 75)]


def counted(steps: Iterable[Step]) -> dict[str, int]:
    """How often each primitive is called."""
    found: dict[str, int] = {}
    for step in steps:
        if step.times:
            found[step.primitive] = found.get(step.primitive, 0) + step.times
    return found


class _Curve:
    """Ed25519 by libsodium, and what suites differ in: key pairs, HPKE, the hash. This one is suite 1."""

    hash = "sha256"
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)

    def __init__(self) -> None:
        self.verifying, self._signing = nacl.bindings.crypto_sign_seed_keypair(os.urandom(32))
        self._private = X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()

    def key(self) -> bytes:
        """A key pair of a seed, and its public key."""
        return X25519PrivateKey.from_private_bytes(os.urandom(32)).public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """A signature."""
        return nacl.bindings.crypto_sign(data, self._signing)[:64]

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises unless it is one."""
        nacl.bindings.crypto_sign_open(signature + data, self.verifying)

    def seal(self, data: bytes) -> bytes:
        """HPKE to a public key that is read first."""
        return self.suite.encrypt(data, X25519PublicKey.from_public_bytes(self.public), b"")

    def open(self, sealed: bytes) -> bytes:
        """What was sealed."""
        return self.suite.decrypt(sealed, self._private, b"")


class _Nist(_Curve):
    """Suite 2: P-256 for both."""

    suite = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_128_GCM)

    def __init__(self) -> None:
        self._point = ec.generate_private_key(_P256)
        self.public = _point(self._point)
        self._ecdsa = ec.ECDSA(SHA256())

    def key(self) -> bytes:
        """A key pair of a seed, and its public key."""
        return _point(ec.derive_private_key(int.from_bytes(os.urandom(31), "big") + 1, _P256))

    def sign(self, data: bytes) -> bytes:
        """A signature."""
        return self._point.sign(data, self._ecdsa)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises unless it is one."""
        ec.EllipticCurvePublicKey.from_encoded_point(_P256, self.public).verify(signature, data, self._ecdsa)

    def seal(self, data: bytes) -> bytes:
        """HPKE to a public key that is read first."""
        return self.suite.encrypt(data, ec.EllipticCurvePublicKey.from_encoded_point(_P256, self.public), b"")

    def open(self, sealed: bytes) -> bytes:
        """What was sealed."""
        return self.suite.decrypt(sealed, self._point, b"")


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class _XWing(_Curve):
    """Suite 0x0053: Ed25519, and ML-KEM-768 beside X25519; SHA-512."""

    hash = "sha512"
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA512, AEAD.AES_256_GCM)

    def __init__(self) -> None:
        super().__init__()
        self._mlkem = MLKEM768PrivateKey.generate()
        self._hybrid = MLKEM768X25519PrivateKey(self._mlkem, self._private)
        self.public = self._mlkem.public_key().public_bytes_raw() + self.public

    def key(self) -> bytes:
        """A key pair of a seed, and its public key."""
        mlkem = MLKEM768PrivateKey.from_seed_bytes(os.urandom(64))
        return mlkem.public_key().public_bytes_raw() + super().key()

    def seal(self, data: bytes) -> bytes:
        """HPKE to a public key that is read first."""
        mlkem = MLKEM768PublicKey.from_public_bytes(self.public[:_MLKEM_BYTES])
        curve = X25519PublicKey.from_public_bytes(self.public[_MLKEM_BYTES:])
        return self.suite.encrypt(data, MLKEM768X25519PublicKey(mlkem, curve), b"")

    def open(self, sealed: bytes) -> bytes:
        """What was sealed."""
        return self.suite.decrypt(sealed, self._hybrid, b"")


_KINDS: Final[dict[int, type[_Curve]]] = {1: _Curve, 2: _Nist, 0x53: _XWing}


class Floor:
    """The primitives of one suite, over bytes of the right sizes."""

    def __init__(self, suite: int) -> None:
        self._kind = _KINDS[suite]()
        self._key = os.urandom(32)
        self._aead_key = self._key[:16] if suite != 0x53 else self._key
        self._sealed = self._kind.seal(bytes(32))

    def _call(self, step: Step) -> Callable[[], object]:
        kind, data, key, aead_key, nonce = self._kind, bytes(step.size), self._key, self._aead_key, bytes(12)
        match step.primitive:
            case "signature":
                return lambda: kind.sign(data)
            case "verification":
                signature = kind.sign(data)
                return lambda: kind.verify(signature, data)
            case "HPKE seal":
                return lambda: kind.seal(data)
            case "HPKE open":
                return lambda: kind.open(self._sealed)
            case "key pair":
                return kind.key
            case "hash":
                made = getattr(hashlib, kind.hash)
                return lambda: made(data).digest()
            case "HMAC":
                return lambda: hmac.digest(key, data, kind.hash)
            case "AEAD seal":
                return lambda: AESGCM(aead_key).encrypt(nonce, data, b"")
        sealed = AESGCM(aead_key).encrypt(nonce, data, b"")
        return lambda: AESGCM(aead_key).decrypt(nonce, sealed, b"")

    def prepared(self, steps: Iterable[Step]) -> Callable[[], None]:
        """A call of all these primitives; what they work on is made before."""
        calls = [(self._call(step), step.times) for step in steps if step.times]

        def run() -> None:
            for call, times in calls:
                for _ in range(times):
                    call()

        return run


OPERATIONS: Final = (
    "create",
    "add all",
    "join cold",
    "join warm",
    "add 1 made",
    "add 1 processed",
    "update made, cold",
    "update made, warm",
    "update processed, cold",
    "update processed, warm",
    "remove made",
    "remove processed",
    "protect",
    "unprotect",
)


def main() -> None:
    """Prints what each operation in a group of 100 calls, and the milliseconds that takes in each suite."""
    for suite in SUITES:
        floor = Floor(suite)
        for operation in OPERATIONS:
            steps = work(operation, 100)
            run = floor.prepared(steps)
            started = time.perf_counter()
            run()
            taken = (time.perf_counter() - started) * 1000
            listed = ", ".join(f"{times:,} {what}" for what, times in counted(steps).items())
            print(f"suite {suite:#06x}, {operation}: {taken:.2f} ms for {listed}")


if __name__ == "__main__":
    main()
