from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import errors
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key, P256Key
from tacit.signed.message import (
    FIELDS,
    Message,
    MessageAad,
    aad_bytes,
    from_fields,
    message_hash,
    sign_and_hash,
    sign_message,
    to_fields,
    verify_message,
)
from tacit.signed.profiles import Profile
from tacit.wire import limits
from tacit.wire.codec import decode, encode

KEY = Ed25519Key.from_seed(Secret(b"k" * 32))
AAD = MessageAad(1, b"r" * 32, b"k" * 32, 3, "alice", "d" * 64, b"i" * 16, 7, "m-1", 1, b"f" * 32)
MESSAGE = Message(AAD, b"v" * 12, b"ciphertext and tag")
AAD_BYTES = (
    b"\x00\x01"
    + b"r" * 32
    + b"k" * 32
    + (3).to_bytes(8, "big")
    + b"\x05alice"
    + b"\x40\x40"
    + b"d" * 64
    + b"i" * 16
    + (7).to_bytes(8, "big")
    + b"\x03m-1"
    + b"\x00\x01"
    + b"f" * 32
)


def labelled(label: bytes, body: bytes) -> bytes:
    return bytes([len(label)]) + label + (0x4000 | len(body)).to_bytes(2, "big") + body


def fields(**changes: Any) -> dict[str, Any]:
    return to_fields(MESSAGE, sign_message(MESSAGE, KEY.sign)) | changes


def test_associated_data_are_the_fields_in_the_specifications_order() -> None:
    assert encode(AAD) == AAD_BYTES
    assert aad_bytes(AAD) == labelled(b"tacit/1 message aad", AAD_BYTES)


def test_signature_and_hash_are_over_the_whole_message() -> None:
    body = AAD_BYTES + b"v" * 12 + b"\x12ciphertext and tag"
    assert encode(MESSAGE) == body
    assert decode(Message, body) == MESSAGE
    assert KEY.sign(labelled(b"tacit/1 message", body)) == sign_message(MESSAGE, KEY.sign)
    assert message_hash(MESSAGE) == hashlib.sha256(labelled(b"tacit/1 message hash", body)).digest()


def test_signature_and_hash_are_the_same_where_the_associated_data_is_encoded_already() -> None:
    expected = sign_message(MESSAGE, KEY.sign), message_hash(MESSAGE)
    assert sign_and_hash(encode(AAD), MESSAGE, KEY.sign) == expected
    assert verify_message(MESSAGE, expected[0], KEY.public, Profile.STANDARD).value == MESSAGE
    key = P256Key.from_seed(Secret(b"k" * 32))
    signature, digest = sign_and_hash(encode(AAD), MESSAGE, key.sign)
    assert (signature, digest) == (sign_message(MESSAGE, key.sign), message_hash(MESSAGE))
    assert verify_message(MESSAGE, signature, key.public, Profile.FIPS).value == MESSAGE


def test_a_message_is_verified_under_its_devices_key() -> None:
    signature = sign_message(MESSAGE, KEY.sign)
    assert verify_message(MESSAGE, signature, KEY.public, Profile.STANDARD).value == MESSAGE
    other = Ed25519Key.from_seed(Secret(b"o" * 32))
    with pytest.raises(errors.BadSignature):
        verify_message(MESSAGE, other.sign(b"something"), KEY.public, Profile.STANDARD)


def test_the_json_object_has_exactly_the_specified_fields() -> None:
    made = fields()
    assert list(made) == list(FIELDS)
    assert made["tag"] == ""
    assert base64.b64decode(made["encryptedText"]) == MESSAGE.ciphertext
    assert (made["senderId"], made["deviceId"], made["epoch"], made["counter"]) == ("alice", "d" * 64, 3, 7)
    assert made["recordHash"] == (b"r" * 32).hex()


