"""Keys that are missing: asked for, handed on to who was in the epoch, and taken when they come later."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, final

from tacit import errors
from tacit.api.conversations import ConversationKeys, EncryptedKey, GrantRequest
from tacit.client.accounts import Directory
from tacit.client.books import Books, Held
from tacit.client.comparing import contradictions
from tacit.client.conversations import after_update
from tacit.client.grants import grant_failure, keep_grants
from tacit.client.store import Store
from tacit.client.timing import Clock
from tacit.client.transport import EncryptionAPIClient
from tacit.conversation.envelope import make_grants
from tacit.crypto.secret import Randomness
from tacit.signed.account import account_hash, aik_fingerprint
from tacit.signed.grant import Granter
from tacit.wire.codec import encode
from tacit.wire.text import to_base64

ASK_AGAIN: Final = 60 * 60 * 1000
"""How long (milliseconds) until a key that did not come is asked for again; the server tells nobody sooner."""


class Wanted(NamedTuple):
    """Who asks for the key of which epoch."""

    conversation_id: str
    epoch: int
    user_id: str


@final
class Granting:
    """Asks for the keys that this device lacks, and hands on those that others ask for."""

    def __init__(
        self, store: Store, api_client: EncryptionAPIClient, directory: Directory, clock: Clock, random: Randomness
    ) -> None:
        self._store = store
        self._api = api_client
        self._directory = directory
        self._clock = clock
        self._random = random

    async def settle(self) -> None:
        """Ask and answer what is due; what the server refuses is left."""
        now = self._clock()
        for conversation_id, epoch, key_id in await self._store.run(partial(missing, now=now)):
            with suppress(errors.PeerError):
                await self.fetch(conversation_id, epoch)
                if await self._store.run(partial(is_missing, conversation_id=conversation_id, epoch=epoch)):
                    await self._api.post_conversations_grant_requests(conversation_id, GrantRequest(key_id))
            await self._store.run(partial(asked, conversation_id=conversation_id, epoch=epoch, now=now))
        for wanted in await self._store.run(all_wanted):
            with suppress(errors.PeerError, errors.UsageError):
                await self._answer(wanted)
            await self._store.run(partial(answered, wanted=wanted))

    async def fetch(self, conversation_id: str, epoch: int) -> None:
        """Take the grants of an epoch that was passed without its key."""
        answer = await self._api.get_encryption_conversation_keys(conversation_id, epoch - 1)
        now, random = self._clock(), self._random

        def take(books: Books) -> None:
            held = books.held(conversation_id)
            for each in answer.epochs:
                if each.epoch == epoch:
                    keep_grants(books, held, each.encrypted_keys)
            after_update(books, now, random, conversation_id)

        await self._store.run(take)

    async def _answer(self, wanted: Wanted) -> None:
        """Hand on a key, to the newest account record of who asks: never on the server's word alone.

        Raises `PeerError` where the account contradicts what is known of it.
        """
        await self._directory.refresh([wanted.user_id])
        body = await self._store.run(lambda books: grant_for(books, wanted))
        if body is not None:
            await self._api.post_encryption_conversation_keys(body)


def missing(books: Books, now: int) -> list[tuple[str, int, str]]:
    """The epochs whose key should be here and is not: conversation, epoch and key id.

    That is where no grant came, or all that came were refused, and none was asked for lately.
    """
    found = []
    for conversation_id in books.conversation_ids():
        held = books.held(conversation_id)
        for number, known in held.known.items():
            if known.opened is None and is_in(books, held, number) and is_due(books, held, number, now):
                found.append((conversation_id, number, known.record.key_id.hex()))
    return found


def is_missing(books: Books, conversation_id: str, epoch: int) -> bool:
    """Whether an epoch is without its key."""
    known = books.held(conversation_id).known.get(epoch)
    return known is not None and known.opened is None


def is_in(books: Books, held: Held, number: int) -> bool:
    """Whether this account, with its present identity key, is in an epoch's roster and in the conversation now."""
    own = books.own_account().value
    fingerprint = aik_fingerprint(own.profile, own.aik)
    rosters = (held.known[number].roster, held.roster())
    return all(
        (place := roster.get(own.user_id)) is not None and place.aik_fingerprint == fingerprint for roster in rosters
    )


def is_due(books: Books, held: Held, number: int, now: int) -> bool:
    """Whether an epoch's key is to be asked for."""
    query = "SELECT asked_at FROM grants_asked WHERE conversation_id = ? AND epoch = ?"
    row = books.connection.execute(query, (held.id, number)).fetchone()
    if row is not None and now - row[0] < ASK_AGAIN:
        return False
    query = "SELECT count(*) FROM grants WHERE conversation_id = ? AND record_hash = ?"
    (came,) = books.connection.execute(query, (held.id, held.known[number].record_hash)).fetchone()
    return not came or bool(grant_failure(books, held, number))


def asked(books: Books, conversation_id: str, epoch: int, now: int) -> None:
    """An epoch's key was asked for."""
    books.connection.execute("INSERT OR REPLACE INTO grants_asked VALUES (?, ?, ?)", (conversation_id, epoch, now))


def want(books: Books, wanted: Wanted) -> None:
    """Somebody asks for an epoch's key, so the server says."""
    books.connection.execute("INSERT OR IGNORE INTO grants_wanted VALUES (?, ?, ?)", wanted)


def all_wanted(books: Books) -> list[Wanted]:
    """Who asks for which key."""
    return [Wanted(*row) for row in books.connection.execute("SELECT * FROM grants_wanted").fetchall()]


def answered(books: Books, wanted: Wanted) -> None:
    """A request was answered, or there is nothing to answer."""
    gone = "DELETE FROM grants_wanted WHERE conversation_id = ? AND epoch = ? AND user_id = ?"
    books.connection.execute(gone, wanted)


def grant_for(books: Books, wanted: Wanted) -> ConversationKeys | None:
    """The grant that hands an epoch's key on, or None where this device's own record does not have the asker in it.

    It goes to the newest account record, under the identity key that the epoch's roster and the present one have.
    """
    held = books.find(wanted.conversation_id)
    known = held.known.get(wanted.epoch) if held is not None else None
    account = books.accounts.newest(wanted.user_id)
    if held is None or known is None or known.opened is None or account is None:
        return None
    if held.stopped or contradictions(books, held):
        return None
    fingerprint = aik_fingerprint(account.value.profile, account.value.aik)
    for roster in (known.roster, held.roster()):
        place = roster.get(wanted.user_id)
        if place is None or place.aik_fingerprint != fingerprint:
            return None
    if not is_in(books, held, wanted.epoch) or wanted.user_id in books.alarmed_accounts():
        return None
    me = books.me
    granter = Granter(me.user_id, me.device_id, account_hash(books.own_account().value))
    grants = make_grants(known.record, known.opened.key, granter, me.request_key.sign, [account], known.roster)
    keys = [EncryptedKey(each.grant.recipient, to_base64(encode(each))) for each in grants]
    return ConversationKeys(held.id, known.record.key_id.hex(), keys) if keys else None
