from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto import ledger
from crypto.refusing import silent_failure
from tacit import errors
from tacit.crypto import aead
from tacit.crypto.aead import aes_gcm_open, aes_gcm_seal
from tacit.crypto.secret import Secret
from vectors_dir import load

KEY = Secret(bytes(range(32)))
IV = bytes(range(12))


def test_wycheproof() -> None:
    refused: list[str] = []
    opened = 0
    for group in load("wycheproof", "aes_gcm_test.json")["testGroups"]:
        for case in group["tests"]:
            raw, iv, aad, text, sealed, tag = (
                bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")
            )
            key = Secret(raw)
            if group["keySize"] != 256 or group["ivSize"] != 96:
                refused.append(f"key of {group['keySize']} bits, iv of {group['ivSize']} bits")
                with pytest.raises(errors.WrongLength):
                    aes_gcm_seal(key, iv, text, aad)
                with pytest.raises(errors.WrongLength):
                    aes_gcm_open(key, iv, sealed + tag, aad)
            elif case["result"] == "valid":
                assert aes_gcm_seal(key, iv, text, aad) == sealed + tag, case
                assert aes_gcm_open(key, iv, sealed + tag, aad) == text, case
                opened += 1
            else:
                opened += 1
                with silent_failure():
                    aes_gcm_open(key, iv, sealed + tag, aad)
    ledger.settle("aes_gcm_test.json", refused)
    assert opened + len(refused) == 316


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
