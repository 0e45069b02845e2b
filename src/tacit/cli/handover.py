"""A removed member, handed everything that came later: what the client makes of it, and what any key opens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tacit import errors
from tacit.api.base import convert
from tacit.api.conversations import Grant as ServedGrant
from tacit.api.messages import EncryptedPayload, Item, MessageItem, RecordItem
from tacit.cli.inspection import Row, in_store, secrets_of, store_key
from tacit.cli.needles import Needle
from tacit.cli.stage import Person
from tacit.client import inbox
from tacit.client.books import Books
from tacit.client.conversations import apply_items
from tacit.conversation.sealing import MessageKeyContext
from tacit.crypto import hpke
from tacit.crypto.aead import aes_gcm_open
from tacit.crypto.kdf import hkdf_sha256
from tacit.crypto.rsa import RsaKey, unwrap
from tacit.crypto.secret import Secret
from tacit.signed import labels
from tacit.signed.grant import GrantContext, SignedGrant
from tacit.signed.message import Message, aad_bytes, from_fields
from tacit.signed.verify import labelled
from tacit.wire.codec import decode, encode
from tacit.wire.text import from_base64, from_json

KEY_BYTES = 32


class GrantRow(NamedTuple):
    """A row of `conversation_key_members`, with the epoch and the `seq` of its record."""

    seq: int
    epoch: int
    value: SignedGrant


class MessageRow(NamedTuple):
    """A row of `messages`."""

    seq: int
    value: Message


class Later(NamedTuple):
    """The rows of a conversation from the record that removed somebody on, straight from the database."""

    conversation_id: str
    items: tuple[Item, ...]
    grants: tuple[GrantRow, ...]
    messages: tuple[MessageRow, ...]


def later_rows(records: Iterable[Row], grants: Sequence[Row], messages: Iterable[Row], removal_seq: int) -> Later:
    """The later rows; as items they are what a server sends that holds nothing back, everybody's grants included."""
    items: list[Item] = []
    later_grants: list[GrantRow] = []
    later_messages: list[MessageRow] = []
    conversation_id = ""
    for record in records:
        if record["seq"] < removal_seq:
            continue
        conversation_id = record["conversation_id"]
        own = [grant for grant in grants if grant["conversation_key_id"] == record["id"]]
        served = [ServedGrant(each["user_id"], each["encrypted_key"], each["granted_by"]) for each in own]
        head = (record["seq"], record["created_at"], record["epoch"], record["key_id"], record["protocol"])
        items.append(RecordItem(*head, record["record"], record["signature"], served))
        for each in own:
            grant = decode(SignedGrant, from_base64(each["encrypted_key"]))
            later_grants.append(GrantRow(record["seq"], record["epoch"], grant))
    for row in messages:
        if row["seq"] > removal_seq:
            fields = from_json(row["encrypted_payload"])
            items.append(MessageItem(row["seq"], row["created_at"], convert(EncryptedPayload, fields)))
            later_messages.append(MessageRow(row["seq"], from_fields(fields)[0]))
    items.sort(key=lambda item: item.seq)
    return Later(conversation_id, tuple(items), tuple(later_grants), tuple(later_messages))


