from __future__ import annotations

import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tacit import errors
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.crypto.verify import verify_ed25519

# RFC 8032 §7.1, tests 1 to 3
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd"
        "25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c3"
        "87b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594"
        "a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    key = Ed25519Key.from_seed(Secret(bytes.fromhex(seed)))
    assert key.public.hex() == public
    assert key.seed == Secret(bytes.fromhex(seed))
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert verify_ed25519(key.public, bytes.fromhex(message), bytes.fromhex(signature))


def test_signatures_are_those_of_another_library() -> None:
    seed = bytes(range(32))
    other = Ed25519PrivateKey.from_private_bytes(seed)
    key = Ed25519Key.from_seed(Secret(seed))
    for length in (0, 1, 64, 1000):
        assert key.sign(bytes(length)) == other.sign(bytes(length))


def test_a_key_is_made_of_injected_randomness() -> None:
    asked: list[int] = []

    def random(length: int) -> bytes:
        asked.append(length)
        return b"r" * length

    assert Ed25519Key.generate(random).public == Ed25519Key.from_seed(Secret(b"r" * 32)).public
    assert asked == [32]


def test_a_source_that_gives_too_little_is_refused() -> None:
    with pytest.raises(errors.WrongLength):
        Ed25519Key.generate(lambda length: bytes(length - 1))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(errors.WrongLength):
        Ed25519Key.from_seed(Secret(bytes(length)))


def test_a_bare_seed_and_a_text_are_refused() -> None:
    with pytest.raises(errors.InvalidArgument):
        Ed25519Key.from_seed(bytes(32))  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidArgument):
        Ed25519Key.from_seed(Secret(bytes(32))).sign("text")  # type: ignore[arg-type]


def test_a_key_shows_and_pickles_nothing_secret() -> None:
    seed = bytes(range(32))
    key = Ed25519Key.from_seed(Secret(seed))
    assert repr(key) == f"Ed25519Key(public={key.public.hex()})"
    assert seed.hex() not in repr(key)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(key)
