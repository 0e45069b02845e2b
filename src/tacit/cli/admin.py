"""`tacit admin`: an operator's commands on the server's database. They load nothing of the client, like the server."""

from __future__ import annotations

from pathlib import Path

import click

from tacit.cli.printing import show

DATABASE = click.argument("database", type=click.Path(path_type=Path))
FILE = click.argument("file", type=click.Path(path_type=Path))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")


@click.group()
def admin() -> None:
    """Back up a server's database."""


@admin.command()
@DATABASE
@FILE
@AS_JSON
def backup(database: Path, file: Path, as_json: bool) -> None:
    """Copy DATABASE, which may be served meanwhile, to a new FILE."""
    from tacit.server.store.backup import copy

    size = copy(database, file)
    show(as_json, {"file": str(file), "bytes": size}, f"{file}: a sound copy of {size} bytes")
