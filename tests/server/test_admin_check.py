"""`tacit admin check`: each kind of damage is found by its name, and nothing in a database that has none."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rsa_pool import pooled_rsa
from server import lively
from tacit import errors
from tacit.server.admin import records
from tacit.server.admin.check import check
from tacit.server.admin.findings import NAMES, Finding
from tacit.server.store.sqlite import connect


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The database of a lively town."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tacit.crypto.rsa.generate", pooled_rsa)
        yield lively.make(tmp_path_factory.mktemp("town"))


@pytest.fixture
def database(town: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copy(town, tmp_path / "server.db")
    return tmp_path / "server.db"


def test_an_undamaged_database_has_no_findings(town: Path) -> None:
    assert list(check(town)) == []


def test_the_town_is_lively(town: Path) -> None:
    """Else there would be nothing to find."""
    with closing(connect(town, True)) as db:
        for query in (
            "SELECT max(version) - 2 FROM user_keys WHERE user_id = 'bob'",
            "SELECT count(*) FROM devices WHERE revoked_in IS NOT NULL",
            "SELECT count(*) - count(DISTINCT user_id) FROM outer_headers",
            "SELECT count(*) FROM conversation_members WHERE removed_seq IS NOT NULL",
            "SELECT count(*) FROM conversation_members WHERE added_seq > 1 AND removed_seq IS NULL",
            "SELECT count(*) FROM conversation_key_members WHERE granted_by LIKE 'carol/%'",
            "SELECT count(*) FROM pending_leaves",
            "SELECT count(*) FROM conversations WHERE outdated",
            "SELECT max(epoch) - 5 FROM conversations",
            "SELECT count(*) - 8 FROM messages",
        ):
            assert db.execute(query).fetchone()[0] > 0, query


# What is done to the database, and all that is found then.
DAMAGES = {
    "an account's newest version is gone": (
        "DELETE FROM user_keys WHERE user_id = 'fay'",
        {"reference", "conversation_chain"},
    ),
    "a version in the middle is gone": (
        "DELETE FROM user_keys WHERE user_id = 'bob' AND version = 2",
        {"account_chain", "conversation_chain"},
    ),
    "the newest version is gone": (
        "DELETE FROM user_keys WHERE user_id = 'bob' AND version = 3",
        {"vault", "outer_header", "unlocker"},
    ),
    "a version under another name": (
        "UPDATE user_keys SET user_id = 'zoe' WHERE user_id = 'gus'",
        {"account_chain", "reference", "conversation_chain", "vault", "outer_header", "unlocker", "device"},
    ),
    "a signature of another version": (
        "UPDATE user_keys SET signature = (SELECT signature FROM user_keys WHERE user_id = 'bob' AND version = 1) "
        "WHERE user_id = 'bob' AND version = 2",
        {"account_chain", "conversation_chain"},
    ),
    "an account record that is no text": (
        "UPDATE user_keys SET record = x'00ff' WHERE user_id = 'erin'",
        {"account_chain", "conversation_chain"},
    ),
    "another public key beside a record": (
        "UPDATE user_keys SET public_key = (SELECT public_key FROM user_keys WHERE user_id = 'erin') "
        "WHERE user_id = 'carol'",
        {"account_row"},
    ),
    "an account record by another hash": (
        "UPDATE user_keys SET key_id = 'ab' WHERE user_id = 'carol'",
        {"account_row"},
    ),
    "another server": (
        "UPDATE server_meta SET value = CAST('elsewhere' AS BLOB) WHERE name = 'name'",
        {"account_chain"},
    ),
    "a vault of somebody else": (
        "UPDATE user_keys SET encrypted_private_key = (SELECT encrypted_private_key FROM user_keys "
        "WHERE user_id = 'erin') WHERE user_id = 'carol'",
        {"vault", "outer_header", "unlocker"},
    ),
    "no vault": (
        "UPDATE user_keys SET encrypted_private_key = '' WHERE user_id = 'carol'",
        {"vault", "outer_header", "unlocker"},
    ),
    "a vault of an earlier version": (
        "UPDATE user_keys SET encrypted_private_key = 'AAAA' WHERE user_id = 'bob' AND version = 1",
        {"vault"},
    ),
    "another number of the vault's outer part": (
        "UPDATE user_keys SET outer_version = outer_version + 1 WHERE user_id = 'carol'",
        {"vault"},
    ),
    "the newest header of a vault is gone": (
        "DELETE FROM outer_headers WHERE user_id = 'alice' AND version = (SELECT max(version) FROM outer_headers "
        "WHERE user_id = 'alice')",
        {"outer_header"},
    ),
    "a header in the middle is gone": (
        "DELETE FROM outer_headers WHERE user_id = 'erin' AND version = (SELECT min(version) + 1 FROM outer_headers "
        "WHERE user_id = 'erin')",
        {"outer_header"},
    ),
    "a header's signature is another's": (
        "UPDATE outer_headers SET signature = (SELECT signature FROM outer_headers WHERE user_id = 'carol') "
        "WHERE user_id = 'erin'",
        {"outer_header"},
    ),
    "headers of nobody": (
        "INSERT INTO outer_headers VALUES ('nobody', 1, 1, '', '')",
        {"reference"},
    ),
    "a device is gone": ("DELETE FROM devices WHERE user_id = 'fay'", {"device", "message"}),
    "a revoked device is back": (
        "UPDATE devices SET revoked_in = NULL WHERE revoked_in IS NOT NULL AND user_id = 'alice'",
        {"device"},
    ),
    "a device with another key": ("UPDATE devices SET request_key = x'00' WHERE user_id = 'carol'", {"device"}),
    "a device of a thief": ("INSERT INTO devices VALUES ('carol', 'ab', x'00', 1, NULL)", {"device"}),
    "an unlocker of a thief": ("INSERT INTO unlockers VALUES ('carol', 'ab', 1, x'00', x'00')", {"unlocker"}),
    "an unlocker is gone": ("DELETE FROM unlockers WHERE user_id = 'carol' AND kind = 2", {"unlocker"}),
    "an event is gone": ("DELETE FROM account_events WHERE user_id = 'alice' AND seq = 2", {"account_event"}),
    "the first event is gone": ("DELETE FROM account_events WHERE user_id = 'alice' AND seq = 1", {"account_event"}),
    "an event that cannot be read": (
        "UPDATE account_events SET body = '{' WHERE user_id = 'alice' AND seq = 2",
        {"account_event"},
    ),
    "a record in the middle is gone": (
        "DELETE FROM conversation_keys WHERE epoch = 2",
        {"reference", "seq", "conversation_chain", "message"},
    ),
    "two records change places": (
        "UPDATE conversation_keys SET record = (SELECT record FROM conversation_keys AS k WHERE k.epoch = 2) "
        "WHERE epoch = 3",
        {"conversation_chain"},
    ),
    "a record's signature is another's": (
        "UPDATE conversation_keys SET signature = (SELECT signature FROM conversation_keys AS k WHERE k.epoch = 2) "
        "WHERE epoch = 3",
        {"conversation_chain"},
    ),
    "a record by another hash": (
        "UPDATE conversation_keys SET record_hash = 'ab' WHERE epoch = 3",
        {"conversation_row", "message"},
    ),
    "an earlier epoch is the newest": (
        "UPDATE conversations SET epoch = 2 WHERE epoch > 3",
        {"conversation_row"},
    ),
    "a chain's state is another": ("UPDATE conversation_states SET state = x'00'", {"conversation_row"}),
    "a conversation without a record": (
        "INSERT INTO conversations VALUES ('ab', 0, 1, 'ab', 'ab', 0, 1)",
        {"conversation_chain"},
    ),
    "messages of a device that is out are taken": ("UPDATE conversations SET outdated = 0", {"outdated"}),
    "a removed member is back": (
        "UPDATE conversation_members SET role = 1, removed_seq = NULL WHERE removed_seq IS NOT NULL",
        {"member"},
    ),
    "a ghost": (
        "INSERT INTO conversation_members SELECT conversation_id, 'fay', 1, 1, 1, NULL FROM conversations "
        "WHERE epoch > 3",
        {"member"},
    ),
    "a member is gone": ("DELETE FROM conversation_members WHERE user_id = 'gus'", {"member"}),
    "the opener's grant is gone": (
        "DELETE FROM conversation_key_members WHERE user_id = 'gus'",
        {"grant"},
    ),
    "a grant of another epoch": (
        "UPDATE conversation_key_members SET encrypted_key = (SELECT encrypted_key FROM conversation_key_members "
        "WHERE user_id = 'fay') WHERE user_id = 'gus'",
        {"grant"},
    ),
    "a grant of no epoch": (
        "UPDATE conversation_key_members SET conversation_key_id = 'ab' WHERE user_id = 'gus'",
        {"reference", "grant"},
    ),
    "a grant to a stranger": (
        "INSERT INTO conversation_key_members SELECT 'ab', conversation_key_id, 'alice', encrypted_key, 1, granted_by "
        "FROM conversation_key_members WHERE user_id = 'gus'",
        {"grant"},
    ),
    "a leave of another": ("UPDATE pending_leaves SET user_id = 'erin'", {"leave"}),
    "a leave that cannot be read": ("UPDATE pending_leaves SET leave = 'AAAA'", {"leave"}),
    "a message is gone": (
        "DELETE FROM messages WHERE sender_id = 'bob' AND seq = "
        "(SELECT min(seq) FROM messages WHERE sender_id = 'bob')",
        {"seq"},
    ),
    "the newest message is gone": (
        "DELETE FROM messages WHERE sender_id = 'fay' AND seq = "
        "(SELECT max(seq) FROM messages WHERE sender_id = 'fay')",
        {"seq"},
    ),
    "places that are lost and have messages": (
        "INSERT INTO lost_places SELECT conversation_id, 1, 2, 1, 0, 0 FROM conversations",
        {"seq"},
    ),
    "a message at the place of a record": (
        "UPDATE messages SET seq = 1 WHERE sender_id = 'fay' AND seq = (SELECT max(seq) FROM messages "
        "WHERE sender_id = 'fay')",
        {"seq"},
    ),
    "a message by another": ("UPDATE messages SET sender_id = 'gus' WHERE sender_id = 'fay'", {"message"}),
    "a message in another epoch": (
        "UPDATE messages SET seq = seq + 1000, encryption_key_id = 'ab' WHERE sender_id = 'bob'",
        {"seq", "message"},
    ),
    "a message that cannot be read": (
        "UPDATE messages SET encrypted_payload = NULL WHERE sender_id = 'fay'",
        {"message"},
    ),
    "a conversation is gone, and its messages are not": (
        "DELETE FROM conversations WHERE conversation_id = (SELECT conversation_id FROM messages "
        "WHERE sender_id = 'fay')",
        {"reference"},
    ),
}


def damage(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as db, db:
        assert db.execute(statement).rowcount > 0


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_found_by_its_name(database: Path, what: str) -> None:
    statement, expected = DAMAGES[what]
    damage(database, statement)
    assert {finding.name for finding in check(database)} == expected


def test_a_file_that_sqlite_cannot_read_is_found(database: Path) -> None:
    with closing(connect(database)) as db:
        ((root,),) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'messages'").fetchall()
        ((size,),) = db.execute("PRAGMA page_size").fetchall()
    with database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(bytes(size))
    assert "file" in {finding.name for finding in check(database)}


def test_every_name_has_its_damage() -> None:
    assert set().union(*(expected for _, expected in DAMAGES.values()), {"file"}) == set(NAMES)


def test_a_finding_says_where_and_not_what(database: Path) -> None:
    damage(database, "UPDATE messages SET iv = 'something that was said' WHERE sender_id = 'bob'")
    with closing(connect(database, True)) as db:
        places = db.execute("SELECT conversation_id, seq FROM messages WHERE sender_id = 'bob'").fetchall()
    expected = [Finding("message", {"conversation": each[0], "seq": each[1]}, "another iv") for each in places]
    assert list(check(database)) == expected


def test_only_so_many_account_records_are_kept(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "KEPT", 3)
    assert list(check(town)) == []


def test_nothing_is_written(town: Path) -> None:
    before = town.read_bytes()
    list(check(town))
    assert town.read_bytes() == before


def test_what_is_no_servers_database_is_not_checked(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument):
        list(check(tmp_path / "missing"))
