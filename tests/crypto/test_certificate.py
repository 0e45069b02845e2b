from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from server.people import seeded
from tacit.crypto.certificate import LIFE_SECONDS, SKEW_SECONDS, self_signed
from tacit.crypto.secret import revealed
from tacit.crypto.x509 import read_pem

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("host", "names"),
    [("chat.example.org", ["chat.example.org"]), ("127.0.0.1", ["127.0.0.1"]), ("2001:db8::1", ["2001:db8::1"])],
)
def test_a_key_and_its_own_certificate_are_made(host: str, names: list[str], tmp_path: Path) -> None:
    made = revealed(self_signed(host, NOW, seeded("a server")))
    key, certificate = load_pem_private_key(made, None), x509.load_pem_x509_certificate(made)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == key.public_key()
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each.value) for each in alternative] == names
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    leaf = read_pem(made)
    assert (leaf.not_before, leaf.not_after) == (NOW - SKEW_SECONDS, NOW + LIFE_SECONDS)
    (tmp_path / "tls.pem").write_bytes(made)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "tls.pem")


def test_all_comes_from_the_randomness_that_is_given() -> None:
    made = self_signed("chat", NOW, seeded("a server"))
    assert made == self_signed("chat", NOW, seeded("a server"))
    assert made != self_signed("chat", NOW, seeded("another server"))


def test_a_serial_number_is_positive_and_not_too_long() -> None:
    def serial(byte: bytes) -> int:
        made = self_signed("chat", NOW, lambda count: b"\1" * 32 if count == 32 else byte * count)
        return x509.load_pem_x509_certificate(revealed(made)).serial_number

    assert [serial(b"\0"), serial(b"\xff")] == [1, 2**127 - 1]