def hand_over(person: Person, later: Later, now: int) -> list[dict[str, Any]]:
    """Give somebody's real state every later row, through the real client code; then try every key on every row.

    Works on a copy of the folder. For each grant and message `row` (its name), `kind`, `seq` (of its record or its
    own), `opened` (by what; empty for not), `cause` (the client's code) and `tried` (how many keys).
    """
    home = person.home.with_name(f"{person.name}, handed everything")
    shutil.copytree(person.home, home)
    key = store_key(home, person.password)
    in_store(home, key, lambda books: take(books, later, now))
    held = in_store(home, key, secrets_of)
    every = (*held, Needle("store's key", key.reveal()))
    keys = [needle for needle in every if len(needle.value) == KEY_BYTES]
    rsa_keys = [(needle.name, rsa_key) for needle in every if (rsa_key := rsa_key_of(needle.value)) is not None]
    verdicts = in_store(home, key, lambda books: list(verdicts_of(books, later)))
    rows: list[GrantRow | MessageRow] = [*later.grants, *later.messages]
    for verdict, row in zip(verdicts, rows, strict=True):
        verdict["tried"] = len(keys) + len(rsa_keys)
        if isinstance(row.value, SignedGrant):
            name, found = try_grant(row.value, person.name, keys, rsa_keys)
            if len(found) == KEY_BYTES:  # whatever it is, it is tried on what follows
                keys.append(Needle(f"key in the {verdict['row']}", found))
        else:
            name = try_message(row.value, keys)
        verdict["opened"] = verdict["opened"] or name
    return verdicts


def take(books: Books, later: Later, now: int) -> None:
    """Let the client take all of it as one page from its server."""
    last = max((item.seq for item in later.items), default=0)
    apply_items(books, later.conversation_id, later.items, last, now, os.urandom)


def verdicts_of(books: Books, later: Later) -> Iterator[dict[str, Any]]:
    """What became of each row in the client: of grants the refusal that it kept, of messages what it would show."""
    query = "SELECT code FROM evidence WHERE about = 'grant' AND body = ?"
    known = books.held(later.conversation_id).known
    for row in later.grants:
        refused = books.connection.execute(query, (encode(row.value),)).fetchone()
        opened = row.epoch in known and known[row.epoch].opened is not None
        name = f"grant to {row.value.grant.recipient} in epoch {row.epoch}"
        yield verdict_of("grant", name, row.seq, opened, refused[0] if refused else "")
    shown = {row.seq: row for row in inbox.rows_after(books, later.conversation_id, 0)}
    for message in later.messages:
        held = shown.get(message.seq)
        opened = held is not None and held.shown is not None
        yield verdict_of("message", f"message {message.seq}", message.seq, opened, held.cause if held else "")


def verdict_of(kind: str, row: str, seq: int, opened: bool, cause: str) -> dict[str, Any]:
    """A verdict as the claims read it."""
    return {"kind": kind, "row": row, "seq": seq, "opened": "the client" if opened else "", "cause": cause, "tried": 0}


def rsa_key_of(value: bytes) -> RsaKey | None:
    """The RSA private key that this is, or None."""
    try:
        return RsaKey.from_private(Secret(value))
    except errors.Malformed:
        return None


def try_grant(
    signed: SignedGrant, name: str, keys: Sequence[Needle], rsa_keys: Sequence[tuple[str, RsaKey]]
) -> tuple[str, bytes]:
    """The name of the key that opens a grant, as its recipient's or as one's own, and what it holds; else empty."""
    grant = signed.grant
    for key_name, rsa_key in rsa_keys:
        try:
            return key_name, unwrap(rsa_key, grant.ciphertext)
        except errors.TacitError:
            continue
    for recipient in (grant.recipient, name):
        info = labelled(labels.GRANT_WRAP, GrantContext(grant.record_hash, recipient, grant.account_hash))
        for key in keys:
            try:
                return key.name, hpke.open(hpke.STANDARD, Secret(key.value), info, grant.ciphertext)
            except errors.TacitError:
                continue
    return "", b""


def try_message(message: Message, keys: Sequence[Needle]) -> str:
    """The name of the key that opens a message's ciphertext, as it is or as an epoch's key; empty for none."""
    aad = message.aad
    info = labelled(labels.MESSAGE_KEY, MessageKeyContext(aad.device_id, aad.instance_id, aad.counter))
    for key in keys:
        for tried in (Secret(key.value), hkdf_sha256(Secret(key.value), info)):
            try:
                aes_gcm_open(tried, message.iv, message.ciphertext, aad_bytes(aad))
            except errors.TacitError:
                continue
            return key.name
    return ""
