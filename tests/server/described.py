"""Whether a request that was taken, and the answer to any, is what the description of the API says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema_rs

from tacit.server.app import routes
from tacit.server.description import DOCUMENT
from tacit.server.events import OTHER

DESCRIPTION: dict[str, Any] = json.loads(DOCUMENT)
ROUTES = routes()
OF_EVERY_REQUEST = [
    (status, code)
    for status, answer in DESCRIPTION["paths"]["/api/auth/session"]["delete"]["responses"].items()
    if status != "200"
    for code in answer["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
]
NOWHERE = {*OF_EVERY_REQUEST, ("404", "not_found"), ("405", "method_not_allowed")}
"""What is answered where the description has nothing."""


@cache
def validator(*place: str) -> jsonschema_rs.Draft202012Validator:
    """For the schema at this place in the description."""
    schema: Any = DESCRIPTION
    for name in place:
        schema = schema[name]
    return jsonschema_rs.Draft202012Validator({**schema, "components": DESCRIPTION["components"]})


def wrong(
    method: str, target: str, request: bytes, status: int, headers: Mapping[str, str], answer: bytes
) -> list[str]:
    """What of an exchange is not as it is described; header names in lower case."""
    method, path = ROUTES.find(method, urlsplit(target).path)
    found = [f"no header {name}" for name in DESCRIPTION["components"]["headers"] if name.lower() not in headers]
    kind = headers.get("content-type", "").partition(";")[0]
    if OTHER in (method, path):
        code = json.loads(answer)["code"] if kind == "application/problem+json" else kind
        return found if (str(status), code) in NOWHERE else [*found, f"{status} {code} is not described"]
    place = ("paths", path, method.lower())
    operation = DESCRIPTION["paths"][path][method.lower()]
    if str(status) not in operation["responses"]:
        return [*found, f"{status} is not described"]
    if kind not in operation["responses"][str(status)]["content"]:
        return [*found, f"{status} as {kind!r} is not described"]
    of_answer = validator(*place, "responses", str(status), "content", kind, "schema")
    found += [f"answer: {error.message[:200]}" for error in of_answer.iter_errors(json.loads(answer))]
    if status == 200:
        found += wrong_parameters(operation, parse_qs(urlsplit(target).query, keep_blank_values=True))
        refused_in_part = b'"success":false' in answer  # of a batch each message is refused by itself
        if "requestBody" in operation and not refused_in_part:
            of_body = validator(*place, "requestBody", "content", "application/json", "schema")
            found += [f"body: {error.message[:200]}" for error in of_body.iter_errors(json.loads(request))]
    return found


def wrong_parameters(operation: dict[str, Any], given: Mapping[str, list[str]]) -> list[str]:
    """What of a query that was taken is not as it is described."""
    schemas = {each["name"]: each["schema"] for each in operation["parameters"] if each["in"] == "query"}
    found = [f"parameter {name} is not described" for name in given if name not in schemas]
    for name, values in given.items():
        schema = schemas.get(name, {})
        value: Any = values if schema.get("type") == "array" else values[0] if len(values) == 1 else values
        if schema.get("type") == "integer" and isinstance(value, str) and value.isdecimal():
            value = int(value)
        found += [f"parameter {name}: {error.message}" for error in jsonschema_rs.iter_errors(schema, value)]
    return found
