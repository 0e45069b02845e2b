"""`tacit conversations`, `create`, `send` and `read`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tacit import errors
from tacit.cli.lines import describe, fields_of, lines_of, moment, of_gaps, summary
from tacit.cli.notices import mention_notices
from tacit.cli.printing import one_line, show, warn
from tacit.cli.session import PROFILES, common, runs, signed_in
from tacit.client import Client


async def warn_of_alarms(client: Client) -> None:
    """Say what the server or a member contradicted so far."""
    for alarm in await client.alarms():
        what = f"{alarm.about} {one_line(alarm.subject)}: {alarm.code} {one_line(alarm.detail)}"
        warn(f"alarm of {moment(alarm.at)}: {what}")


@click.command()
@common
@runs
async def conversations(home: Path, password_fd: int | None, as_json: bool) -> None:
    """List your conversations: how each is protected and who is in it."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversations()
        if not found and not as_json:
            click.echo("no conversations yet; start one with `tacit create NAME MEMBER...`")
        for conversation in found:
            show(as_json, describe(conversation), summary(conversation))
        await warn_of_alarms(client)
        await mention_notices(client)


@click.command()
@click.argument("name")
@click.argument("members", metavar="[MEMBER]...", nargs=-1)
@click.option(
    "--profile",
    type=PROFILES,
    help="Its algorithms (default: your account's; compat lets accounts of the profiles compat and standard in).",
)
@common
@runs
async def create(
    name: str, members: tuple[str, ...], profile: str | None, home: Path, password_fd: int | None, as_json: bool
) -> None:
    """Start the conversation NAME with each MEMBER."""
    async with signed_in(home, password_fd) as client:
        made = await client.create_conversation(name, members=list(members), profile=profile)
        show(as_json, describe(made), summary(made))


@click.command()
@click.argument("conversation")
@click.argument("text")
@common
@runs
async def send(conversation: str, text: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Send TEXT (- for standard input) to CONVERSATION."""
    async with signed_in(home, password_fd) as client:
        if text == "-":  # after the password, which may come the same way
            try:
                text = sys.stdin.buffer.read().decode()
            except UnicodeDecodeError:
                raise errors.InvalidArgument("the text is not UTF-8") from None
        await client.sync()
        found = await client.conversation(conversation)
        sent = await found.send(text)
        show(as_json, fields_of(sent), f"sent to {one_line(found.name)} as message {sent.seq}")


@click.command()
@click.argument("conversation")
@common
@runs
async def read(conversation: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Read CONVERSATION from its beginning; what cannot be read is shown with cause and remedy."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        messages = [message async for message in found.messages()]
        if as_json:
            for message in messages:
                show(True, fields_of(message), "")
        else:
            for line in lines_of(messages):
                show(False, {}, line)
        for line in of_gaps(await found.gaps()):
            warn(f"-- {line}")
        await warn_of_alarms(client)
        await mention_notices(client)
