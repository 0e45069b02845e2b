"""Which of the proposals that were received a commit takes (RFC 9420 §12.2, §12.4): as many as make a valid list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tacit import errors
from tacit.mls.framing import Member
from tacit.mls.policy import Policy, Proposed
from tacit.mls.proposal_list import apply
from tacit.mls.proposals import ReInit, Remove, Update
from tacit.mls.state import State, psk_secret_of


def _leaf_of(proposed: Proposed) -> int | None:
    """The leaf that an Update or a Remove is about."""
    match proposed.proposal:
        case Remove(removed):
            return removed
        case Update():
            assert isinstance(proposed.sender, Member)
            return proposed.sender.leaf_index
        case _:
            return None


def preferred(received: Iterable[Proposed], me: int) -> list[Proposed]:
    """Of several for one leaf a Remove, else the latest Update; nothing that a committer may not commit (§12.2)."""
    kept: dict[object, Proposed] = {}
    for each in received:
        leaf = _leaf_of(each)
        if leaf == me:
            continue
        before = None if leaf is None else kept.get(leaf)
        if before is not None and isinstance(before.proposal, Remove):
            continue
        kept[leaf if leaf is not None else each.reference] = each
    others = [each for each in kept.values() if not isinstance(each.proposal, ReInit)]
    return others or list(kept.values())[:1]


def chosen(state: State, policy: Policy, by_value: tuple[Proposed, ...], now: int) -> tuple[Proposed, ...]:
    """What was received and makes a valid list with the proposals of the committer's own; those come last.

    Raises as `proposal_list.apply` where the committer's own are not valid by themselves.
    """
    received = preferred(state.proposals.values(), state.me)
    if by_value:
        received = [each for each in received if not isinstance(each.proposal, ReInit)]
    everything = (*received, *by_value)
    if not received or _refused(state, policy, everything, now) is None:
        return everything
    refused = _refused(state, policy, by_value, now) if by_value else None
    if refused is not None:
        raise refused
    return (*_extended(state, policy, (), received, by_value, now), *by_value)


def _extended(
    state: State,
    policy: Policy,
    taken: tuple[Proposed, ...],
    more: Sequence[Proposed],
    by_value: tuple[Proposed, ...],
    now: int,
) -> tuple[Proposed, ...]:
    """What is taken with as many more as are valid with it, by halves: one that is not costs log n looks, not n."""
    if _refused(state, policy, (*taken, *more, *by_value), now) is None:
        return (*taken, *more)
    if len(more) == 1:
        return taken
    half = len(more) // 2
    taken = _extended(state, policy, taken, more[:half], by_value, now)
    return _extended(state, policy, taken, more[half:], by_value, now)


def _refused(state: State, policy: Policy, proposals: tuple[Proposed, ...], now: int) -> errors.TacitError | None:
    epoch = state.epoch
    try:
        applied = apply(epoch.suite, epoch.context, epoch.tree, proposals, state.me, policy, now)
        epoch.census.after(epoch.tree, applied.tree)
        psk_secret_of(epoch.suite, applied.psks, state, policy)
    except errors.PeerError as error:
        return error
    return None
