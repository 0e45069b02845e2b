"""Stands before every handler: nothing but the server's own description is handled without a device's signature."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, final

from tacit import errors
from tacit.api import auth
from tacit.api.base import INCARNATION_HEADER, PROBLEM_TYPE, identifier, to_json_bytes
from tacit.api.problems import to_problem
from tacit.crypto.server import hash_token
from tacit.server.backend import Backend, Caller, parse
from tacit.server.keyfields import request_key
from tacit.server.store import sessions
from tacit.signed.account import device_id_of
from tacit.signed.request import RequestSignature, read_signature, verify_request
from tacit.wire import limits

log = logging.getLogger("tacit.server")

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

UNSIGNED: Final = frozenset({("GET", "/api/server")})
OPENING: Final = frozenset({("POST", "/api/auth/register"), ("POST", "/api/auth/session")})
NONCE_MS: Final = 60_000
"""How long a nonce is kept beyond the end of its request's life."""


class _GoneError(Exception):
    """The client hung up while it was sending its request."""


@final
class Gate:
    """The ASGI application around all others of the server; adds the incarnation to every answer."""

    def __init__(self, app: App, backend: Backend) -> None:
        self._app = app
        self._backend = backend

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = self._with_incarnation(send)
        path = raw_path(scope)
        try:
            body = await read_body(scope, receive)
            # Whatever the path is decoded to: only what is named here is handled without a signature.
            if (scope["method"], path) not in UNSIGNED:
                scope["auth"] = await self._caller(scope, path, body)
        except _GoneError:
            return
        except errors.TacitError as error:
            await respond(send, error)
            return
        await self._app(scope, _replay(body, receive), send)

    def _with_incarnation(self, send: Send) -> Send:
        header = (INCARNATION_HEADER.encode(), self._backend.incarnation.encode())

        async def send_with(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        return send_with

    async def _caller(self, scope: Any, path: str, body: bytes) -> Caller:
        """Who signed the request.

        Raises `RequestUnsigned`, `RequestSignatureInvalid`, `ClockSkew` or `SessionExpired`, and for a body that opens
        a session what is wrong with it.
        """
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        read = read_signature(headers)
        now, kept_until = self._backend.clock(), read.expires * 1000 + NONCE_MS
        if (scope["method"], path) in OPENING:
            wish = parse(auth.OpenSession, body)
            user_id, key = identifier("userId", wish.user_id), request_key(wish.request_key)
            caller = Caller(None, user_id, device_id_of(user_id, key), key, read.nonce, kept_until, now)
        else:
            token_hash = hash_token(bearer(headers))
            session = await self._backend.store.read(lambda db: sessions.find(db, token_hash, now))
            caller = Caller(
                session, session.user_id, session.device_id, session.request_key, read.nonce, kept_until, now
            )
        check_signed(read, caller, self._backend, scope, path, body)
        return caller


def check_signed(read: RequestSignature, caller: Caller, backend: Backend, scope: Any, path: str, body: bytes) -> None:
    """Refuse a request that the caller's device did not sign; raises `RequestSignatureInvalid` or `ClockSkew`."""
    if read.key_id != caller.device_id:
        raise errors.RequestSignatureInvalid("keyid is not the device's")
    verify_request(
        read,
        scope["method"],
        backend.config.configured_authority,
        path,
        scope["query_string"].decode("latin-1"),
        body,
        public=caller.request_key,
        now=backend.clock() // 1000,
    )


def raw_path(scope: Any) -> str:
    """The path as it stands in the request line."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")


def bearer(headers: Iterable[tuple[str, str]]) -> str:
    """The session token; raises `SessionExpired` where there is none, or more than one."""
    found = [value for name, value in headers if name.lower() == "authorization"]
    if len(found) != 1 or not found[0].startswith("Bearer "):
        raise errors.SessionExpired
    return found[0].removeprefix("Bearer ")


async def read_body(scope: Any, receive: Receive) -> bytes:
    """The whole body; raises `TooLarge` before it is read where its length says so."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and (len(value) > 16 or int(value) > limits.BODY_BYTES):
            raise errors.TooLarge(f"a body has at most {limits.BODY_BYTES} bytes")
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limits.BODY_BYTES:
            raise errors.TooLarge(f"a body has at most {limits.BODY_BYTES} bytes")
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Any:
        return waiting.pop() if waiting else await receive()

    return next_message


async def respond(send: Send, error: errors.TacitError) -> None:
    """Answer with a problem document (RFC 9457)."""
    body = to_json_bytes(to_problem(error))
    headers = [(b"content-type", PROBLEM_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    if isinstance(error, errors.TooLarge):
        headers.append((b"connection", b"close"))  # the rest of a body that is not read
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
