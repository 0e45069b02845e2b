"""The `tacit` command: each subcommand's module is loaded only when it runs."""

from __future__ import annotations

import importlib
import io
import sys

import click

from tacit import errors
from tacit.cli.printing import explain, warn

COMMANDS = {
    "serve": "tacit.cli.serve",
    "admin": "tacit.cli.admin",
    "demo": "tacit.cli.demo",
    "register": "tacit.cli.account",
    "login": "tacit.cli.account",
    "conversations": "tacit.cli.talk",
    "create": "tacit.cli.talk",
    "members": "tacit.cli.members",
    "send": "tacit.cli.talk",
    "read": "tacit.cli.talk",
    "chat": "tacit.cli.chat",
    "keys": "tacit.cli.keys",
    "devices": "tacit.cli.devices",
    "password": "tacit.cli.unlockers",
    "recovery-key": "tacit.cli.unlockers",
    "reset": "tacit.cli.unlockers",
    "notices": "tacit.cli.notices",
    "contacts": "tacit.cli.contacts",
    "conformance": "tacit.cli.conformance",
}
HELP = {
    "serve": "Run a server on this machine.",
    "admin": "Back up, restore and check a server's database.",
    "demo": "Three people talk through a server that cannot read; every claim is checked.",
    "register": "Make an account and this device's keys.",
    "login": "Open a session with this device and remember it.",
    "conversations": "List your conversations, how each is protected and who is in it.",
    "create": "Start a conversation.",
    "members": "List, add or remove a conversation's members.",
    "send": "Send one message.",
    "read": "Read a conversation.",
    "chat": "Talk, line by line.",
    "keys": "Manage a conversation's keys.",
    "devices": "List your devices, sign a new one in, name one, revoke a lost one.",
    "password": "Change your account's password.",
    "recovery-key": "Make another recovery key of 24 words.",
    "reset": "Make the whole account anew after somebody else got into it.",
    "notices": "Show what happened to your account, and what to do about it.",
    "contacts": "List people's identities, confirm a new one.",
    "conformance": "Check this implementation against public test vectors.",
}


class Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of a first visit."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = getattr(importlib.import_module(module), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(HELP.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
def tacit() -> None:
    """End-to-end encrypted conversations through a server that cannot read them.

    Passwords are prompted for, or read from a file descriptor (--password-fd 3); they are never arguments.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits 1 with an explained error, 2 for wrong usage, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows the rest
    try:
        result = tacit.main(args=arguments, prog_name="tacit", standalone_mode=False)
    except errors.TacitError as error:
        warn(explain(error))
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        sys.exit(130)
    sys.exit(result if isinstance(result, int) else 0)
