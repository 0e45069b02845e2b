"""Keys, derivations, sealing and wrapping over pyca/cryptography alone, with every random byte given from outside."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from vectors.maker.tls import drawn

ED25519, X_WING, RSA, P256 = 1, 2, 3, 5
COMPAT, STANDARD, FIPS = 1, 2, 3
N_P256: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CHUNK: Final = 16384
FOLDER: Final = Path(__file__).resolve().parents[1] / "tacit"
NAMES: Final = {COMPAT: "compat", STANDARD: "standard", FIPS: "fips"}


class Store:
    """What the library draws itself and what is therefore made once: RSA keys, and ciphertexts under public keys."""

    def __init__(self) -> None:
        self.path = FOLDER / "drawn.json"
        self.held: dict[str, str] = json.loads(self.path.read_text())["drawn"] if self.path.exists() else {}
        self.used: dict[str, str] = {}
        self.made = 0

    def take(self, name: str, make: Callable[[], bytes], fits: Callable[[bytes], bool] = bool) -> bytes:
        """The bytes of this name; made anew where there are none, or where they do not fit any more."""
        held = self.used.get(name, self.held.get(name))
        if held is None or not fits(bytes.fromhex(held)):
            self.made += 1
            held = make().hex()
        self.used[name] = held
        return bytes.fromhex(self.used[name])


STORE: Final = Store()


# --- derivations ---------------------------------------------------------------------------


def expand(key: bytes, info: bytes, size: int, name: str = "sha256") -> bytes:
    """HKDF-Expand (RFC 5869 §2.3)."""
    out = block = b""
    counter = 0
    while len(out) < size:
        counter += 1
        block = hmac.digest(key, block + info + bytes([counter]), name)
        out += block
    return out[:size]


def hkdf(key: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 with an empty salt, 32 bytes (RFC 5869)."""
    return expand(hmac.digest(bytes(32), key, "sha256"), info, 32)


def argon2id(password: bytes, salt: bytes, memory_kib: int, iterations: int, lanes: int) -> bytes:
    """Argon2id, 32 bytes."""
    return Argon2id(salt=salt, length=32, iterations=iterations, lanes=lanes, memory_cost=memory_kib).derive(password)


def pbkdf2(password: bytes, salt: bytes, iterations: int) -> bytes:
    """PBKDF2-HMAC-SHA256, 32 bytes."""
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations, 32)


# --- sealing -------------------------------------------------------------------------------


def seal(key: bytes, context: bytes, plaintext: bytes, salt: bytes) -> bytes:
    """Cobblestone-256 with this salt of 24 bytes (c2sp.org/chunked-encryption)."""
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context
    made = expand(key, info, 76, "sha512")
    cipher, nonce, commitment = AESGCM(made[:32]), int.from_bytes(made[32:44], "big"), made[44:]
    chunks = [plaintext[at : at + CHUNK] for at in range(0, len(plaintext) + 1, CHUNK)]
    body = [cipher.encrypt((nonce ^ i).to_bytes(12, "big"), chunk, b"") for i, chunk in enumerate(chunks)]
    return salt + commitment + b"".join(body)


def gcm(key: bytes, iv: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """AES-256-GCM, the tag at the end."""
    return AESGCM(key).encrypt(iv, plaintext, aad)


# --- signing keys --------------------------------------------------------------------------


@dataclass(frozen=True)
class SigningKey:
    """A key of the profile's signature algorithm from a seed: Ed25519's own, or P-256's scalar, big-endian."""

    algorithm: int
    seed: bytes

    @property
    def public(self) -> bytes:
        """Ed25519: 32 bytes; P-256: the uncompressed point, 65 bytes."""
        if self.algorithm == ED25519:
            return ed25519.Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        public = self._scalar().public_key()
        return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(self, message: bytes) -> bytes:
        """Ed25519, or ECDSA with SHA-256 and RFC 6979's nonce, r and s of 32 bytes each."""
        if self.algorithm == ED25519:
            return ed25519.Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)
        r, s = decode_dss_signature(self._scalar().sign(message, ec.ECDSA(SHA256(), deterministic_signing=True)))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _scalar(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int.from_bytes(self.seed, "big"), ec.SECP256R1())


