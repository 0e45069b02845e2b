from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from tacit.crypto import rsa, verify


def test_a_key_has_3072_bits_and_two_matching_halves() -> None:
    made = rsa.generate()
    private = load_der_private_key(made.private.reveal(), None)
    assert isinstance(private, RSAPrivateKey)
    assert private.key_size == 3072
    assert private.public_key().public_numbers().e == 65537
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert made.public == public
    assert len(made.public) == 422
    verify.check_public(verify.RSA, made.public)
    assert verify.looks_secret(made.private.reveal())
    assert made.private.reveal().hex() not in repr(made)
