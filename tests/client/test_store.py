from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tacit import errors
from tacit.client import store as stores
from tacit.client.books import Books
from tacit.client.schema import MIGRATIONS
from tacit.client.store import Store
from tacit.crypto.secret import Secret

KEY = Secret(bytes(range(32)))
CANARY = b"a canary that is in the store"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "a.db", KEY)
    yield opened
    await opened.close()


async def test_what_was_written_is_there_after_opening_again(store: Store, tmp_path: Path) -> None:
    await store.run(lambda books: books.set_meta("x", CANARY))
    await store.close()
    again = await Store.open(tmp_path / "a.db", KEY)
    assert await again.run(lambda books: books.meta("x")) == CANARY
    await again.close()


async def test_another_key_does_not_open_it(store: Store, tmp_path: Path) -> None:
    await store.close()
    with pytest.raises(errors.StoreLocked):
        await Store.open(tmp_path / "a.db", Secret(bytes(32)))


async def test_the_files_hold_nothing_readable(store: Store, tmp_path: Path) -> None:
    seen: list[bytes] = []

    def work(books: Books) -> None:
        for number in range(200):  # more than the page cache keeps
            books.set_meta(f"x{number}", CANARY * 1000)
        seen.extend(path.read_bytes() for path in tmp_path.iterdir())

    await store.run(work)
    seen.extend(path.read_bytes() for path in tmp_path.iterdir())
    assert sum(map(len, seen)) > 1_000_000
    assert not any(CANARY in raw or b"SQLite format" in raw for raw in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.touch(0o644)
    opened = await Store.open(path, KEY)
    assert path.stat().st_mode & 0o777 == 0o600
    await opened.close()


ASKS = """
import asyncio, sys
from pathlib import Path
from tacit.client.store import Store
from tacit.crypto.secret import Secret
async def main():
    store = await Store.open(Path(sys.argv[1]), Secret(bytes(32)))
    for name in ("secure_delete", "temp_store", "synchronous", "journal_mode", "cipher_memory_security"):
        print(name, *await store.run(lambda books: books.connection.execute(f"PRAGMA {name}").fetchone()))
    await store.close()
asyncio.run(main())
"""


def test_the_file_keeps_no_deleted_value_and_no_temporary_file_and_memory_is_wiped(tmp_path: Path) -> None:
    """In a process of its own: the stores of these tests do not wipe memory."""
    done = subprocess.run([sys.executable, "-c", ASKS, tmp_path / "a.db"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "secure_delete 1",
        "temp_store 2",
        "synchronous 2",
        "journal_mode delete",
        "cipher_memory_security 1",
    ]


async def test_work_that_raises_leaves_nothing_behind(store: Store) -> None:
    def work(books: Books) -> None:
        books.set_meta("x", b"1")
        held = books.add("some conversation")
        held.stopped = "for ever"
        raise errors.InvalidMessage()

    with pytest.raises(errors.InvalidMessage):
        await store.run(work)
    assert await store.run(lambda books: (books.meta("x"), books.find("some conversation"))) == (None, None)


async def test_what_another_program_wrote_is_seen(store: Store, tmp_path: Path) -> None:
    await store.run(lambda books: books.add("c", "old"))
    other = await Store.open(tmp_path / "a.db", KEY)

    def rename(books: Books) -> None:
        held = books.held("c")
        held.name = "new"
        books.save(held)

    await other.run(rename)
    assert await store.run(lambda books: books.held("c").name) == "new"
    await other.close()


async def test_a_store_that_another_program_holds_is_locked(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tuple("PRAGMA busy_timeout = 1" if "busy" in each else each for each in stores.SETTINGS)
    monkeypatch.setattr(stores, "SETTINGS", settings)
    other = await Store.open(tmp_path / "a.db", KEY)
    await other.run(lambda books: books.connection.execute("PRAGMA busy_timeout").fetchone())
    store._connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.StoreLocked):
        await other.run(lambda books: books.set_meta("x", b"1"))
    store._connection.execute("ROLLBACK")
    await other.run(lambda books: books.set_meta("x", b"1"))
    await other.close()


async def test_a_full_disk_is_told_and_changes_nothing(store: Store) -> None:
    await store.run(lambda books: books.set_meta("x", b"before"))
    store._connection.execute("PRAGMA max_page_count = 1")

    def work(books: Books) -> None:
        books.set_meta("x", b"after")
        books.set_meta("y", os.urandom(1_000_000))

    with pytest.raises(errors.StoreFailed):
        await store.run(work)
    assert await store.run(lambda books: books.meta("x")) == b"before"


async def test_a_store_of_a_later_program_is_left_alone(store: Store, tmp_path: Path) -> None:
    await store.run(lambda books: None)
    store._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    await store.close()
    with pytest.raises(errors.DatabaseTooNew):
        await Store.open(tmp_path / "a.db", KEY)


async def test_a_closed_store_takes_no_work(store: Store) -> None:
    await store.close()
    await store.close()
    with pytest.raises(errors.NotSignedIn):
        await store.run(lambda books: books.meta("x"))


async def test_a_path_that_cannot_be_opened_is_the_callers_mistake(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "a.db", tmp_path):
        with pytest.raises(errors.InvalidArgument):
            await Store.open(path, KEY)
    (tmp_path / "link").symlink_to(tmp_path / "a.db")
    with pytest.raises(errors.InvalidArgument):
        await Store.open(tmp_path / "link", KEY)


async def test_a_key_of_another_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.WrongLength):
        await Store.open(tmp_path / "a.db", Secret(b"short"))
