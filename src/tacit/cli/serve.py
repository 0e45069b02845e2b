"""`tacit serve`: the server. It loads nothing of the client and no door to a secret."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address: there is no TLS yet.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option(
    "--database",
    default="tacit.db",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The SQLite file; made where it does not exist.",
)
@click.option("--name", help="The name that clients know the server by (default: the host).")
@click.option("--authority", help="The host and port in the clients' URLs (default: host:port).")
@click.option(
    "--reset-hours",
    default=72,
    show_default=True,
    type=click.IntRange(min=1),
    help="How long a reset waits that a device asks for without password or recovery key.",
)
def serve(host: str, port: int, database: Path, name: str | None, authority: str | None, reset_hours: int) -> None:
    """Run a server on this machine."""
    from tacit.server.config import HOUR_MS, Config
    from tacit.server.serve import serve as run

    wait = reset_hours * HOUR_MS
    run(Config(host=host, port=port, database=database, name=name, authority=authority, reset_wait_ms=wait))
