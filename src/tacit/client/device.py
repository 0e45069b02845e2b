"""`Device`: one account on one device, put together.

It speaks in conversation ids and contents; `Client` and `Conversation` are the few-lines way in.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar, final

import httpx2

from tacit import errors
from tacit.client import changes, enrolment, inbox, view
from tacit.client.accountview import Confirm
from tacit.client.arrival import Arrival
from tacit.client.books import Books
from tacit.client.conversations import after_update, confirm
from tacit.client.handing import Handing
from tacit.client.keeping import AccountKeeper
from tacit.client.keychain import Keychain
from tacit.client.lockbox import Lockbox
from tacit.client.openings import ADD, RAISE, REMOVE, ROTATE, SET_ROLE, Intent
from tacit.client.parts import Parts
from tacit.client.store import Store
from tacit.client.sync import Notifier
from tacit.client.timing import Clock, Sleep, wall_clock
from tacit.client.transport import EncryptionAPIClient
from tacit.client.unlocking import Key
from tacit.client.view import Alarm, Message, PendingRecord, Snapshot
from tacit.conversation.content import Body, DeleteBody, EditBody, Name, NameNotice, TextBody
from tacit.conversation.judging import Trust
from tacit.conversation.timeline import Gaps
from tacit.crypto.secret import Randomness
from tacit.identity.unlockers import Cost, password_bytes
from tacit.signed.account import AccountRecord
from tacit.signed.profiles import profile_of
from tacit.signed.record import Role
from tacit.signed.vault import UnlockerKind
from tacit.wire import limits
from tacit.wire.text import from_hex

T = TypeVar("T")

VAULT_MILLISECONDS: Final = 60_000
"""How often the vault's outer part is rewritten at the most, but for the end: changes are batched."""
ROLES: Final = {"member": Role.MEMBER, "admin": Role.ADMIN}


