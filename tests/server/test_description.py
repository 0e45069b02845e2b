"""The description of the API says what the handlers take and answer, and its examples are true.

`Town.ask` holds every other answer of these tests against it too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest
from tools import openapi
from tools.operations import OPEN, OPERATIONS

from adversary.bending import bent, wraps_original
from server.described import DESCRIPTION, validator, wrong
from server.people import AUTHORITY, Town
from server.recording import recorded
from tacit import errors
from tacit.api.problems import to_problem
from tacit.server.app import routes
from tacit.server.description import DOCUMENT
from tacit.signed.account import AccountRecord
from tacit.signed.request import read_signature, verify_request
from tacit.wire.codec import decode
from tacit.wire.text import from_base64, to_json

NOW = 1_700_000_000
EXAMPLES = openapi.examples_of(DESCRIPTION)
HEADERS = {"content-type": "application/json", "tacit-incarnation": "x", "tacit-request-id": "x"}


def test_it_is_what_handlers_types_and_table_say() -> None:
    assert openapi.faults() == []


def test_every_request_is_described_and_no_other() -> None:
    described = {(method.upper(), path) for path, methods in DESCRIPTION["paths"].items() for method in methods}
    assert described == set(openapi.routes()) == set(OPERATIONS)
    assert {routes().find(method, path.replace("{conversation_id}", "x"))[1] for method, path in described} == {
        path for _, path in described
    }


async def test_every_request_can_be_made_and_takes_the_type_that_is_described(tmp_path: Path) -> None:
    read: dict[str, set[Any]] = {}

    @wraps_original
    def noting(original: Any) -> Any:
        def parse(kind: Any, raw: bytes) -> Any:
            read.setdefault(raw.decode(), set()).add(kind)
            return original(kind, raw)

        return parse

    with bent({"tacit.server.backend:parse": noting}):
        found = await recorded(tmp_path)
    assert set(found) == {" ".join(key) for key in OPERATIONS} - {"GET /openapi.json"}
    for (method, path), operation in OPERATIONS.items():
        body = found.get(f"{method} {path}", {}).get("body")
        assert (body is not None) == (operation.takes is not None), path
        assert body is None or read[to_json(body)] == {operation.takes}, path
    for key, example in found.items():
        assert set(example) == set(EXAMPLES[key]), key
        wanted = {name for name, _, _ in OPERATIONS[tuple(key.split())].query}  # type: ignore[index]
        assert set(example["parameters"]) - {"conversation_id"} == wanted, key


@pytest.mark.parametrize("key", [" ".join(key) for key in OPERATIONS if key[1] != "/openapi.json"])
def test_every_example_is_as_it_is_described_and_truly_signed(key: str) -> None:
    method, path = key.split()
    example = EXAMPLES[key]
    place = ("paths", path, method.lower())
    validator(*place, "responses", "200", "content", "application/json", "schema").validate(example["answer"])
    for parameter in DESCRIPTION["paths"][path][method.lower()]["parameters"]:
        jsonschema_rs.validate(parameter["schema"], parameter["example"])
    if "body" in example:
        validator(*place, "requestBody", "content", "application/json", "schema").validate(example["body"])
    if OPERATIONS[method, path].access == OPEN:
        return
    body = to_json(example["body"]).encode() if "body" in example else b""
    parameters = dict(example["parameters"])
    target = path.replace("{conversation_id}", parameters.pop("conversation_id", ""))
    signature = read_signature(example["headers"].items())
    public = request_keys()[signature.key_id]
    query = urlencode(parameters, doseq=True)
    verify_request(signature, method, AUTHORITY, target, query, body, public=public, now=NOW)


def request_keys() -> dict[str, bytes]:
    """Of the people in the examples, by device."""
    accounts = EXAMPLES["GET /api/encryption/keys/public"]["answer"]["accounts"]
    records = [decode(AccountRecord, from_base64(each["versions"][0]["record"])) for each in accounts]
    return {device.device_id: device.request_key for record in records for device in record.devices}


async def test_it_is_served_to_anybody(town: Town) -> None:
    response = await town.http.get("/openapi.json")
    assert (response.status_code, response.content) == (200, DOCUMENT)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("bent", "said"),
    [
        ({}, []),
        ({"status": 201}, ["201 is not described"]),
        ({"status": 404}, ["404 is not described"]),
        ({"headers": {**HEADERS, "content-type": "text/html"}}, ["200 as 'text/html' is not described"]),
        ({"headers": {"content-type": "application/json"}}, ["no header", "no header"]),
        ({"answer": {"success": True, "more": 1}}, ["answer: "]),
        ({"answer": {"success": 1}}, ["answer: "]),
        ({"target": "/api/auth/session?x=1"}, ["parameter x"]),
        (
            {"target": "/api/messages/encrypted?conversationId=&after=-1", "method": "GET"},
            [*["answer"] * 4, *["parameter"] * 2],
        ),
        ({"method": "POST", "request": {"userId": "a"}, "answer": {}}, ["answer: ", "answer: ", "answer: ", "body: "]),
    ],
)
def test_what_is_not_described_is_noticed(bent: dict[str, Any], said: list[str]) -> None:
    right: dict[str, Any] = {
        "method": "DELETE", "target": "/api/auth/session", "request": {}, "status": 200, "headers": HEADERS,
        "answer": {"success": True},
    }  # fmt: skip
    given = right | bent
    given |= {name: json.dumps(given[name]).encode() for name in ("request", "answer")}
    found = wrong(**given)
    assert len(found) == len(said), found
    assert all(one.startswith(other) for one, other in zip(sorted(found), sorted(said), strict=True)), found


@pytest.mark.parametrize(("code", "good"), [("session_expired", True), ("sign_in_refused", False)])
def test_a_problem_that_is_not_described_is_noticed(code: str, good: bool) -> None:
    headers = {**HEADERS, "content-type": "application/problem+json"}
    body = json.dumps(to_problem(errors.from_code(code))).encode()
    assert (wrong("DELETE", "/api/auth/session", b"", 401, headers, body) == []) == good
