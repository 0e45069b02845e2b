"""Sealed messages that an application gets into its hands, and served ones that it brings back.

What is sealed here is under the same guards as what `Outbox` sends; what is brought back is judged where everything is,
in the inbox.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, final

import msgspec

from tacit import errors
from tacit.api.base import convert
from tacit.api.messages import EncryptedPayload
from tacit.client import inbox, queue, view
from tacit.client.accounts import Directory
from tacit.client.books import Books, Held
from tacit.client.outbox import Outbox
from tacit.client.store import Store
from tacit.client.sync import Syncer
from tacit.client.timing import Clock
from tacit.client.view import Message
from tacit.conversation.content import Body
from tacit.conversation.envelope import check_granter
from tacit.conversation.judging import Undecryptable
from tacit.conversation.sealing import Sender, make_content, seal
from tacit.crypto.secret import Randomness
from tacit.signed.grant import SignedGrant
from tacit.signed.message import to_fields
from tacit.wire.codec import decode
from tacit.wire.text import from_json, to_json

ATTEMPTS: Final = 4
"""How often a message is sealed anew because its conversation changed meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be said of a conversation's key; the key itself stays in the store.

    `key_id` and `record_hash` are hex. `opened` says that this device has the key, `granted_by` whose signed grants of
    it to this account it holds. `members` are all who are in the epoch, `without_key` those of them who have no device
    that could read.
    """

    conversation_id: str
    key_id: str
    epoch: int
    record_hash: str
    opened: bool
    opener: str
    granted_by: tuple[str, ...]
    members: tuple[str, ...]
    without_key: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What is to be sealed: for exactly these members (oneself may be left out), and under this key, if given."""

    body: Body
    recipients: frozenset[str] | None = None
    key_id: str = ""


class Served(NamedTuple):
    """What an application was served: a payload as the inbox keeps it, the name that it claims, its place if known."""

    payload: str
    name: tuple[str, str, str]
    seq: int | None


def read_served(payload: Mapping[str, Any], seq: int | None) -> Served:
    """A payload out of parsed JSON; raises `MalformedJson` or `UnknownField`."""
    parsed: EncryptedPayload = convert(EncryptedPayload, dict(payload))
    text = to_json(msgspec.to_builtins(parsed))
    from_json(text)  # half of a surrogate pair is no text
    return Served(text, (parsed.sender_id, parsed.device_id, parsed.client_message_id), seq)


