"""The running server has loaded nothing that could hold a secret of its users.

The import contracts see what modules say; this sees what a process did, packages' own imports included.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.nursery import CHEAP, Nursery
from tacit.cli.stage import Stage

SECRET_ROOMS = {"client", "conversation", "identity", "mls"}
SERVERS_DOORS = {"secret", "digest", "verify", "curves", "goldilocks", "x509", "server"}
LOADED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(?P<name>[\w.]+)$", re.MULTILINE)


def forbidden(loaded: set[str]) -> set[str]:
    """The loaded modules that a server may not have."""
    parts = [name.split(".") for name in loaded if name.startswith("tacit.")]
    return {
        ".".join(part)
        for part in parts
        if part[1] in SECRET_ROOMS or (part[1] == "crypto" and len(part) > 2 and part[2] not in SERVERS_DOORS)
    }


def test_a_server_that_was_used_has_loaded_no_secret_room_and_no_secret_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPROFILEIMPORTTIME", "1")
        stage.open()
    try:
        with Nursery(CHEAP) as nursery:
            stage.program = nursery.command
            alice, bob, carol = people = [stage.person(name) for name in ("alice", "bob", "carol")]
            stage.run_each(people, "register", "{name}", "--server", stage.url)
            stage.run(alice, "create", "team", bob.name, carol.name)
            stage.run(alice, "send", "team", "hello")
            stage.run(alice, "members", "remove", "team", carol.name)
            stage.run(bob, "read", "team")
    finally:
        stage.close()
    loaded = set(LOADED.findall((stage.server_folder / "log").read_text(encoding="utf-8")))
    assert {"tacit.server.store.sqlite", "tacit.signed.record", "tacit.crypto.verify"} <= loaded
    assert forbidden(loaded) == set()


def test_a_forbidden_module_is_recognized() -> None:
    bad = {"tacit.identity", "tacit.client.sync", "tacit.crypto.sign", "tacit.crypto.sealed"}
    good = {"tacit.crypto", "tacit.crypto.server", "tacit.signed.vault", "tacit.cli.serve", "nacl.signing"}
    assert forbidden(bad | good) == bad
