"""Makes the description of the API (OpenAPI 3.1) that the server answers, of its handlers, their types and a table.

`python tools/openapi.py` writes src/tacit/server/openapi.json and keeps the examples that are there; `--record` makes
new ones, by a real exchange with a server in this process; `--check` says whether the file is fresh.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from inspect import getdoc
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "tests")]

import msgspec  # noqa: E402  (the modules of this checkout, not installed ones)

from tacit import errors  # noqa: E402
from tacit.api import sync  # noqa: E402
from tacit.api.base import INCARNATION_HEADER, PROBLEM_TYPE  # noqa: E402
from tacit.server.app import HANDLERS  # noqa: E402
from tacit.server.description import FILE, PATH  # noqa: E402
from tacit.server.events import LIVE, READY  # noqa: E402
from tacit.server.sessions import VERSION  # noqa: E402
from tacit.server.watch import REQUEST_ID_HEADER  # noqa: E402
from tools.operations import NUMBER, OF_ACCESS, OF_CONNECTIONS, OPEN, OPERATIONS, SIGNED, USER, Operation  # noqa: E402

REF: Final = "#/components/schemas/{name}"
PROBLEM: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "A refusal (RFC 9457); a code's facts are further members.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "pattern": "^tacit:[a-z0-9_]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "remedy": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code", "remedy"],
}
HEALTH: Final = {
    "title": "Health",
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "code": {"const": errors.StorageFull.code}},
    "required": ["ok"],
    "additionalProperties": False,
}
SECURITY: Final = {
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": "RFC 9421, by the device's request key: `tacit=:BASE64:`. See docs/specification.md.",
    },
    "signatureInput": {
        "type": "apiKey",
        "in": "header",
        "name": "Signature-Input",
        "description": 'What is signed: `tacit=("@method" "@authority" "@path" "@query" "content-digest");created=..;'
        'keyid="DEVICE ID";expires=..;nonce="..";tag="tacit/1"`, without content-digest where there is no body.',
    },
    "contentDigest": {
        "type": "apiKey",
        "in": "header",
        "name": "Content-Digest",
        "description": "RFC 9530, where there is a body: `sha-256=:BASE64:`.",
    },
    "session": {"type": "http", "scheme": "bearer", "description": "The session's token."},
}


def routes() -> dict[tuple[str, str], Any]:
    """The handler of each method and path; a WebSocket has none here."""
    return {
        (str(getattr(method, "value", method)), path.replace(":str}", "}")): handler
        for handler in HANDLERS
        for path in sorted(handler.paths)
        for method in getattr(handler, "http_methods", ())
    }


def answers() -> dict[tuple[str, str], Any]:
    """The type that each handler answers, by its annotation."""
    return {key: get_type_hints(handler.fn)["return"] for key, handler in routes().items() if key[1].startswith("/api")}


def schemas() -> tuple[dict[Any, Any], dict[str, Any]]:
    """The schema of each type that travels, and those that they are made of, by name."""
    kinds = [part for each in answers().values() for part in get_args(each) or (each,)]
    kinds += [each.takes for each in OPERATIONS.values() if each.takes]
    kinds += [sync.ClientFrame, sync.ServerFrame]
    found, parts = msgspec.json.schema_components(kinds, ref_template=REF)
    for part in parts.values():
        part["description"] = getdoc_of(part["description"])
        for name, each in part.get("properties", {}).items():
            part["properties"][name] = refined(name, each)
    parts |= {"Problem": PROBLEM, "Health": HEALTH}
    return dict(zip(map(repr, kinds), found, strict=True)), parts


def getdoc_of(text: str) -> str:
    """A docstring without its margin."""
    return "\n".join(line.strip() for line in text.splitlines())


def refined(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """What holds for every field of this name or type and stands in no type."""
    if name == "problem":
        return {"$ref": REF.format(name="Problem")}
    if name in ("userId", "senderId", "conversationId", "clientMessageId"):
        return schema | USER
    if schema.get("type") == "integer":
        return schema | NUMBER
    if schema.get("format") == "hex":
        return schema | {"pattern": "^[0-9a-f]{64}$"}
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            schema = schema | {inner: refined("", schema[inner])}
    return schema


def refusals(operation: Operation) -> dict[str, Any]:
    """The problems that an operation answers, by status."""
    known = errors.concrete()
    by_status: dict[int, list[str]] = {}
    for code in sorted({*OF_ACCESS[operation.access], *operation.codes}):
        by_status.setdefault(known[code].status, []).append(code)
    return {
        str(status): {
            "description": ", ".join(f"`{code}`" for code in codes),
            **({} if set(codes) <= set(OF_CONNECTIONS) else {"headers": OF_ANSWERS}),
            "content": {
                PROBLEM_TYPE: {
                    "schema": {
                        "allOf": [
                            {"$ref": REF.format(name="Problem")},
                            {"properties": {"code": {"enum": codes}, "status": {"const": status}}},
                        ]
                    }
                }
            },
        }
        for status, codes in sorted(by_status.items())
    }


HEADERS: Final = {
    INCARNATION_HEADER.title(): {
        "description": "Changes when the server was restored from a backup.",
        "required": True,
        "schema": {"type": "string"},
    },
    REQUEST_ID_HEADER.decode().title(): {
        "description": "Finds the request in the server's log.",
        "required": True,
        "schema": {"type": "string"},
    },
}
OF_ANSWERS: Final = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}


def described(key: tuple[str, str], handler: Any, schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """One operation."""
    operation = OPERATIONS[key]
    text = getdoc(handler.fn) or ""
    parameters = [
        {"name": name, "in": "query", "required": needed, "schema": wanted} for name, wanted, needed in operation.query
    ]
    if "{conversation_id}" in key[1]:
        parameters.insert(0, {"name": "conversation_id", "in": "path", "required": True, "schema": USER})
    for each in parameters:
        if each["name"] in example.get("parameters", {}):
            each["example"] = example["parameters"][each["name"]]
    found: dict[str, Any] = {
        "operationId": handler.fn.__name__,
        "summary": text.partition("\n")[0],
        **({"description": text} if "\n" in text else {}),
        "parameters": parameters,
        "security": security(operation),
    }
    if operation.takes is not None:
        body: dict[str, Any] = {"schema": {"$ref": REF.format(name=operation.takes.__name__)}}
        if "body" in example:
            body["example"] = example["body"]
        found["requestBody"] = {"required": True, "content": {"application/json": body}}
    answer: dict[str, Any] = {"schema": schema}
    if "answer" in example:
        answer["example"] = example["answer"]
    good = {
        str(status): {
            "description": "Done." if status == 200 else "It cannot work.",
            "headers": OF_ANSWERS,
            "content": {"application/json": answer if status == 200 else {"schema": schema}},
        }
        for status in operation.statuses
    }
    found["responses"] = refusals(operation)
    for status, one in good.items():  # a status can have both
        content = found["responses"].get(status, {}).get("content", {}) | one["content"]
        found["responses"][status] = one | {"content": content}
    if "headers" in example:
        found["x-tacit-signed"] = example["headers"]
    return found


def security(operation: Operation) -> list[dict[str, list[str]]]:
    """The headers that an operation needs, all of them."""
    if operation.access == OPEN:
        return []
    names = ["signature", "signatureInput", *(["contentDigest"] if operation.takes else [])]
    return [{name: [] for name in [*names, *(["session"] if operation.access == SIGNED else [])]}]


def document(examples: dict[str, Any]) -> dict[str, Any]:
    """The whole description."""
    kinds, parts = schemas()
    types = answers()
    paths: dict[str, Any] = {}
    for key, handler in routes().items():
        method, path = key
        if path == PATH:
            schema: dict[str, Any] = {"type": "object"}
        elif path in (LIVE, READY):
            schema = {"$ref": REF.format(name="Health")}
        else:
            several = [kinds[repr(each)] for each in get_args(types[key]) or (types[key],)]
            schema = several[0] if len(several) == 1 else {"anyOf": several}
        paths.setdefault(path, {})[method.lower()] = described(key, handler, schema, examples.get(" ".join(key), {}))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tacit",
            "version": VERSION,
            "description": "The server's API. The examples are one real exchange: `x-tacit-signed` has its headers, "
            "made for the authority `127.0.0.1:8080` at 1700000000 by the request keys in the account records of "
            "`/api/encryption/keys/public`.",
        },
        "paths": paths,
        "components": {"schemas": parts, "headers": HEADERS, "securitySchemes": SECURITY},
        "x-tacit-websocket": {
            "/api/sync/socket": {
                "client": kinds[repr(sync.ClientFrame)],
                "server": kinds[repr(sync.ServerFrame)],
            }
        },
    }


def examples_of(described: dict[str, Any]) -> dict[str, Any]:
    """The examples in a description, by operation."""
    found: dict[str, Any] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            example: dict[str, Any] = {
                "parameters": {each["name"]: each["example"] for each in operation["parameters"] if "example" in each}
            }
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            answer = operation["responses"]["200"]["content"]["application/json"]
            for name, value in (("body", body), ("answer", answer)):
                if "example" in value:
                    example[name] = value["example"]
            if "x-tacit-signed" in operation:
                example["headers"] = operation["x-tacit-signed"]
            found[f"{method.upper()} {path}"] = example
    return found


def text_of(described: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(described, ensure_ascii=False, indent=1) + "\n"


def faults() -> list[str]:
    """What is wrong with the file, one line each."""
    there = FILE.read_text(encoding="utf-8")
    if there != text_of(document(examples_of(json.loads(there)))):
        return [f"{FILE.name} is not what the handlers and their types say: run tools/openapi.py"]
    return []


def main(arguments: list[str]) -> int:
    """Write the file, or check it; 1 where it is not fresh."""
    if arguments == ["--check"]:
        print("\n".join(found := faults()))
        return 1 if found else 0
    if arguments == ["--record"]:
        from server.recording import recorded  # tests' own people do the exchange

        with tempfile.TemporaryDirectory() as folder:
            examples = asyncio.run(recorded(Path(folder)))
    else:
        examples = examples_of(json.loads(FILE.read_text(encoding="utf-8"))) if FILE.exists() else {}
    FILE.write_text(text_of(document(examples)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
