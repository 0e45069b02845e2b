"""A conversation, the few-lines way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import final

from tacit import errors
from tacit.client.device import Device
from tacit.client.view import Member, Message, PendingRecord, Snapshot
from tacit.conversation.timeline import Gaps


@final
class Conversation:
    """One conversation. What it says of itself is as of its last operation, or `refresh`."""

    def __init__(self, device: Device, snapshot: Snapshot) -> None:
        self._device = device
        self._snapshot = snapshot

    def __repr__(self) -> str:
        return f"Conversation({self.id!r})"

    @property
    def id(self) -> str:
        """The conversation's id."""
        return self._snapshot.id

    @property
    def name(self) -> str:
        """Its name, as the members say; the beginning of its id where none was received."""
        return self._snapshot.name

    @property
    def encrypted(self) -> bool:
        """Whether what is sent is end-to-end encrypted; of a conversation without an accepted record nothing is."""
        return self._snapshot.encrypted

    @property
    def protocol(self) -> str:
        """How the members get its keys: `envelope`."""
        return self._snapshot.protocol

    @property
    def profile(self) -> str:
        """The set of algorithms: `standard`, `fips` or `compat`."""
        return self._snapshot.profile

    @property
    def epoch(self) -> int:
        """The number of its newest epoch, from 1."""
        return self._snapshot.epoch

    @property
    def blocked(self) -> str:
        """Why nothing can be sent; the empty text where something can."""
        return self._snapshot.blocked

    @property
    def unsent(self) -> tuple[tuple[str, str], ...]:
        """Client message ids that did not go out yet, each with the code of its refusal or the empty text."""
        return self._snapshot.unsent

    def members(self) -> tuple[Member, ...]:
        """Who is in it."""
        return self._snapshot.members

    async def refresh(self) -> None:
        """Look again at what this device knows."""
        self._snapshot = await self._device.snapshot(self.id)

    async def send(self, text: str) -> Message:
        """Send a text; returns once the server has it. Raises `SendingBlocked`, `TooLarge`, `Unreachable`."""
        return await self._refreshed(await self._device.send_text(self.id, text))

    async def edit(self, message: Message, text: str) -> Message:
        """Replace the text of one's own message; raises `NoRight` for another's."""
        return await self._refreshed(await self._device.edit(self.id, message, text))

    async def delete(self, message: Message) -> Message:
        """Ask everybody to take one's own message away; raises `NoRight` for another's."""
        return await self._refreshed(await self._device.delete(self.id, message))

    async def rename(self, name: str) -> None:
        """Give it another name."""
        await self._device.rename(self.id, name)
        await self.refresh()

    async def add(self, *users: str) -> None:
        """Add members; what was written before stays closed to them.

        Raises `NoRight`, `NoSuchAccount`, and `CannotFollow` where somebody's account has not the profile for it.
        """
        await self._device.add_members(self.id, users)
        await self.refresh()

    async def remove(self, *users: str) -> None:
        """Remove members; a new key protects what follows. Raises `NoRight`."""
        await self._device.remove_members(self.id, users)
        await self.refresh()

    async def set_role(self, user: str, role: str) -> None:
        """Make somebody `admin` or `member`; raises `NoRight`."""
        await self._device.set_role(self.id, user, role)
        await self.refresh()

    async def raise_profile(self, profile: str) -> None:
        """Raise it from `compat` to `standard`, for good; raises `NoRight`, and `CannotFollow` that says who cannot."""
        await self._device.raise_profile(self.id, profile)
        await self.refresh()

    async def rotate(self) -> None:
        """Protect what follows with a new key."""
        await self._device.rotate(self.id)
        await self.refresh()

    async def pending(self) -> list[PendingRecord]:
        """Changes that count only once a person accepts them, because the device that signed them was revoked since."""
        return await self._device.pending(self.id)

    async def accept(self, record_hash: str) -> None:
        """Let one of `pending` count, having asked a member; raises `RecordMissing` for any other."""
        await self._device.accept_record(self.id, record_hash)
        await self.refresh()

    async def leave(self) -> None:
        """Ask to be taken out; another member's next message or change does it."""
        await self._device.leave(self.id)
        await self.refresh()

    async def gaps(self) -> Gaps:
        """What others say exists and was not received, and what the server put in another order than it was sent."""
        return await self._device.gaps(self.id)

    async def received(self) -> list[Message]:
        """The messages that this device has, oldest first, without asking the server for more."""
        found, _ = await self._device.history(self.id)
        await self.refresh()
        return found

    async def messages(self, follow: bool = False) -> AsyncIterator[Message]:
        """The messages, oldest first, as they stand now; what cannot be read comes with cause and remedy.

        With `follow` it goes on with what comes: edits and deletions as messages of their own, and a message again
        that could not be read at first.
        """
        if follow:
            notifier = self._device.listen()
        try:
            await self._device.pull(self.id)
        except errors.ServiceError:
            if not follow:
                raise  # who follows is told once there is a connection
        found, revision = await self._device.history(self.id)
        await self.refresh()
        for message in found:
            yield message
        while follow:
            event = notifier.event()
            found, revision = await self._device.news(self.id, revision)
            await self.refresh()
            for message in found:
                yield message
            if not found:
                if notifier.failure is not None:
                    raise notifier.failure
                await event.wait()

    async def _refreshed(self, message: Message) -> Message:
        await self.refresh()
        return message
