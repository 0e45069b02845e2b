"""`tacit members`: who is in a conversation, and every change of that."""

from __future__ import annotations

from dataclasses import asdict
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
    """List and change a conversation's members."""


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


@members.command("role")
@click.argument("conversation")
@click.argument("user")
@click.argument("role", type=click.Choice(["admin", "member"]))
@common
@runs
async def set_role(conversation: str, user: str, role: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Make USER an admin or a plain member of CONVERSATION."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        await found.set_role(user, role)
        show(as_json, describe(found), f"{user} is {role} now\n  {who(found)}")


@members.command("leave")
@click.argument("conversation")
@common
@runs
async def leave(conversation: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Leave CONVERSATION: you send nothing more, and another's next message or change takes you out."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        await found.leave()
        show(
            as_json, describe(found), f"you asked to leave {conversation}; another member's next message takes you out"
        )


@members.command("pending")
@click.argument("conversation")
@common
@runs
async def pending(conversation: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Show changes that count only once you accept them: a device that was revoked since signed them."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        waiting = await (await client.conversation(conversation)).pending()
        if not waiting and not as_json:
            click.echo("nothing waits for you")
        for record in waiting:
            changes = ", ".join(f"{user}: {role}" for user, role in record.changes) or "no member changes"
            text = f"epoch {record.epoch} by {record.opener}, device {record.device_id[:16]}: {changes}"
            show(as_json, asdict(record), f"{text}\n  ask a member; if it is right: accept {record.record_hash}")


@members.command("accept")
@click.argument("conversation")
@click.argument("record")
@common
@runs
async def accept(conversation: str, record: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Accept the change RECORD (the hash that `pending` shows) to CONVERSATION, having asked a member about it."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        await found.accept(record)
        show(as_json, describe(found), f"accepted; {protection(found)}\n  {who(found)}")
