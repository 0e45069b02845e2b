"""What the server logged in a test."""

from __future__ import annotations

import pytest

FIELDS = {
    "request": {"method", "route", "status", "code", "ms", "id"},
    "frame": {"code", "ms"},
    "socket": {"outcome", "ms"},
    "failed": {"error", "where", "id"},
}
"""Everything that a line may say."""


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The server's lines: each event with its code, its outcome or its error; no line says more than its fields."""
    found: list[tuple[str, str]] = []
    for record in caplog.records:
        if record.name.partition(".")[0] == "tacit":
            line = vars(record)
            assert set(line["fields"]) == FIELDS[line["event"]]
            fields = line["fields"]
            found.append((line["event"], fields.get("code") or fields.get("outcome") or fields.get("error") or ""))
    return found