@final
class Handing:
    """Seals for an application, and judges what it brings. Its counters are of an `instance_id` of their own."""

    def __init__(
        self, store: Store, directory: Directory, syncer: Syncer, outbox: Outbox, clock: Clock, random: Randomness
    ) -> None:
        self._store = store
        self._directory = directory
        self._syncer = syncer
        self._outbox = outbox
        self._clock = clock
        self._random = random
        self._instance = queue.new_instance(random)

    async def find(self, conversation_id: str) -> None:
        """Know a conversation, if need be by fetching what is new; raises `ConversationNotFound`."""
        if await self._store.run(lambda books: books.find(conversation_id)) is None:
            await self._syncer.pull()
            await self._store.run(lambda books: books.held(conversation_id))

    async def has_keys(self, user_id: str) -> bool:
        """Whether somebody has an account with a device, as the server says now."""
        try:
            await self._directory.refresh([user_id])
        except errors.NoSuchAccount:
            return False
        account = await self._store.run(lambda books: books.accounts.newest(user_id))
        return account is not None and bool(account.value.devices)

    async def newest_key(self, conversation_id: str, recipients: Collection[str] | None = None) -> KeyInfo:
        """The key to send under, of the next epoch where one is due; raises `WrongRecipients`."""
        await self._make_ready(conversation_id, recipients)
        return await self._store.run(partial(newest, conversation_id=conversation_id, recipients=recipients))

    async def key(self, conversation_id: str, key_id: str) -> KeyInfo:
        """A key that this device has; raises `RecordMissing` or `NoGrant`."""
        await self.find(conversation_id)
        look = partial(of_key_id, conversation_id=conversation_id, key_id=key_id)
        try:
            return await self._store.run(look)
        except (errors.RecordMissing, errors.NoGrant):
            await self._syncer.pull_conversation(conversation_id)
            return await self._store.run(look)

    async def _make_ready(self, conversation_id: str, recipients: Collection[str] | None) -> None:
        """Do what comes before sealing, and know of whoever is named and no member whether there is an account."""
        await self.find(conversation_id)
        await self._outbox.make_ready(conversation_id)
        members = await self._store.run(lambda books: set(books.held(conversation_id).roster()))
        await self._directory.try_refresh(set(recipients or ()) - members)

    async def seal(self, conversation_id: str, wish: Wish) -> dict[str, Any]:
        """A sealed message, once its counter is used up; raises `WrongRecipients`, `EpochClosed`, `SendingBlocked`."""
        sent_at = self._clock()
        for _ in range(ATTEMPTS):
            await self._make_ready(conversation_id, wish.recipients)
            sealed = await self._store.run(partial(self._seal, conversation_id, wish, sent_at))
            if sealed is not None:
                return sealed
        raise errors.SendingBlocked(f"the conversation changed {ATTEMPTS} times meanwhile")

    def _seal(self, conversation_id: str, wish: Wish, sent_at: int, books: Books) -> dict[str, Any] | None:
        """The message, or None where something has to be done before one may be sealed."""
        if self._outbox.next_step(conversation_id, books) is not None:
            return None
        held = books.held(conversation_id)
        head = held.head()
        assert head is not None and head.opened is not None  # else sending is blocked
        if wish.recipients is not None:
            check_recipients(books, held, wish.recipients)
        check_key(held, wish.key_id or head.opened.key_id.hex())
        me = books.me
        content = make_content(
            wish.body, sent_at=sent_at, seen=inbox.newest_hashes(books, held.id), random=self._random
        )
        sealed = seal(
            head.opened,
            Sender(me.user_id, me.device_id, self._instance, me.request_key.sign),
            content,
            counter=queue.next_counter(books, self._instance, held.id),
            client_message_id=self._random(queue.ID_BYTES).hex(),
            random=self._random,
        )
        return to_fields(sealed.message, sealed.signature)

    async def posted(self, conversation_id: str, served: Served) -> Message | None:
        """A message that was sealed earlier as it came back, or None where it may still go out.

        Raises `EpochClosed` and `SendingBlocked` where it may not, and `InvalidArgument` for another device's.
        """
        await self.find(conversation_id)
        await self._syncer.pull_conversation(conversation_id)
        return await self._store.run(partial(self._posted, conversation_id, served))

    def _posted(self, conversation_id: str, served: Served, books: Books) -> Message | None:
        found = find_message(books, conversation_id, served)
        if found is not None:
            return found
        me = books.me
        if served.name[:2] != (me.user_id, me.device_id):
            raise errors.InvalidArgument("it was not sealed by this device")
        if self._outbox.next_step(conversation_id, books) is not None:
            raise errors.EpochClosed("the next epoch is due")
        check_key(books.held(conversation_id), from_json(served.payload)["keyId"])
        return None

    async def judged(self, conversation_id: str, served: Served) -> Message:
        """What an application was served, as the inbox judges it; see `find_message` and `refused`."""
        await self.find(conversation_id)
        look = partial(find_message, conversation_id=conversation_id, served=served)
        found = await self._store.run(look)
        if found is None:
            await self._syncer.pull_conversation(conversation_id)
            found = await self._store.run(look)
        if found is None:
            raise await self._store.run(partial(refused, conversation_id=conversation_id, served=served))
        return found


def check_recipients(books: Books, held: Held, recipients: Collection[str]) -> None:
    """Raises `WrongRecipients` unless they are the members, oneself or not; `NoKeyForUser` for who has no account."""
    me, roster = books.me.user_id, set(held.roster())
    unknown = [user for user in sorted(set(recipients) - roster) if books.accounts.newest(user) is None]
    if unknown:
        raise errors.NoKeyForUser(", ".join(unknown), users=unknown)
    more, missing = sorted(set(recipients) - roster), sorted(roster - set(recipients) - {me})
    if more or missing:
        said = [f"no member: {', '.join(more)}"] * bool(more) + [f"not named: {', '.join(missing)}"] * bool(missing)
        raise errors.WrongRecipients("; ".join(said), more=more, missing=missing)


