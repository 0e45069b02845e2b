"""The ledger of vectors that a door refuses on purpose: refused.json, each with its reason and how many there are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

PATH = Path(__file__).with_name("refused.json")


def entries() -> list[dict[str, str | int]]:
    loaded = json.loads(PATH.read_text(encoding="utf-8"))
    assert isinstance(loaded, list)
    return loaded


def settle(file: str, refused: Iterable[str]) -> None:
    """Fails unless exactly these reasons are written down for the file, each as often."""
    written = {str(entry["reason"]): entry["count"] for entry in entries() if entry["file"] == file}
    assert dict(Counter(refused)) == written, f"refused.json differs for {file}"
