from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import errors
from tacit.wire import limits
from tacit.wire.text import from_json, to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, (1 << 53) - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=limits.JSON_DEPTH,
)
MARKS = st.text(st.sampled_from('[]{}",\\:0 é\n'))


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
        b"-1",
        b"-0",
        b"1.0",
        b"1e0",
        b"9007199254740992",
        b"10000000000000000",
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


def test_the_largest_number_is_one_below_2_53() -> None:
    assert from_json(b"9007199254740991") == (1 << 53) - 1


@pytest.mark.parametrize("bracket", [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_too_deep_is_refused(bracket: tuple[str, str]) -> None:
    opening, closing = bracket
    deepest = limits.JSON_DEPTH
    inner = '[",[[{{",0]' if opening == "[" else '{"a":0}'
    text = opening * (deepest - 1) + inner + closing * (deepest - 1)
    assert to_json(from_json(text)) == text
    with pytest.raises(errors.MalformedJson, match="deeper than 16"):
        from_json(opening + text + closing)


def test_brackets_and_commas_in_strings_do_not_count() -> None:
    text = to_json(['],"\\' + "[" * 100 + ',"' * 100, "\\" * 3, "]" * 100])
    assert to_json(from_json(text, 4)) == text
    with pytest.raises(errors.MalformedJson, match="more than 3 values"):
        from_json(text, 3)
    with pytest.raises(errors.MalformedJson, match="deeper"):
        from_json('["' + "]" * 100 + '",' + "[" * 16 + "]" * 17)


@given(st.recursive(MARKS, lambda inner: st.lists(inner) | st.dictionaries(MARKS, inner), max_leaves=12))
def test_no_more_values_are_made_than_are_counted(value: object) -> None:
    def size(value: object) -> tuple[int, int]:
        inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        sizes = [size(each) for each in inner]
        empty = not inner and not isinstance(value, str)
        return 1 + sum(one for one, _ in sizes), empty + sum(two for _, two in sizes)

    there, empty = size(value)
    text = to_json(value)
    assert from_json(text, there + empty) == value
    with pytest.raises(errors.MalformedJson, match="more than"):
        from_json(text, there - 1)


@pytest.mark.parametrize(
    "bomb",
    [b"[" + b"{}," * 300_000 + b"{}]", b"[" + b'"",' * 300_000 + b'""]', b"[" * 1_000_000, b'"' * 1_000_000],
    ids=["objects", "strings", "depth", "quotes"],
)
def test_a_bomb_is_refused_before_anything_is_made_of_it(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(errors.MalformedJson):
            from_json(bomb, limits.REQUEST_VALUES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(bomb)
