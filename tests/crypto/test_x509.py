"""The certificates and their pins were made with OpenSSL's command."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tacit import errors
from tacit.crypto.x509 import Leaf, check_pin, public_key, read_der, read_pem

P256 = """\
-----BEGIN CERTIFICATE-----
MIIBijCCATGgAwIBAgIUNZE0eTaVfY0IGng0jt8A/rS5qX4wCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQY2hhdC5leGFtcGxlLm9yZzAeFw0yNjExMjYxOTE3NTJaFw0z
NjExMjMxOTE3NTJaMBsxGTAXBgNVBAMMEGNoYXQuZXhhbXBsZS5vcmcwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAATpirH3BVK76FTYWH4Kz0I4nRbRQkIO1B0/nemm
DHe0zP7ivcLNhuETY6d0luDB9gyeSRASFBxS2rXEi4c+sZpbo1MwUTAdBgNVHQ4E
FgQU0DJB5A1RBATbSx+Ykxu/ga2/c+owHwYDVR0jBBgwFoAU0DJB5A1RBATbSx+Y
kxu/ga2/c+owDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAlL6ts
Pt7ZQvb4LOAHkngXPCfTL0WnfZ1zVw8pjfhVJwIgbt6wxLls1PZWsLBrDPK5r465
YP4Gxgdze1PU3F1bCGQ=
-----END CERTIFICATE-----
"""
P256_PIN = "sha256/eUqlAimyHIv86yo+p9p7YIQfoGMyy6ucMYb59EN5ciQ="
ED25519 = """\
-----BEGIN CERTIFICATE-----
MIIBSjCB/aADAgECAhR9KBywEkVi/2nb0XfqLhM6eGwl9zAFBgMrZXAwGzEZMBcG
A1UEAwwQY2hhdC5leGFtcGxlLm9yZzAeFw0yNjExMjYxOTE3NTJaFw0zNjExMjMx
OTE3NTJaMBsxGTAXBgNVBAMMEGNoYXQuZXhhbXBsZS5vcmcwKjAFBgMrZXADIQD9
a0e0ZDWrNt7GsMXFTQzrpUs3MS3IeKIBoe4Vfsz3f6NTMFEwHQYDVR0OBBYEFCOn
+5Y3PdLrLR6bucloyHcF4U2cMB8GA1UdIwQYMBaAFCOn+5Y3PdLrLR6bucloyHcF
4U2cMA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EANVST0HFGc7n4RVLh6ODe3lzn
M1OoBETQMo12Wixg25etRpTesPr+lRoakcayInjQzfkLN8NSgG0QyoiE2l9KAA==
-----END CERTIFICATE-----
"""
ED25519_PIN = "sha256/2NM7wwfuPPRpbtK9aOlNJOydnOM19TC+YZeN3WGkQzE="
FIRST = int(datetime(2026, 11, 26, 19, 17, 52, tzinfo=UTC).timestamp())
LAST = int(datetime(2036, 11, 23, 19, 17, 52, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(("text", "pin"), [(P256, P256_PIN), (ED25519, ED25519_PIN)])
def test_pin_and_dates_are_those_that_openssl_tells(text: str, pin: str) -> None:
    assert read_pem(text.encode()) == Leaf(pin, FIRST, LAST)
    assert read_der(ssl.PEM_cert_to_DER_cert(text)) == Leaf(pin, FIRST, LAST)
    check_pin(pin)


def test_the_first_of_a_chain_is_the_servers_own() -> None:
    assert read_pem(f"# a key may stand before it\n{ED25519}{P256}".encode()).pin == ED25519_PIN


def test_what_is_no_certificate_is_malformed() -> None:
    der = ssl.PEM_cert_to_DER_cert(P256)
    unknown = der.replace(bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0209"))  # a kind of key
    for bad in (b"", b"x", der[:-1], unknown):
        with pytest.raises(errors.Malformed):
            read_der(bad)
    for bad in (b"", P256.encode()[:100], P256.replace("MII", "MIX").encode()):
        with pytest.raises(errors.Malformed):
            read_pem(bad)
    for read in (read_der, read_pem):
        with pytest.raises(errors.InvalidArgument):
            read("text")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256/",
        P256_PIN.removeprefix("sha256/"),
        P256_PIN.replace("sha256/", "sha1/"),
        P256_PIN.replace("sha256/", "sha256//"),
        P256_PIN[:-1],
        P256_PIN + "\n",
        P256_PIN[:-2] + "R=",
        P256_PIN.replace("+", "-"),
        "sha256/" + "A" * 40,
        "sha256/" + "ä" * 44,
    ],
)
def test_a_pin_has_one_form(text: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        check_pin(text)


# --- a certificate's key -----------------------------------------------------------------

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chat.example.org")])


def certified(key: Any, algorithm: SHA256 | None = None) -> bytes:
    """A certificate of a key by itself, in DER."""
    until = datetime(2036, 1, 1, tzinfo=UTC)
    built = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, datetime(2026, 1, 1, tzinfo=UTC), until)
    return built.sign(key, algorithm).public_bytes(Encoding.DER)


@pytest.mark.parametrize(("text", "before", "size"), [(P256, "034200", 65), (ED25519, "032100", 32)])
def test_a_certificates_key_is_as_signatures_have_it(text: str, before: str, size: int) -> None:
    der = ssl.PEM_cert_to_DER_cert(text)
    start = der.index(bytes.fromhex(before)) + 3
    assert public_key(der) == der[start : start + size]


def test_an_ed448_key_has_57_bytes() -> None:
    key = Ed448PrivateKey.generate()
    assert public_key(certified(key)) == key.public_key().public_bytes_raw()


def test_a_key_of_another_kind_is_refused() -> None:
    key = rsa.generate_private_key(65537, 2048)
    with pytest.raises(errors.Malformed, match="of another kind"):
        public_key(certified(key, SHA256()))


def test_what_is_no_certificate_has_no_key() -> None:
    der = ssl.PEM_cert_to_DER_cert(P256)
    unknown = der.replace(bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0209"))
    for bad in (b"", b"x", der[:-1], unknown):
        with pytest.raises(errors.Malformed, match="no certificate"):
            public_key(bad)
    with pytest.raises(errors.InvalidArgument):
        public_key("text")  # type: ignore[arg-type]
