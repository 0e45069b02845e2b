"""What the client commands share: where the state is, who it belongs to, and its password."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from tacit import errors
from tacit.client import Client

P = ParamSpec("P")
T = TypeVar("T")
PASSWORD_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Profile:
    """Which account a state folder belongs to, and where; `algorithms` is the profile that the account has for life."""

    url: str
    user_id: str
    server_name: str | None
    keychain: bool = False
    algorithms: str = "standard"
    pins: tuple[str, ...] = ()

    def write(self, home: Path) -> None:
        """Remember it; nothing in it is secret."""
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        fields = {
            "url": self.url,
            "userId": self.user_id,
            "serverName": self.server_name,
            "keychain": self.keychain,
            "profile": self.algorithms,
            "pins": self.pins,
        }
        (home / "profile.json").write_text(json.dumps(fields) + "\n")

    @staticmethod
    def read(home: Path) -> Profile:
        """The remembered account; raises `NotSignedIn` where there is none."""
        try:
            fields = json.loads((home / "profile.json").read_text())
            return Profile(
                fields["url"],
                fields["userId"],
                fields["serverName"],
                fields["keychain"] is True,
                fields["profile"],
                tuple(fields["pins"]),
            )
        except FileNotFoundError:
            raise errors.NotSignedIn(f"there is no account in {home}; try `tacit register`") from None
        except (ValueError, KeyError, TypeError):
            raise errors.NotSignedIn(f"{home / 'profile.json'} cannot be read") from None


PROFILES = click.Choice(["standard", "fips", "compat"])


def default_home() -> str:
    """The state folder: $TACIT_HOME, else tacit under $XDG_DATA_HOME or ~/.local/share."""
    if home := os.environ.get("TACIT_HOME"):
        return home
    if base := os.environ.get("XDG_DATA_HOME"):
        return str(Path(base) / "tacit")
    if not os.environ.get("HOME"):
        raise click.UsageError("there is no home folder: give --home, or set TACIT_HOME")
    return str(Path.home() / ".local" / "share" / "tacit")


def common(command: Callable[P, T]) -> Callable[P, T]:
    """The options of every client command."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")(command)
    command = click.option(
        "--password-fd", type=int, metavar="FD", help="Read the password's line from this file descriptor."
    )(command)
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        default=default_home,
        help="The folder of this account's state (default: $TACIT_HOME, else ~/.local/share/tacit).",
    )(command)


def password_from(
    descriptor: int | None, *, confirm: bool = False, prompt: str = "Password", option: str = "--password-fd"
) -> str:
    """A password: one line of a file descriptor, else prompted for without echo; `option` names the descriptor."""
    if descriptor is None:
        if not can_ask():
            raise click.UsageError(f"there is no terminal to ask for the password at: give {option}")
        answer: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
        return answer
    return line_from(descriptor, "password")


def line_from(descriptor: int, what: str) -> str:
    """One line of a file descriptor that holds a secret; raises `InvalidArgument` that calls it `what`."""
    line = b""
    try:
        # A byte at a time: what comes after the line is somebody else's, where it is standard input.
        while not line.endswith(b"\n") and len(line) <= PASSWORD_LIMIT and (read := os.read(descriptor, 1)):
            line += read
        if descriptor != 0:
            os.close(descriptor)
    except OSError:
        raise errors.InvalidArgument(f"file descriptor {descriptor} cannot be read") from None
    if len(line) > PASSWORD_LIMIT:
        raise errors.InvalidArgument(f"the {what} is longer than {PASSWORD_LIMIT} bytes")
    try:
        text = line.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise errors.InvalidArgument(f"the {what} is not UTF-8") from None
    if not text:
        raise errors.InvalidArgument(f"file descriptor {descriptor} gave no {what}")
    return text


def can_ask() -> bool:
    """Whether there is a terminal at which a secret can be typed without echo."""
    return sys.stdin.isatty() or has_terminal()


def has_terminal() -> bool:
    """Whether this process can ask somebody, even where its standard input is another's."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def client_of(home: Path, profile: Profile) -> Client:
    """The client on a state folder."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Client(
        profile.url,
        pins=profile.pins,
        store=str(home / "state.db"),
        server_name=profile.server_name,
        keychain=profile.keychain,
        profile=profile.algorithms,
    )


@asynccontextmanager
async def signed_in(home: Path, password_fd: int | None) -> AsyncIterator[Client]:
    """The remembered account's client with an open session."""
    profile, password = whose(home, password_fd)
    async with signed_in_as(home, profile, password) as client:
        yield client


def whose(home: Path, password_fd: int | None) -> tuple[Profile, str | None]:
    """The remembered account of a folder, and the password that opens the folder (None: it is in the keychain)."""
    profile = Profile.read(home)
    return profile, None if profile.keychain else password_from(password_fd)


@asynccontextmanager
async def signed_in_as(home: Path, profile: Profile, password: str | None) -> AsyncIterator[Client]:
    """This account's client with an open session."""
    async with client_of(home, profile) as client:
        await client.sign_in(profile.user_id, password)
        yield client


class Listing(click.Group):
    """A group that lists where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, with `list` before them where they begin with an option."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def runs(body: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Run an async command body to its end."""

    @functools.wraps(body)
    def command(*arguments: P.args, **options: P.kwargs) -> T:
        return asyncio.run(body(*arguments, **options))

    return command