aads = st.builds(
    MessageAad,
    st.just(1),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.integers(0, (1 << 53) - 1),
    st.text(min_size=1, max_size=60),
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.binary(min_size=16, max_size=16),
    st.integers(0, (1 << 53) - 1),
    st.text(min_size=1, max_size=60),
    st.integers(0, 0xFFFF),
    st.binary(min_size=32, max_size=32),
)


@given(st.builds(Message, aads, st.binary(min_size=12, max_size=12), st.binary(min_size=16, max_size=300)))
def test_any_message_comes_back_out_of_its_json(message: Message) -> None:
    signature = sign_message(message, KEY.sign)
    assert from_fields(to_fields(message, signature)) == (message, signature)


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_field_is_refused(name: str) -> None:
    made = fields()
    del made[name]
    with pytest.raises(errors.MalformedJson, match=name):
        from_fields(made)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [None, True, 1.0, [], {}])
def test_a_field_of_another_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(errors.MalformedJson, match=name):
        from_fields(fields(**{name: value}))


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(errors.UnknownField, match="nonce"):
        from_fields(fields(nonce=""))


LONG = "x" * (limits.ID_BYTES + 1)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("version", 2, errors.UnknownVersion),
        ("version", 0, errors.UnknownVersion),
        ("tag", "AAAA", errors.WrongLength),
        ("epoch", -1, errors.Malformed),
        ("epoch", 1 << 53, errors.Malformed),
        ("counter", -1, errors.Malformed),
        ("counter", 1 << 53, errors.Malformed),
        ("contentType", -1, errors.Malformed),
        ("contentType", 1 << 16, errors.Malformed),
        ("senderId", "", errors.WrongLength),
        ("senderId", LONG, errors.WrongLength),
        ("senderId", "\ud800", errors.Malformed),
        ("clientMessageId", "", errors.WrongLength),
        ("clientMessageId", "ä" * 128, errors.WrongLength),
        ("deviceId", "d" * 62, errors.WrongLength),
        ("deviceId", "D" * 64, errors.Malformed),
        ("deviceId", "g" * 64, errors.Malformed),
        ("recordHash", "00", errors.WrongLength),
        ("keyId", "K" * 64, errors.Malformed),
        ("instanceId", base64.b64encode(bytes(15)).decode(), errors.WrongLength),
        ("instanceId", "00" * 16, errors.TooLarge),
        ("frankingTag", "", errors.WrongLength),
        ("frankingTag", "f" * 64, errors.TooLarge),
        ("iv", base64.b64encode(bytes(11)).decode(), errors.WrongLength),
        ("iv", base64.b64encode(bytes(13)).decode(), errors.TooLarge),
        ("iv", "AAAAAAAAAAAAAAA", errors.Base64NotCanonical),
        ("encryptedText", base64.b64encode(bytes(15)).decode(), errors.WrongLength),
        ("encryptedText", base64.b64encode(bytes(limits.CIPHERTEXT_BYTES + 1)).decode(), errors.TooLarge),
        ("encryptedText", "AAAAAAAAAAAAAAAAAAAAAAB=", errors.Base64NotCanonical),
        ("encryptedText", "AAAAAAAAAAAAAAAAAAAAAAA= ", errors.Base64NotCanonical),
        ("signature", "*", errors.Base64NotCanonical),
        ("signature", base64.b64encode(bytes(limits.SIGNATURE_BYTES + 1)).decode(), errors.TooLarge),
    ],
)
def test_a_field_outside_its_limits_is_refused(name: str, value: Any, error: type[errors.TacitError]) -> None:
    with pytest.raises(error):
        from_fields(fields(**{name: value}))


def test_the_largest_values_are_taken() -> None:
    made = fields(
        epoch=(1 << 53) - 1,
        counter=0,
        contentType=0xFFFF,
        senderId="x" * limits.ID_BYTES,
        encryptedText=base64.b64encode(bytes(limits.CIPHERTEXT_BYTES)).decode(),
    )
    message, _ = from_fields(made)
    assert len(message.ciphertext) == limits.CIPHERTEXT_BYTES
    assert message.aad.epoch == (1 << 53) - 1
