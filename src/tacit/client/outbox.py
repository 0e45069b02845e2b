"""Sending: each message is kept, sealed, kept again, sent until its outcome is known, and only then forgotten."""

from __future__ import annotations

import dataclasses
from enum import Enum
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, assert_never, final

from tacit import errors
from tacit.api.base import convert
from tacit.api.messages import EncryptedPayload, SendMessages
from tacit.client import inbox, openings, queue, standing
from tacit.client.accounts import Directory
from tacit.client.answers import is_about_the_session
from tacit.client.books import Books, Held
from tacit.client.changes import Changes
from tacit.client.locks import Locks
from tacit.client.openings import ROTATE, Intent
from tacit.client.queue import Queued
from tacit.client.store import Store
from tacit.client.sync import Syncer
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.conversation.content import Body, Name
from tacit.crypto.secret import Randomness

REFUSALS: Final = 8
"""How often one message is sealed anew before its refusal is passed on."""
EPOCHS: Final = 4
"""How many epochs are opened for one message before it is left in the outbox."""
SEAL_ANEW: Final = (errors.EpochClosed, errors.EpochOutdated, errors.KeyIdMismatch)
"""Definite refusals that another epoch mends."""


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """What the server said of a message that it took: its place and when."""

    payload: dict[str, Any]
    seq: int
    created_at: int


class First(Enum):
    """What comes before anything is sent in a conversation."""

    CATCH_UP = "catch up"
    """It was not fetched to its end since this store was opened."""
    FINISH = "finish"
    """An epoch that this device began to open may count or not."""


