"""What this device says in the vault, and whom the account knows by what its devices say there.

A device says there what nobody said yet, and what its person decided on it: what another device said meanwhile is not
written over, else two of them would do so in turn for ever.
"""

from __future__ import annotations

from typing import Final

from tacit.client.books import Books
from tacit.client.comparing import contradictions
from tacit.identity.vault import ContactPin, ConversationHead, NewEntry, contact_entry, conversation_entry
from tacit.signed.account import aik_fingerprint
from tacit.signed.vault import EntryKind, SignedEntry

DEVICE_NAME: Final = "device_name "
"""Under this and a device's id the name stands that it was given here, until the vault has it."""
CONFIRMED: Final = "confirmed "
"""Under this and a user's id it stands that the person confirmed their identity here, until the vault has it."""

TOLD: Final = "told_of "
"""Under this and a user's id stands which device's word on their identity the person was told of last."""


def wanted_entries(books: Books) -> list[NewEntry]:
    """What the vault should say of devices, contacts and conversations, and does not yet.

    A contact's pin is another device's to say, where it said one. A head that is further on than one's own stays, and
    so does what the chain here contradicts: who wrote it may be the one that was shown the true history.
    """
    return [new for new in own_words(books) if is_wanted(books, new)]


def is_wanted(books: Books, new: NewEntry) -> bool:
    """Whether what this device knows has to stand in the vault."""
    if new.kind is EntryKind.DEVICE_NAME:
        return True
    named = new.key.decode()
    if new.kind is EntryKind.CONTACT_PIN:
        return books.vault_contact(named) is None or is_confirmed_here(books, named)
    held = books.held(named)
    there = books.vault_head(named) if new.kind is EntryKind.CONVERSATION_HEAD else None
    return not contradictions(books, held) and (there is None or there.value.epoch <= held.epoch)


def own_words(books: Books) -> list[NewEntry]:
    """What this device itself knows of contacts and conversations, and the names that it gave to devices."""
    entries = [NewEntry(EntryKind.DEVICE_NAME, id_.encode(), value) for id_, value in _kept(books, DEVICE_NAME)]
    query = "SELECT user_id FROM contacts ORDER BY user_id"
    for (user_id,) in books.connection.execute(query).fetchall():
        contact = books.contact(user_id)
        assert contact is not None
        entries.append(contact_entry(contact))
    for conversation_id in books.conversation_ids():
        state = books.held(conversation_id).state()
        if state is not None:
            pin = ConversationHead(conversation_id, 1, state.genesis_hash)
            head = ConversationHead(conversation_id, state.head.epoch, state.head_hash)
            entries.append(conversation_entry(EntryKind.CONVERSATION_PIN, pin))
            entries.append(conversation_entry(EntryKind.CONVERSATION_HEAD, head))
    return entries


def drop_written(books: Books, served: tuple[SignedEntry, ...]) -> None:
    """The server's vault has these entries: what was decided here and stands in it need not be said again."""
    there = {(each.entry.kind, each.entry.key): each.entry.value for each in served}
    for device_id, name in _kept(books, DEVICE_NAME):
        if there.get((EntryKind.DEVICE_NAME, device_id.encode())) == name:
            books.set_meta(DEVICE_NAME + device_id, None)
    for user_id, _ in _kept(books, CONFIRMED):
        contact = books.contact(user_id)
        if contact is not None and there.get((EntryKind.CONTACT_PIN, user_id.encode())) == contact_entry(contact).value:
            books.set_meta(CONFIRMED + user_id, None)


def _kept(books: Books, prefix: str) -> list[tuple[str, bytes]]:
    query = "SELECT key, value FROM meta WHERE key GLOB ? ORDER BY key"
    rows = books.connection.execute(query, (prefix + "*",)).fetchall()
    return [(key.removeprefix(prefix), bytes(value)) for key, value in rows]


# --- contacts ----------------------------------------------------------------------------


def confirm_contact(books: Books, pin: ContactPin) -> None:
    """The person knows somebody by this identity key from now on, on all devices."""
    books.keep_contact(pin)
    books.set_meta(CONFIRMED + pin.user_id, b"")


def is_confirmed_here(books: Books, user_id: str) -> bool:
    """Whether the person confirmed somebody's identity on this device, and the vault has it not yet."""
    return books.meta(CONFIRMED + user_id) is not None


def known_as(books: Books, user_id: str) -> ContactPin | None:
    """What the account knows somebody by, or None: what another device confirmed later counts here too.

    It does so while that device is certified; then what this device knows itself counts again.
    """
    return said_elsewhere(books, user_id) or books.contact(user_id)


def said_elsewhere(books: Books, user_id: str) -> ContactPin | None:
    """Another identity than this device knows somebody by, which the account's vault has and their own chain too."""
    word, here = books.vault_contact(user_id), books.contact(user_id)
    if word is None or here is None or is_confirmed_here(books, user_id):
        return None
    pin = word.value
    record = books.accounts.named(user_id, pin.account_hash)
    if record is None or pin.aik_fingerprint == here.aik_fingerprint:
        return None
    same = (record.value.version, aik_fingerprint(record.value.profile, record.value.aik))
    return pin if same == (pin.version, pin.aik_fingerprint) else None


def tell_confirmed(books: Books, now: int) -> None:
    """Tell the person, once, of each identity that another device knows somebody by: it may be in a thief's hands."""
    query = "SELECT user_id FROM contacts ORDER BY user_id"
    for (user_id,) in books.connection.execute(query).fetchall():
        word = books.vault_contact(user_id)
        if word is None or said_elsewhere(books, user_id) is None:
            continue
        told = f"{word.device_id} {word.value.version}".encode()
        if told != books.meta(TOLD + user_id):
            facts = {"userId": user_id, "version": word.value.version, "deviceId": word.device_id}
            books.keep_notice(now, "identity_confirmed", facts)
            books.set_meta(TOLD + user_id, told)
