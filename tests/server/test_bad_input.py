"""Each kind of bad input has its own code; nothing of it is written, and nothing of it is logged."""

from __future__ import annotations

import logging

import pytest

from server.bad_input import CASES, Case, Scene
from server.logged import logged
from server.people import Person, rows
from tacit.wire import limits


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_input_is_refused_by_its_own_code(scene: Scene, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    person: Person = getattr(scene, case.who)
    body = case.make(scene)
    before = await rows(scene.town)
    with caplog.at_level(logging.DEBUG):
        answer = await person.ask("POST", case.path.replace("ID", scene.talk.id), body)
    assert (answer.code, answer.status) == (case.code, case.status), answer.body
    assert answer.body["type"] == f"tacit:{case.code}"
    assert answer.body["status"] == case.status
    assert answer.body["remedy"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert await rows(scene.town) == before
    assert logged(caplog) == [("request", case.code)]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/api/messages/encrypted", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&conversationId=ID", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&after=-1", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&after=x", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&after=99999999999999999", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&limit=0", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&limit=501", "malformed"),
        ("/api/messages/encrypted?conversationId=ID&more=1", "unknown_field"),
        ("/api/messages/encrypted?conversationId=none", "not_a_member"),
        ("/api/encryption/conversation/keys?conversationId=none", "not_a_member"),
        ("/api/encryption/conversation/keys?conversationId=", "wrong_length"),
        ("/api/encryption/keys/public", "malformed"),
        ("/api/encryption/keys/public?userId=nobody", "no_such_account"),
        ("/api/encryption/keys/public?userId=bob&userId=bob", "malformed"),
        ("/api/encryption/keys/public?" + "&".join(["userId=bob"] * (limits.USERS + 1)), "too_large"),
        ("/api/encryption/keys/private?userId=bob", "unknown_field"),
        ("/api/conversations?userId=bob", "unknown_field"),
    ],
)
async def test_a_bad_query_is_refused_by_its_own_code(scene: Scene, target: str, code: str) -> None:
    answer = await scene.alice.ask("GET", target.replace("ID", scene.talk.id))
    assert answer.code == code, answer.body
