"""What the vault's entries say, on the word of the devices that are still one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

from tacit import errors
from tacit.identity.vault import ContactPin, ConversationHead, values
from tacit.signed.account import AccountRecord, account_hash, aik_fingerprint
from tacit.signed.vault import EntryKind, SignedEntry
from tacit.wire.codec import decode

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """The vault's entries, and what the present devices say in them, each under its id."""

    entries: tuple[SignedEntry, ...]
    pins: Mapping[str, ConversationHead]
    heads: Mapping[str, ConversationHead]
    contacts: Mapping[str, ContactPin]


def contents_of(entries: tuple[SignedEntry, ...], certified: Container[str]) -> Contents:
    """Read the entries once; an entry of a device that is gone says nothing of people and conversations."""

    def heads(kind: EntryKind) -> dict[str, ConversationHead]:
        found = readable(ConversationHead, values(entries, kind, certified))
        return {each.conversation_id: each for each in found}

    pins = readable(ContactPin, values(entries, EntryKind.CONTACT_PIN, certified))
    return Contents(
        entries,
        heads(EntryKind.CONVERSATION_PIN),
        heads(EntryKind.CONVERSATION_HEAD),
        {each.user_id: each for each in pins},
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
