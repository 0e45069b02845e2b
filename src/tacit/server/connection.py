"""One connection: uvicorn's protocol for HTTP, with the limits that it has not.

A head is bounded before it is gathered, reading and being read are bounded in time, and who is refused is told, where
HTTP can still carry an answer. After that the connection is read, and thrown away, for a moment: a connection that is
closed with bytes unread is reset, and the answer with it.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, Final, final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tacit import errors
from tacit.api.base import PROBLEM_TYPE, to_json_bytes
from tacit.api.problems import retry_after, to_problem
from tacit.server.connections import Connections

LINGER_SECONDS: Final = 2.0
SLOWEST: Final = 32 * 1024
"""Bytes a second: for each of them that wait, a reader has a second more."""
NEVER: Final = math.inf


class _RefusedError(Exception):
    """The parser is to stop: the connection was refused."""


class At(Enum):
    """Where the reading of a connection is."""

    REST = 0
    """Before a request or after one."""
    HEAD = 1
    BODY = 2
    END = 3
    """Whatever else comes is thrown away."""


class Timed:
    """What both protocols have: their place among the connections, and the time by which something has to happen."""

    crowd: Connections
    transport: Any
    until: float = NEVER
    """When it is late to have come so far."""
    read_until: float = NEVER
    """By when the other side has to have read what waits for it."""

    def check(self, now: float) -> None:
        """Hang up where it took too long."""
        if self.transport is None:
            return  # a TLS handshake, which has a time of its own
        if self.read_until == NEVER and self.transport.is_closing():
            self.read_until = self._patience(now)  # nothing new comes, but what is written may wait for ever
        if now >= self.read_until:
            self.crowd.told("stalled")
            self.transport.abort()
        elif now >= self.until:
            self.late()

    def late(self) -> None:
        """It did not come so far in time."""
        raise NotImplementedError

    def stalls(self) -> None:
        """More waits for the other side than is let wait."""
        self.read_until = self._patience(self.crowd.clock())

    def flows(self) -> None:
        """It reads again."""
        self.read_until = NEVER

    def _patience(self, now: float) -> float:
        waiting: int = self.transport.get_write_buffer_size()
        return now + self.crowd.limits.stalled_seconds + waiting / SLOWEST


@final
class HttpConnection(Timed, HttpToolsProtocol):
    """Requests, one after the other, until the end or a WebSocket."""

    def __init__(self, crowd: Connections, **given: Any) -> None:
        super().__init__(**given)
        self.crowd = crowd
        self._at = At.REST
        self._bytes = 0
        """Of the request's line and headers, then of what is not its body."""
        self._headers = 0
        self._whole = False
        """Whether something was whole among the bytes that the parser was given last."""
        self._refusal: errors.TacitError | None = None

    # --- from the listener -------------------------------------------------------------

    def accepted(self, host: str) -> bool:
        """Count it for this address, before its TLS handshake; False where it is to be closed without a word."""
        try:
            admitted = self.crowd.admit(self, host)
        except errors.TooManyConnections as error:
            self._refusal = error
            return True
        if not admitted:
            self.crowd.told(errors.TooManyConnections.code)
        return admitted

    def given_up(self) -> None:
        """It did not come so far that it was made, or not for long."""
        self.crowd.leave(self)

    # --- from the transport ------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._by(self.crowd.limits.header_seconds)
        if self._refusal is not None:
            self.refuse(self._refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._at is At.END:
            return
        self._whole = False
        try:
            self.parser.feed_data(data)
            if not self._whole and self._at in (At.HEAD, At.BODY):
                self._count(len(data))  # the parser gathers something that has no end so far
        except httptools.HttpParserUpgrade:
            if self.cycle is not None and not self.cycle.response_complete:
                self.refuse(errors.Malformed("a WebSocket begins after the answer to what came before"))
            elif self._should_upgrade():
                self.handle_websocket_upgrade()
        except (httptools.HttpParserError, _RefusedError):
            self.refuse(self._refusal or errors.Malformed("it is not HTTP/1.1"))

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stalls()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.flows()

    def handle_websocket_upgrade(self) -> None:
        self.crowd.leave(self)  # its WebSocket takes its place
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]  # which refers to this object
        socket: Any = self.transport.get_protocol()
        if not socket.handshake_initiated:  # it has a limit for a line of its own
            self.transport.write(answer_of(socket.unreadable(self.scope)))
            self.transport.close()

    # --- from the parser ---------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.cycle is not None:  # the first head's time began with the connection
            self._by(self.crowd.limits.header_seconds)
        self._at, self._whole = At.HEAD, True
        self._bytes = self._headers = 0

    def on_url(self, url: bytes) -> None:
        self._whole = True
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._whole = True
        self._headers += 1
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._whole = True
        if len(self.pipeline) >= self.crowd.limits.pipelined:
            self._stop(errors.TooManyRequests("of one connection, without waiting for an answer", retryAfter=1))
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = self  # type: ignore[assignment]  # it writes and closes
        self._at = At.BODY
        self._by(self.crowd.limits.body_seconds)

    def on_body(self, body: bytes) -> None:
        self._whole = True
        self._bytes = 0  # what is counted after this are trailers, and a chunk's extensions
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()
        self._at = At.REST
        done = self.cycle is None or self.cycle.response_complete
        self._by(self.crowd.limits.idle_seconds if done else NEVER)

    # --- from the request that is answered ---------------------------------------------

    def write(self, data: bytes) -> None:
        """Send a piece of an answer."""
        self.transport.write(data)

    def is_closing(self) -> bool:
        """Whether nothing more can be answered."""
        return self._at is At.END or self.transport.is_closing()

    def close(self) -> None:
        """Hang up after an answer; if that came before its request's end, once the client had time to read it."""
        if self._at in (At.HEAD, At.BODY):
            self._linger()
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        # In uvicorn's place: it would set a timer for each request.
        self.server_state.total_requests += 1
        if self.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._at is At.REST:
            self._by(self.crowd.limits.idle_seconds)

    # --- refusing ----------------------------------------------------------------------

    def late(self) -> None:
        match self._at:
            case At.REST:
                self.transport.close()
            case At.HEAD | At.BODY:
                self.refuse(errors.RequestTimeout())
            case At.END:
                self.transport.abort()

    def refuse(self, error: errors.TacitError) -> None:
        """Hang up, with a problem document unless it would be taken for the answer to another request."""
        self.crowd.told(error.code)
        cycle = self.cycle
        open_ = cycle is not None and not cycle.response_complete
        own = self._at is At.BODY and not cycle.response_started if open_ else True
        answers = own and not self.pipeline
        if open_:
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()
        if answers:
            self.transport.write(answer_of(error))
            self._linger()
        else:
            self._at = At.END
            self.transport.close()

    def _linger(self) -> None:
        self._at = At.END
        self._by(LINGER_SECONDS)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _by(self, seconds: float) -> None:
        self.until = self.crowd.clock() + seconds

    def _count(self, bytes: int) -> None:
        self._bytes += bytes
        limits = self.crowd.limits
        if self._bytes > limits.header_bytes or self._headers > limits.headers:
            most = f"{limits.header_bytes} bytes and {limits.headers} headers"
            self._stop(errors.HeaderTooLarge(f"a request's line and headers have at most {most}"))

    def _stop(self, error: errors.TacitError) -> None:
        self._refusal = error
        raise _RefusedError


def answer_of(error: errors.TacitError) -> bytes:
    """A whole answer that ends its connection."""
    body = to_json_bytes(to_problem(error))
    seconds = retry_after(error)
    headers = (
        STATUS_LINE[error.status],
        b"content-type: %s\r\n" % PROBLEM_TYPE.encode(),
        b"content-length: %d\r\n" % len(body),
        b"retry-after: %d\r\n" % seconds if seconds else b"",
        b"connection: close\r\n\r\n",
    )
    return b"".join((*headers, body))
