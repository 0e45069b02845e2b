"""`tacit devices`: the devices of your account, a new one, their names, and revoking one that is lost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from tacit import errors
from tacit.cli.account import DEVICE, KEYCHAIN, NAME, PIN, PROFILE, SERVER, check_no_account, own_name
from tacit.cli.asking import Asking, Key, new_password_from, opening
from tacit.cli.lines import ID_DIGITS, account_text, called, describe_account
from tacit.cli.printing import one_line, show, warn
from tacit.cli.session import Listing, Profile, client_of, common, password_from, runs, signed_in, signed_in_as, whose
from tacit.client import Client
from tacit.client.accountview import AccountView, DeviceView

LEAST_DIGITS = 4
"""How much of an id has to be typed to name a device."""


def find_device(view: AccountView, wanted: str) -> DeviceView:
    """The device that is signed in under this id, beginning of an id or name; raises `InvalidArgument`.

    Any device may have given another one a name, also one that is the beginning of a third one's id: what fits two of
    them names neither.
    """
    found = [each for each in view.devices if each.device_id == wanted]
    if not found:
        found = [each for each in view.devices if each.name == wanted or begins(each.device_id, wanted)]
    if len(found) > 1:
        every = ", ".join(map(called, found))
        raise errors.InvalidArgument(f"several devices are called {one_line(wanted)}: name one by its id of {every}")
    if not found:
        raise errors.InvalidArgument(f"no device that is signed in is called {one_line(wanted)}: see `tacit devices`")
    return found[0]


def begins(device_id: str, wanted: str) -> bool:
    """Whether this is enough of a device's id to name it by."""
    return len(wanted) >= LEAST_DIGITS and device_id.startswith(wanted)


@click.group(cls=Listing)
def devices() -> None:
    """List your account's devices (as without a command), sign a new one in, name or revoke one."""


@devices.command("list")
@common
@runs
async def list_devices(home: Path, password_fd: int | None, as_json: bool) -> None:
    """Show your account: its version, its devices, those that were revoked, and when its vault was written."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        view = await client.account.view()
        waiting = len((await client.account.rotations()).waiting)
        text = account_text(view) + (f"\n{waiting_line(waiting)}" if waiting else "")
        show(as_json, describe_account(view) | {"waiting": waiting}, text)


def waiting_line(waiting: int) -> str:
    """That so many conversations have no new key yet."""
    many = "conversations wait" if waiting > 1 else "conversation waits"
    return f"{waiting} {many} for a new key after a revocation (see `tacit conversations`); each command tries again"


@devices.command("add")
@click.argument("user")
@SERVER
@PIN
@NAME
@PROFILE
@KEYCHAIN
@DEVICE
@click.option("--new-password-fd", type=int, metavar="FD", help="With the words: read the new password from here.")
@opening
@common
@runs
async def add(
    user: str,
    url: str,
    pins: tuple[str, ...],
    server_name: str | None,
    algorithms: str,
    keychain: bool,
    device: str | None,
    new_password_fd: int | None,
    asking: Asking,
    home: Path,
    password_fd: int | None,
    as_json: bool,
) -> None:
    """Make this folder a device of USER's account, by its password, or by its 24 words and a new password."""
    check_no_account(home)
    profile = Profile(url, user, server_name, keychain, algorithms, pins)
    name = own_name(device)
    new_password: str | None = None
    if asking.by_words:
        key = asking.key(None)
        new_password = new_password_from(new_password_fd)
    else:
        key = Key(password=password_from(password_fd))
    async with client_of(home, profile) as client:
        await client.sign_in_new_device(user, **key, name=name, confirm=asking.confirm(), new_password=new_password)
        profile.write(home)
        view = await client.account.view()
    text = f"this is a device of {user} now, named {name}; what you could read, it can: `tacit conversations`"
    if new_password is not None:
        text += (
            "\nthe account has the new password; a device's folder opens with its earlier one until `tacit password`"
        )
    show(as_json, describe_account(view), text)


@devices.command("name")
@click.argument("device")
@click.argument("name")
@common
@runs
async def name_device(device: str, name: str, home: Path, password_fd: int | None, as_json: bool) -> None:
    """Give DEVICE (its name, its id or the beginning of that) the NAME, which only your devices see."""
    async with signed_in(home, password_fd) as client:
        await client.sync()
        found = find_device(await client.account.view(), device)
        await client.account.name_device(found.device_id, name)
        show(
            as_json, {"deviceId": found.device_id, "name": name}, f"{found.device_id[:ID_DIGITS]} is called {name} now"
        )


@devices.command("revoke")
@click.argument("devices", metavar="DEVICE...", nargs=-1, required=True)
@click.option("--stolen", is_flag=True, help="Ask whether what the device changed in conversations was you.")
@opening
@common
@runs
async def revoke(
    devices: tuple[str, ...], stolen: bool, asking: Asking, home: Path, password_fd: int | None, as_json: bool
) -> None:
    """Sign each DEVICE out for good: all keys that it had are replaced, in every conversation."""
    profile, folder_password = whose(home, password_fd)
    key = asking.key(folder_password)
    async with signed_in_as(home, profile, folder_password) as client:
        await client.sync()
        view = await client.account.view()
        gone = [find_device(view, each) for each in devices]
        if any(each.this for each in gone):
            raise errors.InvalidArgument("no device revokes itself: do it on another one of yours")
        doubted = await show_opened(client, gone, asking, ask=stolen)
        counter = Counter()

        async def change(key: Key) -> None:
            ids = [each.device_id for each in gone]
            await client.account.revoke(*ids, **key, confirm=asking.confirm(), progress=counter.tell)

        await asking.use(key, folder_password, change)
        counter.end()
        waiting = (await client.account.rotations()).waiting
        view = await client.account.view()
    names = ", ".join(map(called, gone))
    lines = [f"{names} revoked: what it holds opens nothing that is written from now on ({counter.done} new keys)"]
    if waiting:
        lines.append(waiting_line(len(waiting)))
    if doubted:
        lines.append("what was not you: undo it with `tacit members`, and tell the others outside this chat")
    if stolen:
        lines.append("if the thief may know your password: `tacit reset`; else a new one is enough: `tacit password`")
    show(as_json, describe_account(view) | {"rotated": counter.done, "waiting": len(waiting)}, "\n".join(lines))


async def show_opened(client: Client, gone: Sequence[DeviceView], asking: Asking, *, ask: bool) -> bool:
    """Show what devices changed in conversations; whether the person, asked about it, says that it was not them."""
    found = False
    for device in gone:
        for epoch in await client.account.opened_by(device.device_id):
            changes = ", ".join(f"{one_line(user)}: {role}" for user, role in epoch.changes) or "a new key alone"
            warn(f"{called(device)} opened epoch {epoch.epoch} of {one_line(epoch.conversation)}: {changes}")
            found = True
    if not found:
        warn(f"{', '.join(map(called, gone))} changed nothing in any conversation")
    return found and ask and not asking.agree("Was all of this you?")


class Counter:
    """Tells how many conversations have their new key: a line that is overwritten on a terminal, else nothing."""

    def __init__(self) -> None:
        self.done = self.total = 0

    def tell(self, done: int, total: int) -> None:
        """Take the count, and show it."""
        self.done, self.total = done, total
        if sys.stderr.isatty():
            click.echo(f"\r  new keys: {done} of {total} conversations ", nl=False, err=True)

    def end(self) -> None:
        """Leave the line."""
        if self.total and sys.stderr.isatty():
            click.echo("", err=True)
