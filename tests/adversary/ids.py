"""The attacks, and parts of attacks, that the product defends against so far; each must have a row."""

from __future__ import annotations

from typing import Final

IDS: Final = (
    "D1",
    "D1.keys",
    "D1.messages",
    "MM11",
    "MM12.invented-chain",
    "MM12.plain-member",
    "MM3.impersonation",
    "MM4",
    "MM4.returns",
    "MM4.speaks",
    "MM4.speaks-before",
    "MM4.speaks-first",
    "MM4.unserved",
    "MM7.removed-admin",
    "MM8.client",
    "MM8.device",
    "MM8.message-id",
    "MM8.server",
    "MM9.leave",
    "MS1",
    "MS1.device",
    "MS1.leave",
    "MS19",
    "MS19.roster",
    "MS3",
    "MS3.key",
    "MS7.gap",
    "MS7.late",
    "MS7.reorder",
    "MS7.replay",
    "MS7.splice",
    "N2.replay",
    "N2.replay-read",
    "N2.socket",
    "N2.socket-replay",
    "N2.token",
)
