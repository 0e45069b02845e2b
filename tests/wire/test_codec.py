from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit import errors
from tacit.wire import codec, encodings, limits
from tacit.wire.codec import decode, encode, struct
from tacit.wire.encodings import U8, U16, U32, U64
from tacit.wire.reader import VARINT_MAX, Reader, write_varint
from vectors_dir import load


class Colour(IntEnum):
    RED = 1
    BLUE = 5


@struct
class Numbers:
    one: U8
    two: U16
    four: U32
    eight: U64


@struct
class Painted:
    colour: Annotated[Colour, encodings.Enum(2)]
    bright: Annotated[bool, encodings.Flag()]


@struct
class Opaque:
    four: Annotated[bytes, encodings.Fixed(4)]
    some: Annotated[bytes, encodings.Variable(70, 2)]


@struct
class Named:
    name: Annotated[str, encodings.Text(6, 1)]


@struct
class Nested:
    inner: Painted
    several: Annotated[tuple[Named, ...], codec.Many(3)]
    numbers: Annotated[tuple[U16, ...], codec.Many(100)]


@struct
class Perhaps:
    number: U8 | None
    after: U8


@struct
class Nothing:
    pass


@struct
class Long:
    data: Annotated[bytes, encodings.Variable(1 << 30)]


NUMBERS = Numbers(1, 0x0203, 0x04050607, 0x08090A0B0C0D0E0F)
NESTED = Nested(Painted(Colour.BLUE, True), (Named("a"), Named("bc")), (1, 2, 3))
EXAMPLES = [
    (NUMBERS, "01 0203 04050607 08090a0b0c0d0e0f"),
    (Painted(Colour.BLUE, True), "0005 01"),
    (Painted(Colour.RED, False), "0001 00"),
    (Opaque(b"four", b"ab"), "666f7572 02 6162"),
    (Opaque(b"four", b"a" * 64), "666f7572 4040" + "61" * 64),
    (Named("€"), "03 e282ac"),
    (NESTED, "0005 01 05 0161 026263 06 0001 0002 0003"),
    (Nested(Painted(Colour.RED, False), (), ()), "0001 00 00 00"),
    (Perhaps(None, 9), "00 09"),
    (Perhaps(7, 9), "01 07 09"),
    (Nothing(), ""),
]


@pytest.mark.parametrize(("value", "raw"), EXAMPLES)
def test_a_struct_is_its_fields_in_order(value: Any, raw: str) -> None:
    assert encode(value).hex() == raw.replace(" ", "")
    found = decode(type(value), bytes.fromhex(raw))
    assert found == value
    assert [type(getattr(found, field.name)) for field in dataclasses.fields(found)] == [
        type(getattr(value, field.name)) for field in dataclasses.fields(value)
    ]


@pytest.mark.parametrize(("value", "raw"), EXAMPLES)
def test_bytes_that_end_early_or_late_are_malformed(value: Any, raw: str) -> None:
    data = bytes.fromhex(raw)
    for length in range(len(data)):
        with pytest.raises(errors.PeerError):
            decode(type(value), data[:length])
    with pytest.raises(errors.Malformed, match="left over"):
        decode(type(value), data + b"\0")


def test_a_struct_is_frozen_and_has_no_room_for_more() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        NUMBERS.one = 2  # type: ignore[misc]
    assert not hasattr(NUMBERS, "__dict__")


# --- the length of a vector --------------------------------------------------------------


def test_the_official_lengths() -> None:
    cases = load("mls", "deserialization.json")
    assert len(cases) > 10
    for case in cases:
        raw = bytes.fromhex(case["vlbytes_header"])
        reader = Reader(raw)
        assert reader.varint() == case["length"]
        assert reader.position == len(raw)
        out = bytearray()
        write_varint(out, case["length"])
        assert bytes(out) == raw


