"""HPKE in base mode (RFC 9180), with X-Wing as draft-ietf-hpke-pq adds it.

Our own small module over pyca's primitives, because MLS needs DeriveKeyPair and the exporter. What depends on suite
and info only can be computed once (`prepare`): hashing a large `info` anew for each recipient is what makes other
libraries slow in large groups.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from tacit import errors
from tacit.crypto.kdf import SHA256, SHA384, SHA512, Hash, labeled_expand, labeled_extract
from tacit.crypto.kem import X25519, Kem, PrivateKey, XWing
from tacit.crypto.secret import Secret, need_bytes

_MODE_BASE: Final = b"\x00"
_NONCE_BYTES: Final = 12
_LAST: Final = 2 ** (8 * _NONCE_BYTES) - 1


class Kdf(NamedTuple):
    """A KDF of HPKE (RFC 9180 §7.2)."""

    id: int
    hash: Hash


class Aead(NamedTuple):
    """An AEAD of HPKE with its key's bytes; without a cipher it only exports (RFC 9180 §7.3)."""

    id: int
    key_bytes: int
    cipher: type[AESGCM | ChaCha20Poly1305] | None


HKDF_SHA256: Final = Kdf(0x0001, SHA256)
HKDF_SHA384: Final = Kdf(0x0002, SHA384)
HKDF_SHA512: Final = Kdf(0x0003, SHA512)
AES_128_GCM: Final = Aead(0x0001, 16, AESGCM)
AES_256_GCM: Final = Aead(0x0002, 32, AESGCM)
CHACHA20_POLY1305: Final = Aead(0x0003, 32, ChaCha20Poly1305)
EXPORT_ONLY: Final = Aead(0xFFFF, 0, None)


@final
@dataclass(frozen=True, slots=True)
class Suite:
    """A KEM, a KDF and an AEAD."""

    kem: Kem
    kdf: Kdf
    aead: Aead
    id: bytes = field(init=False, repr=False)
    """`suite_id`, 10 bytes (RFC 9180 §5.1)."""
    psk_id_hash: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers = (self.kem.ID, self.kdf.id, self.aead.id)
        suite_id = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in numbers)
        object.__setattr__(self, "id", suite_id)
        object.__setattr__(self, "psk_id_hash", labeled_extract(suite_id, b"", b"psk_id_hash", b"", self.kdf.hash))


STANDARD: Final = Suite(XWing, HKDF_SHA256, AES_256_GCM)
"""What the profile `standard` wraps with."""
X25519_AES_128_GCM: Final = Suite(X25519, HKDF_SHA256, AES_128_GCM)
"""MLS suite 1's."""
X25519_AES_256_GCM: Final = Suite(X25519, HKDF_SHA256, AES_256_GCM)
X25519_CHACHA20_POLY1305: Final = Suite(X25519, HKDF_SHA256, CHACHA20_POLY1305)
"""MLS suite 3's."""


@final
@dataclass(frozen=True, slots=True)
class Info:
    """The part of the key schedule that depends on suite and info only: `key_schedule_context` (RFC 9180 §5.1)."""

    suite: Suite
    context: bytes


def prepare(suite: Suite, info: bytes) -> Info:
    """Hashes `info` once, for many recipients."""
    need_bytes(info)
    info_hash = labeled_extract(suite.id, b"", b"info_hash", info, suite.kdf.hash)
    return Info(suite, _MODE_BASE + suite.psk_id_hash + info_hash)


