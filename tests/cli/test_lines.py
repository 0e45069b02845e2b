"""What is printed of gaps."""

from __future__ import annotations

from tacit.cli.lines import of_gaps
from tacit.client import Gaps

INSTANCE = bytes(16)


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
