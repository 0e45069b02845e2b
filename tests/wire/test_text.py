from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import errors
from tacit.wire.text import from_base64, from_hex, to_base64

# RFC 4648 §10.
BASE64 = [
    (b"", ""),
    (b"f", "Zg=="),
    (b"fo", "Zm8="),
    (b"foo", "Zm9v"),
    (b"foob", "Zm9vYg=="),
    (b"fooba", "Zm9vYmE="),
    (b"foobar", "Zm9vYmFy"),
    (b"\xfb\xef\xff", "++//"),
]


@pytest.mark.parametrize(("data", "text"), BASE64)
def test_base64_is_the_standard_one(data: bytes, text: str) -> None:
    assert to_base64(data) == text
    assert from_base64(text) == data


@given(st.binary())
def test_base64_comes_back_as_it_went(data: bytes) -> None:
    assert from_base64(to_base64(data)) == data
    assert from_base64(to_base64(data), len(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "Zg",
        "Zg=",
        "Zg===",
        "Zh==",  # bits left over that are not zero: another text for the same byte
        "Zm9=",
        "Z",
        "=",
        "====",
        "=Zg=",
        "Zg==Zg==",
        "Zm9v\n",
        " Zm9v",
        "Zm 9v",
        "Zm9\x00",
        "--__",
        "Zm9v!",
        "Zm9vé",
        "Ｚｇ＝＝",
        "\ud800",
    ],
)
def test_any_other_text_is_not_canonical(text: str) -> None:
    with pytest.raises(errors.Base64NotCanonical):
        from_base64(text)


@given(st.text(st.sampled_from("AQgw/+=- \né"), max_size=8))
def test_one_value_has_one_text(text: str) -> None:
    try:
        data = from_base64(text)
    except errors.Base64NotCanonical:
        return
    assert to_base64(data) == text


@pytest.mark.parametrize("most", range(8))
def test_base64_has_at_most_so_many_bytes(most: int) -> None:
    assert from_base64(to_base64(bytes(most)), most) == bytes(most)
    with pytest.raises(errors.TooLarge):
        from_base64(to_base64(bytes(most + 1)), most)


def test_the_length_is_looked_at_before_the_text() -> None:
    with pytest.raises(errors.TooLarge):
        from_base64("!" * 9, 6)
    with pytest.raises(errors.Base64NotCanonical):
        from_base64("!" * 8, 6)


@given(st.binary(min_size=1, max_size=40))
def test_hex_comes_back_as_it_went(data: bytes) -> None:
    assert from_hex(data.hex(), len(data)) == data


def test_hex_has_32_bytes_where_nothing_is_said() -> None:
    assert from_hex("0f" * 32) == b"\x0f" * 32
    with pytest.raises(errors.WrongLength):
        from_hex("0f" * 31)


@pytest.mark.parametrize("text", ["", "0", "000", "00000", "000000"])
def test_hex_has_its_length(text: str) -> None:
    with pytest.raises(errors.WrongLength):
        from_hex(text, 2)
    assert from_hex("0a1b", 2) == b"\x0a\x1b"


@pytest.mark.parametrize(
    "text", ["0A1B", "0a1B", "0g1b", "0a  ", "  0a", "a b ", "0a\n\n", "0x1b", "٠a1b", "\ud8000a1"]
)
def test_hex_is_lowercase_digits_only(text: str) -> None:
    with pytest.raises(errors.Malformed):
        from_hex(text, 2)
