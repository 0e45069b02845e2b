"""What is read of a certificate: its key, that key's pin, and when it holds. Who signed it is others' to judge.

A pin is `sha256/` and the base64 of SHA-256 over the key's SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tacit import errors
from tacit.crypto.digest import sha256
from tacit.crypto.secret import need_bytes

PREFIX: Final = "sha256/"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate: the pin of its key, the first and the last second in which it holds (Unix)."""

    pin: str
    not_before: int
    not_after: int


def read_der(certificate: bytes) -> Leaf:
    """A certificate as TLS has it; raises `Malformed`, also for a key of a kind that is not known."""
    need_bytes(certificate)
    try:
        return _leaf(x509.load_der_x509_certificate(certificate))
    except (ValueError, UnsupportedAlgorithm):
        raise errors.Malformed("this is no certificate that can be read") from None


def read_pem(chain: bytes) -> Leaf:
    """The first certificate of a file, which is the server's own (RFC 8446 §4.4.2); raises `Malformed`."""
    need_bytes(chain)
    try:
        return _leaf(x509.load_pem_x509_certificates(chain)[0])
    except (ValueError, UnsupportedAlgorithm):
        raise errors.Malformed("there is no certificate that can be read") from None


def _leaf(found: x509.Certificate) -> Leaf:
    key = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    first, last = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    return Leaf(PREFIX + base64.b64encode(sha256(key)).decode("ascii"), int(first), int(last))


def public_key(certificate: bytes) -> bytes:
    """The public key of a certificate in DER as signatures have it: Ed25519 32 bytes, Ed448 57, an uncompressed point.

    Raises `Malformed`, also for a key of another kind.
    """
    need_bytes(certificate)
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise errors.Malformed("this is no certificate that can be read") from None
    if isinstance(key, Ed25519PublicKey | Ed448PublicKey):
        return key.public_bytes_raw()
    if isinstance(key, EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    raise errors.Malformed("the certificate's key is of another kind")


def check_pin(text: str) -> None:
    """Raises `InvalidArgument` for what is not a pin in its one form, 51 characters."""
    try:
        raw = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32 or text != PREFIX + base64.b64encode(raw).decode("ascii"):
        raise errors.InvalidArgument(
            "a pin is sha256/ and the base64 of 32 bytes, as `tacit serve --print-pin` writes it"
        )
