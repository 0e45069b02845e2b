"""schemathesis against the description: requests that fit it and that do not, signed by a session's device and not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fuzz.target import PATIENCE, Abroad, Failed, Target, running
from server.described import wrong
from server.people import AUTHORITY, MESSAGES, Person, Talk
from tacit import errors
from tacit.api.base import identifier
from tacit.server.description import DOCUMENT
from tacit.server.gate import OPENING, UNSIGNED
from tacit.signed.account import device_id_of
from tacit.wire.text import to_base64

SIGN_OUT: Final = ("DELETE", "/api/auth/session")
CHECKS: Final = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


class Signed(requests.auth.AuthBase):
    """Signs what is sent, as it is sent, with somebody's session or, to open one, as whoever the body names."""

    def __init__(self, person: Person, opens_for: str | None) -> None:
        self.person = person
        self.opens_for = opens_for

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        content = body.encode() if isinstance(body, str) else body
        assert isinstance(content, bytes)
        target = request.path_url
        key_id = None if self.opens_for is None else device_id_of(self.opens_for, self.person.key.public)
        request.headers.update(self.person.signature(str(request.method), target, content, key_id=key_id))
        if self.opens_for is None:
            request.headers["Authorization"] = f"Bearer {self.person.token}"
        return request


class Fuzz:
    """One run: the people, and what was answered."""

    def __init__(self, target: Target, alice: Person, talk: Talk) -> None:
        self.target = target
        self.alice = alice
        self.talk = talk
        self.session = requests.Session()
        self.session.trust_env = False
        self.answers: Counter[str] = Counter()

    def known(self, case: Any) -> None:
        """Put ids that there are where a case has some of its own."""
        if isinstance(case.body, dict):
            case.body |= {"userId": "alice"} if "userId" in case.body else {}
            case.body |= {"conversationId": self.talk.id} if "conversationId" in case.body else {}
            case.body |= (
                {"conversations": {self.talk.id: 0}} if isinstance(case.body.get("conversations"), dict) else {}
            )
        if "conversationId" in case.query:
            case.query["conversationId"] = self.talk.id
        if "userId" in case.query:
            case.query["userId"] = ["alice"]
        if "conversation_id" in (case.path_parameters or {}):
            case.path_parameters["conversation_id"] = self.talk.id

    def auth(self, case: Any, key: tuple[str, str]) -> Signed:
        """Who signs a case; a body that opens a session carries that key."""
        if key not in OPENING:
            return Signed(self.alice, None)
        user = case.body.get("userId") if isinstance(case.body, dict) else None
        if not isinstance(user, str) or "requestKey" not in case.body:
            return Signed(self.alice, "nobody")
        case.body = case.body | {"requestKey": to_base64(self.alice.key.public)}
        try:
            return Signed(self.alice, identifier("userId", user))
        except errors.PeerError:
            return Signed(self.alice, "nobody")

    def one(self, case: Any, *, signed: bool, known: bool) -> None:
        """Send a case, and hold the answer against the description."""
        key = (case.method.upper(), case.path)
        if known:
            self.known(case)
        auth = self.auth(case, key) if signed else None
        response = case.call(
            base_url=f"http://127.0.0.1:{self.target.port}", session=self.session, headers={"Host": AUTHORITY},
            auth=auth, timeout=PATIENCE,
        )  # fmt: skip
        case.validate_response(response, checks=list(CHECKS))
        status, answered = response.status_code, response.content
        headers = {name.lower(): values[0] for name, values in response.headers.items()}
        body = response.request.body or b""
        sent = body if isinstance(body, bytes) else body.encode()
        if found := wrong(key[0], response.request.path_url, sent, status, headers, answered):
            raise Failed(f"{key}: {found}")
        if not signed and status == 200 and key not in UNSIGNED:
            raise Failed(f"{key} was taken without a signature")
        if key == SIGN_OUT and status == 200:
            asyncio.run(self.sign_in())
        self.answers[str(status)] += 1

    async def sign_in(self) -> None:
        """A session for who has none."""
        town = Abroad(self.target)
        self.alice.town = town
        await self.alice.open("/api/auth/session")
        await town.http.aclose()


def arms() -> Iterator[tuple[Any, GenerationMode, bool]]:
    """Each operation, with what fits and what does not, signed and not."""
    schema = schemathesis.openapi.from_dict(json.loads(DOCUMENT))  # its own: cases are made of it and changed
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
                continue
            for signed in (True, False):
                yield operation, mode, signed


def fuzz(target: Target, *, examples: int, number: int) -> str:
    """All arms, each with so many examples; says what was answered, or raises what is wrong."""

    async def start() -> Fuzz:
        town = Abroad(target)
        alice, bob = await town.people("alice", "bob")
        talk = await Talk.opened(alice, bob)
        await alice.ask("POST", MESSAGES, talk.message(alice))
        await town.http.aclose()
        return Fuzz(target, alice, talk)

    run = asyncio.run(start())
    for operation, mode, signed in arms():

        @seed(number)
        @settings(
            max_examples=examples if signed else max(2, examples // 4),
            database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans(), signed=st.just(signed))
        def arm(case: Any, known: bool, signed: bool) -> None:
            run.one(case, signed=signed, known=known)

        asyncio.run(run.sign_in())  # a device has only so many sessions, and the arm before may have opened some
        arm()
    target.check_well()
    target.check_log()
    return f"{run.answers.total()} requests, answered " + ", ".join(
        f"{status} {count} times" for status, count in sorted(run.answers.items())
    )


def run(folder: Path, **how: int) -> str:
    """On a server of its own."""
    with running(folder) as target:
        return fuzz(target, **how)
