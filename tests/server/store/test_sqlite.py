from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from server.store.fill import put_epoch, send
from tacit import errors
from tacit.server.store import meta, nonces
from tacit.server.store.sqlite import BATCH, Store, connect


class Watched:
    """A connection that tells of every statement before it runs and after it returned."""

    def __init__(self, connection: sqlite3.Connection, told: Callable[[str, str], None]) -> None:
        self._connection = connection
        self._told = told

    def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        self._told("before", statement)
        cursor = self._connection.execute(statement, parameters)
        self._told("after", statement)
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def watched(told: Callable[[str, str], None]) -> Callable[[Path, bool], sqlite3.Connection]:
    """A `connect` whose writing connections are watched once the tables are there."""

    def connect_watched(path: Path, read_only: bool) -> sqlite3.Connection:
        connection = connect(path, read_only)
        return connection if read_only else cast(sqlite3.Connection, Watched(connection, told))

    return connect_watched


def disk_error(code: int = sqlite3.SQLITE_IOERR) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


async def values(store: Store) -> dict[str, bytes]:
    return dict(await store.read(lambda db: db.execute("SELECT name, value FROM server_meta").fetchall()))


def keep(name: str) -> Callable[[sqlite3.Connection], None]:
    return lambda db: meta.put(db, name, b"kept")


def keep_and_fail(name: str) -> Callable[[sqlite3.Connection], None]:
    def job(db: sqlite3.Connection) -> None:
        meta.put(db, name, b"kept")
        raise errors.InvalidRecord(name)

    return job


def fail(db: sqlite3.Connection) -> None:
    raise errors.InvalidRecord("at once")


async def test_concurrent_senders_get_seqs_without_a_gap(store: Store) -> None:
    await store.write(put_epoch)

    async def sender(device: str) -> list[int]:
        got = []
        for number in range(20):
            sent = await store.write(partial(send, client_message_id=str(number), device_id=device), checks_first=True)
            got.append(sent.seq)
        return got

    got = await asyncio.gather(*(sender(f"device {number}") for number in range(16)))
    assert all(each == sorted(each) for each in got)
    assert sorted(seq for each in got for seq in each) == list(range(2, 2 + 320))


async def test_concurrent_senders_share_a_transaction(tmp_path: Path) -> None:
    seen: list[str] = []
    async with Store(
        tmp_path / "db", watched(lambda when, text: seen.append(text) if when == "after" else None)
    ) as store:
        seen.clear()
        await asyncio.gather(*(store.write(keep(str(number))) for number in range(BATCH + 1)))
    assert seen.count("BEGIN IMMEDIATE") == seen.count("COMMIT") == 2


async def test_nothing_is_acknowledged_before_commit_returned(tmp_path: Path) -> None:
    entered, released = threading.Event(), threading.Event()
    armed = False

    def told(when: str, text: str) -> None:
        if armed and text == "COMMIT" and when == "before":
            entered.set()
            assert released.wait(30)

    async with Store(tmp_path / "db", watched(told)) as store:
        armed = True
        writing = [asyncio.create_task(store.write(keep(str(number)))) for number in range(3)]
        assert await asyncio.to_thread(entered.wait, 30)
        late = asyncio.create_task(store.write(keep("late")))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not any(task.done() for task in [*writing, late])
        assert await values(store) == {}
        released.set()
        await asyncio.gather(*writing, late)
        assert set(await values(store)) == {"0", "1", "2", "late"}


