"""The short form of `./dev fuzz mls`, and that it notices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fuzz import mls_bytes, mls_doors
from fuzz.failed import Failed
from fuzz.mls_doors import Opening
from tacit import errors
from tacit.mls import framing, processing, protection
from tacit.wire import codec, reader

OPENINGS = mls_doors.made()


@pytest.mark.parametrize("name", OPENINGS)
def test_what_is_real_is_taken(name: str) -> None:
    assert all(OPENINGS[name].door(each) for each in OPENINGS[name].corpus)


def test_every_struct_that_travels_has_a_door() -> None:
    travel = {each.__name__ for each in codec._STRUCTS if each.__module__.startswith("tacit.mls.")}
    kept = {each.__name__ for each in codec._STRUCTS if each.__module__ == "tacit.mls.saved"}
    kept |= {name for name in travel if name.startswith("_")}  # a vector file's
    assert travel - kept == {name.removeprefix("decode ") for name in OPENINGS if name.startswith("decode ")}


def test_changed_bytes_do_no_harm() -> None:
    tried, taken = mls_bytes.mutated(1, 60)
    assert tried == 60 * len(OPENINGS)
    assert taken > 100, "also what is changed and right is among them"


def test_changed_bytes_guided_by_what_they_reach_do_no_harm(tmp_path: Path) -> None:
    if not mls_bytes.ATHERIS:
        pytest.skip("there is no atheris for this machine")
    assert mls_bytes.guided(tmp_path, 2000, 60, 1) >= 1000


def without_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection.Unverified, "verified", lambda self, *_: self.claimed)
    monkeypatch.setattr(protection.Decrypted, "verify", lambda *_: None)
    monkeypatch.setattr(protection, "equal", lambda *_: True)


def with_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    def varint(self: Any) -> int:
        first = self.uint(1)
        rest = (1 << (first >> 6)) - 1
        return int(((first & 0x3F) << (8 * rest)) | self.uint(rest))

    monkeypatch.setattr(reader.Reader, "varint", varint)


def with_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_wire(data: bytes) -> Any:
        assert data[99] is not None
        return codec.decode(framing.MLSMessage, data).body

    monkeypatch.setattr(framing, "from_wire", from_wire)


def with_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    real = processing.process

    def process(state: Any, *others: Any) -> Any:
        try:
            return real(state, *others)
        except errors.TacitError:
            state.proposals[b"trace"] = None
            raise

    monkeypatch.setattr(processing, "process", process)


@pytest.mark.parametrize("bent", [without_the_signature, with_any_length, with_an_error_of_its_own, with_a_trace])
def test_what_the_engine_does_wrong_is_noticed(bent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bent(monkeypatch)
    with pytest.raises((Failed, IndexError)):
        mls_bytes.mutated(1, 400)


def test_a_door_tells_what_was_taken() -> None:
    assert isinstance(OPENINGS["decode Remove"], Opening)
    assert OPENINGS["decode Remove"].door(bytes(4))
    assert not OPENINGS["decode Remove"].door(bytes(5))
