"""The WebSocket: a signed challenge, then pushes out and messages in."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from typing import Any, Final

from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect

from tacit import errors
from tacit.api import sync as api
from tacit.api.base import binary, identifier, read, to_json_bytes
from tacit.api.problems import to_problem
from tacit.crypto.digest import sha256
from tacit.crypto.server import hash_token
from tacit.server import handshakes, messages
from tacit.server.backend import FULL, Backend
from tacit.server.events import FrameAnswered, SocketEnded, failed
from tacit.server.push import Line
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
"""Come again: to a slow reader, or where a session or device ended."""
GOING_AWAY: Final = 1001
"""The server stops."""
GONE: Final = (WebSocketDisconnect, OSError)
"""What the framework raises, and what the server below it, where the other side is gone.

The server below raises RuntimeError for what is written after it closed the connection itself.
"""


@websocket("/api/sync/socket")
async def socket(socket: WebSocket[Any, Any, Any]) -> None:
    """One connection, from its challenge to its end."""
    here: Backend = socket.app.state.backend
    began = here.events.stopwatch()
    with here.hub.socket():
        outcome = await converse(socket, here)
    here.events.tell(SocketEnded(outcome, here.events.stopwatch() - began))


async def converse(socket: WebSocket[Any, Any, Any], here: Backend) -> str:
    """The connection until it ends; its outcome, see `SocketEnded`."""
    try:
        await socket.accept()
        session = await greet(socket, here)
        handshakes.kept(socket.scope).done()
        return await talk(socket, here, session)
    except errors.TacitError as error:
        with suppress(*GONE, RuntimeError):
            await say(socket, api.ProblemFrame("", to_problem(error)))
            await socket.close(REFUSED)
        return error.code
    except TimeoutError:  # an OSError too: before those
        if not here.hub.leaving:
            return "silent"
        with suppress(*GONE, RuntimeError):
            await socket.close(GOING_AWAY)
        return "closed"
    except GONE:
        return "left"


async def talk(socket: WebSocket[Any, Any, Any], here: Backend, session: Session) -> str:
    """A session's connection until it ends: `closed` by this side or `left` by the other."""
    line = Line(session.user_id, session.device_id, session.token_hash)
    here.hub.add(line)
    writing = asyncio.create_task(write_frames(socket, line))
    expiry = asyncio.get_running_loop().call_later((session.expires_at - here.clock()) / 1000, line.close)
    try:
        line.say(to_json_bytes(api.Welcome(here.incarnation)))
        await read_frames(socket, here, session, line)
    except WebSocketDisconnect:
        pass
    finally:
        here.hub.remove(line)
        expiry.cancel()
        writing.cancel()
    return "closed" if line.closed or line.leaving else "left"


async def greet(socket: WebSocket[Any, Any, Any], here: Backend) -> Session:
    """The session that answers the challenge within 10 seconds.

    Raises `SessionExpired`, `SessionForbidden`, `BadSignature`, and what parsing raises.
    """
    nonce = here.random(NONCE_BYTES)
    await say(socket, api.Challenge(to_base64(nonce)))
    async with here.hub.patience(HELLO_SECONDS):
        hello = read_frame(await socket.receive_data("text"))
    if not isinstance(hello, api.Hello):
        raise errors.MalformedJson("the first frame is a hello")
    now = here.clock()
    session = await here.store.read(lambda db: sessions.find(db, hash_token(hello.token), now))
    if session.kind != FULL:
        raise errors.SessionForbidden
    check_hello(here, hello, session, nonce)
    return session


def check_hello(here: Backend, hello: api.Hello, session: Session, nonce: bytes) -> None:
    """That the session's device signed this connection's challenge; raises `BadSignature`."""
    challenge = SocketChallenge(here.config.origin, sha256(hello.token.encode()), session.device_id, nonce)
    if hello.device_id != session.device_id:
        raise errors.BadSignature("the device is not the session's")
    verify_challenge(challenge, binary(hello.signature, limits.SIGNATURE_BYTES), session.request_key)


async def read_frames(socket: WebSocket[Any, Any, Any], here: Backend, session: Session, line: Line) -> None:
    """Take messages until the connection ends; each is answered when it is durable."""
    try:
        while not line.closed:
            if len(line.under_way) >= UNDER_WAY:
                await asyncio.wait(line.under_way, return_when=asyncio.FIRST_COMPLETED)
            frame = await socket.receive_data("text")
            if line.leaving:
                continue  # not taken, and not answered: the client sends it again, elsewhere or later
            began = here.events.stopwatch()
            try:
                parsed = read_frame(frame)
                if not isinstance(parsed, api.Send):
                    raise errors.MalformedJson("only sends come after the hello")
            except errors.TacitError as error:
                answer(here, line, "", error, began)
                continue
            line.take(asyncio.create_task(deliver(here, session, line, parsed, began)))
    finally:
        await asyncio.gather(*line.under_way, return_exceptions=True)


def answer(here: Backend, line: Line, id: str, error: errors.TacitError, began: float) -> None:
    """Refuse one frame."""
    line.say(to_json_bytes(api.ProblemFrame(id, to_problem(error))))
    here.events.tell(FrameAnswered(error.code, here.events.stopwatch() - began))


async def deliver(here: Backend, session: Session, line: Line, frame: api.Send, began: float) -> None:
    """Take one message that came at `began` on the stopwatch, and answer it."""
    try:
        here.rates.device.take(session.device_id)
        conversation_id = identifier("conversationId", frame.conversation_id)
        sealed = messages.check_sealed(session, frame.encrypted_payload)
        now = here.clock()

        def job(db: sqlite3.Connection) -> messages.Delivered:
            sessions.find(db, session.token_hash, now)  # a device that is revoked meanwhile sends nothing more
            return messages.insert(db, session, conversation_id, sealed, (), now)

        delivered = await here.store.write(job, checks_first=True)
    except errors.TacitError as error:
        answer(here, line, frame.id, error, began)
        return
    except Exception as error:  # a task of its own: nobody else would be told, the client included
        here.events.tell(failed(error))
        answer(here, line, frame.id, errors.Internal(), began)
        return
    inserted = delivered.inserted
    line.say(to_json_bytes(api.SentFrame(frame.id, inserted.seq, inserted.created_at)))
    messages.push(here, conversation_id, delivered)
    here.events.tell(FrameAnswered("", here.events.stopwatch() - began))


async def write_frames(socket: WebSocket[Any, Any, Any], line: Line) -> None:
    """Write what waits; close the connection once the line is closed or has said all."""
    try:
        while (frame := await line.next_frame()) is not None:
            await socket.send_text(frame.decode())
        await socket.close(ENDED if line.closed else GOING_AWAY)
    except (*GONE, RuntimeError):
        return  # the other side is gone, and the reader is told as well


def read_frame(text: str) -> api.ClientFrame:
    """A frame of the client's; raises `MalformedJson` or `UnknownField`."""
    frame: api.ClientFrame = read(api.ClientFrame, text, limits.REQUEST_VALUES)  # type: ignore[arg-type]
    return frame


async def say(socket: WebSocket[Any, Any, Any], frame: object) -> None:
    """Write a frame outside a line."""
    await socket.send_text(to_json_bytes(frame).decode())
