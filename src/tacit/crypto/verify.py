"""Checking signatures and the form of public keys."""

from __future__ import annotations

from typing import Final

import nacl.bindings
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from nacl.exceptions import BadSignatureError

from tacit import errors

ED25519: Final = 1
X_WING: Final = 2
RSA: Final = 3
X25519: Final = 4


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature verifies under PROTOCOL's rule."""
    if len(public) != 32 or len(signature) != 64:
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + message, public)
    except (BadSignatureError, ValueError):
        return False
    return True


def looks_secret(data: bytes) -> bool:
    """Whether the bytes look like a private key."""
    return data.lstrip().startswith((b"-----BEGIN", b"{"))


def check_public(algorithm: int, public: bytes) -> None:
    """Refuse what is not a public key of this algorithm."""
    if looks_secret(public):
        raise errors.SecretKeyRefused()
    if algorithm in (ED25519, X25519):
        if len(public) != 32:
            raise errors.WrongLength("a public key is 32 bytes")
    elif algorithm == X_WING:
        if len(public) in (32, 64):
            raise errors.SecretKeyRefused()
        if len(public) != 1216:
            raise errors.WrongLength("an X-Wing public key is 1216 bytes")
    else:
        if len(public) in (32, 64):
            raise errors.SecretKeyRefused()
        try:
            key = load_der_public_key(public)
        except (ValueError, UnsupportedAlgorithm):
            raise errors.Malformed("not a SubjectPublicKeyInfo") from None
        if not isinstance(key, rsa.RSAPublicKey) or not 2048 <= key.key_size <= 4096:
            raise errors.Malformed("not an RSA key of 2048 to 4096 bits")
        if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != public:
            raise errors.Malformed("not the one encoding of this key")
