"""`tacit members`: list, add, remove."""

from __future__ import annotations

from pathlib import Path

import click

from tacit import errors
from tacit.cli.lines import describe, protection, who
from tacit.cli.printing import show
from tacit.cli.session import common, runs, signed_in


def check_users(holds: bool, rule: str, users: list[str]) -> None:
    """Raises `InvalidArgument` that names the users about whom something does not hold."""
    if not holds:
        raise errors.InvalidArgument("; ".join(f"{user} {rule}" for user in users))


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
@click.argument("users", metavar="USER...", nargs=-1, required=True)
@common
@runs
async def add(conversation: str, users: tuple[str, ...], home: Path, password_fd: int | None, as_json: bool) -> None:
    """Add each USER to CONVERSATION; what was written before stays closed to them."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        present = {member.user_id for member in found.members()}
        check_users(present.isdisjoint(users), "is a member already", sorted(present & set(users)))
        await found.add(*users)
        show(as_json, describe(found), f"{', '.join(users)} added; {protection(found)}\n  {who(found)}")


@members.command("remove")
@click.argument("conversation")
@click.argument("users", metavar="USER...", nargs=-1, required=True)
@common
@runs
async def remove(conversation: str, users: tuple[str, ...], home: Path, password_fd: int | None, as_json: bool) -> None:
    """Remove each USER from CONVERSATION; a new key protects what follows."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        present = {member.user_id for member in found.members()}
        check_users(present.issuperset(users), "is not a member", sorted(set(users) - present))
        await found.remove(*users)
        show(as_json, describe(found), f"{', '.join(users)} removed; {protection(found)}\n  {who(found)}")
