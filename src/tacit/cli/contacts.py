"""`tacit contacts`: the identities that people are known by, and confirming a new one."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tacit import errors
from tacit.cli.asking import is_yes
from tacit.cli.printing import one_line, show
from tacit.cli.session import Listing, common, runs, signed_in
from tacit.client.account import Contact
from tacit.client.books import Books
from tacit.client.vaultbook import pin_of

GROUP = 8
"""Hex digits that are read out in one go."""


def grouped(fingerprint: str) -> str:
    """A fingerprint as it is compared."""
    return " ".join(fingerprint[start : start + GROUP] for start in range(0, len(fingerprint), GROUP))


def own_fingerprint(books: Books) -> str:
    """What contacts compare with what they see of this account."""
    return pin_of(books.own_account().value).aik_fingerprint.hex()


def contact_text(contact: Contact) -> str:
    """Somebody as they are known, and what to do where they are not who they were."""
    user = one_line(contact.user_id)
    if not contact.changed:
        return f"{user}\n  {grouped(contact.fingerprint)}"
    return (
        f"{user}: RESET, and not confirmed\n"
        f"  known: {grouped(contact.fingerprint)}\n"
        f"  now:   {grouped(contact.fingerprint_now)}\n"
        f"  compare the second with {user} outside this chat; if it is theirs:\n"
        f"  tacit contacts confirm {shlex.quote(user)} FINGERPRINT"
    )


@click.group(cls=Listing)
def contacts() -> None:
    """List the identities of the people you met (as without a command), or confirm a new one."""


@contacts.command("list")
@common
@runs
async def list_contacts(home: Path, password_fd: int | None, as_json: bool) -> None:
    """Show the fingerprint of everybody's identity key, yours first."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        me, own = await client.device.run(lambda books: (books.me.user_id, own_fingerprint(books)))
        show(
            as_json,
            {"userId": me, "this": True, "fingerprint": own, "fingerprintNow": own, "changed": False},
            f"{one_line(me)} (you)\n  {grouped(own)}",
        )
        for each in await client.account.contacts():
            fields = {
                "userId": each.user_id,
                "this": False,
                "fingerprint": each.fingerprint,
                "fingerprintNow": each.fingerprint_now,
                "changed": each.changed,
            }
            show(as_json, fields, contact_text(each))


@contacts.command("confirm")
@click.argument("user")
@click.argument("fingerprint", metavar="FINGERPRINT...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Ask nothing.")
@common
@runs
async def confirm(
    user: str, fingerprint: tuple[str, ...], yes: bool, home: Path, password_fd: int | None, as_json: bool
) -> None:
    """Know USER by the new FINGERPRINT, which you compared with them by another way than this chat."""
    given = "".join(fingerprint).replace(" ", "").lower()
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = next((each for each in await client.account.contacts() if each.user_id == user), None)
        if found is None:
            raise errors.InvalidArgument(f"you have not met {one_line(user)}: see `tacit contacts`")
        if given != found.fingerprint_now:
            raise errors.InvalidArgument(
                f"this is not {one_line(user)}'s identity: the account has {grouped(found.fingerprint_now)}. "
                "If they told you another one, somebody is between you: do not confirm it"
            )
        if found.changed and not (
            yes or is_yes(f"Did {one_line(user)} tell you this fingerprint outside this chat, by voice or in person?")
        ):
            raise errors.NotConfirmed()
        await client.account.confirm_identity(user, given)
        text = f"{user} is known by this identity now; an admin can add them again: tacit members add"
        show(as_json, {"userId": user, "fingerprint": given}, text)
