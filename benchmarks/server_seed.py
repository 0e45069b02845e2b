"""A server's database with people, sessions and conversations of two, and their messages sealed beforehand.

Everything is as the clients make it, but nobody registers: a session row and a conversation row are all that taking
messages looks at, and a thousand registrations would take longer than the measurement.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from tacit.api.base import convert, to_json_bytes
from tacit.api.messages import EncryptedPayload, MessageItem, SendMessages
from tacit.api.sync import Hello, ItemPush, Send
from tacit.client.timing import wall_clock
from tacit.conversation.content import TextBody
from tacit.conversation.keys import ConversationKey, finish_record
from tacit.conversation.sealing import INSTANCE_BYTES, Epoch, Sender, make_content, seal
from tacit.crypto.digest import sha256
from tacit.crypto.secret import Secret
from tacit.crypto.server import hash_token
from tacit.crypto.sign import Ed25519Key
from tacit.server.store import conversations, schema, sessions
from tacit.server.store.rows import MemberChange, Session
from tacit.server.store.sqlite import connect
from tacit.signed.account import device_id_of
from tacit.signed.message import to_fields
from tacit.signed.profiles import Profile
from tacit.signed.record import DEFAULT_POLICY, Change, ConversationRecord, Opener, Protocol, Role, conversation_id_of
from tacit.signed.request import SocketChallenge, sign_challenge, sign_request
from tacit.signed.verify import ZERO_HASH
from tacit.wire.text import to_base64

TEXT: Final = "x" * 100
DAY_MS: Final = 24 * 60 * 60 * 1000
LIFETIME: Final = 60
"""Seconds that a signed request is good for."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with one device and an open session."""

    user_id: str
    key: Ed25519Key
    token: str

    @staticmethod
    def make(user_id: str) -> Person:
        """Somebody new."""
        return Person(user_id, Ed25519Key(Secret(os.urandom(32))), to_base64(os.urandom(32)))

    @property
    def device_id(self) -> str:
        """The device's id, in hex."""
        return device_id_of(self.user_id, self.key.public)

    def session(self) -> Session:
        """The session as the server stores it."""
        now = wall_clock()
        return Session(
            hash_token(self.token), self.user_id, self.device_id, self.key.public, "full", now, now + 30 * DAY_MS
        )

    def hello(self, origin: str, nonce: bytes) -> bytes:
        """The frame that answers a WebSocket's challenge."""
        challenge = SocketChallenge(origin, sha256(self.token.encode()), self.device_id, nonce)
        return to_json_bytes(Hello(self.token, self.device_id, to_base64(sign_challenge(challenge, self.key.sign))))

    def request(self, method: str, authority: str, path: str, query: str, body: bytes) -> bytes:
        """A whole signed HTTP request, good for a minute."""
        created = wall_clock() // 1000
        headers = sign_request(
            method,
            authority,
            path,
            query,
            body,
            key_id=self.device_id,
            created=created,
            expires=created + LIFETIME,
            nonce=os.urandom(16).hex(),
            signer=self.key.sign,
        )
        target = f"{path}?{query}" if query else path
        lines = [f"{method} {target} HTTP/1.1", f"Host: {authority}", f"Authorization: Bearer {self.token}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Pair:
    """A conversation of two, in its first epoch; the first of them writes."""

    def __init__(self, number: int, members: int = 2) -> None:
        self.people = [Person.make(f"person {number}.{each}") for each in range(members)]
        writer = self.writer
        genesis = os.urandom(32)
        changes = tuple(
            Change(each.user_id, ZERO_HASH, Role.MEMBER if rank else Role.ADMIN, 1, ZERO_HASH)
            for rank, each in enumerate(self.people)
        )
        record = ConversationRecord(
            conversation_id_of(writer.user_id, genesis),
            1,
            ZERO_HASH,
            Protocol.ENVELOPE,
            Profile.STANDARD,
            0,
            b"",
            0,
            b"",
            ZERO_HASH,
            changes,
            (),
            DEFAULT_POLICY,
            genesis,
            b"",
            "",
            0,
            Opener(writer.user_id, writer.device_id, ZERO_HASH),
        )
        key = ConversationKey(Secret(os.urandom(32)))
        self._epoch = Epoch(finish_record(record, key), key)
        self._sender = Sender(writer.user_id, writer.device_id, os.urandom(INSTANCE_BYTES), writer.key.sign)
        self._counter = count()
        self.conversation_id: str = record.conversation_id

    @property
    def writer(self) -> Person:
        """Who writes."""
        return self.people[0]

    @property
    def epoch(self) -> Epoch:
        """The conversation's only epoch."""
        return self._epoch

    def seal(self) -> EncryptedPayload:
        """The writer's next message."""
        content = make_content(TextBody(TEXT), sent_at=wall_clock(), seen=(), random=os.urandom)
        message, signature, _ = seal(
            self._epoch,
            self._sender,
            content,
            counter=next(self._counter),
            client_message_id=os.urandom(16).hex(),
            random=os.urandom,
        )
        sealed: EncryptedPayload = convert(EncryptedPayload, to_fields(message, signature))
        return sealed

    def frame(self) -> bytes:
        """The next message as a WebSocket's frame."""
        return to_json_bytes(Send(os.urandom(8).hex(), self.conversation_id, self.seal()))

    def seal_item(self) -> bytes:
        """A message as it is pushed."""
        item = MessageItem(1_000, wall_clock(), self.seal())
        return to_json_bytes(ItemPush(self.conversation_id, item))

    def body(self) -> bytes:
        """The next message as a request's body."""
        return to_json_bytes(SendMessages(self.conversation_id, encrypted_payload=self.seal()))

    def put(self, db: sqlite3.Connection) -> None:
        """The sessions and the conversation, as a server stores them."""
        for person in self.people:
            sessions.open_session(db, person.session())
        conversations.put_record(
            db,
            conversation_id=self.conversation_id,
            epoch=1,
            key_id=self._epoch.record.key_id.hex(),
            record_hash=self._epoch.record_hash.hex(),
            previous_record_hash="",
            protocol="envelope",
            record="record",
            signature="signature",
            state=b"state",
            changes=[MemberChange(each.user_id, 1 if rank else 2, 1) for rank, each in enumerate(self.people)],
            new_grants=(),
            now=wall_clock(),
        )


def seed(database: Path, pairs: list[Pair]) -> None:
    """Make the database with these conversations."""
    db = connect(database, False)
    schema.migrate(db)
    db.execute("BEGIN IMMEDIATE")
    for pair in pairs:
        pair.put(db)
    db.execute("COMMIT")
    db.close()


def fill(database: Path, rows: int, pairs: list[Pair], each: int = 10_000) -> None:
    """Bring the number of stored messages up to `rows`, spread over these conversations, by copies of sealed ones.

    The copies differ in what the indexes hold: place, client message id, conversation.
    """
    db = connect(database, False)
    sealed = [(pair, msgspec.json.encode(pair.seal()).decode()) for pair in pairs]
    (stored,) = db.execute("SELECT count(*) FROM messages").fetchone()
    heads = dict(db.execute("SELECT conversation_id, head_seq FROM conversations"))
    while stored < rows:
        batch = []
        for number in range(min(each, rows - stored)):
            pair, text = sealed[number % len(sealed)]
            heads[pair.conversation_id] += 1
            batch.append(
                (
                    pair.conversation_id,
                    heads[pair.conversation_id],
                    pair.writer.user_id,
                    pair.writer.device_id,
                    os.urandom(16).hex(),
                    wall_clock(),
                    pair.epoch.record.key_id.hex(),
                    text,
                    "iv",
                )
            )
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "INSERT INTO messages (conversation_id, seq, sender_id, device_id, client_message_id, created_at, "
            "encrypted, encryption_key_id, encrypted_payload, iv) VALUES (?, ?, ?, ?, ?, ?, TRUE, ?, ?, ?)",
            batch,
        )
        db.execute("COMMIT")
        stored += len(batch)
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "UPDATE conversations SET head_seq = ? WHERE conversation_id = ?", [(seq, name) for name, seq in heads.items()]
    )
    db.execute("COMMIT")
    db.close()
