"""Judging conversation records: each once, oldest first, above what was accepted before.

The standing rules (`signed.rights`) say whether a record is valid at all. What they cannot see is time: a device that
was revoked since may have signed a record that says it is older. Such a record needs a voucher.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator, Mapping, Sequence
from enum import Enum
from itertools import groupby

from tacit import errors
from tacit.signed.account import aik_fingerprint, certificate
from tacit.signed.record import Change, ConversationRecord, record_hash
from tacit.signed.rights import Accounts, ChainState, Newest, check_standing, could_open


class Place(Enum):
    """What becomes of a record."""

    FOUNDATION = "foundation"
    """From before one's own time: it meets the standing rules, and what builds on it is judged."""
    ACCEPTED = "accepted"
    """It counts; what it says stays accepted."""
    READING = "reading"
    """It is read and built on, but nothing is sent in its epoch: open the next one first."""
    PENDING = "pending"
    """It cannot be judged yet, or a person has to; everything above it waits."""
    INVALID = "invalid"
    """It breaks a standing rule: the conversation is stopped, the record is evidence against the server."""
    FORK = "fork"
    """A second valid record on one parent: an alarm; the first is kept and nothing is sent."""


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """A conversation record as it was served, with its `seq`."""

    record: ConversationRecord
    signature: bytes
    seq: int


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What became of one record.

    `state` is the chain's where the record counts; `cause` and `detail` say why where it does not. `ask` says that a
    person may accept a pending record, having asked a member. `accounts` names users whose account records have to be
    fetched first.
    """

    received: Received
    place: Place
    state: ChainState | None = None
    cause: type[errors.PeerError] | None = None
    detail: str = ""
    ask: bool = False
    accounts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Standpoint:
    """Who judges, and on what.

    `held` are the states of the records that count already, by epoch from 1 without a hole (empty for a joiner, or
    before one's own genesis came back); `accepted` are hashes of records that a person accepted without a voucher;
    `pinned` is the hash of the record up to which one's devices judged already, as the vault says: it vouches for the
    chain that has this very record in it, and for nothing where no such record came.
    """

    conversation_id: str
    user_id: str
    held: Mapping[int, ChainState]
    accounts: Accounts
    newest: Newest
    accepted: Container[bytes] = frozenset()
    pinned: bytes | None = None

    def head(self) -> ChainState | None:
        """The newest state that counts already: the pin."""
        return self.held[max(self.held)] if self.held else None


Link = tuple[Received, ChainState]
"""A record that meets the standing rules, and the state after it."""


def judge_records(received: Sequence[Received], by: Standpoint) -> list[Judgement]:
    """One judgement for each record that is not held already, in the order of `seq`.

    Of the records of one epoch each is tried until one meets the standing rules: one that nobody signed must not keep
    the true one out. Where none does, what follows is pending.
    """
    states = dict(by.held)
    chain: list[Link] = []
    others: list[Judgement] = []
    stopped = False
    in_order = sorted(received, key=lambda one: (one.record.epoch, one.seq))
    for number, group in groupby(in_order, key=lambda one: one.record.epoch):
        for each in group:
            known = states.get(number)
            if known is None and stopped:
                others.append(_pending(each, "it waits for an earlier record"))
            elif known is None:
                judgement = judge_standing(each, states, by)
                if judgement.state is None:
                    others.append(judgement)
                else:
                    states[number] = judgement.state
                    chain.append((each, judgement.state))
            elif known.head_hash != record_hash(each.record):
                others.append(judge_second(each, states, by))
        stopped = stopped or number not in states
    return sorted([*others, *_judge_chain(chain, by)], key=lambda judgement: judgement.received.seq)


def judge_standing(received: Received, states: Mapping[int, ChainState], by: Standpoint) -> Judgement:
    """The standing rules' verdict: `FOUNDATION` with the state after it, `PENDING` or `INVALID`."""
    record = received.record
    if record.conversation_id != by.conversation_id:
        return Judgement(received, Place.INVALID, None, errors.InvalidRecord, "the record is another conversation's")
    before = states.get(record.epoch - 1)
    if before is None and record.epoch != 1:
        return Judgement(received, Place.PENDING, None, errors.RecordMissing, f"epoch {record.epoch - 1}")
    try:
        _, state = check_standing(before, record, received.signature, by.accounts)
    except errors.RecordPending as error:
        accounts = tuple(str(each) for each in listed(error.facts.get("accounts")))
        return _pending(received, error.detail, accounts=accounts)
    except errors.PeerError as error:
        return Judgement(received, Place.INVALID, None, type(error), error.detail)
    return Judgement(received, Place.FOUNDATION, state)


def judge_second(received: Received, states: Mapping[int, ChainState], by: Standpoint) -> Judgement:
    """A record beside the one that is held for its epoch: a `FORK` where it is valid. It never replaces that one."""
    judgement = judge_standing(received, states, by)
    if judgement.state is None:
        return judgement
    return Judgement(received, Place.FORK, None, errors.ServerMisbehaved, "two valid records follow one")


def _judge_chain(chain: Sequence[Link], by: Standpoint) -> Iterator[Judgement]:
    """The judgements of records that meet the standing rules, oldest first."""
    start = _first_to_judge(chain, by)
    before = by.head()
    waiting = False
    for index, (received, state) in enumerate(chain):
        if index < start:
            yield Judgement(received, Place.FOUNDATION, state)
        elif waiting:
            yield _pending(received, "it waits for an earlier record")
        else:
            judgement = judge_signer(received, before, state, chain[index + 1 :], by)
            waiting = judgement.place is Place.PENDING
            yield judgement
        before = state


def _first_to_judge(chain: Sequence[Link], by: Standpoint) -> int:
    """Where one's own judging begins: above what is held or what another of one's devices judged, which the vault says.

    For a joiner that is the record that added it.
    """
    judged = [index for index, (_, state) in enumerate(chain) if state.head_hash == by.pinned]
    if judged:
        return judged[0] + 1
    if any(member.change.user_id == by.user_id for state in by.held.values() for member in state.members):
        return 0
    added = {state.added().get(by.user_id) for _, state in chain} - {None}
    places = [index for index, (_, state) in enumerate(chain) if state.head_hash in added]
    return max(places, default=len(chain))


def judge_signer(
    received: Received, before: ChainState | None, state: ChainState, later: Sequence[Link], by: Standpoint
) -> Judgement:
    """Whether the record's signer may be believed about when it was signed."""
    record = received.record
    if not is_revoked(record, state, by.newest):
        return Judgement(received, Place.ACCEPTED, state)
    if any(vouches(link, before, record, by) for link in later) or state.head_hash in by.accepted:
        return Judgement(received, Place.ACCEPTED, state)
    if changes_only_versions(before, record):
        return Judgement(received, Place.READING, state)
    return _pending(received, "the device that signed it was revoked since", ask=True)


def is_revoked(record: ConversationRecord, state: ChainState, newest: Newest) -> bool:
    """Whether the opener's device is not in its account's newest known record, or the account was reset.

    `state` is the chain's after the record.
    """
    account = newest(record.opener.user_id)
    if account is None:
        return True
    member = state.roster()[record.opener.user_id]
    same = aik_fingerprint(account.value.profile, account.value.aik) == member.aik_fingerprint
    return not same or certificate(account.value, record.opener.device_id) is None


def vouches(link: Link, before: ChainState | None, record: ConversationRecord, by: Standpoint) -> bool:
    """Whether a later record vouches for `record`, which follows `before`.

    Its own signer is not revoked, and had the right to do the same by the roster before `record`, under the identity
    key of that roster: who came in through `record` cannot vouch for it.
    """
    voucher, after = link[0].record, link[1]
    if is_revoked(voucher, after, by.newest):
        return False
    user_id = voucher.opener.user_id
    if not could_open(before, record, user_id, by.accounts):
        return False
    earlier = before.roster() if before is not None else {change.user_id: change for change in record.changes}
    return earlier[user_id].aik_fingerprint == after.roster()[user_id].aik_fingerprint


def changes_only_versions(before: ChainState | None, record: ConversationRecord) -> bool:
    """Whether a record does nothing but make a new key and name newer account versions of its members."""
    if before is None or record.requests:
        return False
    head = before.head
    same = (record.policy, record.protocol, record.profile, record.suite) == (
        head.policy,
        head.protocol,
        head.profile,
        head.suite,
    )
    roster = before.roster()
    return same and all(_is_same_member(roster.get(change.user_id), change) for change in record.changes)


def _is_same_member(earlier: Change | None, change: Change) -> bool:
    return earlier is not None and (earlier.role, earlier.aik_fingerprint) == (change.role, change.aik_fingerprint)


def _pending(received: Received, detail: str, *, ask: bool = False, accounts: tuple[str, ...] = ()) -> Judgement:
    return Judgement(received, Place.PENDING, None, errors.RecordPending, detail, ask, accounts)


def listed(value: object) -> list[object]:
    """A fact of an error that should be a list; what is none names nothing."""
    return value if isinstance(value, list) else []
