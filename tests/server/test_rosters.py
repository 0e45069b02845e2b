"""Who is told of a message."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.store.fill import put_epoch
from tacit.server.messages import Sealed, insert
from tacit.server.rosters import Rosters
from tacit.server.store.rows import MemberChange
from tacit.server.store.sqlite import Store

ALICE, BOB, CAROL = (MemberChange(name, 1, 1) for name in ("alice", "bob", "carol"))


def of_record(record_hash: str) -> Sealed:
    payload: Any = SimpleNamespace(key_id="key", record_hash=record_hash, iv="aXY=")
    aad: Any = SimpleNamespace(user_id="alice", device_id="phone", client_message_id="one", epoch=1)
    return Sealed(payload, "{}", aad)


async def test_what_was_undone_is_not_remembered(tmp_path: Path) -> None:
    rosters = Rosters()
    async with Store(tmp_path / "db") as store:

        def undone(db: sqlite3.Connection) -> None:
            put_epoch(db, changes=(ALICE, BOB), key_id="key")
            assert insert(db, rosters, "team", of_record("team-record-1"), (), 1).members == ("alice", "bob")
            raise ZeroDivisionError

        def done(db: sqlite3.Connection) -> tuple[str, ...]:
            put_epoch(db, changes=(ALICE, CAROL), key_id="key", variant="'")
            return insert(db, rosters, "team", of_record("team-record-1'"), (), 1).members

        with pytest.raises(ZeroDivisionError):
            await store.write(undone)
        assert await store.write(done) == ("alice", "carol")


async def test_so_many_names_are_kept(tmp_path: Path) -> None:
    rosters = Rosters(kept=3)
    async with Store(tmp_path / "db") as store:
        for number in range(3):
            team = f"team {number}"

            def job(db: sqlite3.Connection, team: str = team) -> tuple[str, ...]:
                put_epoch(db, changes=(ALICE, BOB), conversation_id=team)
                return rosters.of(db, team, f"{team}-record-1")

            assert await store.write(job) == ("alice", "bob")
    assert rosters._names == sum(map(len, rosters._members.values())) == 2
