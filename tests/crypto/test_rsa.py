from __future__ import annotations

import copy
import hashlib
import pickle
import sys
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.asymmetric import rsa as pyca
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from crypto.refusing import silent_failure
from rsa_pool import rsa_key
from tacit import errors
from tacit.crypto import rsa, verify
from tacit.crypto.rsa import RsaKey, generate, unwrap, wrap
from tacit.crypto.secret import Secret

PADDING = OAEP(MGF1(SHA256()), SHA256(), None)


@cache
def theirs(key: RsaKey) -> RSAPrivateKey:
    loaded = load_der_private_key(key.private.reveal(), None)
    assert isinstance(loaded, RSAPrivateKey)
    return loaded


def private_der(key: Any) -> bytes:
    der: bytes = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return der


def spki(key: Any) -> bytes:
    der: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def test_a_key_has_3072_bits_and_two_matching_halves() -> None:
    made = generate()
    private = theirs(made)
    assert private.key_size == 3072
    assert private.public_key().public_numbers().e == 65537
    assert made.public == spki(private.public_key())
    assert len(made.public) == 422
    verify.check_public(verify.RSA, made.public)
    assert verify.looks_secret(made.private.reveal())


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_what_was_wrapped_unwraps(bits: int) -> None:
    key = rsa_key(0, bits)
    assert theirs(key).key_size == bits
    for text in (b"", b"k" * 32, b"x" * (bits // 8 - 66)):
        wrapped = wrap(key.public, text)
        assert len(wrapped) == bits // 8
        assert unwrap(key, wrapped) == theirs(key).decrypt(wrapped, PADDING) == text
    with pytest.raises(errors.WrongLength, match=str(bits // 8 - 66)):
        wrap(key.public, b"x" * (bits // 8 - 65))
    assert wrap(key.public, b"text") != wrap(key.public, b"text")


def test_a_key_of_no_whole_bytes_wraps_as_much_as_it_can() -> None:
    key = RsaKey.from_private(Secret(private_der(pyca.generate_private_key(65537, 2050))))
    text = b"x" * (257 - 66)
    assert unwrap(key, wrap(key.public, text)) == text
    with pytest.raises(errors.WrongLength):
        wrap(key.public, text + b"x")


def test_both_ways_with_the_library() -> None:
    key = rsa_key(0, 2048)
    public = load_der_public_key(key.public)
    assert isinstance(public, pyca.RSAPublicKey)
    assert unwrap(key, public.encrypt(b"text", PADDING)) == b"text"
    assert theirs(key).decrypt(wrap(key.public, b"text", b"label"), OAEP(MGF1(SHA256()), SHA256(), b"label")) == b"text"
    assert unwrap(key, wrap(key.public, b"text", b"label"), b"label") == b"text"


@pytest.mark.parametrize("bits", [0, -1, 1024, 2047, 4097, 8192])
def test_a_key_of_another_size_is_not_made(bits: int) -> None:
    with pytest.raises(errors.InvalidArgument):
        generate(bits)


def test_a_key_is_made_of_its_private_half() -> None:
    key = rsa_key(0, 2048)
    again = RsaKey.from_private(key.private)
    assert (again.private, again.public) == (key.private, key.public)


def test_a_key_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    key = RsaKey.from_private(rsa_key(0, 2048).private)
    wrapped = wrap(key.public, b"text")

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(rsa, "load_der_private_key", never)
    assert [unwrap(key, wrapped) for _ in range(3)] == [b"text"] * 3


def test_a_key_shows_and_pickles_nothing() -> None:
    key = rsa_key(0, 2048)
    assert repr(key) == "RsaKey(2048 bits)"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(key)


@cache
def private_forms() -> dict[str, bytes]:
    good = rsa_key(0, 2048).private.reveal()
    key = theirs(rsa_key(0, 2048))
    return {
        "nothing": b"",
        "noise": bytes(range(200)),
        "cut": good[:-1],
        "a public key": rsa_key(0, 2048).public,
        "encrypted": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")),
        "PEM": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "an X25519 key": private_der(x25519.X25519PrivateKey.generate()),
        "an Ed25519 key": private_der(ed25519.Ed25519PrivateKey.generate()),
        "1024 bits": private_der(pyca.generate_private_key(65537, 1024)),
        "e = 3": private_der(pyca.generate_private_key(3, 2048)),
        "an unknown algorithm": good.replace(bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d0101ff")),
    }


@pytest.mark.parametrize("name", private_forms())
def test_what_is_no_private_key_is_refused(name: str) -> None:
    form = private_forms()[name]
    with pytest.raises(errors.Malformed) as raised:
        RsaKey.from_private(Secret(form))
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert len(raised.value.detail) < 60


@cache
def public_forms() -> dict[str, bytes]:
    good = rsa_key(0, 2048).public
    return {
        "nothing": b"",
        "noise": bytes(range(200)),
        "cut": good[:-1],
        "an X25519 key": spki(x25519.X25519PrivateKey.generate().public_key()),
        "1024 bits": spki(pyca.generate_private_key(65537, 1024).public_key()),
        "4104 bits": spki(pyca.RSAPublicNumbers(65537, 2**4104 - 1).public_key()),
        "e = 3": spki(pyca.RSAPublicNumbers(3, 2**2048 - 1).public_key()),
        "an unknown algorithm": good.replace(bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d0101ff")),
    }


@pytest.mark.parametrize("name", public_forms())
def test_what_is_no_public_key_is_refused(name: str) -> None:
    with pytest.raises(errors.Malformed):
        wrap(public_forms()[name], b"text")


# --- failures to unwrap -----------------------------------------------------------------


def mgf1(seed: bytes, length: int) -> bytes:
    """MGF1 with SHA-256 (RFC 8017 §B.2.1)."""
    blocks = (hashlib.sha256(seed + counter.to_bytes(4, "big")).digest() for counter in range(-(-length // 32)))
    return b"".join(blocks)[:length]


def padded(first: int, label_hash: bytes, rest: bytes, size: int) -> bytes:
    """EME-OAEP with each part as it is given (RFC 8017 §7.1.1)."""
    seed = bytes(range(32))
    block = (label_hash + rest).ljust(size - 33, b"\0")
    masked = bytes(one ^ two for one, two in zip(block, mgf1(seed, len(block)), strict=True))
    masked_seed = bytes(one ^ two for one, two in zip(seed, mgf1(masked, 32), strict=True))
    return bytes((first,)) + masked_seed + masked


@cache
def failing() -> dict[str, bytes]:
    """Ciphertexts that fail in each of the places of RFC 8017 §7.1.2, by an attacker who has the public key."""
    key = rsa_key(0, 2048)
    numbers = theirs(key).public_key().public_numbers()
    public = load_der_public_key(key.public)
    assert isinstance(public, pyca.RSAPublicKey)

    def raw(block: bytes) -> bytes:
        return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(256, "big")

    hashed = hashlib.sha256(b"").digest()
    zeros = bytes(256 - 33 - 32 - 5)
    whole = raw(padded(0, hashed, zeros + b"\x01text", 256))
    assert unwrap(key, whole) == b"text"
    return {
        "empty": b"",
        "one byte short": whole[:-1],
        "one byte long": whole + b"\0",
        "another modulus' length": bytes(384),
        "zero": bytes(256),
        "one": bytes(255) + b"\x01",
        "the modulus": numbers.n.to_bytes(256, "big"),
        "above the modulus": b"\xff" * 256,
        "first byte not zero": raw(padded(1, hashed, zeros + b"\x01text", 256)),
        "another label's hash": raw(padded(0, hashlib.sha256(b"label").digest(), zeros + b"\x01text", 256)),
        "no separator": raw(padded(0, hashed, bytes(256 - 33 - 32), 256)),
        "another separator": raw(padded(0, hashed, zeros + b"\x02text", 256)),
        "first byte and hash": raw(padded(1, bytes(32), zeros + b"\x02text", 256)),
        "a changed byte": whole[:100] + bytes((whole[100] ^ 1,)) + whole[101:],
        "PKCS#1 v1.5": public.encrypt(b"text", PKCS1v15()),
        "SHA-1": public.encrypt(b"text", OAEP(MGF1(SHA1()), SHA1(), None)),
        "MGF1 of SHA-1": public.encrypt(b"text", OAEP(MGF1(SHA1()), SHA256(), None)),
        "a label": wrap(key.public, b"text", b"label"),
        "another key": wrap(rsa_key(1, 2048).public, b"text"),
    }


@pytest.mark.parametrize("name", failing())
def test_every_failure_is_the_same_silent_one(name: str) -> None:
    with silent_failure():
        unwrap(rsa_key(0, 2048), failing()[name])


def test_no_failure_takes_another_way_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines that a failure passes are the same for all, so that none of ours tells them apart."""
    ways: set[tuple[int, ...]] = set()
    rsa._oaep(b"")  # made by whoever comes first, and kept for all
    for ciphertext in failing().values():
        passed: list[int] = []

        def trace(frame: Any, event: str, _: object, passed: list[int] = passed) -> Any:
            if frame.f_code.co_filename != rsa.__file__:
                return None
            passed.append(frame.f_lineno)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            with silent_failure():
                unwrap(rsa_key(0, 2048), ciphertext)
        finally:
            sys.settrace(before)
        ways.add(tuple(passed))
    assert len(ways) == 1
    assert len(next(iter(ways))) > 3


def test_what_is_no_key_or_no_bytes_is_refused() -> None:
    key: Any = rsa_key(0, 2048)
    text: Any = "text"
    for call in (
        lambda: wrap(text, b""),
        lambda: wrap(key.public, text),
        lambda: wrap(key.public, b"", text),
        lambda: unwrap(key, text),
        lambda: unwrap(key, b"", text),
        lambda: unwrap(key.private, bytes(256)),
        lambda: RsaKey.from_private(key.private.reveal()),
    ):
        with pytest.raises(errors.InvalidArgument):
            call()
