"""What an application meets that has a chat already: keys, sealed messages to post, served ones to read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict, final

from tacit import errors
from tacit.api.base import convert
from tacit.api.messages import EncryptedPayload, SendMessages
from tacit.client.client import Client
from tacit.client.handing import Handing, KeyInfo, Wish, read_served
from tacit.client.view import Message
from tacit.conversation.content import TextBody
from tacit.signed.account import AccountRecord, account_hash
from tacit.wire.text import to_base64

UNNAMED: Final = "conversation"
"""What a conversation is called whose name the application keeps for itself."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that others wrap to, in base64; `algorithm` is x_wing or rsa, say."""

    algorithm: str
    public_key: str


@dataclass(frozen=True, slots=True)
class UserKeys:
    """The public side of an account: `key_id` is the hex of its record's hash, `device_ids` who may act for it.

    `recovery_words` are there once, when the account was made: whoever has them has the account.
    """

    user_id: str
    version: int
    key_id: str
    device_ids: tuple[str, ...]
    public_keys: tuple[PublicKey, ...]
    recovery_words: tuple[str, ...] = field(default=(), repr=False)


class EncryptedMessage(TypedDict):
    """The JSON that `POST /api/messages/encrypted` takes beside `conversationId`."""

    encryptedPayload: dict[str, Any]
    encryptedKeys: list[dict[str, str]]
    keyId: str


