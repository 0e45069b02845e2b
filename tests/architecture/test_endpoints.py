"""The page of endpoints names every route of the server, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tacit.server.app import HANDLERS
from tacit.signed.message import FIELDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "endpoints.md"


def test_the_page_of_endpoints_is_complete() -> None:
    routes = {
        (
            str(getattr(method, "value", method)),
            path.replace("{conversation_id:str}", "{id}").replace("{conversation_id}", "{id}"),
        )
        for handler in HANDLERS
        for path in handler.paths
        for method in getattr(handler, "http_methods", ("GET",))
    }
    named = set(re.findall(r"^\| `(GET|POST|DELETE) (/api/[^`]*)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == routes


def test_the_fields_of_a_message_are_those_of_the_code_in_its_order() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| field | JSON | of |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE)
    assert [name for name, _ in rows] == list(FIELDS)
    assert all((FIELDS[name] is int) == (kind == "number") for name, kind in rows)
