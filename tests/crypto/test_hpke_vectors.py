"""HPKE against the vectors of RFC 9180 and of draft-ietf-hpke-pq, and against pyca's one-shot form."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke as pyca
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from crypto import ledger
from crypto.ledger import Refusal
from tacit.crypto import hpke, kem
from tacit.crypto.hpke import Suite
from tacit.crypto.secret import Secret
from vectors_dir import load

KEMS: dict[int, kem.Kem] = {
    each.ID: each for each in (kem.X25519, kem.X448, kem.P256, kem.P384, kem.P521, kem.MLKEM768, kem.XWing)
}
KDFS = {each.id: each for each in (hpke.HKDF_SHA256, hpke.HKDF_SHA384, hpke.HKDF_SHA512, hpke.SHAKE128, hpke.SHAKE256)}
AEADS = {aead.id: aead for aead in (hpke.AES_128_GCM, hpke.AES_256_GCM, hpke.CHACHA20_POLY1305, hpke.EXPORT_ONLY)}
AUTHENTICATED = "nothing here authenticates by a KEM key, and the next edition of HPKE has no such mode"
NOT_OURS = "a KEM that nothing here asks for"
TURBO = "no library here has TurboSHAKE"


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def refusal(case: dict[str, Any]) -> Refusal | None:
    if case["mode"] in (2, 3):
        return Refusal(f"mode {case['mode']}", AUTHENTICATED)
    if case["kem_id"] not in KEMS:
        return Refusal(f"kem {case['kem_id']:#06x}", NOT_OURS)
    if case["kdf_id"] in (0x0012, 0x0013):
        return Refusal(f"kdf {case['kdf_id']:#06x}", TURBO)
    return None


def suite_of(case: dict[str, Any]) -> Suite:
    return Suite(KEMS[case["kem_id"]], KDFS[case["kdf_id"]], AEADS[case["aead_id"]])


def psk_of(case: dict[str, Any]) -> hpke.Psk | None:
    return hpke.Psk(Secret(unhex(case["psk"])), unhex(case["psk_id"])) if case["mode"] == 1 else None


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
    assert case["exports"]
    for entry in case["exports"]:
        for side in (sender, recipient):
            exported = side.export(unhex(entry["exporter_context"]), entry["L"])
            assert exported == Secret(unhex(entry["exported_value"]))
    return len(case["encryptions"])


def test_rfc_9180(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[Refusal] = []
    done: Counter[tuple[int, str]] = Counter()
    encryptions = 0
    for case in load("hpke", "rfc9180.json"):
        why = refusal(case)
        if why:
            refused.append(why)
            continue
        suite = suite_of(case)
        ours = suite.kem.derive(Secret(unhex(case["ikmR"])))
        assert ours.seed == Secret(unhex(case["skRm"]))
        assert ours.public == unhex(case["pkRm"])
        ephemeral = suite.kem.derive(Secret(unhex(case["ikmE"])))
        assert ephemeral.public == unhex(case["pkEm"])
        assert ephemeral.seed == Secret(unhex(case["skEm"]))
        monkeypatch.setattr(kem, "new_ephemeral", lambda group, seed=ephemeral.seed: group.from_seed(seed))
        shared, enc = suite.kem.encapsulate(ours.public)
        assert enc == unhex(case["enc"])
        assert shared == Secret(unhex(case["shared_secret"]))
        prepared = hpke.prepare(suite, unhex(case["info"]), psk_of(case))
        assert prepared.context == unhex(case["key_schedule_context"])
        same, sender = hpke.sender(suite, ours.public, prepared)
        assert same == enc
        encryptions += check_context(case, sender, hpke.recipient(suite, ours, enc, prepared))
        done[case["mode"], suite.kem.__name__] += 1
    assert done == {(mode, name): 8 for mode in (0, 1) for name in ("X25519", "X448", "P256", "P521")}
    assert encryptions == 2 * 4 * 60
    ledger.settle("rfc9180.json", refused)


def test_draft_ietf_hpke_pq() -> None:
    """ML-KEM draws its own randomness, so that the sender is built from the shared secret."""
    refused: list[Refusal] = []
    done: list[tuple[str, int]] = []
    for case in load("hpke", "draft-ietf-hpke-pq.json"):
        why = refusal(case)
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
        done.append((suite.kem.__name__, suite.kdf.id))
    assert done == [("MLKEM768", 1), ("XWing", 1), ("P256", 0x10), ("P384", 0x11), ("XWing", 0x11)]
    ledger.settle("draft-ietf-hpke-pq.json", refused)


def test_every_case_of_the_files_was_counted() -> None:
    for file, cases in (("rfc9180.json", 128), ("draft-ietf-hpke-pq.json", 13)):
        found = load("hpke", file)
        assert len(found) == cases
        assert sum(entry.count for entry in ledger.entries() if entry.file == file) == len(
            [case for case in found if refusal(case)]
        )


# --- against pyca's one-shot form -------------------------------------------------------

THEIR_KEMS: dict[kem.Kem, pyca.KEM] = {
    kem.X25519: pyca.KEM.X25519,
    kem.P256: pyca.KEM.P256,
    kem.P384: pyca.KEM.P384,
    kem.P521: pyca.KEM.P521,
    kem.MLKEM768: pyca.KEM.MLKEM768,
    kem.XWing: pyca.KEM.MLKEM768_X25519,
}
THEIR_KDFS = {
    hpke.HKDF_SHA256: pyca.KDF.HKDF_SHA256,
    hpke.HKDF_SHA384: pyca.KDF.HKDF_SHA384,
    hpke.HKDF_SHA512: pyca.KDF.HKDF_SHA512,
    hpke.SHAKE128: pyca.KDF.SHAKE128,
    hpke.SHAKE256: pyca.KDF.SHAKE256,
}
THEIR_AEADS = {
    hpke.AES_128_GCM: pyca.AEAD.AES_128_GCM,
    hpke.AES_256_GCM: pyca.AEAD.AES_256_GCM,
    hpke.CHACHA20_POLY1305: pyca.AEAD.CHACHA20_POLY1305,
}
CURVES: dict[kem.Kem, ec.EllipticCurve] = {
    kem.P256: ec.SECP256R1(),
    kem.P384: ec.SECP384R1(),
    kem.P521: ec.SECP521R1(),
}
PAIRS = [
    (Suite(which, kdf, aead), pyca.Suite(their_kem, their_kdf, their_aead))
    for which, their_kem in THEIR_KEMS.items()
    for kdf, their_kdf in THEIR_KDFS.items()
    for aead, their_aead in THEIR_AEADS.items()
]
KEYS = {which: which.derive(Secret(bytes(range(66)))) for which in THEIR_KEMS}


def private_of(key: kem.PrivateKey) -> Any:
    seed = key.seed.reveal()
    if isinstance(key, kem.X25519):
        return X25519PrivateKey.from_private_bytes(seed)
    if isinstance(key, kem.MLKEM768):
        return MLKEM768PrivateKey.from_seed_bytes(seed)
    if isinstance(key, kem.XWing):
        long = hashlib.shake_256(seed).digest(96)
        return pyca.MLKEM768X25519PrivateKey(
            MLKEM768PrivateKey.from_seed_bytes(long[:64]), X25519PrivateKey.from_private_bytes(long[64:])
        )
    return ec.derive_private_key(int.from_bytes(seed, "big"), CURVES[type(key)])


def test_pyca_has_no_other_suite_of_these_kems() -> None:
    def names(of: type) -> set[str]:
        return {name for name in vars(of) if not name.startswith("_") and name.isupper()}

    assert names(pyca.KEM) - {"MLKEM1024", "MLKEM1024_P384"} == {
        "X25519",
        "P256",
        "P384",
        "P521",
        "MLKEM768",
        "MLKEM768_X25519",
    }
    assert len(names(pyca.KDF)) == len(THEIR_KDFS)
    assert len(names(pyca.AEAD)) == len(THEIR_AEADS)


@pytest.mark.parametrize(
    ("suite", "theirs"), PAIRS, ids=[f"{suite.kem.__name__}-{suite.kdf.id}-{suite.aead.id}" for suite, _ in PAIRS]
)
def test_both_ways_with_another_implementation(suite: Suite, theirs: pyca.Suite) -> None:
    key = KEYS[suite.kem]
    private = private_of(key)
    for info, text, aad in ((b"", b"", b""), (b"info", b"text", b"aad"), (bytes(1000), bytes(5000), bytes(70))):
        sealed = hpke.seal(suite, key.public, info, text)
        assert theirs.decrypt(sealed, private, info) == text
        assert hpke.open(suite, key.seed, info, theirs.encrypt(text, private.public_key(), info)) == text
        sealed = hpke.seal(suite, key.public, info, text, aad)
        assert openssl.hpke._decrypt_with_aad(theirs, sealed, private, info, aad) == text
        other = openssl.hpke._encrypt_with_aad(theirs, text, private.public_key(), info, aad)
        assert hpke.open(suite, key, info, other, aad) == text
