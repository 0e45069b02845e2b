from __future__ import annotations

import copy
import hashlib
import os
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from crypto import low_order
from crypto.refusing import silent_failure
from tacit import errors
from tacit.crypto import curves, kem
from tacit.crypto.kem import MLKEM768, P256, P384, P521, X448, X25519, XWing
from tacit.crypto.secret import Secret

KEMS: list[kem.Kem] = [X25519, X448, P256, P384, P521, MLKEM768, XWing]
MONTGOMERY: list[tuple[kem.Kem, bytes]] = [(X25519, low) for low in low_order.X25519] + [
    (XWing, low) for low in low_order.X25519
]
MONTGOMERY += [(X448, low) for low in low_order.X448]
NIST = [(P256, curves.P256), (P384, curves.P384), (P521, curves.P521)]
SECRETS = {X25519: 32, X448: 64, P256: 32, P384: 48, P521: 64, MLKEM768: 32, XWing: 32}
each_kem = pytest.mark.parametrize("which", KEMS, ids=lambda which: which.__name__)


@each_kem
def test_both_sides_get_one_secret(which: kem.Kem) -> None:
    key = which.generate(os.urandom)
    shared, enc = which.encapsulate(key.public)
    assert (len(key.public), len(enc), len(shared)) == (which.PUBLIC_BYTES, which.ENC_BYTES, SECRETS[which])
    assert key.decapsulate(enc) == shared
    assert which.from_seed(key.seed).decapsulate(enc) == shared


@each_kem
def test_two_encapsulations_differ(which: kem.Kem) -> None:
    key = which.generate(os.urandom)
    assert which.encapsulate(key.public) != which.encapsulate(key.public)


@each_kem
def test_a_seed_always_gives_the_same_key(which: kem.Kem) -> None:
    seed = Secret(bytes(range(which.SEED_BYTES)))
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
def test_a_changed_encapsulation_gives_another_secret_or_none(which: kem.Kem) -> None:
    key = which.generate(os.urandom)
    shared, enc = which.encapsulate(key.public)
    for place in {0, which.ENC_BYTES // 2, which.ENC_BYTES - 2}:
        changed = bytearray(enc)
        changed[place] ^= 1
        if issubclass(which, P256 | P384 | P521):
            with silent_failure():
                key.decapsulate(bytes(changed))
        else:
            assert key.decapsulate(bytes(changed)) != shared


@each_kem
def test_another_encapsulation_gives_another_secret(which: kem.Kem) -> None:
    key = which.generate(os.urandom)
    shared, _ = which.encapsulate(key.public)
    other, enc = which.encapsulate(key.public)
    assert key.decapsulate(enc) == other != shared
    assert which.generate(os.urandom).decapsulate(enc) != other


@each_kem
def test_an_encapsulation_of_another_length_is_refused(which: kem.Kem) -> None:
    key = which.generate(os.urandom)
    for length in (0, which.ENC_BYTES - 1, which.ENC_BYTES + 1):
        with silent_failure():
            key.decapsulate(bytes(length))


# --- N1: low order, infinity, off the curve ---------------------------------------------


@pytest.mark.parametrize(
    ("which", "low"), MONTGOMERY, ids=[f"{which.__name__}-{low.hex()}" for which, low in MONTGOMERY]
)
def test_a_secret_of_zeros_is_refused(which: kem.Kem, low: bytes) -> None:
    key = which.generate(os.urandom)
    _, enc = which.encapsulate(key.public)
    with silent_failure():
        key.decapsulate(enc[: -len(low)] + low)
    with pytest.raises(errors.Malformed):
        which.encapsulate(key.public[: -len(low)] + low)


@pytest.mark.parametrize(("which", "curve"), NIST, ids=["P-256", "P-384", "P-521"])
@pytest.mark.parametrize("name", low_order.not_of_the_curve(low_order.NIST["P-256"]))
def test_what_is_no_point_is_refused(which: kem.Kem, curve: curves.Curve, name: str) -> None:
    public = low_order.not_of_the_curve(low_order.NIST[curve.name])[name]
    with silent_failure():
        which.generate(os.urandom).decapsulate(public)
    with pytest.raises((errors.Malformed, errors.WrongLength)):
        which.encapsulate(public)


@each_kem
def test_a_public_key_of_another_length_is_refused(which: kem.Kem) -> None:
    for length in (0, 31, which.PUBLIC_BYTES - 1, which.PUBLIC_BYTES + 1):
        with pytest.raises(errors.WrongLength):
            which.encapsulate(bytes(length))


def test_an_ml_kem_key_with_a_coefficient_above_q_is_refused() -> None:
    for which in (MLKEM768, XWing):
        key = which.generate(os.urandom)
        with pytest.raises(errors.Malformed):
            which.encapsulate(b"\xff\xff\xff" + key.public[3:])


@each_kem
def test_a_seed_of_another_length_is_refused(which: kem.Kem) -> None:
    for length in {0, 31, 33, 64, which.SEED_BYTES - 1, which.SEED_BYTES + 1} - {which.SEED_BYTES}:
        with pytest.raises(errors.WrongLength):
            which.from_seed(Secret(bytes(length)))
    with pytest.raises(errors.WrongLength):
        which.generate(lambda length: bytes(length + 1))


@each_kem
def test_what_is_no_bytes_is_refused(which: kem.Kem) -> None:
    text: Any = "x" * which.PUBLIC_BYTES
    for call in (which.from_seed, which.derive, which.encapsulate, which.generate(os.urandom).decapsulate):
        with pytest.raises(errors.InvalidArgument):
            call(text)


@pytest.mark.parametrize(("which", "curve"), NIST, ids=["P-256", "P-384", "P-521"])
def test_a_derived_scalar_is_tried_again(which: kem.Kem, curve: curves.Curve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of RFC 9180 §7.1.3, whose second turn no vector takes: one candidate in 2^32 or fewer is no scalar."""
    asked: list[tuple[bytes, bytes]] = []
    candidates = [bytes(curve.size), curve.order.to_bytes(curve.size, "big"), bytes(curve.size - 1) + b"\x07"]

    def expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int, using: object) -> bytes:
        asked.append((label, info))
        return candidates[len(asked) - 1]

    monkeypatch.setattr(kem, "labeled_expand", expand)
    assert which.derive(Secret(b"material")).seed == Secret(candidates[2])
    assert asked == [(b"candidate", b"\0"), (b"candidate", b"\1"), (b"candidate", b"\2")]


@pytest.mark.parametrize(("which", "curve"), NIST, ids=["P-256", "P-384", "P-521"])
def test_a_seed_that_is_no_scalar_is_refused(which: kem.Kem, curve: curves.Curve) -> None:
    for number in (0, curve.order):
        with pytest.raises(errors.InvalidArgument):
            which.from_seed(Secret(number.to_bytes(curve.size, "big")))
    drawn = iter([bytes(curve.size), bytes(curve.size - 1) + b"\x07"])
    assert which.generate(lambda _: next(drawn)).seed == Secret(bytes(curve.size - 1) + b"\x07")


@each_kem
def test_a_private_key_shows_and_pickles_nothing(which: kem.Kem) -> None:
    seed = bytes(range(which.SEED_BYTES))
    key = which.from_seed(Secret(seed))
    assert seed.hex() not in repr(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(key)
