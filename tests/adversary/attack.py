"""What an attack is: a play with real clients and a real server, and a look at what the attacker has afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

from adversary.bending import StandIn
from adversary.stage import Stage, opened_stage, try_to_send
from tacit import errors
from tacit.client import Client


class Attack(ABC):
    """One attack. `code` is what the victim reports or the refusing side answers; it decides nothing."""

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        """`removed` are the guards that are taken away: already in this process, still to be in another."""
        self.folder = folder
        self.removed = removed
        self.code = ""

    @abstractmethod
    async def run(self) -> None:
        """Attack."""

    @abstractmethod
    def succeeded(self) -> str:
        """What the attacker holds or achieved, in a few words; the empty text for nothing."""

    @final
    @asynccontextmanager
    async def stage(self) -> AsyncIterator[Stage]:
        """A server in this process, and room for people; a second one goes on with what the first one stored."""
        async with opened_stage(self.folder) as stage:
            yield stage

    @final
    def refused(self, error: errors.TacitError) -> None:
        """Note a refusal, unless there was one before."""
        self.code = self.code or error.code

    @final
    async def ask(self, victim: Client) -> None:
        """Note the newest alarm of a client: it says more than a refusal to send."""
        alarms = await victim.alarms()
        self.code = alarms[-1].code if alarms else self.code


SECRET = "the key is under the third stone"


class Reads(Attack):
    """An attack for the sake of one text: it succeeded when the attacker has that."""

    reward = "the text was read"

    def __init__(self, folder: Path, removed: Mapping[str, StandIn]) -> None:
        super().__init__(folder, removed)
        self.read: set[str] = set()

    def succeeded(self) -> str:
        return self.reward if SECRET in self.read else ""

    @final
    async def write(self, victim: Client, conversation_id: str) -> None:
        """The victim writes the text, as far as its client lets it."""
        error = await try_to_send(victim, conversation_id, SECRET)
        if error is not None:
            self.refused(error)
        await self.ask(victim)
