from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hpke as pyca
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import ledger
from crypto.refusing import silent_failure
from tacit import errors
from tacit.crypto import hpke, kdf, kem
from tacit.crypto.hpke import Suite
from tacit.crypto.kem import X25519, XWing
from tacit.crypto.secret import Secret
from vectors_dir import load

KEMS: dict[int, kem.Kem] = {0x0020: X25519, 0x647A: XWing}
KDFS = {each.id: each for each in (hpke.HKDF_SHA256, hpke.HKDF_SHA384, hpke.HKDF_SHA512)}
AEADS = {aead.id: aead for aead in (hpke.AES_128_GCM, hpke.AES_256_GCM, hpke.CHACHA20_POLY1305, hpke.EXPORT_ONLY)}
SUITES = [hpke.STANDARD, hpke.X25519_AES_128_GCM, hpke.X25519_AES_256_GCM, hpke.X25519_CHACHA20_POLY1305]
each_suite = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.kem.__name__}-{suite.aead.id}")
KEYS: dict[kem.Kem, kem.PrivateKey] = {which: which.from_seed(Secret(bytes(range(32)))) for which in KEMS.values()}


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def reason(case: dict[str, Any]) -> str | None:
    if case["mode"] != 0:
        return f"mode {case['mode']}"
    if case["kem_id"] not in KEMS:
        return f"kem {case['kem_id']:#06x}"
    if case["kdf_id"] not in KDFS:
        return f"kdf {case['kdf_id']:#06x}"
    return None


def suite_of(case: dict[str, Any]) -> Suite:
    return Suite(KEMS[case["kem_id"]], KDFS[case["kdf_id"]], AEADS[case["aead_id"]])


def check_context(case: dict[str, Any], sender: hpke.Sender, recipient: hpke.Recipient) -> int:
    """Both sides against what the case says they seal and export."""
    nonce = unhex(case["base_nonce"]) if case["base_nonce"] else bytes(12)
    assert sender._base_nonce == recipient._base_nonce == int.from_bytes(nonce, "big")
    assert sender._exporter_secret == recipient._exporter_secret == unhex(case["exporter_secret"])
    for entry in case["encryptions"]:
        # The files leave numbers out; a nonce tells which one it is.
        number = int.from_bytes(unhex(entry["nonce"]), "big") ^ int.from_bytes(nonce, "big")
        sender.sequence = recipient.sequence = number
        plaintext, ciphertext = unhex(entry["pt"]), unhex(entry["ct"])
        assert sender.seal(plaintext, unhex(entry["aad"])) == ciphertext
        assert recipient.open(ciphertext, unhex(entry["aad"])) == plaintext
        assert sender.sequence == recipient.sequence == number + 1
    for entry in case["exports"]:
        for side in (sender, recipient):
            exported = side.export(unhex(entry["exporter_context"]), entry["L"])
            assert exported == Secret(unhex(entry["exported_value"]))
    return len(case["encryptions"])


