"""What a person is told of the account, as it is kept: the newest notices only, so that nobody fills the store."""

from __future__ import annotations

from collections.abc import Mapping
from sqlite3 import Connection
from typing import Final

from tacit.wire.text import to_json

KEPT: Final = 1000
"""So many notices are kept: what is older than the newest of them is forgotten."""


def keep(connection: Connection, at: int, kind: str, body: Mapping[str, object]) -> None:
    """Keep something that the person is to be told of the account; `at` in Unix milliseconds."""
    row = (at, kind, to_json(dict(body)))
    # After a restore of the server the same events come once more, also those that were forgotten: by their time.
    connection.execute("INSERT OR IGNORE INTO notices (at, kind, body) VALUES (?, ?, ?)", row)
    oldest = "SELECT id FROM notices ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?"
    connection.execute(f"DELETE FROM notices WHERE id IN ({oldest})", (KEPT,))


def ever(connection: Connection) -> int:
    """How many notices there were so far, those that were forgotten among them."""
    newest: int = connection.execute("SELECT coalesce(max(id), 0) FROM notices").fetchone()[0]
    return newest
