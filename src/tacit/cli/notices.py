"""`tacit notices`: what happened to your account, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tacit.cli.lines import ID_DIGITS, called, moment
from tacit.cli.printing import one_line, show, warn
from tacit.cli.session import common, runs, signed_in
from tacit.client import Client
from tacit.client.accountchange import Notice
from tacit.client.accountview import AccountView
from tacit.client.books import Books
from tacit.client.notices import after, ever

READ = "notices_read"
"""Under this the store keeps how many notices there had been when they were shown."""
LATELY = 5
"""Uses of password and recovery key that are shown before one of them is changed."""
UNLOCKERS_OF_THEN = "if you changed your password since the backup: change it again, that of then is good again"
BRANCHES = (
    "the server may show your devices two histories: compare `tacit members` on both before one is revoked or wiped;\n"
    "    if the device is not in your hands: `tacit devices revoke --stolen`, and go on"
)
OPENERS = {"password": "the password", "recovery_key": "the recovery key"}


def is_own(notice: Notice, own_device: str) -> bool:
    """Whether it tells of what this device did itself."""
    return notice.facts.get("deviceId") == own_device and notice.facts.get("succeeded", True) is True


def device_of(notice: Notice, view: AccountView) -> str:
    """The device that a notice names, as the person knows it."""
    device_id = one_line(str(notice.facts.get("deviceId", "")))
    for each in (*view.devices, *view.revoked):
        if each.device_id == device_id:
            state = "this device" if each.this else "revoked" if each.revoked_in else ""
            return called(each, state)
    return f"a device that is none of yours, {device_id[:ID_DIGITS]}"


def use_line(notice: Notice, view: AccountView) -> str:
    """When, by which device and with what somebody opened the account or tried to."""
    what = OPENERS.get(str(notice.facts.get("kind")), "an unlocker")
    failed, whose = notice.facts.get("failed"), device_of(notice, view)
    number = failed if isinstance(failed, int) else 0
    times = "once" if number == 1 else f"{number} times"
    if notice.facts.get("succeeded"):
        before = f", after it was given wrongly {times}" if number else ""
        return f"{moment(notice.at)}  {what} was used by {whose}{before}"
    how = f"was given wrongly {times}, the last time" if number > 1 else "was given wrongly"
    return f"{moment(notice.at)}  {what} {how} by {whose}"


def described(notice: Notice, view: AccountView, names: Mapping[str, str] | None = None) -> tuple[str, str]:
    """What happened, and what to do about it (empty for nothing); `names` are the conversations', by id."""
    facts, at = notice.facts, moment(notice.at)
    match notice.kind:
        case "unlocker":
            remedy = (
                "if it was not you: `tacit reset`" if facts.get("succeeded") else "if it was not you: mind the password"
            )
            own = next((each.this for each in view.devices if each.device_id == facts.get("deviceId")), False)
            return use_line(notice, view), "" if own else remedy
        case "reset":
            due = facts.get("dueAt")
            until = moment(due) if isinstance(due, int) else "some time"
            text = f"{at}  {device_of(notice, view)} asks to reset your account; it waits until {until}"
            return text, "if it was not you: `tacit reset --cancel`, then `tacit devices revoke --stolen`"
        case "reset_cancelled":
            return f"{at}  a reset of your account was cancelled", ""
        case "identity":
            user = one_line(str(facts.get("userId", "")))
            if user == view.user_id:
                return f"{at}  your account was reset", "say whether it was you: `tacit contacts`"
            text = f"{at}  {user}'s account was reset and has another identity key"
            return text, f"ask {user} outside this chat, then confirm it: `tacit contacts`"
        case "identity_confirmed":
            user = one_line(str(facts.get("userId", "")))
            text = f"{at}  {device_of(notice, view)} confirmed another identity of {user}, which counts here too"
            return text, "if it was not you: `tacit devices revoke --stolen`, then `tacit contacts`"
        case "vault_unreadable":
            text = f"{at}  {device_of(notice, view)} wrote a vault that is of no use to anybody"
            return text, "if you still have it, update its program; if not: `tacit devices revoke --stolen`"
        case "server_restored":
            text = f"{at}  the server was restored from a backup: what was sent or changed since is not there"
            return text, "look at `tacit devices` and `tacit members`; what you and others hold is posted back"
        case "server_behind":
            held = ", ".join(f"{facts.get(name, 0)} {name}" for name in ("accounts", "records", "messages"))
            return (
                f"{at}  the server lacked what this device holds; posted back: {held}",
                UNLOCKERS_OF_THEN if facts.get("accounts") else "",
            )
        case "branches":
            where = str(facts.get("conversationId", ""))
            named = one_line((names or {}).get(where) or where[:ID_DIGITS])
            text = f"{at}  {device_of(notice, view)} knew epoch {facts.get('epoch')} of {named} otherwise than this one"
            return text, BRANCHES
        case "change_refused":
            text = f"{at}  a change of your account begun here was overtaken by another device's"
            return text, "look at `tacit devices`; if you still want it, do it again"
        case _:
            return f"{at}  {one_line(notice.kind)}", "update the program to have it explained"


async def uses(client: Client) -> list[str]:
    """The last times that somebody opened the account by password or recovery key, or tried to."""
    view = await client.account.view()
    found = [each for each in await client.account.notices() if each.kind == "unlocker"]
    return [use_line(each, view) for each in found[-LATELY:]]


def unread(books: Books) -> tuple[int, str]:
    """How many notices were never shown, and this device's id."""
    return after(books.connection, books.number(READ)), books.me.device_id


async def mention_notices(client: Client) -> None:
    """Say in a line each what the person was not told yet."""
    every = await client.account.notices()
    new, own_device = await client.device.run(unread)
    waiting = sum(not is_own(each, own_device) for each in every[max(0, len(every) - new) :])
    if waiting:
        things = "thing" if waiting == 1 else "things"
        warn(f"-- {waiting} {things} happened to your account or a contact's: `tacit notices`")
    if await client.account.unseen_words():
        warn("-- a recovery key was made whose words you were not shown: `tacit recovery-key --unseen`")


@click.command()
@common
@runs
async def notices(home: Path, password_fd: int | None, as_json: bool) -> None:
    """Show what happened to your account and to contacts' identities, and what to do about it."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        every, view = await client.account.notices(), await client.account.view()
        if not every and not as_json:
            click.echo("nothing has happened to your account")
        names = {each.id: each.name for each in await client.conversations()}
        for each in every:
            text, remedy = described(each, view, names)
            fields: dict[str, Any] = {"at": each.at, "kind": each.kind, "facts": each.facts}
            show(as_json, fields, f"{text}\n    {remedy}" if remedy else text)
        await client.device.run(lambda books: books.set_meta(READ, str(ever(books.connection)).encode()))