async def test_a_failing_job_does_not_hurt_its_neighbours(tmp_path: Path) -> None:
    seen: list[str] = []
    async with Store(tmp_path / "db", watched(lambda _, text: seen.append(text))) as store:
        seen.clear()
        jobs = [keep("a"), keep_and_fail("b"), fail, keep("c")]
        outcomes = await asyncio.gather(*(store.write(job) for job in jobs), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [
            type(None),
            errors.InvalidRecord,
            errors.InvalidRecord,
            type(None),
        ]
        assert set(await values(store)) == {"a", "c"}
    assert seen.count("BEGIN IMMEDIATE") == 2  # told before and after: all were in one transaction


async def test_a_job_that_breaks_a_constraint_hurts_nobody_else(store: Store) -> None:
    def job(db: sqlite3.Connection) -> None:
        meta.put(db, "b", b"kept")
        db.execute("INSERT INTO server_meta VALUES ('b', x'00')")

    outcomes = await asyncio.gather(store.write(keep("a")), store.write(job), return_exceptions=True)
    assert isinstance(outcomes[1], sqlite3.IntegrityError)
    assert set(await values(store)) == {"a"}


async def test_what_runs_before_a_job_stays_when_the_job_raises(store: Store) -> None:
    def use(db: sqlite3.Connection) -> None:
        nonces.take(db, "phone", "nonce", 9000)

    for checks_first in (False, True):
        with pytest.raises(errors.InvalidRecord if not checks_first else errors.RequestReplayed):
            await store.write(fail, before=use, checks_first=checks_first)
    with pytest.raises(errors.InvalidRecord):
        await store.write(fail, before=keep("used"), checks_first=True)
    assert set(await values(store)) == {"used"}


async def test_a_job_does_not_run_when_what_comes_before_it_raises(store: Store) -> None:
    for checks_first in (False, True):
        with pytest.raises(errors.InvalidRecord):
            await store.write(keep("a"), before=fail, checks_first=checks_first)
    assert await values(store) == {}


@pytest.mark.parametrize("as_before", [False, True])
async def test_a_job_that_wrote_before_it_raised_against_its_promise_fails_the_transaction(
    store: Store, as_before: bool
) -> None:
    broken = keep_and_fail("b")
    breaking = store.write(fail, before=broken) if as_before else store.write(broken, checks_first=True)
    outcomes = await asyncio.gather(store.write(keep("a")), breaking, return_exceptions=True)
    assert all(isinstance(outcome, errors.Internal) for outcome in outcomes)
    assert await values(store) == {}
    await store.write(keep("c"))
    assert set(await values(store)) == {"c"}


async def test_a_job_that_ends_the_transaction_fails_it(store: Store) -> None:
    def job(db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK")
        raise errors.InvalidRecord

    outcomes = await asyncio.gather(store.write(keep("a")), store.write(job), return_exceptions=True)
    assert all(isinstance(outcome, errors.Internal) for outcome in outcomes)
    await store.write(keep("b"))
    assert set(await values(store)) == {"b"}


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "SAVEPOINT job", "ROLLBACK TO job", "COMMIT"])
async def test_a_disk_error_fails_the_batch_and_the_writer_goes_on(tmp_path: Path, statement: str) -> None:
    armed = False

    def told(when: str, text: str) -> None:
        nonlocal armed
        if armed and text == statement and when == "before":
            armed = False
            raise disk_error()

    async with Store(tmp_path / "db", watched(told)) as store:
        armed = True
        jobs = [keep("a"), keep_and_fail("b"), keep("c")]
        outcomes = await asyncio.gather(*(store.write(job) for job in jobs), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [errors.Internal] * 3
        assert await values(store) == {}
        await store.write(keep("d"))
        assert set(await values(store)) == {"d"}


async def test_a_full_disk_in_a_job_fails_the_batch(store: Store) -> None:
    def job(db: sqlite3.Connection) -> None:
        raise disk_error(sqlite3.SQLITE_FULL)

    outcomes = await asyncio.gather(store.write(keep("a")), store.write(job), return_exceptions=True)
    assert all(isinstance(outcome, errors.StorageFull) for outcome in outcomes)
    assert await values(store) == {}


async def test_a_connection_that_cannot_roll_back_is_replaced(tmp_path: Path) -> None:
    failing: set[str] = set()
    opened = 0

    def told(when: str, text: str) -> None:
        if when == "before" and text in failing:
            raise disk_error()

    def counting(path: Path, read_only: bool) -> sqlite3.Connection:
        nonlocal opened
        opened += 1
        if "open" in failing:
            raise disk_error(sqlite3.SQLITE_CANTOPEN)
        return watched(told)(path, read_only)

    async with Store(tmp_path / "db", counting) as store:
        failing |= {"COMMIT", "ROLLBACK", "open"}
        for name in "ab":
            with pytest.raises(errors.Internal):
                await store.write(keep(name))
        assert opened == 4
        failing.clear()
        with pytest.raises(errors.Internal):
            await store.write(keep("c"))  # finds the connection closed, and opens another
        await store.write(keep("d"))
        assert set(await values(store)) == {"d"}


async def test_a_caller_that_gave_up_leaves_the_others_alone(store: Store) -> None:
    first, second = (asyncio.create_task(store.write(keep(name))) for name in "ab")
    await asyncio.sleep(0)
    first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert set(await values(store)) == {"a", "b"}


async def test_a_caller_that_fails_when_it_is_called_back_leaves_the_others_alone(store: Store) -> None:
    told: list[Exception] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fail(*_: object) -> None:
        raise ValueError("a caller's own")

    try:
        other: asyncio.Future[str] = loop.create_future()
        store.submit(lambda _: None, fail)
        store.submit(lambda _: "told", lambda result, _: other.set_result(result))
        assert await asyncio.wait_for(other, 10) == "told"
        assert [type(each) for each in told] == [ValueError]
    finally:
        loop.set_exception_handler(None)


async def test_a_listener_that_fails_leaves_nobody_waiting(tmp_path: Path) -> None:
    raised: list[Exception] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: raised.append(context["exception"]))

    def listener(*_: object) -> None:
        raise ValueError("a listener's own")

    def failing(db: sqlite3.Connection) -> None:
        raise disk_error()

    try:
        async with asyncio.timeout(10), Store(tmp_path / "db", told=listener) as store:
            jobs = [store.write(failing) for _ in range(BATCH)] + [store.write(lambda _: "written")]
            outcomes = await asyncio.gather(*jobs, return_exceptions=True)
            assert [type(each) for each in outcomes[:-1]] == [errors.Internal] * BATCH
            assert outcomes[-1] == "written"
        assert [type(each) for each in raised] == [ValueError, ValueError]
    finally:
        loop.set_exception_handler(None)


