"""An authority that tests trust, and the certificates that it signs."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tacit.crypto.x509 import read_der

Key = ec.EllipticCurvePrivateKey
DAY = dt.timedelta(days=1)


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Issued:
    """A key and its certificate in one file of `folder`."""

    file: Path
    key: Key
    certificate: x509.Certificate

    @property
    def pin(self) -> str:
        return read_der(self.certificate.public_bytes(Encoding.DER)).pin


USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
SIGNING = {"key_cert_sign": True}
"""What Python 3.13 wants of an authority (RFC 5280 §4.2.1.3)."""


class Authority:
    """Signs for whoever asks; `file` is its own certificate, for `SSL_CERT_FILE`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
        self.key = new_key()
        builder = self._builder(self.name, self.key, -1, 60)
        extended = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        extended = extended.add_extension(x509.KeyUsage(**dict.fromkeys(USAGES, False) | SIGNING), critical=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(extended.sign(self.key, SHA256()).public_bytes(Encoding.PEM))

    def issue(
        self, *hosts: str, file: str = "server.pem", key: Key | None = None, first: float = -1, last: float = 30
    ) -> Issued:
        """A certificate for these names and addresses, which holds from and until so many days from now."""
        key = key or new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
        alternative = x509.SubjectAlternativeName([general(each) for each in hosts])
        builder = self._builder(name, key, first, last).add_extension(alternative, critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        certificate = builder.sign(self.key, SHA256())
        path = self.folder / file
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.touch(0o600)
        path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
        return Issued(path, key, certificate)

    def _builder(self, name: x509.Name, key: Key, first: float, last: float) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + first * DAY)
            .not_valid_after(now + last * DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )


def general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
