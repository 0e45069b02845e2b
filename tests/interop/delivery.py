"""The delivery service: proposals and commits in one order, one commit an epoch, and mail for everybody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interop.person import Commit

Kind = Literal["add", "update", "remove"]


@dataclass(frozen=True, slots=True)
class Change:
    """What a proposal or a commit does to a person's membership."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A proposal or a commit in its place of the log."""

    kind: Literal["proposal", "commit"]
    sender: str
    epoch: int
    message: bytes
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A commit on its way to the delivery service, with the proposals in it and all that it would change."""

    made: Commit
    entry: Entry
    proposals: tuple[Entry, ...]

    def names(self, kind: str) -> set[str]:
        return {change.name for change in self.entry.changes if change.kind == kind}


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a newcomer joins with, from whom; the epoch, and the place in the log from which it reads on."""

    sender: str
    welcome: bytes
    tree: bytes | None
    epoch: int
    place: int


@dataclass(frozen=True, slots=True)
class Note:
    """An application message on its way, and what it must turn out to be; `number` counts the sender's in the epoch."""

    message: bytes
    sender: str
    epoch: int
    number: int
    data: bytes
    aad: bytes


@dataclass(slots=True)
class Delivery:
    """Orders handshake messages: proposals of its epoch and the first commit of it; all else is refused."""

    epoch: int = 0
    begun: int = 0  # where the epoch begins in the log
    log: list[Entry] = field(default_factory=list)

    def take(self, entry: Entry) -> bool:
        """Whether the message has a place in the log now."""
        if entry.epoch != self.epoch:
            return False
        self.log.append(entry)
        if entry.kind == "commit":
            self.epoch += 1
            self.begun = len(self.log)
        return True

    def proposed(self) -> list[Entry]:
        """What waits for a commit."""
        return self.log[self.begun :]
