"""What a device does in a simulation: one method a deed, each through the client's own interface."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from client.world import yes
from properties.simulation_people import Phone, Simulation, Step
from tacit import errors
from tacit.client import Conversation
from tacit.client.books import Books
from tacit.conversation.content import TextBody
from tacit.conversation.keys import ConversationKey
from tacit.conversation.sealing import Epoch, Sender, make_content, seal
from tacit.crypto.secret import Secret
from tacit.signed.account import AccountRecord
from tacit.signed.message import to_fields
from tacit.wire.text import to_json

HOUR: Final = 60 * 60 * 1000
MOST_DEVICES: Final = 3
MOST_CONVERSATIONS: Final = 3
ACCOUNTS: Final = "SELECT DISTINCT user_id FROM accounts ORDER BY user_id"


class Town(Simulation):
    """People, and what they do."""

    # --- picking ---------------------------------------------------------------------

    async def pick(self, phone: Phone, step: Step, *, as_admin: bool = False) -> Conversation:
        """One of the conversations on a device; where it is an admin's deed, of those first in which it is one."""
        assert phone.client is not None
        every = sorted(await phone.client.conversations(), key=lambda each: each.id)
        admins = [each for each in every if (phone.person.name, "admin") in roles_of(each)] if as_admin else []
        if not every:
            raise errors.ConversationNotFound
        return (admins or every)[step.what % len(admins or every)]

    def whom(self, phone: Phone, step: Step, conversation: Conversation, role: str) -> str:
        """Somebody else: of those first who have this role there, or none."""
        roles = dict(roles_of(conversation))
        others = [each.name for each in self.people if each is not phone.person]
        fitting = [each for each in others if roles.get(each, "") == role]
        return (fitting or others)[step.whom % len(fitting or others)]

    # --- conversations ---------------------------------------------------------------

    async def do_create(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        if len(await phone.client.conversations()) < MOST_CONVERSATIONS:
            members = [each.name for place, each in enumerate(self.people) if step.whom >> place & 1]
            await phone.client.create_conversation(f"talk {step.what}", members)

    async def do_add(self, phone: Phone, step: Step) -> None:
        conversation = await self.pick(phone, step, as_admin=True)
        await conversation.add(self.whom(phone, step, conversation, ""))

    async def do_remove(self, phone: Phone, step: Step) -> None:
        conversation = await self.pick(phone, step, as_admin=True)
        await conversation.remove(self.whom(phone, step, conversation, ("member", "admin")[step.whom % 4 == 0]))

    async def do_promote(self, phone: Phone, step: Step) -> None:
        conversation = await self.pick(phone, step, as_admin=True)
        await conversation.set_role(self.whom(phone, step, conversation, "member"), "admin")

    async def do_demote(self, phone: Phone, step: Step) -> None:
        """Another admin, or oneself."""
        conversation = await self.pick(phone, step, as_admin=True)
        other = self.whom(phone, step, conversation, "admin")
        await conversation.set_role(phone.person.name if step.whom % 3 == 0 else other, "member")

    async def do_leave(self, phone: Phone, step: Step) -> None:
        await (await self.pick(phone, step)).leave()

    async def do_rotate(self, phone: Phone, step: Step) -> None:
        await (await self.pick(phone, step)).rotate()

    async def do_send(self, phone: Phone, step: Step) -> None:
        """What is said names the epoch that its sender was in when it was said."""
        conversation = await self.pick(phone, step)
        self.said += 1
        known = await phone.look(lambda books: newest_known(books, conversation.id))
        sent = await conversation.send(f"{self.said}/{conversation.epoch}/{phone!r}")
        named = await phone.look(lambda books: named_records(books, conversation.id, sent.epoch))
        gone = [user for user in named if ends_something(named[user], known.get(user))]
        if gone:
            raise self.violation(f"{phone!r} sends in epoch {sent.epoch}, knowing that devices of {gone} are gone")

    async def do_accept(self, phone: Phone, step: Step) -> None:
        conversation = await self.pick(phone, step)
        for each in await conversation.pending():
            await conversation.accept(each.record_hash)

    # --- catching up, whole and in part ----------------------------------------------

    async def do_sync(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        await phone.client.sync()

    async def do_sync_account(self, phone: Phone, step: Step) -> None:
        """The account's own stream alone."""
        assert phone.client is not None
        syncer = phone.client.device._parts_now().syncer
        async with syncer._lock:
            cursor = await phone.look(lambda books: books.number("account_cursor"))
            await syncer._pull_round(cursor, {})

    async def do_sync_one(self, phone: Phone, step: Step) -> None:
        """One conversation alone."""
        assert phone.client is not None
        await phone.client.device.pull((await self.pick(phone, step)).id)

    async def do_sync_people(self, phone: Phone, step: Step) -> None:
        """Other accounts' records alone."""
        assert phone.client is not None
        known = await phone.look(lambda books: [row[0] for row in books.connection.execute(ACCOUNTS)])
        await phone.client.device._parts_now().directory.try_refresh(known)

    async def do_settle(self, phone: Phone, step: Step) -> None:
        """What was interrupted, without fetching anything first."""
        assert phone.client is not None
        await phone.client.device._parts_now().settle()

    async def do_vault(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        await phone.client.device.check_vault()
        await phone.client.device._write_vault()

    async def do_restart(self, phone: Phone, step: Step) -> None:
        """The program is closed; the next deed opens it again."""
        client, phone.client = phone.client, None
        assert client is not None
        await client.device.close()

    async def do_offline(self, phone: Phone, step: Step) -> None:
        """The device is out of reach until everybody is back."""
        phone.offline = True

    async def do_online(self, phone: Phone, step: Step) -> None:
        await self.everybody_online()

    async def do_wait(self, phone: Phone, step: Step) -> None:
        self.now += (HOUR, 10 * HOUR, 80 * HOUR)[step.what % 3]

    # --- accounts --------------------------------------------------------------------

    async def do_arrive(self, phone: Phone, step: Step) -> None:
        """Another device of the account signs in."""
        standing = [each for each in phone.person.phones if not each.dropped]
        if len(standing) < MOST_DEVICES:
            await self.act(self.new_phone(phone.person), dataclasses.replace(step, deed="sync"))

    async def do_revoke(self, phone: Phone, step: Step) -> None:
        """One of the account's other devices is revoked."""
        assert phone.client is not None
        others = [each.device_id for each in (await phone.client.account.view()).devices if not each.this]
        if others:
            account, gone = phone.client.account, others[step.whom % len(others)]
            await self.with_password(
                phone.person, lambda password: account.revoke(gone, password=password, confirm=yes)
            )

    async def do_password(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        account, person = phone.client.account, phone.person
        new = f"password {len(person.passwords)} of {person.name}"
        earlier = dataclasses.replace(person, passwords=[*person.passwords])
        person.passwords.append(new)
        await self.with_password(earlier, lambda password: account.change_password(new, password=password, confirm=yes))

    async def do_words(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        account = phone.client.account
        await self.with_password(phone.person, lambda each: account.new_recovery_key(password=each, confirm=yes))

    async def do_reset(self, phone: Phone, step: Step) -> None:
        """The account is made anew, with all devices or without the others."""
        assert phone.client is not None
        account, person = phone.client.account, phone.person
        others = [each.device_id for each in (await account.view()).devices if not each.this]
        keep = others if step.whom % 2 else []
        new = f"password {len(person.passwords)} of {person.name}"
        earlier = dataclasses.replace(person, passwords=[*person.passwords])
        person.passwords.append(new)
        if step.whom % 4 < 3:
            await self.with_password(earlier, lambda each: account.reset(new, keep=keep, password=each, confirm=yes))
        else:
            await account.reset(new, keep=keep)

    async def do_cancel_reset(self, phone: Phone, step: Step) -> None:
        assert phone.client is not None
        account = phone.client.account
        await self.with_password(phone.person, lambda each: account.cancel_reset(password=each, confirm=yes))

    async def do_confirm(self, phone: Phone, step: Step) -> None:
        """The person compared everybody's identity with them."""
        assert phone.client is not None
        account = phone.client.account
        for each in await account.contacts():
            if each.changed:
                await account.confirm_identity(each.user_id, each.fingerprint_now)
        view = await account.view()
        if view.reset_by:
            await account.confirm_identity(view.user_id, await account.fingerprint())

    # --- a former member and the server together --------------------------------------

    async def do_slip_in(self, phone: Phone, step: Step) -> None:
        """With the server's help a device lays a message of an epoch that is closed behind what came since."""
        conversation = await self.pick(phone, step)

        def sealed(books: Books) -> tuple[Any, ...] | None:
            known = books.held(conversation.id).known
            query = "SELECT record_hash, key FROM epoch_keys WHERE conversation_id = ?"
            keys = {bytes(row[0]): row[1] for row in books.connection.execute(query, (conversation.id,))}
            head = len(known) if books.me.user_id in books.held(conversation.id).roster() else 0
            able = [each for number, each in known.items() if each.record_hash in keys and number != head]
            if not able:
                return None
            chosen = able[step.whom % len(able)]
            epoch = Epoch(chosen.record, ConversationKey(Secret(bytes(keys[chosen.record_hash]))))
            content = make_content(TextBody("slipped in"), sent_at=self.now, random=self.random.randbytes)
            by = Sender(books.me.user_id, books.me.device_id, self.random.randbytes(16), books.me.request_key.sign)
            name = self.random.randbytes(16).hex()
            made = seal(epoch, by, content, counter=0, client_message_id=name, random=self.random.randbytes)
            fields = to_fields(made.message, made.signature)
            return (books.me.user_id, books.me.device_id, name, chosen.record.key_id.hex(), to_json(fields), fields)

        made = await phone.look(sealed)
        if made is not None:
            await self.slip_in(conversation.id, *made)

    async def slip_in(
        self, conversation_id: str, user: str, device: str, name: str, key: str, text: str, fields: Any
    ) -> None:
        def job(db: Any) -> int | None:
            query = "SELECT head_seq, key_id FROM conversations WHERE conversation_id = ?"
            seq, head_key = db.execute(query, (conversation_id,)).fetchone()
            if head_key == key:
                return None  # that is what the server takes from anybody in the conversation
            db.execute("UPDATE conversations SET head_seq = head_seq + 1 WHERE conversation_id = ?", (conversation_id,))
            db.execute(
                "INSERT INTO messages (conversation_id, seq, sender_id, device_id, client_message_id, created_at,"
                " encrypted, encryption_key_id, encrypted_payload, iv) VALUES (?, ?, ?, ?, ?, ?, TRUE, ?, ?, ?)",
                (conversation_id, seq + 1, user, device, name, self.now, key, text, fields["iv"]),
            )
            return int(seq) + 1

        seq = await self.backend.store.write(job)
        if seq is not None:
            self.injected[conversation_id, seq] = user
            self.log.append(f"    at {seq}")


def roles_of(conversation: Conversation) -> list[tuple[str, str]]:
    """Everybody in a conversation, each with the role."""
    return [(each.user_id, each.role) for each in conversation.members()]


def newest_known(books: Books, conversation_id: str) -> dict[str, AccountRecord]:
    """The newest record of everybody in a conversation that a device knows."""
    newest = {user: books.accounts.newest(user) for user in books.held(conversation_id).roster()}
    return {user: account.value for user, account in newest.items() if account is not None}


def named_records(books: Books, conversation_id: str, epoch: int) -> dict[str, AccountRecord]:
    """The records of everybody in an epoch that its roster names."""
    roster = books.held(conversation_id).known[epoch].roster
    named = {user: books.accounts.named(user, change.account_hash) for user, change in roster.items()}
    return {user: account.value for user, account in named.items() if account is not None}


def ends_something(named: AccountRecord, known: AccountRecord | None) -> bool:
    """Whether a device knows of a record that ends a device or the identity key of one that is named."""
    if known is None or known.version <= named.version:
        return False
    present = {device.device_id for device in known.devices}
    return known.aik != named.aik or any(device.device_id not in present for device in named.devices)
