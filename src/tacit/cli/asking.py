"""What a person is asked for: the recovery key, a new password, and whether the account is as they know it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

import click

from tacit import errors
from tacit.cli.lines import account_text
from tacit.cli.printing import printable, warn
from tacit.cli.session import can_ask, line_from, password_from
from tacit.client.accountview import AccountView, Confirm
from tacit.identity.words import WORDS, wordlist

T = TypeVar("T")
ROW = 6
"""Words in a line, as they are shown and asked for."""
AS_KNOWN = "Is this the account as you know it? Answer no where a device is not yours, or one that was revoked is back."


class Key(TypedDict, total=False):
    """What opens the account, as the client takes it: one of the two."""

    password: str
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Asking:
    """How the account is opened and the person asked, by the options of `opening`."""

    by_words: bool
    words_fd: int | None
    account_password_fd: int | None
    yes: bool

    def key(self, folder_password: str | None) -> Key:
        """Password or words; by default the password that opens this folder, which is the account's."""
        if self.by_words:
            return {"words": words_from(self.words_fd)}
        if self.account_password_fd is not None:
            return {"password": password_from(self.account_password_fd)}
        if folder_password is not None:
            return {"password": folder_password}
        return {"password": password_from(None, prompt="The account's password", option="--account-password-fd")}

    async def use(self, key: Key, folder_password: str | None, change: Callable[[Key], Awaitable[T]]) -> T:
        """Make a change of the account by its password or words; where the folder's password is an old one, ask."""
        try:
            return await change(key)
        except errors.SignInRefused:
            if self.by_words or self.account_password_fd is not None or folder_password is None:
                raise
            warn("the account's password is not this folder's: it was changed on another device")
            password = password_from(None, prompt="The account's password", option="--account-password-fd")
            return await change({"password": password})

    def agree(self, question: str) -> bool:
        """Whether the person says yes; with --yes nobody is asked."""
        return self.yes or is_yes(question)

    def confirm(self, question: str = AS_KNOWN) -> Confirm:
        """Shows the account and asks."""

        async def ask(view: AccountView) -> bool:
            warn(account_text(view))
            return self.agree(question)

        return ask


def opening(command: Callable[..., T]) -> Callable[..., T]:
    """The options of a command that opens the account; the command gets them as `asking`."""

    @functools.wraps(command)
    def gathered(*, words: bool, words_fd: int | None, account_password_fd: int | None, yes: bool, **others: Any) -> T:
        return command(asking=Asking(words or words_fd is not None, words_fd, account_password_fd, yes), **others)

    for option in (
        click.option("--yes", is_flag=True, help="Show the account and ask nothing."),
        click.option(
            "--account-password-fd",
            type=int,
            metavar="FD",
            help="Read the account's password from this file descriptor, where it is not this folder's.",
        ),
        click.option("--words-fd", type=int, metavar="FD", help="Read the 24 words' line from this file descriptor."),
        click.option("--words", is_flag=True, help="Open the account with the 24 words of its recovery key."),
    ):
        gathered = option(gathered)
    return gathered


def new_password_from(descriptor: int | None) -> str:
    """The password that the account is to have: from a file descriptor, else asked for twice."""
    return password_from(descriptor, confirm=True, prompt="New password", option="--new-password-fd")


def words_from(descriptor: int | None) -> list[str]:
    """The 24 words: from a line of a file descriptor, else asked for without echo, as many in a line as are known."""
    if descriptor is not None:
        return line_from(descriptor, "recovery key").split()
    if not can_ask():
        raise click.UsageError("there is no terminal to ask for the recovery key at: give --words-fd")
    found: list[str] = []
    while len(found) < WORDS:
        first = len(found) + 1
        prompt = f"Words {first} to {min(first + ROW - 1, WORDS)} of {WORDS} (they are not shown)"
        row = str(click.prompt(prompt, hide_input=True, err=True)).split()
        unknown = [str(place) for place, word in enumerate(row, first) if word.lower() not in wordlist()]
        if unknown:
            warn(f"no such word at position {', '.join(unknown)}: type this row once more")
        else:
            found += row
    return found


def words_text(words: Sequence[str]) -> str:
    """The words as they are written down: four numbered rows."""
    numbered = [f"{place:2}. {word:<8}" for place, word in enumerate(words, 1)]
    return "\n".join("   ".join(numbered[row : row + ROW]).rstrip() for row in range(0, len(numbered), ROW))


def is_yes(question: str) -> bool:
    """Whether a line of standard input is a yes; raises `UsageError` where nobody answers."""
    click.echo(f"{printable(question)} [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:
        raise click.UsageError("nobody answered: look at `tacit devices`, then give --yes")
    return answer.strip().lower() in ("y", "yes")
