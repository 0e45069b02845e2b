from __future__ import annotations

import sqlite3

import pytest

from tacit import errors
from tacit.server.store import nonces


def left(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT nonce FROM nonces ORDER BY nonce")]


def test_a_nonce_is_good_once_for_each_key(db: sqlite3.Connection) -> None:
    nonces.take(db, "phone", "n", 1000)
    nonces.take(db, "phone", "m", 1000)
    nonces.take(db, "laptop", "n", 1000)
    for key_id, nonce in (("phone", "n"), ("phone", "m"), ("laptop", "n")):
        with pytest.raises(errors.RequestReplayed):
            nonces.take(db, key_id, nonce, 9000)


def test_a_refused_nonce_is_not_remembered_for_longer(db: sqlite3.Connection) -> None:
    nonces.take(db, "phone", "n", 1000)
    changes = db.total_changes
    with pytest.raises(errors.RequestReplayed):
        nonces.take(db, "phone", "n", 9000)
    assert db.total_changes == changes
    assert nonces.purge(db, 1001) == 1


def test_a_nonce_is_remembered_until_it_expires(db: sqlite3.Connection) -> None:
    nonces.take(db, "phone", "n", 1000)
    assert nonces.purge(db, 1000) == 0
    with pytest.raises(errors.RequestReplayed):
        nonces.take(db, "phone", "n", 1000)
    assert nonces.purge(db, 1001) == 1
    nonces.take(db, "phone", "n", 2000)


def test_expired_nonces_are_forgotten_oldest_first(db: sqlite3.Connection) -> None:
    for expires_at in (3000, 1000, 4000, 2000):
        nonces.take(db, "phone", str(expires_at), expires_at)
    nonces.take(db, "laptop", "1000", 5000)  # the same nonce under another key stays
    assert nonces.purge(db, 4000, limit=2) == 2
    assert left(db) == ["1000", "3000", "4000"]
    assert nonces.purge(db, 4000) == 1
    assert left(db) == ["1000", "4000"]
