from __future__ import annotations

import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.refusing import silent_failure
from tacit import errors
from tacit.crypto import hpke, kdf, kem
from tacit.crypto.hpke import Suite
from tacit.crypto.kem import MLKEM768, P256, P384, P521, X448, X25519, XWing
from tacit.crypto.secret import Secret

EVERY_KEM: list[kem.Kem] = [X25519, X448, P256, P384, P521, MLKEM768, XWing]
SUITES = [
    hpke.STANDARD,
    hpke.X25519_AES_128_GCM,
    hpke.X25519_AES_256_GCM,
    hpke.X25519_CHACHA20_POLY1305,
    Suite(P256, hpke.HKDF_SHA256, hpke.AES_128_GCM),
    Suite(P384, hpke.HKDF_SHA384, hpke.AES_256_GCM),
    Suite(P521, hpke.HKDF_SHA512, hpke.AES_256_GCM),
    Suite(X448, hpke.HKDF_SHA512, hpke.CHACHA20_POLY1305),
    Suite(MLKEM768, hpke.SHAKE128, hpke.AES_128_GCM),
    Suite(X25519, hpke.SHAKE256, hpke.CHACHA20_POLY1305),
]
each_suite = pytest.mark.parametrize(
    "suite", SUITES, ids=lambda suite: f"{suite.kem.__name__}-{suite.kdf.id}-{suite.aead.id}"
)
KEYS: dict[kem.Kem, kem.PrivateKey] = {which: which.derive(Secret(bytes(range(66)))) for which in EVERY_KEM}


@each_suite
def test_what_was_sealed_opens(suite: Suite) -> None:
    key = KEYS[suite.kem]
    prepared = hpke.prepare(suite, b"info")
    sealed = hpke.seal(suite, key.public, b"info", b"text", b"aad")
    assert len(sealed) == suite.kem.ENC_BYTES + 4 + 16
    assert hpke.open(suite, key.seed, b"info", sealed, b"aad") == b"text"
    assert hpke.open(suite, key, prepared, sealed, b"aad") == b"text"
    assert hpke.open(suite, key, b"info", hpke.seal(suite, key.public, prepared, b"text")) == b"text"


def test_the_standard_suite_is_that_of_the_protocol() -> None:
    assert hpke.STANDARD.id == b"HPKE\x64\x7a\x00\x01\x00\x02"


@each_suite
def test_another_key_info_or_associated_data_does_not_open(suite: Suite) -> None:
    key = KEYS[suite.kem]
    sealed = hpke.seal(suite, key.public, b"info", b"text", b"aad")
    with silent_failure():
        hpke.open(suite, suite.kem.generate(os.urandom), b"info", sealed, b"aad")
    with silent_failure():
        hpke.open(suite, key, b"inf", sealed, b"aad")
    with silent_failure():
        hpke.open(suite, key, b"info", sealed, b"")


