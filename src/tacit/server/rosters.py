"""Who is to be told of a message, in memory: it is asked for with each one."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from typing import final

from tacit.server.store import conversations


@final
class Rosters:
    """Who is in which epoch: the members of a conversation change with its key and with nothing else."""

    def __init__(self, kept: int = 100_000) -> None:
        """`kept` is how many names are remembered at most."""
        self._kept = kept
        self._names = 0
        self._members: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def of(self, db: sqlite3.Connection, conversation_id: str, key_id: str) -> tuple[str, ...]:
        """The members in the newest epoch of a conversation, which has this key."""
        found = self._members.get(key_id)
        if found is None:
            found = tuple(each.user_id for each in conversations.members(db, conversation_id))
            self._members[key_id] = found
            self._names += len(found)
            while self._names > self._kept:
                self._names -= len(self._members.popitem(last=False)[1])
        return found
