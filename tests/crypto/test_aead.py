from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from crypto.refusing import silent_failure
from tacit import errors
from tacit.crypto import aead
from tacit.crypto.aead import aes_gcm_open, aes_gcm_seal
from tacit.crypto.secret import Secret

KEY = Secret(bytes(range(32)))
OTHERS = [
    (aead.aes_128_gcm_seal, aead.aes_128_gcm_open, 16, AESGCM),
    (aead.aes_gcm_seal, aead.aes_gcm_open, 32, AESGCM),
    (aead.chacha20_poly1305_seal, aead.chacha20_poly1305_open, 32, ChaCha20Poly1305),
]
each_door = pytest.mark.parametrize(
    ("seal", "open_", "size", "cipher"), OTHERS, ids=["AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"]
)
Door = Callable[[Secret, bytes, bytes, bytes], bytes]
IV = bytes(range(12))


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_what_was_sealed_opens(plaintext: bytes, aad: bytes) -> None:
    sealed = aes_gcm_seal(KEY, IV, plaintext, aad)
    assert len(sealed) == len(plaintext) + 16
    assert aes_gcm_open(KEY, IV, sealed, aad) == plaintext


@given(st.binary(max_size=60), st.integers(min_value=0))
def test_a_changed_bit_does_not_open(plaintext: bytes, where: int) -> None:
    sealed = bytearray(aes_gcm_seal(KEY, IV, plaintext, b"aad"))
    where %= len(sealed) * 8
    sealed[where // 8] ^= 1 << where % 8
    with silent_failure():
        aes_gcm_open(KEY, IV, bytes(sealed), b"aad")


@pytest.mark.parametrize("kept", range(17))
def test_a_ciphertext_that_is_cut_does_not_open(kept: int) -> None:
    with silent_failure():
        aes_gcm_open(KEY, IV, aes_gcm_seal(KEY, IV, b"hi", b"")[:kept], b"")


def test_another_key_iv_or_associated_data_does_not_open() -> None:
    sealed = aes_gcm_seal(KEY, IV, b"hello", b"aad")
    with silent_failure():
        aes_gcm_open(Secret(bytes(32)), IV, sealed, b"aad")
    with silent_failure():
        aes_gcm_open(KEY, bytes(12), sealed, b"aad")
    with silent_failure():
        aes_gcm_open(KEY, IV, sealed, b"add")


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(errors.WrongLength):
        aes_gcm_seal(Secret(bytes(length)), IV, b"", b"")
    with pytest.raises(errors.WrongLength):
        aes_gcm_open(Secret(bytes(length)), IV, bytes(16), b"")


@pytest.mark.parametrize("length", [0, 8, 11, 13, 16])
def test_an_iv_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(errors.WrongLength):
        aes_gcm_seal(KEY, bytes(length), b"", b"")
    with pytest.raises(errors.WrongLength):
        aes_gcm_open(KEY, bytes(length), bytes(16), b"")


def test_more_than_the_library_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aead, "LONGEST", 20)
    sealed = aes_gcm_seal(KEY, IV, b"text", bytes(20))
    assert aes_gcm_open(KEY, IV, sealed, bytes(20)) == b"text"
    for plaintext, aad in ((bytes(21), b""), (b"", bytes(21))):
        with pytest.raises(errors.WrongLength):
            aes_gcm_seal(KEY, IV, plaintext, aad)
        with pytest.raises(errors.WrongLength):
            aes_gcm_open(KEY, IV, plaintext, aad)


@pytest.mark.parametrize("place", range(4))
def test_what_is_no_bytes_is_refused(place: int) -> None:
    arguments: list[object] = [KEY, IV, bytes(16), b""]
    arguments[place] = "x" * 12
    for door in (aes_gcm_seal, aes_gcm_open):
        with pytest.raises(errors.InvalidArgument):
            door(*arguments)  # type: ignore[arg-type]


def test_a_bare_key_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument):
        aes_gcm_seal(bytes(32), IV, b"", b"")  # type: ignore[arg-type]


@each_door
def test_every_door_is_its_cipher(seal: Door, open_: Door, size: int, cipher: aead.Cipher) -> None:
    raw = bytes(range(size))
    sealed = seal(Secret(raw), IV, b"text", b"aad")
    assert sealed == cipher(raw).encrypt(IV, b"text", b"aad")
    assert open_(Secret(raw), IV, sealed, b"aad") == b"text"
    for key, iv, text, aad in (
        (bytes(size), IV, sealed, b"aad"),
        (raw, bytes(12), sealed, b"aad"),
        (raw, IV, sealed[:-1], b"aad"),
        (raw, IV, sealed, b"add"),
    ):
        with silent_failure():
            open_(Secret(key), iv, text, aad)


@each_door
def test_every_door_has_keys_of_one_length(seal: Door, open_: Door, size: int, cipher: aead.Cipher) -> None:
    for length in {0, 16, 24, 32, size - 1, size + 1} - {size}:
        for door in (seal, open_):
            with pytest.raises(errors.WrongLength):
                door(Secret(bytes(length)), IV, bytes(16), b"")
    for door in (seal, open_):
        with pytest.raises(errors.WrongLength):
            door(Secret(bytes(size)), bytes(8), bytes(16), b"")
