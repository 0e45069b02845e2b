"""Changing a conversation: the next epoch is built, kept, sent, and built again until it or another one counts."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final, final

from tacit import errors
from tacit.api.base import binary
from tacit.api.conversations import ConversationKeys, EncryptedKey, LeaveConversation
from tacit.client import openings, standing
from tacit.client.accounts import Directory
from tacit.client.answers import is_about_the_session
from tacit.client.books import Books, Held
from tacit.client.locks import Locks
from tacit.client.openings import CREATE, Intent, Opening
from tacit.client.store import Store
from tacit.client.sync import Syncer
from tacit.client.timing import Clock, Sleep, backoff
from tacit.client.transport import EncryptionAPIClient
from tacit.conversation.judging_records import listed
from tacit.crypto.secret import Randomness
from tacit.signed.account import account_hash
from tacit.signed.record import Leave, SignedLeave, conversation_id_of, sign_leave
from tacit.wire import limits
from tacit.wire.codec import decode, encode
from tacit.wire.text import to_base64

ATTEMPTS: Final = 10
"""How often an epoch is built anew after others were faster."""


@final
class Changes:
    """Opens epochs. Whoever calls `open_epoch` or `finish_earlier` holds the conversation's lock."""

    def __init__(
        self,
        store: Store,
        api_client: EncryptionAPIClient,
        directory: Directory,
        syncer: Syncer,
        locks: Locks,
        clock: Clock,
        random: Randomness,
        sleep: Sleep,
    ) -> None:
        self._store = store
        self._api = api_client
        self._directory = directory
        self._syncer = syncer
        self._locks = locks
        self._clock = clock
        self._random = random
        self._sleep = sleep

    async def create(self, name: str, members: tuple[str, ...], profile: str = "") -> str:
        """Found a conversation; its id. `profile` is by default one's own account's.

        Raises `NoSuchAccount`, `CannotFollow`, `TooLarge`, `IdentityChanged` or `InvalidArgument`.
        """
        me = await self._store.run(lambda books: books.me.user_id)
        await self._store.run(standing.check_own_identity)
        genesis = self._random(32)
        others = tuple(sorted(set(members) - {me}))
        check_name(name)
        intent = Intent(CREATE, others, name=name, genesis=genesis.hex(), profile=profile)
        conversation_id = conversation_id_of(me, genesis)
        async with self._locks.of(conversation_id):
            await self.open_epoch(conversation_id, intent)
        return conversation_id

    async def change(self, conversation_id: str, intent: Intent) -> bool:
        """Make a change; False where it is so already."""
        async with self._locks.of(conversation_id):
            await self._syncer.pull_conversation(conversation_id)
            return await self.open_epoch(conversation_id, intent)

    async def leave(self, conversation_id: str) -> None:
        """Ask to be taken out: the next one who opens an epoch does it. Nothing more is sent from here."""
        async with self._locks.of(conversation_id):
            await self._syncer.pull_conversation(conversation_id)
            raw = await self._store.run(lambda books: prepare_leave(books, conversation_id))
            await self._send_leave(conversation_id, raw)

    async def _send_leave(self, conversation_id: str, raw: bytes) -> None:
        await self._api.post_conversations_leave(conversation_id, LeaveConversation(to_base64(raw)))
        await self._store.run(partial(leave_arrived, conversation_id=conversation_id, raw=raw))

    async def resume(self) -> None:
        """Bring to an end what a crash or a lost connection interrupted."""
        for conversation_id in await self._store.run(openings.unsettled):
            async with self._locks.of(conversation_id):
                try:
                    await self.finish_earlier(conversation_id)
                except (errors.PeerError, errors.UsageError):
                    continue  # refused for good and forgotten, or nothing may be sent in this conversation
        for conversation_id, raw in await self._store.run(unsent_leaves):
            async with self._locks.of(conversation_id):
                with suppress(errors.PeerError):  # who is out already needs not to ask
                    await self._send_leave(conversation_id, raw)

    async def open_epoch(self, conversation_id: str, intent: Intent) -> bool:
        """Open the next epoch; False where what is wanted is so already.

        Raises `NoRight`, `SendingBlocked`, `NoSuchAccount` and the like before anything is sent; `Unreachable` leaves
        the outcome open, and the next `resume` settles it.
        """
        await self.finish_earlier(conversation_id)
        return await self._attempt(conversation_id, intent)

    async def _attempt(self, conversation_id: str, intent: Intent) -> bool:
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._sleep(backoff(attempt - 1, self._random, 0.05, 2.0))
            users = await self._store.run(
                partial(openings.users_concerned, conversation_id=conversation_id, intent=intent)
            )
            await self._directory.refresh(users)
            made = await self._built(conversation_id, intent)
            if made is None:
                return False
            if await self._post(made):
                return True
        raise errors.EpochConflict(f"others were faster {ATTEMPTS} times")

    async def _built(self, conversation_id: str, intent: Intent) -> Opening | None:
        """The next epoch, kept; None where what is wanted is so already.

        An earlier one that lost its race is forgotten where no other takes its place: it can never count, and for as
        long as it is kept nothing is sent.
        """
        try:
            made = await self._store.run(partial(self._prepare, conversation_id, intent))
        except errors.SendingBlocked:
            raise  # for now: it is built again once something may be sent
        except (errors.PeerError, errors.UsageError):
            await self._store.run(partial(openings.drop, conversation_id=conversation_id))
            raise
        if made is None:
            await self._store.run(partial(openings.drop, conversation_id=conversation_id))
        return made

    def _prepare(self, conversation_id: str, intent: Intent, books: Books) -> Opening | None:
        held = books.find(conversation_id)
        if held is not None and held.epoch:
            standing.check_may_open(books, held)
        elif intent.op != CREATE:
            raise errors.ConversationNotFound()
        return openings.prepare(books, conversation_id, intent, self._clock(), self._random)

    async def finish_earlier(self, conversation_id: str) -> None:
        """No second epoch before the outcome of the first is known: it is sent as it is, then built anew.

        Raises `SendingBlocked` where none may be opened any more: then its outcome stays open.
        """
        made = await self._store.run(partial(kept, conversation_id=conversation_id))
        if made is not None and not await self._post(made):
            await self._attempt(conversation_id, made.intent)

    async def _post(self, made: Opening) -> bool:
        """Send an epoch that was kept; whether it counts. Where not, another one has to be built."""
        try:
            written = await self._api.post_encryption_conversation_keys(request_of(made))
        except errors.EpochConflict:
            await self._syncer.pull_conversation(made.conversation_id)
            return await self._store.run(lambda books: counts(books, made))
        except errors.RecordOutdated as problem:
            await self._learn(made.conversation_id, problem)
            return False
        except (errors.PeerError, errors.UsageError) as problem:
            if not is_about_the_session(problem):
                await self._store.run(lambda books: openings.drop(books, made.conversation_id))
            raise
        await self._syncer.take_own(made, written.seq)
        return True

    async def _learn(self, conversation_id: str, problem: errors.RecordOutdated) -> None:
        """Fetch what the record did not name; leaves are only kept here, and judged where they are used."""
        users = [each for each in listed(problem.facts.get("accounts")) if isinstance(each, str)]
        await self._directory.try_refresh(users)

        def keep(books: Books) -> None:
            for each in listed(problem.facts.get("leaves")):
                if isinstance(each, str):
                    try:
                        openings.keep_leave(books, conversation_id, binary(each, limits.RECORD_BYTES))
                    except errors.PeerError:
                        continue

        await self._store.run(keep)


