from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import errors
from tacit.conversation.content import (
    Body,
    Content,
    DeleteBody,
    EditBody,
    Kind,
    Name,
    NameNotice,
    NoticeBody,
    NoticeKind,
    TextBody,
    Unknown,
    body_of,
    franking_tag,
    kind_and_bytes,
    pad,
    padded_size,
    unpad,
)
from tacit.wire import limits
from tacit.wire.codec import decode, encode

NAME = Name("bob", "d" * 64, "m1")


def content_of(body: Body) -> Content:
    kind, raw = kind_and_bytes(body)
    return Content(kind, 1, (), b"", b"k" * 32, raw)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (TextBody("hello"), Kind.TEXT),
        (TextBody(""), Kind.TEXT),
        (EditBody(NAME, "better"), Kind.EDIT),
        (DeleteBody(NAME), Kind.DELETE),
        (NameNotice("team"), Kind.NOTICE),
        (Unknown(Kind.REACTION, b"\x01\x02"), Kind.REACTION),
        (Unknown(4711, b""), 4711),
    ],
)
def test_a_body_comes_back_as_it_was(body: Body, kind: int) -> None:
    content = content_of(body)
    assert content.kind == kind
    assert body_of(decode(Content, encode(content))) == body


@pytest.mark.parametrize(
    "kind", [Kind.REPLY, Kind.REACTION, Kind.RECEIPT, Kind.ATTACHMENT, Kind.VERIFICATION, 10, 65535]
)
def test_a_kind_that_is_not_known_is_kept_as_it_is(kind: int) -> None:
    assert body_of(content_of(Unknown(kind, b"anything"))) == Unknown(kind, b"anything")


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (Kind.TEXT, b"\x05abc"),
        (Kind.TEXT, encode(TextBody("abc")) + b"later field"),
        (Kind.TEXT, b"\x01\xff"),
        (Kind.EDIT, encode(TextBody("abc"))),
        (Kind.DELETE, b""),
        (Kind.NOTICE, b"\x00"),
        (Kind.NOTICE, encode(NoticeBody(NoticeKind.TOPIC, b"x"))),
        (Kind.NOTICE, encode(NoticeBody(NoticeKind.NAME, b"\x00"))),
        (Kind.NOTICE, encode(NoticeBody(999, b"x"))),
    ],
)
def test_a_body_that_is_not_known_is_kept_as_it_is(kind: int, raw: bytes) -> None:
    assert body_of(Content(kind, 1, (), b"", b"k" * 32, raw)) == Unknown(kind, raw)


def test_content_has_the_bytes_of_the_specification() -> None:
    content = Content(Kind.TEXT, 0x0102, (b"s" * 32,), b"cp", b"f" * 32, encode(TextBody("hi")))
    assert encode(content) == (
        b"\x00\x01" + b"\x00\x00\x00\x00\x00\x00\x01\x02" + b"\x20" + b"s" * 32 + b"\x02cp" + b"f" * 32 + b"\x03\x02hi"
    )


def test_at_most_32_hashes_are_seen() -> None:
    encode(Content(1, 1, (b"s" * 32,) * limits.SEEN_HASHES, b"", b"k" * 32, b""))
    with pytest.raises(errors.TooLarge):
        encode(Content(1, 1, (b"s" * 32,) * (limits.SEEN_HASHES + 1), b"", b"k" * 32, b""))


def test_franking_tag_is_hmac_over_the_labelled_content() -> None:
    expected = hmac.new(b"k" * 32, bytes([16]) + b"tacit/1 franking" + b"\x03abc", hashlib.sha256).digest()
    assert franking_tag(b"abc", b"k" * 32) == expected


@pytest.mark.parametrize(
    ("size", "padded"),
    [(0, 0), (1, 1), (2, 2), (7, 7), (8, 8), (9, 10), (63, 64), (100, 104), (129, 144), (1000, 1024), (40000, 40960)],
)
def test_padded_sizes_are_padme(size: int, padded: int) -> None:
    assert padded_size(size) == padded


@given(st.integers(0, 1 << 20))
def test_padme_adds_at_most_12_percent_and_leaves_few_sizes(size: int) -> None:
    padded = padded_size(size)
    assert size <= padded <= max(size + 1, size * 1.12)
    assert padded_size(padded) == padded
    if padded > 1:
        exponent = padded.bit_length() - 1
        assert padded % (1 << (exponent - exponent.bit_length())) == 0


@given(st.binary(max_size=5000))
def test_padding_comes_off_again(content: bytes) -> None:
    padded = pad(content)
    assert unpad(padded) == content
    assert padded_size(len(padded)) == len(padded)


def test_contents_of_like_size_are_padded_alike() -> None:
    assert len({len(pad(bytes(size))) for size in range(993, 1021)}) == 1


@given(st.binary(min_size=9, max_size=300), st.data())
def test_padding_that_is_not_zero_is_refused(content: bytes, data: st.DataObject) -> None:
    prefix = 1 if len(content) < 64 else 2
    padded = bytearray(pad(content) + bytes(3))
    padded[data.draw(st.integers(prefix + len(content), len(padded) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(errors.Malformed):
        unpad(bytes(padded))


@pytest.mark.parametrize("padded", [b"", b"\x05abcd", b"\x40\x01a", b"\xc0" + bytes(8)])
def test_what_is_no_padded_content_is_refused(padded: bytes) -> None:
    with pytest.raises(errors.Malformed):
        unpad(padded)


def test_a_content_over_64_kib_with_its_padding_is_refused() -> None:
    assert len(pad(bytes(limits.CONTENT_BYTES - 4))) == limits.CONTENT_BYTES
    with pytest.raises(errors.TooLarge):
        pad(bytes(limits.CONTENT_BYTES - 3))


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(errors.WrongLength):
        kind_and_bytes(NameNotice(""))
