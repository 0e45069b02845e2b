"""The server as an ASGI application."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException

from tacit import errors
from tacit.api.base import PROBLEM_TYPE
from tacit.api.problems import retry_after, to_problem
from tacit.crypto.secret import Randomness
from tacit.server import (
    accounts,
    conversations,
    description,
    health,
    logs,
    messages,
    reconcile,
    reconcile_account,
    sessions,
    sync,
    unlocking,
)
from tacit.server.backend import Backend, Clock
from tacit.server.config import Config
from tacit.server.connections import Connections
from tacit.server.events import BatchWritten, ConnectionCut, Events, StorageChanged, failed
from tacit.server.gate import Gate
from tacit.server.handshakes import Handshakes
from tacit.server.health import Health
from tacit.server.known import KnownAccounts
from tacit.server.push import Hub
from tacit.server.rates import rates_of
from tacit.server.rosters import Rosters
from tacit.server.store import meta
from tacit.server.store.room import Room
from tacit.server.store.sqlite import Store
from tacit.server.watch import BACKEND, CODE, REQUEST_ID, App, Routes, Watch

HANDLERS = (
    health.live,
    health.ready,
    description.description,
    sessions.server,
    sessions.register,
    sessions.sign_in,
    sessions.sign_out,
    unlocking.unlocker,
    unlocking.unlock,
    accounts.generate,
    accounts.public_keys,
    accounts.private_keys,
    accounts.store_outer,
    conversations.post_keys,
    conversations.get_keys,
    conversations.add_members,
    conversations.remove_members,
    conversations.list_conversations,
    conversations.request_grant,
    conversations.leave,
    messages.send,
    messages.page,
    sync.sync,
    reconcile.conversation,
    reconcile_account.account,
)


async def open_backend(config: Config, clock: Clock, random: Randomness, events: Events | None = None) -> Backend:
    """The server's state on its database; raises `Internal`, `DatabaseTooNew`, or `ServerNameMismatch`.

    The name is bound into every account: a database that was made under another one is refused. Without `events` they
    are logged as the process logs.
    """
    events = events or Events((logs.write,))
    room = Room(config.database, config.ballast_bytes, lambda full: events.tell(StorageChanged(full)))
    store = Store(config.database, told=lambda *batch: events.tell(BatchWritten(*batch)), room=room)

    async def ensure(key: str, make: Callable[[], bytes]) -> bytes:
        return await store.write(lambda db: meta.ensure(db, key, make), housekeeping=True)

    try:
        incarnation = await ensure("incarnation", lambda: random(16).hex().encode())
        name = await ensure("name", config.server_name.encode)
        await ensure(unlocking.SECRET, lambda: random(32))
        if name.decode() != config.server_name:
            raise errors.ServerNameMismatch(f"the database was made for {name.decode()!r}, not {config.server_name!r}")
    except BaseException:
        await store.close()
        raise
    known, fit = KnownAccounts(store), Health(store, random)
    rates = rates_of(config.rates, events.stopwatch)
    cut = partial(_tell_cut, events)
    connections = Connections(config.connections, events.stopwatch, cut, config.proxies)
    waiting, rosters, hub = Handshakes(config.handshakes), Rosters(), Hub()
    made = incarnation.decode()
    return Backend(config, store, clock, random, hub, known, made, events, fit, rates, connections, waiting, rosters)


def _tell_cut(events: Events, code: str) -> None:
    events.tell(ConnectionCut(code))


def routes() -> Routes:
    """The requests that there is a handler for."""
    return Routes(
        (str(getattr(method, "value", method)), path)
        for handler in HANDLERS
        for path in handler.paths
        for method in getattr(handler, "http_methods", ())
    )


def application(backend: Backend) -> App:
    """The ASGI application of one server."""
    return Watch(Gate(_handlers(), backend), backend.events, routes())


@cache
def _handlers() -> Litestar:
    """All handlers; the gate puts the server that a request reached into its scope, so that they are made once."""
    return Litestar(
        route_handlers=HANDLERS,
        exception_handlers={Exception: _answer},
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # the gate has read the body already, by its own limit
        debug=False,
        pdb_on_exception=False,
    )


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """An error as a problem document; what nobody expected is told by its place, never with its values."""
    if not isinstance(error, errors.TacitError):
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 404:
            error = errors.NotFound()
        elif status == 405:
            error = errors.MethodNotAllowed()
        elif status < 500:
            error = errors.Malformed("a header is not what HTTP has")  # the framework's own checks, as of Host
        else:
            here: Backend = request.scope[BACKEND]  # type: ignore[typeddict-item]
            here.events.tell(failed(error, str(request.scope.get(REQUEST_ID, ""))))
            error = errors.Internal()
    request.scope[CODE] = error.code  # type: ignore[typeddict-unknown-key]
    headers = {"retry-after": str(seconds)} if (seconds := retry_after(error)) else {}
    return Response(to_problem(error), status_code=error.status, media_type=PROBLEM_TYPE, headers=headers)
