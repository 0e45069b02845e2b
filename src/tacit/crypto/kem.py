"""Key pairs for HPKE (RFC 9180 §4, §7.1; draft-ietf-hpke-pq): DHKEM with five groups, ML-KEM-768, X-Wing.

A class is a KEM and an object of it a private key, made of a seed. DHKEM takes each group with the hash of its KDF.
"""

from __future__ import annotations

import functools
import hashlib
from abc import ABC, abstractmethod
from typing import ClassVar, Final, NoReturn, Self, final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from tacit import errors
from tacit.crypto import ecdh
from tacit.crypto.kdf import SHA256, SHA384, SHA512, Hash, labeled_derive, labeled_expand, labeled_extract
from tacit.crypto.secret import Randomness, Secret, need_bytes, revealed, revealed_key

_MLKEM_PUBLIC: Final = 1184
_MLKEM_CIPHERTEXT: Final = 1088
_X_WING_LABEL: Final = rb"\.//^" + b"\\"


class PrivateKey(ABC):
    """A private key of a KEM: `seed` has SEED_BYTES, `public` PUBLIC_BYTES, an encapsulation ENC_BYTES.

    Its first use costs as much as an agreement (100 µs for ML-KEM): keep it where several things are opened with it.
    What is made of the seed is made then, so that a group is loaded without the keys that nothing needs for now.
    Raises `WrongLength` for a seed of another length, and `InvalidArgument` for one that is no scalar of its group.
    """

    ID: ClassVar[int]
    SEED_BYTES: ClassVar[int]
    PUBLIC_BYTES: ClassVar[int]
    ENC_BYTES: ClassVar[int]

    __slots__ = ("seed",)

    def __init__(self, seed: Secret) -> None:
        revealed_key(seed, self.SEED_BYTES)
        self.seed = seed

    @property
    @abstractmethod
    def public(self) -> bytes:
        """The public key."""

    @classmethod
    def from_seed(cls, seed: Secret) -> Self:
        """The key pair of a seed."""
        return cls(seed)

    @classmethod
    def generate(cls, random: Randomness) -> Self:
        """A new key pair."""
        return cls(Secret(random(cls.SEED_BYTES)))

    @classmethod
    @abstractmethod
    def derive(cls, material: Secret) -> Self:
        """DeriveKeyPair: the key pair that this material always gives."""

    @classmethod
    @abstractmethod
    def encapsulate(cls, public: bytes) -> tuple[Secret, bytes]:
        """A shared secret and `enc`; raises `WrongLength`, and `Malformed` for what is no public key."""

    @abstractmethod
    def decapsulate(self, enc: bytes) -> Secret:
        """The shared secret of `enc`; raises `DecryptionError`."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")


Kem = type[PrivateKey]


def new_ephemeral(group: type[ecdh.EcdhKey]) -> ecdh.EcdhKey:
    """A key for one encapsulation, from pyca's own randomness."""
    return group.ephemeral()


@functools.cache
def _suite(number: int) -> bytes:
    """`suite_id` of a KEM (RFC 9180 §4.1)."""
    return b"KEM" + number.to_bytes(2, "big")


# --- DHKEM ------------------------------------------------------------------------------


class _Dhkem(PrivateKey):
    """DHKEM(Group, HKDF) (RFC 9180 §4.1); the shared secret is as long as the hash."""

    GROUP: ClassVar[type[ecdh.EcdhKey]]
    HASH: ClassVar[Hash]

    __slots__ = ("_made",)

    def __init__(self, seed: Secret) -> None:
        super().__init__(seed)
        self._made: ecdh.EcdhKey | None = None

    @property
    def _key(self) -> ecdh.EcdhKey:
        if self._made is None:
            self._made = self.GROUP.from_seed(self.seed)
        return self._made

    @property
    def public(self) -> bytes:
        return self._key.public

    @classmethod
    def generate(cls, random: Randomness) -> Self:
        return cls(cls.GROUP.draw(lambda _: random(cls.SEED_BYTES)))

    @classmethod
    def derive(cls, material: Secret) -> Self:
        """DeriveKeyPair (RFC 9180 §7.1.3)."""
        prk = labeled_extract(_suite(cls.ID), b"", b"dkp_prk", revealed(material), cls.HASH)
        return cls(cls.GROUP.draw(lambda counter: cls._candidate(prk, counter)))

    @classmethod
    def _candidate(cls, prk: bytes, counter: int) -> bytes:
        return labeled_expand(_suite(cls.ID), prk, b"sk", b"", cls.SEED_BYTES, cls.HASH)

    @classmethod
    def encapsulate(cls, public: bytes) -> tuple[Secret, bytes]:
        ephemeral = new_ephemeral(cls.GROUP)
        return cls._shared(ephemeral.agree(public), ephemeral.public, public), ephemeral.public

    def decapsulate(self, enc: bytes) -> Secret:
        try:
            agreed = self._key.agree(enc)
        except (errors.WrongLength, errors.Malformed):
            raise errors.DecryptionError() from None
        return self._shared(agreed, enc, self.public)

    @classmethod
    def _shared(cls, agreed: Secret, enc: bytes, public: bytes) -> Secret:
        suite = _suite(cls.ID)
        prk = labeled_extract(suite, b"", b"eae_prk", agreed.reveal(), cls.HASH)
        return Secret(labeled_expand(suite, prk, b"shared_secret", enc + public, cls.HASH.size, cls.HASH))


