"""The WebSocket, from bytes to frames: it takes over a connection from uvicorn's HTTP side.

Instead of uvicorn's own class, because the WebSocket is where messages go and wait: no task, queue or ASGI message
stands between a frame and what is done with it, and an idle socket is a few small objects. The protocol itself is the
`websockets` package's (RFC 6455), which reads and writes no connection; what is said in frames is `talk`'s matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast, final

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from tacit import errors
from tacit.api.base import PROBLEM_TYPE, to_json_bytes
from tacit.api.problems import retry_after, to_problem
from tacit.server.address import address_of
from tacit.server.backend import Backend
from tacit.server.connection import NEVER, Timed
from tacit.server.events import SocketEnded, failed
from tacit.server.handshakes import Handshake, check_page
from tacit.server.push import text_frame
from tacit.server.talk import Talk
from tacit.wire import limits

PATH: Final = "/api/sync/socket"
CLOSE_SECONDS: Final = 10.0
"""How long the other side may take to answer a close frame."""
FRAGMENTS: Final = 1024
"""Frames of one message: empty ones count for no size."""
CONTROLS: Final = 40
"""Pings and pongs that are taken between two of our pings: a ping costs an answer, and neither is a request."""
GOING_AWAY: Final = 1001
INTERNAL: Final = 1011
UNSUPPORTED: Final = 1003
NOT_TEXT: Final = 1007


@final
class SocketProtocol(Timed, asyncio.Protocol):
    """One connection, from the upgrade to its end."""

    def __init__(self, here: Backend, config: Any, server_state: Any, **_: Any) -> None:
        self._here = here
        self.crowd = here.connections
        self.handshake_initiated = False
        """Whether the request was one that a WebSocket begins with; the HTTP side asks."""
        self._loop = asyncio.get_running_loop()
        self._connections: set[Any] = server_state.connections
        self._conn = protocol()
        self._began = here.events.stopwatch()
        self._outcome = ""
        self._talk: Talk | None = None
        self._handshake: Handshake | None = None
        self._parts: list[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ping_at = NEVER
        self._pinged = False
        self._controls = 0
        self._said_goodbye = False
        self._full = False
        self._slow = False
        self.transport: asyncio.Transport

    # --- the connection --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        peer = transport.get_extra_info("peername")
        self._client = peer[:2] if isinstance(peer, tuple) else None
        self.crowd.join(self, self._client[0] if self._client else "")
        self.until = self.crowd.clock() + self.crowd.limits.header_seconds
        self._here.hub.opened(self.shutdown)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self.crowd.leave(self)
        self.known()
        self.no_hurry()
        line = None
        if self._talk is not None:
            line = self._talk.line
            self._talk.over()
        self._here.hub.ended(self.shutdown, line)
        self._here.events.tell(SocketEnded(self._outcome or "left", self._here.events.stopwatch() - self._began))

    def data_received(self, data: bytes) -> None:
        if self._pinged:
            self._pinged, self.until = False, NEVER
        self._conn.receive_data(data)
        for event in self._conn.events_received():
            if isinstance(event, Frame):
                self._frame(event)
            else:
                assert isinstance(event, Request)
                self._upgrade(event)
        if self.handshake_initiated:
            self._write_out()
        # else the HTTP side says that it is no handshake

    def eof_received(self) -> bool:
        self._conn.receive_eof()
        return False

    def pause_writing(self) -> None:
        if self._talk is not None and self._talk.line is not None:
            self._talk.line.pause()
        self._slow = True
        self.stalls()
        self._read_on()

    def resume_writing(self) -> None:
        self._slow = False
        self.flows()
        self._read_on()
        if self._talk is not None and self._talk.line is not None:
            self._talk.line.resume()

    def shutdown(self) -> None:
        """The server stops: end this connection, where nobody has said whose it is."""
        self.end("closed", GOING_AWAY)

    def unreadable(self, scope: Any) -> errors.TacitError:
        """What the HTTP side answers to an upgrade that is no handshake; it counts as a request."""
        self._outcome = errors.Malformed.code
        try:
            self._here.rates.address.take(address_of(scope, self._here.config.proxies))
        except errors.TooManyRequests as error:
            return error
        return errors.Malformed("it is no WebSocket's handshake")

    # --- frames ----------------------------------------------------------------------------

    def _upgrade(self, request: Request) -> None:
        """Answer the opening handshake, and begin to talk."""
        self.handshake_initiated = True
        response = self._conn.accept(request)
        try:
            self._admit(request)
            if response.status_code != 101:
                raise errors.Malformed("it is no WebSocket's handshake")
        except errors.TacitError as error:
            self._outcome = error.code
            response = refusal(error)
        self._conn.send_response(response)
        if response.status_code != 101:
            self.known()
            self._write_out()
            self.transport.close()
            return
        self._write_out()
        self.until = NEVER
        self._ping_at = self.crowd.clock() + self.crowd.limits.ping_seconds
        self._talk = Talk(self._here, self)

    def _admit(self, request: Request) -> None:
        """Refuse what may not begin; raises `TooManyRequests`, `NotFound`, `OriginRefused`, `TooManyHandshakes`."""
        headers = [
            (name.lower().encode(), value.encode("latin-1", "replace")) for name, value in request.headers.raw_items()
        ]
        scope = {"client": self._client, "headers": headers}
        here = self._here
        address = address_of(scope, here.config.proxies)
        here.rates.address.take(address)
        if request.path.partition("?")[0] != PATH:
            raise errors.NotFound
        check_page(headers, (here.config.origin, *here.config.origins))
        self._handshake = here.handshakes.begin(address)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY or frame.opcode is Opcode.CONT:
            if frame.opcode is Opcode.BINARY:
                self.end("closed", UNSUPPORTED)
            elif frame.fin and self._parts is None:
                self._text(frame.data)
            elif not self.transport.is_closing():
                self._parts = self._parts or []
                self._parts.append(bytes(frame.data))
                if len(self._parts) > FRAGMENTS:
                    self._cut(errors.TooLarge.code)
                elif frame.fin:
                    whole, self._parts = b"".join(self._parts), None
                    self._text(whole)
        elif frame.opcode is not Opcode.CLOSE and not self.transport.is_closing():
            self._controls += 1
            if self._controls > CONTROLS:
                self._cut(errors.TooManyRequests.code)

    def _cut(self, code: str) -> None:
        self._outcome = self._outcome or code
        self.crowd.told(code)
        self.transport.abort()

    def _text(self, text: bytes | bytearray | memoryview) -> None:
        if self._talk is None or self._conn.state is not State.OPEN:
            return
        try:
            self._talk.hear(str(text, "utf-8").encode())
        except UnicodeDecodeError:
            self._outcome = self._outcome or "closed"
            self._conn.fail(NOT_TEXT)
            self._write_out()
            self.transport.close()
        except Exception as error:  # the edge of a connection: nobody else would be told, the client included
            self._here.events.tell(failed(error))
            self.end("internal", INTERNAL)

    def check(self, now: float) -> None:
        """Hang up where it took too long, and ask now and then whether anybody is there."""
        if self._pinged and (self._full or self._slow):
            self.until = now + self.crowd.limits.pong_seconds  # nothing is read, the answer neither
        super().check(now)
        if now >= self._ping_at and self._conn.state is State.OPEN:
            self._ping_at = now + self.crowd.limits.ping_seconds
            self._controls = 0
            if not self._pinged:
                self._pinged, self.until = True, now + self.crowd.limits.pong_seconds
                self._conn.send_ping(b"")
                self._write_out()

    def late(self) -> None:
        """The handshake, or the answer to a ping, did not come in time."""
        self._outcome = self._outcome or "silent"
        self.transport.abort()

    def _read_on(self) -> None:
        """Read on, unless there is enough to do, or the other side does not read either."""
        if self.transport.is_closing():
            return
        if self._full or self._slow:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _write_out(self) -> None:
        """Write what the protocol itself has to say; hang up once both sides have said that they close."""
        for data in self._conn.data_to_send():
            if data and not self._said_goodbye:
                self.transport.write(data)
        self._said_goodbye = self._conn.state not in (State.CONNECTING, State.OPEN)  # no ping is answered after that
        if self._conn.state is State.CLOSED or self._conn.close_expected():
            self._closing()

    def _closing(self) -> None:
        if self._conn.close_rcvd is not None or self._conn.state is State.CLOSED or self._conn.parser_exc is not None:
            self.transport.close()
        elif self._timer is None or self._timer.cancelled():
            self._full = self._slow = False  # for the answer to the close frame
            self._read_on()
            self._timer = self._loop.call_later(CLOSE_SECONDS, self.transport.abort)

    # --- what a talk asks of its connection --------------------------------------------------

    def write(self, frames: bytes) -> None:
        """Write whole frames."""
        if self._conn.state is State.OPEN:
            self.transport.write(frames)

    def say(self, frame: object) -> None:
        """Write one frame."""
        self.write(text_frame(to_json_bytes(frame)))

    def patience(self, seconds: float, then: Callable[[], None]) -> None:
        """Do this after so long, unless the connection ended or `patience` was asked for again."""
        self.no_hurry()
        self._timer = self._loop.call_later(seconds, then)

    def known(self) -> None:
        """It is said whose this connection is, or it is over."""
        if self._handshake is not None:
            self._handshake.done()
            self._handshake = None

    def no_hurry(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def full(self, is_full: bool) -> None:
        """Whether no more is to be taken for now."""
        self._full = is_full
        self._read_on()

    def end(self, outcome: str, code: int) -> None:
        """Close, with a code of RFC 6455 §7.4; `outcome` as in `SocketEnded`."""
        self._outcome = self._outcome or outcome
        self.no_hurry()
        self.known()  # nothing is waited for but its end
        if self._conn.state is State.OPEN:
            self._conn.send_close(code)
            self._write_out()
        elif self._conn.state is State.CONNECTING:
            self.transport.close()


def protocol() -> ServerProtocol:
    """The protocol of one connection: frames of a limited size, and no extension, so that nothing is inflated."""
    return ServerProtocol(max_size=limits.FRAME_BYTES)


def refusal(error: errors.TacitError) -> Response:
    """The answer to an upgrade that is refused, as a problem document."""
    body = to_json_bytes(to_problem(error))
    headers = {"Content-Type": PROBLEM_TYPE, "Content-Length": str(len(body)), "Connection": "close"}
    if seconds := retry_after(error):
        headers["Retry-After"] = str(seconds)
    return Response(error.status, "Refused", Headers(headers), body)
