"""The attacks, and parts of attacks, that the product defends against so far; each must have a row."""

from __future__ import annotations

from typing import Final

IDS: Final = (
    "D1",
    "MM12.invented-chain",
    "MM4",
    "MM7.removed-admin",
    "MM8.client",
    "MM8.server",
    "MS1",
    "MS19",
    "MS3",
    "MS7.replay",
    "MS7.splice",
    "N2.replay",
    "N2.token",
)
