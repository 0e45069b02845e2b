"""The rule for Ed448. Where a check matters, it is shown that without it a forgery is taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey

from tacit import errors
from tacit.crypto import goldilocks, verify
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed448Key
from tacit.crypto.verify import verify_ed448

P = 2**448 - 2**224 - 1
L = 2**446 - 13818066809895115352007386748515426880336692474882178609894547503885
D = -39081
SIGNER = Ed448Key.from_seed(Secret(bytes(range(57))))

SMALL_ORDER = [
    (y | sign << 455).to_bytes(57, "little") for y in (0, 1, P - 1, P, P + 1) for sign in (0, 1)
]  # the points (0, 1), (0, -1), (1, 0) and (-1, 0), and every other way to write them


def x_of(y: int) -> int | None:
    """An x with x² + y² = 1 + d·x²·y², by the square root that p = 3 mod 4 allows (RFC 8032 §5.2.3)."""
    square = (y * y - 1) * pow(D * y * y - 1, -1, P) % P
    x = pow(square, (P + 1) // 4, P)
    return x if (x * x + y * y - 1 - D * x * x * y * y) % P == 0 else None


class Anything:
    """A verifier that takes all, so that only the door's own checks are left."""

    @classmethod
    def from_public_bytes(cls, public: bytes) -> Anything:
        return cls()

    def verify(self, signature: bytes, message: bytes) -> None:
        pass


@pytest.fixture
def taking_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "Ed448PublicKey", Anything)


def test_a_signature_verifies() -> None:
    signature = SIGNER.sign(b"hello")
    assert verify_ed448(SIGNER.public, b"hello", signature)
    assert not verify_ed448(SIGNER.public, b"hallo", signature)
    assert not verify_ed448(Ed448Key.from_seed(Secret(bytes(57))).public, b"hello", signature)


@pytest.mark.parametrize("bit", [0, 7, 300, 455, 456, 500, 800, 905])
def test_a_changed_signature_is_refused(bit: int) -> None:
    signature = bytearray(SIGNER.sign(b"hello"))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify_ed448(SIGNER.public, b"hello", bytes(signature))


@pytest.mark.usefixtures("taking_anything")
def test_another_length_is_refused() -> None:
    signature = SIGNER.sign(b"hello")
    assert verify_ed448(SIGNER.public, b"hello", signature)
    for length in (0, 32, 56, 58):
        assert not verify_ed448(SIGNER.public[:length] + bytes(max(0, length - 57)), b"hello", signature)
    for length in (0, 64, 113, 115):
        assert not verify_ed448(SIGNER.public, b"hello", signature[:length] + bytes(max(0, length - 114)))


def test_the_points_of_small_order_are_points() -> None:
    assert (x_of(1), x_of(P - 1)) == (0, 0)
    assert x_of(0) in (1, P - 1)
    assert len(set(SMALL_ORDER)) == 10


def test_a_key_of_small_order_verifies_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under one of order 4 the library takes a signature of zeros for every message: anybody signs."""
    forged = bytes(114)
    key = bytes(57)
    for message in (b"hello", b"anything", b""):
        assert not verify_ed448(key, message, forged)
    with monkeypatch.context() as without:
        without.setattr(goldilocks, "has_small_order", lambda _: False)
        assert all(verify_ed448(key, message, forged) for message in (b"hello", b"anything", b""))
    Ed448PublicKey.from_public_bytes(key).verify(forged, b"hello")


@pytest.mark.usefixtures("taking_anything")
@pytest.mark.parametrize("point", SMALL_ORDER, ids=bytes.hex)
def test_a_or_r_of_small_order_is_refused(point: bytes) -> None:
    signature = SIGNER.sign(b"hello")
    assert not verify_ed448(point, b"hello", signature)
    assert not verify_ed448(SIGNER.public, b"hello", point + signature[57:])


@pytest.mark.usefixtures("taking_anything")
@pytest.mark.parametrize("y", [P + 2, P + 3, 2**448 - 1, 2**448, 2**455 - 1])
def test_a_key_that_is_not_canonical_verifies_nothing(y: int) -> None:
    for sign in (0, 1):
        assert not verify_ed448((y | sign << 455).to_bytes(57, "little"), b"hello", SIGNER.sign(b"hello"))


@pytest.mark.usefixtures("taking_anything")
@pytest.mark.parametrize(("s", "taken"), [(0, True), (L - 1, True), (L, False), (L + 1, False), (2**456 - 1, False)])
def test_s_is_below_the_order(s: int, taken: bool) -> None:
    signature = SIGNER.sign(b"hello")[:57] + s.to_bytes(57, "little")
    assert verify_ed448(SIGNER.public, b"hello", signature) == taken


def test_the_order_is_that_of_the_library() -> None:
    """S + L is the same scalar, but another signature: the library refuses it as this rule does."""
    signature = SIGNER.sign(b"hello")
    s = int.from_bytes(signature[57:], "little")
    assert s < L
    with pytest.raises(InvalidSignature):
        Ed448PublicKey.from_public_bytes(SIGNER.public).verify(
            signature[:57] + (s + L).to_bytes(57, "little"), b"hello"
        )


def test_a_key_off_the_curve_verifies_nothing() -> None:
    y = next(y for y in range(2, 60) if x_of(y) is None)
    assert not verify_ed448(y.to_bytes(57, "little"), b"hello", SIGNER.sign(b"hello"))


def test_a_library_that_does_not_read_a_key_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreadable(Anything):
        @classmethod
        def from_public_bytes(cls, public: bytes) -> Anything:
            raise ValueError

    monkeypatch.setattr(verify, "Ed448PublicKey", Unreadable)
    assert not verify_ed448(SIGNER.public, b"hello", SIGNER.sign(b"hello"))


@pytest.mark.parametrize("place", range(3))
def test_what_is_no_bytes_is_refused(place: int) -> None:
    arguments: list[object] = [SIGNER.public, b"hello", SIGNER.sign(b"hello")]
    arguments[place] = "text"
    door: Callable[..., bool] = verify_ed448
    with pytest.raises(errors.InvalidArgument):
        door(*arguments)
