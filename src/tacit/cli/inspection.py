"""All the secrets that there are: in people's own folders, opened with their passwords, and in their vaults.

Everything here is for judging: the demo searches the server's files for what is found here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tacit.cli.needles import Needle
from tacit.cli.stage import Person
from tacit.client.books import Books
from tacit.client.keystore import SecureKeyStore
from tacit.client.store import Store
from tacit.crypto.secret import Secret
from tacit.identity import unlockers
from tacit.identity.unlockers import BOUNDS, password_bytes
from tacit.identity.vault import PrivateKey, values
from tacit.identity.words import from_words
from tacit.signed.account import AccountRecord
from tacit.signed.message import MessageAad, from_fields
from tacit.signed.profiles import ALGORITHMS, KeyAlgorithm
from tacit.signed.vault import EntryKind, PasswordParameters, UnlockerKind, Vault
from tacit.wire import limits
from tacit.wire.codec import decode
from tacit.wire.text import from_base64, from_json

T = TypeVar("T")
Row = Mapping[str, Any]
"""A row of the server's database."""


def recovery_needles(name: str, words: Sequence[str]) -> list[Needle]:
    """Somebody's recovery key: the words in a row, as JSON has them, and the 32 bytes."""
    return [
        Needle(f"{name}'s recovery words", " ".join(words).encode()),
        Needle(f"{name}'s recovery words in JSON", '","'.join(words).encode()),
        Needle(f"{name}'s recovery key", from_words(words).reveal()),
    ]


def ciphertext(payload: Row) -> bytes:
    """The ciphertext of a message's payload."""
    return from_base64(payload["encryptedText"])


# --- a person's own folder ---------------------------------------------------------------


def store_key(home: Path, password: str) -> Secret:
    """The key of the local store in a folder."""
    return SecureKeyStore(home / "state.db.key", os.urandom).open(password_bytes(password))


def in_store(home: Path, key: Secret, work: Callable[[Books], T]) -> T:
    """What `work` finds in the local store of a folder."""

    async def look() -> T:
        store = await Store.open(home / "state.db", key)
        try:
            return await store.run(work)
        finally:
            await store.close()

    return asyncio.run(look())


def device_needles(person: Person, key: Secret) -> list[Needle]:
    """Every secret key in somebody's local store, and the store's own `key`."""
    found = in_store(person.home, key, secrets_of)
    found.append(Needle("store's key", key.reveal()))
    return [Needle(f"{person.name}'s {needle.name}", needle.value) for needle in found]


def secrets_of(books: Books) -> list[Needle]:
    """The secrets of one store: seeds, the account's private keys, archive key, each epoch's and each message's key."""
    device = books.me.secrets
    found = [
        Needle("device's request seed", device.request_seed),
        Needle("outer key", device.outer_key),
    ]
    if device.mls_seed:
        found.append(Needle("device's MLS seed", device.mls_seed))
    found.extend(private_needles("device's", ALGORITHMS[device.profile].kem, device.kem_private))
    for value in values(books.entries(), EntryKind.ENCRYPTION_KEY):
        private = decode(PrivateKey, value)
        found.extend(private_needles("account's", private.algorithm, private.private))
    found.extend(Needle("archive key", value) for value in values(books.entries(), EntryKind.ARCHIVE_KEY))
    for conversation_id in books.conversation_ids():
        opened = {
            number: known.opened
            for number, known in books.held(conversation_id).known.items()
            if known.opened is not None
        }
        for number, epoch in opened.items():
            found.append(Needle(f"key of epoch {number}", epoch.key.secret.reveal()))
        for seq, aad in messages_in(books, conversation_id):
            if aad.epoch in opened:
                message_key = opened[aad.epoch].message_key(aad.device_id, aad.instance_id, aad.counter)
                found.append(Needle(f"key of message {seq}", message_key.reveal()))
    return found


def private_needles(whose: str, algorithm: KeyAlgorithm, private: bytes) -> Iterator[Needle]:
    """A key that others wrap to: its private half, and of RSA each number that is the whole key."""
    yield Needle(f"{whose} {algorithm.name} private key", private)
    if algorithm is KeyAlgorithm.RSA:
        for name, number in rsa_numbers(private):
            yield Needle(f"{whose} RSA {name}", number)


def messages_in(books: Books, conversation_id: str) -> Iterator[tuple[int, MessageAad]]:
    """The messages that a store has, with what stands outside of their ciphertexts."""
    query = "SELECT seq, payload FROM messages WHERE conversation_id = ? ORDER BY seq"
    for seq, payload in books.connection.execute(query, (conversation_id,)).fetchall():
        yield seq, from_fields(from_json(payload))[0].aad


def rsa_numbers(pkcs8: bytes) -> Iterator[tuple[str, bytes]]:
    """The secret numbers of an RSA private key, each of which is the whole key (RFC 8017 A.1.2)."""
    _, _, octets = der_members(next(iter(der_members(pkcs8))))
    (inner,) = der_members(octets)
    numbers = list(der_members(inner))
    for name, number in zip(("d", "p", "q", "dP", "dQ", "qInv"), numbers[3:], strict=True):
        yield name, number.lstrip(b"\0")


def der_members(data: bytes) -> list[bytes]:
    """The contents of the DER values that stand one after the other in `data`."""
    members: list[bytes] = []
    position = 0
    while position < len(data):
        length, start = data[position + 1], position + 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[position + 2 : start], "big")
        members.append(data[start : start + length])
        position = start + length
    return members


# --- what the server keeps for its owner only --------------------------------------------


def vault_needles(row: Row, password: str, words: Sequence[str]) -> list[Needle]:
    """What opens out of the vault in a row of `user_keys`, by the recovery key, and what the password derives."""
    record = decode(AccountRecord, from_base64(row["record"]))
    vault = decode(Vault, from_base64(row["encrypted_private_key"]), limits.VAULT_BYTES)
    account = unlockers.Account(record.server_name, record.user_id, record.profile, record.aik)
    opened = unlockers.open_with_recovery_key(account, vault.inner, from_words(words))
    found = {
        "AMK": opened.amk,
        "identity key's seed": opened.aik.seed,
        "outer key in the vault": opened.outer_key,
    }
    for unlocker in vault.inner.unlockers:
        if unlocker.kind is UnlockerKind.PASSWORD:
            parameters = decode(PasswordParameters, unlocker.parameters)
            secret = unlockers.password_secret(
                account.server_name, account.user_id, password_bytes(password), parameters, BOUNDS[account.profile]
            )
            found["password's derived secret"] = secret
            found["password's proof"] = unlockers.proof_of(account.server_name, account.user_id, unlocker.id, secret)
    return [Needle(f"{record.user_id}'s {name}", secret.reveal()) for name, secret in found.items()]
