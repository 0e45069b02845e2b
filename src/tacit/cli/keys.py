"""`tacit keys`: manage a conversation's keys."""

from __future__ import annotations

from pathlib import Path

import click

from tacit.cli.lines import describe, protection
from tacit.cli.printing import show
from tacit.cli.session import common, runs, signed_in


@click.group()
def keys() -> None:
    """Manage a conversation's keys."""


@keys.command()
@click.argument("conversation")
@common
@runs
async def rotate(conversation: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Protect what follows in CONVERSATION with a new key."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        await found.rotate()
        show(as_json, describe(found), f"a new key protects {conversation}: {protection(found)}")


@keys.command("raise-profile")
@click.argument("conversation")
@common
@runs
async def raise_profile(conversation: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Raise CONVERSATION from the profile compat to standard, for good: every member's account has to be standard."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = await client.conversation(conversation)
        await found.raise_profile("standard")
        show(as_json, describe(found), f"{conversation}: {protection(found)}")