async def test_close_finishes_what_was_accepted(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    writing = [asyncio.create_task(store.write(keep(str(number)))) for number in range(2 * BATCH + 1)]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    with pytest.raises(errors.Internal):
        await store.write(keep("late"))
    await asyncio.gather(*writing)
    async with Store(tmp_path / "db") as again:
        assert set(await values(again)) == {str(number) for number in range(2 * BATCH + 1)}
    assert {path.name for path in tmp_path.iterdir()} == {"db"}


def test_a_store_may_outlive_its_event_loop(tmp_path: Path) -> None:
    store = Store(tmp_path / "db")
    asyncio.run(store.write(keep("a")))
    asyncio.run(store.write(keep("b")))
    assert set(asyncio.run(values(store))) == {"a", "b"}
    asyncio.run(store.close())


async def test_a_store_in_use_by_one_event_loop_refuses_another(tmp_path: Path) -> None:
    entered, released = threading.Event(), threading.Event()
    armed = False

    def told(when: str, text: str) -> None:
        if armed and text == "COMMIT" and when == "before":
            entered.set()
            assert released.wait(30)

    async with Store(tmp_path / "db", watched(told)) as store:
        armed = True
        writing = asyncio.create_task(store.write(keep("a")))
        assert await asyncio.to_thread(entered.wait, 30)
        with pytest.raises(errors.Internal, match="two event loops"):
            await asyncio.to_thread(lambda: asyncio.run(store.write(keep("b"))))
        released.set()
        await writing
        assert set(await values(store)) == {"a"}


async def test_the_settings_are_really_set(store: Store) -> None:
    def settings(db: sqlite3.Connection) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        return {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    assert await store.write(settings) == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
    }


async def test_foreign_keys_are_enforced(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await store.write(lambda db: db.execute("INSERT INTO conversation_states VALUES ('nowhere', x'')"))


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(errors.Internal):
        await store.read(keep("a"))
    assert await values(store) == {}


async def test_a_read_sees_one_state_of_the_database(store: Store, tmp_path: Path) -> None:
    other = connect(tmp_path / "tacit.db")

    def job(db: sqlite3.Connection) -> tuple[bytes | None, bytes | None]:
        before = meta.get(db, "a")
        meta.put(other, "a", b"new")
        return before, meta.get(db, "a")

    assert await store.read(job) == (None, None)
    assert await store.read(lambda db: meta.get(db, "a")) == b"new"
    other.close()


async def test_what_a_read_raises_reaches_its_caller(store: Store) -> None:
    with pytest.raises(errors.InvalidRecord):
        await store.read(fail)
    assert await values(store) == {}


async def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    async with Store(tmp_path / "db") as store:
        await store.write(keep("a"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"db": 0o600, "db-wal": 0o600, "db-shm": 0o600}
    (tmp_path / "db").chmod(0o644)
    async with Store(tmp_path / "db"):
        assert stat.S_IMODE((tmp_path / "db").stat().st_mode) == 0o600


def test_a_name_with_signs_of_its_own_is_opened_as_it_stands(tmp_path: Path) -> None:
    name = tmp_path / "a b?mode=memory#%41.db"
    store = Store(name)
    asyncio.run(store.close())
    assert [path.name for path in tmp_path.iterdir()] == [name.name]


def test_what_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("something else, and long enough to be looked at " * 100)
    with pytest.raises(errors.Internal, match="cannot be opened"):
        Store(tmp_path / "db")
    assert (tmp_path / "db").read_text().startswith("something else")
    with pytest.raises(errors.Internal, match="cannot be opened"):
        Store(tmp_path)


def test_a_file_system_without_a_write_ahead_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What SQLite answers where memory cannot be shared between processes: it stays in its old mode.
    class Without(sqlite3.Connection):
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            return super().execute(statement.replace("= WAL", "= DELETE"), *parameters)

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: real(*args, factory=Without, **options))
    with pytest.raises(errors.Internal, match="write-ahead log"):
        Store(tmp_path / "db")


def test_a_store_whose_loop_is_closed_in_the_middle_of_a_commit_can_be_closed(tmp_path: Path) -> None:
    reached, go_on = threading.Event(), threading.Event()
    made = False

    def wait_at_commit(when: str, statement: str) -> None:
        if made and when == "before" and statement == "COMMIT":
            reached.set()
            go_on.wait(30)

    store = Store(tmp_path / "tacit.db", watched(wait_at_commit))
    made = True

    async def begin() -> None:
        task = asyncio.create_task(store.write(keep("kept")))
        await asyncio.to_thread(reached.wait, 30)
        task.cancel()

    asyncio.run(begin())
    go_on.set()

    async def end() -> None:
        await asyncio.to_thread(store._thread.join, 30)
        await asyncio.wait_for(store.close(), 30)

    asyncio.run(end())
    with sqlite3.connect(tmp_path / "tacit.db") as db:
        assert db.execute("SELECT name FROM server_meta").fetchall() == [("kept",)]
    db.close()
