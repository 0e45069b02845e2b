"""The threat model names every attack that there is a program for, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from adversary.ids import IDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "threat-model.md"


def test_every_attack_is_in_the_threat_model_and_every_one_there_is_tried() -> None:
    named = set(re.findall(r"`((?:MS|MM|[NDT])\d+(?:\.[a-z][a-z0-9-]*)?)`", PAGE.read_text(encoding="utf-8")))
    assert named == set(IDS)