class _NistDhkem(_Dhkem):
    __slots__ = ()

    def __init__(self, seed: Secret) -> None:
        super().__init__(seed)
        self._made = self.GROUP.from_seed(seed)  # not every seed is a scalar

    @classmethod
    def _candidate(cls, prk: bytes, counter: int) -> bytes:
        return labeled_expand(_suite(cls.ID), prk, b"candidate", bytes((counter,)), cls.SEED_BYTES, cls.HASH)


@final
class X25519(_Dhkem):
    """DHKEM(X25519, HKDF-SHA256): seed, public key, `enc` and shared secret 32 bytes."""

    ID = 0x0020
    GROUP = ecdh.X25519
    HASH = SHA256
    SEED_BYTES = 32
    PUBLIC_BYTES = ENC_BYTES = 32
    __slots__ = ()


@final
class X448(_Dhkem):
    """DHKEM(X448, HKDF-SHA512): seed, public key and `enc` 56 bytes, shared secret 64."""

    ID = 0x0021
    GROUP = ecdh.X448
    HASH = SHA512
    SEED_BYTES = 56
    PUBLIC_BYTES = ENC_BYTES = 56
    __slots__ = ()


@final
class P256(_NistDhkem):
    """DHKEM(P-256, HKDF-SHA256): seed and shared secret 32 bytes, public key and `enc` 65."""

    ID = 0x0010
    GROUP = ecdh.P256
    HASH = SHA256
    SEED_BYTES = 32
    PUBLIC_BYTES = ENC_BYTES = 65
    __slots__ = ()


@final
class P384(_NistDhkem):
    """DHKEM(P-384, HKDF-SHA384): seed and shared secret 48 bytes, public key and `enc` 97."""

    ID = 0x0011
    GROUP = ecdh.P384
    HASH = SHA384
    SEED_BYTES = 48
    PUBLIC_BYTES = ENC_BYTES = 97
    __slots__ = ()


@final
class P521(_NistDhkem):
    """DHKEM(P-521, HKDF-SHA512): seed 66 bytes, shared secret 64, public key and `enc` 133."""

    ID = 0x0012
    GROUP = ecdh.P521
    HASH = SHA512
    SEED_BYTES = 66
    PUBLIC_BYTES = ENC_BYTES = 133
    __slots__ = ()


# --- post-quantum -----------------------------------------------------------------------


def _mlkem_encapsulated(public: bytes) -> tuple[bytes, bytes]:
    """Shared secret (32 bytes) and ciphertext (1088); raises `Malformed` (FIPS 203 §7.2)."""
    try:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError:
        raise errors.Malformed("not an ML-KEM-768 public key") from None


