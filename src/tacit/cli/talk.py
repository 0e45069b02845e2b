"""`tacit conversations`, `create`, `send` and `read`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from tacit.cli.main import show
from tacit.cli.session import common, runs, signed_in
from tacit.client import Conversation, Message


def protection(conversation: Conversation) -> str:
    """How a conversation is protected, in one line."""
    if not conversation.encrypted:
        return "NOT encrypted: the server can read it"
    return (
        f"end-to-end encrypted, protocol {conversation.protocol}, profile {conversation.profile}, "
        f"epoch {conversation.epoch}"
    )


def describe(conversation: Conversation) -> dict[str, Any]:
    """A conversation for a script."""
    return {
        "conversationId": conversation.id,
        "name": conversation.name,
        "encrypted": conversation.encrypted,
        "protocol": conversation.protocol,
        "profile": conversation.profile,
        "epoch": conversation.epoch,
        "members": [{"userId": member.user_id, "role": member.role} for member in conversation.members()],
        "blocked": conversation.blocked,
    }


def who(conversation: Conversation) -> str:
    """The members, admins marked."""
    return ", ".join(
        member.user_id + (" (admin)" if member.role == "admin" else "") for member in conversation.members()
    )


def fields_of(message: Message) -> dict[str, Any]:
    """A message for a script."""
    return {
        "seq": message.seq,
        "sender": message.sender,
        "deviceId": message.device_id,
        "epoch": message.epoch,
        "kind": message.kind,
        "text": message.text,
        "trust": message.trust,
        "sentAt": message.sent_at,
        "clientMessageId": message.client_message_id,
        "cause": message.cause,
        "remedy": message.remedy,
    }


MARKS = {"pinned": "·", "verified": "✓", "late": "late", "marked": "!", "undecryptable": "✗"}


def line_of(message: Message) -> str:
    """A message for a person: time, mark, sender, text; what cannot be read says why and what to do."""
    when = datetime.fromtimestamp(message.sent_at / 1000).strftime("%H:%M") if message.sent_at else "--:--"
    mark = MARKS.get(message.trust, message.trust)
    if message.cause:
        return f"{when} {mark} {message.sender}: [cannot be read: {message.cause}. {message.remedy}]"
    return f"{when} {mark} {message.sender}: {printable(message.text)}"


def printable(text: str) -> str:
    """Text without the control characters that could steer a terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


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
            text = f"{printable(conversation.name)}\n  {protection(conversation)}\n  {who(conversation)}"
            if conversation.blocked:
                text += f"\n  sending is blocked: {conversation.blocked}"
            show(as_json, describe(conversation), text)


@click.command()
@click.argument("name")
@click.argument("members", nargs=-1)
@common
@runs
async def create(name: str, members: tuple[str, ...], home: Path, password_fd: int | None, as_json: bool) -> None:
    """Start the conversation NAME with MEMBERS."""
    async with signed_in(home, password_fd) as client:
        made = await client.create_conversation(name, members=list(members))
        show(as_json, describe(made), f"{printable(made.name)}: {protection(made)}\n  {who(made)}")


@click.command()
@click.argument("conversation")
@click.argument("text")
@common
@runs
async def send(conversation: str, text: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Send TEXT (- for standard input) to CONVERSATION."""
    if text == "-":
        text = click.get_text_stream("stdin").read()
    async with signed_in(home, password_fd) as client:
        await client.sync()
        sent = await (await client.conversation(conversation)).send(text)
        show(as_json, fields_of(sent), f"sent to {conversation} as message {sent.seq}")


@click.command()
@click.argument("conversation")
@common
@runs
async def read(conversation: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Read CONVERSATION from its beginning; what cannot be read is shown with cause and remedy."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        async for message in (await client.conversation(conversation)).messages():
            show(as_json, fields_of(message), line_of(message))
