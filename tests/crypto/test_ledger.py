from __future__ import annotations

import re
from pathlib import Path

import pytest

from crypto import ledger


def test_every_file_of_the_ledger_is_settled_by_a_test() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    settled = set(re.findall(r'settle\("([^"]+)"', source))
    assert {str(entry["file"]) for entry in ledger.entries()} == settled


def test_the_ledger_has_one_line_for_a_reason() -> None:
    seen = [(entry["file"], entry["reason"]) for entry in ledger.entries()]
    assert len(seen) == len(set(seen)) > 0


@pytest.mark.parametrize("change", ["missing", "unused", "another count"])
def test_a_ledger_that_differs_is_found(change: str) -> None:
    file = "x25519_test.json"
    refused = [
        str(entry["reason"]) for entry in ledger.entries() if entry["file"] == file for _ in range(int(entry["count"]))
    ]
    ledger.settle(file, refused)
    if change == "missing":
        refused.append("something else")
    elif change == "unused":
        refused.clear()
    else:
        refused.append(refused[0])
    with pytest.raises(AssertionError):
        ledger.settle(file, refused)
