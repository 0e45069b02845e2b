"""`tacit password`, `recovery-key` and `reset`: what opens the account, and the whole of it made anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tacit import errors
from tacit.cli.asking import Asking, Key, new_password_from, opening, words_text
from tacit.cli.devices import find_device
from tacit.cli.lines import moment
from tacit.cli.notices import uses
from tacit.cli.printing import show, warn
from tacit.cli.session import common, runs, signed_in_as, whose
from tacit.client import Client

ONLY_YOU = (
    "Somebody else who opened your account with the old one may have kept its keys: then a new one is not enough;\n"
    "answer no and take `tacit reset`."
)
NEW_PASSWORD = click.option(
    "--new-password-fd", type=int, metavar="FD", help="Read the new password's line from this file descriptor."
)
WHAT_ENDS = (
    "A reset makes everything new. Your roles in conversations end, your contacts are warned, an admin has to add you "
    "again; a conversation without another admin goes on without one. Devices that are not kept are signed out.\n"
    "Is this the account as you know it, and do you want to reset it?"
)


async def tell_uses(client: Client) -> None:
    """Show when password and recovery key were used, so that the person sees whether it was somebody else."""
    found = await uses(client)
    if found:
        warn("\n".join(["Lately the account was opened:", *(f"  {line}" for line in found)]))
    warn(ONLY_YOU)


@click.command()
@NEW_PASSWORD
@opening
@common
@runs
async def password(
    new_password_fd: int | None, asking: Asking, home: Path, password_fd: int | None, as_json: bool
) -> None:
    """Change the account's password, and this folder's with it."""
    profile, folder_password = whose(home, password_fd)
    key = asking.key(folder_password)
    new_password = new_password_from(new_password_fd)
    async with signed_in_as(home, profile, folder_password) as client:
        await client.sync()
        await tell_uses(client)

        async def change(key: Key) -> None:
            await client.account.change_password(new_password, **key, confirm=asking.confirm())

        await asking.use(key, folder_password, change)
        version = (await client.account.view()).version
    text = "the password is changed. Another device's folder opens with the old one until `tacit password` there"
    show(as_json, {"userId": profile.user_id, "version": version}, text)


@click.command("recovery-key")
@click.option("--unseen", is_flag=True, help="Show the words that an interrupted command made and did not show.")
@opening
@common
@runs
async def recovery_key(unseen: bool, asking: Asking, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Make another recovery key. Its 24 words are shown once; the old ones open nothing any more."""
    profile, folder_password = whose(home, password_fd)
    key: Key = {} if unseen else asking.key(folder_password)
    async with signed_in_as(home, profile, folder_password) as client:
        await client.sync()
        if unseen:
            words = await client.account.unseen_words()
            if not words:
                raise errors.InvalidArgument("no words wait to be shown: make others with `tacit recovery-key`")
            await show_words(client, as_json, {"userId": profile.user_id}, "The recovery key", words)
            return
        await tell_uses(client)

        async def change(key: Key) -> tuple[str, ...]:
            return await client.account.new_recovery_key(**key, confirm=asking.confirm())

        words = await asking.use(key, folder_password, change)
        title = "The new recovery key, shown this once; destroy the old words"
        await show_words(client, as_json, {"userId": profile.user_id}, title, words)


async def show_words(client: Client, as_json: bool, fields: dict[str, Any], title: str, words: Sequence[str]) -> None:
    """Show the words of a recovery key, and keep them no longer once they are shown."""
    show(as_json, fields | {"recoveryWords": list(words)}, f"{title}:\n\n{words_text(words)}")
    await client.account.words_seen()


@click.command()
@click.option("--alone", is_flag=True, help="By this device alone, without password or words: it waits for days.")
@click.option("--keep", metavar="DEVICE", multiple=True, help="Another device that stays signed in.")
@click.option("--cancel", is_flag=True, help="Cancel a reset that waits.")
@NEW_PASSWORD
@opening
@common
@runs
async def reset(
    alone: bool,
    keep: tuple[str, ...],
    cancel: bool,
    new_password_fd: int | None,
    asking: Asking,
    home: Path,
    password_fd: int | None,
    as_json: bool,
) -> None:
    """Make the whole account anew after somebody else got into it: identity, keys, password and recovery key."""
    if alone and (asking.by_words or cancel):
        raise click.UsageError("--alone goes with neither --words nor --cancel")
    profile, folder_password = whose(home, password_fd)
    key: Key = {} if alone else asking.key(folder_password)
    new_password = "" if cancel else new_password_from(new_password_fd)
    async with signed_in_as(home, profile, folder_password) as client:
        await client.sync()
        if cancel:
            show(as_json, *await cancelled(client, asking, key, folder_password))
            return
        view = await client.account.view()
        kept = [find_device(view, each).device_id for each in keep]
        confirm = asking.confirm(WHAT_ENDS)
        if alone and not await confirm(view):  # nothing is opened that would show it
            raise errors.NotConfirmed()

        async def change_all(key: Key) -> tuple[tuple[str, ...], int]:
            return await client.account.reset(new_password, keep=kept, **key, confirm=confirm)

        words, until = await asking.use(key, None if alone else folder_password, change_all)
        fields = {"userId": profile.user_id, "waitsUntil": until}
        title = f"{after_reset(until)}\n\nThe new recovery key, shown this once"
        await show_words(client, as_json, fields, title, words)


async def cancelled(
    client: Client, asking: Asking, key: Key, folder_password: str | None
) -> tuple[dict[str, Any], str]:
    """Cancel a reset that waits; what is printed."""

    async def change(key: Key) -> None:
        await client.account.cancel_reset(**key, confirm=asking.confirm())

    await asking.use(key, folder_password, change)
    view = await client.account.view()
    text = "no reset waits any more. A device that asked for one without you: `tacit devices revoke --stolen`"
    return {"userId": view.user_id, "version": view.version}, text


def after_reset(until: int) -> str:
    """What a person does next; `until` in Unix milliseconds, 0 where the reset counts already."""
    if not until:
        return (
            "The account is reset. Have your contacts confirm your new identity outside this chat (`tacit contacts`),\n"
            "and ask an admin of each conversation to add you again. What you have here you can still read."
        )
    return (
        f"The reset waits until {moment(until)}: until then your other devices are told, and whoever has the password\n"
        "or the recovery key can cancel it. Any command on this device after that, such as `tacit conversations`,\n"
        "makes it count; then the new password and the words below are the account's. This folder's stays."
    )
