"""What all handlers share: settings, store, clock, randomness, pushes, and who is calling.

A handler reaches the store through `read` and `write` only, which use up the nonce of its request.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from litestar import Request
from litestar.datastructures import State

from tacit import errors
from tacit.api import base
from tacit.crypto.secret import Randomness
from tacit.server.config import Config
from tacit.server.connections import Connections
from tacit.server.events import Events
from tacit.server.handshakes import Handshakes
from tacit.server.health import Health
from tacit.server.keyfields import refuse_key_objects
from tacit.server.known import KnownAccounts
from tacit.server.push import Hub
from tacit.server.rates import Rates
from tacit.server.rosters import Rosters
from tacit.server.store import nonces, sessions
from tacit.server.store.rows import Session
from tacit.server.store.sqlite import Store
from tacit.server.watch import BACKEND
from tacit.wire import limits
from tacit.wire.text import from_json

T = TypeVar("T")
Clock = Callable[[], int]
"""Unix milliseconds."""

FULL: Final = "full"
REGISTRATION: Final = "registration"
PROVISIONAL: Final = "provisional"


@dataclass(frozen=True, slots=True)
class Backend:
    """One running server; `incarnation` changes when it was restored from a backup."""

    config: Config
    store: Store
    clock: Clock
    random: Randomness
    hub: Hub
    known: KnownAccounts
    incarnation: str
    events: Events
    health: Health
    rates: Rates
    connections: Connections
    handshakes: Handshakes
    rosters: Rosters


@dataclass(slots=True)
class Caller:
    """Who signed the request; `session` is None for a request that opens one. `kept_until` in Unix milliseconds."""

    session: Session | None
    user_id: str
    device_id: str
    request_key: bytes
    nonce: str
    kept_until: int
    now: int
    spent: bool = False

    def spend(self, db: sqlite3.Connection) -> None:
        """Use up the request's nonce in the transaction of what it asks for.

        Raises `RequestReplayed` where that was done before, and `SessionExpired` where the session ended meanwhile.
        """
        if self.session is not None:
            sessions.find(db, self.session.token_hash, self.now)
        if not self.spent:
            nonces.take(db, self.device_id, self.nonce, self.kept_until)


Call = Request[Any, Caller, State]


def backend(request: Call) -> Backend:
    """The server that this request reached."""
    found: Backend = request.scope[BACKEND]  # type: ignore[typeddict-item]
    return found


async def write(
    request: Call, job: Callable[[sqlite3.Connection], T], *, checks_first: bool = False, housekeeping: bool = False
) -> T:
    """Run a job in a transaction with the request's nonce; see `Store.write`. Raises `RequestReplayed`."""
    caller, store = request.auth, backend(request).store
    try:
        return await store.write(job, before=caller.spend, checks_first=checks_first, housekeeping=housekeeping)
    finally:
        caller.spent = True


async def read(request: Call, job: Callable[[sqlite3.Connection], T]) -> T:
    """Run a job that only reads, once the request's nonce is used up. Raises `RequestReplayed`."""
    if not request.auth.spent:
        await write(request, lambda _: None, checks_first=True, housekeeping=True)
    return await backend(request).store.read(job)


def any_session(request: Call) -> Session:
    """The session of the request, of whatever kind."""
    session = request.auth.session
    if session is None:
        raise errors.SessionExpired
    return session


def full_session(request: Call) -> Session:
    """The session of a signed-in device; raises `SessionForbidden` for one that may publish an account version only."""
    session = any_session(request)
    if session.kind != FULL:
        raise errors.SessionForbidden
    return session


def own(session: Session, user_id: str) -> None:
    """Refuse a body that names another user than the session's."""
    if user_id != session.user_id:
        raise errors.UserMismatch


async def body(request: Call, kind: type[T]) -> T:
    """The request's body as this type; raises `MalformedJson`, `UnknownField` or `SecretKeyRefused`."""
    return parse(kind, await request.body())


def parse(kind: type[T], raw: bytes) -> T:
    """A body as this type; raises `MalformedJson`, `UnknownField` or `SecretKeyRefused`."""
    value = from_json(raw, limits.REQUEST_VALUES)
    refuse_key_objects(value)
    parsed: T = base.convert(kind, value)
    return parsed


class Query:
    """The parameters of a query, each known, and none twice but those that may be."""

    def __init__(self, request: Call, allowed: Sequence[str], many: Sequence[str] = ()) -> None:
        self._found: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            if name not in allowed and name not in many:
                raise errors.UnknownField(name[:64])
            self._found.setdefault(name, []).append(value)
        for name, values in self._found.items():
            if len(values) > 1 and name not in many:
                raise errors.Malformed(f"{name} stands twice")

    def identifier(self, name: str) -> str:
        """An id that has to be there."""
        if name not in self._found:
            raise errors.Malformed(f"{name} is missing")
        return base.identifier(name, self._found[name][0])

    def identifiers(self, name: str, most: int) -> list[str]:
        """All ids of a parameter that stands 1 to `most` times."""
        found = self._found.get(name, [])
        if not found:
            raise errors.Malformed(f"{name} is missing")
        if len(found) > most:
            raise errors.TooLarge(f"{name} stands more than {most} times")
        if len(set(found)) < len(found):
            raise errors.Malformed(f"one {name} stands twice")
        return [base.identifier(name, value) for value in found]

    def number(self, name: str, default: int) -> int:
        """A cursor or count."""
        text = self._found.get(name, [str(default)])[0]
        if not text.isascii() or not text.isdigit() or len(text) > 16:
            raise errors.Malformed(f"{name} is not a number")
        return base.counter(name, int(text))
