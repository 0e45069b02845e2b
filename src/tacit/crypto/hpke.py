"""HPKE in base and PSK mode (RFC 9180), with ML-KEM, X-Wing and SHAKE as draft-ietf-hpke-pq adds them.

Our own small module over pyca's primitives, because MLS needs DeriveKeyPair and the exporter. What depends on suite
and info only can be computed once (`prepare`): hashing a large `info` anew for each recipient is what makes other
libraries slow in large groups. The modes that authenticate by the sender's KEM key are left out: nothing here uses
them, and the next edition (draft-ietf-hpke-hpke) has them no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from tacit import errors
from tacit.crypto.kdf import SHA256, SHA384, SHA512, Hash, labeled_derive, labeled_expand, labeled_extract
from tacit.crypto.kem import X25519, Kem, PrivateKey, XWing
from tacit.crypto.secret import Secret, need_bytes, revealed

_MODE_BASE: Final = b"\x00"
_MODE_PSK: Final = b"\x01"
_PSK_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LAST: Final = 2 ** (8 * _NONCE_BYTES) - 1


class Kdf(NamedTuple):
    """A KDF of HPKE (RFC 9180 §7.2); `hash` is HKDF's, or the SHAKE of a KDF of one stage with its Nh."""

    id: int
    hash: Hash
    one_stage: bool = False


class Aead(NamedTuple):
    """An AEAD of HPKE with its key's bytes; without a cipher it only exports (RFC 9180 §7.3)."""

    id: int
    key_bytes: int
    cipher: type[AESGCM | ChaCha20Poly1305] | None


HKDF_SHA256: Final = Kdf(0x0001, SHA256)
HKDF_SHA384: Final = Kdf(0x0002, SHA384)
HKDF_SHA512: Final = Kdf(0x0003, SHA512)
SHAKE128: Final = Kdf(0x0010, Hash("shake_128", 32), one_stage=True)
SHAKE256: Final = Kdf(0x0011, Hash("shake_256", 64), one_stage=True)
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
    no_psk_id: bytes = field(init=False, repr=False)
    """What stands for the psk_id in the context where there is no PSK."""

    def __post_init__(self) -> None:
        numbers = (self.kem.ID, self.kdf.id, self.aead.id)
        suite_id = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in numbers)
        object.__setattr__(self, "id", suite_id)
        object.__setattr__(self, "no_psk_id", _named(self, b"psk_id_hash", b""))


def _named(suite: Suite, label: bytes, value: bytes) -> bytes:
    """psk_id or info as the context has it: its hash, or with a KDF of one stage itself with its length."""
    if suite.kdf.one_stage:
        return _prefixed(value)
    return labeled_extract(suite.id, b"", label, value, suite.kdf.hash)


def _prefixed(value: bytes) -> bytes:
    if len(value) >= 2**16:
        raise errors.WrongLength("a KDF of one stage takes at most 65535 bytes")
    return len(value).to_bytes(2, "big") + value


STANDARD: Final = Suite(XWing, HKDF_SHA256, AES_256_GCM)
"""What the profile `standard` wraps with."""
X25519_AES_128_GCM: Final = Suite(X25519, HKDF_SHA256, AES_128_GCM)
"""MLS suite 1's."""
X25519_AES_256_GCM: Final = Suite(X25519, HKDF_SHA256, AES_256_GCM)
X25519_CHACHA20_POLY1305: Final = Suite(X25519, HKDF_SHA256, CHACHA20_POLY1305)
"""MLS suite 3's."""


@final
@dataclass(frozen=True, slots=True)
class Psk:
    """A key that both sides have before, and its name (RFC 9180 §5.1.2).

    Raises `WrongLength` for a key below 32 bytes and for an empty name.
    """

    key: Secret
    id: bytes

    def __post_init__(self) -> None:
        need_bytes(self.id)
        if len(revealed(self.key)) < _PSK_BYTES or not self.id:
            raise errors.WrongLength("a PSK has at least 32 bytes, and a name")


@final
@dataclass(frozen=True, slots=True)
class Info:
    """The part of the key schedule that depends on suite, info and PSK only (RFC 9180 §5.1).

    `context` is `key_schedule_context`, `psk` the PSK's key, empty in base mode.
    """

    suite: Suite
    context: bytes
    psk: Secret


