"""What is printed of conversations and of gaps."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tacit.cli.lines import describe, line_of, moment, of_gaps, protection, summary
from tacit.client import Conversation, Gaps, Message
from tacit.client.view import Snapshot

INSTANCE = bytes(16)
STOPPED = "invalid_record: it is another conversation's"


def conversation(*, encrypted: bool, protocol: str, epoch: int, blocked: str = "") -> Conversation:
    profile = "standard" if protocol else ""
    snapshot = Snapshot("team", "team", encrypted, protocol, profile, epoch, (), blocked, ())
    return Conversation(cast(Any, None), snapshot)


@pytest.mark.parametrize(
    ("encrypted", "protocol", "epoch", "said"),
    [
        (True, "envelope", 3, "end-to-end encrypted, protocol envelope, profile standard, epoch 3"),
        (False, "plaintext", 1, "NOT encrypted: the server can read it"),
        (False, "", 0, "no record of it was accepted; nothing is sent in it"),
    ],
)
def test_how_a_conversation_is_protected(encrypted: bool, protocol: str, epoch: int, said: str) -> None:
    assert protection(conversation(encrypted=encrypted, protocol=protocol, epoch=epoch)) == said


def test_a_conversation_that_was_stopped_before_any_record_counted_is_not_called_readable() -> None:
    stopped = conversation(encrypted=False, protocol="", epoch=0, blocked=STOPPED)
    assert summary(stopped).splitlines() == [
        "team",
        "  no record of it was accepted; nothing is sent in it",
        "  members: ",
        f"  sending is blocked: {STOPPED}",
    ]
    assert (describe(stopped)["encrypted"], describe(stopped)["blocked"]) == (False, STOPPED)


def test_without_gaps_nothing_is_said() -> None:
    assert of_gaps(Gaps({}, frozenset())) == []


def test_what_is_missing_is_said_by_sender_and_once() -> None:
    gaps = Gaps({("bob", "phone", INSTANCE): (1, 2), ("eve\x1b[2J", "phone", INSTANCE): (0,)}, frozenset([b"seen"]))
    assert of_gaps(gaps) == [
        "2 messages of bob are missing: lost, withheld, or still on their way",
        "1 messages of eve�[2J are missing: lost, withheld, or still on their way",
    ]


def test_what_only_others_saw_is_said_and_what_stands_wrongly() -> None:
    assert of_gaps(Gaps({}, frozenset([b"seen"]), frozenset([b"one", b"two"]))) == [
        "1 messages that others saw are missing: lost, withheld, or still on their way",
        "2 messages stand behind what was written after them",
    ]


@pytest.mark.parametrize("at", [2**60, 2**64 - 1, -(2**63)])
def test_a_time_that_no_calendar_has_is_shown_as_unknown(at: int) -> None:
    message = Message(1, "bob", "d" * 64, 1, "text", "hi", "pinned", at, "m")
    assert line_of(message) == "--:-- · bob: hi"
    assert moment(at) == "an unknown time"
    assert moment(0)[4:5] == "-"
