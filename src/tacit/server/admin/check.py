"""The whole check of a database, by what anybody may verify: it opens nothing, and writes nothing.

All of it is on one state of the database. Rows come one at a time; of account records some thousand are kept.
What the server does not verify when it takes it, the signatures of messages and grants, is not verified here either.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from tacit.server.admin.accounts import check_accounts, check_events
from tacit.server.admin.conversations import check_conversations
from tacit.server.admin.findings import Finding
from tacit.server.store import meta
from tacit.server.store.backup import open_server, unsound

_OF_ACCOUNTS: Final = ("outer_headers", "devices", "unlockers", "pending_resets", "conversation_members")
_NAMELESS: Final = (
    (
        "messages",
        "SELECT DISTINCT conversation_id FROM messages AS m WHERE NOT EXISTS "
        "(SELECT 1 FROM conversations AS c WHERE c.conversation_id = m.conversation_id)",
    ),
    *(
        (
            table,
            f"SELECT DISTINCT user_id FROM {table} AS t WHERE NOT EXISTS "
            "(SELECT 1 FROM user_keys AS k WHERE k.user_id = t.user_id)",
        )
        for table in _OF_ACCOUNTS
    ),
)


def check(database: Path) -> Iterator[Finding]:
    """Everything that is wrong with a database; raises as `open_server` does."""
    with closing(open_server(database)) as db:
        for line in unsound(db):
            yield Finding("file", {}, line)
        try:
            yield from _check(db)
        except sqlite3.DatabaseError as error:  # it was told above why; the rest cannot be read
            yield Finding("file", {}, str(error))


def _check(db: sqlite3.Connection) -> Iterator[Finding]:
    name = (meta.get(db, "name") or b"").decode(errors="replace")
    yield from _references(db)
    yield from check_accounts(db, name)
    yield from check_events(db)
    yield from check_conversations(db)


def _references(db: sqlite3.Connection) -> Iterator[Finding]:
    """Rows that belong to no row: by the foreign keys, and where for speed there are none."""
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check"):
        yield Finding("reference", {"table": table, "row": row or 0}, f"there is no such row in {parent}")
    for table, query in _NAMELESS:
        for (named,) in db.execute(query):
            yield Finding("reference", {"table": table, "id": str(named)}, "what it belongs to is not there")
