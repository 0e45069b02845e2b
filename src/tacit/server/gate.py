"""Stands before every handler: only the server's description and health are handled without a device's signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, final
from urllib.parse import quote

from tacit import errors
from tacit.api import auth
from tacit.api.base import INCARNATION_HEADER, PROBLEM_TYPE, identifier, to_json_bytes
from tacit.api.problems import retry_after, to_problem
from tacit.crypto.server import hash_token
from tacit.server.address import address_of
from tacit.server.backend import Backend, Caller, parse
from tacit.server.description import PATH as DESCRIPTION
from tacit.server.events import LIVE, READY
from tacit.server.keyfields import request_key
from tacit.server.store import sessions
from tacit.server.store.rows import Session
from tacit.server.watch import BACKEND, CODE, App, Receive, Send
from tacit.signed.account import device_id_of
from tacit.signed.request import RequestSignature, check_body, read_signature, verify_head
from tacit.wire import limits

UNSIGNED: Final = frozenset(("GET", path) for path in ("/api/server", DESCRIPTION, LIVE, READY))
OPENING: Final[Mapping[tuple[str, str], Any]] = {
    ("POST", "/api/auth/register"): auth.OpenSession,
    ("POST", "/api/auth/session"): auth.OpenSession,
    ("POST", "/api/auth/unlocker"): auth.FindUnlocker,
    ("POST", "/api/auth/unlock"): auth.Unlock,
}
"""The requests that carry the key which they are signed with."""
OPENING_BYTES: Final = 4096
"""The longest body of a request that opens a session: it is read before anything is known of who sends it."""
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
        scope[BACKEND] = self._backend
        send = self._with_incarnation(send)
        path = raw_path(scope)
        body = b""
        try:
            if path not in (LIVE, READY):  # who watches over the server is no reason to start it again
                self._backend.rates.address.take(address_of(scope, self._backend.config.proxies))
            check_spelling(path, scope["path"])
            if (scope["method"], path) in OPENING:
                body = await read_body(scope, receive, OPENING_BYTES)
                scope["auth"] = self._opening(scope, path, body)
            elif (scope["method"], path) not in UNSIGNED:
                signed, scope["auth"] = await self._caller(scope, path)
                body = await read_body(scope, receive, limits.BODY_BYTES)
                check_body(signed, body)
        except _GoneError:
            return
        except errors.TacitError as error:
            scope[CODE] = error.code
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

    def _opening(self, scope: Any, path: str, body: bytes) -> Caller:
        """Who asks for a session, by the key in the body; raises what is wrong with the body or the signature."""
        read = read_signature(headers_of(scope))
        wish = parse(OPENING[scope["method"], path], body)
        user_id, key = identifier("userId", wish.user_id), request_key(wish.request_key)
        caller = self._made(None, user_id, device_id_of(user_id, key), key, read)
        check_signed(read, caller, self._backend, scope, path)
        check_body(read, body)
        return caller

    async def _caller(self, scope: Any, path: str) -> tuple[RequestSignature, Caller]:
        """Whose session's device signed the request; of the body nothing is read before that is known.

        Raises `RequestUnsigned`, `RequestSignatureInvalid`, `ClockSkew`, `SessionExpired` or `TooManyRequests`.
        """
        headers = headers_of(scope)
        read = read_signature(headers)
        token_hash, now = hash_token(bearer(headers)), self._backend.clock()
        session = await self._backend.store.read(lambda db: sessions.find(db, token_hash, now))
        caller = self._made(session, session.user_id, session.device_id, session.request_key, read)
        check_signed(read, caller, self._backend, scope, path)
        self._backend.rates.device.take(caller.device_id)
        return read, caller

    def _made(
        self, session: Session | None, user_id: str, device_id: str, key: bytes, read: RequestSignature
    ) -> Caller:
        kept_until = read.expires * 1000 + NONCE_MS
        return Caller(session, user_id, device_id, key, read.nonce, kept_until, self._backend.clock())


def check_signed(read: RequestSignature, caller: Caller, backend: Backend, scope: Any, path: str) -> None:
    """Refuse a request that the caller's device did not sign; raises `RequestSignatureInvalid` or `ClockSkew`."""
    if read.key_id != caller.device_id:
        raise errors.RequestSignatureInvalid("keyid is not the device's")
    verify_head(
        read,
        scope["method"],
        backend.config.authority,
        path,
        scope["query_string"].decode("latin-1"),
        public=caller.request_key,
        now=backend.clock() // 1000,
    )


def headers_of(scope: Any) -> list[tuple[str, str]]:
    """The request's headers as text."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]


def check_spelling(raw: str, path: str) -> None:
    """Refuse a path that has another spelling: what is signed is what is handled. Raises `NotFound`."""
    if quote(path, safe="/") != raw or "//" in raw or (raw.endswith("/") and raw != "/"):
        raise errors.NotFound


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


async def read_body(scope: Any, receive: Receive, most: int) -> bytes:
    """The whole body, at most so many bytes; raises `TooLarge` before it is read where its length says so."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and (len(value) > 16 or int(value) > most):
            raise errors.TooLarge(f"a body has at most {most} bytes")
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most:
            raise errors.TooLarge(f"a body has at most {most} bytes")
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
    if seconds := retry_after(error):
        headers.append((b"retry-after", str(seconds).encode()))
    if isinstance(error, errors.TooLarge):
        headers.append((b"connection", b"close"))  # the rest of a body that is not read
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
