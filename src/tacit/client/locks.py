"""One lock for each conversation: one change or one message of it is under way at a time."""

from __future__ import annotations

import asyncio
from typing import final
from weakref import WeakValueDictionary


@final
class Locks:
    """Locks by conversation id, kept as long as somebody holds or waits for them."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, conversation_id: str) -> asyncio.Lock:
        """The conversation's lock."""
        lock = self._locks.get(conversation_id)
        if lock is None:
            lock = self._locks[conversation_id] = asyncio.Lock()
        return lock
