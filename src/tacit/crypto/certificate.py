"""A TLS server's own key, and a certificate that it signs itself: whoever pins the key needs no other."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tacit.crypto.curves import P256
from tacit.crypto.scalar import draw, private_key
from tacit.crypto.secret import Randomness, Secret

LIFE_SECONDS: Final = 10 * 365 * 86400
"""How long it holds: clients that pin the key ask for no renewal, and a new one would cost them a new pin."""
SKEW_SECONDS: Final = 86400
"""How long before it is made it begins to hold, for clocks that are behind."""


def self_signed(host: str, now: int, random: Randomness) -> Secret:
    """A new P-256 key (PKCS #8, not encrypted) and its certificate for this name or address, both in one PEM text.

    `now` is Unix seconds. The signature is deterministic (RFC 6979), the serial number 127 random bits (RFC 5280
    §4.1.2.2).
    """
    key = private_key(P256, draw(P256, lambda _: random(P256.size)))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tacit")])
    serial = int.from_bytes(random(16), "big") >> 1 | 1
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(_time(now - SKEW_SECONDS))
        .not_valid_after(_time(now + LIFE_SECONDS))
        .add_extension(x509.SubjectAlternativeName([_name(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, SHA256(), ecdsa_deterministic=True)
    )
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Secret(written + certificate.public_bytes(Encoding.PEM))


def _time(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
