from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import errors
from tacit.wire.text import from_json, to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(JSON)
def test_json_comes_back_as_it_went(value: object) -> None:
    assert from_json(to_json(value)) == value
    assert from_json(to_json(value).encode()) == value
    assert from_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b"",
        b"{",
        b"[1] x",
        b"NaN",
        b"[-Infinity]",
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b'["\\udc00\\ud800"]',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'\xef\xbb\xbf"byte order mark"',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b"1" * 5000,
        b"[" * 200_000,
        '"\ud800"',
    ],
    ids=lambda text: repr(text)[:24],
)
def test_what_is_not_one_json_text_in_utf_8_is_refused(text: bytes | str) -> None:
    with pytest.raises(errors.MalformedJson):
        from_json(text)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert from_json(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"