def prepare(suite: Suite, info: bytes, psk: Psk | None = None) -> Info:
    """Hashes `info` once, for many recipients; with a PSK what is set up with it is in PSK mode.

    Raises `WrongLength` for more than 65535 bytes of info or PSK with a KDF of one stage.
    """
    need_bytes(info)
    named = _named(suite, b"info_hash", info)
    if psk is None:
        return Info(suite, _MODE_BASE + suite.no_psk_id + named, Secret(b""))
    return Info(suite, _MODE_PSK + _named(suite, b"psk_id_hash", psk.id) + named, psk.key)


def _secret(info: Info, shared: Secret) -> bytes:
    """What key, nonce and exporter secret are expanded from."""
    suite, psk = info.suite, info.psk.reveal()
    if suite.kdf.one_stage:
        return _prefixed(psk) + _prefixed(shared.reveal())
    return labeled_extract(suite.id, shared.reveal(), b"secret", psk, suite.kdf.hash)


def _key_and_nonce(info: Info, secret: bytes) -> tuple[bytes, bytes]:
    """Key and base nonce of a suite with a cipher."""
    suite, size = info.suite, info.suite.aead.key_bytes
    if suite.kdf.one_stage:
        made = _in_one_stage(info, secret)
        return made[:size], made[size : size + _NONCE_BYTES]
    key = labeled_expand(suite.id, secret, b"key", info.context, size, suite.kdf.hash)
    return key, labeled_expand(suite.id, secret, b"base_nonce", info.context, _NONCE_BYTES, suite.kdf.hash)


def _in_one_stage(info: Info, secret: bytes) -> bytes:
    """Key, base nonce and exporter secret one after the other; the first two are empty where there is no cipher."""
    suite = info.suite
    size = suite.aead.key_bytes + (_NONCE_BYTES if suite.aead.cipher else 0) + suite.kdf.hash.size
    return labeled_derive(suite.id, secret, b"secret", info.context, size, suite.kdf.hash.name)


class _Context:
    """Keys of one encapsulation (RFC 9180 §5.2, §5.3); the exporter's is made where it is asked for."""

    __slots__ = ("_base_nonce", "_cipher", "_info", "_secret", "sequence")

    def __init__(self, info: Info, shared: Secret) -> None:
        self._info = info
        self._secret = _secret(info, shared)
        self._cipher: AESGCM | ChaCha20Poly1305 | None = None
        self._base_nonce = 0
        cipher = info.suite.aead.cipher
        if cipher:
            key, nonce = _key_and_nonce(info, self._secret)
            self._cipher, self._base_nonce = cipher(key), int.from_bytes(nonce, "big")
        self.sequence = 0

    @property
    def _exporter_secret(self) -> bytes:
        suite, using = self._info.suite, self._info.suite.kdf.hash
        if suite.kdf.one_stage:
            return _in_one_stage(self._info, self._secret)[-using.size :]
        return labeled_expand(suite.id, self._secret, b"exp", self._info.context, using.size, using)

    def export(self, context: bytes, length: int) -> Secret:
        """A secret that both sides have; raises `WrongLength` outside of 1 to 255 times the hash's size."""
        need_bytes(context)
        suite, using = self._info.suite, self._info.suite.kdf.hash
        if suite.kdf.one_stage:
            if length > 255 * using.size:
                raise errors.WrongLength(f"HPKE exports 1 to {255 * using.size} bytes, not {length}")
            return Secret(labeled_derive(suite.id, self._exporter_secret, b"sec", context, length, using.name))
        return Secret(labeled_expand(suite.id, self._exporter_secret, b"sec", context, length, using))

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
    """`enc` and a context to seal with (SetupBaseS, SetupPSKS where `info` was prepared with one).

    Raises `WrongLength` and `Malformed` for the public key.
    """
    prepared = _prepared(suite, info)
    shared, enc = suite.kem.encapsulate(public)
    return enc, Sender(prepared, shared)


def recipient(suite: Suite, private: Secret | PrivateKey, enc: bytes, info: bytes | Info) -> Recipient:
    """The context of an `enc` (SetupBaseR); `private` is the KEM's seed, or the key made of it, which is faster.

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
