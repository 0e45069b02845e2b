from __future__ import annotations

import copy
import hmac
import json
import pickle
import traceback

import msgspec
import pytest

from tacit import errors
from tacit.crypto import secret as doors
from tacit.crypto.secret import Secret

VALUE = b"the colour of the sky"


def test_a_secret_gives_its_bytes_only_when_asked() -> None:
    secret = Secret(VALUE)
    assert secret.reveal() == VALUE
    assert len(secret) == len(VALUE)


@pytest.mark.parametrize("shown", [repr, str, format, "{}".format, "%s".__mod__, "%r".__mod__])
def test_a_secret_is_redacted_however_it_is_shown(shown: object) -> None:
    assert callable(shown)
    assert shown(Secret(VALUE)) == "Secret(21 bytes)"


def test_a_secret_is_not_in_a_traceback_with_its_values() -> None:
    secret = Secret(VALUE)
    try:
        raise ValueError(secret)
    except ValueError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    # The module's own constant is a local of nobody: only the secret's own words could show it.
    assert "Secret(21 bytes)" in told
    assert VALUE.decode() not in told


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, bytes, list])
def test_a_secret_is_not_serialised(leak: object) -> None:
    assert callable(leak)
    with pytest.raises(TypeError):
        leak(Secret(VALUE))


def test_secrets_compare_by_their_bytes() -> None:
    assert Secret(VALUE) == Secret(bytes(VALUE))
    assert Secret(VALUE) != Secret(VALUE + b"x")
    assert Secret(VALUE) != VALUE
    assert Secret(b"") != None  # noqa: E711


def test_secrets_compare_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bytes, bytes]] = []

    def never(first: bytes, second: bytes) -> bool:
        asked.append((first, second))
        return False

    monkeypatch.setattr(hmac, "compare_digest", never)
    assert Secret(b"a") != Secret(b"a")
    assert asked == [(b"a", b"a")]


def test_a_secret_is_no_key_of_a_dictionary() -> None:
    with pytest.raises(TypeError):
        hash(Secret(VALUE))


@pytest.mark.parametrize("value", [32, "text", None, [1, 2], bytearray(b"x"), memoryview(b"x"), Secret(b"x")])
def test_only_bytes_become_a_secret(value: object) -> None:
    with pytest.raises(errors.InvalidArgument) as raised:
        Secret(value)  # type: ignore[arg-type]
    assert type(value).__name__ in raised.value.detail


def test_a_key_is_asked_for_by_its_length() -> None:
    assert doors.revealed_key(Secret(bytes(32))) == bytes(32)
    assert doors.revealed_key(Secret(bytes(16)), 16) == bytes(16)
    with pytest.raises(errors.WrongLength):
        doors.revealed_key(Secret(bytes(33)))
    with pytest.raises(errors.InvalidArgument):
        doors.revealed(VALUE)  # type: ignore[arg-type]
