"""`tacit members`: list, add, remove."""

from __future__ import annotations

from pathlib import Path

import click

from tacit.cli.main import show
from tacit.cli.session import common, runs, signed_in
from tacit.cli.talk import describe, protection, who


@click.group()
def members() -> None:
    """List, add or remove a conversation's members."""


@members.command("list")
@click.argument("conversation")
@common
@runs
async def list_members(conversation: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Say who is in CONVERSATION."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        show(as_json, describe(found), f"{protection(found)}\n  {who(found)}")


@members.command("add")
@click.argument("conversation")
@click.argument("user")
@common
@runs
async def add(conversation: str, user: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Add USER to CONVERSATION; what was written before stays closed to them."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        await found.add(user)
        show(as_json, describe(found), f"{user} is in; {protection(found)}\n  {who(found)}")


@members.command("remove")
@click.argument("conversation")
@click.argument("user")
@common
@runs
async def remove(conversation: str, user: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Remove USER from CONVERSATION; a new key protects what follows."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        await found.remove(user)
        show(as_json, describe(found), f"{user} is out; {protection(found)}\n  {who(found)}")
