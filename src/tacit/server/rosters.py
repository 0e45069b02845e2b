"""Who is to be told of a message, in memory: it is asked for with each one."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from typing import final

from tacit.server.store import conversations


@final
class Rosters:
    """Who is in which epoch, by its record: that says who, also where a transaction is undone that stored it."""

    def __init__(self, kept: int = 100_000) -> None:
        """`kept` is how many names are remembered at most."""
        self._kept = kept
        self._names = 0
        self._members: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def of(self, db: sqlite3.Connection, conversation_id: str, record_hash: str) -> tuple[str, ...]:
        """The members in the newest epoch of a conversation, which began with this record."""
        found = self._members.get(record_hash)
        if found is None:
            found = tuple(each.user_id for each in conversations.members(db, conversation_id))
            self._members[record_hash] = found
            self._names += len(found)
            while self._names > self._kept:
                self._names -= len(self._members.popitem(last=False)[1])
        return found
