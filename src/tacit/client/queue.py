"""Messages on their way out: kept before they are sealed, sealed and kept before they are sent.

Runs inside a transaction of the store. What is sealed goes out byte for byte until its outcome is known; only after a
definite refusal is it sealed anew, under the same client message id.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, NamedTuple

from tacit import errors
from tacit.client import inbox, lost
from tacit.client.books import Books, Held
from tacit.conversation.content import FRANKING_KEY_BYTES, Body, Content, Name, NameNotice, Unknown, kind_and_bytes, pad
from tacit.conversation.sealing import INSTANCE_BYTES, Epoch, Sender, make_content, seal
from tacit.crypto.secret import Randomness
from tacit.signed.message import to_fields
from tacit.wire import limits
from tacit.wire.codec import encode
from tacit.wire.text import from_json, to_json

ID_BYTES: Final = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Queued:
    """One message on its way out; `payload` is None until it was sealed, `first` says that an epoch begins with it."""

    id: int
    conversation_id: str
    client_message_id: str
    kind: int
    body: bytes = dataclasses.field(repr=False)
    sent_at: int
    payload: dict[str, Any] | None
    epoch: int | None
    instance_id: bytes | None
    counter: int | None
    first: bool


def new_instance(random: Randomness) -> bytes:
    """The random id of one opening of the store: a restored snapshot never uses a message key again."""
    return random(INSTANCE_BYTES)


def enqueue(
    books: Books, conversation_id: str, body: Body, sent_at: int, random: Randomness, *, first: bool = False
) -> str:
    """Keep a message to be sent, before all others if `first`; its client message id.

    Raises `TooLarge` for what would not fit into one message.
    """
    kind, raw = kind_and_bytes(body)
    fullest = (bytes(32),) * limits.SEEN_HASHES
    pad(encode(Content(kind, sent_at, fullest, b"", bytes(FRANKING_KEY_BYTES), raw)))
    client_message_id = random(ID_BYTES).hex()
    row = (conversation_id, client_message_id, first, kind, raw, sent_at)
    books.connection.execute(
        """INSERT INTO outbox (conversation_id, client_message_id, first, kind, body, sent_at, state)
        VALUES (?, ?, ?, ?, ?, ?, 'waiting')""",
        row,
    )
    return client_message_id


def waiting_conversations(books: Books) -> list[str]:
    """The conversations that have something to send."""
    query = "SELECT DISTINCT conversation_id FROM outbox WHERE state = 'waiting' ORDER BY conversation_id"
    return [row[0] for row in books.connection.execute(query)]


def next_queued(books: Books, conversation_id: str) -> Queued | None:
    """What goes out next: what was sealed already, then an epoch's first message, then by age."""
    query = """SELECT id, client_message_id, kind, body, sent_at, sealed, epoch, instance_id, counter, first
        FROM outbox
        WHERE conversation_id = ? AND state = 'waiting' ORDER BY sealed IS NULL, first DESC, id LIMIT 1"""
    row = books.connection.execute(query, (conversation_id,)).fetchone()
    if row is None:
        return None
    number, client_message_id, kind, body, sent_at, sealed, epoch, instance_id, counter, first = row
    payload = from_json(sealed) if sealed is not None else None
    return Queued(
        number,
        conversation_id,
        client_message_id,
        kind,
        bytes(body),
        sent_at,
        payload,
        epoch,
        instance_id,
        counter,
        bool(first),
    )