# RFC 9420 §2.1.2 and RFC 9000 §A.1.
LENGTHS = [
    (0, "00"),
    (37, "25"),
    (63, "3f"),
    (64, "4040"),
    (15293, "7bbd"),
    (16383, "7fff"),
    (16384, "80004000"),
    (494878333, "9d7f3e7d"),
    (2**30 - 1, "bfffffff"),
]


@pytest.mark.parametrize(("length", "raw"), LENGTHS)
def test_a_length_takes_one_two_or_four_bytes(length: int, raw: str) -> None:
    out = bytearray()
    write_varint(out, length)
    assert out.hex() == raw
    assert Reader(bytes.fromhex(raw)).varint() == length


def test_a_longer_vector_is_refused() -> None:
    out = bytearray()
    with pytest.raises(errors.TooLarge):
        write_varint(out, 2**30)
    assert not out


@pytest.mark.parametrize("raw", ["4000", "403f", "80000000", "8000003f", "80003fff", "c000000000000000", "ff"])
def test_a_length_in_more_bytes_than_it_needs_is_malformed(raw: str) -> None:
    with pytest.raises(errors.Malformed, match=r"not minimal|invalid length prefix"):
        Reader(bytes.fromhex(raw)).varint()


@pytest.mark.parametrize("raw", ["", "40", "80", "800040"])
def test_a_length_that_ends_early_is_malformed(raw: str) -> None:
    with pytest.raises(errors.Malformed, match="too early"):
        Reader(bytes.fromhex(raw)).varint()


@given(st.integers(0, VARINT_MAX))
def test_every_length_comes_back(length: int) -> None:
    out = bytearray()
    write_varint(out, length)
    reader = Reader(bytes(out))
    assert (reader.varint(), reader.position) == (length, len(out))


def test_a_reader_stays_within_its_end() -> None:
    reader = Reader(b"abcdef", 1, 4)
    assert reader.take(3) == b"bcd"
    with pytest.raises(errors.Malformed):
        reader.take(1)
    assert reader.position == 4


# --- each field's limits -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "least", "most"), [("one", 0, 255), ("two", 0, 65535), ("four", 0, 2**32 - 1), ("eight", 0, 2**64 - 1)]
)
def test_an_integer_fits_into_its_bytes(field: str, least: int, most: int) -> None:
    for value in (least, most):
        fits = dataclasses.replace(NUMBERS, **{field: value})
        assert decode(Numbers, encode(fits)) == fits
    for value in (least - 1, most + 1):
        with pytest.raises(errors.InvalidArgument):
            encode(dataclasses.replace(NUMBERS, **{field: value}))


@struct
class Counted:
    colour: Annotated[Colour, encodings.Enum(2)]
    count: U8


def test_an_integer_that_does_not_fit_is_told_after_an_enum_too() -> None:
    with pytest.raises(errors.InvalidArgument, match="256 does not fit into 1 bytes"):
        encode(Counted(Colour.RED, 256))


@pytest.mark.parametrize("raw", ["0000 00", "0002 00", "0105 00", "ffff 00"])
def test_an_unknown_value_is_named_unknown(raw: str) -> None:
    with pytest.raises(errors.UnknownVersion, match=f"Colour {int(raw[:4], 16)}"):
        decode(Painted, bytes.fromhex(raw))


@pytest.mark.parametrize("raw", [2, 255])
def test_a_flag_is_0_or_1(raw: int) -> None:
    with pytest.raises(errors.Malformed, match="flag"):
        decode(Painted, bytes([0, 1, raw]))


@pytest.mark.parametrize("raw", [2, 255])
def test_a_presence_byte_is_0_or_1(raw: int) -> None:
    with pytest.raises(errors.Malformed, match="presence"):
        decode(Perhaps, bytes([raw, 7, 9]))


@pytest.mark.parametrize("four", [b"", b"123", b"12345"])
def test_fixed_bytes_have_their_length(four: bytes) -> None:
    with pytest.raises(errors.WrongLength):
        encode(Opaque(four, b"ab"))


