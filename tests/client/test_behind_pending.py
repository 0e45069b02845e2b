"""A message behind a record that cannot be judged yet: it may be the removal of who wrote it."""

from __future__ import annotations

from client.world import World
from tacit import errors
from tacit.client import inbox
from tacit.client.books import Books
from tacit.conversation.judging import Shown, Undecryptable, Verdict
from tacit.conversation.judging_records import Place


async def test_what_stands_behind_a_record_that_waits_does_too(town: World) -> None:
    alice, bob = await town.register("alice", "bob")
    team = await alice.create_conversation("team", members=["bob"])
    await bob.sync()
    await (await bob.conversation("team")).send("hello")
    assert town.backend is not None
    query = "SELECT encrypted_payload FROM messages WHERE sender_id = 'bob'"
    (payload,) = await town.backend.store.read(lambda db: db.execute(query).fetchone())

    def verdict(books: Books, seq: int) -> Verdict:
        return inbox.judge(books, books.held(team.id), seq, payload).verdict

    def wait(books: Books) -> None:
        row = (team.id, b"?" * 32, 2, 40, b"", b"", Place.PENDING.value, "it waits", 0, True, False)
        books.connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        books.held(team.id).pending[2] = "it waits"

    assert isinstance(await alice.device.run(lambda books: verdict(books, 50)), Shown)
    await alice.device.run(wait)
    assert isinstance(await alice.device.run(lambda books: verdict(books, 39)), Shown)
    found = await alice.device.run(lambda books: verdict(books, 41))
    assert isinstance(found, Undecryptable)
    assert (found.cause, found.authentic) == (errors.RecordPending, True)
