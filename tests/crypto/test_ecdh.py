from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import low_order
from tacit import errors
from tacit.crypto import ecdh, scalar
from tacit.crypto.curves import P256, P384, P521, Curve
from tacit.crypto.secret import Secret

NIST: dict[type[ecdh.EcdhKey], Curve] = {ecdh.P256: P256, ecdh.P384: P384, ecdh.P521: P521}
GROUPS = [ecdh.X25519, ecdh.X448, *NIST]
each_group = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
each_curve = pytest.mark.parametrize("curve", [P256, P384, P521], ids=lambda curve: curve.name)


def seed_of(group: type[ecdh.EcdhKey]) -> Secret:
    return group.draw(lambda _: bytes(range(1, group.SEED_BYTES + 1)))


@each_group
def test_two_keys_agree(group: type[ecdh.EcdhKey]) -> None:
    ours, theirs = group.from_seed(seed_of(group)), group.ephemeral()
    assert len(ours.public) == len(theirs.public) == group.PUBLIC_BYTES
    agreed = ours.agree(theirs.public)
    assert agreed == theirs.agree(ours.public)
    assert len(agreed) == group.SEED_BYTES
    assert agreed != ours.agree(group.ephemeral().public)
    assert group.from_seed(seed_of(group)).public == ours.public


@each_group
def test_ephemeral_keys_differ(group: type[ecdh.EcdhKey]) -> None:
    assert group.ephemeral().public != group.ephemeral().public


@each_group
def test_a_seed_of_another_length_is_refused(group: type[ecdh.EcdhKey]) -> None:
    for length in (0, group.SEED_BYTES - 1, group.SEED_BYTES + 1):
        with pytest.raises(errors.WrongLength):
            group.from_seed(Secret(bytes(length)))
    with pytest.raises(errors.InvalidArgument):
        group.from_seed(bytes(group.SEED_BYTES))  # type: ignore[arg-type]


@each_group
def test_a_public_key_of_another_length_is_refused(group: type[ecdh.EcdhKey]) -> None:
    key = group.from_seed(seed_of(group))
    for length in (0, 1, group.PUBLIC_BYTES - 1, group.PUBLIC_BYTES + 1):
        with pytest.raises(errors.WrongLength):
            key.agree(bytes(length))
    text: Any = "x" * group.PUBLIC_BYTES
    with pytest.raises(errors.InvalidArgument):
        key.agree(text)


@each_group
def test_a_key_shows_and_pickles_nothing(group: type[ecdh.EcdhKey]) -> None:
    key = group.from_seed(seed_of(group))
    assert seed_of(group).reveal().hex() not in repr(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(key)


# --- N1: low order, infinity, off the curve ---------------------------------------------


@pytest.mark.parametrize("public", low_order.X25519, ids=bytes.hex)
def test_an_x25519_result_of_zeros_is_refused(public: bytes) -> None:
    for key in (ecdh.X25519.from_seed(seed_of(ecdh.X25519)), ecdh.X25519.ephemeral()):
        with pytest.raises(errors.Malformed, match="low order"):
            key.agree(public)


@pytest.mark.parametrize("public", low_order.X448, ids=bytes.hex)
def test_an_x448_result_of_zeros_is_refused(public: bytes) -> None:
    for key in (ecdh.X448.from_seed(seed_of(ecdh.X448)), ecdh.X448.ephemeral()):
        with pytest.raises(errors.Malformed, match="low order"):
            key.agree(public)


@each_curve
@pytest.mark.parametrize("name", low_order.not_of_the_curve(ec.SECP256R1()))
def test_what_is_no_uncompressed_point_is_refused(curve: Curve, name: str) -> None:
    (group,) = (group for group, of in NIST.items() if of is curve)
    public = low_order.not_of_the_curve(low_order.NIST[curve.name])[name]
    wanted = errors.Malformed if len(public) == curve.public_bytes else errors.WrongLength
    with pytest.raises(wanted):
        group.from_seed(seed_of(group)).agree(public)


@each_curve
def test_a_library_that_reads_other_forms_is_not_asked(curve: Curve, monkeypatch: pytest.MonkeyPatch) -> None:
    good = scalar.public_point(ec.derive_private_key(5, curve.group))
    key = curve.point(good)
    monkeypatch.setattr(ec.EllipticCurvePublicKey, "from_encoded_point", lambda group, public: key)
    assert curve.point(good) is key
    for first in set(range(256)) - {4}:
        with pytest.raises(errors.Malformed):
            curve.point(bytes((first,)) + good[1:])


@each_curve
def test_a_point_of_another_curve_is_refused(curve: Curve) -> None:
    other = ec.derive_private_key(7, low_order.NIST["P-384" if curve is P256 else "P-256"])
    with pytest.raises(errors.WrongLength):
        curve.point(scalar.public_point(other))


# --- scalars ----------------------------------------------------------------------------


@each_curve
def test_a_scalar_is_at_least_1_and_below_the_order(curve: Curve) -> None:
    for good in (1, 2, curve.order - 1):
        key = scalar.private_key(curve, Secret(good.to_bytes(curve.size, "big")))
        assert key.private_numbers().private_value == good
    for bad in (0, curve.order, curve.order + 1, 2 ** (8 * curve.size) - 1):
        with pytest.raises(errors.InvalidArgument) as raised:
            scalar.private_key(curve, Secret(bad.to_bytes(curve.size, "big")))
        assert str(bad) not in raised.value.detail
    for group, of in NIST.items():
        if of is curve:
            with pytest.raises(errors.InvalidArgument):
                group.from_seed(Secret(bytes(curve.size)))


@each_curve
def test_what_is_no_scalar_is_drawn_again(curve: Curve) -> None:
    tries = [0, curve.order, curve.order, 5]
    asked: list[int] = []

    def candidate(counter: int) -> bytes:
        asked.append(counter)
        return tries[counter].to_bytes(curve.size, "big")

    assert scalar.draw(curve, candidate) == Secret((5).to_bytes(curve.size, "big"))
    assert asked == [0, 1, 2, 3]


@each_curve
def test_a_source_without_scalars_comes_to_an_end(curve: Curve) -> None:
    asked: list[int] = []

    def zeros(counter: int) -> bytes:
        asked.append(counter)
        return bytes(curve.size)

    with pytest.raises(errors.InvalidArgument):
        scalar.draw(curve, zeros)
    assert asked == list(range(256))


@each_curve
def test_a_candidate_of_another_length_is_refused(curve: Curve) -> None:
    for length in (curve.size - 1, curve.size + 1):
        with pytest.raises(errors.WrongLength):
            scalar.draw(curve, lambda _, length=length: bytes(length))  # type: ignore[misc]


def test_p_521_has_no_more_than_its_bits() -> None:
    drawn = scalar.draw(P521, lambda _: b"\xfe" + bytes(64) + b"\x07")
    assert drawn == Secret(bytes(65) + b"\x07")
    # Only the lowest bit of the first byte counts, and with it nearly all numbers are below the order.
    assert scalar.draw(P521, lambda _: b"\xff" + bytes(65)) == Secret(b"\x01" + bytes(65))
    assert scalar.draw(P256, lambda _: b"\xfe" + bytes(31)) == Secret(b"\xfe" + bytes(31))


@each_curve
@given(st.data())
@settings(max_examples=20)
def test_every_scalar_makes_a_point_of_the_curve(curve: Curve, data: st.DataObject) -> None:
    number = data.draw(st.integers(1, curve.order - 1))
    key = scalar.private_key(curve, Secret(number.to_bytes(curve.size, "big")))
    assert curve.point(scalar.public_point(key)) == key.public_key()
