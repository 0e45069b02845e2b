from __future__ import annotations

import copy
import hashlib
import hmac
import os
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from crypto import ledger
from crypto.refusing import silent_failure
from tacit import errors
from tacit.crypto import kem
from tacit.crypto.kem import X25519, XWing
from tacit.crypto.secret import Secret
from vectors_dir import load

KEMS = [X25519, XWing]
each_kem = pytest.mark.parametrize("which", KEMS, ids=lambda which: which.__name__)

LOW_ORDER = [
    number.to_bytes(32, "little")
    for number in (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        2**255 - 20,
        2**255 - 19,
        2**255 - 18,
    )
]


def of_dhkem(agreed: bytes, enc: bytes, public: bytes) -> bytes:
    """ExtractAndExpand of DHKEM(X25519, HKDF-SHA256) by itself (RFC 9180 §4.1)."""
    suite = b"KEM\x00\x20"
    prk = hmac.digest(b"", b"HPKE-v1" + suite + b"eae_prk" + agreed, "sha256")
    return hmac.digest(prk, b"\x00\x20HPKE-v1" + suite + b"shared_secret" + enc + public + b"\x01", "sha256")


def test_wycheproof_x25519() -> None:
    refused: list[str] = []
    seen = 0
    for group in load("wycheproof", "x25519_test.json")["testGroups"]:
        for case in group["tests"]:
            seen += 1
            key = X25519.from_seed(Secret(bytes.fromhex(case["private"])))
            enc, agreed = bytes.fromhex(case["public"]), bytes.fromhex(case["shared"])
            if "ZeroSharedSecret" in case["flags"]:
                refused.append("ZeroSharedSecret")
                assert agreed == bytes(32)
                with silent_failure():
                    key.decapsulate(enc)
            else:
                assert key.decapsulate(enc) == Secret(of_dhkem(agreed, enc, key.public)), case
    assert seen == 518
    ledger.settle("x25519_test.json", refused)


def test_wycheproof_mlkem_of_the_library() -> None:
    """X-Wing expands its own seed, so that ML-KEM's vectors are put to pyca itself, in the calls that the door uses."""
    seen = invalid = 0
    for group in load("wycheproof", "mlkem_768_test.json")["testGroups"]:
        for case in group["tests"]:
            seen += 1
            seed, ciphertext = bytes.fromhex(case["seed"]), bytes.fromhex(case["c"])
            if case["result"] == "valid":
                key = MLKEM768PrivateKey.from_seed_bytes(seed)
                assert key.public_key().public_bytes_raw().hex() == case["ek"], case
                assert key.decapsulate(ciphertext).hex() == case["K"], case
            else:
                invalid += 1
                with pytest.raises(ValueError, match="ML-KEM-768"):
                    MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)
    assert (seen, invalid) == (193, 40)


@each_kem
def test_both_sides_get_one_secret(which: kem.Kem) -> None:
    key = which.generate(os.urandom)
    shared, enc = which.encapsulate(key.public)
    assert (len(key.public), len(enc), len(shared)) == (which.PUBLIC_BYTES, which.ENC_BYTES, 32)
    assert key.decapsulate(enc) == shared
    assert which.from_seed(key.seed).decapsulate(enc) == shared


@each_kem
def test_two_encapsulations_differ(which: kem.Kem) -> None:
    key = which.generate(os.urandom)
    assert which.encapsulate(key.public) != which.encapsulate(key.public)


@each_kem
def test_a_seed_always_gives_the_same_key(which: kem.Kem) -> None:
    seed = Secret(bytes(range(32)))
    assert which.from_seed(seed).public == which.from_seed(seed).public
    assert which.from_seed(seed).seed == seed
    assert which.generate(lambda length: bytes(range(length))).seed == seed
    assert which.derive(Secret(b"material")).public == which.derive(Secret(b"material")).public
    assert which.derive(Secret(b"material")).public != which.derive(Secret(b"other")).public