class _Context:
    """Keys of one encapsulation (RFC 9180 §5.2, §5.3)."""

    __slots__ = ("_base_nonce", "_cipher", "_exporter_secret", "_suite", "sequence")

    def __init__(self, info: Info, shared: Secret) -> None:
        suite = info.suite
        using, aead = suite.kdf.hash, suite.aead
        secret = labeled_extract(suite.id, shared.reveal(), b"secret", b"", using)
        self._suite = suite
        self._exporter_secret = labeled_expand(suite.id, secret, b"exp", info.context, using.size, using)
        self._cipher: AESGCM | ChaCha20Poly1305 | None = None
        self._base_nonce = 0
        self.sequence = 0
        if aead.cipher is not None:
            key = labeled_expand(suite.id, secret, b"key", info.context, aead.key_bytes, using)
            nonce = labeled_expand(suite.id, secret, b"base_nonce", info.context, _NONCE_BYTES, using)
            self._cipher = aead.cipher(key)
            self._base_nonce = int.from_bytes(nonce, "big")

    def export(self, context: bytes, length: int) -> Secret:
        """A secret that both sides have; raises `WrongLength` outside of 1 to 255 times the hash's size."""
        need_bytes(context)
        suite = self._suite
        exported = labeled_expand(suite.id, self._exporter_secret, b"sec", context, length, suite.kdf.hash)
        return Secret(exported)

    def _next(self) -> tuple[AESGCM | ChaCha20Poly1305, bytes]:
        if self._cipher is None:
            raise errors.InvalidArgument("this HPKE suite only exports")
        if self.sequence >= _LAST:
            raise errors.InvalidArgument("this HPKE context is used up")
        return self._cipher, (self._base_nonce ^ self.sequence).to_bytes(_NONCE_BYTES, "big")


@final
class Sender(_Context):
    """The sending side of a context; `sequence` counts what was sealed."""

    __slots__ = ()

    def seal(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        """The next ciphertext, 16 bytes longer; raises `InvalidArgument` when the context is used up."""
        need_bytes(plaintext, aad)
        cipher, nonce = self._next()
        ciphertext = cipher.encrypt(nonce, plaintext, aad)
        self.sequence += 1
        return ciphertext


@final
class Recipient(_Context):
    """The receiving side of a context; `sequence` counts what was opened."""

    __slots__ = ()

    def open(self, ciphertext: bytes, aad: bytes = b"") -> bytes:
        """The next plaintext; raises `DecryptionError`, after which the same place can be tried again."""
        need_bytes(ciphertext, aad)
        cipher, nonce = self._next()
        try:
            plaintext = cipher.decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            raise errors.DecryptionError() from None
        self.sequence += 1
        return plaintext


def _prepared(suite: Suite, info: bytes | Info) -> Info:
    if not isinstance(info, Info):
        return prepare(suite, info)
    if info.suite != suite:
        raise errors.InvalidArgument("this info was prepared for another HPKE suite")
    return info


def sender(suite: Suite, public: bytes, info: bytes | Info) -> tuple[bytes, Sender]:
    """`enc` and a context to seal with (SetupBaseS); raises `WrongLength` and `Malformed` for the public key."""
    prepared = _prepared(suite, info)
    shared, enc = suite.kem.encapsulate(public)
    return enc, Sender(prepared, shared)


def recipient(suite: Suite, private: Secret | PrivateKey, enc: bytes, info: bytes | Info) -> Recipient:
    """The context of an `enc` (SetupBaseR); `private` is the 32-byte seed, or the key made of it, which is faster.

    Raises `DecryptionError` for the `enc`, `WrongLength` and `InvalidArgument` for the private key.
    """
    prepared = _prepared(suite, info)
    key = suite.kem.from_seed(private) if isinstance(private, Secret) else private
    if not isinstance(key, suite.kem):
        raise errors.InvalidArgument("this is no private key of the HPKE suite's KEM")
    return Recipient(prepared, key.decapsulate(enc))


def seal(suite: Suite, public: bytes, info: bytes | Info, plaintext: bytes, aad: bytes = b"") -> bytes:
    """`enc` followed by the ciphertext (RFC 9180 §6.1): 48 bytes more than the text with X25519, 1136 with X-Wing.

    Raises `WrongLength` and `Malformed` for the public key.
    """
    enc, context = sender(suite, public, info)
    return enc + context.seal(plaintext, aad)


def open(suite: Suite, private: Secret | PrivateKey, info: bytes | Info, sealed: bytes, aad: bytes = b"") -> bytes:
    """The plaintext of what `seal` made; raises `DecryptionError`, and as `recipient` for the private key."""
    need_bytes(sealed)
    split = suite.kem.ENC_BYTES
    return recipient(suite, private, sealed[:split], info).open(sealed[split:], aad)
