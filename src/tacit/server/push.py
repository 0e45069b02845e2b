"""Open WebSockets by account, and what is pushed to them. A push is a hint: what is dropped is fetched by cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, final

from tacit.api.base import to_json_bytes
from tacit.api.messages import Item
from tacit.api.sync import AccountPush, BehindPush, ItemPush

BACKLOG_BYTES: Final = 256 * 1024
"""Pushes that wait for a slow reader at most; above it they are dropped, and it is told that it is behind."""
OF_A_DEVICE: Final = 16
"""WebSockets that one device may have open; the oldest is closed for one more."""
OF_AN_ACCOUNT: Final = 64
"""WebSockets that one account may have open, likewise."""


def text_frame(payload: bytes) -> bytes:
    """A server's whole text message (RFC 6455 §5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


BEHIND: Final = text_frame(to_json_bytes(BehindPush()))


class Outlet(Protocol):
    """What a line writes to."""

    def write(self, frames: bytes) -> None:
        """Write whole frames."""

    def hang_up(self) -> None:
        """End the connection; the line says why."""


@final
class Line:
    """One open WebSocket: frames that wait for the end of the loop's turn, so that they are written at once.

    Answers are few, since no more is read while as many are under way, and always written. Pushes are bounded.
    """

    __slots__ = (
        "_answers",
        "_behind",
        "_loop",
        "_outlet",
        "_paused",
        "_pushes",
        "_scheduled",
        "_waiting",
        "closed",
        "device_id",
        "leaving",
        "token_hash",
        "under_way",
        "user_id",
    )

    def __init__(self, user_id: str, device_id: str, token_hash: str, outlet: Outlet) -> None:
        self.user_id = user_id
        self.device_id = device_id
        self.token_hash = token_hash
        self.closed = False
        self.leaving = False
        self.under_way = 0
        """Frames of the client's that are not answered yet."""
        self._outlet = outlet
        self._loop = asyncio.get_running_loop()
        self._answers: list[bytes] = []
        self._pushes: list[bytes] = []
        self._waiting = 0
        self._behind = False
        self._paused = False
        self._scheduled = False

    def answer(self, frame: bytes) -> None:
        """Let a frame wait to be written, whatever else does."""
        if not self.closed:
            self._answers.append(frame)
            self._soon()

    def push(self, frame: bytes) -> None:
        """Let a hint wait to be written, or be dropped where too many do."""
        if self.closed or self._behind:
            return
        self._pushes.append(frame)
        self._waiting += len(frame)
        if self._paused and self._waiting > BACKLOG_BYTES:
            self._behind = True
            self._pushes.clear()
            self._waiting = 0
        self._soon()

    def pause(self) -> None:
        """The other side does not read as fast as this one writes."""
        self._paused = True

    def resume(self) -> None:
        """It has read."""
        self._paused = False
        if self._behind:
            self._behind = False
            self._pushes.append(BEHIND)
        self.flush()
        if self.leaving:
            self._leave_if_done()

    def close(self) -> None:
        """Write nothing more and end the connection."""
        if not self.closed:
            self.closed = True
            self._answers.clear()
            self._pushes.clear()
            self._outlet.hang_up()

    def leave(self) -> None:
        """Take no more frames, and end the connection once those that were taken are answered."""
        self.leaving = True
        self._leave_if_done()

    def answered(self) -> None:
        """One of the client's frames is under way no longer."""
        self.under_way -= 1
        if self.leaving:
            self._leave_if_done()

    def flush(self) -> None:
        """Write what waits, unless the other side has to read first."""
        self._scheduled = False
        if self._paused or self.closed or not (self._answers or self._pushes):
            return
        frames = [*self._answers, *self._pushes]
        self._answers.clear()
        self._pushes.clear()
        self._waiting = 0
        self._outlet.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def _leave_if_done(self) -> None:
        if not self.under_way and not self.closed and not self._paused:  # what waits is written first
            self.flush()
            self.close()


@final
class Hub:
    """The open lines of all accounts, and all WebSockets."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[Line, None]] = {}  # in the order in which they were opened
        self.leaving = False
        self._strangers: dict[Callable[[], None], None] = {}
        self.sockets = 0
        """WebSockets that are open, also those that have not said yet whose they are."""
        self._empty = asyncio.Event()
        self._empty.set()

    def opened(self, hang_up: Callable[[], None]) -> None:
        """A WebSocket began, whose it is is not said yet; `hang_up` ends it where the server leaves."""
        self.sockets += 1
        self._empty.clear()
        self._strangers[hang_up] = None

    def ended(self, hang_up: Callable[[], None], line: Line | None) -> None:
        """A WebSocket that had begun is over."""
        self.sockets -= 1
        self._strangers.pop(hang_up, None)
        if line is not None:
            self._remove(line)
        if not self.sockets:
            self._empty.set()

    @property
    def strangers(self) -> int:
        """WebSockets that have not said yet whose they are."""
        return len(self._strangers)

    def add(self, line: Line, hang_up: Callable[[], None] | None = None) -> None:
        """A WebSocket is somebody's line now; of a device, and of an account, only the newest ones stay open."""
        if hang_up is not None:
            self._strangers.pop(hang_up, None)
        lines = self._lines.setdefault(line.user_id, {})
        lines[line] = None
        if self.leaving:
            line.leave()
        of_account = [each for each in lines if not each.closed]
        of_device = [each for each in of_account if each.device_id == line.device_id]
        for each in [*of_device[:-OF_A_DEVICE], *of_account[:-OF_AN_ACCOUNT]]:
            each.close()

    def _remove(self, line: Line) -> None:
        lines = self._lines.get(line.user_id, {})
        lines.pop(line, None)
        if not lines:
            self._lines.pop(line.user_id, None)

    def push_same(self, conversation_id: str, users: Iterable[str], item: Item) -> None:
        """Push an item of a conversation that looks the same to all of these users."""
        frame = b""
        for user in users:
            for line in self._lines.get(user, ()):
                frame = frame or text_frame(to_json_bytes(ItemPush(conversation_id, item)))
                line.push(frame)

    def push_item(self, conversation_id: str, users: Iterable[str], item_for: Callable[[str], Item]) -> None:
        """Push an item of a conversation to these users; `item_for` says how each sees it."""
        for user in users:
            if user in self._lines:
                self.push_same(conversation_id, (user,), item_for(user))

    def push_account(self, told: Mapping[str, int]) -> None:
        """Tell users that their streams have entries up to these numbers."""
        for user, cursor in told.items():
            for line in self._lines.get(user, ()):
                line.push(text_frame(to_json_bytes(AccountPush(cursor))))

    def close(self, user_id: str, *, devices: Iterable[str] = (), sessions: Iterable[str] = ()) -> None:
        """Close the lines of an account's revoked devices, or of sessions that ended, by the hash of their token."""
        gone, ended = set(devices), set(sessions)
        for line in list(self._lines.get(user_id, ())):
            if line.device_id in gone or line.token_hash in ended:
                line.close()

    def close_all(self) -> None:
        """Let every line, also one to come, end once the frames that were taken from it are answered."""
        self.leaving = True
        for hang_up in list(self._strangers):
            hang_up()
        for lines in list(self._lines.values()):
            for line in list(lines):
                line.leave()

    async def empty(self) -> None:
        """Wait until no WebSocket is open."""
        await self._empty.wait()
