"""RSA-OAEP with SHA-256 and MGF1 with SHA-256 (RFC 8017 §7.1): keys of 2048 to 4096 bits with e = 65537."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NoReturn, final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from tacit import errors
from tacit.crypto.secret import Secret, need_bytes, revealed

BITS: Final = 3072
_SHORTEST, _LONGEST, _E = 2048, 4096, 65537
_OVERHEAD: Final = 66
"""Bytes of a modulus that carry no plaintext: two hashes and 2 (RFC 8017 §7.1.1)."""


@final
class RsaKey:
    """A private key: `private` as PKCS#8 DER, `public` as SubjectPublicKeyInfo DER (422 bytes with 3072 bits).

    Keep the object: reading a private key checks its primes and costs 40 to 400 ms.
    """

    __slots__ = ("_key", "private", "public")

    def __init__(self, key: rsa.RSAPrivateKey, private: Secret) -> None:
        self._key = key
        self.private = private
        self.public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @classmethod
    def from_private(cls, private: Secret) -> RsaKey:
        """The key of a PKCS#8 DER; raises `Malformed` for what is none, and for another size or e."""
        try:
            key = load_der_private_key(revealed(private), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise errors.Malformed("not an RSA private key") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise errors.Malformed("not an RSA private key")
        _check(key.public_key())
        return cls(key, private)

    def __repr__(self) -> str:
        return f"RsaKey({self._key.key_size} bits)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")


def generate(bits: int = BITS) -> RsaKey:
    """A new key; pyca draws its randomness. 3072 bits take 60 to 250 ms.

    Raises `InvalidArgument` outside of 2048 to 4096 bits.
    """
    if not _SHORTEST <= bits <= _LONGEST:
        raise errors.InvalidArgument(f"an RSA key has {_SHORTEST} to {_LONGEST} bits")
    key = rsa.generate_private_key(_E, bits)
    return RsaKey(key, Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())))


def wrap(public: bytes, plaintext: bytes, label: bytes = b"") -> bytes:
    """The ciphertext for a SubjectPublicKeyInfo, as many bytes as its modulus has.

    Raises `Malformed` for the key, and `WrongLength` for a text of more than the modulus' bytes less 66 (190 bytes
    with 2048 bits, 318 with 3072, 446 with 4096).
    """
    need_bytes(public, plaintext, label)
    try:
        key = load_der_public_key(public)
    except (ValueError, UnsupportedAlgorithm):
        raise errors.Malformed("not a SubjectPublicKeyInfo") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise errors.Malformed("not an RSA public key")
    _check(key)
    most = (key.key_size + 7) // 8 - _OVERHEAD
    if len(plaintext) > most:
        raise errors.WrongLength(f"this RSA key wraps at most {most} bytes")
    return key.encrypt(plaintext, _oaep(label))


def unwrap(key: RsaKey, ciphertext: bytes, label: bytes = b"") -> bytes:
    """The plaintext; raises `DecryptionError` for every failure alike.

    Who can tell one failure from another decrypts without the key (Manger, CRYPTO 2001): a wrong length, a number not
    below the modulus and each wrong part of the padding end in the one exception of pyca's, and so in this one; the
    comparison of the padding itself is the library's, in constant time.
    """
    need_bytes(ciphertext, label)
    if not isinstance(key, RsaKey):
        raise errors.InvalidArgument("an RsaKey is needed")
    try:
        return key._key.decrypt(ciphertext, _oaep(label))
    except ValueError:
        raise errors.DecryptionError() from None


@lru_cache(maxsize=1)  # one label, the empty one, for every key that is wrapped to
def _oaep(label: bytes) -> OAEP:
    return OAEP(MGF1(SHA256()), SHA256(), label or None)


def _check(key: rsa.RSAPublicKey) -> None:
    if not _SHORTEST <= key.key_size <= _LONGEST:
        raise errors.Malformed(f"not an RSA key of {_SHORTEST} to {_LONGEST} bits")
    if key.public_numbers().e != _E:
        raise errors.Malformed(f"an RSA key with another e than {_E}")
