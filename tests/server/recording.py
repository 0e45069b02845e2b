"""One exchange with a real server in which every request of the API is made once and answered: the examples."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx2

from server.people import KEYS, MESSAGES, Clock, Person, Talk, Town, seeded
from server.test_accounts import next_outer
from tacit.server.app import open_backend, routes
from tacit.server.backend import Backend
from tacit.server.config import Config
from tacit.server.store import messages, meta, putting_back
from tacit.wire.codec import encode
from tacit.wire.text import to_base64

MEMBERS = "/api/encryption/conversation/members"
HEADERS = ("signature-input", "signature", "content-digest", "authorization")


async def recorded(folder: Path) -> dict[str, Any]:
    """The first exchange of each request of the API, by method and path."""
    clock = Clock()
    backend = await open_backend(Config("127.0.0.1", 8080, folder / "chat.db"), clock, seeded("server"))
    town = Town(backend, clock)
    found: dict[str, Any] = {}
    known = routes()

    async def note(response: httpx2.Response) -> None:
        request = response.request
        await response.aread()
        method, path = known.find(request.method, request.url.path)
        key = f"{method} {path}"
        if response.status_code == 200 and key not in found and path != "/openapi.json":
            found[key] = example(path, request, response)

    town.http.event_hooks["response"].append(note)
    try:
        await exchange(town)
    finally:
        await town.http.aclose()
        await backend.store.close()
    return found


def example(path: str, request: httpx2.Request, response: httpx2.Response) -> dict[str, Any]:
    """A request and its answer, without what is not the API's."""
    query = parse_qs(request.url.query.decode())
    parameters: dict[str, Any] = {
        name: values if name == "userId" else int(values[0]) if values[0].isdigit() else values[0]
        for name, values in query.items()
    }
    if "{conversation_id}" in path:
        parameters["conversation_id"] = request.url.path.split("/")[3]
    headers = {name.title(): request.headers[name] for name in HEADERS if name in request.headers}
    one: dict[str, Any] = {"parameters": parameters, "answer": json.loads(response.content)}
    if request.content:
        one["body"] = json.loads(request.content)
    return one | ({"headers": headers} if headers else {})


async def restored(backend: Backend, places: int = 1000) -> None:
    """As after `tacit admin restore` of a backup of what there is now."""

    def renew(db: sqlite3.Connection) -> None:
        messages.lose(db, places, 1)
        meta.put(db, putting_back.RESTORED, b"1")

    await backend.store.write(renew)


async def exchange(town: Town) -> None:
    """Two people talk, and part."""
    for path in ("/health/live", "/health/ready", "/api/server"):
        await town.ask("GET", path)
    alice = Person(town, "alice")
    await alice.register()
    bob = Person(town, "bob")
    await bob.register()
    await alice.ask("POST", "/api/auth/unlocker", alice.wish(kind="password"))
    await alice.unlock()
    await alice.ask("GET", "/api/encryption/keys/private")
    await alice.open("/api/auth/session")
    await alice.ask("GET", "/api/encryption/keys/public?userId=bob&userId=alice&after=0")
    outer = {
        "userId": "alice",
        "keyId": alice.publication()["keyId"],
        "encryptedPrivateKey": to_base64(encode(next_outer(alice))),
    }
    await alice.ask("POST", "/api/encryption/keys/private", outer)
    talk = Talk(alice, bob)
    await alice.ask("POST", KEYS, talk.genesis())
    await alice.ask("GET", f"{KEYS}?conversationId={talk.id}&after=0")
    await alice.ask("POST", MESSAGES, talk.message(alice))
    await alice.ask("GET", f"{MESSAGES}?conversationId={talk.id}&after=0&limit=2")
    await alice.ask("POST", "/api/sync", {"accountCursor": 0, "conversations": {talk.id: 1}})
    await alice.ask("GET", "/api/conversations")
    asked = {"keyId": talk.posted["keyId"]}
    await alice.ask("POST", f"/api/conversations/{talk.id}/grant-requests", asked)
    await alice.ask("POST", MEMBERS, talk.next(alice))
    leave = {"leave": to_base64(encode(talk.leave(bob)))}
    await bob.ask("POST", f"/api/conversations/{talk.id}/leave", leave)
    await alice.ask("DELETE", MEMBERS, talk.next(alice, talk.removal(bob), leaves=[talk.leave(bob)]))
    await restored(town.backend)
    held = [
        {"kind": "record", **{name: talk.posted[name] for name in ("record", "signature", "encryptedKeys")}},
        {"kind": "message", "encryptedPayload": talk.payload(alice, id="lost")},
    ]
    version = {name: alice.publication()[name] for name in ("record", "signature")}
    await alice.ask("POST", "/api/reconcile/account", {"userId": "alice", "versions": [version]})
    await alice.ask("POST", "/api/reconcile/conversation", {"conversationId": talk.id, "items": held})
    await alice.ask("DELETE", "/api/auth/session")