def kept(books: Books, conversation_id: str) -> Opening | None:
    """The epoch that is being opened here, or None; raises `SendingBlocked` where it may not be sent any more."""
    made = openings.find(books, conversation_id)
    if made is not None:
        held = books.held(conversation_id)
        if held.epoch:
            standing.check_may_open(books, held)
        else:
            standing.check_not_stopped(held)
    return made


def counts(books: Books, made: Opening) -> bool:
    """Whether an epoch's record is the one that was made here."""
    known = books.held(made.conversation_id).known.get(made.record.epoch)
    return known is not None and known.record_hash == made.record_hash


def request_of(made: Opening) -> ConversationKeys:
    """What is sent to open an epoch."""
    return ConversationKeys(
        made.conversation_id,
        made.record.key_id.hex(),
        [EncryptedKey(recipient, grant) for recipient, grant in openings.grants_for_request(made)],
        list(made.member_ids),
        to_base64(encode(made.record)),
        to_base64(made.signature),
    )


def prepare_leave(books: Books, conversation_id: str) -> bytes:
    """Sign one's own leave and keep it.

    Raises `NotAMember`, also for an account that was reset since, and `InvalidArgument` for the last admin.
    """
    held = books.held(conversation_id)
    state = held.state()
    me = books.me
    place = held.roster().get(me.user_id)
    if state is None or place is None:
        raise errors.NotAMember()
    if standing.is_another_identity(books, place):
        raise errors.NotAMember("your account was reset: the others take you out")
    if openings.is_last_admin(held.roster(), me.user_id):
        raise errors.InvalidArgument("the last admin appoints another first")
    account = books.own_account().value
    if held.leaving is not None:
        earlier = decode(SignedLeave, held.leaving).leave
        if (earlier.adding_record_hash, earlier.account_hash) == (state.added()[me.user_id], account_hash(account)):
            return held.leaving
    held.leaving = _signed_leave(books, held)
    held.leave_sent = False
    books.save(held)
    return held.leaving


def _signed_leave(books: Books, held: Held) -> bytes:
    """A leave of the present stay, under the newest account version."""
    state, me, account = held.state(), books.me, books.own_account().value
    assert state is not None
    adding = state.added()[me.user_id]
    leave = Leave(held.id, adding, me.user_id, me.device_id, account.version, account_hash(account))
    return encode(sign_leave(leave, me.request_key.sign))


def unsent_leaves(books: Books) -> list[tuple[str, bytes]]:
    """One's own leaves that the server may not have, with their conversations.

    One that names an older account version than the roster does is stale, and signed again: nobody may carry it out.
    """
    waiting: list[tuple[str, bytes]] = []
    for conversation_id in books.conversation_ids():
        held = books.held(conversation_id)
        place = held.roster().get(books.me.user_id)
        if held.leaving is None or place is None or not standing.is_leaving(books, held):
            continue
        if standing.is_another_identity(books, place):
            continue
        if decode(SignedLeave, held.leaving).leave.account_version < place.account_version:
            held.leaving = _signed_leave(books, held)
            held.leave_sent = False
            books.save(held)
        if not held.leave_sent:
            waiting.append((conversation_id, held.leaving))
    return waiting


def leave_arrived(books: Books, conversation_id: str, raw: bytes) -> None:
    """The server has a leave."""
    held = books.held(conversation_id)
    if held.leaving == raw:
        held.leave_sent = True
        books.save(held)


def check_name(name: str) -> None:
    """Raises `InvalidArgument` unless a conversation's name is 1 to 255 bytes of UTF-8."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= limits.ID_BYTES:
        raise errors.InvalidArgument("a conversation's name is 1 to 255 bytes of UTF-8")
