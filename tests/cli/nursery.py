"""Processes of the product that need not load it first: each is forked from one that has.

Most of a short command's time is Python loading its modules. `Nursery` loads them once, with the stand-ins that it is
told; the program `Nursery.command` then hands its arguments, environment, folder and descriptors over, and ends as the
process ends that was forked for it: by the same code, and what it is told by SIGINT or SIGTERM is passed on. What is
about the start or the end itself, a controlling terminal or the interpreter's own settings is tested on `stage.PROGRAM`
instead.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from adversary.bending import bend, wraps_original
from tacit.identity.unlockers import Cost

TESTS = Path(__file__).parents[1]
STARTER = Path(__file__).with_name("starter.py")
ADDRESS = "TACIT_TESTS_NURSERY"
"""The variable that names the socket of the nursery that a demo's processes come from."""
LOADED_LATER = (
    "anyio._backends._asyncio",
    "cryptography.hazmat.backends.openssl",
    "encodings.idna",
    "httpcore2",
    "litestar.exceptions.responses",
    "litestar.middleware._internal.exceptions.middleware",
    "uvicorn.lifespan.off",
    "uvloop",
)
"""What libraries load only when they are first used, which is in every process."""
CHEAP = "tacit.client.lockbox:Lockbox.__init__=cli.nursery:cheap_stores"
"""A stand-in for where it is not tested what opening a store costs. The product itself opens such a store too."""


@wraps_original
def cheap_stores(original: Callable[..., None]) -> Callable[..., None]:
    """A new store's key is wrapped by the least Argon2id; an account's password costs what it always costs."""

    def init(self: Any, path: Path, passphrase: Any, keychain: Any, random: Any, cost: Cost | None) -> None:
        original(self, path, passphrase, keychain, random, cost or Cost(memory_kib=8, iterations=1, lanes=1))

    return init


def command(address: str) -> tuple[str, ...]:
    """How a process is started that comes from the nursery at this address."""
    return (sys.executable, "-I", "-S", str(STARTER), address)


class Nursery:
    """A process that has loaded the product; its children are gone when it is closed."""

    def __init__(self, *pairs: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="nursery-"))
        self.address = str(self._folder / "socket")
        self.command = command(self.address)
        path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli.nursery", self.address, *pairs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self.close()
            raise AssertionError("the nursery did not start")

    def close(self) -> None:
        """End it and every process that came from it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """What a starter wants, and its descriptors."""
    head, received, _, _ = socket.recv_fds(connection, 8, 64)
    left = int.from_bytes(head, "big")
    body = b""
    while len(body) < left:
        body += connection.recv(left - len(body))
    return json.loads(body), received


def become(wanted: dict[str, Any], received: Sequence[int]) -> None:
    """Take over the starter's descriptors under their numbers, its environment and its folder."""
    numbers: list[int] = wanted["descriptors"]
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, max(numbers) + 1) for each in received]
    for each in received:
        os.close(each)
    for number, each in zip(numbers, moved, strict=True):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    sys.argv = ["tacit", *wanted["arguments"]]
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0)), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w")), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )


def next_of(listener: socket.socket) -> socket.socket:
    """The next starter; ends everything once the one who opened the nursery is gone."""
    while listener.fileno() not in select.select([listener.fileno(), 0], [], [])[0]:
        if not os.read(0, 1):
            os.killpg(0, signal.SIGKILL)
    return listener.accept()[0]


def in_a_child(listener: socket.socket) -> None:
    """Fork for each starter; returns in the processes that shall be the product."""
    while True:
        connection = next_of(listener)
        if os.fork() == 0:
            break
        connection.close()
    # This process waits for the one that it forks, and tells the starter how it ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    listener.close()
    wanted, received = receive(connection)
    child = os.fork()
    if child == 0:
        connection.close()
        become(wanted, received)
        return
    for each in received:
        os.close(each)
    connection.sendall(child.to_bytes(8, "big"))
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):  # the starter was killed
        connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, "big", signed=True))
    os._exit(0)


def end_at_once(code: object) -> None:
    """End as Python ends, but for taking each module apart, which would take as long as a short command."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


def serve(address: str, *pairs: str) -> None:
    """Load the product with the stand-ins one after the other, and be it in each child."""
    for pair in pairs:
        target, _, stand_in = pair.partition("=")
        bend({target: stand_in})
    from tacit.cli.main import COMMANDS, main

    for module in (*COMMANDS.values(), "tacit.server.serve", *LOADED_LATER):
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    os.dup2(2, 1)
    gc.freeze()
    in_a_child(listener)
    try:
        main()
    except SystemExit as ended:
        end_at_once(ended.code)


if __name__ == "__main__":
    serve(*sys.argv[1:])
