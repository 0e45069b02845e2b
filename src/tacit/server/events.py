"""What the server tells of itself, by one door: log and metrics are made of these events and of nothing else.

No event names a user, a device, a conversation or an address, or holds anything that a client sent: a request is its
route's template, a refusal its problem code. So nothing that is made of events can say who talks to whom.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

OTHER: Final = "other"
"""The method or route of a request that the server does not know: what a client made up is not told."""
LIVE: Final = "/health/live"
READY: Final = "/health/ready"
"""These two are asked for all day by what watches over the server."""
PACKAGES: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Started:
    """The server listens."""

    name: str
    authority: str
    version: str
    metrics: str = ""
    """Where the metrics are listened for; empty where they are off."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """A signal came; `at_once` for a second one."""

    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """All is written and closed."""


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """A request was answered; status 0 where nobody was left to answer. `code` is a refusal's problem code."""

    request_id: str
    method: str
    route: str
    status: int
    code: str
    seconds: float


@dataclass(frozen=True, slots=True)
class FrameAnswered:
    """A WebSocket's frame was answered: taken, or refused with this problem code."""

    code: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SocketEnded:
    """A WebSocket ended: `left` by the client, `closed` by the server, `silent`, or refused with a problem code."""

    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ConnectionCut:
    """A connection was refused or hung up on, with a problem code, or `stalled` where its client read nothing."""

    code: str


@dataclass(frozen=True, slots=True)
class BatchWritten:
    """So many jobs shared a transaction, which is `durable` or was undone."""

    jobs: int
    seconds: float
    durable: bool


@dataclass(frozen=True, slots=True)
class StorageChanged:
    """The disk is `full`, or there is room again."""

    full: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """Something that nobody expected: an exception's class and where it came from, without its text or values."""

    error: str
    where: tuple[str, ...] = ()
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class CertificateRead:
    """The certificate's files changed, and were taken; or there is a `problem`, and what was in use goes on."""

    pin: str
    """Of the key that is in use now."""
    problem: str = ""


Event = (
    Started
    | Stopping
    | Stopped
    | RequestAnswered
    | FrameAnswered
    | SocketEnded
    | ConnectionCut
    | BatchWritten
    | StorageChanged
    | Failed
    | CertificateRead
)
Listener = Callable[[Event], None]


def random_id() -> str:
    """A request's id: 8 random bytes as hex. It says nothing, and finds the log's line for whoever was given it."""
    return os.urandom(8).hex()


@final
class Events:
    """Hands each event to every listener. `stopwatch` counts seconds from any moment on, `new_id` names requests."""

    def __init__(
        self,
        listeners: Iterable[Listener],
        stopwatch: Callable[[], float] = time.perf_counter,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self._listeners = tuple(listeners)
        self.stopwatch = stopwatch
        self.new_id = new_id

    def tell(self, event: Event) -> None:
        """Tell of this."""
        for listener in self._listeners:
            listener(event)


def failed(error: BaseException, request_id: str = "") -> Failed:
    """An exception by its class and its places."""
    return Failed(type(error).__name__, places(error), request_id)


def places(error: BaseException) -> tuple[str, ...]:
    """Where an exception came from, outermost first: file, line and function of each frame, and no source text."""
    frames = traceback.extract_tb(error.__traceback__, limit=-16)
    return tuple(f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames)


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(PACKAGES)) if path.is_relative_to(PACKAGES) else "/".join(path.parts[-2:])
