from __future__ import annotations

import sqlite3

import pytest

from server.store.fill import ALICE_AND_BOB, put_account, put_epoch
from tacit import errors
from tacit.server.store import account_events, accounts, conversations, sessions
from tacit.server.store.rows import (
    Account,
    AccountWritten,
    Device,
    MemberChange,
    OuterHeader,
    Session,
    Unlocker,
    Vault,
)


def put_outer(
    db: sqlite3.Connection, version: int, *, account_version: int = 1, header: str | None = None
) -> AccountWritten:
    text = f"header {version}" if header is None else header
    return accounts.put_outer(
        db,
        user_id="alice",
        account_version=account_version,
        outer=OuterHeader(version, account_version, text, "c2ln"),
        encrypted_private_key=f"vault with {text}",
        now=3000,
    )


def headers(db: sqlite3.Connection) -> list[int]:
    return [header.version for header in accounts.outer_headers(db, "alice")]


def everything(db: sqlite3.Connection) -> list[str]:
    """All rows of all tables, to show that nothing was written."""
    return list(db.iterdump())


def test_a_version_comes_back_as_it_was_put(db: sqlite3.Connection) -> None:
    assert put_account(db, outer=4, now=77) == AccountWritten(False, (), 1)
    stored = Account("alice", 1, "alice-1", "public alice 1", "record alice 1", "c2ln", 4, 77)
    assert accounts.newest(db, "alice") == stored
    assert accounts.get(db, "alice") == accounts.get(db, "alice", 1) == stored
    assert accounts.vault(db, "alice") == Vault("alice", 1, "alice-1", 4, "vault alice 1")
    assert accounts.outer_headers(db, "alice") == (OuterHeader(4, 1, "header 4", "c2ln"),)
    assert accounts.unlockers(db, "alice") == (Unlocker("password", 1, b"password", b""),)
    assert accounts.device(db, "alice", "phone") == Device("alice", "phone", b"phone", 1, None)
    assert accounts.devices(db, "alice") == (Device("alice", "phone", b"phone", 1, None),)


def test_who_is_not_there_is_not_found(db: sqlite3.Connection) -> None:
    put_account(db, "bob")
    assert accounts.newest(db, "alice") is None
    assert accounts.device(db, "alice", "phone") is None
    for several in (accounts.devices, accounts.unlockers, accounts.outer_headers):
        assert several(db, "alice") == ()
    for look in (accounts.get, accounts.versions, accounts.vault):
        with pytest.raises(errors.NoSuchAccount):
            look(db, "alice")
    with pytest.raises(errors.NoSuchAccount):
        accounts.get(db, "bob", 2)


def test_names_are_told_apart_byte_for_byte(db: sqlite3.Connection) -> None:
    put_account(db, "alice")
    for other in ("Alice", "alice ", "alic\u00e9", "alice\x00"):
        assert accounts.newest(db, other) is None
        put_account(db, other)
    assert accounts.get(db, "alice").record == "record alice 1"


def test_versions_are_the_ones_above_a_number_oldest_first(db: sqlite3.Connection) -> None:
    for version in (1, 2, 3):
        put_account(db, version=version)
    assert [each.version for each in accounts.versions(db, "alice")] == [1, 2, 3]
    assert [each.version for each in accounts.versions(db, "alice", 1)] == [2, 3]
    assert accounts.versions(db, "alice", 3) == ()
    assert accounts.newest(db, "alice") == accounts.get(db, "alice", 3)
    assert accounts.get(db, "alice", 2).key_id == "alice-2"


def test_only_the_newest_version_holds_the_vault(db: sqlite3.Connection) -> None:
    put_account(db, "bob")
    for version in (1, 2, 3):
        put_account(db, version=version)
    vaults = db.execute("SELECT user_id, version, encrypted_private_key FROM user_keys ORDER BY user_id, version")
    assert vaults.fetchall() == [
        ("alice", 1, ""),
        ("alice", 2, ""),
        ("alice", 3, "vault alice 3"),
        ("bob", 1, "vault bob 1"),
    ]
    assert accounts.vault(db, "alice") == Vault("alice", 3, "alice-3", 1, "vault alice 3")


def test_the_newest_version_sent_again_is_a_duplicate(db: sqlite3.Connection) -> None:
    put_account(db)
    put_account(db, version=2)
    before = everything(db)
    assert put_account(db, version=2, now=9999) == AccountWritten(True, (), 0)
    assert everything(db) == before