@final
class Device:
    """Everything that one device does for its account. Open it with `register` or `sign_in`, end it with `close`.

    `store` is the path of the local store; the key that opens it is wrapped in a file beside it (`.key`), under
    `passphrase`, else under the account's password; with `keychain=True` under a secret in the system's keychain
    (`NoKeychain` where there is none), or in the one that is given. Of `passphrase` and `keychain` there is one.
    `profile` is the account's: the configuration decides it, never the server. Raises `InvalidArgument` for one that
    there is not.
    """

    def __init__(
        self,
        url: str,
        store: str | Path,
        *,
        pins: Collection[str] = (),
        server_name: str | None = None,
        passphrase: str | None = None,
        keychain: bool | Keychain = False,
        profile: str = "standard",
        clock: Clock = wall_clock,
        random: Randomness = os.urandom,
        sleep: Sleep = asyncio.sleep,
        transport: httpx2.AsyncBaseTransport | None = None,
        cost: Cost | None = None,
    ) -> None:
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._cost = cost
        self._profile = profile_of(profile)
        self._box = Lockbox(Path(store), passphrase, keychain, random, cost)
        self.api = EncryptionAPIClient(
            url, pins=pins, server_name=server_name, clock=clock, random=random, sleep=sleep, transport=transport
        )
        self._parts: Parts | None = None
        self._vault_written = 0

    # --- coming and going ------------------------------------------------------------

    async def register(self, user_id: str, password: str) -> tuple[str, ...]:
        """Make an account; the 24 words of its recovery key, which are shown this once.

        Raises `AccountExists`, `StoreLocked` where the store holds another account or does not open, `Unreachable` and
        `ServerNameMismatch`. Called again with the same arguments it goes on where it was interrupted.
        """
        secret = password_bytes(password)
        await self.api.get_server()
        store = await self._box.open(secret, create=True)
        enroller = enrolment.Enroller(store, self.api, self._clock, self._random, self._profile, self._cost)
        try:
            words = await enroller.register(user_id, secret)
        except errors.AccountExists:
            await self._box.remove_empty()
            raise
        await self._begin(store).syncer.meet()
        return words

    async def prepare_account(self, user_id: str, password: str) -> AccountRecord:
        """Make an account's keys and keep them; nothing is sent until `register` goes on with the same arguments."""
        secret = password_bytes(password)
        store = await self._box.open(secret, create=True)
        enroller = enrolment.Enroller(store, self.api, self._clock, self._random, self._profile, self._cost)
        return (await enroller.prepare(user_id, secret)).record

    async def sign_in_new_device(
        self, user_id: str, key: Key, name: str, confirm: Confirm, new_password: str | None = None
    ) -> None:
        """Sign a new device in, in an empty store: certified by the account's next version, which `key` opens.

        `name` is the device's, for the account's devices alone; `confirm` lets the person look at the account first;
        `new_password` takes the place of a forgotten one. Raises what `Arrival.sign_in` does.
        """
        typed = password_bytes(new_password) if new_password is not None else None
        own = key.secret if key.kind is UnlockerKind.PASSWORD else None
        await self.api.get_server()
        store = await self._box.open(typed or own, create=True)
        arrival = Arrival(store, self.api, self._clock, self._random, self._cost, self._profile)
        try:
            await arrival.sign_in(user_id, key, name, confirm, typed)
        except errors.TacitError:
            await self._box.remove_empty()  # with what was served: the next attempt begins with nothing
            raise
        parts = self._begin(store)
        await parts.syncer.meet()
        await parts.vault.check()

    async def sign_in(self, user_id: str, password: str | None = None) -> None:
        """Open the store with the password (or `passphrase=`, or `keychain=`) and a session with its device's key.

        Raises `StoreLocked` for a wrong password and for another account's store, `NotSignedIn` where this store holds
        no keys, `ProfileMismatch` where its account has another profile than is configured, `SignInRefused` where the
        server does not know the device.
        """
        store = await self._box.open(password_bytes(password) if password is not None else None, create=False)
        await self.api.get_server()
        await enrolment.Enroller(store, self.api, self._clock, self._random, self._profile).sign_in(user_id)
        parts = self._begin(store)
        now, random = self._clock(), self._random
        await store.run(lambda books: after_update(books, now, random))
        await parts.directory.try_refresh([user_id])
        await parts.vault.check()

    async def sign_out(self) -> None:
        """End the session; the keys stay in the store."""
        await self._parts_now().socket.stop()
        await self._write_vault()
        await self.api.delete_auth_session()
        self._parts = None

    async def wipe(self) -> None:
        """End the session and take the store and its key from this device. Revoke it on another one besides."""
        with suppress(errors.TacitError):  # the server may be out of reach, or have closed the session already
            await self.sign_out()
        await self.close()
        await self._box.remove()

    async def close(self) -> None:
        """Write what is due and close everything; what is under way is safe to lose."""
        if self._parts is not None:
            await self._parts.socket.stop()
            with suppress(errors.TacitError):  # it is written the next time
                await self._write_vault()
        self._parts = None
        await self.api.close()
        await self._box.close()

    def _begin(self, store: Store) -> Parts:
        self._parts = Parts(store, self.api, self._clock, self._random, self._sleep, self._cost)
        return self._parts

    def _parts_now(self) -> Parts:
        if self._parts is None:
            raise errors.NotSignedIn()
        return self._parts

    # --- the account -----------------------------------------------------------------

    def keeper(self) -> AccountKeeper:
        """What changes the account; raises `NotSignedIn`."""
        return self._parts_now().keeper

    def handing(self) -> Handing:
        """What seals for an application, and judges what it was served; raises `NotSignedIn`."""
        return self._parts_now().handing

    async def run(self, work: Callable[[Books], T]) -> T:
        """What `work` finds in the store; raises `NotSignedIn`."""
        return await self._run(work)

    async def check_vault(self) -> None:
        """Compare what the server has of the vault with what is held here, and take what other devices wrote."""
        await self._parts_now().vault.check()

    async def change_password(self, key: Key, new_password: str, confirm: Confirm | None) -> None:
        """Another password for the account, and for this store where the old one opened it."""
        secret = password_bytes(new_password)
        await self._settle()
        async with self._box.following(secret):
            await self.keeper().change_password(key, secret, confirm)

    async def reset(
        self, key: Key | None, new_password: str, keep: Collection[str], confirm: Confirm | None
    ) -> tuple[tuple[str, ...], int]:
        """The account made anew, see `Account.reset`; this store follows its password unless the reset waits."""
        secret = password_bytes(new_password)
        if key is None:
            return await self.keeper().reset(key, secret, keep, confirm)
        await self._settle()
        async with self._box.following(secret):
            return await self.keeper().reset(key, secret, keep, confirm)

    async def _settle(self) -> None:
        await self.keeper().resume()
        await self._box.settle()

    async def _run(self, work: Callable[[Books], T]) -> T:
        self._parts_now()
        assert self._box.store is not None
        return await self._box.store.run(work)

    async def _write_vault(self) -> None:
        await self._parts_now().vault.write()
        self._vault_written = self._clock()

    # --- catching up -----------------------------------------------------------------

    async def sync(self) -> None:
        """Fetch what is new, bring interrupted changes to an end, send what waits."""
        parts = self._parts_now()
        await parts.syncer.pull()
        await parts.settle()
        await self._box.settle()
        if self._clock() - self._vault_written >= VAULT_MILLISECONDS:
            await self._write_vault()

    async def fetch_recent(self, count: int = 50) -> None:
        """Fetch the newest messages of every conversation, up to `count` (1 to 500) of each, before all the others.

        For a new device with a long history: a person sees something at once, and `sync` fetches the rest.
        """
        if not 1 <= count <= limits.PAGE:
            raise errors.InvalidArgument(f"1 to {limits.PAGE} messages can be fetched at once")
        parts = self._parts_now()
        listed = await self.api.get_conversations()
        for each in listed.conversations:
            await parts.syncer.pull_recent(each.conversation_id, each.head_seq, count)
        parts.syncer.news.notify()

    async def pull(self, conversation_id: str) -> None:
        """Fetch what is new in one conversation."""
        await self._parts_now().syncer.pull_conversation(conversation_id)

    def listen(self) -> Notifier:
        """Keep a WebSocket open from now on; what it brings is told by the notifier."""
        parts = self._parts_now()
        parts.socket.start()
        return parts.syncer.news

    # --- conversations ---------------------------------------------------------------

    async def create(self, name: str, members: Sequence[str], profile: str | None = None) -> str:
        """Found a conversation with these members, oneself as its admin; its id.

        Of one's own profile, or `compat`. Raises `CannotFollow` that says who cannot.
        """
        parts = self._parts_now()
        conversation_id = await parts.changes.create(name, tuple(members), profile or "")
        await parts.outbox.flush(conversation_id)
        return conversation_id

    async def snapshots(self) -> list[Snapshot]:
        """All conversations as they stand on this device."""
        return await self._run(view.snapshots)

    async def snapshot(self, conversation_id: str) -> Snapshot:
        """One conversation; raises `ConversationNotFound`."""
        return await self._run(lambda books: view.snapshot(books, books.held(conversation_id)))

    async def alarms(self) -> list[Alarm]:
        """What the server or a member contradicted so far."""
        return await self._run(view.alarms)

    async def add_members(self, conversation_id: str, users: Sequence[str]) -> bool:
        """Add members; False where they are in already. Raises `NoRight`, `NoSuchAccount` or `CannotFollow`."""
        return await self._change(conversation_id, Intent(ADD, tuple(users)))

    async def remove_members(self, conversation_id: str, users: Sequence[str]) -> bool:
        """Remove members: a new key protects what follows. Raises `NoRight`."""
        return await self._change(conversation_id, Intent(REMOVE, tuple(users)))

    async def set_role(self, conversation_id: str, user_id: str, role: str) -> bool:
        """Make somebody `admin` or `member`; raises `NoRight`."""
        if role not in ROLES:
            raise errors.InvalidArgument("a role is admin or member")
        return await self._change(conversation_id, Intent(SET_ROLE, (user_id,), int(ROLES[role])))

    async def raise_profile(self, conversation_id: str, profile: str) -> bool:
        """Raise the conversation's profile from `compat` to `standard`; False where it is so already.

        Raises `NoRight`, `CannotFollow` that says who cannot, and `InvalidArgument` for any other way.
        """
        return await self._change(conversation_id, Intent(RAISE, profile=profile))

    async def rotate(self, conversation_id: str) -> None:
        """Protect what follows with a new key."""
        await self._change(conversation_id, Intent(ROTATE))

    async def pending(self, conversation_id: str) -> list[PendingRecord]:
        """The records that wait for a person, who asks a member about them."""
        return await self._run(lambda books: view.pending(books, books.held(conversation_id)))

    async def accept_record(self, conversation_id: str, record_hash: str) -> None:
        """Let one of `pending` count, having asked a member about it; raises `RecordMissing` for any other."""
        now, random, own_hash = self._clock(), self._random, read_hash(record_hash)
        await self._run(lambda books: confirm(books, conversation_id, own_hash, now, random))

    async def leave(self, conversation_id: str) -> None:
        """Ask to be taken out of a conversation; nothing more is sent in it from here."""
        await self._parts_now().changes.leave(conversation_id)

    async def _change(self, conversation_id: str, intent: Intent) -> bool:
        parts = self._parts_now()
        changed = await parts.changes.change(conversation_id, intent)
        await parts.outbox.flush(conversation_id)
        return changed

    # --- messages --------------------------------------------------------------------

    async def send_text(self, conversation_id: str, text: str) -> Message:
        """Send a text, up to about 64 KiB; raises `SendingBlocked`, `TooLarge`, `Unreachable`."""
        return await self._send(conversation_id, TextBody(text))

    async def edit(self, conversation_id: str, message: Message, text: str) -> Message:
        """Send a new text for one of one's own messages; raises `NoRight` for another's."""
        return await self._send(conversation_id, EditBody(await self._own(message), text))

    async def delete(self, conversation_id: str, message: Message) -> Message:
        """Send the wish that one of one's own messages be taken away; raises `NoRight` for another's."""
        return await self._send(conversation_id, DeleteBody(await self._own(message)))

    async def rename(self, conversation_id: str, name: str) -> Message:
        """Send a new name for the conversation."""
        changes.check_name(name)
        sent = await self._send(conversation_id, NameNotice(name))
        await self.pull(conversation_id)
        return sent

    async def history(self, conversation_id: str) -> tuple[list[Message], int]:
        """All messages as they stand now, and the revision up to which that is."""
        return await self._run(lambda books: view.history(books, conversation_id))

    async def news(self, conversation_id: str, after: int) -> tuple[list[Message], int]:
        """What came or changed after a revision, and the next one."""
        return await self._run(lambda books: view.news(books, conversation_id, after))

    async def gaps(self, conversation_id: str) -> Gaps:
        """What others say exists and was not received, and what the server put in another order than it was sent."""
        return await self._run(lambda books: inbox.gaps(books, books.held(conversation_id)))

    async def _own(self, message: Message) -> Name:
        me = await self._run(lambda books: books.me.user_id)
        if message.sender != me:
            raise errors.NoRight("only one's own messages are edited or deleted")
        return Name(message.sender, message.device_id, message.client_message_id)

    async def _send(self, conversation_id: str, body: Body) -> Message:
        parts = self._parts_now()
        sent_at = self._clock()
        client_message_id, accepted = await parts.outbox.send(conversation_id, body, sent_at)
        me = await self._run(lambda books: books.me)
        name = Name(me.user_id, me.device_id, client_message_id)
        if accepted is not None:
            return view.of_body(accepted.seq, name, int(accepted.payload["epoch"]), sent_at, body, Trust())
        await self.pull(conversation_id)
        found = await self._run(lambda books: inbox.find_by_name(books, conversation_id, name))
        if found is None:
            raise errors.Unreachable("another program on this store is sending it")
        return view.of_body(found.seq, name, found.epoch, sent_at, body, Trust())


def read_hash(text: str) -> bytes:
    """A record's hash out of hex; raises `InvalidArgument`."""
    try:
        return from_hex(text)
    except errors.PeerError:
        raise errors.InvalidArgument("a record is named by 64 hex digits") from None
