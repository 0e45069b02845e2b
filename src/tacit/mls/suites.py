"""Cipher suites (RFC 9420 §5.1, §17.1), and the labelled operations of MLS (§5.1.2, §5.1.3, §5.2, §8, §9).

Suite 0x0053 is not the RFC's: X-Wing, HKDF-SHA512, AES-256-GCM, SHA-512, Ed25519. Its number is provisional, and its
DeriveKeyPair hashes the material with SHAKE256 and without a label, as the implementations that have it do.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Protocol, final

from tacit import errors
from tacit.crypto import aead, digest, hpke, kdf, kem, sign, verify
from tacit.crypto.hpke import Info
from tacit.crypto.secret import Randomness, Secret, revealed
from tacit.mls import limits
from tacit.wire.codec import struct
from tacit.wire.encodings import Variable
from tacit.wire.reader import SHORT, varint

_HASHES: Final = {kdf.SHA256: hashlib.sha256, kdf.SHA384: hashlib.sha384, kdf.SHA512: hashlib.sha512}
_PREFIX: Final = b"MLS 1.0 "


@struct
class HPKECiphertext:
    """A ciphertext of EncryptWithLabel, and its KEM output (§7.6)."""

    kem_output: Annotated[bytes, Variable(limits.KEY_BYTES)]
    ciphertext: Annotated[bytes, Variable(limits.CONTENT_BYTES)]


class SignatureKey(Protocol):
    """A signing key of `crypto.sign`."""

    @property
    def public(self) -> bytes:
        """The public key."""

    @property
    def seed(self) -> Secret:
        """What the key is made of."""

    def sign(self, message: bytes) -> bytes:
        """The signature in the suite's form."""


@dataclass(frozen=True, slots=True)
class _Scheme:
    """A signature scheme: its key class, that key's seed in bytes, and how a signature is made and checked."""

    key: Callable[[Secret], SignatureKey]
    seed_bytes: int
    draw: Callable[[Randomness], SignatureKey]
    sign: Callable[..., bytes]
    verify: Callable[[bytes, bytes, bytes], bool]


def _ecdsa(key: type[sign.EcdsaKey], curve: int) -> _Scheme:
    return _Scheme(key, key.CURVE.size, key.generate, key.sign_der, functools.partial(verify.verify_ecdsa_der, curve))


_ED25519: Final = _Scheme(sign.Ed25519Key, 32, sign.Ed25519Key.generate, sign.Ed25519Key.sign, verify.verify_ed25519)
_ED448: Final = _Scheme(sign.Ed448Key, 57, sign.Ed448Key.generate, sign.Ed448Key.sign, verify.verify_ed448)
_P256: Final = _ecdsa(sign.P256Key, verify.P256)
_P384: Final = _ecdsa(sign.P384Key, verify.P384)
_P521: Final = _ecdsa(sign.P521Key, verify.P521)


def vector(*parts: bytes) -> bytes:
    """Each part as `opaque <V>` (§2.1.2), one after the other."""
    if len(parts) == 1:
        (part,) = parts
        length = len(part)
        return (SHORT[length] if length < len(SHORT) else varint(length)) + part
    out = b""
    for part in parts:
        out += varint(len(part)) + part
    return out


@functools.lru_cache(maxsize=256)
def _kdf_label(label: str, length: int) -> bytes:
    """KDFLabel without its context: the same few all the time. What its length has no room for, the KDF refuses."""
    return (length & 0xFFFF).to_bytes(2, "big") + vector(_PREFIX + label.encode())


@functools.lru_cache(maxsize=32)
def _sign_label(label: str) -> bytes:
    """SignContent without its content."""
    return vector(_PREFIX + label.encode())


