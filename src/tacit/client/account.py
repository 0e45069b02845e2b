"""The account of a client: its devices, password, recovery key, and what is known of other accounts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import final

from tacit import errors
from tacit.client import accountchange
from tacit.client.accountchange import Notice, Rotations
from tacit.client.accountview import AccountView, Confirm
from tacit.client.books import OWN_RESET, Books
from tacit.client.device import Device
from tacit.client.keeping import Progress
from tacit.client.ownwords import confirm_contact, known_as
from tacit.client.unlocking import Key, password_key, words_key
from tacit.client.vaultbook import pin_of
from tacit.signed.record import ConversationRecord
from tacit.wire.codec import decode


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody who was met: the fingerprint of the identity key that they are known by, in hex.

    `changed`: the account was reset since and has the identity `fingerprint_now`; until that is confirmed nobody is
    added under it.
    """

    user_id: str
    fingerprint: str
    fingerprint_now: str

    @property
    def changed(self) -> bool:
        """Whether the account has another identity key than the one that is known."""
        return self.fingerprint != self.fingerprint_now


@dataclass(frozen=True, slots=True)
class OpenedEpoch:
    """An epoch that one of the account's devices opened: what it changed, each user with the role that it gave."""

    conversation_id: str
    conversation: str
    epoch: int
    changes: tuple[tuple[str, str], ...]


