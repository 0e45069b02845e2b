"""What is said on a WebSocket: a signed challenge, then pushes out and messages in."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, Protocol, final

from tacit import errors
from tacit.api import sync as api
from tacit.api.base import Reader, binary, identifier, to_json_bytes
from tacit.api.problems import to_problem
from tacit.crypto.digest import sha256
from tacit.crypto.server import hash_token
from tacit.server import messages
from tacit.server.backend import FULL, Backend
from tacit.server.events import FrameAnswered, failed
from tacit.server.push import Line, text_frame
from tacit.server.store import sessions
from tacit.server.store.rows import Session
from tacit.signed.request import SocketChallenge, verify_challenge
from tacit.wire import limits
from tacit.wire.text import to_base64

NONCE_BYTES: Final = 32
HELLO_SECONDS: Final = 10.0
UNDER_WAY: Final = 64
"""Messages of one connection that are being written; it is not read from while there are as many."""
REFUSED: Final = 4401
ENDED: Final = 1012
"""Come again: where a session or device ended."""
GOING_AWAY: Final = 1001
"""The server stops."""


class Connection(Protocol):
    """What a talk asks of the connection that it goes over."""

    def write(self, frames: bytes) -> None: ...
    def say(self, frame: object) -> None: ...
    def patience(self, seconds: float, then: Any) -> None: ...
    def known(self) -> None: ...
    def full(self, is_full: bool) -> None: ...
    def end(self, outcome: str, code: int) -> None: ...
    def shutdown(self) -> None: ...


@final
class Talk:
    """One connection's talk, from the challenge on; `line` is there once the session is known."""

    __slots__ = ("_connection", "_here", "_nonce", "_session", "_token_hash", "line")

    def __init__(self, here: Backend, connection: Connection) -> None:
        self._here = here
        self._connection = connection
        self._nonce = here.random(NONCE_BYTES)
        self._session: Session
        self.line: Line | None = None
        connection.say(api.Challenge(to_base64(self._nonce)))
        if here.hub.leaving:
            connection.shutdown()
        else:
            connection.patience(HELLO_SECONDS, lambda: connection.end("silent", GOING_AWAY))

    def hear(self, text: bytes) -> None:
        """Take a frame of the client's."""
        if self.line is None:
            self._greet(text)
        elif not self.line.leaving:
            self._send(text)
        # else: not taken, and not answered: the client sends it again, elsewhere or later

    def over(self) -> None:
        """The connection is gone."""
        if self.line is not None:
            self.line.closed = True

    def hang_up(self) -> None:
        """The line is closed."""
        assert self.line is not None
        self._connection.end("closed", GOING_AWAY if self.line.leaving else ENDED)

    def write(self, frames: bytes) -> None:
        """Write what the line has gathered."""
        self._connection.write(frames)

    # --- who it is -------------------------------------------------------------------------

    def _greet(self, text: bytes) -> None:
        here, connection = self._here, self._connection
        try:
            self._session = session = self._who(text)
        except errors.TacitError as error:
            connection.say(api.ProblemFrame("", to_problem(error)))
            connection.end(error.code, REFUSED)
            return
        self.line = line = Line(session.user_id, session.device_id, session.token_hash, self)
        connection.patience((session.expires_at - here.clock()) / 1000, line.close)
        line.answer(text_frame(to_json_bytes(api.Welcome(here.incarnation))))
        connection.known()
        here.hub.add(line, connection.shutdown)

    def _who(self, text: bytes) -> Session:
        """The session that answers the challenge.

        Raises `SessionExpired`, `SessionForbidden`, `BadSignature`, and what parsing raises.
        """
        hello = read_frame(text)
        if not isinstance(hello, api.Hello):
            raise errors.MalformedJson("the first frame is a hello")
        now = self._here.clock()
        session = self._here.store.look(lambda db: sessions.find(db, hash_token(hello.token), now))
        if session.kind != FULL:
            raise errors.SessionForbidden
        check_hello(self._here, hello, session, self._nonce)
        return session

    # --- messages --------------------------------------------------------------------------

    def _send(self, text: bytes) -> None:
        """Take a message; it is answered when it is durable."""
        here, session, line = self._here, self._session, self.line
        assert line is not None
        began = here.events.stopwatch()
        number = ""
        try:
            try:
                frame = read_frame(text)
            except errors.TacitError:
                here.rates.device.take(session.device_id)  # what is no frame counts as well
                raise
            if not isinstance(frame, api.Send):
                raise errors.MalformedJson("only sends come after the hello")
            number = frame.id
            here.rates.device.take(session.device_id)
            conversation_id = identifier("conversationId", frame.conversation_id)
            sealed = messages.check_sealed(session, frame.encrypted_payload)
        except errors.TacitError as error:
            self._refuse(number, error, began)
            return
        now = here.clock()

        def job(db: sqlite3.Connection) -> messages.Delivered:
            sessions.check(db, session.token_hash, now)  # a device that is revoked meanwhile sends nothing more
            return messages.insert(db, here.rosters, conversation_id, sealed, (), now)

        def done(delivered: messages.Delivered | None, error: Exception | None) -> None:
            try:
                if delivered is None:
                    self._refuse(number, self._told(error), began)
                else:
                    answer = api.SentFrame(number, delivered.inserted.seq, delivered.inserted.created_at)
                    line.answer(text_frame(to_json_bytes(answer)))
                    messages.push(here, conversation_id, delivered)
                    here.events.tell(FrameAnswered("", here.events.stopwatch() - began))
            finally:
                if line.under_way == UNDER_WAY:
                    self._connection.full(False)
                line.answered()

        try:
            here.store.submit(job, done, checks_first=True)
        except errors.TacitError as error:
            self._refuse(number, error, began)
            return
        line.under_way += 1
        if line.under_way == UNDER_WAY:
            self._connection.full(True)

    def _refuse(self, number: str, error: errors.TacitError, began: float) -> None:
        assert self.line is not None
        self.line.answer(text_frame(to_json_bytes(api.ProblemFrame(number, to_problem(error)))))
        self._here.events.tell(FrameAnswered(error.code, self._here.events.stopwatch() - began))

    def _told(self, error: Exception | None) -> errors.TacitError:
        """What the client is told of this; what nobody expected is told to the operator instead."""
        if isinstance(error, errors.TacitError):
            return error
        assert error is not None
        self._here.events.tell(failed(error))
        return errors.Internal()


def check_hello(here: Backend, hello: api.Hello, session: Session, nonce: bytes) -> None:
    """That the session's device signed this connection's challenge; raises `BadSignature`."""
    challenge = SocketChallenge(here.config.origin, sha256(hello.token.encode()), session.device_id, nonce)
    if hello.device_id != session.device_id:
        raise errors.BadSignature("the device is not the session's")
    verify_challenge(challenge, binary(hello.signature, limits.SIGNATURE_BYTES), session.request_key)


def read_frame(text: bytes) -> api.ClientFrame:
    """A frame of the client's; raises `MalformedJson` or `UnknownField`."""
    return _FRAMES.read(text)


_FRAMES: Final[Reader[api.ClientFrame]] = Reader(api.ClientFrame)