def test_an_x_wing_key_is_made_as_the_draft_says() -> None:
    seed = bytes(range(32))
    long = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(long[:64]).public_key().public_bytes_raw()
    x25519 = X25519PrivateKey.from_private_bytes(long[64:]).public_key().public_bytes_raw()
    assert XWing.from_seed(Secret(seed)).public == mlkem + x25519


def test_an_x_wing_secret_binds_both_parts() -> None:
    """The combiner of the draft, by itself: SHA3-256 of both secrets, X25519's ciphertext and key, and the label."""
    seed = bytes(range(32))
    key = XWing.from_seed(Secret(seed))
    shared, enc = XWing.encapsulate(key.public)
    long = hashlib.shake_256(seed).digest(96)
    first = MLKEM768PrivateKey.from_seed_bytes(long[:64]).decapsulate(enc[:1088])
    second = X25519PrivateKey.from_private_bytes(long[64:]).exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    label = bytes.fromhex("5c2e2f2f5e5c")
    assert shared.reveal() == hashlib.sha3_256(first + second + enc[1088:] + key.public[1184:] + label).digest()


@each_kem
def test_a_changed_encapsulation_gives_another_secret(which: kem.Kem) -> None:
    key = which.generate(os.urandom)
    shared, enc = which.encapsulate(key.public)
    for place in {0, which.ENC_BYTES // 2, which.ENC_BYTES - 2}:
        changed = bytearray(enc)
        changed[place] ^= 1
        assert key.decapsulate(bytes(changed)) != shared


@each_kem
def test_an_encapsulation_of_another_length_is_refused(which: kem.Kem) -> None:
    key = which.generate(os.urandom)
    for length in (0, which.ENC_BYTES - 1, which.ENC_BYTES + 1):
        with silent_failure():
            key.decapsulate(bytes(length))


@each_kem
@pytest.mark.parametrize("low", LOW_ORDER, ids=bytes.hex)
@pytest.mark.parametrize("sign", [0, 0x80])
def test_a_secret_of_zeros_is_refused(which: kem.Kem, low: bytes, sign: int) -> None:
    low = low[:31] + bytes((low[31] | sign,))
    key = which.generate(os.urandom)
    _, enc = which.encapsulate(key.public)
    with silent_failure():
        key.decapsulate(enc[:-32] + low)
    with pytest.raises(errors.Malformed):
        which.encapsulate(key.public[:-32] + low)


@each_kem
def test_a_public_key_of_another_length_is_refused(which: kem.Kem) -> None:
    for length in (0, 32 - 1, which.PUBLIC_BYTES - 1, which.PUBLIC_BYTES + 1):
        with pytest.raises(errors.WrongLength):
            which.encapsulate(bytes(length))


def test_an_ml_kem_key_with_a_coefficient_above_q_is_refused() -> None:
    key = XWing.generate(os.urandom)
    with pytest.raises(errors.Malformed):
        XWing.encapsulate(b"\xff\xff\xff" + key.public[3:])


@each_kem
def test_a_seed_of_another_length_is_refused(which: kem.Kem) -> None:
    for length in (0, 31, 33, 64):
        with pytest.raises(errors.WrongLength):
            which.from_seed(Secret(bytes(length)))
    with pytest.raises(errors.WrongLength):
        which.generate(lambda length: bytes(length + 1))


@each_kem
def test_what_is_no_bytes_is_refused(which: kem.Kem) -> None:
    text: Any = "x" * 32
    for call in (which.from_seed, which.derive, which.encapsulate, which.generate(os.urandom).decapsulate):
        with pytest.raises(errors.InvalidArgument):
            call(text)


@each_kem
def test_a_private_key_shows_and_pickles_nothing(which: kem.Kem) -> None:
    key = which.from_seed(Secret(bytes(range(32))))
    assert bytes(range(32)).hex() not in repr(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(key)
