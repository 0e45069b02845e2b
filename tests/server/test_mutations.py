"""Every body that carries structs, with something of it changed: refused as it is described, or taken for what it is.

`Town.ask` holds each answer against the description; what is refused changes nothing. The same changes are made each
time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from changed_bytes import changed_bytes
from server.bad_input import GENERATE, PRIVATE, Scene, epoch, message, next_outer, without
from server.people import KEYS, MESSAGES, Person, rows
from server.test_accounts import next_outer as newer_outer
from server.test_accounts import second_version
from tacit import errors
from tacit.wire.codec import encode
from tacit.wire.text import from_base64, to_base64

CHANGES = 50
"""Of each body."""
Place = list[str | int]


def batch(scene: Scene) -> Any:
    payloads = [scene.talk.payload(scene.alice, id=str(each)) for each in range(3)]
    return {"conversationId": scene.talk.id, "messages": [{"encryptedPayload": each} for each in payloads]}


def outer(scene: Scene) -> Any:
    return next_outer(scene, encryptedPrivateKey=to_base64(encode(newer_outer(scene.alice))))


def leave(scene: Scene) -> Any:
    return {"leave": to_base64(encode(scene.talk.leave(scene.bob)))}


BODIES: dict[str, tuple[str, str, Callable[[Scene], Any]]] = {
    "register": ("newcomer", "/api/auth/register", lambda scene: scene.newcomer.wish()),
    "sign in": ("alice", "/api/auth/session", lambda scene: scene.alice.wish()),
    "unlocker": ("alice", "/api/auth/unlocker", lambda scene: scene.alice.wish(kind="password")),
    "unlock": ("alice", "/api/auth/unlock", lambda scene: scene.alice.wish(**scene.alice.proof())),
    "first version": ("newcomer", GENERATE, lambda scene: scene.newcomer.publication()),
    "next version": ("alice", GENERATE, lambda scene: second_version(scene.alice)),
    "outer part": ("alice", PRIVATE, outer),
    "epoch": ("alice", KEYS, epoch),
    "grants": ("alice", KEYS, lambda scene: without(scene.talk.posted, "record", "signature")),
    "message": ("alice", MESSAGES, message),
    "batch": ("alice", MESSAGES, batch),
    "leave": ("bob", "/api/conversations/ID/leave", leave),
    "asking": ("bob", "/api/conversations/ID/grant-requests", lambda scene: {"keyId": scene.talk.posted["keyId"]}),
    "sync": ("alice", "/api/sync", lambda scene: {"accountCursor": 0, "conversations": {scene.talk.id: 0}}),
}
SIGNED = {"first version": {"record", "signature", "publicKey"}, "next version": {"record", "signature", "publicKey"}}
SIGNED |= {"outer part": {"encryptedPrivateKey"}, "epoch": {"record", "signature"}, "leave": {"leave"}}
"""Fields in which no byte can change and be taken."""


def places(value: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where there is anything in a body."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield (*before, name)
        yield from places(each, (*before, name))


def changed(value: Any, random: Random) -> Any:
    """Another value in the place of one."""
    if random.randrange(8) == 0:
        return random.choice((None, True, 0, (1 << 53) - 1, "", "\0", [], {}, [[]], "A" * 70_000, {"kty": "OKP"}))
    if isinstance(value, str):
        try:
            return to_base64(changed_bytes(from_base64(value), random))
        except errors.Base64NotCanonical:
            return changed_bytes(value.encode(), random).decode(errors="replace")
    if isinstance(value, int):
        return max(0, value + random.choice((-1, 1, 1 << 16, 1 << 32)))
    return value * 2 if isinstance(value, list) else {"more": value}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_in_which_something_changed_does_no_harm(scene: Scene, name: str) -> None:
    who, path, make = BODIES[name]
    person: Person = getattr(scene, who)
    random = Random(name)
    codes = set()
    path = path.replace("ID", scene.talk.id)
    for _ in range(CHANGES):
        body = copy.deepcopy(make(scene))
        place = random.choice(list(places(body)))
        holder = body
        for step in place[:-1]:
            holder = holder[step]
        before = holder[place[-1]]
        holder[place[-1]] = changed(before, random)
        if holder[place[-1]] == before:
            continue
        if path.startswith("/api/auth/"):
            person.token = ""
        stored = await rows(scene.town)
        answer = await person.ask("POST", path, body)
        assert answer.status < 500, (place, answer.body)
        codes.add(answer.code)
        if answer.status == 200:
            assert place[0] not in SIGNED.get(name, set()), place
        elif name != "unlock":  # wrong proofs are counted
            assert await rows(scene.town) == stored, (place, answer.code)
    assert len(codes) > 1 or name in ("asking",), codes