@final
@dataclass(frozen=True, slots=True, eq=False)
class CipherSuite:
    """A cipher suite and its operations; `hash_bytes` is KDF.Nh and the hash's size, the others the AEAD's sizes."""

    id: int
    hpke: hpke.Suite
    hash: kdf.Hash
    seal: Callable[[Secret, bytes, bytes, bytes], bytes]
    """AEAD.Seal of key, nonce, plaintext and associated data: 16 bytes longer."""
    open: Callable[[Secret, bytes, bytes, bytes], bytes]
    """AEAD.Open of key, nonce, ciphertext and associated data; raises `DecryptionError`."""
    _scheme: _Scheme
    _aead_labels: tuple[bytes, int, bytes]
    _unlabelled: bool = False

    @property
    def hash_bytes(self) -> int:
        """KDF.Nh: bytes of a hash, of a secret and of a MAC."""
        return self.hash.size

    @property
    def key_bytes(self) -> int:
        """AEAD.Nk."""
        return self.hpke.aead.key_bytes

    @property
    def nonce_bytes(self) -> int:
        """AEAD.Nn."""
        return aead.IV_BYTES

    def __repr__(self) -> str:
        return f"CipherSuite({self.id:#06x})"

    # --- hash, MAC, KDF ------------------------------------------------------------------

    def digest(self, data: bytes) -> bytes:
        """The suite's hash."""
        return _HASHES[self.hash](data).digest()

    def mac(self, key: Secret, data: bytes) -> bytes:
        """HMAC with the suite's hash (§5.1)."""
        return kdf.extract(revealed(key), data, self.hash)

    def extract(self, salt: bytes, key: Secret) -> Secret:
        """KDF.Extract."""
        return Secret(kdf.extract(salt, revealed(key), self.hash))

    def expand_with_label(self, secret: Secret, label: str, context: bytes, length: int) -> Secret:
        """ExpandWithLabel (§8)."""
        info = _kdf_label(label, length) + varint(len(context)) + context
        return Secret(kdf.expand(secret.reveal(), info, length, self.hash))

    def derive_secret(self, secret: Secret, label: str) -> Secret:
        """DeriveSecret (§8)."""
        size = self.hash.size
        return Secret(kdf.expand(secret.reveal(), _kdf_label(label, size) + b"\0", size, self.hash))

    def derive_tree_secret(self, secret: Secret, label: str, generation: int, length: int) -> Secret:
        """DeriveTreeSecret (§9)."""
        info = _kdf_label(label, length) + b"\x04" + generation.to_bytes(4, "big")
        return Secret(kdf.expand(secret.reveal(), info, length, self.hash))

    def key_and_nonce(self, secret: Secret, context: bytes) -> tuple[Secret, Secret]:
        """ExpandWithLabel with the labels "key" and "nonce": what all that is encrypted symmetrically takes."""
        raw, after = secret.reveal(), vector(context)
        key_label, key_bytes, nonce_label = self._aead_labels
        return (
            Secret(kdf.expand(raw, key_label + after, key_bytes, self.hash)),
            Secret(kdf.expand(raw, nonce_label + after, aead.IV_BYTES, self.hash)),
        )

    def ref_hash(self, label: str, value: bytes) -> bytes:
        """RefHash (§5.2); its labels stand there whole."""
        return self.digest(vector(label.encode(), value))

    # --- signatures ----------------------------------------------------------------------

    def signature_key(self, seed: Secret) -> SignatureKey:
        """The signing key of a seed, which may lack leading zeros or, for P-521, its first byte may be missing."""
        raw = revealed(seed)
        return self._scheme.key(Secret(raw.rjust(self._scheme.seed_bytes, b"\0")))

    def new_signature_key(self, random: Randomness) -> SignatureKey:
        """A new signing key."""
        return self._scheme.draw(random)

    def sign_with_label(self, key: SignatureKey, label: str, content: bytes) -> bytes:
        """SignWithLabel (§5.1.2)."""
        return self._scheme.sign(key, _sign_label(label) + vector(content))

    def verify_with_label(self, public: bytes, label: str, content: bytes, signature: bytes) -> bool:
        """VerifyWithLabel (§5.1.2); never raises for what the bytes are."""
        return self._scheme.verify(public, _sign_label(label) + vector(content), signature)

    # --- HPKE ----------------------------------------------------------------------------

    def derive_key_pair(self, material: Secret) -> kem.PrivateKey:
        """KEM.DeriveKeyPair of the suite."""
        if self._unlabelled:
            return self.hpke.kem.from_seed(Secret(digest.shake256(revealed(material), self.hpke.kem.SEED_BYTES)))
        return self.hpke.kem.derive(material)

    def private_key(self, seed: Secret) -> kem.PrivateKey:
        """The private key of a seed as HPKE writes it; leading zeros may be missing."""
        return self.hpke.kem.from_seed(Secret(revealed(seed).rjust(self.hpke.kem.SEED_BYTES, b"\0")))

    def prepare(self, label: str, context: bytes) -> Info:
        """EncryptContext (§5.1.3) hashed once for many recipients."""
        return hpke.prepare(self.hpke, vector(_PREFIX + label.encode(), context))

    def encrypt_with_label(self, public: bytes, info: Info, plaintext: bytes) -> HPKECiphertext:
        """EncryptWithLabel (§5.1.3), label and context in `info`; raises `WrongLength`, `Malformed` for the key."""
        sealed = hpke.seal(self.hpke, public, info, plaintext)
        split = self.hpke.kem.ENC_BYTES
        return HPKECiphertext(sealed[:split], sealed[split:])

    def ciphertext_bytes(self, plaintext_bytes: int) -> int:
        """The bytes of an HPKECiphertext of so many, encoded."""
        return len(vector(bytes(self.hpke.kem.ENC_BYTES), bytes(plaintext_bytes + aead.TAG_BYTES)))

    def decrypt_with_label(self, key: kem.PrivateKey, label: str, context: bytes, sealed: HPKECiphertext) -> bytes:
        """DecryptWithLabel (§5.1.3); raises `DecryptionError`."""
        info = self.prepare(label, context)
        return hpke.recipient(self.hpke, key, sealed.kem_output, info).open(sealed.ciphertext)