@each_suite
@given(st.integers(min_value=0))
@settings(max_examples=30)
def test_a_changed_bit_does_not_open(suite: Suite, where: int) -> None:
    key = KEYS[suite.kem]
    sealed = bytearray(hpke.seal(suite, key.public, b"info", b"text"))
    where %= len(sealed) * 8
    sealed[where // 8] ^= 1 << where % 8
    with silent_failure():
        hpke.open(suite, key, b"info", bytes(sealed))


@pytest.mark.parametrize("suite", [hpke.STANDARD, hpke.X25519_AES_128_GCM], ids=["XWing", "X25519"])
def test_the_bit_that_x25519_ignores_is_bound(suite: Suite) -> None:
    key = KEYS[suite.kem]
    sealed = bytearray(hpke.seal(suite, key.public, b"info", b"text"))
    sealed[suite.kem.ENC_BYTES - 1] ^= 0x80
    with silent_failure():
        hpke.open(suite, key, b"info", bytes(sealed))


@each_suite
def test_what_is_cut_does_not_open(suite: Suite) -> None:
    key = KEYS[suite.kem]
    sealed = hpke.seal(suite, key.public, b"info", b"text")
    for kept in (0, 1, 31, 32, suite.kem.ENC_BYTES, suite.kem.ENC_BYTES + 15, len(sealed) - 1):
        with silent_failure():
            hpke.open(suite, key, b"info", sealed[:kept])


@each_suite
def test_a_context_goes_on_in_order(suite: Suite) -> None:
    key = KEYS[suite.kem]
    enc, sender = hpke.sender(suite, key.public, b"info")
    recipient = hpke.recipient(suite, key, enc, b"info")
    first, second = sender.seal(b"same"), sender.seal(b"same")
    assert first != second
    with silent_failure():
        recipient.open(second)
    assert recipient.open(first) == b"same"
    with silent_failure():
        recipient.open(first)
    assert recipient.open(second) == b"same"
    assert sender.export(b"context", 40) == recipient.export(b"context", 40)
    assert sender.export(b"context", 40) != sender.export(b"other", 40)


@each_suite
def test_a_context_that_is_used_up_says_so(suite: Suite) -> None:
    key = KEYS[suite.kem]
    enc, sender = hpke.sender(suite, key.public, b"")
    recipient = hpke.recipient(suite, key, enc, b"")
    sender.sequence = recipient.sequence = 2**96 - 2
    assert recipient.open(sender.seal(b"last")) == b"last"
    with pytest.raises(errors.InvalidArgument, match="used up"):
        sender.seal(b"one more")
    with pytest.raises(errors.InvalidArgument, match="used up"):
        recipient.open(bytes(16))


def test_a_suite_that_only_exports_seals_nothing() -> None:
    suite = Suite(X25519, hpke.HKDF_SHA256, hpke.EXPORT_ONLY)
    key = KEYS[X25519]
    enc, sender = hpke.sender(suite, key.public, b"info")
    recipient = hpke.recipient(suite, key, enc, b"info")
    assert sender.export(b"", 32) == recipient.export(b"", 32)
    with pytest.raises(errors.InvalidArgument, match="only exports"):
        sender.seal(b"text")
    with pytest.raises(errors.InvalidArgument, match="only exports"):
        recipient.open(bytes(16))


@pytest.mark.parametrize("length", [-1, 0, 255 * 32 + 1, 2**16, 2**20])
def test_an_export_of_another_length_is_refused(length: int) -> None:
    _, sender = hpke.sender(hpke.X25519_AES_128_GCM, KEYS[X25519].public, b"")
    with pytest.raises(errors.WrongLength):
        sender.export(b"", length)


def test_info_prepared_for_another_suite_is_refused() -> None:
    prepared = hpke.prepare(hpke.X25519_AES_128_GCM, b"")
    with pytest.raises(errors.InvalidArgument, match="another HPKE suite"):
        hpke.seal(hpke.X25519_AES_256_GCM, KEYS[X25519].public, prepared, b"")
    same = Suite(X25519, hpke.HKDF_SHA256, hpke.AES_128_GCM)
    assert hpke.seal(same, KEYS[X25519].public, prepared, b"")


@each_suite
def test_a_private_key_of_another_kem_is_refused(suite: Suite) -> None:
    other = KEYS[XWing if suite.kem is X25519 else X25519]
    with pytest.raises(errors.InvalidArgument, match="no private key"):
        hpke.open(suite, other, b"", bytes(2000))
    with pytest.raises(errors.InvalidArgument, match="no private key"):
        hpke.open(suite, bytes(suite.kem.SEED_BYTES), b"", bytes(2000))  # type: ignore[arg-type]
    with pytest.raises(errors.WrongLength):
        hpke.open(suite, Secret(bytes(31)), b"", bytes(2000))


@each_suite
def test_a_public_key_that_is_none_is_refused(suite: Suite) -> None:
    with pytest.raises(errors.WrongLength):
        hpke.seal(suite, bytes(33), b"", b"")
    size = suite.kem.PUBLIC_BYTES
    none = b"\xff" * size if suite.kem is MLKEM768 else KEYS[suite.kem].public[:-32] + bytes(32)
    with pytest.raises(errors.Malformed):
        hpke.seal(suite, none if suite.kem is not X448 else bytes(size), b"", b"")


@each_suite
def test_what_is_no_bytes_is_refused(suite: Suite) -> None:
    key: Any = KEYS[suite.kem]
    text: Any = "text"
    enc, sender = hpke.sender(suite, key.public, b"")
    recipient = hpke.recipient(suite, key, enc, b"")
    for call in (
        lambda: hpke.seal(suite, text, b"", b""),
        lambda: hpke.seal(suite, key.public, text, b""),
        lambda: hpke.seal(suite, key.public, b"", text),
        lambda: hpke.seal(suite, key.public, b"", b"", text),
        lambda: hpke.open(suite, key, text, bytes(2000)),
        lambda: hpke.open(suite, key, b"", text),
        lambda: hpke.recipient(suite, key, text, b""),
        lambda: hpke.recipient(suite, key, enc, text),
        lambda: recipient.open(bytes(16), text),
        lambda: recipient.open(text),
        lambda: sender.export(text, 32),
    ):
        with pytest.raises(errors.InvalidArgument):
            call()


def test_info_is_hashed_once_for_many_recipients(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    plain = kdf.labeled_extract

    def counting(suite: bytes, salt: bytes, label: bytes, key: bytes, *rest: Any) -> bytes:
        if label == b"info_hash":
            hashed.append(len(key))
        return plain(suite, salt, label, key, *rest)

    monkeypatch.setattr(hpke, "labeled_extract", counting)
    suite, key = hpke.X25519_AES_128_GCM, KEYS[X25519]
    prepared = hpke.prepare(suite, bytes(1000))
    for _ in range(5):
        hpke.seal(suite, key.public, prepared, b"")
    assert hashed == [1000]
    hpke.seal(suite, key.public, bytes(1000), b"")
    assert hashed == [1000, 1000]


def test_the_tables_name_the_ciphers_of_the_standard() -> None:
    aeads = (hpke.AES_128_GCM, hpke.AES_256_GCM, hpke.CHACHA20_POLY1305, hpke.EXPORT_ONLY)
    assert [(aead.id, aead.key_bytes, aead.cipher) for aead in aeads] == [
        (1, 16, AESGCM),
        (2, 32, AESGCM),
        (3, 32, ChaCha20Poly1305),
        (0xFFFF, 0, None),
    ]


# --- PSK mode, and KDFs of one stage ----------------------------------------------------

PSK = hpke.Psk(Secret(b"p" * 32), b"name")


@each_suite
def test_a_psk_is_needed_to_open(suite: Suite) -> None:
    key = KEYS[suite.kem]
    prepared = hpke.prepare(suite, b"info", PSK)
    sealed = hpke.seal(suite, key.public, prepared, b"text")
    assert hpke.open(suite, key, prepared, sealed) == b"text"
    assert hpke.open(suite, key, hpke.prepare(suite, b"info", PSK), sealed) == b"text"
    for other in (
        b"info",
        hpke.prepare(suite, b"inf", PSK),
        hpke.prepare(suite, b"info", hpke.Psk(Secret(b"q" * 32), b"name")),
        hpke.prepare(suite, b"info", hpke.Psk(Secret(b"p" * 32), b"other")),
        hpke.Info(suite, prepared.context, Secret(b"")),
    ):
        with silent_failure():
            hpke.open(suite, key, other, sealed)


@pytest.mark.parametrize(("length", "name"), [(0, b"name"), (31, b"name"), (32, b"")])
def test_a_psk_that_is_short_or_has_no_name_is_refused(length: int, name: bytes) -> None:
    with pytest.raises(errors.WrongLength):
        hpke.Psk(Secret(bytes(length)), name)


def test_a_psk_that_is_no_secret_is_refused_and_none_is_shown() -> None:
    for key, name in ((b"p" * 32, b"name"), (Secret(b"p" * 32), "name")):
        with pytest.raises(errors.InvalidArgument):
            hpke.Psk(key, name)  # type: ignore[arg-type]
    assert "ppp" not in repr(PSK)
    assert "ppp" not in repr(hpke.prepare(hpke.STANDARD, b"", PSK))


@pytest.mark.parametrize("kdf_", [hpke.SHAKE128, hpke.SHAKE256], ids=["SHAKE128", "SHAKE256"])
def test_a_kdf_of_one_stage_has_its_limits(kdf_: hpke.Kdf) -> None:
    suite = Suite(X25519, kdf_, hpke.AES_128_GCM)
    key = KEYS[X25519]
    longest = bytes(2**16 - 1)
    sealed = hpke.seal(suite, key.public, longest, b"text")
    assert hpke.open(suite, key, longest, sealed) == b"text"
    with pytest.raises(errors.WrongLength):
        hpke.prepare(suite, longest + b"x")
    with pytest.raises(errors.WrongLength):
        hpke.prepare(suite, b"", hpke.Psk(PSK.key, longest + b"x"))
    over_long = hpke.prepare(suite, b"", hpke.Psk(Secret(longest + b"x"), b"name"))
    with pytest.raises(errors.WrongLength):
        hpke.sender(suite, key.public, over_long)
    _, sender = hpke.sender(suite, key.public, b"")
    most = 255 * kdf_.hash.size
    assert len(sender.export(b"", most)) == most
    for length in (-1, 0, most + 1, 2**16):
        with pytest.raises(errors.WrongLength):
            sender.export(b"", length)


@pytest.mark.parametrize("kdf_", [hpke.HKDF_SHA384, hpke.SHAKE128, hpke.SHAKE256], ids=lambda kdf_: kdf_.hash.name)
def test_export_only_derives_no_key(kdf_: hpke.Kdf) -> None:
    suite = Suite(X25519, kdf_, hpke.EXPORT_ONLY)
    enc, sender = hpke.sender(suite, KEYS[X25519].public, b"")
    exported = sender.export(b"context", 33)
    assert exported == hpke.recipient(suite, KEYS[X25519], enc, b"").export(b"context", 33)
    assert exported != sender.export(b"contex", 33)
    assert sender._base_nonce == 0


def test_the_tables_name_the_kdfs_of_the_standard() -> None:
    kdfs = (hpke.HKDF_SHA256, hpke.HKDF_SHA384, hpke.HKDF_SHA512, hpke.SHAKE128, hpke.SHAKE256)
    assert [(each.id, *each.hash, each.one_stage) for each in kdfs] == [
        (1, "sha256", 32, False),
        (2, "sha384", 48, False),
        (3, "sha512", 64, False),
        (16, "shake_128", 32, True),
        (17, "shake_256", 64, True),
    ]