@pytest.mark.parametrize(("length", "error"), [(0, errors.WrongLength), (1, errors.WrongLength), (71, errors.TooLarge)])
def test_variable_bytes_have_a_least_and_a_most(length: int, error: type[errors.TacitError]) -> None:
    with pytest.raises(error):
        encode(Opaque(b"four", bytes(length)))
    header = bytearray()
    write_varint(header, length)
    with pytest.raises(error):
        decode(Opaque, b"four" + header + bytes(length))
    for fits in (2, 70):
        assert decode(Opaque, encode(Opaque(b"four", bytes(fits)))).some == bytes(fits)


def test_a_limit_is_checked_before_anything_is_read() -> None:
    # The bytes that it announces are not even there.
    with pytest.raises(errors.TooLarge):
        decode(Opaque, b"four" + bytes.fromhex("bfffffff"))
    with pytest.raises(errors.TooLarge):
        decode(Named, bytes.fromhex("07"))


@pytest.mark.parametrize("raw", ["01ff", "02c080", "03eda080", "01c3", "04f4908080"])
def test_text_is_utf_8(raw: str) -> None:
    with pytest.raises(errors.Malformed, match="UTF-8"):
        decode(Named, bytes.fromhex(raw))


def test_text_that_utf_8_cannot_carry_is_refused() -> None:
    with pytest.raises(errors.Malformed, match="Unicode"):
        encode(Named("\ud800"))


def test_texts_length_is_counted_in_bytes() -> None:
    assert decode(Named, encode(Named("ééé"))) == Named("ééé")
    for text, error in (("éééé", errors.TooLarge), ("", errors.WrongLength)):
        with pytest.raises(error):
            encode(Named(text))


def test_text_is_never_normalised() -> None:
    composed, decomposed = Named("\u00e9"), Named("e\u0301")
    assert encode(composed) != encode(decomposed)
    assert decode(Named, encode(decomposed)).name == "e\u0301"


# --- vectors of structs ------------------------------------------------------------------


def test_a_vector_has_at_most_its_number_of_elements() -> None:
    three = dataclasses.replace(NESTED, several=(Named("a"),) * 3)
    assert decode(Nested, encode(three)) == three
    with pytest.raises(errors.TooLarge):
        encode(dataclasses.replace(NESTED, several=(Named("a"),) * 4))
    with pytest.raises(errors.TooLarge):
        decode(Nested, bytes.fromhex("0005 01 08 0161 0161 0161 0161 00"))


def test_a_vector_longer_than_what_is_left_is_malformed() -> None:
    with pytest.raises(errors.Malformed, match="too early"):
        decode(Nested, bytes.fromhex("0005 01 05 0161 0162"))


def test_an_element_does_not_reach_over_the_vectors_end() -> None:
    # The vector has 3 bytes; its second element would take its own from what follows.
    with pytest.raises(errors.Malformed, match="too early"):
        decode(Nested, bytes.fromhex("0005 01 03 0161 02 6263 00"))
    with pytest.raises(errors.Malformed, match="too early"):
        decode(Nested, bytes.fromhex("0005 01 00 03 0001 00 02"))


def test_what_follows_a_vector_is_read_after_it() -> None:
    assert decode(Nested, bytes.fromhex("0005 01 02 0161 04 0001 0002")).numbers == (1, 2)


def test_more_bytes_than_a_struct_may_have_are_not_read() -> None:
    raw = encode(NESTED)
    assert decode(Nested, raw, len(raw)) == NESTED
    with pytest.raises(errors.TooLarge):
        decode(Nested, raw, len(raw) - 1)


def test_a_record_has_at_most_four_mebibytes_by_default() -> None:
    data = bytes(limits.RECORD_BYTES - 4)
    assert limits.RECORD_BYTES == 4 * 1024 * 1024
    assert decode(Long, encode(Long(data))).data == data
    with pytest.raises(errors.TooLarge):
        decode(Long, encode(Long(data + b"\0")))


# --- annotations -------------------------------------------------------------------------


@dataclasses.dataclass
class NoStruct:
    number: U8


