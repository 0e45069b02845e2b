"""What a device says in the vault that a thief holds while it is still certified: the others lose nothing by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import pytest

from client.test_account import id_of, pair, said
from client.world import World, password_of, yes
from tacit.api import accounts as api
from tacit.client import Client
from tacit.client.books import Books
from tacit.client.vaults import held_header
from tacit.crypto.secret import Secret
from tacit.identity.vault import PrivateKey, Writer, is_true_key, seal_outer
from tacit.signed import labels
from tacit.signed.account import account_hash
from tacit.signed.vault import Entry, EntryKind, SignedEntry
from tacit.signed.verify import sign
from tacit.wire.codec import decode, encode
from tacit.wire.text import to_base64

Change = Callable[[Entry], Entry | None]
"""What becomes of an entry; None leaves it as it is."""


async def writes(thief: Client, change: Change, new: Iterable[tuple[EntryKind, bytes, bytes]] = ()) -> None:
    """What a stolen device posts with its own keys: the vault with entries of its own in the place of others."""

    def make(books: Books) -> api.StoreOuter:
        me, before, account = books.me, held_header(books), books.own_account().value
        assert before is not None
        writer = Writer(me.device_id, me.request_key.sign)

        def signed(entry: Entry) -> SignedEntry:
            clock = min(entry.clock, before.version + 1)
            mine = dataclasses.replace(entry, clock=clock, device_id=writer.device_id)
            return SignedEntry(mine, sign(labels.ENTRY, mine, writer.signer))

        places = {(each.entry.kind, each.entry.key): each for each in books.entries()}
        for place, held in list(places.items()):
            changed = change(held.entry)
            if changed is not None:
                places[place] = signed(changed)
        for kind, key, value in new:
            places[kind, key] = signed(Entry(kind, key, value, before.version + 1, writer.device_id))
        entries = tuple(places[place] for place in sorted(places))
        outer_key = Secret(me.secrets.outer_key)
        now = thief.device._clock()
        outer = seal_outer(me.server_name, me.user_id, account.version, before, entries, outer_key, writer, now)
        books.set_meta("outer_header", encode(outer.header))
        return api.StoreOuter(me.user_id, account_hash(account).hex(), to_base64(encode(outer)))

    await thief.device.api.post_encryption_keys_private(await thief.device.run(make))


def nothing(entry: Entry) -> Entry | None:
    return None


async def robbed(town: World) -> tuple[Client, Client, Client]:
    """Alice, bob and the device that was stolen from her; all know all."""
    alice, bob = await pair(town)
    thief = await town.another("alice", "tablet")
    await said(thief)
    await alice.sync()
    await alice.device._write_vault()
    await thief.device.check_vault()
    return alice, bob, thief


def false_key(entry: Entry) -> Entry | None:
    """Another private half, or none at all, under the lowest clock."""
    if entry.kind is EntryKind.ARCHIVE_KEY:
        return dataclasses.replace(entry, value=b"k" * 32, clock=1)
    if entry.kind is not EntryKind.ENCRYPTION_KEY:
        return None
    held = decode(PrivateKey, entry.value)
    return dataclasses.replace(entry, value=encode(dataclasses.replace(held, private=b"k" * 32)), clock=1)


def tombstone(entry: Entry) -> Entry | None:
    wanted = entry.kind in (EntryKind.ENCRYPTION_KEY, EntryKind.ARCHIVE_KEY)
    return dataclasses.replace(entry, value=b"", clock=99) if wanted else None


@pytest.mark.parametrize("change", [false_key, tombstone])
async def test_a_false_key_displaces_no_true_one(town: World, change: Change) -> None:
    alice, bob, thief = await robbed(town)
    first = await town.another("alice", "first")
    await alice.account.revoke(await id_of(first), password=password_of("alice"), confirm=yes)
    await thief.sync()
    await thief.device.check_vault()
    await writes(thief, change)
    await alice.device.check_vault()
    talk = await bob.create_conversation("fresh", members=["alice"])
    await talk.send("hello")
    assert await said(alice, "fresh") == ["hello"]
    await alice.account.revoke(await id_of(thief), password=password_of("alice"), confirm=yes)
    later = await town.another("alice", "laptop")
    assert await said(later, "fresh") == ["hello"]
    assert await said(later) == ["one", "two"]

    def keys(books: Books) -> list[bool]:
        kinds = (EntryKind.ENCRYPTION_KEY, EntryKind.ARCHIVE_KEY)
        return [is_true_key(each.entry) for each in books.entries() if each.entry.kind in kinds]

    for client in (alice, later):
        assert await client.device.run(keys) == [True] * 9
        assert [each.blocked for each in await client.conversations()] == ["", ""]
        assert await client.alarms() == []
