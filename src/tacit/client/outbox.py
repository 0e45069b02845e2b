"""Sending: each message is kept, sealed, kept again, sent until its outcome is known, and only then forgotten."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, Final, Protocol, final

from tacit import errors
from tacit.api.base import convert
from tacit.api.messages import EncryptedPayload, SendMessages
from tacit.client import queue, standing
from tacit.client.accounts import Directory
from tacit.client.books import Books
from tacit.client.changes import Changes, is_about_the_session
from tacit.client.locks import Locks
from tacit.client.openings import ROTATE, Intent
from tacit.client.queue import Queued
from tacit.client.store import Store
from tacit.client.sync import Syncer
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.conversation.content import Body
from tacit.crypto.secret import Randomness

REFUSALS: Final = 8
"""How often one message is sealed anew before its refusal is passed on."""
SEAL_ANEW: Final = (errors.EpochClosed, errors.EpochOutdated, errors.KeyIdMismatch)
"""Definite refusals that another epoch mends."""


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """What the server said of a message that it took: its place and when."""

    payload: dict[str, Any]
    seq: int
    created_at: int


class Line(Protocol):
    """A faster way than a request of its own: an open WebSocket. None where it is not open or broke."""

    async def send(self, conversation_id: str, payload: EncryptedPayload) -> tuple[int, int] | None:
        """The `seq` and time of a message that was taken, or None where nothing is known; raises its refusal."""


@final
class Outbox:
    """Sends what waits, in order, one message of a conversation at a time."""

    def __init__(
        self,
        store: Store,
        api_client: EncryptionAPIClient,
        directory: Directory,
        syncer: Syncer,
        changes: Changes,
        locks: Locks,
        clock: Clock,
        random: Randomness,
        line: Line,
    ) -> None:
        self._store = store
        self._api = api_client
        self._directory = directory
        self._syncer = syncer
        self._changes = changes
        self._locks = locks
        self._clock = clock
        self._random = random
        self._line = line
        self._instance = queue.new_instance(random)
        self._outcomes: dict[str, Accepted | errors.TacitError | None] = {}

    async def send(self, conversation_id: str, body: Body, sent_at: int) -> tuple[str, Accepted | None]:
        """Keep a message and send it; its client message id and what the server said.

        None where another program on the same store sent it. Raises `SendingBlocked` before anything is kept,
        `Unreachable` where it is kept and goes out later, and what the server refused it for.
        """
        client_message_id = await self._store.run(partial(self._enqueue, conversation_id, body, sent_at))
        self._outcomes[client_message_id] = None
        try:
            await self.flush(conversation_id)
        finally:
            outcome = self._outcomes.pop(client_message_id)
        if isinstance(outcome, errors.TacitError):
            raise outcome
        return client_message_id, outcome

    def _enqueue(self, conversation_id: str, body: Body, sent_at: int, books: Books) -> str:
        held = books.held(conversation_id)
        standing.check_may_open(books, held)
        if not standing.why_next_epoch(books, held, self._clock()):
            standing.check_sendable(books, held)
        return queue.enqueue(books, conversation_id, body, sent_at, self._random)

    async def flush(self, conversation_id: str) -> None:
        """Send everything that waits in a conversation; a message that is refused for good holds up no other."""
        refusals = 0
        force = False
        async with self._locks.of(conversation_id):
            while True:
                step = await self._store.run(partial(self._step, conversation_id, force))
                if step is None:
                    return
                if isinstance(step, Intent):
                    await self._changes.open_epoch(conversation_id, step)
                    force = False
                    continue
                try:
                    await self._deliver(step)
                except SEAL_ANEW as refusal:
                    refusals += 1
                    if refusals == REFUSALS:
                        raise
                    force = await self._recover(step, refusal)

    async def flush_all(self) -> None:
        """Send whatever waits anywhere; a conversation in which nothing may be sent is passed over."""
        for conversation_id in await self._store.run(queue.waiting_conversations):
            try:
                await self.flush(conversation_id)
            except (errors.PeerError, errors.UsageError):
                continue  # it stays in the outbox, or failed and says so there

    def _step(self, conversation_id: str, force: bool, books: Books) -> Queued | Intent | None:
        """What is to be done next: a sealed message to send, an epoch to open first, or nothing."""
        queued = queue.next_queued(books, conversation_id)
        if queued is None:
            return None
        held = books.held(conversation_id)
        if queued.payload is not None and not held.stopped:
            return queued  # its outcome is not known: it goes out as it is
        standing.check_may_open(books, held)
        if force or standing.why_next_epoch(books, held, self._clock()):
            return Intent(ROTATE)
        epoch = standing.check_sendable(books, held)
        return queue.seal_queued(books, held, epoch, queued, self._instance, self._random)

    async def _deliver(self, queued: Queued) -> None:
        """Send a sealed message until its outcome is definite; raises `Unreachable`, and what sealing anew mends."""
        assert queued.payload is not None
        payload: EncryptedPayload = convert(EncryptedPayload, queued.payload)
        try:
            answer = await self._line.send(queued.conversation_id, payload)
            if answer is None:
                sent = await self._api.send(SendMessages(queued.conversation_id, payload))
                answer = (sent.seq, sent.created_at)
        except SEAL_ANEW:
            raise
        except errors.PeerError as refusal:
            if is_about_the_session(refusal):
                raise
            await self._store.run(partial(queue.failed, queued=queued, error=refusal))
            self._settle(queued, refusal)
        else:
            await self._store.run(partial(queue.sent, queued=queued))
            self._settle(queued, Accepted(queued.payload, *answer))

    def _settle(self, queued: Queued, outcome: Accepted | errors.TacitError) -> None:
        if queued.client_message_id in self._outcomes:
            self._outcomes[queued.client_message_id] = outcome

    async def _recover(self, queued: Queued, refusal: errors.TacitError) -> bool:
        """After a definite refusal: catch up, so that the message is sealed for another epoch.

        Whether that epoch has to be opened here.
        """
        await self._store.run(partial(queue.unseal, queued=queued))
        await self._syncer.pull_conversation(queued.conversation_id)
        held_epoch = await self._store.run(lambda books: books.held(queued.conversation_id).epoch)
        if not isinstance(refusal, errors.EpochOutdated) or held_epoch != queued.epoch:
            return False
        members = await self._store.run(lambda books: set(books.held(queued.conversation_id).roster()))
        await self._directory.refresh(members)
        return True
