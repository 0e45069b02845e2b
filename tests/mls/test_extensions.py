"""Extensions: found by type, each at most once, and the RFC's own as it writes them."""

from __future__ import annotations

from typing import Any

import pytest

from tacit import errors
from tacit.mls.credential import BasicCredential
from tacit.mls.extensions import (
    ApplicationId,
    Extension,
    ExternalPub,
    ExternalSender,
    ExternalSenders,
    RequiredCapabilities,
    as_extension,
    data_of,
    find,
    types_of,
)
from tacit.wire.codec import encode

OWN: list[tuple[Any, str]] = [
    (ApplicationId(b"id"), "0001 03 026964"),
    (RequiredCapabilities((1,), (2, 3), ()), "0003 09 02 0001 04 0002 0003 00"),
    (ExternalPub(b"pub"), "0004 04 03707562"),
    (ExternalSenders((ExternalSender(b"key", BasicCredential(b"id")),)), "0005 0a 09 036b6579 0001 026964"),
    (ExternalSenders(()), "0005 01 00"),
]


@pytest.mark.parametrize(("value", "raw"), OWN)
def test_the_rfcs_extensions_are_as_it_writes_them(value: Any, raw: str) -> None:
    extension = as_extension(value)
    assert encode(extension) == bytes.fromhex(raw)
    assert find(type(value), (Extension(9, b"x"), extension)) == value


def test_what_is_not_there_is_none() -> None:
    other = as_extension(ApplicationId(b""))
    assert find(ExternalPub, (other,)) is None
    assert data_of((other,), 9) is None
    assert data_of((other, Extension(9, b"data")), 9) == b"data"


def test_data_that_is_not_the_extensions_struct_is_refused() -> None:
    for data in (b"", b"\5id", b"\2id\0"):
        with pytest.raises(errors.Malformed):
            find(ApplicationId, (Extension(1, data),))


def test_a_type_is_there_once() -> None:
    one, two = Extension(7, b"one"), Extension(8, b"two")
    assert types_of(()) == frozenset()
    assert types_of((one, two)) == {7, 8}
    with pytest.raises(errors.Malformed, match="two extensions of one type"):
        types_of((one, two, Extension(7, b"")))
