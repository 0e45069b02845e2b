"""The database's tables as numbered migrations, and the one function that brings a database up to date.

What is served (records, signatures, public keys, vaults, grants, leaves) is stored as the canonical base64 TEXT that
travelled; hashes and ids are lowercase hex TEXT; what only the server computes with (request keys, proof hashes, the
folded chain state) is a BLOB. Times are Unix milliseconds.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from tacit import errors


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from the version before to `number`."""

    number: int
    name: str
    statements: tuple[str, ...]


TABLES: Final = (
    """CREATE TABLE server_meta (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) WITHOUT ROWID""",
    # One row an account record version; only the newest holds the vault.
    """CREATE TABLE user_keys (
        id TEXT PRIMARY KEY NOT NULL,
        user_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        record TEXT NOT NULL,
        signature TEXT NOT NULL,
        outer_version INTEGER NOT NULL,
        public_key TEXT NOT NULL,
        encrypted_private_key TEXT NOT NULL,
        key_id VARCHAR(255) UNIQUE NOT NULL,
        created_at INTEGER NOT NULL,
        UNIQUE (user_id, version)
    )""",
    # The signed headers of the vault's outer part, from the version that the account record names.
    """CREATE TABLE outer_headers (
        user_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        account_version INTEGER NOT NULL,
        header TEXT NOT NULL,
        signature TEXT NOT NULL,
        PRIMARY KEY (user_id, version)
    ) WITHOUT ROWID""",
    # Taken out of the account records, so that a request need not parse one.
    """CREATE TABLE devices (
        user_id TEXT NOT NULL,
        device_id TEXT NOT NULL,
        request_key BLOB NOT NULL,
        certified_in INTEGER NOT NULL,
        revoked_in INTEGER,
        PRIMARY KEY (user_id, device_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE unlockers (
        user_id TEXT NOT NULL,
        unlocker_id TEXT NOT NULL,
        kind INTEGER NOT NULL,
        proof_hash BLOB NOT NULL,
        parameters BLOB NOT NULL,
        PRIMARY KEY (user_id, unlocker_id)
    ) WITHOUT ROWID""",
    # Each proof of an unlocker that was wrong, an hour long; `own`: by a device of the account.
    """CREATE TABLE failed_proofs (
        id INTEGER PRIMARY KEY,
        user_id TEXT NOT NULL,
        device_id TEXT NOT NULL,
        own BOOLEAN NOT NULL,
        at INTEGER NOT NULL
    )""",
    "CREATE INDEX failed_proofs_of_user ON failed_proofs (user_id, at)",
    "CREATE INDEX failed_proofs_by_time ON failed_proofs (at)",
    # When failures were last told, and how many came since, the last of them by `device_id`.
    """CREATE TABLE proofs_told (
        user_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        told_at INTEGER NOT NULL,
        untold INTEGER NOT NULL,
        device_id TEXT NOT NULL,
        PRIMARY KEY (user_id, kind)
    ) WITHOUT ROWID""",
    "CREATE INDEX proofs_told_by_time ON proofs_told (told_at)",
    """CREATE TABLE pending_resets (
        user_id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        device_id TEXT NOT NULL,
        due_at INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE account_events (
        user_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (user_id, seq)
    ) WITHOUT ROWID""",
    """CREATE TABLE sessions (
        token_hash TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        device_id TEXT NOT NULL,
        request_key BLOB NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('full', 'provisional', 'registration')),
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX sessions_of_device ON sessions (user_id, device_id)",
    "CREATE INDEX sessions_by_expiry ON sessions (expires_at)",
    """CREATE TABLE nonces (
        key_id TEXT NOT NULL,
        nonce TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (key_id, nonce)
    ) WITHOUT ROWID""",
    "CREATE INDEX nonces_by_expiry ON nonces (expires_at)",
    # Small rows: every message rewrites one. The chain state, which can be long, stands apart.
    """CREATE TABLE conversations (
        conversation_id TEXT PRIMARY KEY,
        head_seq INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        record_hash TEXT NOT NULL,
        outdated INTEGER NOT NULL DEFAULT 0,
        created_at INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE conversation_states (
        conversation_id TEXT PRIMARY KEY REFERENCES conversations (conversation_id),
        state BLOB NOT NULL
    )""",
    """CREATE TABLE conversation_members (
        conversation_id TEXT NOT NULL REFERENCES conversations (conversation_id),
        user_id TEXT NOT NULL,
        role INTEGER NOT NULL,
        account_version INTEGER NOT NULL,
        added_seq INTEGER NOT NULL,
        removed_seq INTEGER,
        PRIMARY KEY (conversation_id, user_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX conversations_of_user ON conversation_members (user_id, conversation_id)",
    """CREATE TABLE conversation_keys (
        id TEXT PRIMARY KEY NOT NULL,
        conversation_id TEXT NOT NULL REFERENCES conversations (conversation_id),
        key_id VARCHAR(255) UNIQUE NOT NULL,
        created_at INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        protocol TEXT NOT NULL,
        record TEXT NOT NULL,
        signature TEXT NOT NULL,
        seq INTEGER NOT NULL,
        record_hash TEXT UNIQUE NOT NULL,
        UNIQUE (conversation_id, epoch),
        UNIQUE (conversation_id, seq)
    )""",
    """CREATE TABLE conversation_key_members (
        id TEXT PRIMARY KEY NOT NULL,
        conversation_key_id TEXT NOT NULL REFERENCES conversation_keys (id),
        user_id TEXT NOT NULL,
        encrypted_key TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        granted_by TEXT NOT NULL,
        UNIQUE (conversation_key_id, user_id, granted_by)
    )""",
    """CREATE TABLE grant_requests (
        conversation_id TEXT NOT NULL REFERENCES conversations (conversation_id),
        key_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        asked_at INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, key_id, user_id)
    ) WITHOUT ROWID""",
    # That the conversation exists is proven by the seq taken from its row; a foreign key would look it up again.
    """CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        conversation_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        sender_id TEXT NOT NULL,
        device_id TEXT NOT NULL,
        client_message_id TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        text TEXT NOT NULL DEFAULT '[Encrypted Message]',
        encrypted BOOLEAN DEFAULT FALSE,
        encryption_key_id VARCHAR(255),
        encrypted_payload TEXT,
        iv TEXT,
        UNIQUE (conversation_id, seq),
        UNIQUE (conversation_id, device_id, client_message_id)
    )""",
    # Numbers that a restored server gives to nothing: what had them before may be on somebody's device. What was said
    # in the epochs from `first_epoch` to `last_epoch` may be lacking, and be put back.
    """CREATE TABLE lost_places (
        conversation_id TEXT NOT NULL REFERENCES conversations (conversation_id),
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        first_epoch INTEGER NOT NULL,
        last_epoch INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, first_seq)
    ) WITHOUT ROWID""",
    """CREATE TABLE pending_leaves (
        conversation_id TEXT NOT NULL REFERENCES conversations (conversation_id),
        user_id TEXT NOT NULL,
        leave TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, user_id)
    ) WITHOUT ROWID""",
)

MIGRATIONS: Final = (Migration(1, "first tables", TABLES),)
"""All steps in order, numbered from 1 without a gap."""

# A table of its own and not PRAGMA user_version: the tables may stand in another application's database.
_VERSIONS: Final = "CREATE TABLE IF NOT EXISTS schema_version (number INTEGER PRIMARY KEY, name TEXT NOT NULL)"


def version(connection: sqlite3.Connection) -> int:
    """The number of the newest migration that this database had; 0 for an empty one."""
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'").fetchone()
    if known is None:
        return 0
    newest: int = connection.execute("SELECT coalesce(max(number), 0) FROM schema_version").fetchone()[0]
    return newest


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Run the migrations that the database lacks, each in its own transaction; returns the version reached.

    Raises `DatabaseTooNew` when the database has had migrations that this program does not know.
    """
    known = migrations[-1].number
    for migration in migrations:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Read inside the transaction: another process may be migrating the same file.
            reached = version(connection)
            if reached > known:
                raise errors.DatabaseTooNew(f"it has schema version {reached}; this program knows {known}")
            if reached < migration.number:
                connection.execute(_VERSIONS)
                for statement in migration.statements:
                    connection.execute(statement)
                connection.execute("INSERT INTO schema_version VALUES (?, ?)", (migration.number, migration.name))
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    return version(connection)
