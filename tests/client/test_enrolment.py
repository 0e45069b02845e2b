from __future__ import annotations

import pytest

from client.keyrings import InMemory
from client.world import Crash, World, abandon, password_of, rows
from tacit import errors
from tacit.client import Client, lockbox
from tacit.client.keychain import Keychain

GENERATE = "/api/encryption/keys/generate"


@pytest.mark.parametrize("fault", ["crash before", "crash after", "lose answer", "lose request"])
@pytest.mark.parametrize("path", ["/api/auth/register", GENERATE])
async def test_an_interrupted_registration_goes_on_with_the_same_keys(world: World, path: str, fault: str) -> None:
    client = await world.open("alice")
    world.wires["alice"].fail(fault, path)
    interrupted: bytes | None = None
    try:
        words = await client.register("alice", password_of("alice"))
    except (Crash, errors.Unreachable):
        ((kept,),) = await _meta(client, "enrolment")
        interrupted = kept
        await abandon(client)
        client = await world.open("alice")
        words = await client.register("alice", password_of("alice"))
    assert len(words) == 24
    assert interrupted is None or spelled(words) in interrupted
    assert await _meta(client, "enrolment") == []
    await client.device.close()
    await world.come_back("alice")


async def test_an_account_whose_answer_was_lost_is_found_again(world: World) -> None:
    """The second attempt signs in too early, and then the name is taken: by this very account."""
    client = await world.open("alice")
    world.wires["alice"].fail("lose answer", GENERATE)
    with pytest.raises(errors.Unreachable):
        await client.register("alice", password_of("alice"))
    world.wires["alice"].refuse(errors.SignInRefused(), "/api/auth/session")
    assert len(await client.register("alice", password_of("alice"))) == 24
    await client.create_conversation("notes")


async def test_keys_that_were_sent_are_never_taken_away(world: World) -> None:
    client = await world.open("alice")
    world.wires["alice"].fail("lose answer", GENERATE)
    with pytest.raises(errors.Unreachable):
        await client.register("alice", password_of("alice"))
    world.wires["alice"].refuse(errors.SignInRefused(), "/api/auth/session", times=2)
    with pytest.raises(errors.AccountExists):
        await client.register("alice", password_of("alice"))
    assert (world.folder / "alice.db").exists()
    assert (world.folder / "alice.db.key").exists()
    await client.device.close()
    client = await world.open("alice")
    assert len(await client.register("alice", password_of("alice"))) == 24


async def test_a_registration_that_was_never_sent_makes_room_for_another(world: World) -> None:
    await world.register("alice")
    client = await world.open("second")
    for _ in range(2):
        with pytest.raises(errors.AccountExists):
            await client.register("alice", password_of("second"))
        assert list(world.folder.glob("second*")) == []
    await client.register("second", password_of("second"))


def spelled(words: tuple[str, ...]) -> bytes:
    """The words as a registration under way holds them."""
    return b"".join(bytes([len(word)]) + word.encode() for word in words)


async def _meta(client: Client, key: str) -> list[tuple[bytes]]:
    store = client.device._box.store
    assert store is not None
    query = "SELECT value FROM meta WHERE key = ?"
    return await store.run(lambda books: books.connection.execute(query, (key,)).fetchall())


async def test_nothing_of_an_account_is_made_before_the_server_is_the_right_one(world: World) -> None:
    client = await world.open("alice", server_name="chat.example.org")
    with pytest.raises(errors.ServerNameMismatch):
        await client.register("alice", password_of("alice"))
    world.wires["alice"].down = True
    with pytest.raises(errors.Unreachable):
        await client.register("alice", password_of("alice"))
    assert list(world.folder.glob("alice*")) == []


async def test_the_words_are_kept_nowhere(world: World) -> None:
    client = await world.open("alice")
    words = await client.register("alice", password_of("alice"))
    everything = b"".join(bytes(row[0]) for row in await rows(client, "SELECT value FROM meta"))
    assert spelled(words) not in everything
    assert b"alice" in everything


async def test_an_empty_password_is_refused(world: World) -> None:
    client = await world.open("alice")
    with pytest.raises(errors.InvalidArgument):
        await client.register("alice", "")


async def test_a_store_of_another_server_is_not_used(world: World) -> None:
    (alice,) = await world.register("alice")
    await alice.device._run(lambda books: books.set_meta("server_name", b"chat.example.org"))
    await alice.device.close()
    with pytest.raises(errors.StoreLocked):
        await world.come_back("alice")


async def test_a_store_in_the_keychain_opens_without_a_password(world: World) -> None:
    backend = InMemory()
    alice = await world.open("alice", keychain=Keychain(backend))
    await alice.register("alice", password_of("alice"))
    await abandon(alice)
    again = await world.open("alice", keychain=Keychain(backend))
    await again.sign_in("alice")
    assert await again.conversations() == []
    await abandon(again)
    with pytest.raises(errors.NoKeychain):
        await (await world.open("alice")).sign_in("alice", password_of("alice"))


async def test_a_name_that_is_taken_leaves_nothing_in_the_keychain(world: World) -> None:
    await world.register("alice")
    backend = InMemory()
    other = await world.open("other", keychain=Keychain(backend))
    with pytest.raises(errors.AccountExists):
        await other.register("alice", password_of("other"))
    assert backend.kept == {}
    assert not (world.folder / "other.db.key").exists()


async def test_a_keychain_is_used_where_it_is_asked_for_or_not_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def none() -> Keychain:
        asked.append(True)
        raise errors.NoKeychain

    monkeypatch.setattr(lockbox, "system_keychain", none)
    await world.register("alice")
    assert asked == []
    with pytest.raises(errors.NoKeychain):
        await world.open("bob", keychain=True)
    assert asked == [True]
    with pytest.raises(errors.InvalidArgument):
        await world.open("bob", keychain=Keychain(InMemory()), passphrase="a passphrase")
