"""What an attacker can read: every key that it has, tried on everything that the server stores, by no rules at all."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from adversary.stage import Stage
from tacit import errors
from tacit.api.base import binary
from tacit.client import Client
from tacit.client.books import Books
from tacit.conversation.content import Content, EditBody, NameNotice, TextBody, body_of, unpad
from tacit.conversation.keys import KEY_BYTES
from tacit.conversation.sealing import MessageKeyContext
from tacit.crypto import hpke
from tacit.crypto.aead import aes_gcm_open
from tacit.crypto.kdf import hkdf_sha256
from tacit.crypto.secret import Secret
from tacit.identity.vault import PrivateKey, values
from tacit.signed import labels
from tacit.signed.grant import GrantContext, SignedGrant
from tacit.signed.message import Message, aad_bytes, from_fields
from tacit.signed.profiles import KeyAlgorithm
from tacit.signed.vault import EntryKind
from tacit.signed.verify import labelled
from tacit.wire import limits
from tacit.wire.codec import decode


async def plaintexts(
    stage: Stage, *attackers: Client, keys: Iterable[bytes] = (), seeds: Iterable[Secret] = ()
) -> set[str]:
    """Every text that these clients' secrets open in the server's database.

    Besides, `keys` of epochs, and X-Wing `seeds` that grants may be wrapped to.
    """
    seeds = list(seeds)
    found = {bytes(key) for key in keys}
    for attacker in attackers:
        own_seeds, own_keys = await attacker.device._run(secrets_of)
        seeds += own_seeds
        found |= own_keys
    for (text,) in await stage.sql("SELECT encrypted_key FROM conversation_key_members"):
        found |= opened_grants(text, seeds)
    payloads = [row[0] for row in await stage.sql("SELECT encrypted_payload FROM messages")]
    messages = [from_fields(msgspec.json.decode(payload))[0] for payload in payloads]
    messages += [from_fields(msgspec.to_builtins(payload))[0] for payload in stage.caught]
    return {text for message in messages for key in found for text in opened(message, key)}


def secrets_of(books: Books) -> tuple[list[Secret], set[bytes]]:
    """The seeds that grants are wrapped to, and every epoch's key, in a client's own store."""
    kept = {bytes(row[0]) for table in ("epoch_keys", "openings") for row in keys_in(books, table)}
    private = [decode(PrivateKey, value) for value in values(books.entries(), EntryKind.ENCRYPTION_KEY)]
    return [Secret(key.private) for key in private if key.algorithm is KeyAlgorithm.X_WING], kept


def keys_in(books: Books, table: str) -> list[tuple[bytes]]:
    """The keys in one table of a client's store."""
    found: list[tuple[bytes]] = books.connection.execute(f"SELECT key FROM {table}").fetchall()
    return found


def opened_grants(text: str, seeds: Iterable[Secret]) -> set[bytes]:
    """The keys in a grant, to whomever it says it is."""
    grant = decode(SignedGrant, binary(text, limits.RECORD_BYTES)).grant
    info = labelled(labels.GRANT_WRAP, GrantContext(grant.record_hash, grant.recipient, grant.account_hash))
    found: set[bytes] = set()
    for seed in seeds:
        try:
            found.add(hpke.open(hpke.STANDARD, seed, info, grant.ciphertext))
        except errors.DecryptionError:
            continue
    return {key for key in found if len(key) == KEY_BYTES}


def opened(message: Message, key: bytes) -> list[str]:
    """The text of a message under an epoch's key, if it is that."""
    aad = message.aad
    context = labelled(labels.MESSAGE_KEY, MessageKeyContext(aad.device_id, aad.instance_id, aad.counter))
    try:
        own = hkdf_sha256(Secret(key), context)
        body = body_of(decode(Content, unpad(aes_gcm_open(own, message.iv, message.ciphertext, aad_bytes(aad)))))
    except errors.PeerError:
        return []
    match body:
        case TextBody() | EditBody():
            return [body.text]
        case NameNotice():
            return [body.name]
        case _:
            return []