def check_key(held: Held, key_id: str) -> None:
    """Raises `EpochClosed` unless this is the key that is sent under now."""
    head = held.head()
    if head is None or head.record.key_id.hex() != key_id:
        raise errors.EpochClosed("another key took its place")


def newest(books: Books, conversation_id: str, recipients: Collection[str] | None) -> KeyInfo:
    """The newest key, for these recipients where some are named."""
    held = books.held(conversation_id)
    if recipients is not None:
        check_recipients(books, held, recipients)
    return describe(books, held, held.epoch)


def of_key_id(books: Books, conversation_id: str, key_id: str) -> KeyInfo:
    """The key with this id; raises `RecordMissing` for one that no accepted epoch names, `NoGrant` for one not held."""
    held = books.held(conversation_id)
    for number, known in held.known.items():
        if known.record.key_id.hex() == key_id:
            if known.opened is None:
                raise errors.NoGrant(f"epoch {number}")
            return describe(books, held, number)
    raise errors.RecordMissing("no epoch that counts has this key")


def describe(books: Books, held: Held, number: int) -> KeyInfo:
    """An epoch's key without the key."""
    known = held.known[number]
    bare = []
    for user in known.roster:
        account = books.accounts.newest(user)
        if account is None or not account.value.devices:
            bare.append(user)
    return KeyInfo(
        held.id,
        known.record.key_id.hex(),
        number,
        known.record_hash.hex(),
        known.opened is not None,
        known.record.opener.user_id,
        granters(books, held, number),
        tuple(known.roster),
        tuple(bare),
    )


def granters(books: Books, held: Held, number: int) -> tuple[str, ...]:
    """Whose grants of an epoch's key to this account are kept here and are signed by who they say."""
    known = held.known[number]
    query = "SELECT grant_bytes FROM grants WHERE conversation_id = ? AND record_hash = ?"
    found: set[str] = set()
    for (raw,) in books.connection.execute(query, (held.id, known.record_hash)).fetchall():
        try:
            signed = decode(SignedGrant, bytes(raw))
            check_granter(signed, known.roster, books.accounts.named)
        except errors.PeerError:
            continue
        found.add(signed.grant.granter.user_id)
    return tuple(sorted(found))


# --- what an application was served --------------------------------------------------------


def find_message(books: Books, conversation_id: str, served: Served) -> Message | None:
    """The message with exactly this payload, at its place where one is given; None where it was not received there.

    Raises the cause of what cannot be read, and `Replayed` for one that was shown before under its name.
    """
    held = books.held(conversation_id)
    if served.seq is None:
        query = """SELECT seq FROM messages INDEXED BY messages_by_name WHERE conversation_id = ? AND user_id = ?
            AND device_id = ? AND client_message_id = ? AND payload = ? ORDER BY seq"""
        values: tuple[object, ...] = (held.id, *served.name, served.payload)
    else:
        query = "SELECT seq FROM messages WHERE conversation_id = ? AND seq = ? AND payload = ?"
        values = (held.id, served.seq, served.payload)
    row = books.connection.execute(query, values).fetchone()
    if row is None:
        return None
    found = view.one(books, held.id, row[0])
    if found is None:
        raise errors.Replayed("it repeats a message that is shown already")
    return found


def refused(books: Books, conversation_id: str, served: Served) -> errors.TacitError:
    """Why a message that the conversation does not have is not shown.

    It is judged as the next one would be, so that what was changed on its way, or given out a second time, says so;
    but without a place in what was received nothing is shown, however well it is signed.
    """
    held = books.held(conversation_id)
    place = served.seq if served.seq is not None else held.highest + 1
    verdict = inbox.judge(books, held, place, served.payload).verdict
    if isinstance(verdict, Undecryptable):
        return verdict.cause(verdict.detail)
    return errors.NotFound("the conversation has no such message at this place")