@pytest.mark.parametrize("hint", [int, bytes, NoStruct, tuple[int, ...]])
def test_an_annotation_without_an_encoding_is_refused(hint: Any) -> None:
    with pytest.raises(TypeError, match="has no encoding"):
        codec.functions_of(hint)


def test_the_bare_encoding_encodes_nothing() -> None:
    with pytest.raises(TypeError, match="encodes nothing"):
        codec.functions_of(Annotated[int, encodings.Encoding()])


def test_other_metadata_of_an_annotation_is_left_alone() -> None:
    write, read = codec.functions_of(Annotated[int, "a note", encodings.UInt(2)])
    out = bytearray()
    write(out, 258)
    assert out == b"\1\2"
    assert read(Reader(b"\1\2")) == 258


# --- a select ----------------------------------------------------------------------------


@struct
class Round:
    radius: U8


@struct
class Flat:
    pass


@struct
class OtherShape:
    kind: U16
    data: Annotated[bytes, encodings.Variable(9)]


@struct
class Drawn:
    shape: Annotated[Round | Flat | OtherShape, codec.Variant(2, {1: Round, 258: Flat}, OtherShape)]
    after: U8


@struct
class Strict:
    shape: Annotated[Round | Flat, codec.Variant(1, {1: Round, 2: Flat})]


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (Drawn(Round(7), 9), "0001 07 09"),
        (Drawn(Flat(), 9), "0102 09"),
        (Drawn(OtherShape(3, b"ab"), 9), "0003 02 6162 09"),
        (Strict(Round(7)), "01 07"),
        (Strict(Flat()), "02"),
    ],
)
def test_a_select_is_its_number_and_the_struct_of_it(value: Any, raw: str) -> None:
    assert encode(value).hex() == raw.replace(" ", "")
    assert decode(type(value), bytes.fromhex(raw)) == value


def test_a_number_without_a_struct_is_an_unknown_version() -> None:
    for number in (0, 3, 255):
        with pytest.raises(errors.UnknownVersion, match=f"case {number}"):
            decode(Strict, bytes((number, 7)))


def test_a_select_that_ends_early_is_malformed() -> None:
    for raw in ("", "00", "0001", "0003", "0003 02 61", "0003 0a 6162"):
        with pytest.raises(errors.PeerError):
            decode(Drawn, bytes.fromhex(raw))


# --- structs with functions of their own, and such as keep their bytes --------------------


@struct
class Sized:
    wide: Annotated[bool, encodings.Flag()]
    number: int


def _write_sized(out: bytearray, value: Sized) -> None:
    out += bytes((value.wide,)) + value.number.to_bytes(4 if value.wide else 1, "big")


def _read_sized(reader: Reader) -> Sized:
    wide = bool(reader.uint(1))
    return Sized(wide, reader.uint(4 if wide else 1))


codec.own_functions(Sized, _write_sized, _read_sized)


@struct
class Two:
    sizes: Annotated[tuple[Sized, ...], codec.Many(2)]


def test_a_struct_may_have_functions_of_its_own_also_within_others() -> None:
    for value, raw in ((Sized(False, 7), "0007"), (Sized(True, 7), "0100000007")):
        assert encode(value) == bytes.fromhex(raw)
        assert decode(Sized, bytes.fromhex(raw)) == value
    two = Two((Sized(True, 1), Sized(False, 2)))
    assert decode(Two, encode(two)) == two
    assert encode(two) == bytes.fromhex("07 0100000001 0002")


@struct
class Kept(codec.EncodedOnce):
    number: U16
    name: Annotated[bytes, encodings.Variable(99)]


@struct
class Around:
    before: U8
    kept: Kept
    after: U8


def test_a_struct_that_keeps_its_bytes_has_those_it_was_read_from_and_is_equal_to_one_that_was_made() -> None:
    made = Kept(1, b"name")
    raw = b"\0\1\4name"
    for value in (Kept(1, b"name"), decode(Kept, raw), decode(Around, b"\7" + raw + b"\x08").kept):
        assert value == made
        assert hash(value) == hash(made)
        assert encode(value) == encode(value) == raw
    assert encode(Around(7, decode(Kept, raw), 8)) == b"\7" + raw + b"\x08"