@final
class EncryptionService:
    """Encryption for an application that has conversations, members and a history of its own.

    It works on an open `Client`, whose account, store and session it shares: sign in there, catch up with its `sync`,
    and use its conversations beside this as you like. No method takes or gives a secret key. What is sealed here is
    under the same guards as what `Conversation.send` sends, and what is read here was judged as `Conversation.messages`
    judges it; there is no other way to either.

    Every method raises `UserKeysNotFound` where nobody registered or signed in, and `NoKeyForUser` where somebody who
    is named has no account, or none that can take part.
    """

    def __init__(self, client: Client) -> None:
        self._device = client.device

    def __repr__(self) -> str:
        return "EncryptionService()"

    # --- a user's keys ---------------------------------------------------------------

    async def generate_and_register_user_keys(self, user_id: str, password: str) -> UserKeys:
        """Make an account and its first device, and publish the public side; with the 24 recovery words, this once.

        Interrupted, it goes on with the same keys when it is called again. The password opens the account on a new
        device; the server never gets it. Raises `AccountExists`, and `StoreLocked` where the store has an account.
        """
        words = await self._device.register(user_id, password)
        return user_keys(await self._device.run(lambda books: books.own_account().value), words)

    async def generate_user_key_pair(self, user_id: str, password: str) -> UserKeys:
        """Make the keys of an account that is registered later, keep them, and give their public side; nothing is sent.

        `generate_and_register_user_keys` goes on with them, given the same user and password. An account that is signed
        in keeps its keys: then it gives these. New ones come with the next version of an account, which revoking a
        device makes. Raises `StoreLocked` where the store has an account that is not signed in.
        """
        if await self.has_user_keys():
            return user_keys(await self._device.run(lambda books: books.own_account().value))
        return user_keys(await self._device.prepare_account(user_id, password))

    async def has_user_keys(self, user_id: str | None = None) -> bool:
        """Whether somebody has an account with a device, as the server says now and the pinned identity allows.

        Without a name it is about this client: whether it registered or signed in.
        """
        try:
            if user_id is not None:
                return await self._handing().has_keys(user_id)
            return await self._device.run(lambda books: books.find_me()) is not None
        except errors.NotSignedIn:
            if user_id is None:
                return False
            raise errors.UserKeysNotFound from None

    # --- a conversation's keys -------------------------------------------------------

    async def generate_conversation_key(self, conversation_id: str) -> KeyInfo:
        """Open the next epoch: a fresh key, granted to every member. What was written before keeps its keys."""
        with named():
            await self._handing().find(conversation_id)
            await self._device.rotate(conversation_id)
            return await self._handing().newest_key(conversation_id)

    async def get_or_create_conversation_key(
        self, conversation_id: str | None, recipients: Collection[str], name: str = UNNAMED
    ) -> KeyInfo:
        """The key to send under: it is a public description, the key stays in the store.

        Without an id a conversation is founded with these members, and its first epoch is opened: keep the new
        `conversation_id` beside the application's own, which nobody can choose. `name` is told to the members alone,
        encrypted. With an id the next epoch is opened first where one is due (a member left, a device was revoked, the
        key is old). The recipients, oneself among them or not, have to be the members: else `WrongRecipients`, since
        who may read is the members' signed record and not a list beside a message. Raises `ConversationNotFound`,
        `SendingBlocked`.
        """
        with named():
            handing = self._handing()
            if conversation_id is None:
                conversation_id = await self._device.create(name, tuple(recipients))
            return await handing.newest_key(conversation_id, recipients)

    async def decrypt_conversation_key(self, conversation_id: str, key_id: str) -> KeyInfo:
        """Say that this device has a key, of which epoch, and who granted it; the key itself is not given out.

        Raises `RecordMissing` for a key that no accepted epoch names, `NoGrant` for one that nobody granted here.
        """
        with named():
            return await self._handing().key(conversation_id, key_id)

    # --- messages out ----------------------------------------------------------------

    async def encrypt_message(self, text: str, conversation_id: str, recipients: Collection[str]) -> EncryptedMessage:
        """Seal a text for these recipients, who have to be the members: what `POST /api/messages/encrypted` takes.

        Whatever has to come first does, as in `get_or_create_conversation_key`. The message's key is used up before
        this returns: sealed again, the same text is another message, also after a crash in between. Post it as it is,
        as often as you like, by `send_encrypted_message` or yourself; it counts once, and comes back by `Client.sync`
        as any other. Where its epoch was closed meanwhile (`epoch_closed`) it is refused for good: seal the text anew.
        One that is never posted holds nothing up; its counter stays a gap, which `Conversation.gaps` tells the others
        as a message that may have been withheld. Only `Conversation.send` keeps a text until it arrived.

        `encryptedKeys` is empty: the members were granted the key when its epoch was opened. Raises `WrongRecipients`,
        `TooLarge` above about 64 KiB, `SendingBlocked`, `ConversationNotFound`.
        """
        with named():
            wish = Wish(TextBody(text), frozenset(recipients))
            payload = await self._handing().seal(conversation_id, wish)
            return {"encryptedPayload": payload, "encryptedKeys": [], "keyId": payload["keyId"]}

    async def encrypt_text(self, text: str, key: KeyInfo) -> dict[str, Any]:
        """Seal a text under exactly this key: the `encryptedPayload` alone.

        Otherwise as `encrypt_message`; it takes who the key is for from the key. Raises `EpochClosed` where another key
        took its place: then look at the new one's members.
        """
        with named():
            return await self._handing().seal(key.conversation_id, Wish(TextBody(text), key_id=key.key_id))

    async def send_encrypted_message(self, message: EncryptedMessage, conversation_id: str) -> Message:
        """Post what `encrypt_message` gave, and give it back as it came back; the second time it is the same message.

        It is looked at again before it goes out: raises `EpochClosed` where another epoch followed (seal it anew),
        `SendingBlocked`, and `InvalidArgument` for what another device sealed.
        """
        with named():
            payload: EncryptedPayload = convert(EncryptedPayload, message["encryptedPayload"])
            handing, served = self._handing(), read_served(message["encryptedPayload"], None)
            found = await handing.posted(conversation_id, served)
            if found is not None:
                return found
            body = SendMessages(conversation_id, payload, encrypted_keys=[], key_id=message["keyId"])
            sent = await self._device.api.post_messages_encrypted(body)
            return await handing.judged(conversation_id, served._replace(seq=sent.seq))

    # --- messages in -----------------------------------------------------------------

    async def decrypt_message(
        self, conversation_id: str, payload: Mapping[str, Any], seq: int | None = None
    ) -> Message:
        """An `encryptedPayload` as it was served, read: text, authenticated sender, trust; or the cause why not.

        Give its `seq` where the application has it. The message has to be in the conversation as the server gives it to
        this device, which fetches it if need be: then it gives what the inbox judged, and the same again each time. At
        another place than its own it is `Replayed`; changed it is `MessageTampered`; and what the conversation does not
        have is `NotFound`, however well it is signed, because nothing says when it was sent. An edit or a deletion is a
        message of that `kind` here, with its `target`; one that its sender had no right to is `InvalidMessage`.
        """
        with named():
            return await self._handing().judged(conversation_id, read_served(payload, seq))

    async def decrypt_incoming_message(self, conversation_id: str, item: Mapping[str, Any]) -> Message:
        """A message as pages and pushes have it, `{seq, createdAt, encryptedPayload}`; see `decrypt_message`.

        Raises `InvalidArgument` for what is none, such as a record's item.
        """
        payload, seq = item.get("encryptedPayload"), item.get("seq")
        if not isinstance(payload, Mapping) or type(seq) is not int:
            raise errors.InvalidArgument("a message's item has encryptedPayload and seq")
        return await self.decrypt_message(conversation_id, payload, seq)

    def _handing(self) -> Handing:
        return self._device.handing()


@contextmanager
def named() -> Iterator[None]:
    """Say missing keys by the names that an application knows them by."""
    try:
        yield
    except errors.NotSignedIn as error:
        raise errors.UserKeysNotFound(error.detail) from None
    except (errors.NoSuchAccount, errors.CannotFollow) as error:
        raise errors.NoKeyForUser(error.detail) from None


def user_keys(record: AccountRecord, words: tuple[str, ...] = ()) -> UserKeys:
    """The public side of an account, read off its record."""
    return UserKeys(
        record.user_id,
        record.version,
        account_hash(record).hex(),
        tuple(device.device_id for device in record.devices),
        tuple(PublicKey(key.algorithm.name.lower(), to_base64(key.public_key)) for key in record.encryption_keys),
        words,
    )
