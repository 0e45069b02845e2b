from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import errors
from tacit.crypto import digest
from tacit.crypto.secret import Secret


def test_hashes_of_the_standard() -> None:
    # FIPS 180-4's example "abc"
    assert digest.sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_other_hashes_of_the_standard() -> None:
    # FIPS 180-4's example "abc", and FIPS 202's empty message
    assert digest.sha384(b"abc").hex() == (
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
    )
    assert digest.sha512(b"abc").hex() == (
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    )
    assert digest.shake256(b"", 32).hex() == "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f"


@pytest.mark.parametrize("length", [-1, 0])
def test_a_hash_of_no_length_is_refused(length: int) -> None:
    with pytest.raises(errors.WrongLength):
        digest.shake256(b"", length)


def test_other_hmacs_of_the_standard() -> None:
    # RFC 4231 §4.3
    message = b"what do ya want for nothing?"
    assert digest.hmac_sha384(Secret(b"Jefe"), message).hex() == (
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"
    )
    assert digest.hmac_sha512(b"Jefe", message).hex() == (
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
    )


def test_what_is_no_bytes_is_refused() -> None:
    text: Any = "text"
    for call in (digest.sha256, digest.sha384, digest.sha512, lambda data: digest.shake256(data, 1)):
        with pytest.raises(errors.InvalidArgument):
            call(text)
    for mac in (digest.hmac_sha256, digest.hmac_sha384, digest.hmac_sha512):
        for key, data in ((text, b""), (b"", text)):
            with pytest.raises(errors.InvalidArgument):
                mac(key, data)


def test_hmac_of_the_standard() -> None:
    # RFC 4231 §4.3
    made = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    message = b"what do ya want for nothing?"
    assert digest.hmac_sha256(b"Jefe", message).hex() == made
    assert digest.hmac_sha256(Secret(b"Jefe"), message).hex() == made


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_hmac_is_the_two_hashes_of_rfc_2104(key: bytes, data: bytes) -> None:
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + data).digest()
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()
    assert digest.hmac_sha256(key, data) == outer


def test_equality_of_bytes() -> None:
    assert digest.equal(b"abc", b"abc")
    assert not digest.equal(b"abc", b"abd")
    assert not digest.equal(b"abc", b"abcd")


def test_equality_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bytes, bytes]] = []

    def never(first: bytes, second: bytes) -> bool:
        asked.append((first, second))
        return False

    monkeypatch.setattr(hmac, "compare_digest", never)
    assert not digest.equal(b"abc", b"abc")
    assert asked == [(b"abc", b"abc")]
