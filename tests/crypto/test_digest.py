from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.crypto import digest
from tacit.crypto.secret import Secret


def test_hashes_of_the_standard() -> None:
    # FIPS 180-4's example "abc"
    assert digest.sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


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