def test_another_first_version_is_refused(db: sqlite3.Connection) -> None:
    put_account(db)
    before = everything(db)
    with pytest.raises(errors.AccountExists):
        put_account(db, variant="'")
    put_account(db, version=2)
    with pytest.raises(errors.AccountExists):
        put_account(db)  # once the newest, now an old one
    assert accounts.get(db, "alice", 1).record == "record alice 1"
    assert len(everything(db)) > len(before)


@pytest.mark.parametrize(
    ("version", "previous"),
    [(2, "alice-1"), (3, "alice-1"), (3, ""), (3, "alice-2'"), (4, "alice-2"), (4, "alice-3")],
)
def test_a_version_that_does_not_follow_the_newest_is_refused(
    db: sqlite3.Connection, version: int, previous: str
) -> None:
    put_account(db)
    put_account(db, version=2, outer=5)
    before = everything(db)
    with pytest.raises(errors.VersionConflict) as raised:
        put_account(db, version=version, variant="'", previous=previous, outer=6)
    assert raised.value.facts == {"accountVersion": 2, "outerVersion": 5}
    assert everything(db) == before


@pytest.mark.parametrize(("version", "previous"), [(2, "alice-1"), (2, ""), (1, "something")])
def test_an_account_begins_with_version_1_and_no_predecessor(
    db: sqlite3.Connection, version: int, previous: str
) -> None:
    with pytest.raises(errors.VersionConflict) as raised:
        put_account(db, version=version, previous=previous)
    assert raised.value.facts == {"accountVersion": 0, "outerVersion": 0}
    assert accounts.newest(db, "alice") is None


def test_a_version_with_an_older_outer_part_is_refused(db: sqlite3.Connection) -> None:
    put_account(db)
    put_outer(db, 2)
    before = everything(db)
    with pytest.raises(errors.VersionConflict) as raised:
        put_account(db, version=2, outer=1)
    assert raised.value.facts == {"accountVersion": 1, "outerVersion": 2}
    assert everything(db) == before


def test_a_version_may_leave_the_outer_part_as_it_was(db: sqlite3.Connection) -> None:
    put_account(db)
    put_account(db, version=2, outer=1)
    assert accounts.outer_headers(db, "alice") == (OuterHeader(1, 1, "header 1", "c2ln"),)
    assert accounts.get(db, "alice").outer_version == 1


def test_headers_begin_with_the_one_that_the_newest_record_names(db: sqlite3.Connection) -> None:
    put_account(db)
    put_account(db, "bob")
    for version in (2, 3, 4):
        put_outer(db, version)
    assert headers(db) == [1, 2, 3, 4]
    put_account(db, version=2, outer=4, named_outer=3)
    assert headers(db) == [3, 4]
    put_account(db, version=3, outer=5)
    assert headers(db) == [5]
    assert [header.version for header in accounts.outer_headers(db, "bob")] == [1]


def test_an_outer_part_is_stored_with_the_vault_that_holds_it(db: sqlite3.Connection) -> None:
    put_account(db)
    assert put_outer(db, 2) == AccountWritten(False, (), 2)
    assert accounts.vault(db, "alice") == Vault("alice", 1, "alice-1", 2, "vault with header 2")
    assert accounts.outer_headers(db, "alice")[-1] == OuterHeader(2, 1, "header 2", "c2ln")
    assert accounts.get(db, "alice").outer_version == 2
    assert accounts.get(db, "alice").record == "record alice 1"


def test_the_newest_outer_part_sent_again_is_a_duplicate(db: sqlite3.Connection) -> None:
    put_account(db)
    put_outer(db, 2)
    before = everything(db)
    assert put_outer(db, 2) == AccountWritten(True, (), 0)
    assert everything(db) == before


@pytest.mark.parametrize(("account_version", "version"), [(2, 3), (2, 5), (2, 2), (1, 4), (3, 4), (1, 3)])
def test_an_outer_part_that_does_not_follow_both_versions_is_refused(
    db: sqlite3.Connection, account_version: int, version: int
) -> None:
    put_account(db)
    put_account(db, version=2, outer=3)
    before = everything(db)
    with pytest.raises(errors.VersionConflict) as raised:
        put_outer(db, version, account_version=account_version, header="another")
    assert raised.value.facts == {"accountVersion": 2, "outerVersion": 3}
    assert everything(db) == before


def test_an_outer_part_needs_an_account(db: sqlite3.Connection) -> None:
    with pytest.raises(errors.NoSuchAccount):
        put_outer(db, 1)


