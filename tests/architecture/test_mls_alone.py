"""The MLS engine is usable by itself: to import it loads nothing of the rest, and nothing that reaches out.

The import contracts see what modules say; this sees what a process did. `socket` is there, and not used: the
certificates of cryptography take the standard library's `email`, which takes it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

ROOMS = {"errors", "mls", "wire", "crypto"}
OUTSIDE = {
    "aiohttp",
    "anyio",
    "apsw",
    "asyncio",
    "asyncpg",
    "click",
    "http",
    "httpx",
    "httpx2",
    "litestar",
    "logging",
    "msgspec",
    "nats",
    "sqlcipher3",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "uvicorn",
    "uvloop",
}


def loaded(statement: str) -> set[str]:
    """The modules of a Python that did nothing but this."""
    code = f"import sys; before = set(sys.modules)\n{statement}\nprint(*(set(sys.modules) - before))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def astray(modules: set[str]) -> set[str]:
    """Those that the engine may not have."""
    parts = [name.split(".") for name in modules]
    return {
        ".".join(part)
        for part in parts
        if part[0] in OUTSIDE or (part[0] == "tacit" and len(part) > 1 and part[1] not in ROOMS)
    }


@pytest.mark.parametrize("statement", ["from tacit.mls import *", "import tacit.mls.conformance"])
def test_the_engine_loads_nothing_of_the_rest(statement: str) -> None:
    modules = loaded(statement)
    assert {"tacit.mls.group", "tacit.wire.codec", "tacit.crypto.hpke"} <= modules
    assert astray(modules) == set()


def test_whatever_else_is_loaded_is_seen() -> None:
    assert "tacit.signed" in astray(loaded("import tacit.signed.record"))
    assert {"asyncio", "logging"} <= astray(loaded("import asyncio"))
    assert "sqlite3" in astray(loaded("import sqlite3"))
