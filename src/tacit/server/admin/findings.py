"""What a check finds: named, with the ids of where it is, and the rule that does not hold; never with what is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tacit import errors

Place = dict[str, str | int]

NAMES: Final = {
    "file": "SQLite itself finds the file unsound",
    "reference": "a row belongs to one that is not there",
    "account_chain": "an account's records, from the first to the newest, do not verify",
    "account_row": "what stands beside an account's record is not what the record says",
    "account_event": "the events of an account's stream are not numbered from 1 without a hole",
    "vault": "the newest vault is not the one that the account's record names",
    "outer_header": "the headers of a vault's outer part do not lead from the named one to the newest",
    "device": "the devices are not those of the account's records",
    "unlocker": "the unlockers are not those of the newest vault",
    "conversation_chain": "a conversation's records, from the first to the newest, do not verify",
    "conversation_row": "what stands beside a conversation's records is not what they say",
    "outdated": "a conversation takes messages although a member's device or identity ended since its newest epoch",
    "member": "the members are not those of the conversation's records",
    "grant": "a grant is missing, or is not of its epoch and between its members",
    "leave": "a leave that waits cannot be read, or is another's",
    "seq": "the numbers of a conversation have a hole, or one stands twice",
    "message": "a message is not of its epoch, sender and device",
}
"""Every kind of finding."""

UNREADABLE: Final = (errors.TacitError, ValueError, TypeError, AttributeError)
"""What reading a value raises that somebody changed: SQLite lets anything stand in a column."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `place` has ids and numbers only."""

    name: str
    place: Place
    rule: str = field(default="")


def rule_of(error: Exception) -> str:
    """The rule that an error is about: texts of this program, no value of a row."""
    told = (errors.InvalidAccountRecord, errors.InvalidRecord, errors.InvalidVault, errors.BadSignature)
    if isinstance(error, told):
        return f"{error.code}: {error.detail}"
    return error.code if isinstance(error, errors.TacitError) else "unreadable"


def trying(name: str, place: Place, rules: Iterator[str]) -> Iterator[Finding]:
    """The findings of one check, each as the rule that does not hold; what cannot be read is one itself."""
    try:
        for rule in rules:
            yield Finding(name, place, rule)
    except UNREADABLE as error:
        yield Finding(name, place, rule_of(error))


def unequal(**pairs: tuple[object, object]) -> Iterator[str]:
    """The names of those pairs that are not equal."""
    for name, (found, expected) in pairs.items():
        if found != expected:
            yield f"another {name}"
