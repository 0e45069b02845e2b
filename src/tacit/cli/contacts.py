"""`tacit contacts`: the identities that people are known by, and confirming a new one."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tacit import errors
from tacit.cli.asking import is_yes
from tacit.cli.lines import ID_DIGITS
from tacit.cli.printing import one_line, show
from tacit.cli.session import Listing, common, runs, signed_in
from tacit.client.account import Contact

GROUP = 8
"""Hex digits that are read out in one go."""


def grouped(fingerprint: str) -> str:
    """A fingerprint as it is compared."""
    return " ".join(fingerprint[start : start + GROUP] for start in range(0, len(fingerprint), GROUP))


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


def own_text(user_id: str, fingerprint: str, reset_by: str) -> str:
    """One's own identity, and what to do after a reset that another device made."""
    user = one_line(user_id)
    if not reset_by:
        return f"{user} (you)\n  {grouped(fingerprint)}"
    return (
        f"{user} (you): RESET by device {reset_by[:ID_DIGITS]}, and not confirmed\n"
        f"  {grouped(fingerprint)}\n"
        f"  if it was you, compare this with `tacit contacts` on that device, then:\n"
        f"  tacit contacts confirm {shlex.quote(user)} FINGERPRINT\n"
        f"  if it was not you: tell your contacts, and make a new account"
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
        view, own = await client.account.view(), await client.account.fingerprint()
        me, reset_by = view.user_id, view.reset_by
        fields = {"userId": me, "this": True, "fingerprint": own, "fingerprintNow": own, "changed": bool(reset_by)}
        show(as_json, fields, own_text(me, own, reset_by))
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
        view, own = await client.account.view(), await client.account.fingerprint()
        me = view.user_id
        known = [*await client.account.contacts(), Contact(me, "" if view.reset_by else own, own)]
        found = next((each for each in known if each.user_id == user), None)
        if found is None:
            raise errors.InvalidArgument(f"you have not met {one_line(user)}: see `tacit contacts`")
        if given != found.fingerprint_now:
            raise errors.InvalidArgument(
                f"this is not {one_line(user)}'s identity: the account has {grouped(found.fingerprint_now)}. "
                "If they told you another one, somebody is between you: do not confirm it"
            )
        question = f"Did {one_line(user)} tell you this fingerprint outside this chat, by voice or in person?"
        text = f"{user} is known by this identity now; an admin can add them again: tacit members add"
        if user == me:
            question = "Did you reset the account yourself, and does the other device show this fingerprint?"
            text = "you go on under this identity; tell it to your contacts, and have admins add you again"
        if found.changed and not (yes or is_yes(question)):
            raise errors.NotConfirmed()
        await client.account.confirm_identity(user, given)
        show(as_json, {"userId": user, "fingerprint": given}, text)
