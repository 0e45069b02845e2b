"""Holding a conversation's records against what the account's devices said of it in the vault.

A store that was restored from a copy may be shown another branch than the one that another device knows. But a device
that is in a thief's hands says what it likes: while it is certified, nothing is sent on what it contradicts, and the
person is told which device it is; its word ends nothing.
"""

from __future__ import annotations

import dataclasses

from tacit import errors
from tacit.client.books import Books, Held
from tacit.signed.rights import ChainState
from tacit.wire.codec import encode

ID_DIGITS = 16
"""So much of a device's id is shown; a name is no help, as any device may have given it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contradiction:
    """What a device said, and the chain here has otherwise: `state` is the chain's at that record."""

    device_id: str
    detail: str
    state: ChainState


def contradictions(books: Books, held: Held) -> list[Contradiction]:
    """Where the vault knows another beginning of a conversation, or another record of the epoch that it names.

    Only the word of devices that are certified now is counted.
    """
    found = []
    pin, head = books.vault_pin(held.id), books.vault_head(held.id)
    first = held.states.get(1)
    if pin is not None and first is not None and pin.value.record_hash != first.genesis_hash:
        found.append(Contradiction(pin.device_id, "the vault knows another beginning of this conversation", first))
    there = held.states.get(head.value.epoch) if head is not None else None
    if head is not None and there is not None and head.value.record_hash != there.head_hash:
        detail = f"the vault knows another record of epoch {head.value.epoch}"
        found.append(Contradiction(head.device_id, detail, there))
    return found


def why_contradicted(books: Books, held: Held) -> str:
    """What has to be settled between the chain and the vault before anything is sent, or the empty text.

    It ends by itself once the device that wrote it is revoked, or writes otherwise.
    """
    for each in contradictions(books, held):
        if each.device_id == books.me.device_id:
            return f"server_misbehaved: {each.detail}, on this device's own word"
        return f"{each.detail}{_written_by(each.device_id)}; if it is, one of the two is shown a false history"
    head = books.vault_head(held.id)
    if head is None or head.value.epoch <= held.epoch:
        return ""
    by = "" if head.device_id == books.me.device_id else _written_by(head.device_id)
    return f"record_missing: your vault knows epoch {head.value.epoch}, which the server does not show{by}"


def _written_by(device_id: str) -> str:
    return f", on the word of your device {device_id[:ID_DIGITS]}: revoke it if it is not in your hands"


def compare(books: Books, held: Held, now: int) -> None:
    """Keep as evidence against the server what it shows otherwise than it showed this very device before.

    Where another device said otherwise, that is kept as a notice: it outlasts the word, which goes with the device.
    """
    for each in contradictions(books, held):
        if each.device_id == books.me.device_id:
            error = errors.ServerMisbehaved(each.detail)
            books.keep_evidence(now, "conversation", held.id, error, encode(each.state.head))
        else:
            facts = {"conversationId": held.id, "epoch": each.state.head.epoch, "deviceId": each.device_id}
            books.keep_notice(now, "branches", facts)
