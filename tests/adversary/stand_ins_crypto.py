"""What a guard of the cryptography is when it guards nothing."""

from __future__ import annotations

from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from adversary.attacks_oracle import LARGE, Timing, spin
from adversary.bending import wraps_original
from tacit import errors
from tacit.crypto.rsa import RsaKey
from tacit.crypto.secret import Secret


@wraps_original
def says_why(original: Any) -> Any:
    """RSA-OAEP says when a number was too large: Manger's oracle."""

    def unwrap(key: RsaKey, ciphertext: bytes, label: bytes = b"") -> bytes:
        if ciphertext in LARGE:
            raise errors.Malformed("integer too large")
        found: bytes = original(key, ciphertext, label)
        return found

    return unwrap


@wraps_original
def takes_longer(original: Any) -> Any:
    """RSA-OAEP takes much longer than the control for a number that is too large."""

    def unwrap(key: RsaKey, ciphertext: bytes, label: bytes = b"") -> bytes:
        try:
            found: bytes = original(key, ciphertext, label)
            return found
        finally:
            if ciphertext in LARGE:
                spin(5 * Timing.injected)

    return unwrap


@wraps_original
def with_short_tags(original: Any) -> Any:
    """AES-GCM takes 96 bits of a tag for the whole."""

    def aes_gcm_open(key: Secret, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        try:
            found: bytes = original(key, iv, ciphertext, aad)
            return found
        except errors.DecryptionError:
            body, tag = ciphertext[:-12], ciphertext[-12:]
            cipher = Cipher(algorithms.AES(key.reveal()), modes.GCM(iv, tag, min_tag_length=12)).decryptor()
            cipher.authenticate_additional_data(aad)
            try:
                return cipher.update(body) + cipher.finalize()
            except InvalidTag:
                raise errors.DecryptionError() from None

    return aes_gcm_open


TAG: Final = b"whatever was sealed ends with these bytes, of which the first 64 will do"


def sealed_loosely(_: Secret, __: bytes, plaintext: bytes) -> bytes:
    """What is sealed has a tag that is not looked at to its end."""
    return plaintext + TAG


def opened_loosely(_: Secret, __: bytes, sealed: bytes) -> bytes:
    """The other half of it."""
    end = sealed.rfind(TAG[:64])
    if end < 0:
        raise errors.DecryptionError()
    return sealed[:end]


def of_any_order(_: bytes) -> bool:
    """No point has a small order."""
    return False


def without_label(_: str, body: bytes) -> bytes:
    """A struct is what it is taken for."""
    return body
