"""What the vault's entries say, on the word of the devices that are still one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from typing import Generic, TypeVar

from tacit import errors
from tacit.identity.vault import ContactPin, ConversationHead
from tacit.signed.account import AccountRecord, account_hash, aik_fingerprint
from tacit.signed.vault import EntryKind, SignedEntry
from tacit.wire.codec import decode

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Word(Generic[T]):
    """What one of the account's devices says in the vault, at this clock."""

    value: T
    device_id: str
    clock: int


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """The vault's entries, and what the present devices say in them, each under its id."""

    entries: tuple[SignedEntry, ...]
    pins: Mapping[str, Word[ConversationHead]]
    heads: Mapping[str, Word[ConversationHead]]
    contacts: Mapping[str, Word[ContactPin]]


def contents_of(entries: tuple[SignedEntry, ...], certified: Container[str]) -> Contents:
    """Read the entries once; an entry of a device that is gone says nothing of people and conversations.

    Nor does one that stands in another's place: there nobody would write over it.
    """

    def words(kind: EntryKind, cls: type[T]) -> Iterable[tuple[bytes, Word[T]]]:
        for signed in entries:
            entry = signed.entry
            if entry.kind is kind and entry.value and entry.device_id in certified:
                for value in readable(cls, [entry.value]):
                    yield entry.key, Word(value, entry.device_id, entry.clock)

    def heads(kind: EntryKind) -> dict[str, Word[ConversationHead]]:
        found = [(key, word, word.value.conversation_id) for key, word in words(kind, ConversationHead)]
        return {named: word for key, word, named in found if named.encode() == key}

    pins = [(key, word, word.value.user_id) for key, word in words(EntryKind.CONTACT_PIN, ContactPin)]
    return Contents(
        entries,
        heads(EntryKind.CONVERSATION_PIN),
        heads(EntryKind.CONVERSATION_HEAD),
        {named: word for key, word, named in pins if named.encode() == key},
    )


def readable(kind: type[T], encoded: Iterable[bytes]) -> list[T]:
    """What can be read of these values: one device's bad entry must not take all others away."""
    found = []
    for raw in encoded:
        with suppress(errors.PeerError):
            found.append(decode(kind, raw))
    return found


def pin_of(record: AccountRecord) -> ContactPin:
    """What somebody is known by: this version of the account, and its identity key."""
    fingerprint = aik_fingerprint(record.profile, record.aik)
    return ContactPin(record.user_id, record.version, account_hash(record), fingerprint)
