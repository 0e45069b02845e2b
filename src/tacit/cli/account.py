"""`tacit register` and `tacit login`."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from tacit import errors
from tacit.cli.asking import words_text
from tacit.cli.printing import show
from tacit.cli.session import PROFILES, Profile, client_of, common, password_from, runs
from tacit.client.accountview import check_name

SERVER = click.option("--server", "url", required=True, help="The server's URL, such as https://chat.example.org.")
PIN = click.option(
    "--pin",
    "pins",
    multiple=True,
    metavar="sha256/...",
    help="The server's key, as its operator tells it; once more for the key that comes after it. This folder keeps it. "
    "Without it the system's authorities vouch for the server.",
)
PROFILE = click.option(
    "--profile",
    "algorithms",
    type=PROFILES,
    default="standard",
    show_default=True,
    help="The account's algorithms, for life: fips has NIST's for others, compat what a plain WebCrypto client has.",
)
KEYCHAIN = click.option(
    "--keychain", is_flag=True, help="Keep the key of this folder in the system's keychain: no password to open it."
)
NAME = click.option("--server-name", help="The server's name, where it is not the URL's host.")
DEVICE = click.option(
    "--device", metavar="NAME", help="This device's name, which your devices alone see (default: the computer's)."
)
NAME_BYTES = 64


def own_name(given: str | None) -> str:
    """The name of this device: as given, else the computer's."""
    if given is not None:
        return given
    name = "".join(each for each in platform.node() if each.isprintable() and each.isascii()).strip()
    return name[:NAME_BYTES] or "device"


def check_no_account(home: Path) -> None:
    """Raises `InvalidArgument` where a folder holds an account."""
    if (home / "profile.json").exists():
        raise errors.InvalidArgument(f"{home} holds an account already; choose another --home")


@click.command()
@click.argument("user")
@SERVER
@PIN
@NAME
@PROFILE
@KEYCHAIN
@DEVICE
@common
@runs
async def register(
    user: str,
    url: str,
    pins: tuple[str, ...],
    server_name: str | None,
    algorithms: str,
    keychain: bool,
    device: str | None,
    home: Path,
    password_fd: int | None,
    as_json: bool,
) -> None:
    """Make an account and this device's keys. The 24 words are shown once: write them down."""
    check_no_account(home)
    profile = Profile(url, user, server_name, keychain, algorithms, pins)
    name = check_name(own_name(device))
    password = password_from(password_fd, confirm=True)
    async with client_of(home, profile) as client:
        words = await client.register(user, password)
        (this,) = (await client.account.view()).devices
        await client.account.name_device(this.device_id, name)
    text = (
        f"{user} is registered at {url}; the keys are in {home}.\n\n"
        f"Recovery key, shown this once. Who has these words has the account:\n\n{words_text(words)}\n\n"
        "The server has none of your keys. It cannot reset a lost password for you."
    )
    try:
        show(as_json, {"userId": user, "server": url, "recoveryWords": list(words)}, text)
    finally:
        profile.write(home)


@click.command()
@click.argument("user")
@SERVER
@PIN
@NAME
@PROFILE
@KEYCHAIN
@common
@runs
async def login(
    user: str,
    url: str,
    pins: tuple[str, ...],
    server_name: str | None,
    algorithms: str,
    keychain: bool,
    home: Path,
    password_fd: int | None,
    as_json: bool,
) -> None:
    """Open a session with the device whose keys are in this folder, and remember server, pins and name."""
    profile = Profile(url, user, server_name, keychain, algorithms, pins)
    password = None if keychain else password_from(password_fd)
    async with client_of(home, profile) as client:
        await client.sign_in(user, password)
    profile.write(home)
    show(as_json, {"userId": user, "server": url}, f"signed in as {user} at {url}")
