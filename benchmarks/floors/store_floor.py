"""The floor under storing messages: plain sqlite3, the same tables and settings, and nothing of tacit.

`Floor.batch` stores rows in one transaction with one `executemany`; `Floor.each` takes a transaction a row. Both give
out `seq` from a number in memory, look nothing up and answer nobody, which the product cannot afford. Run by itself
it prints how many rows a second that is, in the directory for temporary files or the one that is named.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MESSAGES = """CREATE TABLE messages (
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
    )"""
"""The product's own text, which also makes both indexes."""

SETTINGS = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}
"""The product's settings, as `PRAGMA` reads them back; 2 is FULL: COMMIT waits for the disk."""

INSERT = (
    "INSERT INTO messages (conversation_id, seq, sender_id, device_id, client_message_id, created_at, encrypted, "
    "encryption_key_id, encrypted_payload, iv) VALUES (?, ?, ?, ?, ?, ?, TRUE, ?, ?, ?)"
)


class Message(NamedTuple):
    """What a sender hands over."""

    conversation_id: str
    sender: str
    device_id: str
    client_message_id: str
    payload: str
    key_id: str
    iv: str
    now: int


def some_message(number: int, senders: int, payload: str = "x" * 845) -> Message:
    """The message of that number, by one of so many senders; 845 characters is what a text of 100 bytes becomes."""
    # Knuth's multiplicative hash: like real ids these are spread over the whole index.
    client_message_id = f"{number * 2654435761 % (1 << 32):08x}" * 4
    sender = f"user-{number % senders:03}"
    return Message("c" * 64, sender, sender * 8, client_message_id, payload, "k" * 64, "aXYtb2YtMTJi", number)


class Floor:
    """One connection to a new database."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        for name, value in SETTINGS.items():
            self.connection.execute(f"PRAGMA {name} = {value}")
        self.connection.execute(MESSAGES)
        self._seq = 0

    def _row(self, message: Message) -> tuple[object, ...]:
        self._seq += 1
        conversation_id, sender, device_id, client_message_id, payload, key_id, iv, now = message
        return conversation_id, self._seq, sender, device_id, client_message_id, now, key_id, payload, iv

    def batch(self, messages: Sequence[Message]) -> None:
        """All of these in one transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(INSERT, [self._row(message) for message in messages])
        self.connection.execute("COMMIT")

    def each(self, messages: Sequence[Message]) -> None:
        """A transaction for each of these."""
        for message in messages:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute(INSERT, self._row(message))
            self.connection.execute("COMMIT")

    def count(self) -> int:
        """How many messages are stored."""
        counted: int = self.connection.execute("SELECT count(*) FROM messages").fetchone()[0]
        return counted

    def close(self) -> None:
        """Closes the database."""
        self.connection.close()


def main() -> None:
    """Prints rows a second for 50 transactions of 1, 16 and 64 rows."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as directory:
        for size in (1, 16, 64):
            floor = Floor(Path(directory, str(size)))
            given = [[some_message(turn * size + each, size) for each in range(size)] for turn in range(50)]
            started = time.perf_counter()
            for messages in given:
                floor.batch(messages)
            taken = time.perf_counter() - started
            print(f"{size} a transaction: {floor.count() / taken:,.0f} rows/s")
            floor.close()


if __name__ == "__main__":
    main()
