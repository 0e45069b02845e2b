"""A removed member, handed everything that came later: what the client makes of it, and what any key opens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tacit import errors
from tacit.api.base import convert
from tacit.api.conversations import Grant as ServedGrant
from tacit.api.messages import EncryptedPayload, Item, MessageItem, RecordItem
from tacit.cli.inspection import Row, in_store, secrets_of
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
from tacit.signed.account import AccountRecord, AccountSignatures
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


@dataclass(slots=True)
class Keys:
    """Everything that could be a key: 32 bytes, which may be symmetric or an X-Wing seed, and RSA keys, by name."""

    plain: list[Needle] = field(default_factory=list, repr=False)
    rsa: list[tuple[str, RsaKey]] = field(default_factory=list, repr=False)

    def add(self, name: str, value: bytes) -> None:
        """Try this too from now on, whatever it is."""
        if len(value) == KEY_BYTES:
            self.plain.append(Needle(name, value))
        elif (key := rsa_key_of(value)) is not None:
            self.rsa.append((name, key))

    def __len__(self) -> int:
        return len(self.plain) + len(self.rsa)


def keys_in(home: Path, key: Secret) -> Keys:
    """All keys of a folder's store, and the store's own."""
    found = Keys()
    for needle in (*in_store(home, key, secrets_of), Needle("store's key", key.reveal())):
        found.add(needle.name, needle.value)
    return found


def hand_over(person: Person, key: Secret, later: Later, accounts: Sequence[Row], now: int) -> list[dict[str, Any]]:
    """Give somebody's real state every later row, through the real client code; then try every key on every row.

    Works on a copy of the folder, whose store `key` opens. For each grant and message `row` (its name), `kind`, `seq`
    (of its record or its own), `opened` (by what; empty for not), `cause` (the client's code) and `tried` (how many
    keys).
    """
    home = person.home.with_name(f"{person.home.name}, handed everything")
    shutil.copytree(person.home, home)
    in_store(home, key, lambda books: take(books, later, accounts, now))
    keys = keys_in(home, key)
    verdicts = in_store(home, key, lambda books: list(verdicts_of(books, later)))
    for verdict, tried in zip(verdicts, try_rows(later, person.name, keys), strict=True):
        verdict["tried"] = tried["tried"]
        verdict["opened"] = verdict["opened"] or tried["opened"]
    return verdicts


def try_rows(later: Later, name: str, keys: Keys) -> Iterator[dict[str, Any]]:
    """Every key on every grant and message, no client asked; a key that is found is tried on what follows."""
    for grant in later.grants:
        verdict = verdict_of("grant", name_of(grant), grant.seq)
        verdict["tried"] = len(keys)
        verdict["opened"], found = try_grant(grant.value, name, keys)
        keys.add(f"key in the {verdict['row']}", found)
        yield verdict
    for message in later.messages:
        verdict = verdict_of("message", f"message {message.seq}", message.seq)
        verdict["tried"] = len(keys)
        verdict["opened"] = try_message(message.value, keys)
        yield verdict


def take(books: Books, later: Later, accounts: Sequence[Row], now: int) -> None:
    """Let the client take all of it from its server: every version of every account, and the rest as one page."""
    served: dict[str, list[tuple[AccountRecord, AccountSignatures]]] = {}
    for row in accounts:
        made = decode(AccountSignatures, from_base64(row["signature"]))
        served.setdefault(row["user_id"], []).append((decode(AccountRecord, from_base64(row["record"])), made))
    for user_id, versions in served.items():
        books.take_account(books.me.server_name, user_id, versions, 0, now)
    last = max((item.seq for item in later.items), default=0)
    apply_items(books, later.conversation_id, later.items, last, now, os.urandom)


def verdicts_of(books: Books, later: Later) -> Iterator[dict[str, Any]]:
    """What became of each row in the client: of grants the refusal that it kept, of messages what it would show."""
    query = "SELECT code FROM evidence WHERE about = 'grant' AND body = ?"
    known = books.held(later.conversation_id).known
    for row in later.grants:
        refused = books.connection.execute(query, (encode(row.value),)).fetchone()
        opened = row.epoch in known and known[row.epoch].opened is not None
        yield verdict_of("grant", name_of(row), row.seq, opened, refused[0] if refused else "")
    shown = {row.seq: row for row in inbox.rows_after(books, later.conversation_id, 0)}
    for message in later.messages:
        held = shown.get(message.seq)
        opened = held is not None and held.shown is not None
        yield verdict_of("message", f"message {message.seq}", message.seq, opened, held.cause if held else "")


def name_of(row: GrantRow) -> str:
    """What a grant is called."""
    return f"grant to {row.value.grant.recipient} in epoch {row.epoch}"


def verdict_of(kind: str, row: str, seq: int, opened: bool = False, cause: str = "") -> dict[str, Any]:
    """A verdict as the claims read it."""
    return {"kind": kind, "row": row, "seq": seq, "opened": "the client" if opened else "", "cause": cause, "tried": 0}


def rsa_key_of(value: bytes) -> RsaKey | None:
    """The RSA private key that this is, or None."""
    try:
        return RsaKey.from_private(Secret(value))
    except errors.Malformed:
        return None


def try_grant(signed: SignedGrant, name: str, keys: Keys) -> tuple[str, bytes]:
    """The name of the key that opens a grant, as its recipient's or as one's own, and what it holds; else empty."""
    grant = signed.grant
    infos = [
        labelled(labels.GRANT_WRAP, GrantContext(grant.record_hash, recipient, grant.account_hash))
        for recipient in dict.fromkeys((grant.recipient, name))
    ]
    return try_wrapped(grant.ciphertext, infos, keys)


def try_wrapped(wrapped: bytes, infos: Iterable[bytes], keys: Keys) -> tuple[str, bytes]:
    """The name of the key to which something was wrapped, by RSA or by HPKE under one of these; and what it is."""
    for name, rsa_key in keys.rsa:
        try:
            return name, unwrap(rsa_key, wrapped)
        except errors.TacitError:
            continue
    for info in infos:
        for key in keys.plain:
            try:
                return key.name, hpke.open(hpke.STANDARD, Secret(key.value), info, wrapped)
            except errors.TacitError:
                continue
    return "", b""


def try_message(message: Message, keys: Keys) -> str:
    """The name of the key that opens a message's ciphertext, as it is or as an epoch's key; empty for none."""
    aad = message.aad
    info = labelled(labels.MESSAGE_KEY, MessageKeyContext(aad.device_id, aad.instance_id, aad.counter))
    for key in keys.plain:
        for tried in (Secret(key.value), hkdf_sha256(Secret(key.value), info)):
            try:
                aes_gcm_open(tried, message.iv, message.ciphertext, aad_bytes(aad))
            except errors.TacitError:
                continue
            return key.name
    return ""