def seal_queued(books: Books, held: Held, epoch: Epoch, queued: Queued, instance: bytes, random: Randomness) -> Queued:
    """Seal a message for the epoch and keep it, its counter with it."""
    me = books.me
    counter = queued.counter
    if queued.instance_id != instance or queued.epoch == epoch.epoch or counter is None:
        counter = next_counter(books, instance, held.id)
    # Otherwise it was refused in an epoch that is closed: under another key the counter is still unused, and taking
    # the next one would look like a lost message to all others.
    body: Body = Unknown(queued.kind, queued.body)  # as it was encoded when it was written
    if queued.first and held.name:
        body = NameNotice(held.name)  # as it is by now: the notice was kept when its epoch began
    seen = inbox.newest_hashes(books, held.id)
    content = make_content(body, sent_at=queued.sent_at, seen=seen, random=random)
    sealed = seal(
        epoch,
        Sender(me.user_id, me.device_id, instance, me.request_key.sign),
        content,
        counter=counter,
        client_message_id=queued.client_message_id,
        random=random,
    )
    payload = to_fields(sealed.message, sealed.signature)
    books.connection.execute(
        "UPDATE outbox SET sealed = ?, epoch = ?, instance_id = ?, counter = ? WHERE id = ?",
        (to_json(payload), epoch.epoch, instance, counter, queued.id),
    )
    return dataclasses.replace(queued, payload=payload, epoch=epoch.epoch, instance_id=instance, counter=counter)


def next_counter(books: Books, instance: bytes, conversation_id: str) -> int:
    """The counter of the next message of this opening of the store; in the transaction that gives it out it is used."""
    query = "SELECT next FROM sending WHERE instance_id = ? AND conversation_id = ?"
    row = books.connection.execute(query, (instance, conversation_id)).fetchone()
    counter: int = row[0] if row else 0
    update = "INSERT OR REPLACE INTO sending VALUES (?, ?, ?)"
    books.connection.execute(update, (instance, conversation_id, counter + 1))
    return counter


def unseal(books: Books, queued: Queued) -> None:
    """Forget the sealed form after a definite refusal; epoch and counter stay known.

    Only the form that was refused: another program on this store may have sealed it anew meanwhile.
    """
    row = (queued.id, to_json(queued.payload))
    books.connection.execute("UPDATE outbox SET sealed = NULL WHERE id = ? AND sealed = ?", row)


def sent(books: Books, queued: Queued, seq: int) -> None:
    """The message was accepted at `seq`: it comes back with its conversation's page."""
    if seq > books.held(queued.conversation_id).highest:
        payload = to_json(queued.payload)
        lost.acknowledged(books, queued.conversation_id, queued.client_message_id, seq, payload)
    books.connection.execute("DELETE FROM outbox WHERE id = ?", (queued.id,))


def failed(books: Books, queued: Queued, error: errors.TacitError) -> bool:
    """The message was refused for good; False where the form that was refused is not the one that is kept any more."""
    row = (error.code, queued.id, to_json(queued.payload))
    update = "UPDATE outbox SET state = 'failed', sealed = NULL, failure = ? WHERE id = ? AND sealed = ?"
    return bool(books.connection.execute(update, row).rowcount)


class State(NamedTuple):
    """Of a message that is kept: whether it goes out later, or the code that it failed with."""

    waits: bool
    failure: str


def state_of(books: Books, client_message_id: str) -> State | None:
    """What became of a message, or None where it was sent."""
    query = "SELECT state = 'waiting', failure FROM outbox WHERE client_message_id = ?"
    row = books.connection.execute(query, (client_message_id,)).fetchone()
    return State(bool(row[0]), row[1]) if row is not None else None


def give_up(books: Books, conversation_id: str, error: type[errors.TacitError]) -> None:
    """Nothing that waits goes out any more; what came back from the server was sent and says so."""
    books.connection.execute(
        "DELETE FROM outbox WHERE conversation_id = ? AND state = 'waiting' AND first", (conversation_id,)
    )
    me = books.me
    query = "SELECT id, client_message_id FROM outbox WHERE conversation_id = ? AND state = 'waiting'"
    for number, client_message_id in books.connection.execute(query, (conversation_id,)).fetchall():
        name = Name(me.user_id, me.device_id, client_message_id)
        if inbox.find_authentic(books, conversation_id, name) is None:
            update = "UPDATE outbox SET state = 'failed', sealed = NULL, failure = ? WHERE id = ?"
            books.connection.execute(update, (error.code, number))


def unsent(books: Books, conversation_id: str) -> list[tuple[str, str]]:
    """The client message ids that did not go out yet, each with the code of its refusal or the empty text."""
    query = "SELECT client_message_id, failure FROM outbox WHERE conversation_id = ? ORDER BY id"
    return [(row[0], row[1]) for row in books.connection.execute(query, (conversation_id,))]
