"""What a device says in the vault that a thief holds while it is still certified: the others lose nothing by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import pytest

from client.test_account import id_of, pair, said
from client.world import World, password_of, yes
from tacit import errors
from tacit.api import accounts as api
from tacit.client import Client
from tacit.client.books import Books
from tacit.client.granting import Wanted, grant_for
from tacit.client.ownwords import is_confirmed_here
from tacit.client.vaultbook import pin_of
from tacit.client.vaults import held_header
from tacit.crypto.secret import Secret
from tacit.identity.vault import ContactPin, ConversationHead, PrivateKey, Writer, is_true_key, seal_outer
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


# --- conversations -----------------------------------------------------------------------


def conversation_words(conversation_id: str, kind: EntryKind, epoch: int) -> list[tuple[EntryKind, bytes, bytes]]:
    """A record that nobody ever made."""
    return [(kind, conversation_id.encode(), encode(ConversationHead(conversation_id, epoch, b"?" * 32)))]


@pytest.mark.parametrize(
    ("kind", "epoch", "detail"),
    [
        (EntryKind.CONVERSATION_HEAD, 1, "the vault knows another record of epoch 1"),
        (EntryKind.CONVERSATION_PIN, 1, "the vault knows another beginning"),
        (EntryKind.CONVERSATION_HEAD, 2**50, f"record_missing: your vault knows epoch {2**50}"),
    ],
)
async def test_a_false_word_of_a_conversation_blocks_it_until_its_device_is_revoked(
    town: World, kind: EntryKind, epoch: int, detail: str
) -> None:
    alice, bob, thief = await robbed(town)
    team = await alice.conversation("team")
    await writes(thief, nothing, conversation_words(team.id, kind, epoch))
    await alice.device.check_vault()
    blocked = (await alice.conversation("team")).blocked
    assert blocked.startswith(detail)
    assert f"your device {(await id_of(thief))[:16]}: revoke it" in blocked
    with pytest.raises(errors.SendingBlocked):
        await team.send("three")
    with pytest.raises(errors.SendingBlocked):
        await team.rotate()
    his = await bob.conversation("team")
    await his.send("three")
    assert await said(alice) == ["one", "two", "three"]
    assert await alice.alarms() == []
    await alice.device._write_vault()
    assert (await alice.conversation("team")).blocked == blocked
    await alice.account.revoke(await id_of(thief), password=password_of("alice"), confirm=yes)
    assert (await alice.conversation("team")).blocked == ""
    await (await alice.conversation("team")).send("four")
    assert await said(bob) == ["one", "two", "three", "four"]
    later = await town.another("alice", "laptop")
    assert await said(later) == ["one", "two", "three", "four"]
    assert (await later.conversation("team")).blocked == ""
    for client in (alice, bob, later):
        assert await client.alarms() == []


async def test_a_corrected_word_ends_the_block(town: World) -> None:
    alice, _, other = await robbed(town)
    team = await alice.conversation("team")
    await writes(other, nothing, conversation_words(team.id, EntryKind.CONVERSATION_HEAD, 1))
    await alice.device.check_vault()
    assert (await alice.conversation("team")).blocked != ""
    true = encode(ConversationHead(team.id, 1, await alice.device.run(lambda books: head_of(books, team.id))))
    await writes(other, nothing, [(EntryKind.CONVERSATION_HEAD, team.id.encode(), true)])
    await alice.device.check_vault()
    assert (await alice.conversation("team")).blocked == ""


def head_of(books: Books, conversation_id: str) -> bytes:
    state = books.held(conversation_id).state()
    assert state is not None
    return state.head_hash


async def test_nobody_is_handed_a_key_of_what_the_vault_contradicts(town: World) -> None:
    alice, _, thief = await robbed(town)
    team = await alice.conversation("team")
    wanted = Wanted(team.id, 1, "bob")
    assert await alice.device.run(lambda books: grant_for(books, wanted)) is not None
    await writes(thief, nothing, conversation_words(team.id, EntryKind.CONVERSATION_HEAD, 1))
    await alice.device.check_vault()
    assert await alice.device.run(lambda books: grant_for(books, wanted)) is None


async def test_that_another_device_knew_a_conversation_otherwise_is_told_once_and_outlasts_it(town: World) -> None:
    alice, _, thief = await robbed(town)
    team = await alice.conversation("team")
    for _ in range(2):
        await writes(thief, nothing, conversation_words(team.id, EntryKind.CONVERSATION_HEAD, 1))
        await alice.device.check_vault()
    device_id = await id_of(thief)
    await alice.account.revoke(device_id, password=password_of("alice"), confirm=yes)
    assert (await alice.conversation("team")).blocked == ""
    told = [each.facts for each in await alice.account.notices() if each.kind == "branches"]
    assert told == [{"conversationId": team.id, "epoch": 1, "deviceId": device_id}]


async def test_a_word_in_another_s_place_is_none(town: World) -> None:
    alice, _, thief = await robbed(town)
    team = await alice.conversation("team")
    head = encode(ConversationHead(team.id, 1, b"?" * 32))
    pin = encode(ContactPin("bob", 9, b"?" * 32, b"?" * 32))
    known = await alice.device.run(lambda books: books.vault_contact("bob"))
    heads = [(kind, b"~", head) for kind in (EntryKind.CONVERSATION_HEAD, EntryKind.CONVERSATION_PIN)]
    await writes(thief, nothing, [*heads, (EntryKind.CONTACT_PIN, b"~", pin)])
    await alice.device.check_vault()
    assert (await alice.conversation("team")).blocked == ""
    assert known is not None
    assert await alice.device.run(lambda books: books.vault_contact("bob")) == known


async def test_a_reset_carries_over_the_word_of_the_devices_that_stay_and_its_own(town: World) -> None:
    alice, _, thief = await robbed(town)
    team = await alice.conversation("team")
    await writes(thief, nothing, conversation_words(team.id, EntryKind.CONVERSATION_HEAD, 2**50))
    await alice.account.reset("another password", password=password_of("alice"), confirm=yes)

    def words(books: Books) -> list[tuple[str, int, bytes]]:
        found = [books.vault_pin(team.id), books.vault_head(team.id)]
        return [(each.device_id, each.value.epoch, each.value.record_hash) for each in found if each is not None]

    here, genesis = await id_of(alice), await alice.device.run(lambda books: head_of(books, team.id))
    assert await alice.device.run(words) == [(here, 1, genesis)] * 2


# --- names and contacts ------------------------------------------------------------------


async def rounds(town: World, *clients: Client) -> list[int]:
    """The outer part's version on the server after each of five rounds in which all devices are up to date."""
    found = []
    for _ in range(5):
        for client in clients:
            town.clock.ahead += 61_000
            await client.sync()
            await client.device._write_vault()
        header = await clients[0].device.run(held_header)
        assert header is not None
        found.append(header.version)
    return found


