"""The local store's tables. A migration is never changed once released; a new one is added."""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) WITHOUT ROWID;

    -- Verified account records: an account's chain from its first version, which is its pin.
    CREATE TABLE accounts (
        user_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        record BLOB NOT NULL,
        signatures BLOB NOT NULL,
        PRIMARY KEY (user_id, version)
    ) WITHOUT ROWID;

    -- Signed headers of the vault's outer part, from the one that the account record names.
    CREATE TABLE outer_headers (
        version INTEGER PRIMARY KEY,
        header BLOB NOT NULL,
        signature BLOB NOT NULL
    );

    -- Which identity key a person is known by; it changes only when a reset was confirmed.
    CREATE TABLE contacts (
        user_id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        account_hash BLOB NOT NULL,
        aik_fingerprint BLOB NOT NULL
    ) WITHOUT ROWID;

    -- What the person is told of the account: `body` is JSON.
    CREATE TABLE notices (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (at, kind, body)
    );

    -- The conversations in which a revocation still has to be followed by an epoch of this device.
    -- `tried`: 0 for not yet, else in the order of the last attempts.
    CREATE TABLE rotations (
        conversation_id TEXT PRIMARY KEY,
        done INTEGER NOT NULL DEFAULT 0,
        tried INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;

    -- Up to `highest` everything was received once.
    -- `stopped`: why nothing is sent any more; `leaving`: one's own signed leave, `leave_sent` once the server has it.
    CREATE TABLE conversations (
        id TEXT PRIMARY KEY,
        cursor INTEGER NOT NULL DEFAULT 0,
        highest INTEGER NOT NULL DEFAULT 0,
        name TEXT,
        name_seq INTEGER NOT NULL DEFAULT 0,
        stopped TEXT NOT NULL DEFAULT '',
        leaving BLOB,
        leave_sent INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;

    -- `place` is what became of a record; `ask`: a person may accept it; `confirmed`: a person did.
    CREATE TABLE records (
        conversation_id TEXT NOT NULL,
        hash BLOB NOT NULL,
        epoch INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        record BLOB NOT NULL,
        signature BLOB NOT NULL,
        place TEXT NOT NULL,
        detail TEXT NOT NULL,
        received_at INTEGER NOT NULL,
        ask INTEGER NOT NULL,
        confirmed INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, hash)
    ) WITHOUT ROWID;

    CREATE TABLE grants (
        conversation_id TEXT NOT NULL,
        record_hash BLOB NOT NULL,
        grant_bytes BLOB NOT NULL,
        PRIMARY KEY (conversation_id, record_hash, grant_bytes)
    ) WITHOUT ROWID;

    CREATE TABLE epoch_keys (
        conversation_id TEXT NOT NULL,
        record_hash BLOB NOT NULL,
        key BLOB NOT NULL,
        PRIMARY KEY (conversation_id, record_hash)
    ) WITHOUT ROWID;

    -- Keys that this device asked the other members for, and those that others ask for.
    CREATE TABLE grants_asked (
        conversation_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        asked_at INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, epoch)
    ) WITHOUT ROWID;
    CREATE TABLE grants_wanted (
        conversation_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        PRIMARY KEY (conversation_id, epoch, user_id)
    ) WITHOUT ROWID;

    -- An epoch that this device is opening: the exact bytes, until their outcome is known.
    CREATE TABLE openings (
        conversation_id TEXT PRIMARY KEY,
        intent TEXT NOT NULL,
        record_hash BLOB NOT NULL,
        record BLOB NOT NULL,
        signature BLOB NOT NULL,
        key BLOB NOT NULL,
        grants BLOB NOT NULL
    ) WITHOUT ROWID;

    -- `verdict`: shown, repeated or undecryptable; `revision` grows with every change of a row.
    CREATE TABLE messages (
        conversation_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        payload TEXT NOT NULL,
        verdict TEXT NOT NULL,
        cause TEXT NOT NULL,
        detail TEXT NOT NULL,
        authentic INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        device_id TEXT NOT NULL,
        client_message_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        content BLOB,
        late INTEGER NOT NULL,
        revoked INTEGER NOT NULL,
        message_hash BLOB NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, seq)
    ) WITHOUT ROWID;
    CREATE INDEX messages_by_name ON messages (conversation_id, user_id, device_id, client_message_id);
    CREATE INDEX messages_by_revision ON messages (conversation_id, revision);
    CREATE INDEX messages_unread ON messages (conversation_id, cause) WHERE cause <> '';

    CREATE TABLE counters (
        conversation_id TEXT NOT NULL,
        record_hash BLOB NOT NULL,
        user_id TEXT NOT NULL,
        device_id TEXT NOT NULL,
        instance_id BLOB NOT NULL,
        counter INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, record_hash, user_id, device_id, instance_id, counter)
    ) WITHOUT ROWID;

    -- The next counter of each opening of this store, for each conversation.
    CREATE TABLE sending (
        instance_id BLOB NOT NULL,
        conversation_id TEXT NOT NULL,
        next INTEGER NOT NULL,
        PRIMARY KEY (instance_id, conversation_id)
    ) WITHOUT ROWID;

    -- `sealed` is the payload to be sent byte for byte, NULL while none is; `state`: waiting or failed.
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        conversation_id TEXT NOT NULL,
        client_message_id TEXT NOT NULL UNIQUE,
        first INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        body BLOB NOT NULL,
        sent_at INTEGER NOT NULL,
        sealed TEXT,
        epoch INTEGER,
        instance_id BLOB,
        counter INTEGER,
        state TEXT NOT NULL,
        failure TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX outbox_waiting ON outbox (state, conversation_id);

    -- Messages of this device that the server took and that did not come back yet, byte for byte.
    CREATE TABLE acknowledged (
        conversation_id TEXT NOT NULL,
        client_message_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (conversation_id, client_message_id)
    ) WITHOUT ROWID;

    -- Places that a restored server gave to nothing: what was held there may come once more, at a later place.
    CREATE TABLE lost_places (
        conversation_id TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, first)
    ) WITHOUT ROWID;

    CREATE TABLE leaves (
        conversation_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        leave BLOB NOT NULL,
        PRIMARY KEY (conversation_id, user_id, leave)
    ) WITHOUT ROWID;

    -- What contradicts what was signed before, for people and for later. `subject` is a user or conversation id.
    CREATE TABLE evidence (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        about TEXT NOT NULL,
        subject TEXT NOT NULL,
        code TEXT NOT NULL,
        detail TEXT NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (about, subject, code, body)
    );
    """,
)
