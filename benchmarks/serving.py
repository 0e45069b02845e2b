"""The product's own server as a process on a free loopback port, and people with a client each on it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tacit.client import Client
from tacit.client.accountview import AccountView
from tacit.identity.unlockers import Cost

CHEAP: Final = Cost(8, 1, 1, 1)
"""Argon2id of 8 KiB in one pass, well under a millisecond: passwords are measured by themselves."""
ADDRESS: Final = re.compile(rb" at (http://\S+)")
STOP_SECONDS: Final = 30


@contextmanager
def serving(database: Path) -> Iterator[str]:
    """`tacit serve` on this database; its address."""
    command = [sys.executable, "-m", "tacit", "serve", "--port", "0", "--database", str(database)]
    for limit in ("requests-per-device", "requests-per-address", "connections-per-address", "handshakes-per-address"):
        command += [f"--{limit}", "0"]
    command += ["--log-level", "warning"]  # a line for each request is another's work
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            told = ADDRESS.search(server.stdout.readline())
            if told is None:
                raise RuntimeError("the server did not start")
            yield told[1].decode()
        finally:
            server.terminate()
            server.wait(STOP_SECONDS)


def client(url: str, folder: Path, store: str) -> Client:
    """A client on a store of its own."""
    return Client(url, store=folder / f"{store}.db", cost=CHEAP)


def password_of(user_id: str) -> str:
    """Somebody's password."""
    return f"the password of {user_id}"


async def yes(_: AccountView) -> bool:
    """A person who knows the account as it is shown."""
    return True


async def new_device(url: str, folder: Path, user_id: str, name: str) -> Client:
    """Somebody's next device, signed in with the password."""
    made = client(url, folder, f"{user_id}-{name}")
    await made.sign_in_new_device(user_id, password=password_of(user_id), name=name, confirm=yes)
    return made
