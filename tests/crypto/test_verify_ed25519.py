"""PROTOCOL's rule for Ed25519. Each case is shown to be a signature that a laxer verifier takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import nacl.bindings
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.exceptions import BadSignatureError

from crypto.edwards import (
    BASE,
    NEUTRAL,
    TORSION,
    L,
    P,
    add,
    challenge,
    decoded,
    encoded,
    multiplied,
    negated,
    scalar_of,
    verifies,
)
from tacit import errors
from tacit.crypto import verify
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.crypto.verify import verify_ed25519

SEED = hashlib.sha256(b"a signer").digest()
SIGNER = Ed25519Key.from_seed(Secret(SEED))
SCALAR = scalar_of(SEED)
GUARDS = ("has_small_order", "point_is_canonical", "scalar_is_reduced")
TAKES_ALL = {"has_small_order": False, "point_is_canonical": True, "scalar_is_reduced": True}

SMALL_ORDER = sorted(
    {
        (y + lift | sign << 255).to_bytes(32, "little")
        for _, y in TORSION
        for lift in (0, P)
        for sign in (0, 1)
        if y + lift < 2**255
    }
)


def pyca(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def lax(public: bytes, message: bytes, signature: bytes) -> bool:
    return verifies(public, message, signature)


def cofactored(public: bytes, message: bytes, signature: bytes) -> bool:
    return verifies(public, message, signature, cofactor=8)


def anything(public: bytes, message: bytes, signature: bytes) -> bool:
    return True


Verifier = Callable[[bytes, bytes, bytes], bool]
Put = Callable[[Verifier], None]


@pytest.fixture
def primitive(monkeypatch: pytest.MonkeyPatch) -> Put:
    """Puts another verifier in the place of libsodium, so that only the door's own checks are left."""

    def put(verifier: Verifier) -> None:
        def stand_in(signed: bytes, public: bytes) -> bytes:
            if not verifier(public, signed[64:], signed[:64]):
                raise BadSignatureError
            return signed[64:]

        monkeypatch.setattr(nacl.bindings, "crypto_sign_open", stand_in)

    return put


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Takes one of the door's checks away."""

    def take(guard: str) -> None:
        monkeypatch.setattr(verify, guard, lambda _: TAKES_ALL[guard])

    return take


def test_the_arithmetic_of_these_tests_agrees_with_the_libraries() -> None:
    signature = SIGNER.sign(b"hello")
    assert encoded(multiplied(SCALAR, BASE)) == SIGNER.public
    assert all(check(SIGNER.public, b"hello", signature) for check in (lax, pyca, verify_ed25519))
    assert not any(check(SIGNER.public, b"hallo", signature) for check in (lax, pyca, verify_ed25519))
    assert len(set(TORSION)) == 8
    assert all(multiplied(8, point) == NEUTRAL for point in TORSION)
    assert len(SMALL_ORDER) == 14
    assert {decoded(encoding) for encoding in SMALL_ORDER} == set(TORSION)


@pytest.mark.parametrize("bit", [0, 7, 100, 255, 256, 300, 500, 511])
def test_a_changed_signature_is_refused(bit: int) -> None:
    signature = bytearray(SIGNER.sign(b"hello"))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify_ed25519(SIGNER.public, b"hello", bytes(signature))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_verifies_nothing(length: int, primitive: Put) -> None:
    primitive(anything)
    assert not verify_ed25519(b"k" * length, b"hello", SIGNER.sign(b"hello"))


@pytest.mark.parametrize("length", [0, 32, 63, 65, 128])
def test_a_signature_of_another_length_does_not_verify(length: int, primitive: Put) -> None:
    primitive(anything)
    signature = SIGNER.sign(b"hello")
    assert not verify_ed25519(SIGNER.public, b"hello", (signature * 2)[:length])


def test_what_is_no_bytes_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument):
        verify_ed25519(SIGNER.public, "hello", SIGNER.sign(b"hello"))  # type: ignore[arg-type]


# --- small order ------------------------------------------------------------------------


def forged_under(public: bytes) -> tuple[bytes, bytes]:
    """A message and a signature that the plain equation takes under a key of small order; no secret is needed."""
    key = decoded(public)
    assert key is not None
    scalar = 123456789
    for turn in range(1000):
        message = f"pay {turn}".encode()
        for guess in TORSION:
            nonce = encoded(add(multiplied(scalar, BASE), negated(guess)))
            if multiplied(challenge(nonce, public, message), key) == guess:
                return message, nonce + scalar.to_bytes(32, "little")
    raise AssertionError


@pytest.mark.parametrize("public", SMALL_ORDER, ids=bytes.hex)
def test_a_forgery_under_a_key_of_small_order_is_refused(public: bytes, primitive: Put) -> None:
    message, signature = forged_under(public)
    assert lax(public, message, signature)
    assert not verify_ed25519(public, message, signature)
    primitive(lax)
    assert not verify_ed25519(public, message, signature)


