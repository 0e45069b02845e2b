"""Every struct of the protocol: what is encoded comes back, and whatever else comes in is refused as a peer's fault."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tacit
from tacit import errors
from tacit.mls import commit
from tacit.mls.framing import AuthenticatedContent, Member, PublicMessage, WireFormat
from tacit.mls.suites import HPKECiphertext
from tacit.wire import codec, encodings
from tacit.wire.codec import decode, encode

MANY = 2
LONG = 80
# They share a few encodings, and there are many of them: what the codec does wrong is found by one or another.
few = settings(max_examples=settings().max_examples // 8)


def found() -> list[type]:
    """All structs that a module of tacit registers."""
    for module in pkgutil.walk_packages(tacit.__path__, "tacit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    own = (each for each in codec._STRUCTS if each.__module__.startswith("tacit."))
    return sorted(own, key=lambda each: (each.__module__, each.__qualname__))


STRUCTS = found()
every_struct = pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: f"{cls.__module__[6:]}.{cls.__qualname__}")


def lengths(least: int, most: int) -> st.SearchStrategy[int]:
    """Short ones, and sometimes the limits themselves where they are not too far."""
    short = st.integers(least, min(most, least + LONG))
    return short | st.sampled_from([least, most]) if most <= 5000 else short


def of_length(data: bytes, length: int) -> bytes:
    return (data * (length // len(data) + 1))[:length]


def text_of(least: int, most: int) -> st.SearchStrategy[str]:
    characters = st.characters(exclude_categories=["Cs"])
    longest = "x" * most if most <= 5000 else "x" * least
    texts = st.text(characters, min_size=least, max_size=min(most, least + LONG)).filter(
        lambda text: least <= len(text.encode()) <= most
    )
    exact = st.text(st.sampled_from("0123456789abcdef"), min_size=least, max_size=least)
    return exact if least == most else texts | st.just(longest)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values that a field may have."""
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = [item for item in get_args(hint) if item is not type(None)]
        return st.none() | values_of(inner)
    if get_origin(hint) is not Annotated:
        return structs_of(hint)
    base, *metadata = get_args(hint)
    match next(item for item in metadata if isinstance(item, encodings.Encoding)):
        case encodings.UInt(size):
            return st.integers(0, (1 << 8 * size) - 1)
        case encodings.Enum():
            return st.sampled_from(base)
        case encodings.Flag():
            return st.booleans()
        case encodings.Fixed(size):
            return st.binary(min_size=size, max_size=size)
        case encodings.Variable(most, least):
            return st.builds(of_length, st.binary(min_size=1, max_size=LONG), lengths(least, most))
        case encodings.Text(most, least):
            return text_of(least, most)
        case codec.Many(most):
            return st.lists(values_of(get_args(base)[0]), max_size=min(most, MANY)).map(tuple)
        case commit._Unread():
            return st.lists(structs_of(HPKECiphertext), max_size=MANY).map(commit.Ciphertexts.of)
        case codec.Variant(_, cases, other):
            return st.one_of(*(structs_of(each) for each in cases.values()), *_others(other, cases))
    raise AssertionError(f"no strategy for {hint}")


def _others(other: type | None, cases: dict[int, type]) -> list[st.SearchStrategy[Any]]:
    """Structs for the numbers that are no case; their first field is the number."""
    if other is None:
        return []
    number = dataclasses.fields(other)[0].name
    return [structs_of(other).filter(lambda value: getattr(value, number) not in cases)]


@cache
def structs_of(cls: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    made = st.builds(cls, *(values_of(hints[field.name]) for field in dataclasses.fields(cls)))
    return made.map(FITTING[cls]) if cls in FITTING else made


def fitting_tags(value: Any) -> Any:
    """Content with the tags that its kind and its sender have."""
    tag = (value.confirmation_tag or b"tag") if isinstance(value.content.content, commit.Commit) else None
    return dataclasses.replace(value, confirmation_tag=tag)


def fitting_form(value: AuthenticatedContent) -> AuthenticatedContent:
    """The same in a form in which content travels."""
    form = WireFormat.PRIVATE_MESSAGE if value.wire_format % 2 else WireFormat.PUBLIC_MESSAGE
    return typing.cast(AuthenticatedContent, fitting_tags(dataclasses.replace(value, wire_format=form)))


def fitting_membership(value: PublicMessage) -> PublicMessage:
    """The same with a membership tag where a member has sent it."""
    tag = (value.membership_tag or b"tag") if isinstance(value.content.sender, Member) else None
    return typing.cast(PublicMessage, fitting_tags(dataclasses.replace(value, membership_tag=tag)))


FITTING: dict[type, Callable[[Any], Any]] = {AuthenticatedContent: fitting_form, PublicMessage: fitting_membership}
"""Structs of which one field's presence hangs on another."""


def roomy(cls: type, data: bytes) -> Any:
    """Decode without the limit of the whole, which is a caller's."""
    return decode(cls, data, 1 << 30)


def anew(value: Any) -> Any:
    """The same value without the bytes that some structs keep of what they were read from."""
    if isinstance(value, tuple):
        return tuple(anew(each) for each in value)
    if not dataclasses.is_dataclass(value):
        return value
    cls: Any = type(value)
    return cls(*(anew(getattr(value, field.name)) for field in dataclasses.fields(value)))


def refused_or_the_same(cls: type, data: bytes) -> bool:
    """Whether the bytes are refused as a peer's fault. What is accepted has this one encoding."""
    try:
        value = roomy(cls, data)
    except errors.PeerError:
        return True
    assert encode(anew(value)) == data
    return False


def test_the_structs_are_found() -> None:
    names = {cls.__name__ for cls in STRUCTS}
    assert {"AccountRecord", "Vault", "ConversationRecord", "Grant", "Message", "Content", "ChainState"} <= names
    assert len(STRUCTS) > 50


@every_struct
@few
@given(data=st.data())
def test_what_is_encoded_comes_back(cls: type, data: st.DataObject) -> None:
    value = data.draw(structs_of(cls))
    raw = encode(value)
    assert roomy(cls, raw) == value
    assert encode(anew(roomy(cls, raw))) == raw


@every_struct
@few
@given(data=st.data())
def test_bytes_cut_off_or_added_are_refused(cls: type, data: st.DataObject) -> None:
    raw = encode(data.draw(structs_of(cls)))
    more = raw + data.draw(st.binary(min_size=1, max_size=8))
    with pytest.raises(errors.Malformed):
        roomy(cls, more)
    if raw:
        with pytest.raises(errors.PeerError):
            roomy(cls, raw[: data.draw(st.integers(0, len(raw) - 1))])


@every_struct
@few
@given(data=st.data())
def test_changed_bytes_are_another_struct_or_refused(cls: type, data: st.DataObject) -> None:
    value = data.draw(structs_of(cls))
    raw = bytearray(encode(value))
    if not raw:
        return
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    if not refused_or_the_same(cls, bytes(raw)):
        assert roomy(cls, bytes(raw)) != value


@every_struct
@few
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_a_struct_or_a_peers_fault(cls: type, raw: bytes) -> None:
    refused_or_the_same(cls, raw)
