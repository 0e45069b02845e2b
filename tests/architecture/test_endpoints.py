"""The page of endpoints names every route of the server, and no other; operators' routes are not the clients'."""

from __future__ import annotations

import re
from pathlib import Path

from tacit.server.app import HANDLERS
from tacit.server.description import PATH as DESCRIPTION
from tacit.server.events import LIVE, READY
from tacit.server.gate import UNSIGNED
from tacit.server.metrics import PATH as METRICS
from tacit.server.socket import PATH as SOCKET
from tacit.signed.message import FIELDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "endpoints.md"


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
    named = set(re.findall(r"^\| `(GET|POST|DELETE) (/[^`]*)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == routes | {("GET", METRICS), ("GET", SOCKET)}  # of another listener, and of another protocol


def test_the_routes_for_operators_take_no_signature_and_no_client_knows_them() -> None:
    apart = {path for handler in HANDLERS for path in handler.paths if not path.startswith("/api/")}
    assert apart == {LIVE, READY, DESCRIPTION}
    apart -= {DESCRIPTION}
    section = PAGE.read_text(encoding="utf-8").partition("## For operators")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `GET (/[^`]*)`", section, re.MULTILINE)) == apart | {METRICS}
    assert {path for _, path in UNSIGNED} - apart == {"/api/server", DESCRIPTION}
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "src" / "tacit" / "client").rglob("*.py")]
    assert any("/api/server" in text for text in texts)
    assert not any("/health" in text or METRICS in text for text in texts)


def test_the_fields_of_a_message_are_those_of_the_code_in_its_order() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| field | JSON | of |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE)
    assert [name for name, _ in rows] == list(FIELDS)
    assert all((FIELDS[name] is int) == (kind == "number") for name, kind in rows)
