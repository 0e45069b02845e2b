"""From opened messages to what a person sees: edits, deletions, the conversation's name, and what is missing.

Pure folds: the same messages give the same timeline, in whatever order they were opened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple, assert_never

from tacit import errors
from tacit.conversation.content import DeleteBody, EditBody, Name, NameNotice, TextBody, Unknown
from tacit.conversation.judging import Counted, Shown, Trust


class Opened(NamedTuple):
    """A message that was opened, and the `seq` of its place."""

    seq: int
    shown: Shown


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One message as it stands now.

    `text` is None for a kind that this program does not know (`unknown` holds it) and where `deleted`. `trust` takes
    in the marks of the edits and deletions that made it what it is.
    """

    name: Name
    seq: int
    epoch: int
    sent_at: int
    text: str | None
    unknown: Unknown | None
    trust: Trust
    edited: bool = False
    deleted: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Ignored:
    """An edit or deletion that does not count: of another user's message, or of one that is not a text here."""

    name: Name
    seq: int
    target: Name
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Timeline:
    """What a conversation looks like: entries and ignored attempts by `seq`, and its name by the latest notice."""

    entries: tuple[Entry, ...]
    ignored: tuple[Ignored, ...]
    name: str | None


def fold_timeline(messages: Iterable[Opened]) -> Timeline:
    """The timeline of opened messages; of several under one name the first in `seq` counts."""
    entries: dict[Name, Entry] = {}
    changes: list[tuple[Opened, EditBody | DeleteBody]] = []
    names: set[Name] = set()
    title: str | None = None
    for message in sorted(messages, key=lambda opened: opened.seq):
        shown = message.shown
        if shown.name in names:
            continue
        names.add(shown.name)
        body = shown.body
        match body:
            case TextBody():
                entries[shown.name] = _entry(message, body.text, None)
            case Unknown():
                entries[shown.name] = _entry(message, None, body)
            case NameNotice():
                title = body.name
            case EditBody() | DeleteBody():
                changes.append((message, body))
            case _:
                assert_never(body)
    ignored: list[Ignored] = []
    for message, body in changes:
        try:
            entries[body.target] = changed(message.shown, body, entries.get(body.target))
        except errors.InvalidMessage as error:
            ignored.append(Ignored(message.shown.name, message.seq, body.target, error.detail))
    return Timeline(tuple(sorted(entries.values(), key=lambda entry: entry.seq)), tuple(ignored), title)


def _entry(message: Opened, text: str | None, unknown: Unknown | None) -> Entry:
    shown = message.shown
    return Entry(shown.name, message.seq, shown.epoch, shown.content.sent_at, text, unknown, shown.trust)


def changed(by: Shown, body: EditBody | DeleteBody, entry: Entry | None) -> Entry:
    """The entry after an edit or deletion; raises `InvalidMessage` where that does not count.

    Only the same user's counts, by authenticated names; only a text can be edited, and what is deleted stays deleted.
    """
    check_author(by.name, body.target)
    if entry is None:
        raise errors.InvalidMessage("there is no such message")
    if entry.deleted:
        raise errors.InvalidMessage("the message was deleted")
    trust = Trust(entry.trust.late or by.trust.late, entry.trust.revoked or by.trust.revoked)
    if isinstance(body, DeleteBody):
        return dataclasses.replace(entry, text=None, unknown=None, trust=trust, deleted=True)
    if entry.text is None:
        raise errors.InvalidMessage("the message is not a text")
    return dataclasses.replace(entry, text=body.text, trust=trust, edited=True)


def check_author(author: Name, target: Name) -> None:
    """Raises `InvalidMessage` for an edit or deletion of what another user wrote."""
    if author.user_id != target.user_id:
        raise errors.InvalidMessage("it is another's message")


class Seen(NamedTuple):
    """A message whose signature verified, opened or not: its counter, epoch and hash, and the hashes it says it saw.

    `ordered`: its counter says where it stands among its device's. A notice's does not: the first message of an epoch
    overtakes one that waits since the epoch before, and has its counter already.
    """

    use: Counted
    epoch: int
    message_hash: bytes
    saw: tuple[bytes, ...] = ()
    ordered: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Gaps:
    """What was not received though others say it exists: lost, withheld, or still on its way; and what stands wrongly.

    `counters` are, by user, device and opening of the device's store, the counters that are missing below the highest
    one received; `hashes` are messages that others saw; `misplaced` are hashes of messages that were received and stand
    behind what followed them.
    """

    counters: Mapping[tuple[str, str, bytes], tuple[int, ...]]
    hashes: frozenset[bytes]
    misplaced: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.counters or self.hashes or self.misplaced)


MOST_GAPS = 1000
"""Counters listed for one opening of a store at the most: a counter is the sender's word, up to 2^64."""


def find_gaps(messages: Iterable[Seen], joined: int = 1, held: AbstractSet[bytes] = frozenset()) -> Gaps:
    """The gaps in the messages of one conversation, received by a member since epoch `joined` (1: from the beginning).

    A later joiner was not there for the first counters, nor for what the messages of its first epoch saw. `held` are
    the hashes of what is here besides, readable or not. Counters tell something only where a sender counts each
    conversation by itself.
    """
    received: dict[tuple[str, str, bytes], set[int]] = {}
    hashes: set[bytes] = set()
    early: set[bytes] = set()
    named: set[bytes] = set()
    for message in messages:
        use = message.use
        received.setdefault((use.user_id, use.device_id, use.instance_id), set()).add(use.counter)
        hashes.add(message.message_hash)
        before_my_time = joined > 1 and message.epoch <= joined
        (early if before_my_time else named).update(message.saw)
    counters: dict[tuple[str, str, bytes], tuple[int, ...]] = {}
    for opening, numbers in received.items():
        if missing := _missing(sorted(numbers), 0 if joined == 1 else min(numbers)):
            counters[opening] = missing
    return Gaps(counters, frozenset(named - early - hashes - held))


def _missing(numbers: list[int], expected: int) -> tuple[int, ...]:
    missing: list[int] = []
    for number in numbers:
        missing.extend(range(expected, min(number, expected + MOST_GAPS - len(missing))))
        expected = number + 1
    return tuple(missing)


def find_misplaced(messages: Iterable[Seen]) -> frozenset[bytes]:
    """The hashes of messages, given by `seq`, that stand behind a later one of the same device, or one that saw them.

    The order is the server's alone. What contradicts it is signed: a device's counter, and what a sender says it saw.
    """
    highest: dict[tuple[str, str, bytes], int] = {}
    received: set[bytes] = set()
    named: set[bytes] = set()
    misplaced: set[bytes] = set()
    for message in messages:
        use, own_hash = message.use, message.message_hash
        named.update(message.saw)
        if own_hash in received:
            continue
        received.add(own_hash)
        behind = own_hash in named
        if message.ordered:
            opening = (use.user_id, use.device_id, use.instance_id)
            behind = behind or use.counter < highest.get(opening, 0)
            highest[opening] = max(use.counter, highest.get(opening, 0))
        if behind:
            misplaced.add(own_hash)
    return frozenset(misplaced)
