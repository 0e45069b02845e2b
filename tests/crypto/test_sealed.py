from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from crypto.refusing import silent_failure
from tacit import errors
from tacit.crypto import sealed
from tacit.crypto.secret import Secret

KEY = Secret(bytes(range(32)))
CHUNK = 16384


def expanded(key: bytes, info: bytes) -> bytes:
    """HKDF-Expand with SHA-512, 76 bytes (RFC 5869 §2.3)."""
    first = hmac.digest(key, info + b"\x01", "sha512")
    return (first + hmac.digest(key, first + info + b"\x02", "sha512"))[:76]


def opened_by_the_specification(key: bytes, context: bytes, data: bytes) -> bytes:
    """c2sp.org/chunked-encryption read word by word, with SHA-512 and AES-256-GCM."""
    salt, commitment, rest = data[:24], data[24:56], data[56:]
    made = expanded(key, b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt + context)
    assert made[44:] == commitment
    cipher, base = AESGCM(made[:32]), int.from_bytes(made[32:44], "big")
    chunks = [rest[at : at + CHUNK + 16] for at in range(0, len(rest), CHUNK + 16)]
    plain = [cipher.decrypt((base ^ i).to_bytes(12, "big"), chunk, b"") for i, chunk in enumerate(chunks)]
    assert all(len(chunk) == CHUNK for chunk in plain[:-1])
    assert len(plain[-1]) < CHUNK
    return b"".join(plain)


@pytest.mark.parametrize("length", [0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_the_bytes_are_those_of_the_specification(length: int) -> None:
    text = bytes(i % 251 for i in range(length))
    data = sealed.seal(KEY, b"context", text)
    assert len(data) == length + 72 + 16 * (length // CHUNK)
    assert opened_by_the_specification(KEY.reveal(), b"context", data) == text
    assert sealed.open(KEY, b"context", data) == text


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_what_was_sealed_opens(context: bytes, plaintext: bytes) -> None:
    data = sealed.seal(KEY, context, plaintext)
    assert len(data) == len(plaintext) + 72
    assert sealed.open(KEY, context, data) == plaintext


def test_sealing_twice_gives_other_bytes() -> None:
    assert sealed.seal(KEY, b"", b"text") != sealed.seal(KEY, b"", b"text")


def test_another_key_or_context_does_not_open() -> None:
    data = sealed.seal(KEY, b"context", b"text")
    with silent_failure():
        sealed.open(Secret(bytes(32)), b"context", data)
    for context in (b"", b"contex", b"context2"):
        with silent_failure():
            sealed.open(KEY, context, data)


@given(st.integers(min_value=0))
def test_a_changed_bit_does_not_open(where: int) -> None:
    data = bytearray(sealed.seal(KEY, b"", b"text"))
    where %= len(data) * 8
    data[where // 8] ^= 1 << where % 8
    with silent_failure():
        sealed.open(KEY, b"", bytes(data))


def test_what_is_cut_extended_or_reordered_does_not_open() -> None:
    data = sealed.seal(KEY, b"", bytes(2 * CHUNK + 5))
    head, body, step = data[:56], data[56:], CHUNK + 16
    for wrong in (
        b"",
        data[:23],
        data[:56],
        data[:71],
        data[:-1],
        data[:-21],
        data[: 56 + step],
        data + b"\0",
        head + body[step : 2 * step] + body[:step] + body[2 * step :],
        head + body[step:],
        data + data,
    ):
        with silent_failure():
            sealed.open(KEY, b"", wrong)


@given(st.binary(max_size=200))
def test_any_bytes_fail_alike(data: bytes) -> None:
    with silent_failure():
        sealed.open(KEY, b"", data)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(errors.WrongLength):
        sealed.seal(Secret(bytes(length)), b"", b"")
    with pytest.raises(errors.WrongLength):
        sealed.open(Secret(bytes(length)), b"", bytes(72))


@pytest.mark.parametrize("place", range(3))
def test_what_is_no_bytes_is_refused(place: int) -> None:
    arguments: list[object] = [KEY, b"", bytes(72)]
    arguments[place] = "text"
    for door in (sealed.seal, sealed.open):
        with pytest.raises(errors.InvalidArgument):
            door(*arguments)  # type: ignore[arg-type]