def test_pyca_alone_takes_a_forgery_under_the_identity_key() -> None:
    identity = encoded(NEUTRAL)
    assert pyca(identity, *forged_under(identity))


@pytest.mark.parametrize("public", SMALL_ORDER, ids=bytes.hex)
def test_without_the_check_of_small_order_the_forgery_is_taken(
    public: bytes, primitive: Put, unguarded: Callable[[str], None]
) -> None:
    primitive(lax)
    unguarded("has_small_order")
    unguarded("point_is_canonical")
    assert verify_ed25519(public, *forged_under(public))


def nonce_of_small_order(nonce: bytes) -> tuple[bytes, bytes]:
    """A message and a signature with a known R of small order, made with the key: it fits any such R, with cofactor."""
    message = b"hello"
    scalar = challenge(nonce, SIGNER.public, message) * SCALAR % L
    return message, nonce + scalar.to_bytes(32, "little")


@pytest.mark.parametrize("nonce", SMALL_ORDER, ids=bytes.hex)
def test_a_nonce_point_of_small_order_is_refused(
    nonce: bytes, primitive: Put, unguarded: Callable[[str], None]
) -> None:
    message, signature = nonce_of_small_order(nonce)
    assert not verify_ed25519(SIGNER.public, message, signature)
    primitive(cofactored)
    assert not verify_ed25519(SIGNER.public, message, signature)
    unguarded("has_small_order")
    assert verify_ed25519(SIGNER.public, message, signature)


def test_pyca_alone_takes_the_identity_as_nonce_point() -> None:
    assert pyca(SIGNER.public, *nonce_of_small_order(encoded(NEUTRAL)))


# --- one encoding -----------------------------------------------------------------------


@pytest.mark.parametrize("times", range(1, 16))
def test_a_scalar_that_is_not_reduced_is_refused(times: int, primitive: Put, unguarded: Callable[[str], None]) -> None:
    signature = SIGNER.sign(b"hello")
    scalar = int.from_bytes(signature[32:], "little") + times * L
    second = signature[:32] + scalar.to_bytes(32, "little")
    assert lax(SIGNER.public, b"hello", second)
    assert not verify_ed25519(SIGNER.public, b"hello", second)
    primitive(lax)
    assert not verify_ed25519(SIGNER.public, b"hello", second)
    unguarded("scalar_is_reduced")
    assert verify_ed25519(SIGNER.public, b"hello", second)


def test_the_bound_of_the_scalar_is_exact() -> None:
    assert verify.scalar_is_reduced((L - 1).to_bytes(32, "little"))
    assert not verify.scalar_is_reduced(L.to_bytes(32, "little"))


NOT_CANONICAL = [(y | sign << 255).to_bytes(32, "little") for y in range(P, 2**255) for sign in (0, 1)]


@pytest.mark.parametrize("public", NOT_CANONICAL, ids=bytes.hex)
def test_a_key_that_is_not_canonical_is_refused(
    public: bytes, primitive: Put, unguarded: Callable[[str], None]
) -> None:
    # Nobody knows the discrete logarithm of those that are not of small order, so the verifier is one that takes all.
    signature = SIGNER.sign(b"hello")
    assert not verify_ed25519(public, b"hello", signature)
    primitive(anything)
    assert not verify_ed25519(public, b"hello", signature)
    unguarded("point_is_canonical")
    assert verify_ed25519(public, b"hello", signature) == (public not in SMALL_ORDER)


def test_the_bound_of_the_coordinate_is_exact() -> None:
    for sign in (0, 1):
        assert verify.point_is_canonical((P - 1 | sign << 255).to_bytes(32, "little"))
        assert not verify.point_is_canonical((P | sign << 255).to_bytes(32, "little"))


# --- no cofactor ------------------------------------------------------------------------


def mixed(key_torsion: int, nonce_torsion: int, message: bytes) -> tuple[bytes, bytes]:
    """A public key and a signature whose points have a part of small order, made with the key."""
    public = encoded(add(multiplied(SCALAR, BASE), TORSION[key_torsion]))
    nonce = encoded(add(multiplied(987654321, BASE), TORSION[nonce_torsion]))
    scalar = (987654321 + challenge(nonce, public, message) * SCALAR) % L
    return public, nonce + scalar.to_bytes(32, "little")


def test_the_equation_is_without_the_cofactor(primitive: Put) -> None:
    taken = refused = 0
    for key_torsion in range(8):
        for nonce_torsion in range(8):
            message = f"{key_torsion} {nonce_torsion}".encode()
            public, signature = mixed(key_torsion, nonce_torsion, message)
            exact = lax(public, message, signature)
            assert cofactored(public, message, signature)
            assert verify_ed25519(public, message, signature) == exact == pyca(public, message, signature)
            taken, refused = taken + exact, refused + (not exact)
    assert taken > 1
    assert refused > 32
    # A verifier with the cofactor in libsodium's place is found by the assertions above.
    primitive(cofactored)
    public, signature = mixed(0, 1, b"hello")
    assert verify_ed25519(public, b"hello", signature)
