from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from crypto import ledger
from crypto.ledger import Refusal
from crypto.wycheproof import FILES

X25519 = "x25519_test.json"


def test_every_file_of_the_ledger_is_settled_by_a_test() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    settled = set(re.findall(r'settle\("([^"]+)"', source))
    assert settled == {"rfc9180.json", "draft-ietf-hpke-pq.json"}
    assert {entry.file for entry in ledger.entries()} <= settled | set(FILES)


def written() -> list[Refusal]:
    entries = [entry for entry in ledger.entries() if entry.file == X25519]
    return [Refusal(entry.flag, entry.reason) for entry in entries for _ in range(entry.count)]


@pytest.mark.parametrize("change", ["missing", "unused", "another count", "another reason"])
def test_a_ledger_that_differs_is_found(change: str) -> None:
    refused = written()
    ledger.settle(X25519, refused)
    if change == "missing":
        refused.append(Refusal("Flag", "something else"))
    elif change == "unused":
        refused.clear()
    elif change == "another count":
        refused.append(refused[0])
    else:
        refused = [Refusal(each.flag, "something else") for each in refused]
    with pytest.raises(AssertionError, match=r"refused\.json: x25519"):
        ledger.settle(X25519, refused)


LINE: dict[str, Any] = {"file": X25519, "flag": "Flag", "reason": "a limit", "count": 1}


@pytest.mark.parametrize(
    "entries", [[LINE, LINE], [LINE | {"count": 0}], [LINE | {"reason": ""}], {}], ids=["twice", "none", "why", "form"]
)
def test_a_ledger_of_another_form_is_found(entries: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "refused.json"
    monkeypatch.setattr(ledger, "PATH", path)
    path.write_text(json.dumps([LINE]), encoding="utf-8")
    assert ledger.entries() == [ledger.Entry(X25519, "Flag", "a limit", 1)]
    path.write_text(json.dumps(entries), encoding="utf-8")
    with pytest.raises(AssertionError):
        ledger.entries()
