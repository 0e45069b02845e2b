from __future__ import annotations

import copy
import os
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tacit import errors
from tacit.crypto import verify
from tacit.crypto.secret import Secret
from tacit.crypto.sign import EcdsaKey, Ed448Key, Ed25519Key, P256Key, P384Key, P521Key
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


# --- ECDSA and Ed448 --------------------------------------------------------------------

ECDSA = [P256Key, P384Key, P521Key]
NUMBERS = {P256Key: verify.P256, P384Key: verify.P384, P521Key: verify.P521}
each_ecdsa = pytest.mark.parametrize("which", ECDSA, ids=lambda which: which.__name__)
each_key = pytest.mark.parametrize("which", [*ECDSA, Ed448Key], ids=lambda which: which.__name__)

# RFC 6979 §A.2.5 to §A.2.7, the message "sample" with the hash that goes with each curve: key, r, s
RFC_6979 = [
    (
        P256Key,
        "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
        "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
        "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
    ),
    (
        P384Key,
        "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
        "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
        "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
    ),
    (
        P521Key,
        "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75CAA896EB32F1F47C70855836A6D16FCC"
        "1466F6D8FBEC67DB89EC0C08B0E996B83538",
        "00C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F174E25A1EE9017B5D450606ADD152B53"
        "4931D7D4E8455CC91F9B15BF05EC36E377FA",
        "00617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF282623EAA63E5B5C0723D8B8C37FF077"
        "7B1A20F8CCB1DCCC43997F1EE0E44DA4A67A",
    ),
]


@pytest.mark.parametrize(("which", "d", "r", "s"), RFC_6979, ids=[which.__name__ for which, *_ in RFC_6979])
def test_rfc_6979(which: type[EcdsaKey], d: str, r: str, s: str) -> None:
    key = which.from_seed(Secret(bytes.fromhex(d)))
    assert key.sign(b"sample").hex().upper() == r + s
    assert key.sign_der(b"sample") == encode_dss_signature(int(r, 16), int(s, 16))
    assert key.seed == Secret(bytes.fromhex(d))


def test_rfc_8032_ed448() -> None:
    # RFC 8032 §7.4, "Blank"
    seed = (
        "6c82a562cb808d10d632be89c8513ebf6c929f34ddfa8c9f63c9960ef6e348a3"
        "528c8a3fcc2f044e39a3fc5b94492f8f032e7549a20098f95b"
    )
    key = Ed448Key.from_seed(Secret(bytes.fromhex(seed)))
    assert key.public.hex() == (
        "5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778"
        "edf124769b46c7061bd6783df1e50f6cd1fa1abeafe8256180"
    )
    assert key.sign(b"").hex() == (
        "533a37f6bbe457251f023c0d88f976ae2dfb504a843e34d2074fd823d41a591f2b233f034f628281f2fd7a22ddd47d78"
        "28c59bd0a21bfd3980ff0d2028d4b18a9df63e006c5d1c2d345b925d8dc00b4104852db99ac5c7cdda8530a113a0f4db"
        "b61149f05a7363268c71d95808ff2e652600"
    )
    assert key.seed == Secret(bytes.fromhex(seed))


@each_ecdsa
def test_an_ecdsa_signature_verifies_in_both_forms(which: type[EcdsaKey]) -> None:
    key = which.generate(os.urandom)
    number, size = NUMBERS[which], which.CURVE.size
    assert len(key.public) == 1 + 2 * size
    assert len(key.seed) == size
    for message in (b"", b"hello", bytes(5000)):
        raw, der = key.sign(message), key.sign_der(message)
        assert len(raw) == 2 * size
        assert key.sign(message) == raw
        assert verify.verify_ecdsa(number, key.public, message, raw)
        assert verify.verify_ecdsa_der(number, key.public, message, der)
        assert not verify.verify_ecdsa(number, key.public, message + b"x", raw)
        assert not verify.verify_ecdsa_der(number, key.public, message + b"x", der)
        assert not verify.verify_ecdsa(number, which.generate(os.urandom).public, message, raw)


def test_a_short_r_or_s_keeps_its_zeros() -> None:
    key = P256Key.from_seed(Secret(bytes(31) + b"\x05"))
    short = next(raw for raw in (key.sign(bytes((one, two))) for one in range(256) for two in range(9)) if not raw[0])
    assert len(short) == 64
    longest = max(len(key.sign_der(bytes((one,)))) for one in range(256))
    assert longest == 72


@each_key
def test_a_key_is_made_of_injected_bytes(which: Any) -> None:
    asked: list[int] = []

    def random(length: int) -> bytes:
        asked.append(length)
        return bytes(range(length))

    made = which.generate(random)
    assert asked == [len(made.seed)]
    assert made.seed == Secret(bytes(range(asked[0])))
    assert made.public == which.from_seed(made.seed).public


@each_ecdsa
def test_what_is_drawn_and_is_no_scalar_is_drawn_again(which: type[EcdsaKey]) -> None:
    size = which.CURVE.size
    drawn = iter([bytes(size), which.CURVE.order.to_bytes(size, "big"), bytes(size - 1) + b"\x07"])
    assert which.generate(lambda _: next(drawn)).seed == Secret(bytes(size - 1) + b"\x07")


@each_ecdsa
def test_a_seed_that_is_no_scalar_is_refused(which: type[EcdsaKey]) -> None:
    curve = which.CURVE
    for number in (0, curve.order, 2 ** (8 * curve.size) - 1):
        with pytest.raises(errors.InvalidArgument):
            which.from_seed(Secret(number.to_bytes(curve.size, "big")))


@each_key
def test_a_seed_has_its_length_and_is_a_secret(which: Any) -> None:
    size = len(which.generate(os.urandom).seed)
    for length in (0, size - 1, size + 1):
        with pytest.raises(errors.WrongLength):
            which.from_seed(Secret(bytes(length)))
    with pytest.raises(errors.WrongLength):
        which.generate(lambda length: bytes(length - 1))
    with pytest.raises(errors.InvalidArgument):
        which.from_seed(bytes(range(size)))
    with pytest.raises(errors.InvalidArgument):
        which.generate(os.urandom).sign("text")


@each_key
def test_a_key_of_another_kind_shows_and_pickles_nothing(which: Any) -> None:
    key = which.generate(os.urandom)
    assert repr(key) == f"{which.__name__}(public={key.public.hex()})"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(key)