def test_devices_are_kept_with_the_versions_that_brought_and_took_them(db: sqlite3.Connection) -> None:
    put_account(db, devices=("phone", "laptop"))
    assert put_account(db, version=2, devices=("tablet", "phone")).revoked == ("laptop",)
    assert put_account(db, version=3, devices=("phone", "tablet")).revoked == ()
    assert put_account(db, version=4, devices=()).revoked == ("phone", "tablet")
    assert accounts.devices(db, "alice") == (
        Device("alice", "laptop", b"laptop", 1, 2),
        Device("alice", "phone", b"phone", 1, 4),
        Device("alice", "tablet", b"tablet", 2, 4),
    )
    assert accounts.device(db, "alice", "laptop") == Device("alice", "laptop", b"laptop", 1, 2)


def test_a_revoked_device_does_not_come_back(db: sqlite3.Connection) -> None:
    put_account(db, devices=("phone", "laptop"))
    put_account(db, version=2)
    with pytest.raises(sqlite3.IntegrityError):
        put_account(db, version=3, devices=("phone", "laptop"))


def test_revoking_a_device_ends_its_sessions_and_no_others(db: sqlite3.Connection) -> None:
    put_account(db, devices=("phone", "laptop"))
    put_account(db, "bob", devices=("laptop",))
    for token, user_id, device_id in (
        ("1", "alice", "laptop"),
        ("2", "alice", "laptop"),
        ("3", "alice", "phone"),
        ("4", "bob", "laptop"),
    ):
        sessions.open_session(db, Session(token, user_id, device_id, b"key", "full", 0, 9000))
    put_account(db, version=2)
    left = db.execute("SELECT token_hash FROM sessions ORDER BY token_hash").fetchall()
    assert [row[0] for row in left] == ["3", "4"]


def test_revoking_a_device_outdates_the_epochs_that_its_account_is_in(db: sqlite3.Connection) -> None:
    put_account(db, devices=("phone", "laptop"))
    put_epoch(db)
    put_epoch(db, changes=[MemberChange("bob", 2, 1)], conversation_id="without")
    put_epoch(db, changes=ALICE_AND_BOB, conversation_id="left")
    put_epoch(db, 2, [MemberChange("alice", 0, 1)], conversation_id="left")

    def outdated() -> set[str]:
        names = ("team", "without", "left")
        return {name for name in names if (head := conversations.head(db, name)) and head.outdated}

    put_account(db, version=2, devices=("phone", "laptop"))
    assert outdated() == set()
    put_account(db, version=3)
    assert outdated() == {"team"}


def test_unlockers_are_those_of_the_newest_vault(db: sqlite3.Connection) -> None:
    put_account(db, unlockers=("words", "password"))
    put_account(db, "bob")
    assert [each.unlocker_id for each in accounts.unlockers(db, "alice")] == ["password", "words"]
    put_account(db, version=2, unlockers=("passkey",))
    assert accounts.unlockers(db, "alice") == (Unlocker("passkey", 1, b"passkey", b""),)
    assert accounts.unlockers(db, "bob") == (Unlocker("password", 1, b"password", b""),)


def test_the_accounts_own_stream_tells_of_every_write(db: sqlite3.Connection) -> None:
    assert put_account(db, now=10).event == 1
    assert put_account(db, version=2, now=20).event == 2
    assert put_outer(db, 2, account_version=2).event == 3
    events = account_events.page(db, "alice", 0, 10).events
    assert [(each.kind, each.body, each.created_at) for each in events] == [
        ("account", '{"version":1}', 10),
        ("account", '{"version":2}', 20),
        ("vault", '{"accountVersion":2,"version":2}', 3000),
    ]


def test_versions_of_several_accounts_are_given_until_they_are_too_much(db: sqlite3.Connection) -> None:
    for version in (1, 2, 3):
        for user in ("alice", "bob"):
            put_account(db, user, version)
    row = accounts.get(db, "alice", 1)
    one = len(row.record) + len(row.public_key)

    def seen(users: list[str], after: int, max_bytes: int) -> dict[str, tuple[list[int], bool]]:
        found = accounts.pages(db, users, after, max_bytes=max_bytes)
        return {user: ([each.version for each in page.versions], page.more) for user, page in found.items()}

    assert seen(["bob", "alice"], 0, 1000 * one) == {"bob": ([1, 2, 3], False), "alice": ([1, 2, 3], False)}
    assert seen(["alice", "bob"], 1, 1) == {"alice": ([2], True), "bob": ([], True)}
    assert seen(["alice", "bob"], 0, 3 * one + 1) == {"alice": ([1, 2, 3], False), "bob": ([1], True)}
    assert seen(["alice"], 3, 1) == {"alice": ([], False)}
    with pytest.raises(errors.NoSuchAccount):
        seen(["alice", "nobody"], 0, 1)