def _suite(
    number: int, of: tuple[kem.Kem, hpke.Kdf, hpke.Aead], scheme: _Scheme, unlabelled: bool = False
) -> CipherSuite:
    seal, opened = {
        hpke.AES_128_GCM: (aead.aes_128_gcm_seal, aead.aes_128_gcm_open),
        hpke.AES_256_GCM: (aead.aes_gcm_seal, aead.aes_gcm_open),
        hpke.CHACHA20_POLY1305: (aead.chacha20_poly1305_seal, aead.chacha20_poly1305_open),
    }[of[2]]
    labels = _kdf_label("key", of[2].key_bytes), of[2].key_bytes, _kdf_label("nonce", aead.IV_BYTES)
    return CipherSuite(number, hpke.Suite(*of), of[1].hash, seal, opened, scheme, labels, unlabelled)


SUITES: Final[dict[int, CipherSuite]] = {
    suite.id: suite
    for suite in (
        _suite(1, (kem.X25519, hpke.HKDF_SHA256, hpke.AES_128_GCM), _ED25519),
        _suite(2, (kem.P256, hpke.HKDF_SHA256, hpke.AES_128_GCM), _P256),
        _suite(3, (kem.X25519, hpke.HKDF_SHA256, hpke.CHACHA20_POLY1305), _ED25519),
        _suite(4, (kem.X448, hpke.HKDF_SHA512, hpke.AES_256_GCM), _ED448),
        _suite(5, (kem.P521, hpke.HKDF_SHA512, hpke.AES_256_GCM), _P521),
        _suite(6, (kem.X448, hpke.HKDF_SHA512, hpke.CHACHA20_POLY1305), _ED448),
        _suite(7, (kem.P384, hpke.HKDF_SHA384, hpke.AES_256_GCM), _P384),
        _suite(0x0053, (kem.XWing, hpke.HKDF_SHA512, hpke.AES_256_GCM), _ED25519, unlabelled=True),
    )
}
"""Every suite that this engine has, by its number."""


def suite_of(number: int) -> CipherSuite:
    """The suite of that number; raises `UnknownVersion`."""
    suite = SUITES.get(number)
    if suite is None:
        raise errors.UnknownVersion(f"cipher suite {number:#06x}")
    return suite
