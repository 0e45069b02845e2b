"""Open WebSockets by account, and what is pushed to them. A push is a hint: what is dropped is fetched by cursor."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final, final

from tacit.api.base import to_json_bytes
from tacit.api.messages import Item
from tacit.api.sync import AccountPush, ItemPush

BACKLOG_BYTES: Final = 4 * 1024 * 1024
"""What may wait for a slow reader: above it the socket is closed, and the client comes back and pages."""
OF_A_DEVICE: Final = 16
"""WebSockets that one device may have open; the oldest is closed for one more."""


@final
class Line:
    """One open WebSocket: frames that wait to be written, and whether it is to be closed."""

    def __init__(self, user_id: str, device_id: str, token_hash: str) -> None:
        self.user_id = user_id
        self.device_id = device_id
        self.token_hash = token_hash
        self.closed = False
        self.leaving = False
        self.under_way: set[asyncio.Task[None]] = set()
        """Frames of the client's that are not answered yet."""
        self._frames: deque[bytes] = deque()
        self._waiting = 0
        self._ready = asyncio.Event()

    def say(self, frame: bytes) -> None:
        """Let a frame wait to be written."""
        if self.closed:
            return
        self._waiting += len(frame)
        if self._waiting > BACKLOG_BYTES:
            self.close()
            return
        self._frames.append(frame)
        self._ready.set()

    def close(self) -> None:
        """Write nothing more and end the connection."""
        self.closed = True
        self._frames.clear()
        self._ready.set()

    def leave(self) -> None:
        """Take no more frames, and end the connection once those that were taken are answered."""
        self.leaving = True
        self._ready.set()

    def take(self, task: asyncio.Task[None]) -> None:
        """A frame of the client's is being answered by this task."""
        self.under_way.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self.under_way.discard(task)
        self._ready.set()

    async def next_frame(self) -> bytes | None:
        """The next frame to write; None once the line is closed, or has said all before it leaves."""
        while not self._frames:
            if self.closed or (self.leaving and not self.under_way):
                return None
            self._ready.clear()
            await self._ready.wait()
        frame = self._frames.popleft()
        self._waiting -= len(frame)
        return frame


@final
class Hub:
    """The open lines of all accounts."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[Line, None]] = {}  # in the order in which they were opened
        self.leaving = False
        self._greeting: set[asyncio.Timeout] = set()
        self.sockets = 0
        """WebSockets that are open, also those that have not said yet whose they are."""
        self._empty = asyncio.Event()
        self._empty.set()

    @contextmanager
    def socket(self) -> Iterator[None]:
        """A WebSocket, from its beginning to its end."""
        self.sockets += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.sockets -= 1
            if not self.sockets:
                self._empty.set()

    @asynccontextmanager
    async def patience(self, seconds: float) -> AsyncIterator[None]:
        """Wait so long for a client to say who it is; raises `TimeoutError`, and at once where the server leaves."""
        async with asyncio.timeout(0 if self.leaving else seconds) as limit:
            self._greeting.add(limit)
            try:
                yield
            finally:
                self._greeting.discard(limit)

    def add(self, line: Line) -> None:
        """A connection was opened; of one device only the newest ones stay open."""
        lines = self._lines.setdefault(line.user_id, {})
        lines[line] = None
        if self.leaving:
            line.leave()
        of_device = [each for each in lines if each.device_id == line.device_id and not each.closed]
        for each in of_device[:-OF_A_DEVICE]:
            each.close()

    def remove(self, line: Line) -> None:
        """A connection was closed."""
        lines = self._lines.get(line.user_id, {})
        lines.pop(line, None)
        if not lines:
            self._lines.pop(line.user_id, None)

    def push_item(self, conversation_id: str, users: Iterable[str], item_for: Callable[[str], Item]) -> None:
        """Push an item of a conversation to these users; `item_for` says how each sees it."""
        for user in users:
            if lines := self._lines.get(user):
                frame = to_json_bytes(ItemPush(conversation_id, item_for(user)))
                for line in lines:
                    line.say(frame)

    def push_account(self, told: Mapping[str, int]) -> None:
        """Tell users that their streams have entries up to these numbers."""
        for user, cursor in told.items():
            for line in self._lines.get(user, ()):
                line.say(to_json_bytes(AccountPush(cursor)))

    def close(self, user_id: str, *, devices: Iterable[str] = (), token_hash: str = "") -> None:
        """Close the lines of an account's revoked devices, or of a session that ended."""
        gone = set(devices)
        for line in self._lines.get(user_id, ()):
            if line.device_id in gone or line.token_hash == token_hash:
                line.close()

    def close_all(self) -> None:
        """Let every line, also one to come, end once the frames that were taken from it are answered."""
        self.leaving = True
        now = asyncio.get_running_loop().time()
        for limit in self._greeting:
            limit.reschedule(now)
        for lines in self._lines.values():
            for line in lines:
                line.leave()

    async def empty(self) -> None:
        """Wait until no WebSocket is open."""
        await self._empty.wait()
