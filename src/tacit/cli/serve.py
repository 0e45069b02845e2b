"""`tacit serve`: the server. It loads nothing of the client and no door to a secret."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tacit import errors
from tacit.server.config import Config
from tacit.server.settings import (
    SELF_SIGNED,
    SETTINGS,
    Networks,
    Number,
    OneOf,
    Origins,
    SomeOf,
    Text,
    commented,
    config_of,
    load,
)

METAVARS = {
    Number: "NUMBER",
    Text: "TEXT",
    OneOf: "WORD",
    SomeOf: "WORD,...",
    Networks: "ADDRESS,...",
    Origins: "URL,...",
}


def settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """A flag for each setting, in their order."""
    for each in reversed(SETTINGS):
        default = f" [default: {_shown(each.default)}]" if each.default is not None else ""
        option = click.option(each.flag, each.name, metavar=METAVARS[type(each.kind)], help=f"{each.help}{default}")
        command = option(command)
    return command


def _shown(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


@click.command()
@click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A TOML file with the settings below. Flags go before TACIT_SERVE_... in the environment, that before it.",
)
@click.option("--print-config", is_flag=True, help="Write the settings as a commented file, and do nothing else.")
@click.option("--print-pin", is_flag=True, help="Write the pin of the TLS key, for clients, and do nothing else.")
@settings
def serve(file: Path | None, print_config: bool, print_pin: bool, **given: str | None) -> int:
    """Run a server on this machine."""
    flags = {name: text for name, text in given.items() if text is not None}
    try:
        load(flags, {}, None)
    except errors.InvalidArgument as error:
        raise click.UsageError(error.detail) from None
    values = load(flags, os.environ, file)
    if print_config:
        click.echo(commented(values), nl=False)
        return 0
    config = config_of(values)
    config.check_url()
    if values["tls"] == SELF_SIGNED and config.tls_certificate is not None and not config.tls_certificate.exists():
        from tacit.cli.owncertificate import make

        make(config.tls_certificate, config.url_host)
    if print_pin:
        click.echo(pin_of(config))
        return 0
    from tacit.server.serve import serve as run

    return run(config)


def pin_of(config: Config) -> str:
    """The pin of the configured certificate's key; raises `InvalidArgument`."""
    from tacit.server.tls import read

    if config.tls_certificate is None:
        raise errors.InvalidArgument("there is no TLS: set tls or tls_certificate")
    _, leaf = read(config.tls_certificate, config.tls_key or config.tls_certificate, time.time_ns() // 1_000_000)
    return leaf.pin
