"""What a person sees of the own account, and is asked about before its identity key signs anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tacit import errors
from tacit.signed.account import AccountRecord
from tacit.signed.vault import EntryKind, OuterHeader, SignedEntry

OLD: Final = 48 * 60 * 60 * 1000
"""A vault that was not rewritten for so long (milliseconds) may be an earlier one: its devices rewrite it daily."""
AHEAD: Final = 24 * 60 * 60 * 1000
"""So far (milliseconds) a device's clock may be ahead of another's; beyond it a vault's time says nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class DeviceView:
    """One device of the account: its name as the account's devices know it, and the version that certified it.

    `revoked_in` is the version that revoked it, 0 for one that is signed in; `this` is the device at hand.
    """

    device_id: str
    name: str
    certified_in: int
    revoked_in: int = 0
    this: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class AccountView:
    """The account as it stands: version, devices, and when and by which device its vault was written.

    `reset_by`: the device that reset the account, which the person did not confirm on this one yet; else empty. Not
    `vault_is_readable`: that device put something in it that is of no use. No device of one's own does, unless
    somebody else has it: revoke it.
    """

    user_id: str
    version: int
    profile: str
    devices: tuple[DeviceView, ...]
    revoked: tuple[DeviceView, ...]
    vault_written_at: int
    vault_written_by: str
    vault_is_old: bool
    vault_is_readable: bool = True
    reset_by: str = ""


Confirm = Callable[[AccountView], Awaitable[bool]]
"""Shows a person the account and asks whether that is what they know of it."""


def view_of(
    versions: Sequence[AccountRecord],
    entries: Sequence[SignedEntry],
    header: OuterHeader,
    own_device: str,
    now: int,
    *,
    is_readable: bool = True,
    reset_by: str = "",
) -> AccountView:
    """The account's newest version as it is shown; names are those that present devices gave."""
    newest = versions[-1]
    present = {each.device_id for each in newest.devices}
    names = device_names(entries, present)
    first: dict[str, int] = {}
    for record in versions:
        for each in record.devices:
            first.setdefault(each.device_id, record.version)

    def view(device_id: str, revoked_in: int = 0) -> DeviceView:
        name = names.get(device_id, "")
        return DeviceView(device_id, name, first.get(device_id, 0), revoked_in, device_id == own_device)

    return AccountView(
        newest.user_id,
        newest.version,
        newest.profile.name.lower(),
        tuple(view(each.device_id) for each in newest.devices),
        tuple(view(each.device_id, each.version) for each in newest.revoked),
        header.written_at,
        header.device_id,
        not -AHEAD <= now - header.written_at <= OLD,
        is_readable,
        reset_by,
    )


def device_names(entries: Sequence[SignedEntry], certified: set[str]) -> dict[str, str]:
    """The devices' names by id: each on the word of a device that is still signed in."""
    found: dict[str, str] = {}
    for signed in entries:
        entry = signed.entry
        if entry.kind is EntryKind.DEVICE_NAME and entry.value and entry.device_id in certified:
            found[entry.key.decode(errors="replace")] = entry.value.decode(errors="replace")
    return found


async def ask(view: AccountView, known: int, confirm: Confirm | None) -> None:
    """Let the person confirm the account before its identity key signs; raises `NotConfirmed`.

    Without `confirm` it counts as confirmed where nothing is new: this device knew this version before (`known`), and
    the vault is not old.
    """
    if confirm is None:
        if view.version != known:
            raise errors.NotConfirmed(f"the account has version {view.version} now, this device knew {known}")
        if not view.vault_is_readable:
            raise errors.NotConfirmed("a device of the account put something unusable in the vault")
        if view.vault_is_old:
            raise errors.NotConfirmed("the vault was not written within 48 hours: it may be an earlier one")
        return
    if not await confirm(view):
        raise errors.NotConfirmed()


def check_name(name: str) -> str:
    """A device's name without the spaces around it; raises `InvalidArgument` unless it is 1 to 64 bytes of UTF-8."""
    name = name.strip()
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= 64 or not name.isprintable():
        raise errors.InvalidArgument("a device's name is 1 to 64 bytes of printable text")
    return name