def test_rfc_9180(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    done = encryptions = 0
    for case in load("hpke", "rfc9180.json"):
        why = reason(case)
        if why:
            refused.append(why)
            continue
        suite = suite_of(case)
        ours = suite.kem.derive(Secret(unhex(case["ikmR"])))
        assert ours.seed == Secret(unhex(case["skRm"]))
        assert ours.public == unhex(case["pkRm"])
        ephemeral = suite.kem.derive(Secret(unhex(case["ikmE"])))
        assert ephemeral.public == unhex(case["pkEm"])
        monkeypatch.setattr(
            kem, "new_ephemeral", lambda seed=ephemeral.seed: X25519PrivateKey.from_private_bytes(seed.reveal())
        )
        shared, enc = suite.kem.encapsulate(ours.public)
        assert enc == unhex(case["enc"])
        assert shared == Secret(unhex(case["shared_secret"]))
        info = unhex(case["info"])
        prepared = hpke.prepare(suite, info)
        assert prepared.context == unhex(case["key_schedule_context"])
        same, sender = hpke.sender(suite, ours.public, info)
        assert same == enc
        encryptions += check_context(case, sender, hpke.recipient(suite, ours, enc, prepared))
        done += 1
    assert done == 8
    assert encryptions == 60
    ledger.settle("rfc9180.json", refused)


def test_draft_ietf_hpke_pq() -> None:
    """ML-KEM draws its own randomness, so that the sender is built from the shared secret."""
    refused: list[str] = []
    done = 0
    for case in load("hpke", "draft-ietf-hpke-pq.json"):
        why = reason(case)
        if why:
            refused.append(why)
            continue
        suite = suite_of(case)
        assert suite.id == unhex(case["suite_id"])
        ours = suite.kem.derive(Secret(unhex(case["ikmR"])))
        assert ours.seed == Secret(unhex(case["skRm"]))
        assert ours.public == unhex(case["pkRm"])
        enc = unhex(case["enc"])
        shared = ours.decapsulate(enc)
        assert shared == Secret(unhex(case["shared_secret"]))
        prepared = hpke.prepare(suite, unhex(case["info"]))
        sender = hpke.Sender(prepared, shared)
        check_context(case, sender, hpke.recipient(suite, ours.seed, enc, prepared))
        done += 1
    assert done == 1
    ledger.settle("draft-ietf-hpke-pq.json", refused)


def test_wycheproof_chacha20_poly1305_of_the_library() -> None:
    seen = invalid = 0
    cipher = hpke.CHACHA20_POLY1305.cipher
    assert cipher is ChaCha20Poly1305
    for group in load("wycheproof", "chacha20_poly1305_test.json")["testGroups"]:
        for case in group["tests"]:
            seen += 1
            key, iv, aad, text, sealed, tag = (unhex(case[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag"))
            if case["result"] == "valid":
                assert cipher(key).encrypt(iv, text, aad) == sealed + tag
                assert cipher(key).decrypt(iv, sealed + tag, aad) == text
            elif "InvalidNonceSize" in case["flags"]:
                invalid += 1
                with pytest.raises(ValueError, match=r"[Nn]once"):
                    cipher(key).decrypt(iv, sealed + tag, aad)
            else:
                context = hpke.Recipient(hpke.prepare(hpke.X25519_CHACHA20_POLY1305, b""), Secret(bytes(32)))
                context._cipher, context._base_nonce = cipher(key), int.from_bytes(iv, "big")
                with silent_failure():
                    context.open(sealed + tag, aad)
    assert (seen, invalid) == (325, 9)


# --- against pyca's one-shot form -------------------------------------------------------


def pairs() -> Iterator[tuple[Suite, pyca.Suite]]:
    kems: dict[kem.Kem, pyca.KEM] = {X25519: pyca.KEM.X25519, XWing: pyca.KEM.MLKEM768_X25519}
    kdfs = {1: pyca.KDF.HKDF_SHA256, 2: pyca.KDF.HKDF_SHA384, 3: pyca.KDF.HKDF_SHA512}
    aeads = {1: pyca.AEAD.AES_128_GCM, 2: pyca.AEAD.AES_256_GCM, 3: pyca.AEAD.CHACHA20_POLY1305}
    for which, their_kem in kems.items():
        for number, their_kdf in kdfs.items():
            for aead, their_aead in aeads.items():
                yield Suite(which, KDFS[number], AEADS[aead]), pyca.Suite(their_kem, their_kdf, their_aead)


def private_of(key: kem.PrivateKey) -> Any:
    if isinstance(key, X25519):
        return X25519PrivateKey.from_private_bytes(key.seed.reveal())
    long = hashlib.shake_256(key.seed.reveal()).digest(96)
    return pyca.MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(long[:64]), X25519PrivateKey.from_private_bytes(long[64:])
    )


def public_of(key: kem.PrivateKey) -> Any:
    if isinstance(key, X25519):
        return X25519PublicKey.from_public_bytes(key.public)
    return pyca.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(key.public[:1184]),
        X25519PublicKey.from_public_bytes(key.public[1184:]),
    )


@pytest.mark.parametrize(
    ("suite", "theirs"),
    list(pairs()),
    ids=[f"{suite.kem.__name__}-{suite.kdf.id}-{suite.aead.id}" for suite, _ in pairs()],
)
def test_both_ways_with_another_implementation(suite: Suite, theirs: pyca.Suite) -> None:
    key = KEYS[suite.kem]
    for info, text in ((b"", b""), (b"info", b"text"), (bytes(1000), bytes(5000))):
        assert theirs.decrypt(hpke.seal(suite, key.public, info, text), private_of(key), info) == text
        assert hpke.open(suite, key.seed, info, theirs.encrypt(text, public_of(key), info)) == text


# --- our own ----------------------------------------------------------------------------


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
    if where == suite.kem.ENC_BYTES * 8 - 1:
        where = 0  # X25519 ignores the highest bit, but the key schedule does not: see the test below
    sealed[where // 8] ^= 1 << where % 8
    with silent_failure():
        hpke.open(suite, key, b"info", bytes(sealed))


@each_suite
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
        hpke.open(suite, bytes(32), b"", bytes(2000))  # type: ignore[arg-type]
    with pytest.raises(errors.WrongLength):
        hpke.open(suite, Secret(bytes(31)), b"", bytes(2000))


@each_suite
def test_a_public_key_that_is_none_is_refused(suite: Suite) -> None:
    with pytest.raises(errors.WrongLength):
        hpke.seal(suite, bytes(33), b"", b"")
    with pytest.raises(errors.Malformed):
        hpke.seal(suite, KEYS[suite.kem].public[:-32] + bytes(32), b"", b"")


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
    assert [(aead.id, aead.key_bytes, aead.cipher) for aead in AEADS.values()] == [
        (1, 16, AESGCM),
        (2, 32, AESGCM),
        (3, 32, ChaCha20Poly1305),
        (0xFFFF, 0, None),
    ]
