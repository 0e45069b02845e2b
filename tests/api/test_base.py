"""Reading JSON into types: what is refused, and that no value is repeated in a refusal."""

from __future__ import annotations

import msgspec
import pytest

from tacit import errors
from tacit.api import base, conversations, messages, sync

PAYLOAD = {
    "version": 1,
    "encryptedText": "AAAA",
    "iv": "AAAA",
    "tag": "",
    "keyId": "00",
    "recordHash": "00",
    "epoch": 1,
    "senderId": "alice",
    "deviceId": "00",
    "instanceId": "00",
    "counter": 0,
    "clientMessageId": "a",
    "contentType": 1,
    "frankingTag": "00",
    "signature": "AAAA",
}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b'{"accountCursor":"canary","conversations":{}}',
        b'{"accountCursor":1}',
        b'{"accountCursor":1.0,"conversations":{}}',
        b'{"accountCursor":NaN,"conversations":{}}',
        b'{"accountCursor":true,"conversations":{}}',
        b'{"accountCursor":1,"accountCursor":1,"conversations":{}}',
        b'{"accountCursor":1,"conversations":{"a":"canary"}}',
        b"[" * 100_000,
    ],
)
def test_malformed_json_is_refused_without_repeating_it(text: bytes) -> None:
    with pytest.raises(errors.MalformedJson) as caught:
        base.read(sync.Sync, text)
    assert "canary" not in str(caught.value)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(errors.UnknownField) as caught:
        base.read(sync.Sync, b'{"accountCursor":1,"conversations":{},"extra":2}')
    assert caught.value.detail == "extra"


def test_null_is_not_absence() -> None:
    with pytest.raises(errors.MalformedJson):
        base.read(messages.SendMessages, b'{"conversationId":"c","encryptedPayload":null}')
    read = base.read(messages.SendMessages, b'{"conversationId":"c"}')
    assert read.messages is msgspec.UNSET


def test_absent_fields_are_not_written() -> None:
    sent = conversations.ConversationKeys("c", "00", [])
    assert base.to_json_bytes(sent) == b'{"conversationId":"c","keyId":"00","encryptedKeys":[]}'


def test_items_and_frames_are_told_apart_by_their_tag() -> None:
    item = base.convert(messages.Item, {"kind": "message", "seq": 1, "createdAt": 2, "encryptedPayload": PAYLOAD})
    assert isinstance(item, messages.MessageItem)
    assert msgspec.to_builtins(item)["encryptedPayload"] == PAYLOAD
    frame = base.convert(sync.ServerFrame, {"type": "sent", "id": "1", "seq": 1, "createdAt": 2})
    assert frame == sync.SentFrame("1", 1, 2)
    with pytest.raises(errors.MalformedJson):
        base.convert(sync.ClientFrame, {"type": "sent", "id": "1", "seq": 1, "createdAt": 2})


def test_ids_are_1_to_255_bytes_of_unicode() -> None:
    assert base.identifier("userId", "é" * 127) == "é" * 127
    for value in ("", "é" * 128):
        with pytest.raises(errors.WrongLength):
            base.identifier("userId", value)
    with pytest.raises(errors.Malformed):
        base.identifier("userId", "\ud800")


def test_counters_fit_into_every_language() -> None:
    assert base.counter("after", 2**53 - 1) == 2**53 - 1
    for value in (-1, 2**53):
        with pytest.raises(errors.Malformed):
            base.counter("after", value)


def test_binary_is_canonical_base64_within_its_limit() -> None:
    assert base.binary("AQI=") == b"\1\2"
    with pytest.raises(errors.Base64NotCanonical):
        base.binary("AQJ=")
    with pytest.raises(errors.TooLarge):
        base.binary("A" * 100, 3)


@pytest.mark.parametrize("number", [-1, 1 << 53, 1 << 63, 1 << 64, 1.5])
def test_a_frame_has_no_other_numbers_than_json_has(number: float) -> None:
    frames: base.Reader[sync.ClientFrame] = base.Reader(sync.ClientFrame)

    def frame(field: str, value: float) -> bytes:
        payload = PAYLOAD | {field: value}
        return msgspec.json.encode({"type": "send", "id": "1", "conversationId": "c", "encryptedPayload": payload})

    fields = [name for name, value in PAYLOAD.items() if isinstance(value, int)]
    assert len(fields) == 4
    for field in fields:
        assert isinstance(frames.read(frame(field, (1 << 53) - 1)), sync.Send)
        with pytest.raises(errors.MalformedJson):
            frames.read(frame(field, number))


@pytest.mark.parametrize("opening", [b"[", b'{"type":'])
def test_a_tag_that_is_nested_without_end_is_malformed(opening: bytes) -> None:
    frames: base.Reader[sync.ClientFrame] = base.Reader(sync.ClientFrame)
    with pytest.raises(errors.MalformedJson):
        frames.read(b'{"type":' + opening * 10_000)
