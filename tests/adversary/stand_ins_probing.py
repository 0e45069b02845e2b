"""What a guard against bombs and probes is when it guards nothing."""

from __future__ import annotations

import os
from typing import Any, Final

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.server import ServerProtocol

from adversary.bending import wraps_original
from tacit import errors
from tacit.server.store import accounts
from tacit.server.store.rows import Unlocker

HUGE: Final = 1 << 30


async def whatever_comes(_: Any, receive: Any, __: int) -> bytes:
    """A body of any size."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


async def all_that_comes(chunks: Any, *_: Any) -> bytes:
    """An answer of any size."""
    return b"".join([chunk async for chunk in chunks])


def frames_of_any_size() -> ServerProtocol:
    """A WebSocket that takes messages of any size."""
    return ServerProtocol(max_size=HUGE)


def inflating() -> ServerProtocol:
    """One that inflates them as well."""
    return ServerProtocol(max_size=HUGE, extensions=[ServerPerMessageDeflateFactory()])


def only_who_is_there(db: Any, user_id: str, _: Any) -> list[Unlocker]:
    """The unlockers of an account; for who has none it is said so."""
    found = list(accounts.unlockers(db, user_id))
    if not found:
        raise errors.NoSuchAccount
    return found


def only_accounts(db: Any, user_id: str) -> str:
    """Failures of users whom the server does not know are not added up."""
    return user_id if accounts.newest(db, user_id) is not None else os.urandom(16).hex()


@wraps_original
def of_accounts(original: Any) -> Any:
    """A device is looked up in an account that has to be there."""

    def device(db: Any, user_id: str, device_id: str) -> Any:
        if accounts.newest(db, user_id) is None:
            raise errors.NoSuchAccount
        return original(db, user_id, device_id)

    return device


@wraps_original
def of_what_is_there(original: Any) -> Any:
    """Who is not in a conversation is told that there is one."""

    def standing(db: Any, conversation_id: str, user_id: str) -> Any:
        try:
            return original(db, conversation_id, user_id)
        except errors.NotAMember:
            row = db.execute("SELECT 1 FROM conversations WHERE conversation_id = ?", (conversation_id,)).fetchone()
            raise (errors.SessionForbidden if row else errors.NotAMember) from None

    return standing


def all_keys(books: Any, now: int) -> list[tuple[str, int, str]]:
    """A client asks for the key of every epoch that it sees."""
    return [
        (each, number, known.record.key_id.hex())
        for each in books.conversation_ids()
        for number, known in books.held(each).known.items()
    ]


def as_it_is(size: int) -> int:
    """No padding."""
    return size