@final
class MLKEM768(PrivateKey):
    """ML-KEM-768 (FIPS 203): seed 64 bytes (d and z), public key 1184, `enc` 1088, shared secret 32."""

    ID = 0x0041
    SEED_BYTES = 64
    PUBLIC_BYTES = _MLKEM_PUBLIC
    ENC_BYTES = _MLKEM_CIPHERTEXT

    __slots__ = ("_made",)

    def __init__(self, seed: Secret) -> None:
        super().__init__(seed)
        self._made: tuple[MLKEM768PrivateKey, bytes] | None = None

    def _key(self) -> tuple[MLKEM768PrivateKey, bytes]:
        if self._made is None:
            key = MLKEM768PrivateKey.from_seed_bytes(self.seed.reveal())
            self._made = key, key.public_key().public_bytes_raw()
        return self._made

    @property
    def public(self) -> bytes:
        return self._key()[1]

    @classmethod
    def derive(cls, material: Secret) -> Self:
        """DeriveKeyPair of draft-ietf-hpke-pq: SHAKE256 over the labelled material."""
        seed = labeled_derive(_suite(cls.ID), revealed(material), b"DeriveKeyPair", b"", cls.SEED_BYTES)
        return cls(Secret(seed))

    @classmethod
    def encapsulate(cls, public: bytes) -> tuple[Secret, bytes]:
        need_bytes(public)
        if len(public) != cls.PUBLIC_BYTES:
            raise errors.WrongLength("an ML-KEM-768 public key has 1184 bytes")
        shared, enc = _mlkem_encapsulated(public)
        return Secret(shared), enc

    def decapsulate(self, enc: bytes) -> Secret:
        need_bytes(enc)
        if len(enc) != self.ENC_BYTES:
            raise errors.DecryptionError()
        # It answers a wrong ciphertext of the right length with another secret (FIPS 203 §6.3).
        return Secret(self._key()[0].decapsulate(enc))


@final
class XWing(PrivateKey):
    """X-Wing: ML-KEM-768 with X25519 (draft-connolly-cfrg-xwing-kem; draft-ietf-hpke-pq).

    The seed of 32 bytes is expanded: SHAKE256(seed, 96) is ML-KEM's seed (64) and X25519's scalar (32). A public key
    has 1216 bytes, `enc` 1120, a shared secret 32.
    """

    ID = 0x647A
    SEED_BYTES = 32
    PUBLIC_BYTES = 1216
    ENC_BYTES = 1120

    __slots__ = ("_made",)

    def __init__(self, seed: Secret) -> None:
        super().__init__(seed)
        self._made: tuple[MLKEM768, ecdh.X25519] | None = None

    def _keys(self) -> tuple[MLKEM768, ecdh.X25519]:
        if self._made is None:
            expanded = hashlib.shake_256(self.seed.reveal()).digest(96)
            self._made = MLKEM768(Secret(expanded[:64])), ecdh.X25519.from_seed(Secret(expanded[64:]))
        return self._made

    @property
    def public(self) -> bytes:
        mlkem, x25519 = self._keys()
        return mlkem.public + x25519.public

    @classmethod
    def derive(cls, material: Secret) -> Self:
        """DeriveKeyPair of draft-ietf-hpke-pq: SHAKE256 over the labelled material. Not what MLS 0x0053 uses."""
        seed = labeled_derive(_suite(cls.ID), revealed(material), b"DeriveKeyPair", b"", cls.SEED_BYTES)
        return cls(Secret(seed))

    @classmethod
    def encapsulate(cls, public: bytes) -> tuple[Secret, bytes]:
        need_bytes(public)
        if len(public) != cls.PUBLIC_BYTES:
            raise errors.WrongLength("an X-Wing public key has 1216 bytes")
        shared, ciphertext = _mlkem_encapsulated(public[:_MLKEM_PUBLIC])
        ephemeral = new_ephemeral(ecdh.X25519)
        theirs = public[_MLKEM_PUBLIC:]
        return _combined(
            Secret(shared), ephemeral.agree(theirs), ephemeral.public, theirs
        ), ciphertext + ephemeral.public

    def decapsulate(self, enc: bytes) -> Secret:
        need_bytes(enc)
        if len(enc) != self.ENC_BYTES:
            raise errors.DecryptionError()
        mlkem, x25519 = self._keys()
        shared = mlkem.decapsulate(enc[:_MLKEM_CIPHERTEXT])
        theirs = enc[_MLKEM_CIPHERTEXT:]
        try:
            agreed = x25519.agree(theirs)
        except errors.Malformed:
            raise errors.DecryptionError() from None
        return _combined(shared, agreed, theirs, x25519.public)


def _combined(mlkem: Secret, agreed: Secret, enc: bytes, public: bytes) -> Secret:
    return Secret(hashlib.sha3_256(mlkem.reveal() + agreed.reveal() + enc + public + _X_WING_LABEL).digest())