class Arrived(NamedTuple):
    """A sealed message of an epoch that is closed, which came back: it was taken."""

    queued: Queued
    accepted: Accepted


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

        None where another program on the same store sends it. Raises `SendingBlocked` before anything is kept, what
        `still_waits` says where it is kept and goes out later, and what it was refused for.
        """
        client_message_id = await self._store.run(partial(self._enqueue, conversation_id, body, sent_at))
        self._outcomes[client_message_id] = None
        problem: errors.TacitError | None = None
        try:
            await self.flush(conversation_id)
        except errors.TacitError as error:
            problem = error
        finally:
            outcome = self._outcomes.pop(client_message_id)
        if isinstance(outcome, errors.TacitError):
            raise outcome
        if outcome is not None:
            return client_message_id, outcome  # the problem is another message's, which waits
        state = await self._store.run(partial(queue.state_of, client_message_id=client_message_id))
        if state is not None and state.failure:
            raise errors.from_code(state.failure)
        if state is not None and problem is not None:
            raise still_waits(problem) from problem
        return client_message_id, None

    def _enqueue(self, conversation_id: str, body: Body, sent_at: int, books: Books) -> str:
        held = books.held(conversation_id)
        standing.check_may_open(books, held)
        if not standing.why_next_epoch(books, held, self._clock()):
            standing.check_sendable(books, held)
        return queue.enqueue(books, conversation_id, body, sent_at, self._random)

    async def flush(self, conversation_id: str) -> None:
        """Send everything that waits in a conversation; a message that is refused for good holds up no other."""
        refusals = epochs = 0
        force = False
        async with self._locks.of(conversation_id):
            while True:
                step = await self._store.run(partial(self._step, conversation_id, force))
                match step:
                    case None:
                        return
                    case First.CATCH_UP:
                        await self._syncer.pull_conversation(conversation_id)
                    case First.FINISH:
                        epochs += 1
                        check_epochs(epochs)
                        await self._finish_earlier(conversation_id)
                    case Intent():
                        epochs += 1
                        check_epochs(epochs)
                        await self._changes.open_epoch(conversation_id, step)
                        force = False
                    case Arrived():
                        await self._store.run(partial(queue.sent, queued=step.queued, seq=step.accepted.seq))
                        self._settle(step.queued, step.accepted)
                    case Queued():
                        try:
                            await self._deliver(step)
                            epochs = epochs if step.first else 0
                        except SEAL_ANEW as refusal:
                            refusals += 1
                            if refusals == REFUSALS:
                                raise
                            force = await self._recover(step, refusal)
                    case _:
                        assert_never(step)

    async def make_ready(self, conversation_id: str) -> None:
        """Fetch what is new and open the next epoch where one is due, so that a message can be sealed.

        Raises `SendingBlocked` where nothing may be sent, and what opening an epoch raises.
        """
        epochs = 0
        async with self._locks.of(conversation_id):
            while True:
                await self._syncer.pull_conversation(conversation_id)
                step = await self._store.run(partial(self.next_step, conversation_id))
                if step is None:
                    break
                epochs += 1
                check_epochs(epochs)
                if isinstance(step, Intent):
                    await self._changes.open_epoch(conversation_id, step)
                else:
                    await self._finish_earlier(conversation_id)
        await self.flush(conversation_id)

    def next_step(self, conversation_id: str, books: Books) -> Intent | First | None:
        """What comes before a message can be sealed in this transaction, or None; raises `SendingBlocked`."""
        held = books.held(conversation_id)
        first = self._first(books, held)
        if first is None:
            standing.check_may_open(books, held)
            if standing.why_next_epoch(books, held, self._clock()):
                return Intent(ROTATE)
            standing.check_sendable(books, held)
        return first

    def _first(self, books: Books, held: Held) -> First | None:
        standing.check_not_stopped(held)
        if held.id not in self._syncer.caught_up:
            return First.CATCH_UP
        return First.FINISH if openings.find(books, held.id) is not None else None

    async def _finish_earlier(self, conversation_id: str) -> None:
        """Bring an earlier change to an end; one that is refused is forgotten, and holds up no message."""
        try:
            await self._changes.finish_earlier(conversation_id)
        except (errors.SendingBlocked, errors.EpochConflict):
            raise
        except (errors.PeerError, errors.UsageError) as refusal:
            if is_about_the_session(refusal):
                raise
            await self._store.run(partial(openings.drop, conversation_id=conversation_id))

    async def flush_all(self) -> None:
        """Send whatever waits anywhere; a conversation in which nothing may be sent is passed over."""
        for conversation_id in await self._store.run(queue.waiting_conversations):
            try:
                await self.flush(conversation_id)
            except (errors.PeerError, errors.UsageError):
                continue  # it stays in the outbox, or failed and says so there

    def _step(self, conversation_id: str, force: bool, books: Books) -> Queued | Intent | First | Arrived | None:
        """What is to be done next: something that comes first, an epoch to open, a sealed message to send, or nothing.

        What is sealed already is held to the same as what is not: it goes out in the newest epoch only.
        """
        queued = queue.next_queued(books, conversation_id)
        if queued is None:
            return None
        held = books.held(conversation_id)
        first = self._first(books, held)
        if first is not None:
            return first
        while queued is not None and is_closed(held, queued):
            accepted = arrived(books, queued)
            if accepted is not None:
                return Arrived(queued, accepted)
            queue.unseal(books, queued)
            queued = queue.next_queued(books, conversation_id)
        assert queued is not None
        standing.check_may_open(books, held)
        if force or standing.why_next_epoch(books, held, self._clock()):
            return Intent(ROTATE)
        epoch = standing.check_sendable(books, held)
        if queued.payload is not None:
            return queued  # its outcome is not known: it goes out as it is
        return queue.seal_queued(books, held, epoch, queued, self._instance, self._random)

    async def _deliver(self, queued: Queued) -> None:
        """Send a sealed message until its outcome is definite; raises `Unreachable`, and what sealing anew mends."""
        assert queued.payload is not None
        payload: EncryptedPayload = convert(EncryptedPayload, queued.payload)
        try:
            answer = await self._line.send(queued.conversation_id, payload)
            if answer is None:
                sent = await self._api.post_messages_encrypted(SendMessages(queued.conversation_id, payload))
                answer = (sent.seq, sent.created_at)
        except errors.PeerError as refusal:
            if is_about_the_session(refusal):
                raise
            if await self._syncer.is_restored():
                self._syncer.caught_up.clear()  # it has to be told first what it lacks; the message stays as it is
                return
            if isinstance(refusal, SEAL_ANEW):
                raise
            if await self._store.run(partial(queue.failed, queued=queued, error=refusal)):
                self._settle(queued, refusal)
        else:
            await self._store.run(partial(queue.sent, queued=queued, seq=answer[0]))
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


def still_waits(problem: errors.TacitError) -> errors.TacitError:
    """What is said of a message that is kept: nobody has to send it again.

    What is about the session, and that the server is another, stays what it is; a failure of network or server is
    `Unreachable`, and all else `SendingBlocked`.
    """
    detail = f"the message is kept and goes out later: {problem.detail or problem.title()}"
    if is_about_the_session(problem) or isinstance(problem, errors.PinMismatch | errors.CertificateRefused):
        return type(problem)(detail, **problem.facts)
    return errors.Unreachable(detail) if isinstance(problem, errors.ServiceError) else errors.SendingBlocked(detail)


def check_epochs(opened: int) -> None:
    """Raises `SendingBlocked` where one epoch after the other is due, or undecided, before a message goes out."""
    if opened > EPOCHS:
        raise errors.SendingBlocked(f"after {EPOCHS} attempts to open an epoch one is still due")


def is_closed(held: Held, queued: Queued) -> bool:
    """Whether a message was sealed for an epoch that another one followed.

    The server takes messages for the newest epoch only, and everything up to the next record was received: where the
    message is not among it, it was not taken and never will be.
    """
    return queued.payload is not None and queued.epoch is not None and queued.epoch < held.epoch


def arrived(books: Books, queued: Queued) -> Accepted | None:
    """What the server would have answered for a sealed message that came back, or None."""
    me = books.me
    name = Name(me.user_id, me.device_id, queued.client_message_id)
    found = inbox.find_authentic(books, queued.conversation_id, name)
    if found is None or queued.payload is None:
        return None
    return Accepted(queued.payload, found.seq, found.created_at)
