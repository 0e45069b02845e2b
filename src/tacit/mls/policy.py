"""What the application decides: who somebody is, who may do what, and how much is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from tacit import errors
from tacit.crypto.secret import Secret
from tacit.mls.extensions import ExternalSender
from tacit.mls.framing import AnySender, NewMemberProposal
from tacit.mls.leaf_node import LeafNode
from tacit.mls.proposals import AnyProposal, ReInit
from tacit.mls.secret_tree import Window
from tacit.mls.tree_math import LeafIndex


@dataclass(frozen=True, slots=True)
class Proposed:
    """A proposal with who made it; its reference where it was sent by itself."""

    proposal: AnyProposal
    sender: AnySender
    reference: bytes | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """What a commit does: by whom, and to whom. Leaves by index, as they are after it, removed ones as before it."""

    epoch: int
    committer: LeafIndex
    external: bool
    """Whether the committer joins by it."""
    proposals: tuple[Proposed, ...]
    added: tuple[tuple[LeafIndex, LeafNode], ...]
    updated: tuple[tuple[LeafIndex, LeafNode], ...]
    removed: tuple[tuple[LeafIndex, LeafNode], ...]
    committer_leaf: LeafNode
    reinit: ReInit | None


def in_parts(
    mapped: Callable[..., Iterable[None]],
    function: Callable[[tuple[int, LeafNode]], None],
    members: Iterable[tuple[int, LeafNode]],
) -> Iterable[None]:
    """For `Policy.mapped`: `map` by that of a pool, 64 members at a time, since one signature is soon checked."""

    def checked(part: list[tuple[int, LeafNode]]) -> None:
        for each in part:
            function(each)

    everybody = list(members)
    return mapped(checked, [everybody[start : start + 64] for start in range(0, len(everybody), 64)])


class Policy(ABC):
    """The application's rules; each method that refuses raises an error of `tacit.errors`.

    `window` is how far messages may be out of order. Of past epochs `past_epochs` are kept, for at most `past_seconds`,
    and `resumption_epochs` of their resumption secrets.
    """

    window: ClassVar[Window] = Window()
    past_epochs: ClassVar[int] = 3
    past_seconds: ClassVar[int] = 7 * 24 * 3600
    resumption_epochs: ClassVar[int] = 16
    lifetime_seconds: ClassVar[int] = 400 * 24 * 3600
    """How long a key package may be valid in all (§7.2)."""
    tells_clients: ClassVar[bool] = False
    """Whether `client_of` tells clients apart, beside their signature keys."""
    private_handshakes: ClassVar[bool] = True
    """Whether own proposals and commits travel encrypted."""
    public_handshakes: ClassVar[bool] = True
    """Whether proposals and commits of members are taken that travel in the clear."""

    def mapped(
        self,
        function: Callable[[tuple[int, LeafNode]], None],
        members: Iterable[tuple[int, LeafNode]],
    ) -> Iterable[None]:
        """As `map`; `in_parts` of a pool of threads joins a large group faster: signatures are most of the work."""
        return map(function, members)

    def padding(self, length: int) -> int:
        """How many zero bytes follow a private content of so many bytes (§6.3.1); here: none."""
        return 0

    @abstractmethod
    def authenticate(self, leaf: LeafNode) -> None:
        """Refuse a leaf unless its credential is of whoever has its signature key (§5.3.1)."""

    def authenticate_external(self, sender: ExternalSender) -> None:
        """Refuse somebody outside of the group who is to propose, unless the credential is theirs; here: everybody."""
        raise errors.InvalidGroupMessage("§5.3.1: the application knows no external senders")

    def is_successor(self, before: LeafNode, after: LeafNode) -> bool:
        """Whether a member's new leaf is of the same member (§5.3.1); here: the same credential."""
        return before.credential == after.credential

    external_joins: ClassVar[bool] = False
    """Whether somebody may join by an external commit (§12.4.3.2)."""
    new_member_proposals: ClassVar[bool] = False
    """Whether somebody who is no member may propose to be added (§12.1.8)."""

    def client_of(self, leaf: LeafNode) -> Hashable:
        """What is one for two leaves of one client, which may be in a group once (§12.2).

        It is asked for only where `tells_clients` is set, and then of every member when somebody is added; without it
        clients are told apart by their signature keys.
        """
        return leaf.credential

    def check_commit(self, effects: Effects) -> None:
        """Refuse a commit by the application's own rules; here: one by which somebody joins, unless that is allowed."""
        if effects.external and not self.external_joins:
            raise errors.InvalidGroupMessage("§12.4.3.2: the application allows no external joins")

    def check_proposal(self, proposed: Proposed) -> None:
        """Refuse a proposal by the application's own rules; here: one by a new member, unless that is allowed."""
        if isinstance(proposed.sender, NewMemberProposal) and not self.new_member_proposals:
            raise errors.InvalidGroupMessage("§12.1.8: the application allows no proposals by new members")

    def external_psk(self, psk_id: bytes) -> Secret | None:
        """The pre-shared key of that name, if there is one."""
        return None

    def resumption_psk(self, group_id: bytes, epoch: int) -> Secret | None:
        """The resumption_psk of an epoch of another group, if it is kept."""
        return None