def test_another_value_of_a_struct_that_keeps_its_bytes_has_its_own() -> None:
    value = decode(Kept, b"\0\1\4name")
    encode(value)
    assert encode(dataclasses.replace(value, number=2)) == b"\0\2\4name"


# --- vectors of single fields, and bytes that are passed over -----------------------------


@struct
class Lists:
    fixed: Annotated[tuple[Annotated[bytes, encodings.Fixed(2)], ...], codec.Many(3)]
    texts: Annotated[tuple[Annotated[str, encodings.Text(3)], ...], codec.Many(3)]
    blobs: Annotated[tuple[Annotated[bytes, encodings.Variable(100, 1)], ...], codec.Many(3)]


def test_vectors_of_single_fields() -> None:
    value = Lists((b"ab", b"cd"), ("a", "\u20ac"), (b"x", bytes(70)))
    raw = bytes.fromhex("04 61626364 06 0161 03e282ac 404a 0178 4046") + bytes(70)
    assert encode(value) == raw
    assert decode(Lists, raw) == value
    for wrong, error in (
        (Lists((b"abc",), (), ()), errors.WrongLength),
        (Lists((), ("\u20ac\u20ac",), ()), errors.TooLarge),
        (Lists((), (), (b"",)), errors.WrongLength),
        (Lists((), ("\ud800",), ()), errors.Malformed),
    ):
        with pytest.raises(error):
            encode(wrong)


def test_bytes_do_not_reach_over_the_end_of_what_they_are_in() -> None:
    for raw in ("00 00 02 0261", "00 00 03 0261 61 00"):
        with pytest.raises(errors.Malformed):
            decode(Lists, bytes.fromhex(raw))


def test_bytes_are_passed_over_up_to_the_end() -> None:
    reader = Reader(b"abcd", 1, 3)
    reader.skip(0)
    reader.skip(2)
    assert reader.position == reader.end
    with pytest.raises(errors.Malformed, match="too early"):
        reader.skip(1)
    assert reader.position == 3


# --- what is compiled --------------------------------------------------------------------


PREFIXES = (b"\x40\x40", b"\x40\x01", b"\xff", b"\x80")


def one_by_one(cls: type, data: bytes) -> Any:
    """The struct whose fields are read by their own readers."""
    hints = typing.get_type_hints(cls, include_extras=True)
    reader = Reader(data)
    value = cls(*[codec.functions_of(hints[field.name])[1](reader) for field in dataclasses.fields(cls)])
    if reader.position != len(data):
        raise errors.Malformed("bytes are left over")
    return value


def outcome(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except errors.PeerError as error:
        return type(error), str(error)


@given(st.sampled_from([value for value, _ in EXAMPLES]), st.data())
def test_all_fields_at_once_are_read_and_refused_as_one_after_the_other(value: Any, data: st.DataObject) -> None:
    raw = bytearray(encode(value))
    for _ in range(data.draw(st.integers(0, 3))):
        start, stop = (data.draw(st.integers(0, len(raw))) for _ in range(2))
        raw[start:stop] = data.draw(st.binary(max_size=3) | st.sampled_from(PREFIXES))
    cls, changed = type(value), bytes(raw)
    assert outcome(lambda: decode(cls, changed)) == outcome(lambda: one_by_one(cls, changed))


@given(st.sampled_from([type(value) for value, _ in EXAMPLES]), st.binary(max_size=80), st.integers(0, 80))
def test_fields_at_once_stay_within_the_readers_end(cls: type, data: bytes, end: int) -> None:
    shorter = data[:end]

    def within() -> tuple[Any, int]:
        reader = Reader(data, 0, len(shorter))
        return codec.functions_of(cls)[1](reader), reader.position

    def alone() -> tuple[Any, int]:
        reader = Reader(shorter)
        return codec.functions_of(cls)[1](reader), reader.position

    assert outcome(within) == outcome(alone)
