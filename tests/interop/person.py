"""What a member of the group can do, whichever implementation it is of: the walk knows no more of anybody.

Each message is an encoded MLSMessage. A person has one signature key for life, and is in one group at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

PAST_EPOCHS = 3  # so many epochs back, a person still reads messages


class Refused(Exception):
    """The implementation would not do it; the person is as before."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit to be delivered, its Welcome where somebody joins, and the tree where the Welcome lacks it."""

    message: bytes
    welcome: bytes | None
    tree: bytes | None


@dataclass(frozen=True, slots=True)
class Received:
    """What a message was, who sent it in which epoch; `removed` where a commit removed the receiver."""

    kind: Literal["application", "proposal", "commit"]
    sender: str
    epoch: int
    data: bytes = b""
    aad: bytes = b""
    removed: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What all members of an epoch agree on; members are leaf indices with names, in the order of the leaves."""

    epoch: int
    authenticator: bytes
    members: tuple[tuple[int, str], ...]


class Person(Protocol):
    """A client of one implementation. Everything raises `Refused` where the implementation does not take it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str:
        """The implementation's name."""

    @property
    def signature_key(self) -> bytes: ...
    def know(self, name: str, signature_key: bytes) -> None:
        """Introduces somebody: nobody else's credential is taken."""

    def key_package(self) -> bytes: ...
    def create(self, group_id: bytes) -> None:
        """Founds a group of one."""

    def join(self, welcome: bytes, tree: bytes | None) -> None:
        """Joins with one of the key packages made; `tree` where the Welcome does not carry it."""

    def commit(
        self, *, add: Sequence[bytes] = (), remove: Sequence[str] = (), public: bool = False, tree_inside: bool = True
    ) -> Commit:
        """Commits all proposals seen and what is named; of nothing at all it makes an update. The epoch stays."""

    def accept(self) -> None:
        """The own commit was delivered first: its epoch begins."""

    def drop(self) -> None:
        """The own commit was not taken."""

    def propose_add(self, key_package: bytes, *, public: bool = False) -> bytes: ...
    def propose_update(self, *, public: bool = False) -> bytes: ...
    def propose_remove(self, name: str, *, public: bool = False) -> bytes: ...
    def send(self, data: bytes, aad: bytes = b"") -> bytes: ...
    def receive(self, message: bytes) -> Received:
        """Takes somebody else's message; a commit drops the own one that waits."""

    def view(self) -> View: ...
    def export(self, label: str, context: bytes, length: int) -> bytes: ...
    def reload(self) -> None:
        """Saves the group, forgets it, and loads it again."""
