"""What a person is told of the account, as it is kept: the newest notices of each kind, so that nobody fills the store.

Of each kind by itself: a device in a thief's hands can cause as many of some kinds as it likes, and must not be able to
push out that it asked for a reset.
"""

from __future__ import annotations

from collections.abc import Mapping
from sqlite3 import Connection
from typing import Final

from tacit.signed.record import DAY
from tacit.wire.text import to_json

KEPT: Final = 200
"""So many notices of each kind are kept: what is older than the newest of them is forgotten."""
EVER: Final = 1 << 62
ONCE_WITHIN: Final = {"vault_unreadable": DAY, "identity_confirmed": EVER, "branches": EVER}
"""For so long (milliseconds) the same is not kept again, however often another device causes it."""


def keep(connection: Connection, at: int, kind: str, body: Mapping[str, object]) -> None:
    """Keep something that the person is to be told of the account; `at` in Unix milliseconds."""
    row = (at, kind, to_json(dict(body)))
    again = "SELECT 1 FROM notices WHERE kind = ? AND body = ? AND abs(at - ?) < ?"
    if kind in ONCE_WITHIN and connection.execute(again, (kind, row[2], at, ONCE_WITHIN[kind])).fetchone():
        return
    # After a restore of the server the same events come once more, also those that were forgotten: by their time.
    connection.execute("INSERT OR IGNORE INTO notices (at, kind, body) VALUES (?, ?, ?)", row)
    oldest = "SELECT id FROM notices WHERE kind = ? ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?"
    connection.execute(f"DELETE FROM notices WHERE id IN ({oldest})", (kind, KEPT))


def ever(connection: Connection) -> int:
    """How many notices there were so far, those that were forgotten among them."""
    newest: int = connection.execute("SELECT coalesce(max(id), 0) FROM notices").fetchone()[0]
    return newest


def after(connection: Connection, number: int) -> int:
    """How many of those that are kept came after there had been so many."""
    found: int = connection.execute("SELECT count(*) FROM notices WHERE id > ?", (number,)).fetchone()[0]
    return found
