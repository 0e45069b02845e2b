"""`tacit chat`: a plain line-by-line conversation with live messages."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from tacit import errors
from tacit.cli.main import explain, show
from tacit.cli.session import common, runs, signed_in
from tacit.cli.talk import fields_of, line_of, protection, who
from tacit.client import Conversation


async def show_messages(conversation: Conversation, as_json: bool) -> None:
    """Print what is there and what comes."""
    async for message in conversation.messages(follow=True):
        show(as_json, fields_of(message), line_of(message))


async def send_lines(conversation: Conversation) -> None:
    """Send each line of standard input until it ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        text = line.removesuffix("\n")
        if text in ("/quit", "/exit"):
            return
        if not text:
            continue
        try:
            await conversation.send(text)
        except errors.TacitError as error:
            click.echo(explain(error), err=True)


@click.command()
@click.argument("conversation")
@common
@runs
async def chat(conversation: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Talk in CONVERSATION: a line is a message; /quit or end of input ends it."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        if not as_json:
            click.echo(f"{found.name}: {protection(found)}\n  with {who(found)}")
            click.echo("  marks: · key pinned on first use, ✓ verified, ! device since revoked, ✗ cannot be read")
        incoming = asyncio.create_task(show_messages(found, as_json))
        outgoing = asyncio.create_task(send_lines(found))
        done, _ = await asyncio.wait((incoming, outgoing), return_when=asyncio.FIRST_COMPLETED)
        incoming.cancel()
        for task in done:
            task.result()
