"""The server's own description, registration, sign-in with a device's key, and signing out."""

from __future__ import annotations

import sqlite3
from importlib.metadata import version
from typing import Final

from litestar import delete, get, post

from tacit import errors
from tacit.api.auth import Done, OpenSession, ServerInfo
from tacit.api.auth import Session as Opened
from tacit.crypto.server import hash_token
from tacit.server.backend import FULL, REGISTRATION, Backend, Call, any_session, backend, body, write
from tacit.server.store import accounts, sessions
from tacit.server.store.rows import Session
from tacit.signed.profiles import name_of
from tacit.wire import limits

TOKEN_BYTES: Final = 32
VERSION: Final = version("tacit")
LIMITS: Final = {
    "bodyBytes": limits.BODY_BYTES,
    "contentBytes": limits.CONTENT_BYTES,
    "conversations": limits.CONVERSATIONS,
    "frameBytes": limits.FRAME_BYTES,
    "grants": limits.GRANTS,
    "messages": limits.MESSAGES,
    "page": limits.PAGE,
    "recordBytes": limits.RECORD_BYTES,
    "users": limits.USERS,
    "vaultBytes": limits.VAULT_BYTES,
}


@get("/api/server")
async def server(request: Call) -> ServerInfo:
    """What the server says of itself; the one request that needs no signature."""
    found = backend(request)
    config = found.config
    return ServerInfo(
        config.server_name,
        config.authority,
        VERSION,
        found.incarnation,
        found.clock(),
        LIMITS,
        [name_of(each) for each in config.profiles],
    )


@post("/api/auth/register", status_code=200)
async def register(request: Call) -> Opened:
    """A session of 10 minutes in which a new account's first record may be posted, and nothing else."""
    await body(request, OpenSession)
    here, caller = backend(request), request.auth
    token, session = new_session(here, request, REGISTRATION, here.config.registration_ms)

    def job(db: sqlite3.Connection) -> tuple[str, ...]:
        if accounts.newest(db, caller.user_id) is not None:
            raise errors.AccountExists
        return sessions.open_session(db, session)

    here.hub.close(caller.user_id, sessions=await write(request, job, checks_first=True))
    return Opened(token, session.expires_at, session.device_id)


@post("/api/auth/session", status_code=200)
async def sign_in(request: Call) -> Opened:
    """A session of a device that the account's newest record certifies.

    An account that does not exist and a device that is not certified are refused alike.
    """
    await body(request, OpenSession)
    here, caller = backend(request), request.auth
    token, session = new_session(here, request, FULL, here.config.session_ms)

    def job(db: sqlite3.Connection) -> tuple[str, ...]:
        device = accounts.device(db, caller.user_id, caller.device_id)
        if device is None or device.revoked_in is not None or device.request_key != caller.request_key:
            raise errors.SignInRefused
        return sessions.open_session(db, session)

    here.hub.close(caller.user_id, sessions=await write(request, job, checks_first=True))
    return Opened(token, session.expires_at, session.device_id)


@delete("/api/auth/session", status_code=200)
async def sign_out(request: Call) -> Done:
    """End the request's session; its sockets are closed."""
    session = any_session(request)
    await write(request, lambda db: sessions.end(db, session.token_hash), housekeeping=True)
    backend(request).hub.close(session.user_id, sessions=[session.token_hash])
    return Done(True)


def new_session(here: Backend, request: Call, kind: str, lasts_ms: int) -> tuple[str, Session]:
    """A session for who signed the request, with its token: 256 random bits, of which the hash is stored."""
    caller, now = request.auth, here.clock()
    token = here.random(TOKEN_BYTES).hex()
    session = Session(
        hash_token(token), caller.user_id, caller.device_id, caller.request_key, kind, now, now + lasts_ms
    )
    return token, session