def signing_key(profile: int, name: str) -> SigningKey:
    """A named key of the profile's signature algorithm."""
    seed = drawn(f"signing key {name}", 32)
    return SigningKey(ED25519 if profile == STANDARD else P256, seed)


# --- wrapping keys -------------------------------------------------------------------------


@dataclass(frozen=True)
class WrappingKey:
    """A key that others wrap to: X-Wing's private half is a seed of 32 bytes, RSA's is PKCS#8 DER."""

    algorithm: int
    private: bytes
    public: bytes


def x_wing_key(name: str) -> WrappingKey:
    """A named X-Wing key: SHAKE256(seed, 96) is ML-KEM-768's seed and X25519's scalar."""
    seed = drawn(f"x-wing key {name}", 32)
    lattice, curve = _x_wing_halves(seed)
    public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return WrappingKey(X_WING, seed, public)


def _x_wing_halves(seed: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(96)
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    return lattice, x25519.X25519PrivateKey.from_private_bytes(expanded[64:])


def rsa_key(name: str, bits: int) -> WrappingKey:
    """A named RSA key, made once."""

    def generate() -> bytes:
        key = rsa.generate_private_key(65537, bits)
        return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    private = STORE.take(f"rsa {bits} {name}", generate)
    public = _rsa(private).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return WrappingKey(RSA, private, public)


_READ: dict[bytes, rsa.RSAPrivateKey] = {}


def _rsa(private: bytes) -> rsa.RSAPrivateKey:
    if private not in _READ:
        key = load_der_private_key(private, None)
        assert isinstance(key, rsa.RSAPrivateKey)
        _READ[private] = key
    return _READ[private]


def wrap(key: WrappingKey, info: bytes, plaintext: bytes, name: str) -> bytes:
    """A short secret wrapped to a key; what the library draws for it is kept under `name`."""
    return hpke_seal(key, info, plaintext, name) if key.algorithm == X_WING else oaep(key, plaintext, name)


def oaep(key: WrappingKey, plaintext: bytes, name: str) -> bytes:
    """RSA-OAEP with SHA-256, MGF1 with SHA-256 and an empty label."""
    scheme = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)

    def fits(held: bytes) -> bool:
        try:
            return _rsa(key.private).decrypt(held, scheme) == plaintext
        except ValueError:
            return False

    return STORE.take(f"oaep {name}", lambda: _rsa(key.private).public_key().encrypt(plaintext, scheme), fits)


def hpke_seal(key: WrappingKey, info: bytes, plaintext: bytes, name: str) -> bytes:
    """HPKE in base mode (RFC 9180), X-Wing, HKDF-SHA256, AES-256-GCM, empty aad: `enc` and ciphertext.

    The encapsulation is drawn once; everything after it follows from the recipient's private key.
    """
    lattice, curve = _x_wing_halves(key.private)
    own = lattice.public_key()
    mark = hashlib.sha256(key.public).digest()
    held = STORE.take(f"ml-kem {name}", lambda: mark + own.encapsulate()[1], lambda kept: kept[:32] == mark)
    ephemeral = x25519.X25519PrivateKey.from_private_bytes(drawn(f"ephemeral {name}", 32))
    theirs = curve.public_key().public_bytes_raw()
    enc = held[32:] + ephemeral.public_key().public_bytes_raw()
    agreed = ephemeral.exchange(curve.public_key())
    combined = lattice.decapsulate(held[32:]) + agreed + enc[1088:] + theirs + b"\\.//^\\"
    shared = hashlib.sha3_256(combined).digest()
    suite = b"HPKE" + b"\x64\x7a" + b"\x00\x01" + b"\x00\x02"

    def extract(salt: bytes, label: bytes, material: bytes) -> bytes:
        return hmac.digest(salt, b"HPKE-v1" + suite + label + material, "sha256")

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")

    def derive(label: bytes, size: int) -> bytes:
        return expand(secret, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context, size)

    return enc + gcm(derive(b"key", 32), derive(b"base_nonce", 12), plaintext, b"")