async def learn(*clients: Client) -> None:
    """Hear of bob's new identity."""
    for client in clients:
        parts = client.device._parts
        assert parts is not None
        await parts.directory.refresh(["bob"])
        (contact,) = await client.account.contacts()
        assert contact.changed


async def test_two_devices_end_with_one_vault(town: World) -> None:
    alice, bob = await pair(town)
    tablet = await town.another("alice", "tablet")
    await said(tablet)
    await tablet.device._write_vault()
    await bob.account.reset("another password", password=password_of("bob"))
    await learn(alice, tablet)
    (contact,) = await alice.account.contacts()
    await alice.account.confirm_identity("bob", contact.fingerprint_now)
    here = await id_of(alice)
    await alice.account.name_device(here, "phone")
    await tablet.account.name_device(here, "the name given last")
    versions = await rounds(town, alice, tablet)
    assert versions[1:] == [versions[1]] * 4
    for client in (alice, tablet):
        assert {each.name for each in (await client.account.view()).devices} == {"tablet", "the name given last"}
        (contact,) = await client.account.contacts()
        assert not contact.changed
        assert await client.alarms() == []
    told = [each.facts for each in await tablet.account.notices() if each.kind == "identity_confirmed"]
    assert told == [{"userId": "bob", "version": 2, "deviceId": here}]
    assert [each for each in await alice.account.notices() if each.kind == "identity_confirmed"] == []
    assert not await alice.device.run(lambda books: is_confirmed_here(books, "bob"))
    talk = await tablet.create_conversation("goes on", members=["bob"])
    await talk.send("hello again")
    assert await said(bob, "goes on") == ["hello again"]


async def test_what_a_revoked_device_confirmed_is_confirmed_again(town: World) -> None:
    alice, bob, thief = await robbed(town)
    await bob.account.reset("another password", password=password_of("bob"))
    await learn(alice, thief)
    (contact,) = await thief.account.contacts()
    await thief.account.confirm_identity("bob", contact.fingerprint_now)
    await thief.device._write_vault()
    await alice.device.check_vault()
    (contact,) = await alice.account.contacts()
    assert not contact.changed
    await alice.account.revoke(await id_of(thief), password=password_of("alice"), confirm=yes)
    (contact,) = await alice.account.contacts()
    assert contact.changed
    with pytest.raises(errors.IdentityChanged):
        await alice.create_conversation("goes on", members=["bob"])
    await alice.device._write_vault()
    word = await alice.device.run(lambda books: books.vault_contact("bob"))
    assert word is not None
    assert (word.device_id, word.value.version) == (await id_of(alice), 1)


@pytest.mark.parametrize(
    ("version", "of_the_chain", "fingerprint"), [(2, False, b"?" * 32), (9, True, b""), (2, True, b"?" * 32)]
)
async def test_an_identity_that_a_contact_never_had_is_not_taken_over(
    town: World, version: int, of_the_chain: bool, fingerprint: bytes
) -> None:
    alice, bob, thief = await robbed(town)
    await bob.account.reset("another password", password=password_of("bob"))
    await learn(alice)
    before = await alice.account.contacts()

    def newest(books: Books) -> ContactPin:
        found = books.accounts.newest("bob")
        assert found is not None
        return pin_of(found.value)

    true = await alice.device.run(newest)
    own_hash = true.account_hash if of_the_chain else b"?" * 32
    pin = ContactPin("bob", version, own_hash, fingerprint or true.aik_fingerprint)
    await writes(thief, nothing, [(EntryKind.CONTACT_PIN, b"bob", encode(pin))])
    await alice.device.check_vault()
    assert await alice.account.contacts() == before
    assert [each for each in await alice.account.notices() if each.kind == "identity_confirmed"] == []