@final
class Account:
    """What `client.account` gives.

    Whatever changes the account needs its `password` or its recovery key (`words`), and a person who looked at it:
    `confirm` is given an `AccountView` and says whether that is the account as the person knows it. Without `confirm` a
    change is made only on the version that this device knew already.
    """

    def __init__(self, device: Device) -> None:
        self._device = device

    async def view(self) -> AccountView:
        """Version, devices and revoked devices, and when the vault was written."""
        return await self._device.keeper().view()

    async def name_device(self, device_id: str, name: str) -> None:
        """Give a device a name of 1 to 64 bytes, which only the account's devices see."""
        await self._device.keeper().name_device(device_id, name)

    async def revoke(
        self,
        *device_ids: str,
        password: str | None = None,
        words: str | Sequence[str] | None = None,
        confirm: Confirm | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Sign devices out for good: all keys that they had are replaced, in every conversation.

        `progress` is told how many of how many conversations are done. Interrupted, it goes on by itself at the next
        `sync`, and where no new key can be made for now it waits: `rotations` tells. Raises `SignInRefused` for a wrong
        password or wrong words, `NotConfirmed`, `InvalidArgument`.
        """
        await self._device.keeper().revoke(device_ids, key_of(password, words), confirm, progress)

    async def opened_by(self, device_id: str) -> list[OpenedEpoch]:
        """What a device changed in conversations: look at it before revoking a device that was stolen."""
        return await self._device.run(lambda books: opened_by(books, device_id))

    async def rotations(self) -> Rotations:
        """The conversations that still wait for a new key after a revocation: each `sync` tries again."""
        return await self._device.keeper().rotations()

    async def change_password(
        self,
        new_password: str,
        *,
        password: str | None = None,
        words: str | Sequence[str] | None = None,
        confirm: Confirm | None = None,
    ) -> None:
        """Put a new password in the place of the present one, for the account and for this device's store.

        Another device opens its store with the old one until it is signed in anew. Where somebody else may know the
        old password and reached the vault, a new password is not enough: `reset`.
        """
        await self._device.change_password(key_of(password, words), new_password, confirm)

    async def new_recovery_key(
        self,
        *,
        password: str | None = None,
        words: str | Sequence[str] | None = None,
        confirm: Confirm | None = None,
    ) -> tuple[str, ...]:
        """Another recovery key: its 24 words. The old ones open nothing any more.

        Call `words_seen` once the person has them.
        """
        return await self._device.keeper().new_recovery_key(key_of(password, words), confirm)

    async def unseen_words(self) -> tuple[str, ...]:
        """The 24 words of a recovery key that counts, until `words_seen` was called; empty where there are none.

        So they are not lost where the process ends before it has shown what `new_recovery_key` or `reset` gave.
        """
        return await self._device.run(accountchange.unseen_words)

    async def words_seen(self) -> None:
        """The person has the words: forget them. Until then they are kept, sealed, in this device's store."""
        await self._device.run(accountchange.words_seen)

    async def reset(
        self,
        new_password: str,
        *,
        keep: Collection[str] = (),
        password: str | None = None,
        words: str | Sequence[str] | None = None,
        confirm: Confirm | None = None,
    ) -> tuple[tuple[str, ...], int]:
        """Make everything anew after a compromise; gives the 24 words of the new recovery key and until when it waits.

        This device stays, and those in `keep`. Roles in conversations, pins and verification end: contacts are warned,
        and an admin of each conversation has to add the account again. History stays with the devices that have it.
        Without password and words the device asks alone: it waits 72 hours (or what the server says), all devices are
        told, and whoever has the password or the words can cancel it. Then the time is given in Unix milliseconds, and
        a `sync` after it makes it count; 0 where it counts already. Call `words_seen` once the person has the words.
        """
        key = None if password is None and words is None else key_of(password, words)
        return await self._device.reset(key, new_password, keep, confirm)

    async def cancel_reset(
        self,
        *,
        password: str | None = None,
        words: str | Sequence[str] | None = None,
        confirm: Confirm | None = None,
    ) -> None:
        """Cancel a reset that waits."""
        await self._device.keeper().cancel_reset(key_of(password, words), confirm)

    async def notices(self) -> list[Notice]:
        """What happened to the account: uses of its password and recovery key, resets, contacts with a new identity."""
        return await self._device.run(accountchange.notices)

    async def contacts(self) -> list[Contact]:
        """Everybody who was met, by user id."""
        return await self._device.run(contacts)

    async def fingerprint(self) -> str:
        """The fingerprint of this account's own identity key, in hex: what others compare."""
        return await self._device.run(lambda books: pin_of(books.own_account().value).aik_fingerprint.hex())

    async def confirm_identity(self, user_id: str, fingerprint: str) -> None:
        """Know somebody by the identity key that the account has now, having compared `fingerprint` (hex) with them.

        So with one's own account after a reset on another device, compared with what that one shows: before, nothing
        is sent from here under the new identity. Raises `InvalidArgument` where that is not the present one.
        """
        await self._device.run(lambda books: confirm_identity(books, user_id, fingerprint))


def key_of(password: str | None, words: str | Sequence[str] | None) -> Key:
    """What the person opens the account with; raises `InvalidArgument` unless it is one of the two."""
    if (password is None) == (words is None):
        raise errors.InvalidArgument("the password or the 24 words of the recovery key are needed, one of the two")
    if password is not None:
        return password_key(password)
    assert words is not None
    return words_key(words)


def contacts(books: Books) -> list[Contact]:
    """Everybody who was met, as they are known and as their account is now."""
    found = []
    for (user_id,) in books.connection.execute("SELECT user_id FROM contacts ORDER BY user_id").fetchall():
        known, newest = known_as(books, user_id), books.accounts.newest(user_id)
        if known is not None and newest is not None:
            now = pin_of(newest.value).aik_fingerprint
            found.append(Contact(user_id, known.aik_fingerprint.hex(), now.hex()))
    return found


def confirm_identity(books: Books, user_id: str, fingerprint: str) -> None:
    """Know somebody by the present identity key; raises `InvalidArgument` where `fingerprint` is another.

    One's own account, after a reset that was made on another device.
    """
    newest = books.accounts.newest(user_id)
    pin = pin_of(newest.value) if newest is not None else None
    if pin is None or pin.aik_fingerprint.hex() != fingerprint:
        raise errors.InvalidArgument("this is not the identity that the account has now")
    if user_id == books.me.user_id:
        books.set_meta(OWN_RESET, None)
    else:
        confirm_contact(books, pin)


def opened_by(books: Books, device_id: str) -> list[OpenedEpoch]:
    """The epochs that a device of the account opened, in every conversation."""
    found = []
    query = "SELECT conversation_id, record FROM records ORDER BY conversation_id, epoch"
    for conversation_id, raw in books.connection.execute(query).fetchall():
        try:
            record = decode(ConversationRecord, raw)
        except errors.PeerError:
            continue  # a later program's
        if (record.opener.user_id, record.opener.device_id) == (books.me.user_id, device_id):
            changes = tuple((change.user_id, change.role.name.lower()) for change in record.changes)
            name = books.held(conversation_id).name or conversation_id[:16]
            found.append(OpenedEpoch(conversation_id, name, record.epoch, changes))
    return found
