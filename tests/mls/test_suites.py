"""The suites and their labelled operations: each with real keys, and suite 0x0053, of which there are no vectors."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from mls.making import draws
from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls.suites import SUITES, CipherSuite, HPKECiphertext, suite_of, vector

every_suite = pytest.mark.parametrize("suite", SUITES.values(), ids=repr)
SECRET = Secret(bytes(range(64)))
SIZES = {
    # Public key of the KEM, signature key, KDF.Nh, AEAD.Nk (§17.1, RFC 9180 §7).
    1: (32, 32, 32, 16),
    2: (65, 65, 32, 16),
    3: (32, 32, 32, 32),
    4: (56, 57, 64, 32),
    5: (133, 133, 64, 32),
    6: (56, 57, 64, 32),
    7: (97, 97, 48, 32),
    0x53: (1216, 32, 64, 32),
}


def test_a_suite_is_found_by_its_number() -> None:
    assert set(SUITES) == set(SIZES)
    assert [suite_of(number).id for number in SIZES] == list(SIZES)
    for number in (0, 8, 0x0A0A, 0xFFFF):
        with pytest.raises(errors.UnknownVersion, match=f"cipher suite {number:#06x}"):
            suite_of(number)


@every_suite
def test_its_sizes_are_the_standards(suite: CipherSuite) -> None:
    kem, signature, hashed, key = SIZES[suite.id]
    assert len(suite.derive_key_pair(SECRET).public) == suite.hpke.kem.PUBLIC_BYTES == kem
    assert len(suite.new_signature_key(draws("signer")).public) == signature
    assert (suite.hash_bytes, suite.key_bytes, suite.nonce_bytes) == (hashed, key, 12)
    assert repr(suite) == f"CipherSuite({suite.id:#06x})"


@every_suite
def test_a_signature_is_of_its_key_label_and_content(suite: CipherSuite) -> None:
    key, other = suite.new_signature_key(draws("one")), suite.new_signature_key(draws("two"))
    signature = suite.sign_with_label(key, "Label", b"content")
    assert suite.verify_with_label(key.public, "Label", b"content", signature)
    assert not suite.verify_with_label(other.public, "Label", b"content", signature)
    assert not suite.verify_with_label(key.public, "label", b"content", signature)
    assert not suite.verify_with_label(key.public, "Label", b"contents", signature)
    assert not suite.verify_with_label(key.public, "Label", b"content", signature[:-1])
    for public in (b"", bytes(10), bytes(len(key.public))):
        assert not suite.verify_with_label(public, "Label", b"content", signature)


@every_suite
def test_a_key_is_the_same_from_a_seed_without_its_leading_zeros(suite: CipherSuite) -> None:
    size = len(suite.new_signature_key(draws("one")).seed)
    short = b"\1" * (size - 2)
    assert suite.signature_key(Secret(short)).public == suite.signature_key(Secret(bytes(2) + short)).public
    kem = suite.hpke.kem.SEED_BYTES
    assert suite.private_key(Secret(short[: kem - 2])).public == (
        suite.private_key(Secret(short[: kem - 2].rjust(kem, b"\0"))).public
    )
    with pytest.raises(errors.WrongLength):
        suite.private_key(Secret(bytes(kem) + b"\1"))


@every_suite
def test_what_is_encrypted_with_a_label_opens_with_key_label_and_context(suite: CipherSuite) -> None:
    key, other = suite.derive_key_pair(SECRET), suite.derive_key_pair(Secret(bytes(64)))
    info = suite.prepare("Label", b"context")
    sealed = suite.encrypt_with_label(key.public, info, b"plain")
    assert len(sealed.kem_output) == suite.hpke.kem.ENC_BYTES
    assert suite.decrypt_with_label(key, "Label", b"context", sealed) == b"plain"
    cut = HPKECiphertext(sealed.kem_output[:-1], sealed.ciphertext)
    flipped = HPKECiphertext(sealed.kem_output, bytes(len(sealed.ciphertext)))
    for wrong in (
        (other, "Label", b"context", sealed),
        (key, "label", b"context", sealed),
        (key, "Label", b"contexts", sealed),
        (key, "Label", b"context", cut),
        (key, "Label", b"context", flipped),
    ):
        with pytest.raises(errors.DecryptionError):
            suite.decrypt_with_label(*wrong)
    with pytest.raises((errors.WrongLength, errors.Malformed)):
        suite.encrypt_with_label(key.public[:-1], info, b"plain")


@every_suite
def test_what_is_sealed_opens_with_key_nonce_and_data(suite: CipherSuite) -> None:
    key, nonce = Secret(bytes(suite.key_bytes)), bytes(12)
    sealed = suite.seal(key, nonce, b"plain", b"aad")
    assert len(sealed) == 5 + 16
    assert suite.open(key, nonce, sealed, b"aad") == b"plain"
    for wrong in ((nonce, sealed, b""), (b"\1" * 12, sealed, b"aad"), (nonce, sealed[:-1], b"aad")):
        with pytest.raises(errors.DecryptionError):
            suite.open(key, *wrong)


@every_suite
def test_hash_mac_and_kdf_are_those_of_the_suites_hash(suite: CipherSuite) -> None:
    name = {32: "sha256", 48: "sha384", 64: "sha512"}[suite.hash_bytes]
    assert suite.digest(b"data") == hashlib.new(name, b"data").digest()
    assert suite.mac(SECRET, b"data") == hmac.digest(SECRET.reveal(), b"data", name)
    assert suite.extract(b"salt", SECRET).reveal() == hmac.digest(b"salt", SECRET.reveal(), name)
    assert suite.ref_hash("Label", b"value") == hashlib.new(name, b"\5Label\5value").digest()
    # HKDF-Expand of one block (RFC 5869 §2.3) with a KDFLabel (§8).
    label = b"\0\x10" + b"\x0eMLS 1.0 secret" + b"\7context" + b"\1"
    expanded = suite.expand_with_label(SECRET, "secret", b"context", 16)
    assert expanded.reveal() == hmac.digest(SECRET.reveal(), label, name)[:16]
    assert suite.derive_secret(SECRET, "x") == suite.expand_with_label(SECRET, "x", b"", suite.hash_bytes)
    assert suite.derive_tree_secret(SECRET, "key", 258, 16) == (suite.expand_with_label(SECRET, "key", b"\0\0\1\2", 16))


def test_suite_0x53_hashes_the_material_of_a_key_pair() -> None:
    suite = SUITES[0x53]
    seed = hashlib.shake_256(SECRET.reveal()).digest(32)
    assert suite.derive_key_pair(SECRET).seed == Secret(seed)
    assert suite.private_key(Secret(seed)).public == suite.derive_key_pair(SECRET).public


def test_a_vector_has_its_length_before_it() -> None:
    assert vector() == b""
    assert vector(b"", b"ab") == b"\0\2ab"
    assert vector(bytes(64)) == b"\x40\x40" + bytes(64)
