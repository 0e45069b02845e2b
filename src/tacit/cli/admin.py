"""`tacit admin`: an operator's commands on the server's database. They load nothing of the client, like the server."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from tacit.cli.printing import one_line, show

DATABASE = click.argument("database", type=click.Path(path_type=Path))
FILE = click.argument("file", type=click.Path(path_type=Path))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")


@click.group()
def admin() -> None:
    """Back up, restore and check a server's database."""


@admin.command()
@DATABASE
@FILE
@AS_JSON
def backup(database: Path, file: Path, as_json: bool) -> None:
    """Copy DATABASE, which may be served meanwhile, to a new FILE."""
    from tacit.server.store.backup import copy

    size = copy(database, file)
    show(as_json, {"file": str(file), "bytes": size}, f"{file}: a sound copy of {size} bytes")


@admin.command()
@FILE
@DATABASE
@AS_JSON
def restore(file: Path, database: Path, as_json: bool) -> None:
    """Make a new DATABASE of the backup FILE, where there is none and no server runs.

    Clients learn that the server was restored. Every device signs in again, by itself.
    """
    from tacit.server.store.backup import restore as put

    incarnation = os.urandom(16).hex()
    size = put(file, database, incarnation, time.time_ns() // 1_000_000)
    fields = {"database": str(database), "bytes": size, "incarnation": incarnation}
    show(as_json, fields, f"{database}: restored from {file}, as incarnation {incarnation}")


@admin.command()
@DATABASE
@AS_JSON
@click.pass_context
def check(context: click.Context, database: Path, as_json: bool) -> None:
    """Verify everything in DATABASE that can be verified without a key; a line for each finding, and 1 in the end."""
    from tacit.server.admin.check import check as look

    found = 0
    for finding in look(database):
        found += 1
        place = " ".join(f"{name}={one_line(str(value))}" for name, value in finding.place.items())
        show(
            as_json,
            {"finding": finding.name, **finding.place, "rule": finding.rule},
            " ".join(part for part in (finding.name, place, finding.rule) if part),
        )
    if not as_json:
        click.echo(f"{database}: {found or 'no'} finding{'' if found == 1 else 's'}")
    if found:
        context.exit(1)
