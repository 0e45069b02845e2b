"""`tacit chat`: a plain line-by-line conversation with live messages."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import click

from tacit import errors
from tacit.cli.lines import LEGEND, fields_of, line_of, lines_of, protection, summary, who
from tacit.cli.notices import mention_notices
from tacit.cli.printing import explain, show, warn
from tacit.cli.session import common, runs, signed_in
from tacit.cli.talk import warn_of_alarms
from tacit.client import Client, Conversation

EARLIER = 20
"""How many earlier messages are shown at the beginning."""
HINT = "a line is a message, shown again once the server has it; /quit ends"
LINE_BYTES = 1 << 20
"""After how many bytes without an end of line no more is read."""


async def show_messages(conversation: Conversation, as_json: bool) -> None:
    """Print the newest messages that are there, and then what comes."""
    earlier = [message async for message in conversation.messages()]
    if as_json:
        for message in earlier:
            show(True, fields_of(message), "")
    else:
        lines = list(lines_of(earlier))
        if len(lines) > EARLIER:
            click.echo(f"({len(lines) - EARLIER} earlier lines: tacit read)")
        for line in lines[-EARLIER:]:
            show(False, {}, line)
    known = set(earlier)
    async for message in conversation.messages(follow=True):
        if message not in known:
            show(as_json, fields_of(message), line_of(message))


async def show_changes(client: Client, conversation: Conversation) -> None:
    """Say when members, protection or whether one can send change."""
    notifier = client.device.listen()
    before = state_of(conversation)
    while True:
        event = notifier.event()
        await conversation.refresh()
        after = state_of(conversation)
        for was, now in zip(before, after, strict=True):
            if was != now and now:
                warn(f"-- {now}")
        before = after
        await event.wait()


def state_of(conversation: Conversation) -> tuple[str, str, str]:
    """What is said again when it changes."""
    blocked = f"sending is blocked: {conversation.blocked}" if conversation.blocked else ""
    return f"members: {who(conversation)}", protection(conversation), blocked


async def typed_lines() -> AsyncIterator[str]:
    """The lines of standard input until it ends.

    They are read in a thread that nobody waits for: it may still be reading when the conversation has ended.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    def give(line: str | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            loop.call_soon_threadsafe(queue.put_nowait, line)

    def collect() -> None:
        for line in raw_lines(sys.stdin.fileno()):
            give(line.decode(errors="replace").removesuffix("\r"))
        give(None)

    threading.Thread(target=collect, daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line


def raw_lines(descriptor: int) -> Iterator[bytes]:
    """The lines of a file descriptor, read without a buffer that others would have to share."""
    rest = b""
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:
            data = b""
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
        if not data or len(rest) > LINE_BYTES:
            break
    if rest:
        yield rest


async def send_lines(conversation: Conversation) -> None:
    """Send each line that is typed, until /quit or the end of input."""
    async for line in typed_lines():
        if line in ("/quit", "/exit"):
            return
        if not line:
            continue
        try:
            await conversation.send(line)
        except errors.TacitError as error:
            warn(explain(error))


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
            show(False, {}, f"{summary(found)}\n  {LEGEND}\n  {HINT}")
        await warn_of_alarms(client)
        await mention_notices(client)
        tasks = [
            asyncio.create_task(show_messages(found, as_json)),
            asyncio.create_task(show_changes(client, found)),
            asyncio.create_task(send_lines(found)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
