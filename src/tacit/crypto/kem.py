"""Key pairs for HPKE: X25519 and X-Wing, each a 32-byte seed.

A class is a KEM and an object of it a private key. `public`, `seed` and the four operations are those of
RFC 9180 §4; another KEM is another class with the same names.
"""

from __future__ import annotations

import hashlib
from typing import Final, NoReturn, final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tacit import errors
from tacit.crypto.kdf import labeled_expand, labeled_extract
from tacit.crypto.secret import Randomness, Secret, need_bytes, revealed, revealed_key

_MLKEM_PUBLIC: Final = 1184
_MLKEM_CIPHERTEXT: Final = 1088
_X_WING_LABEL: Final = rb"\.//^" + b"\\"


@final
class X25519:
    """An X25519 private key: DHKEM(X25519, HKDF-SHA256) (RFC 9180 §4.1, §7.1).

    Raises `WrongLength` for a seed that has not 32 bytes.
    """

    ID: Final = 0x0020
    PUBLIC_BYTES: Final = 32
    ENC_BYTES: Final = 32
    _SUITE: Final = b"KEM" + ID.to_bytes(2, "big")

    __slots__ = ("_key", "public", "seed")

    def __init__(self, seed: Secret) -> None:
        self._key = X25519PrivateKey.from_private_bytes(revealed_key(seed))
        self.seed = seed
        self.public = self._key.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: Secret) -> X25519:
        """The key pair of a 32-byte seed, which is the X25519 scalar (RFC 7748 §5)."""
        return cls(seed)

    @classmethod
    def generate(cls, random: Randomness) -> X25519:
        """A new key pair."""
        return cls(Secret(random(32)))

    @classmethod
    def derive(cls, material: Secret) -> X25519:
        """DeriveKeyPair (RFC 9180 §7.1.3)."""
        prk = labeled_extract(cls._SUITE, b"", b"dkp_prk", revealed(material))
        return cls(Secret(labeled_expand(cls._SUITE, prk, b"sk", b"", 32)))

    @classmethod
    def encapsulate(cls, public: bytes) -> tuple[Secret, bytes]:
        """A shared secret (32 bytes) and `enc`; raises `WrongLength`, and `Malformed` for a key of low order."""
        need_bytes(public)
        if len(public) != cls.PUBLIC_BYTES:
            raise errors.WrongLength("an X25519 public key has 32 bytes")
        ephemeral = new_ephemeral()
        enc = ephemeral.public_key().public_bytes_raw()
        return cls._shared(_agree(ephemeral, public), enc, public), enc

    def decapsulate(self, enc: bytes) -> Secret:
        """The shared secret of `enc`; raises `DecryptionError`."""
        need_bytes(enc)
        if len(enc) != self.ENC_BYTES:
            raise errors.DecryptionError()
        try:
            agreed = _agree(self._key, enc)
        except errors.Malformed:
            raise errors.DecryptionError() from None
        return self._shared(agreed, enc, self.public)

    @classmethod
    def _shared(cls, agreed: bytes, enc: bytes, public: bytes) -> Secret:
        prk = labeled_extract(cls._SUITE, b"", b"eae_prk", agreed)
        return Secret(labeled_expand(cls._SUITE, prk, b"shared_secret", enc + public, 32))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")


@final
class XWing:
    """An X-Wing private key: ML-KEM-768 with X25519 (draft-connolly-cfrg-xwing-kem; draft-ietf-hpke-pq).

    Making one costs about 100 µs: keep it where several things are opened with it.
    Raises `WrongLength` for a seed that has not 32 bytes.
    """

    ID: Final = 0x647A
    PUBLIC_BYTES: Final = 1216
    ENC_BYTES: Final = 1120

    __slots__ = ("_mlkem", "_x25519", "public", "seed")

    def __init__(self, seed: Secret) -> None:
        expanded = hashlib.shake_256(revealed_key(seed)).digest(96)
        self._mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        self._x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self.seed = seed
        self.public = self._mlkem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: Secret) -> XWing:
        """The key pair of a 32-byte seed: SHAKE256(seed, 96) is ML-KEM's seed (64) and X25519's scalar (32)."""
        return cls(seed)

    @classmethod
    def generate(cls, random: Randomness) -> XWing:
        """A new key pair."""
        return cls(Secret(random(32)))

    @classmethod
    def derive(cls, material: Secret) -> XWing:
        """DeriveKeyPair of draft-ietf-hpke-pq: SHAKE256 over the labelled material. Not what MLS 0x0053 uses."""
        label = b"DeriveKeyPair"
        named = b"HPKE-v1KEM" + cls.ID.to_bytes(2, "big") + len(label).to_bytes(2, "big") + label
        return cls(Secret(hashlib.shake_256(revealed(material) + named + (32).to_bytes(2, "big")).digest(32)))

    @classmethod
    def encapsulate(cls, public: bytes) -> tuple[Secret, bytes]:
        """A shared secret (32 bytes) and `enc`; raises `WrongLength`, and `Malformed` for a key that is none."""
        need_bytes(public)
        if len(public) != cls.PUBLIC_BYTES:
            raise errors.WrongLength("an X-Wing public key has 1216 bytes")
        try:
            shared, ciphertext = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC]).encapsulate()
        except ValueError:
            raise errors.Malformed("not an ML-KEM-768 public key") from None
        ephemeral = new_ephemeral()
        enc = ephemeral.public_key().public_bytes_raw()
        theirs = public[_MLKEM_PUBLIC:]
        return _combined(shared, _agree(ephemeral, theirs), enc, theirs), ciphertext + enc

    def decapsulate(self, enc: bytes) -> Secret:
        """The shared secret of `enc`; raises `DecryptionError`."""
        need_bytes(enc)
        if len(enc) != self.ENC_BYTES:
            raise errors.DecryptionError()
        # ML-KEM answers a wrong ciphertext of the right length with another secret (FIPS 203 §6.3).
        shared = self._mlkem.decapsulate(enc[:_MLKEM_CIPHERTEXT])
        theirs = enc[_MLKEM_CIPHERTEXT:]
        try:
            agreed = _agree(self._x25519, theirs)
        except errors.Malformed:
            raise errors.DecryptionError() from None
        return _combined(shared, agreed, theirs, self.public[_MLKEM_PUBLIC:])

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")


PrivateKey = X25519 | XWing
Kem = type[X25519] | type[XWing]


def new_ephemeral() -> X25519PrivateKey:
    """A key for one encapsulation, from pyca's own randomness."""
    return X25519PrivateKey.generate()


def _agree(own: X25519PrivateKey, theirs: bytes) -> bytes:
    """X25519 (RFC 7748 §6.1); raises `Malformed` where the secret would be all zero."""
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError:
        raise errors.Malformed("an X25519 public key of low order") from None


def _combined(mlkem: bytes, agreed: bytes, enc: bytes, public: bytes) -> Secret:
    return Secret(hashlib.sha3_256(mlkem + agreed + enc + public + _X_WING_LABEL).digest())
